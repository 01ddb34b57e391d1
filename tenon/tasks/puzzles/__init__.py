"""Puzzles that take planning, each kind with its generator, its solver and its verifiers (arXiv 2410.14157).

>>> puzzle = next(KINDS["path"]().generate(0, "test", 1))
>>> KINDS["path"]().verify(puzzle.prompt, puzzle.answer).strict
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tenon.tasks.puzzles.puzzle import CHARACTERS, Puzzle, Puzzles, Split, Verdict

__all__ = ["CHARACTERS", "KINDS", "Puzzle", "Puzzles", "Split", "Verdict"]


def _sudoku() -> Puzzles:
    from tenon.tasks.puzzles.sudoku import Sudoku

    return Sudoku()


def _countdown() -> Puzzles:
    from tenon.tasks.puzzles.countdown import Countdown

    return Countdown()


def _sat() -> Puzzles:
    from tenon.tasks.puzzles.sat import Sat

    return Sat()


def _path() -> Puzzles:
    from tenon.tasks.puzzles.paths import Path

    return Path()


KINDS: Mapping[str, Callable[[], Puzzles]] = MappingProxyType(
    {"sudoku": _sudoku, "countdown": _countdown, "sat": _sat, "path": _path}
)
"""Kinds by name; a call imports the kind and gives it in its default size."""
