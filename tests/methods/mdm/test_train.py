"""Puzzles in, a model out, answers counted: the same rows for method and baseline, resumed, and an oracle is right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainerCallback

from tenon.core.errors import ConfigError, DataError
from tenon.core.run import Run
from tenon.core.training.config import TrainConfig
from tenon.methods.mdm.answer import Solver, evaluate_puzzles, load_solver
from tenon.methods.mdm.config import DecodeConfig, PuzzleTraining
from tenon.methods.mdm.kinds import puzzles_of, row_length
from tenon.methods.mdm.layout import EOS, MASK, PAD, lay_out, puzzle_tokenizer
from tenon.methods.mdm.model import MDMForMaskedDiffusion
from tenon.methods.mdm.train import train_on_puzzles
from tenon.tasks.puzzles import KINDS

TRAIN = TrainConfig(steps=4, batch_size=4, learning_rate=1e-3, log_every=1, save_every=2, device="cpu")
TINY = PuzzleTraining(kind="path", size=3, rows=20, layers=1, hidden=16, heads=2, train=TRAIN)


def trained(path: Path, config: PuzzleTraining = TINY) -> tuple[Path, list[dict[str, Any]]]:
    with Run.open(path, config=config) as run:
        return train_on_puzzles(run, config), run.metrics()


@pytest.mark.parametrize("objective", ["mdm", "ar", "reverse_ar"])
def test_a_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, objective: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, objective=objective)
    folder, metrics = trained(tmp_path / "whole", config)
    begin = Trainer.__init__

    class Kill(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            raise KeyboardInterrupt

    def killing(self: Any, *args: Any, **options: Any) -> None:
        begin(self, *args, **options | {"callbacks": [Kill()]})

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "__init__", killing)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "broken", config)
    again, resumed = trained(tmp_path / "broken", config)
    assert resumed == metrics
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_baseline_and_method_begin_alike_and_read_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[Any]] = {}
    begin = Trainer.__init__

    def watching(self: Any, *args: Any, **options: Any) -> None:
        data, model = options["train_dataset"], options["model"]
        decoder = getattr(model, "decoder", model)
        weights = torch.cat([weight.detach().flatten() for weight in decoder.parameters()])
        seen[type(self).__name__] = [weights, [data[item]["input_ids"].tolist() for item in range(len(data))], data]
        begin(self, *args, **options)

    monkeypatch.setattr(Trainer, "__init__", watching)
    ragged = replace(TINY, size=6)  # node ids of one and two digits
    for config in (ragged, replace(ragged, objective="ar")):
        trained(tmp_path / config.objective, config)
    ours, theirs = seen["MDMTrainer"], seen["Trainer"]
    assert torch.equal(ours[0], theirs[0])
    assert ours[1] == theirs[1]
    labels = [data[0]["labels"].tolist() for data in (ours[2], theirs[2])]
    assert labels[1][-1] == -100  # what stands behind EOS teaches the baseline nothing
    assert labels[0][-1] == PAD
    assert [one for one in labels[1] if one != -100][-1] == EOS


@pytest.mark.parametrize("backbone", ["gpt2", "llama"])
def test_the_baseline_stays_causal_and_the_method_does_not(tmp_path: Path, backbone: Any) -> None:
    from tenon.core.models.loading import load_model

    ids = torch.randint(5, 31, (1, 12), generator=torch.Generator().manual_seed(0))
    other = ids.clone()
    other[0, -1] = 5 + (other[0, -1] - 4) % 26
    config = replace(TINY, backbone=backbone)
    baseline = load_model(trained(tmp_path / "ar", replace(config, objective="ar"))[0])
    model = MDMForMaskedDiffusion.from_pretrained(trained(tmp_path / "mdm", config)[0]).eval()
    with torch.no_grad():
        assert torch.equal(baseline(ids).logits[:, :-1], baseline(other).logits[:, :-1])
        assert not torch.equal(model(ids).logits[:, 0], model(other).logits[:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_7_14_an_oracle_is_always_right(tmp_path: Path, kind: str) -> None:
    puzzles = puzzles_of(kind, 2 if kind == "sudoku" else None)
    drawn, tokenizer = list(puzzles.generate(0, "test", 5)), puzzle_tokenizer()
    rows = lay_out(tokenizer, [one.prompt for one in drawn], [one.answer for one in drawn], length=row_length(puzzles))

    class Oracle(MDMForMaskedDiffusion):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def predict(self, ids: torch.Tensor) -> torch.Tensor:
            wanted = [one for one in rows.ids if any(torch.equal(one[row != MASK], row[row != MASK]) for row in ids)]
            return torch.nn.functional.one_hot(torch.stack(wanted[: len(ids)]), 31).float() * 20

        device = torch.device("cpu")
        config: Any = type("C", (), {"mask_token_id": MASK})

    solver = Solver(Oracle(), tokenizer, row_length(puzzles), puzzles.longest[1] + 1, DecodeConfig(steps=5))
    with Run.open(tmp_path, config={"kind": kind}) as run:
        table = evaluate_puzzles(run, solver, puzzles, drawn, name="oracle", batch_size=2)
    assert table[0]["strict"] == table[0]["official"] == 1.0
    assert solver.forwards == 15


@pytest.mark.parametrize("objective", ["mdm", "ar"])
def test_a_killed_evaluation_goes_on(tmp_path: Path, objective: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = trained(tmp_path / "training", replace(TINY, objective=objective))
    puzzles = puzzles_of("path", 3)
    drawn = list(puzzles.generate(0, "test", 6))

    def evaluated(path: Path) -> list[dict[str, Any]]:
        with Run.open(path, config={}) as run:
            solver = load_solver(folder, puzzles, DecodeConfig(steps=4), device="cpu")
            return evaluate_puzzles(run, solver, puzzles, drawn, name="test", group="planning_distance", batch_size=2)

    whole = evaluated(tmp_path / "whole")
    assert sum(row["puzzles"] for row in whole[1:]) == whole[0]["puzzles"] == 6
    call, calls = Solver.__call__, 0

    def breaking(self: Solver, *args: Any, **options: Any) -> list[str]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return call(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Solver, "__call__", breaking)
        with pytest.raises(KeyboardInterrupt):
            evaluated(tmp_path / "broken")
    assert evaluated(tmp_path / "broken") == whole
    files = [(tmp_path / name / "answers-test.jsonl").read_text() for name in ("whole", "broken")]
    assert files[0] == files[1]
    assert {"key", "prompt", "predict", "label", "strict", "official", "reason", "forwards"} == json.loads(
        files[0].split("\n")[0]
    ).keys()


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only paths are reversed"):
        PuzzleTraining(kind="sudoku", objective="reverse_ar")
    with pytest.raises(ConfigError, match="one of tiny, base, medium"):
        PuzzleTraining(model="huge")
    folder, _ = trained(tmp_path)
    with pytest.raises(DataError, match="knows 512 positions"):
        load_solver(folder, puzzles_of("path", 40), DecodeConfig())
