"""The public file of Sudokus: read in its order, one row at a time, and its faulty rows counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.tasks.puzzles.puzzle import Puzzle
from tenon.tasks.puzzles.sudoku import Sudoku
from tenon.tasks.puzzles.sudoku_csv import SudokuReport, read_sudoku_csv

# The first row of the public file.
QUIZ = "004300209005009001070060043006002087190007400050083000600000105003508690042910300"
SOLUTION = "864371259325849761971265843436192587198657432257483916689734125713528694542916378"
SEVERAL = "0" * 70 + SOLUTION[70:]


def written(path: Path, *rows: str, header: str = "quizzes,solutions") -> Path:
    file = path / "sudoku.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def test_a_file_is_read_in_its_order(tmp_path: Path) -> None:
    own = list(Sudoku().generate(0, "test", 3))
    file = written(tmp_path, f"{QUIZ},{SOLUTION}", *(f"{puzzle.prompt},{puzzle.answer}" for puzzle in own))
    first, *others = read_sudoku_csv(file)
    assert first == Puzzle("sudoku.csv/1", QUIZ, SOLUTION, {"size": 9, "givens": 35, "solutions": 1})
    assert [(puzzle.prompt, puzzle.answer) for puzzle in others] == [(puzzle.prompt, puzzle.answer) for puzzle in own]
    assert "solutions" not in next(read_sudoku_csv(file, check_unique=False)).facts


def test_other_columns_a_byte_order_mark_and_small_grids(tmp_path: Path) -> None:
    file = tmp_path / "small.csv"
    file.write_bytes(b"\xef\xbb\xbfid,solutions,quizzes\r\n7,4132231414233241,0002001004203000\r\n")
    (puzzle,) = read_sudoku_csv(file, box=2)
    assert (puzzle.prompt, puzzle.answer) == ("0002001004203000", "4132231414233241")


def test_a_file_is_streamed(tmp_path: Path) -> None:
    rows = read_sudoku_csv(written(tmp_path, f"{QUIZ},{SOLUTION}", f"{QUIZ},{SOLUTION}", "junk,junk"))
    assert [next(rows).prompt, next(rows).prompt] == [QUIZ, QUIZ]  # the third row has not been looked at
    with pytest.raises(DataError, match="row 3"):
        next(rows)


def test_faulty_rows_are_counted(tmp_path: Path) -> None:
    wrong = SOLUTION.translate(str.maketrans("12", "21"))
    file = written(
        tmp_path,
        f"{QUIZ},{SOLUTION}",
        f"{SEVERAL},{SOLUTION}",
        f"{'11' + '0' * 79},{SOLUTION}",
        f"{QUIZ},{wrong}",
        f"{QUIZ},{SOLUTION}",
    )
    report = SudokuReport()
    puzzles = list(read_sudoku_csv(file, report=report))
    assert [puzzle.key for puzzle in puzzles] == ["sudoku.csv/1", "sudoku.csv/2", "sudoku.csv/5"]
    assert [puzzle.facts["solutions"] for puzzle in puzzles] == [1, 2, 1]
    assert (report.rows, report.several, report.unsolvable, report.mislabelled) == (5, 1, 1, 1)
    assert str(report).splitlines() == [
        "5 rows: 1 with several solutions, 1 without a solution, 1 with a wrong solution",
        "  row 2: its quiz has several solutions",
        "  row 3: its quiz has no solution",
        "  row 4: its solution is wrong: a given was changed at row 1, column 7",
    ]
    with pytest.raises(DataError, match="row 3: its quiz has no solution"):
        list(read_sudoku_csv(file))  # without a report nothing is left out in silence


def test_a_report_keeps_a_few_examples_only(tmp_path: Path) -> None:
    report = SudokuReport()
    list(read_sudoku_csv(written(tmp_path, *[f"{SEVERAL},{SOLUTION}"] * 15), report=report))
    assert report.several == 15
    assert len(report.examples["several"]) == 10


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{QUIZ[2:]},{SOLUTION}", "row 2, column 'quizzes' has 79 characters.* strip its leading zeros"),
        (f"{QUIZ},{SOLUTION}9", "row 2, column 'solutions' has 82 characters; with box=3 it must have 81"),
        (f"{'.' + QUIZ[1:]},{SOLUTION}", r"row 2, column 'quizzes' has '\.' at place 1; .* or 0 for a blank"),
        (f"{QUIZ},{QUIZ}", "row 2, column 'solutions' has '0' at place 1; it must be a digit from 1 to 9"),
        (QUIZ, "row 2 has 1 columns, the header 2. Was the file cut off"),
        ("", "row 2 has 0 columns"),
        (f'"{QUIZ},{SOLUTION}', "row 2 cannot be read"),
    ],
)
def test_rows_that_cannot_be_read(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_sudoku_csv(written(tmp_path, f"{QUIZ},{SOLUTION}", row), report=SudokuReport()))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a file; give a CSV file with the columns quizzes and solutions"):
        read_sudoku_csv(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"has no column 'quizzes' and 'solutions' \(columns: puzzle, solution\)"):
        list(read_sudoku_csv(written(tmp_path, header="puzzle,solution")))
    with pytest.raises(ConfigError, match="box is 4"):
        read_sudoku_csv(written(tmp_path), box=4)
    (tmp_path / "latin.csv").write_bytes(b"quizzes,solutions\n\xff\xfe,1\n")
    with pytest.raises(DataError, match=r"cannot be read .* is this a CSV file in UTF-8"):
        list(read_sudoku_csv(tmp_path / "latin.csv"))
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(DataError, match="columns: none"):
        list(read_sudoku_csv(tmp_path / "empty.csv"))
