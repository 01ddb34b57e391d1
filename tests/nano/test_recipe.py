"""The whole recipe in miniature: it trains, ships, and goes on after an interruption to the same weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer

from tenon.core.models.loading import weights_hash
from tenon.core.run import Run
from tenon.nano.lm import PRESETS, train_lm
from tenon.tasks.math import generate_problems

MINI = PRESETS["mini"]


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A few made-up books and exercises in the two formats that the recipe reads."""
    folder = tmp_path_factory.mktemp("reading")
    books = folder / "books.jsonl"
    rows = [
        {"title": f"T{n}", "text": f"In the year {n}, the sea rose; the town slept. Nobody came. " * 150}
        for n in range(50)
    ]
    books.write_text("\n".join(json.dumps(row) for row in rows))
    exercises = folder / "gsm8k.jsonl"
    problems = generate_problems(1, "train", 60)
    rows = [{"question": p.question, "answer": f"It is {p.answer}.\n#### {p.answer}"} for p in problems]
    exercises.write_text("\n".join(json.dumps(row) for row in rows))
    return books, exercises


def test_the_miniature_trains_ships_and_resumes_to_the_same_weights(
    reading: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books, exercises = reading
    with Run.open(tmp_path / "whole", config=MINI) as run:
        whole = train_lm(run, MINI, books=books, gsm8k=exercises)
        losses = [row["loss"] for row in run.metrics()]
    assert len(losses) == MINI.train.steps // MINI.train.log_every
    assert losses[-1] < losses[0] - 0.3, "twenty steps must teach something: the common tokens at least"

    # Break off in the middle of a training step, after a checkpoint and before the next.
    training_step = Trainer.training_step
    calls = 0

    def failing_step(self: Trainer, *args: object, **options: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 13:
            raise KeyboardInterrupt
        return training_step(self, *args, **options)

    monkeypatch.setattr(Trainer, "training_step", failing_step)
    with pytest.raises(KeyboardInterrupt), Run.open(tmp_path / "broken", config=MINI) as run:
        train_lm(run, MINI, books=books, gsm8k=exercises)
    monkeypatch.undo()
    # And a second break, inside a checkpoint: its last file is missing. The one before it is whole.
    half = tmp_path / "broken" / "checkpoints" / "checkpoint-16"
    shutil.copytree(tmp_path / "broken" / "checkpoints" / "checkpoint-8", half)
    (half / "trainer_state.json").unlink()
    with Run.open(tmp_path / "broken", config=MINI) as run:
        broken = train_lm(run, MINI, books=books, gsm8k=exercises)

    assert weights_hash(whole) == weights_hash(broken)
    for name in ("metrics.jsonl", "stages.json", "config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name

    model = AutoModelForCausalLM.from_pretrained(whole)
    tokenizer = AutoTokenizer.from_pretrained(whole)
    assert model.dtype == torch.bfloat16
    assert model.config.use_cache
    assert model.generation_config.use_cache
    assert model.config.vocab_size == len(tokenizer) == MINI.vocab_size
    assert not list(whole.glob("*.bin"))

    # A second reading goes on from the first one's weights and tokenizer, and does not touch them.
    second = replace(MINI, start=str(whole), mixture=replace(MINI.mixture, seed=1))
    before = weights_hash(whole)
    with Run.open(tmp_path / "second", config=second) as run:
        again = train_lm(run, second, books=books, gsm8k=exercises)
        assert run.metrics()[0]["loss"] < losses[0] - 0.3
    assert weights_hash(whole) == before != weights_hash(again)
    assert (whole / "tokenizer.json").read_bytes() == (again / "tokenizer.json").read_bytes()
