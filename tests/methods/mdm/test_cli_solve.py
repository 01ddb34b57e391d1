"""`tenon mdm solve`: every puzzle is checked before any work, answered once, judged by the rules, and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError, RunConflict
from tenon.core.run import Run
from tenon.methods.mdm.answer import load_solver, trained_for
from tenon.methods.mdm.cli import app
from tenon.methods.mdm.config import DecodeConfig
from tenon.methods.mdm.kinds import puzzles_of
from tenon.methods.mdm.solve import MOST_SOLUTIONS, read_puzzles, solve_puzzles, told_of

SMALL = puzzles_of("sudoku", 2)
PUZZLES = [puzzle.prompt for puzzle in SMALL.generate(0, "test", 5)]
NONE, SEVERAL = "11" + "0" * 14, "1" + "0" * 15


def call(*words: str) -> Any:
    return CliRunner().invoke(app, [*words])


def train(folder: Path, kind: str, size: int, *sets: str) -> str:
    shared = ("rows=30", "layers=1", "hidden=16", "heads=2", "train.steps=2", "train.batch_size=4", "train.device=cpu")
    words = [part for one in (f"size={size}", *shared, *sets) for part in ("--set", one)]
    told = call("train", kind, *words, "--out", str(folder), "--json")
    assert told.exit_code == 0, told.output
    return str(json.loads(told.stdout)["model"])


@pytest.fixture(scope="module")
def sudoku(tmp_path_factory: pytest.TempPathFactory) -> str:
    return train(tmp_path_factory.mktemp("sudoku") / "run", "sudoku", 2)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return train(tmp_path_factory.mktemp("path") / "run", "path", 3)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_puzzles_are_solved_shown_and_kept(tmp_path: Path, sudoku: str) -> None:
    (tmp_path / "p.txt").write_text("\n".join([*PUZZLES, NONE, SEVERAL]) + "\n")
    words = ("solve", sudoku, "p.txt", "--set", "steps=4", "--show", "2", "--out", "run")
    told = call(*words)
    assert told.exit_code == 0, told.output
    assert len(told.stdout.splitlines()) == 7
    assert told.stderr.count("step 3 of 4") == 2
    assert "1 of 7 puzzles with no solution (puzzle 6)" in told.stderr
    assert "1 of 7 puzzles with several solutions (puzzle 7)" in told.stderr
    figures = {file.name for file in Path("run/figures").glob("*.svg")}
    assert figures == {"filling-1.svg", "order-1.svg", "filling-2.svg", "order-2.svg"}
    page = Path("run/report.html").read_text()
    assert page.count('class="moving"') == page.count('class="still"') == 2
    again = call(*words, "--json")  # nothing is solved anew, and all is told
    assert "step" not in again.stderr
    solved = json.loads(again.stdout)["solved"]
    assert [row["puzzle"] for row in solved] == [*PUZZLES, NONE, SEVERAL]
    assert [row["solutions"] for row in solved] == [1] * 5 + [0, SMALL_SOLUTIONS_OF_SEVERAL]
    assert all(row["right"] == SMALL.verify(row["puzzle"], row["answer"]).strict for row in solved)
    assert all(len(row["order"]) >= 16 and set(row["order"]) <= {1, 2, 3, 4} for row in solved)
    with pytest.raises(RunConflict, match="other settings"):
        raise call("solve", sudoku, PUZZLES[0], "--set", "steps=4", "--out", "run").exception


SMALL_SOLUTIONS_OF_SEVERAL = 72
"""A quarter of the 288 grids of 4x4 cells have a 1 in the corner."""


def test_every_question_has_a_folder_of_its_own(path: str) -> None:
    (first,) = (puzzle.prompt for puzzle in puzzles_of("path", 3).generate(0, "test", 1))
    for words in ((first,), (first, first), (first, "--seed", "1"), (first, "--set", "steps=4"), (first,)):
        told = call("solve", path, *words)
        assert told.exit_code == 0, told.output
    assert len(list(Path("runs/mdm-solve").iterdir())) == 4


@pytest.mark.parametrize("kept", [2, 3])  # between two batches, and within one
def test_a_killed_run_goes_on_to_the_same_rows(tmp_path: Path, sudoku: str, kept: int) -> None:
    kind, _ = trained_for(sudoku)
    solver = load_solver(sudoku, kind, DecodeConfig(), device="cpu")
    with Run.open(tmp_path / "whole", config={}) as run:
        whole = solve_puzzles(run, solver, kind, PUZZLES, batch_size=2)
    with Run.open(tmp_path / "cut", config={}) as run:
        append = run.append

        def dies(name: str, row: Any) -> bool:
            if len(run.rows(name)) == kept:
                raise KeyboardInterrupt
            return append(name, row)

        run.append = dies  # type: ignore[method-assign]  # a death in the middle
        with pytest.raises(KeyboardInterrupt):
            solve_puzzles(run, solver, kind, PUZZLES, batch_size=2)
    with Run.open(tmp_path / "cut", config={}) as run:
        assert len(run.rows("solved")) == kept
        assert solve_puzzles(run, solver, kind, PUZZLES, batch_size=2) == whole
    assert (tmp_path / "cut/solved.jsonl").read_bytes() == (tmp_path / "whole/solved.jsonl").read_bytes()
    alone = solver([PUZZLES[3]], [3])  # what a puzzle's answer is does not depend on its batch
    assert whole[3]["answer"] == alone[0]


def test_with_a_threshold_a_puzzle_has_its_own_steps_alone(tmp_path: Path, sudoku: str) -> None:
    kind, _ = trained_for(sudoku)
    solver = load_solver(sudoku, kind, DecodeConfig(threshold=0.5), device="cpu")

    def predict(ids: Tensor) -> Tensor:
        """Be sure of some digits, differently in every text."""
        sure = torch.sin(ids.sum(1, keepdim=True) * 7.0 + torch.arange(ids.shape[1]))
        return 4 * (1 + sure)[..., None] * torch.nn.functional.one_hot(ids % 4 + 6, 31)

    solver.model.predict = predict
    rows = []
    for name, size in (("batch", 5), ("alone", 1)):
        with Run.open(tmp_path / name, config={}) as run:
            rows.append(solve_puzzles(run, solver, kind, PUZZLES, batch_size=size))
    assert rows[0] == rows[1]
    assert len({len(row["frames"]) for row in rows[0]}) > 1
    assert all("." not in row["frames"][-1] for row in rows[0])


def test_sudokus_may_be_written_as_people_do(tmp_path: Path) -> None:
    puzzle = PUZZLES[0]
    rows = [puzzle[start : start + 4] for start in range(0, 16, 4)]
    dotted, framed = puzzle.replace("0", "."), SMALL.render(puzzle)  # type: ignore[attr-defined]  # it is a Sudoku
    (tmp_path / "grids.txt").write_text("\n".join([*rows, "", *rows]).replace("0", "_"))
    (tmp_path / "framed.txt").write_text(framed)
    assert read_puzzles([dotted], SMALL) == [puzzle]
    assert read_puzzles(rows, SMALL) == [puzzle]
    assert read_puzzles(["\n".join(rows)], SMALL) == [puzzle]
    assert read_puzzles(["grids.txt", "framed.txt", puzzle], SMALL) == [puzzle] * 4


def test_a_model_that_writes_from_left_to_right_shows_no_order(tmp_path: Path) -> None:
    model = train(tmp_path / "ar", "sudoku", 2, "objective=ar")
    told = call("solve", model, PUZZLES[0], "--out", "run", "--json")
    assert told.exit_code == 0, told.output
    (row,) = json.loads(told.stdout)["solved"]
    assert row["order"] == []
    assert "nothing fills in" in Path("run/report.html").read_text()
    with pytest.raises(ConfigError, match="writes from left to right"):
        raise call("solve", model, PUZZLES[0], "--set", "steps=4").exception


def test_other_kinds_count_whether_there_is_a_solution(tmp_path: Path, path: str) -> None:
    told = call("solve", path, "1,2/2,3/4,5/5,0-1,3", "1,2/2,3/4,5/5,0-1,0", "--json")
    assert [row["solutions"] for row in json.loads(told.stdout)["solved"]] == [None, 0]
    assert "puzzles with no solution (puzzle 2)" in told.stderr


def test_right_is_what_the_rules_say_however_many_solutions_there_are() -> None:
    rows = [
        {"key": str(key), "right": True, "solutions": count} for key, count in enumerate((1, 2, MOST_SOLUTIONS, None))
    ]
    assert told_of(rows) == [
        "4 of 4 right by the rules.",
        "2 of 4 puzzles with several solutions (puzzle 1, 2): any of them is right.",
    ]


def test_bad_input_is_told_before_any_work(tmp_path: Path, sudoku: str, path: str) -> None:
    (tmp_path / "some.txt").write_text(f"{PUZZLES[0]}\n12345\n{PUZZLES[1]}\n")
    (tmp_path / "none.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes("\xe9".encode("latin-1"))
    (tmp_path / "cut.txt").write_text("1000\n0200\n0000\n")
    big = next(puzzles_of("sudoku", 3).generate(0, "test", 1)).prompt
    large = next(puzzles_of("path", 6).generate(0, "test", 1)).prompt
    cases: list[tuple[list[str], type[Exception], str]] = [
        ([sudoku, "some.txt"], DataError, "1 of 3 are no puzzles for this model"),
        ([sudoku, "some.txt"], DataError, "some.txt line 2: "),
        ([sudoku, "none.txt"], DataError, "none.txt holds no puzzle"),
        ([sudoku, "latin.txt"], DataError, "latin.txt cannot be read"),
        ([sudoku, "cut.txt"], DataError, "the last 3 lines: "),
        ([sudoku, "absent.txt"], DataError, "argument 1, which is no file either"),
        ([sudoku, big], DataError, "81 characters; with box=2 it must have 16"),
        ([sudoku, "1,2/2,3-1,3"], DataError, "Sudoku(box=2"),
        ([sudoku, " "], DataError, "holds no puzzle"),
        ([path, PUZZLES[0]], DataError, "no path puzzle"),
        ([path, large], DataError, "has 10 edges; Path(nodes=3) has 4"),
        ([path, "11,12/12,13/14,15/15,10-11,13"], DataError, "has 29 characters; the longest"),
        ([path, "x" * 5000], DataError, "no path puzzle"),
        ([sudoku, PUZZLES[0], "--set", "steps=0"], ConfigError, "steps is 0; it must be 1 or more"),
        ([sudoku, PUZZLES[0], "--set", "block=1", "--set", "steps=4"], DataError, "blocks of 1, but"),
        (["nano-lm", PUZZLES[0]], DataError, "does not say what it was trained on"),
        (["nowhere", PUZZLES[0]], DataError, "nowhere"),
    ]
    for words, error, message in cases:
        told = call("solve", *words)
        assert isinstance(told.exception, error), (words, told.output, told.exception)
        assert message in str(told.exception), (message, str(told.exception))
    assert not Path("runs").exists()
