"""`plan` and `laws` from the command line, and the pictures of a page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError
from tenon.methods.batch_scaling.cli_plan import laws_command, plan_command
from tenon.methods.batch_scaling.fits.law_card import FittedLaw, save_card
from tenon.methods.batch_scaling.laws import every, get
from tenon.methods.batch_scaling.laws.law import Law, PowerLaw
from tenon.methods.batch_scaling.laws.loss import LossLaw, ThreeTermLoss
from tenon.methods.batch_scaling.plans.pictures import draw_batches, draw_isoflop
from tenon.methods.batch_scaling.plans.planner import plan
from tenon.methods.batch_scaling.plans.show import shipped_surface

app = typer.Typer()
app.command("plan")(plan_command)
app.command("laws")(laws_command)


def run(*words: str) -> str:
    """Run a command and give what it prints."""
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_the_command_is_the_function() -> None:
    told = json.loads(run("plan", "--params", "1.3B", "--gpus", "8xH100", "--days", "5", "--price", "2", "--json"))
    found = plan(params="1.3B", gpus="8xH100", days=5, price_per_gpu_hour=2)
    for name in ("batch_tokens", "steps", "learning_rate", "cost", "tokens", "accumulation", "warnings"):
        expected = getattr(found, name)
        assert told[name] == (list(expected) if name == "warnings" else expected)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("--flops", "1e21"), {"compute": 1e21}),
        (("--tokens", "20B", "--model", "nano-lm", "--force"), {"tokens": 2e10, "model": "nano-lm", "force": True}),
        (
            ("--flops", "1e20", "--max-batch", "300k", "--gamma", "0.5"),
            {"compute": 1e20, "max_batch": 3e5, "gamma": 0.5},
        ),
        (
            ("--params", "1B", "--tokens", "20B", "--use", "steplaw2025,bergsma2025", "--seq-len", "4096"),
            {"params": 1e9, "tokens": 2e10, "laws": ["steplaw2025", "bergsma2025"], "seq_len": 4096},
        ),
        (
            ("--params", "1B", "--tokens", "20B", "--world-size", "4", "--per-device", "2", "--max-steps", "9000"),
            {"params": 1e9, "tokens": 2e10, "world_size": 4, "per_device": 2, "max_steps": 9000},
        ),
        (
            ("--model", "nano-lm", "--tokens", "1B", "--count-flops", "attn", "--mfu", "0.2", "--gpu", "A100"),
            {"model": "nano-lm", "tokens": 1e9, "flops": "attn", "mfu": 0.2, "gpu": "A100"},
        ),
        (
            ("--flops", "1e20", "--loss-law", "hoffmann2022_unrounded", "--warmup", "0.1", "--recompute"),
            {"compute": 1e20, "loss_law": "hoffmann2022_unrounded", "warmup": 0.1, "recompute": True},
        ),
        (
            ("--params", "1B", "--tokens", "20B", "--unique-tokens", "5B", "--force"),
            {"params": 1e9, "tokens": 2e10, "unique_tokens": 5e9, "force": True},
        ),
    ],
)
def test_every_option_arrives(words: tuple[str, ...], given: dict[str, Any]) -> None:
    told, found = json.loads(run("plan", *words, "--json")), plan(**given, surface=shipped_surface()).to_dict()
    assert told == json.loads(json.dumps(found))


def test_the_text_ends_with_code_to_paste() -> None:
    text = run("plan", "--flops", "1e21")
    assert "steplaw2025" in text
    assert text.rstrip().endswith(")")
    compile(text[text.index("from transformers") :], "snippet", "exec")


def test_a_card_of_ones_own_comes_first(tmp_path: Path) -> None:
    law = Law(name="mine", title="", equation="B = 0.5 D^0.5", source="", tag="fitted",
              formulas={"batch": PowerLaw(coefficient=0.5, exponents={"D": 0.5})})  # fmt: skip
    card = save_card(FittedLaw(law=law, params={"k": 0.5}), tmp_path / "card.json")
    told = json.loads(run("plan", "--params", "1B", "--tokens", "20B", "--card", str(card), "--json"))
    assert told["batch_wanted"] == pytest.approx(0.5 * 20e9**0.5)
    with pytest.raises(DataError, match="fit RUNS"):
        run("plan", "--params", "1B", "--tokens", "20B", "--card", str(tmp_path / "none.json"))


def test_a_refusal_is_an_error_of_ours() -> None:
    with pytest.raises(ConfigError, match="Nearest feasible"):
        run("plan", "--flops", "1e30")


def test_the_page_has_tables_and_pictures_and_is_the_same_again(tmp_path: Path) -> None:
    words = ("plan", "--flops", "1e20", "--out", str(tmp_path / "run"))
    assert "The page is" in run(*words)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for expected in ("steplaw2025", "TrainingArguments", "besiroglu2024", "<img"):
        assert expected in page
    content = json.loads((tmp_path / "run" / "plan.json").read_text(encoding="utf-8"))
    assert content["batch_tokens"] == plan(compute=1e20).batch_tokens
    run(*words)
    assert (tmp_path / "run" / "report.html").read_text(encoding="utf-8") == page


def test_pictures_show_every_law_and_the_plan() -> None:
    facts = {"title": "", "equation": "", "source": "test", "tag": "fitted"}
    surface = ThreeTermLoss(name="surface", E=0.47, A=173.0, alpha=0.29, F=4.06, beta=0.2, G=3.44, gamma=0.105, **facts)  # type: ignore[arg-type]
    found = plan(compute=1e20, surface=FittedLaw(law=surface, params={}))
    cost, advice = draw_batches(found, surface).axes
    labels = {label.get_text().removesuffix(" •") for label in advice.get_yticklabels()}
    assert labels == {row.law for row in found.rows if row.quantity != "learning_rate" and row.value is not None}
    marked = {label.get_text().removesuffix(" •") for label in advice.get_yticklabels() if "•" in label.get_text()}
    assert marked == {row.law for row in found.rows if row.quantity == "batch" and row.used}
    assert any(list(line.get_xdata()) == [found.batch_tokens] * 2 for line in advice.get_lines())
    curve = cost.get_lines()[0]
    assert curve.get_ydata() == pytest.approx(surface.excess(found.tokens, curve.get_xdata()))
    assert len(draw_batches(found).axes) == 1
    laws = [law for law in every("params") if isinstance(law, LossLaw) and law.is_known("params")]
    (axes,) = draw_isoflop(found, laws).axes
    texts = axes.get_legend()
    assert texts is not None
    told = " ".join(text.get_text() for text in texts.get_texts())
    assert all(law.name in told for law in laws)
    for line in axes.get_lines()[: 2 * len(laws) : 2]:
        assert min(line.get_ydata()) == pytest.approx(0, abs=1e-3)  # every valley touches its optimum
        assert min(line.get_ydata()) >= -1e-9


def test_laws_are_listed_and_shown() -> None:
    text = run("laws")
    assert all(law.name in text for law in every())
    assert {one["name"] for one in json.loads(run("laws", "--json"))["laws"]} == {law.name for law in every()}
    shown = run("laws", "shuai2024.fixed_compute")
    assert "not known: batch, steps" in shown
    for expected in (get("steplaw2025").equation, "non_embedding", "N 60M..1B, D 2B..100B"):
        assert expected in run("laws", "steplaw2025")


def test_laws_are_evaluated() -> None:
    told = json.loads(run("laws", "steplaw2025", "--at", "N=7e9,D=1.4T", "--json"))
    assert told["values"]["batch"]["value"] == pytest.approx(4.997e6, rel=1e-3)
    assert told["values"]["learning_rate"]["value"] == pytest.approx(9.347e-4, rel=1e-3)
    assert told["values"]["batch"]["decades_outside"] == pytest.approx(1.146, abs=1e-3)
    text = run("laws", "steplaw2025", "--at", "D=20B")  # no N: the batch alone
    assert "batch = 4.418e+05 tokens per step" in text
    assert "learning rate: steplaw2025: learning_rate needs N, D" in text
    assert "loss = 2.306" in run("laws", "besiroglu2024", "--at", "N=2.777B,D=60B")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nope",), "No law is called"),
        (("steplaw2025", "--at", "N"), "must be inputs such as"),
        (("steplaw2025", "--at", "X=1"), "must be inputs such as"),
        (("steplaw2025", "--at", "D=-1"), "D is"),
        (("steplaw2025", "--at", "L=3"), "needs D"),
        (("shuai2024.fixed_compute", "--at", "C=1e20"), "coefficient"),
        (("--at", "D=1e9"), "name it"),
    ],
)
def test_what_laws_refuses(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run("laws", *words)


def test_a_plan_in_text_imports_nothing_heavy() -> None:
    code = (
        "import sys, typer; from typer.testing import CliRunner; from tenon.methods.batch_scaling.cli_plan import "
        "plan_command; app = typer.Typer(); app.command()(plan_command); "
        "print(CliRunner().invoke(app, ['--flops', '1e21', '--model', 'nano-lm', '--force']).exit_code);"
        "print([name for name in ('torch', 'transformers', 'scipy', 'matplotlib', 'pandas') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    assert told[:2] == ["0", "[]"]


def test_a_negative_price_is_refused() -> None:
    with pytest.raises(ConfigError, match="it must be 0 or more"):
        run("plan", "--params", "1B", "--gpus", "8xH100", "--price", "-3")


def test_a_batch_outside_the_flat_region_is_told() -> None:
    words = ("plan", "--params", "1B", "--tokens", "20B", "--use", "shuai2024.fixed_data", "--force", "--json")
    assert any("outside the flat region" in one for one in json.loads(run(*words))["warnings"])
