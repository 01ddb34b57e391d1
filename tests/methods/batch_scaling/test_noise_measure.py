"""The noise scale at fixed weights: by hand, against the whole population, resumed, and through the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError
from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.run import Run
from tenon.methods.batch_scaling.cli_probe import noise_scale_command
from tenon.methods.batch_scaling.probes.noise_measure import estimate_of, measure_pairs, read_log
from tenon.methods.batch_scaling.reference import noise_of_rows, row_gradients

SEQ = 10


def rows(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 40, (count, SEQ), generator=generator)
    ids[:, ::2] = 7
    return ids


def test_norms_are_those_of_mean_gradients(tmp_path: Path) -> None:
    model, ids = tiny_model("llama"), rows(12)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    with Run.open(tmp_path, config={}) as run:
        measure_pairs(run, model, ids, small=2, big=6)
        found = run.rows("pairs")
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters())
    gradients, counts = row_gradients(model, ids, ids)
    means = gradients / counts[:, None]
    for place, row in enumerate(found):
        mine = means[6 * place : 6 * place + 6]
        parts = [float((mine[at : at + 2].mean(0) ** 2).sum()) for at in (0, 2, 4)]
        assert row["small_sq"] == pytest.approx(sum(parts) / 3, rel=1e-5)
        assert row["big_sq"] == pytest.approx(float((mine.mean(0) ** 2).sum()), rel=1e-5)
    assert len(found) == 2


def test_property_7_10_the_estimate_finds_the_noise_of_a_population(tmp_path: Path) -> None:
    model, population = tiny_model("llama", num_hidden_layers=1), rows(40)
    gradients, counts = row_gradients(model, population, population)
    g2, s = noise_of_rows(gradients / counts[:, None])
    drawn = torch.randint(0, len(population), (16 * 16,), generator=torch.Generator().manual_seed(1))
    with Run.open(tmp_path, config={}) as run:
        measure_pairs(run, model, population[drawn], small=1, big=16)
        found = estimate_of(run, small=1, big=16, length=SEQ)
    assert found.s == pytest.approx(s * SEQ, rel=0.05)
    assert found.g2 == pytest.approx(g2, rel=0.15)
    assert found.interval is not None
    assert found.interval[0] < s / g2 * SEQ < (found.interval[1] or 0)


def test_a_killed_measurement_goes_on(tmp_path: Path) -> None:
    model, ids = tiny_model("llama", num_hidden_layers=1), rows(8)
    with Run.open(tmp_path / "whole", config={}) as run:
        measure_pairs(run, model, ids, small=1, big=2)
    with Run.open(tmp_path / "killed", config={}) as run:
        measure_pairs(run, model, ids[:4], small=1, big=2)
    with Run.open(tmp_path / "killed", config={}) as run:
        measure_pairs(run, model, ids, small=1, big=2)
    killed = (tmp_path / "killed" / "pairs.jsonl").read_bytes()
    assert killed == (tmp_path / "whole" / "pairs.jsonl").read_bytes()
    with Run.open(tmp_path / "odd", config={}) as run, pytest.raises(ConfigError, match="must divide"):
        measure_pairs(run, model, ids, small=2, big=3)


def command(*words: str) -> Any:
    app = typer.Typer()
    app.command()(noise_scale_command)
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def test_the_command_gives_a_figure_in_tokens(tmp_path: Path) -> None:
    tiny_model("llama", num_hidden_layers=1).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "text.txt").write_text("the cat sat on the mat and ate a rat; " * 40)
    words = [str(tmp_path / "model"), "--text", str(tmp_path / "text.txt"), "--seq-len", "12", "--big", "8"]
    words += ["--pairs", "6", "--device", "cpu", "--out", str(tmp_path / "run")]
    figures = json.loads(command(*words, "--json", "--results", str(tmp_path / "results.json")).stdout)
    assert figures["pairs"] == 6
    assert figures["b_simple"] == pytest.approx(figures["s"] / figures["g2"])
    assert figures["interval"][0] < figures["b_simple"]
    assert json.loads((tmp_path / "results.json").read_text())["estimate"] == figures
    again = command(*words)
    assert f"{figures['b_simple']:,.0f} tokens" in again.stdout
    assert (tmp_path / "run" / "report.html").is_file()
    assert (tmp_path / "run" / "figures" / "noise.svg").is_file()
    assert "Fewer than 6 pairs are too few for an interval" in (tmp_path / "run" / "report.md").read_text()


LOG = [{"step": 1, "gns/g2": -1.0, "gns/s": 2.0}, {"step": 2, "gns/g2": 1.0, "gns/s": 2.0, "gns/b_simple_tokens": 2.0}]


def test_a_trainings_log_is_shown(tmp_path: Path) -> None:
    state = {"log_history": [*({"loss": 1.0, **one} for one in LOG), {"train_loss": 1.0, "step": 2}]}
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "trainer_state.json").write_text(json.dumps(state))
    shown = command("--metrics", str(tmp_path / "checkpoint"), "--out", str(tmp_path / "run"))
    assert "step 2: 2 tokens" in shown.stdout
    assert "1 of 2 entries" in (tmp_path / "run" / "report.md").read_text()
    lines = tmp_path / "metrics.jsonl"
    lines.write_text("".join(json.dumps(one) + "\n" for one in LOG) + '{"step": 3, "gns')  # a training writes on
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2]
    assert lines.read_text().endswith('"gns')  # and nobody cuts its line
    assert read_log(lines)[1] == {"step": 2, "g2": 1.0, "s": 2.0, "b_simple_tokens": 2.0}


def test_a_log_without_noise_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither"):
        read_log(tmp_path)
    with pytest.raises(DataError, match="There is no"):
        read_log(tmp_path / "gone.jsonl")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    with pytest.raises(DataError, match="GradientNoiseScaleCallback"):
        read_log(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("step 1\n")
    with pytest.raises(DataError, match="line 1 is not JSON"):
        read_log(tmp_path)
