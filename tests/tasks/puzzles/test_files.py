"""Puzzles as files: written whole, read again as they were, and refused with the rows named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenon.core.errors import DataError
from tenon.tasks.puzzles import KINDS, Puzzles
from tenon.tasks.puzzles.files import load_puzzles, save_puzzles
from tenon.tasks.puzzles.paths import Path as Paths
from tenon.tasks.puzzles.sudoku import Sudoku


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_again(tmp_path: Path, kind: str) -> None:
    puzzles: Puzzles = Sudoku(box=2) if kind == "sudoku" else KINDS[kind]()
    drawn = list(puzzles.generate(3, "train", 6))
    assert save_puzzles(tmp_path / "a.jsonl", drawn) == 6
    assert load_puzzles(tmp_path / "a.jsonl", puzzles) == drawn
    assert load_puzzles(tmp_path / "a.jsonl", puzzles, limit=2) == drawn[:2]
    save_puzzles(tmp_path / "b.jsonl", puzzles.generate(3, "train", 6))
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_a_file_is_there_when_all_of_it_is(tmp_path: Path) -> None:
    def broken() -> object:
        yield from Paths(nodes=3).generate(0, "train", 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_puzzles(tmp_path / "a.jsonl", broken())  # type: ignore[arg-type]
    assert not (tmp_path / "a.jsonl.partial").exists()
    assert not (tmp_path / "a.jsonl").exists()
    assert save_puzzles(tmp_path / "a.jsonl", Paths(nodes=3).generate(0, "train", 2)) == 2


def test_other_formats_are_read(tmp_path: Path) -> None:
    one = next(Paths(nodes=4).generate(0, "train", 1))
    released = tmp_path / "released.jsonl"
    row = {"input": one.prompt, "output": one.answer, "reversed": one.facts["reversed"]}
    released.write_text(json.dumps(row))  # no newline at the end, and none is lost or written
    (found,) = load_puzzles(released, Paths(nodes=4))
    assert (found.key, found.answer, found.facts) == ("released.jsonl/1", one.answer, {"reversed": row["reversed"]})
    assert released.read_text() == json.dumps(row)
    grid = next(Sudoku(box=2).generate(0, "train", 1))
    (tmp_path / "s.csv").write_text(f"quizzes,solutions\n{grid.prompt},{grid.answer}\n")
    assert load_puzzles(tmp_path / "s.csv", Sudoku(box=2))[0].answer == grid.answer


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no puzzle"),
        ("{", "line 1 is not JSON"),
        ("[1]", "line 1 is not an object"),
        ('{"prompt": "0,1-0,1"}', "line 1 has prompt, but no prompt and response"),
        ('{"prompt": 1, "response": "a"}', "must be text"),
        ('{"prompt": "0,1/1,2-0,2", "response": "0,1"}', "1 of 1 rows of .* are no right answers to a path"),
        ('{"prompt": "nonsense", "response": "0,1"}', "1 of 1 rows"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=said):
        load_puzzles(tmp_path / "a.jsonl", Paths(nodes=3))


def test_a_missing_file_and_csv_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a file"):
        load_puzzles(tmp_path / "none.jsonl", Paths(nodes=3))
    (tmp_path / "a.csv").write_text("quizzes,solutions\n")
    with pytest.raises(DataError, match="read for Sudoku alone"):
        load_puzzles(tmp_path / "a.csv", Paths(nodes=3))
