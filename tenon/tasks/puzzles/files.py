"""Puzzles as files: JSON lines with `prompt` and `response`, as trainers read them, and the published formats.

    {"key": "path6-0-train-0", "prompt": "5,9/11,7/...-5,1", "response": "5,6/...", "planning_distance": 3, ...}

A line is a puzzle with its facts; of the released code, `input` and `output` are read, too, and Sudoku also as CSV.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tenon.core.errors import DataError
from tenon.core.files import json_bytes, read_records
from tenon.tasks.puzzles.puzzle import Puzzle, Puzzles

__all__ = ["load_puzzles", "save_puzzles"]

_NAMES = (("prompt", "response"), ("input", "output"))
_SHOWN = 5


def save_puzzles(path: str | Path, puzzles: Iterable[Puzzle]) -> int:
    """Write puzzles, one a line, and say how many; the file is there when all of them are.

    Args:
        path: The file; one that is there is replaced.
        puzzles: As `Puzzles.generate` gives them.
    """
    file, count = Path(path), 0
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    try:
        with open(partial, "wb") as lines:
            for puzzle in puzzles:
                count += 1
                told = {"key": puzzle.key, "prompt": puzzle.prompt, "response": puzzle.answer}
                lines.write(json_bytes(told | puzzle.facts))
            lines.flush()
            os.fsync(lines.fileno())
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)  # of puzzles that could not be drawn, too
    return count


def load_puzzles(path: str | Path, kind: Puzzles, *, limit: int | None = None) -> list[Puzzle]:
    """Read puzzles of one kind and size, and check every answer by the rules.

    Args:
        path: JSON lines as above, or a Sudoku CSV (`read_sudoku_csv`), told by its ending.
        kind: What they must be.
        limit: Read no more than this.

    Raises:
        DataError: There is no such file, or none in it; a line has no prompt or answer; or an answer is not right. The
            first such lines are named.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(
            f"{file} is not a file; give JSON lines with prompt and response (`tenon mdm data` writes such)."
        )
    found, wrong = [], []
    for number, puzzle in enumerate(_read(file, kind), start=1):
        if limit is not None and number > limit:
            break
        try:
            reason = kind.verify(puzzle.prompt, puzzle.answer).reason
        except DataError as error:
            reason = str(error)
        if reason:
            wrong.append(f"{number}: {reason}")
        found.append(puzzle)
    if wrong:
        listed = "; ".join(wrong[:_SHOWN]) + (" ..." if len(wrong) > _SHOWN else "")
        raise DataError(
            f"{len(wrong)} of {len(found)} rows of {file} are no right answers to a {kind.name} ({listed})."
        )
    if not found:
        raise DataError(f"{file} holds no puzzle.")
    return found


def _read(file: Path, kind: Puzzles) -> Iterator[Puzzle]:
    if file.suffix == ".csv":
        from tenon.tasks.puzzles.sudoku import Sudoku
        from tenon.tasks.puzzles.sudoku_csv import read_sudoku_csv

        if not isinstance(kind, Sudoku):
            raise DataError(f"{file} is CSV, which is read for Sudoku alone; give JSON lines with prompt and response.")
        yield from read_sudoku_csv(file, box=kind.box)
        return
    for number, row in read_records(file):
        yield _puzzle(row, f"{file.name}/{number}", f"{file} line {number}")


def _puzzle(row: dict[str, Any], key: str, where: str) -> Puzzle:
    for names in _NAMES:
        if set(names) <= row.keys():
            prompt, answer = (row[name] for name in names)
            if not (isinstance(prompt, str) and isinstance(answer, str)):
                raise DataError(f"{where}: {names[0]} and {names[1]} must be text.")
            facts = {name: value for name, value in row.items() if name not in ("key", *names)}
            return Puzzle(str(row.get("key", key)), prompt, answer, facts)
    raise DataError(f"{where} has {', '.join(row) or 'nothing'}, but no prompt and response; name the columns so.")
