"""The commands: train and eval by themselves, resumed, and refusing in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError, RunConflict
from tenon.methods.mdm.cli import app
from tenon.methods.mdm.config import DecodeConfig, EvalConfig
from tenon.tasks.puzzles.paths import turned

SIZES = ("size=3", "rows=30", "layers=1", "hidden=16", "heads=2", "train.steps=2", "train.batch_size=4")


def call(*words: str) -> Any:
    return CliRunner().invoke(app, [*words])


def train(folder: Path, objective: str = "mdm") -> Any:
    sets = [part for one in (*SIZES, "train.device=cpu", f"objective={objective}") for part in ("--set", one)]
    return call("train", "path", *sets, "--out", str(folder), "--json")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("mdm") / "run"
    told = train(folder)
    assert told.exit_code == 0, told.output
    assert (folder / "report.html").is_file()
    return str(json.loads(told.stdout)["model"])


def test_eval_also_compares_approximate_ways(tmp_path: Path, model: str) -> None:
    sets = ["--set", "orders=topk,random", "--set", "steps=8", "--set", "thresholds=0.001,1", "--set", "blocks=4"]
    told = call("eval", model, "--puzzles", "5", *sets, "--out", str(tmp_path), "--json")
    assert told.exit_code == 0, told.output
    rows = json.loads(told.stdout)["decodings"]
    ways = [(row["order"], row["threshold"], row["block"], row["forwards"]) for row in rows]
    assert ways == [
        ("topk", None, None, 8), ("random", None, None, 8), ("topk", None, 4, 8), ("topk", 0.001, None, 1),
        ("topk", 1.0, None, 8), ("random", None, 4, 8),
    ]  # fmt: skip
    assert "above a threshold" in (tmp_path / "figures" / "decodings.svg").read_text()


def test_eval_compares_orders_and_steps_and_writes_results(tmp_path: Path, model: str) -> None:
    sets = ["--set", "orders=topk,random", "--set", "steps=1,3", "--set", "revise=true,false"]
    results = tmp_path / "results.json"
    command = [
        "eval",
        model,
        "--puzzles",
        "5",
        *sets,
        "--out",
        str(tmp_path / "run"),
        "--results",
        str(results),
        "--json",
    ]
    told = call(*command)
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    ways = [(row["order"], row["steps"], row["revise"]) for row in found["decodings"]]
    assert ways == [("topk", 1, True), ("topk", 3, True), ("topk", 3, False), ("random", 1, True), ("random", 3, True)]
    assert sum(row["puzzles"] for row in found["groups"]) == 5
    assert [row["forwards"] for row in found["decodings"]] == [1, 3, 3, 1, 3]
    assert json.loads(results.read_text())["decodings"] == found["decodings"]
    again = call(*command)  # answers nothing anew
    assert json.loads(again.stdout) == found


@pytest.mark.parametrize("objective", ["ar", "reverse_ar"])
def test_the_baselines_are_measured_by_the_same_command(tmp_path: Path, objective: str) -> None:
    assert train(tmp_path / "run", objective).exit_code == 0
    told = call("eval", str(tmp_path / "run" / "model"), "--puzzles", "4", "--out", str(tmp_path / "eval"), "--json")
    assert told.exit_code == 0, told.output
    (row,) = json.loads(told.stdout)["decodings"]
    assert row["order"] == "left to right"


def test_bad_input_is_told(tmp_path: Path, model: str) -> None:
    cases: list[tuple[list[str], type[Exception], str]] = [
        (["train", "chess"], ConfigError, "'chess'"),
        (["train", "sudoku", "--preset", "small-path"], ConfigError, "is for path, but sudoku came"),
        (["eval", "nano-lm"], DataError, "does not say what it was trained on"),
        (["eval", model, "--set", "steps=0"], ConfigError, "1 or more"),
        (["train", "path", "--set", "size=4", "--out", str(Path(model).parent)], RunConflict, "other settings"),
    ]
    for words, error, message in cases:
        told = call(*words, *([] if "--out" in words else ["--out", str(tmp_path / "run")]))
        assert isinstance(told.exception, error), (words, told.output, told.exception)
        assert message in str(told.exception)


def test_ways_of_writing_are_told_apart_only_where_they_differ() -> None:
    ways = EvalConfig(orders=("topk", "random"), steps=(1, 4), revise=(True, False)).decodings()
    assert ways == [
        DecodeConfig(order="topk", steps=1),
        DecodeConfig(order="topk", steps=4),
        DecodeConfig(order="topk", steps=4, revise=False),
        DecodeConfig(order="random", steps=1),
        DecodeConfig(order="random", steps=4),
    ]
    assert turned(turned("1,6/6,5")) == "1,6/6,5"
