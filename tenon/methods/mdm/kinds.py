"""Kinds of puzzles by name and size, what a row of them needs, and by what a file of them is known; without torch."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenon.core.commandline import say
from tenon.core.errors import ConfigError
from tenon.tasks.puzzles import KINDS, Puzzle, Puzzles
from tenon.tasks.puzzles.files import load_puzzles
from tenon.tasks.puzzles.sudoku import Sudoku, count_solutions

__all__ = ["puzzles_of", "read_given", "row_length"]

_SIZE = {"sudoku": "box", "countdown": "numbers", "sat": "variables", "path": "nodes"}
"""The field that says how large a puzzle is."""


def puzzles_of(kind: str, size: int | None) -> Puzzles:
    """Give a kind of puzzle in a size.

    Args:
        kind: sudoku, countdown, sat or path.
        size: See `PuzzleTraining.size`.

    Raises:
        ConfigError: There is no such kind, or not in this size.
    """
    if kind not in KINDS:
        raise ConfigError(f"There is no kind of puzzle {kind!r}; the kinds are {', '.join(KINDS)}.")
    made: Any = KINDS[kind]()
    found: Puzzles = made if size is None else replace(made, **{_SIZE[kind]: size})
    return found


def row_length(puzzles: Puzzles) -> int:
    """Give the length of a row: the longest prompt and answer, SEP and EOS [tokens]."""
    return sum(puzzles.longest) + 2


def read_given(data: Path | None, puzzles: Puzzles, limit: int) -> tuple[list[Puzzle] | None, dict[str, str]]:
    """Read a file of puzzles to learn from, and give them with what a run on them is told apart by: the file's hash.

    How many of them have several solutions is told: of these, one is learnt, and any is right.

    Args:
        data: As `load_puzzles` reads it; none gives none.
        puzzles: What they must be.
        limit: Read no more.

    Raises:
        DataError: There is no such file, or it has faults.
    """
    if data is None:
        return None, {}
    found = load_puzzles(data, puzzles, limit=limit)
    if isinstance(puzzles, Sudoku):
        several = sum(int(one.facts.get("solutions") or count_solutions(one.prompt, 2)) > 1 for one in found)
        if several:
            say(f"{several:,} of {len(found):,} puzzles in {data} have several solutions; each is taught one of them.")
    with open(data, "rb") as file:
        return found, {"data": hashlib.file_digest(file, "sha256").hexdigest()}
