"""Read published Sudoku files: CSV with the columns `quizzes` and `solutions`, as in Kaggle's "1 million Sudoku games".

    quizzes,solutions
    004300209005009001070060043006002087190007400050083000600000105003508690042910300,8643712593258497619712...

Rows are read one at a time, so a file may be larger than memory.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tenon.core.errors import ConfigError, DataError
from tenon.tasks.puzzles.puzzle import Puzzle
from tenon.tasks.puzzles.sudoku import count_solutions, find_fault

__all__ = ["SudokuReport", "read_sudoku_csv"]

_COLUMNS = ("quizzes", "solutions")
_EXAMPLES = 10


@dataclass
class SudokuReport:
    """What the rows of a file are; `read_sudoku_csv` fills it while it reads."""

    rows: int = 0
    """Rows read so far."""
    several: int = 0
    """Rows whose quiz has several solutions; they are puzzles, but their label is only one of the right answers."""
    unsolvable: int = 0
    """Rows whose quiz has no solution; left out."""
    mislabelled: int = 0
    """Rows whose quiz has a solution, but not the one in the file; left out."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """The first few rows of every fault, in words."""

    def __str__(self) -> str:
        """One line of counts, then the examples."""
        line = f"{self.rows} rows: {self.several} with several solutions, {self.unsolvable} without a solution, "
        lines = [f"{line}{self.mislabelled} with a wrong solution"]
        return "\n".join([*lines, *(f"  {text}" for texts in self.examples.values() for text in texts)])

    def note(self, fault: str, text: str) -> None:
        """Count a faulty row under the field of that name, and keep its text if it is among the first."""
        setattr(self, fault, getattr(self, fault) + 1)
        kept = self.examples.setdefault(fault, [])
        if len(kept) < _EXAMPLES:
            kept.append(text)


def read_sudoku_csv(
    path: str | Path, *, box: int = 3, report: SudokuReport | None = None, check_unique: bool = True
) -> Iterator[Puzzle]:
    """Read the puzzles of a file, in its order.

    A quiz with several solutions is a puzzle like others: strict scoring takes any of them. A row whose quiz has no
    solution, or whose solution is not one, is left out and counted in `report`; without a report it is an error.

    Args:
        path: A CSV file with a header; columns besides `quizzes` and `solutions` are ignored.
        box: Cells along a box: 3 for 81 characters a quiz, 2 for 16.
        report: Is filled while the rows are read.
        check_unique: Whether to look for a second solution (a few tenths of a millisecond a row).

    Yields:
        Puzzles with the facts `size`, `givens` and, if it was checked, `solutions`: 1, or 2 for two or more.

    Raises:
        DataError: There is no such file, a column is missing, or a row cannot be read; and, without a report, a quiz
            has no solution or another one. The message names the row; the first after the header is row 1.
    """
    if box not in (2, 3):
        raise ConfigError(f"box is {box}; it must be 2 (16 characters a quiz) or 3 (81).")
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{file} is not a file; give a CSV file with the columns {' and '.join(_COLUMNS)}.")
    return _read(file, box, report or SudokuReport(), report is not None, check_unique)


def _read(file: Path, box: int, report: SudokuReport, is_lenient: bool, check_unique: bool) -> Iterator[Puzzle]:
    for number, (quiz, solution) in enumerate(_rows(file), start=1):
        where = f"{file} row {number}"
        for column, value in zip(_COLUMNS, (quiz, solution), strict=True):
            _check_cells(value, box, f"{where}, column {column!r}", blanks=column == "quizzes")
        report.rows = number
        fault = find_fault(quiz, solution)
        if fault:
            name = "mislabelled" if count_solutions(quiz, 1) else "unsolvable"
            reason = f"its solution is wrong: {fault}" if name == "mislabelled" else "its quiz has no solution"
            report.note(name, f"row {number}: {reason}")
            if not is_lenient:
                raise DataError(
                    f"{where}: {reason}. Repair it, or give a report, to leave out such rows and count them."
                )
            continue
        facts = {"size": box * box, "givens": len(quiz) - quiz.count("0")}
        if check_unique:
            facts["solutions"] = count_solutions(quiz, 2)
            if facts["solutions"] > 1:
                report.note("several", f"row {number}: its quiz has several solutions")
        yield Puzzle(f"{file.name}/{number}", quiz, solution, facts)


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the two columns; `number` counts for messages as the caller does."""
    number = 0
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines, strict=True)
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in _COLUMNS if name not in header]
            if missing:
                found = ", ".join(header) or "none"
                raise DataError(
                    f"{file} has no column {' and '.join(map(repr, missing))} (columns: {found}). "
                    "Its first line must name the columns quizzes and solutions."
                )
            places = [header.index(name) for name in _COLUMNS]
            for row in reader:
                number += 1
                if len(row) != len(header):
                    raise DataError(
                        f"{file} row {number} has {len(row)} columns, the header {len(header)}. Was the file cut off?"
                    )
                yield row[places[0]].strip(), row[places[1]].strip()
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{file} row {number + 1} cannot be read ({error}); is this a CSV file in UTF-8?") from error


def _check_cells(value: str, box: int, where: str, *, blanks: bool) -> None:
    size = box * box
    if len(value) != size * size:
        hint = " Did a spreadsheet strip its leading zeros?" if blanks and len(value) < size * size else ""
        raise DataError(f"{where} has {len(value)} characters; with box={box} it must have {size * size}.{hint}")
    allowed = "0123456789"[0 if blanks else 1 : size + 1]
    for cell, character in enumerate(value):
        if character not in allowed:
            zero = ", or 0 for a blank" if blanks else ""
            raise DataError(
                f"{where} has {character!r} at place {cell + 1}; it must be a digit from 1 to {size}{zero}."
            )
