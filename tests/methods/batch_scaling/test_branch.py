"""The branch test: what a branch trains with, what is compared, and that a kill loses one branch at most."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from transformers import Trainer
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError
from tenon.core.models.loading import load_model
from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.run import Run
from tenon.core.training.config import TrainConfig, training_arguments
from tenon.methods.batch_scaling.cli_probe import branch_command
from tenon.methods.batch_scaling.probes.branch import branch_test, largest_factor, window_tokens
from tenon.methods.batch_scaling.probes.branch_text import branch_trainer, text_rows

SEQ = 8
LR = 4e-3


def rows(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 40, (count, SEQ), generator=generator)
    ids[:, ::2] = 7
    return ids


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Trainer's checkpoint after three steps of two rows."""
    folder = tmp_path_factory.mktemp("training")
    settings = TrainConfig(steps=3, batch_size=2, learning_rate=LR, schedule="constant", save_every=3, device="cpu")
    data: Any = [{"input_ids": row, "labels": row} for row in rows(6)]
    model = tiny_model("llama", num_hidden_layers=1)
    args = training_arguments(settings, folder)
    Trainer(model=model, args=args, train_dataset=data, processing_class=tiny_tokenizer()).train()
    return folder / "checkpoint-3"


def by_hand(checkpoint: Path, data: torch.Tensor, *, batch: int, rate: float) -> list[float]:
    """Losses of AdamW in a loop, from the checkpoint's state."""
    model = load_model(checkpoint, device="cpu", dtype="float32").train()
    decayed = [one for name, one in model.named_parameters() if "norm" not in name]
    spared = [one for name, one in model.named_parameters() if "norm" in name]
    optimizer = torch.optim.AdamW([{"params": decayed}, {"params": spared}])
    optimizer.load_state_dict(torch.load(checkpoint / "optimizer.pt", weights_only=True))
    losses = []
    for part in data.split(batch):
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = model(input_ids=part, labels=part).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_branches_go_on_with_the_optimizer_and_scaled_rates(tmp_path: Path, checkpoint: Path) -> None:
    data = rows(32, seed=1)
    make = branch_trainer(checkpoint, data, batch_rows=2, rows_per_device=2, device="cpu")
    with Run.open(tmp_path, config={}) as run:
        found = branch_test(run, make, checkpoint, seq_len=SEQ, tokens=32 * SEQ, factors=(2, 4), smooth=0.5)
    assert [row["factor"] for row in found.rows] == [1, 2, 4]
    assert [row["steps"] for row in found.rows] == [16, 8, 4]
    assert [row["batch_tokens"] for row in found.rows] == [16, 32, 64]
    for row in found.rows:
        rate = LR * math.sqrt(row["factor"])
        assert row["learning_rate"] == pytest.approx(rate, rel=1e-12)
        losses = by_hand(checkpoint, data, batch=2 * row["factor"], rate=rate)
        last = losses[len(losses) // 2 :]  # the same 16 rows for every branch
        assert row["loss"] == pytest.approx(sum(last) / len(last), rel=1e-4)
        assert row["window_tokens"] == 16 * SEQ
    assert found.rows[0]["excess"] == 0


def test_a_kill_loses_one_branch(tmp_path: Path, checkpoint: Path) -> None:
    make = branch_trainer(checkpoint, rows(16, seed=1), batch_rows=2, rows_per_device=2, device="cpu")
    options: dict[str, Any] = {"seq_len": SEQ, "tokens": 16 * SEQ, "factors": (1, 2, 4), "smooth": 0.5}
    with Run.open(tmp_path / "whole", config={}) as run:
        whole = branch_test(run, make, checkpoint, **options)
    made: list[int] = []

    def killed(factor: int, folder: Path) -> Trainer:
        if factor == 2 and made == [1]:
            raise KeyboardInterrupt
        made.append(factor)
        return make(factor, folder)

    with pytest.raises(KeyboardInterrupt), Run.open(tmp_path / "run", config={}) as run:
        branch_test(run, killed, checkpoint, **options)
    made[:] = [0]
    with Run.open(tmp_path / "run", config={}) as run:
        assert branch_test(run, killed, checkpoint, **options) == whole
    assert made == [0, 2, 4]
    stored = (tmp_path / "run" / "branches.jsonl").read_bytes()
    assert stored == (tmp_path / "whole" / "branches.jsonl").read_bytes()


def judged(*losses: float | None, tolerance: float = 0.01) -> Any:
    branches = [{"factor": 2**place, "batch_tokens": 100 * 2**place, "loss": one} for place, one in enumerate(losses)]
    return largest_factor(branches, tolerance)


def test_the_largest_factor_within_the_tolerance_is_found() -> None:
    found = judged(3.0, 3.005, 3.02, 3.5)
    assert (found.largest, found.batch_tokens, found.is_bound) == (2, 200, False)
    assert not found.warnings
    every = judged(3.0, 2.9, 3.009)
    assert (every.largest, every.is_bound) == (4, True)
    assert "above 4" in every.warnings[0]
    mixed = judged(3.0, 3.1, 3.0, None)
    assert mixed.largest == 4
    assert "size of the noise" in mixed.warnings[0]
    assert judged(3.0, 3.1).largest == 1
    assert [row["excess"] for row in judged(3.0, None).rows] == [0.0, None]
    with pytest.raises(DataError, match="diverged"):
        judged(None, 3.0)


def test_tokens_must_make_whole_steps_of_every_branch() -> None:
    assert window_tokens(1024, 16, (1, 2, 4), 0.25) == 256
    assert window_tokens(1024, 16, (1, 2, 4), 0.01) == 64
    assert window_tokens(128, 16, (1, 2, 4), 0.99) == 64
    with pytest.raises(ConfigError, match=r"multiple of 64.*give 1,024"):
        window_tokens(1030, 16, (1, 2, 4), 0.25)
    with pytest.raises(ConfigError, match="give 128"):
        window_tokens(64, 16, (1, 2, 4), 0.25)


def test_what_does_not_fit_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    make = branch_trainer(checkpoint, rows(16), batch_rows=2, rows_per_device=2, device="cpu")
    options: dict[str, Any] = {"seq_len": SEQ, "tokens": 16 * SEQ}
    with Run.open(tmp_path / "run", config={}) as run:
        with pytest.raises(DataError, match=r"holds no optimizer\.pt"):
            branch_test(run, make, tmp_path, **options)
        with pytest.raises(ConfigError, match="whole numbers"):
            branch_test(run, make, checkpoint, factors=(0,), **options)
        with pytest.raises(ConfigError, match="smooth 1"):
            branch_test(run, make, checkpoint, smooth=1, **options)
        with pytest.raises(ConfigError, match="2 times the base batch"):
            branch_test(run, lambda _, folder: make(1, folder), checkpoint, factors=(2,), **options)
    ended = tmp_path / "ended"
    ended.mkdir()
    state = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    for group in state["param_groups"]:
        group["lr"] = 0.0
    torch.save(state, ended / "optimizer.pt")
    with Run.open(tmp_path / "other", config={}) as run:
        with pytest.raises(ConfigError, match="end of a schedule"):
            branch_test(run, make, ended, factors=(1,), **options)
        found = branch_test(run, make, ended, factors=(1,), learning_rate=1e-3, **options)
    assert found.rows[0]["learning_rate"] == pytest.approx(1e-3)
    with pytest.raises(ConfigError, match="do not divide"):
        branch_trainer(checkpoint, rows(4), batch_rows=3, rows_per_device=2)


def test_the_command_tells_the_batch(tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / "text.txt").write_text("the cat sat on the mat and ate a rat; " * 40)
    app = typer.Typer()
    app.command()(branch_command)
    words = [str(checkpoint), "--tokens", "512", "--batch-tokens", "32", "--text", str(tmp_path / "text.txt")]
    words += ["--seq-len", "16", "--factor", "2", "--device", "cpu", "--out", str(tmp_path / "run")]
    first = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    figures = json.loads(first.stdout)
    assert [row["batch_tokens"] for row in figures["branches"]] == [32, 64]
    again = CliRunner().invoke(app, words, catch_exceptions=False)
    assert f"{figures['batch_tokens']:,} tokens" in again.stdout
    assert (tmp_path / "run" / "report.html").is_file()
    with pytest.raises(DataError, match="give more text"):
        text_rows(checkpoint, str(tmp_path / "text.txt"), 16, 10_000)
