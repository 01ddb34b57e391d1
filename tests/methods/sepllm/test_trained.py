"""Models that were saved under a mask each, asked the same questions: who is compared with whom, and when it tells."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tenon.core.errors import ConfigError
from tenon.core.models.loading import load_model, load_tokenizer
from tenon.core.run import Run
from tenon.methods.sepllm.cli import app
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.contenders import FULL, SEP
from tenon.methods.sepllm.examples import BARE, ExamplesConfig, Questions, evaluate_examples
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.trained import STRM, evaluate_trained, find_trained, trained_verdicts

ASKED = Questions(problems=6, batch_size=3, shots=2, max_new_tokens=40)
MASKS = {
    "full": SepConfig(init=4, window=None),
    "sep": SepConfig(init=4, window=24),
    "strm": SepConfig(init=4, window=24, separators="none"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """nano-lm, saved under three masks; each with weights of its own, by a hair."""
    made = {}
    for place, (name, sep) in enumerate(MASKS.items()):
        model, tokenizer = load_model("nano-lm", dtype="float32"), load_tokenizer("nano-lm")
        folder = tmp_path_factory.mktemp(name)
        with torch.no_grad():
            model.model.norm.weight[0] += 1e-6 * place
        with apply_sepllm(model, tokenizer, sep):
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        made[name] = str(folder)
    return made


def test_each_model_answers_under_its_own_mask(tmp_path: Path, folders: dict[str, str]) -> None:
    models = find_trained(list(folders.values()))
    with Run.open(tmp_path / "trained", config=ASKED) as run:
        rows = {row["trained under"]: row for row in evaluate_trained(run, models, ASKED)}
    assert list(rows) == [FULL, BARE, f"{SEP}, window 24", f"{STRM}, window 24"]
    # The same weights, but for a hair: what `examples` finds for masks without training must come out here.
    config = ExamplesConfig(problems=6, batch_size=3, shots=2, max_new_tokens=40, windows=(24,))
    with Run.open(tmp_path / "untrained", config=config) as run:
        plain = evaluate_examples(run, load_model("nano-lm", dtype="float32"), load_tokenizer("nano-lm"), config)
    for name, row in zip(rows, (plain[0], plain[1], plain[2], plain[3]), strict=True):
        assert rows[name]["accuracy"] == row["accuracy"]
        assert rows[name]["share of keys [%]"] == pytest.approx(row["share of keys [%]"], rel=0.02)
        assert rows[name]["minus full"] == pytest.approx(row["minus full"])


def test_seeds_of_one_mask_are_averaged_by_question(tmp_path: Path, folders: dict[str, str]) -> None:
    model, other = load_model(folders["sep"], dtype="float32"), str(tmp_path / "other")
    with torch.no_grad():
        model.lm_head.weight.zero_()  # knows nothing
    with apply_sepllm(model, load_tokenizer(folders["sep"])):
        model.save_pretrained(other)
    load_tokenizer(folders["sep"]).save_pretrained(other)
    models = find_trained([folders["full"], folders["sep"], other])
    with Run.open(tmp_path / "run", config=ASKED) as run:
        row = evaluate_trained(run, models, ASKED)[-1]
    assert (row["models"], row["worst model"]) == (2, 0.0)
    assert row["accuracy"] == pytest.approx(row["best model"] / 2)


def test_the_command(tmp_path: Path, folders: dict[str, str]) -> None:
    sets = ["--problems", "2", "--set", "max_new_tokens=4", "--set", "shots=1", "--json"]
    told = CliRunner().invoke(app, ["trained", *folders.values(), *sets, "--out", str(tmp_path / "run")])
    assert told.exit_code == 0, told.output
    assert len(json.loads(told.stdout)["trained"]) == 4
    assert (tmp_path / "run" / "report.html").is_file()


def test_what_cannot_be_compared_is_refused(folders: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="not saved under SepLLM"):
        find_trained(["nano-lm"])
    with pytest.raises(ConfigError, match="trained with full attention"):
        find_trained([folders["sep"], folders["strm"]])
    with pytest.raises(ConfigError, match="same weights"):
        find_trained([folders["sep"], folders["full"], folders["sep"]])


def a_row(mask: str, full: float, sep: float) -> dict[str, Any]:
    ends = {"full low": full - 0.01, "full high": full + 0.01, "minus full": full}
    ends |= {"difference low": sep - 0.01, "difference high": sep + 0.01, "minus SepLLM": sep}
    return ends | {"mask": mask, "trained under": mask, "share of keys [%]": 25.0}


@pytest.mark.parametrize(
    ("bare", "strm", "against", "expected"),
    [
        (-0.8, -0.4, -0.4, "Informative, .* SepLLM is better than StreamingLLM"),
        (-0.8, -0.4, 0.0, "Informative, .* SepLLM cannot be told from StreamingLLM"),
        (-0.8, -0.4, 0.2, "Informative, .* SepLLM is worse than StreamingLLM"),
        (-0.8, 0.0, 0.0, "Uninformative"),
        (0.0, -0.4, -0.4, "Uninformative"),
    ],
)
def test_verdicts(bare: float, strm: float, against: float, expected: str) -> None:
    rows = [a_row(BARE, bare, 0.0), a_row(SEP, -0.02, 0.0), a_row(STRM, strm, against)]
    assert re.match(expected, " ".join(trained_verdicts(rows)))
