"""Puzzles from the command line, and an answer as it fills in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tenon.core.errors import DataError

if TYPE_CHECKING:
    from tenon.methods.mdm.answer import Solver
    from tenon.tasks.puzzles import Puzzles

__all__ = ["frames", "read_puzzles"]

OPEN = "."
"""How a place is shown that is still masked."""


def read_puzzles(given: Sequence[str]) -> list[str]:
    """Give puzzles as they were typed, or those of a file, one a line.

    Raises:
        DataError: A file holds none.
    """
    found: list[str] = []
    for one in given:
        if Path(one).is_file():
            lines = [line.strip() for line in Path(one).read_text(encoding="utf-8").splitlines() if line.strip()]
            if not lines:
                raise DataError(f"{one} holds no puzzle; write one a line.")
            found += lines
        else:
            found.append(one)
    return found


def frames(solver: Solver, puzzles: Puzzles, prompt: str, *, key: int, seed: int) -> Iterator[str]:
    """Give the answer after each step, as text; nothing for a model that writes from left to right.

    Args:
        solver: Writes.
        puzzles: The kind; a Sudoku is shown as a grid.
        prompt: The puzzle.
        key: Names its noise.
        seed: Of the noise.
    """
    if solver.is_causal:
        return
    rows, found = solver.write([prompt], [key], seed=seed, keep_history=True)
    tokenizer, is_written = solver.tokenizer, rows.is_maskable[0]
    for step, text in enumerate(found.history, 1):
        written = text[0].cpu()[is_written].tolist()
        end = written.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in written else len(written)
        shown = "".join(
            OPEN if token == tokenizer.mask_token_id else tokenizer.decode([token], skip_special_tokens=True)
            for token in written[:end]
        )
        yield f"step {step}:\n{_grid(shown)}" if puzzles.name == "sudoku" else f"step {step:>3}: {shown}"


def _grid(text: str) -> str:
    """Cut a half-written Sudoku into lines; `Sudoku.render` would call a given that is still masked a changed one."""
    side = round(len(text) ** 0.5)
    return "\n".join(text[start : start + side] for start in range(0, len(text), side)) if side else text
