"""Sudoku of 9x9 and 4x4 cells: drawn with exactly one solution, solved, judged and shown.

    >>> puzzle = Sudoku(box=2).draw(0, "train", 0)
    >>> len(puzzle.prompt), len(puzzle.answer), puzzle.facts["size"]
    (16, 16, 4)

A prompt has one character per cell, row by row, "0" where it is blank; the answer is the whole grid, givens included
[code]. Splits are disjoint by grid, not only by puzzle: `split_of` says where the solution belongs, whatever the seed.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from tenon.core.errors import ConfigError, DataError, require
from tenon.core.seeds import derive
from tenon.tasks.puzzles.puzzle import Puzzle, Split, Verdict
from tenon.tasks.puzzles.sudoku_solver import Board, board, dig, draw_grid, narrow, place, solutions

__all__ = ["Sudoku", "count_solutions", "find_fault", "split_of"]

_GIVENS = {2: (5, 7), 3: (32, 36)}
"""Givens by box size, if none are asked for: about 6 [ours], about 34 [inferred from the public file's sample row]."""
_FEWEST_GIVENS = {2: 4, 3: 17}
"""With fewer givens no puzzle has one solution (9x9: arXiv 1201.0749; 4x4: by exhaustion)."""
_HELD_OUT_GRIDS = 29
"""4x4 grids for test, and again for valid, of 288 [ours: a tenth each]."""
_MOST_GRIDS = 200
"""Grids that are dug in vain for one puzzle before we give up."""
_MOST_REPEATS = 1000
"""Draws of a puzzle that was there before, one after the other, before we say that there are no more."""
_TIMES = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, kw_only=True)
class Sudoku:
    """Sudoku of one size; see `Puzzles`."""

    box: int = 3
    """Cells along a box: 3 makes 9x9 grids [paper], 2 makes 4x4 grids with the digits 1 to 4 [ours]."""
    givens: tuple[int, int] | None = None
    """Fewest and most givens, drawn evenly; None takes 32 to 36 for 9x9 [inferred], 5 to 7 for 4x4 [ours]."""

    def __post_init__(self) -> None:
        require(self.box in _GIVENS, self, "box", "2 (4x4 cells) or 3 (9x9 cells)")
        if self.givens is not None:
            fewest, most = _FEWEST_GIVENS[self.box], self.box**4 - 1
            ok = len(self.givens) == 2 and fewest <= self.givens[0] <= self.givens[1] <= most
            require(ok, self, "givens", f"two numbers in ascending order, both from {fewest} to {most}")

    @property
    def name(self) -> str:
        """`sudoku`, whatever the size."""
        return "sudoku"

    @property
    def size(self) -> int:
        """Cells of a row, and number of digits."""
        return self.box**2

    @property
    def longest(self) -> tuple[int, int]:
        """Characters of every prompt and of every answer."""
        return self.size**2, self.size**2

    def generate(self, seed: int, split: Split, count: int) -> Iterator[Puzzle]:
        """Draw `count` different puzzles of a split; see `draw`. Fewer puzzles are the first of more.

        A puzzle that was there before is drawn again, under the same index. So puzzle `index` depends on those before
        it; with 9x9 that never happens in practice, and whoever resumes may go on with `draw`.

        Raises:
            ConfigError: An unknown split, a negative count, or givens that cannot be reached; while drawing: there
                are not so many different puzzles.
        """
        _check_split(split)
        if count < 0:
            raise ConfigError(f"count is {count}; it must be 0 or more.")
        return self._generate(seed, split, count)

    def draw(self, seed: int, split: Split, index: int, attempt: int = 0) -> Puzzle:
        """Draw one puzzle, a function of the arguments alone.

        A full grid of the split is drawn: 4x4, evenly, of all; 9x9, by random filling (`draw_grid`), never by
        transforming stored grids. Then cells are blanked in random order wherever the solution stays the only one.

        Args:
            seed: Base seed.
            split: Whose grids to use.
            index: Number of the puzzle within the split.
            attempt: Number of the draw for this index; `generate` counts up where a puzzle was there before.

        Returns:
            The puzzle with the facts `size`, `givens`, and `singles`: do naked and hidden singles alone solve it?

        Raises:
            ConfigError: An unknown split, or no grid could be dug down to the givens.
        """
        _check_split(split)
        on = board(self.box)
        least, most = self.givens or _GIVENS[self.box]
        rng = random.Random(derive(seed, "sudoku", self.box, least, most, split, index, attempt))
        for _ in range(_MOST_GRIDS):
            grid = _draw_grid_of(on, split, rng)
            solution = on.encode(grid)
            givens = dig(on, solution, rng.sample(range(on.cells), on.cells), rng.randint(least, most))
            if least <= givens.bit_count() <= most:
                singles = narrow(on, place(on, givens)) == solution
                facts = {"size": self.size, "givens": givens.bit_count(), "singles": singles}
                key = f"sudoku{self.size}-{least}-{most}-{seed}-{split}-{index}" + (f".{attempt}" if attempt else "")
                return Puzzle(key, on.decode(givens), grid, facts)
        raise ConfigError(
            f"Sudoku.givens is {least} to {most}, but none of {_MOST_GRIDS} grids could be dug down to {most} givens "
            "with one solution; ask for more givens."
        )

    def solve(self, prompt: str) -> str | None:
        """Give the only solution; None where there is none, and where there are several (`count_solutions` tells).

        Raises:
            DataError: The prompt is no Sudoku of this size.

        >>> Sudoku(box=2).solve("0002001004203000")
        '4132231414233241'
        """
        on = self._board_of(prompt)
        found = list(itertools.islice(solutions(on, place(on, on.encode(prompt))), 2))
        return on.decode(found[0]) if len(found) == 1 else None

    def verify(self, prompt: str, text: str) -> Verdict:
        """Judge a grid.

        Official: every character is that of the only solution [code]; a puzzle with several has no label, so nothing is
        officially right. Strict: a valid grid that keeps the givens [ours].

        Raises:
            DataError: The prompt is no Sudoku of this size.

        >>> Sudoku(box=2).verify("0002001004203000", "4132231414232341").reason
        'a given was changed at row 4, column 1'
        """
        self._board_of(prompt)
        reason = find_fault(prompt, text)
        # A text without fault is a solution: it is the label exactly if it is the only one.
        return Verdict(not reason and count_solutions(prompt) == 1, not reason, reason)

    def render(self, prompt: str, text: str | None = None) -> str:
        """Show a grid with its boxes, as lines for a terminal.

        Args:
            prompt: The puzzle.
            text: What was written, whatever it is; None shows the puzzle alone.

        Returns:
            Blank cells are ".", cells without a readable digit "?". A "!" follows a changed given, and digits that
            stand twice in a row, column or box.

        Raises:
            DataError: The prompt is no Sudoku of this size.

        >>> print(Sudoku(box=2).render("0002001004203000", "4132231414232341"))
        +-----+-----+
        | 4 1 | 3 2 |
        | 2!3!| 1 4 |
        +-----+-----+
        | 1 4 | 2 3 |
        | 2!3!| 4 1 |
        +-----+-----+
        """
        on = self._board_of(prompt)
        written = prompt if text is None else text
        cells = []
        for cell, given in enumerate(prompt):
            shown = written[cell : cell + 1]
            if shown not in _digits(self.size):
                shown = "." if shown == "0" else "?"
            wrong = given not in ("0", shown)
            for _, unit in _units(self.box):
                wrong |= cell in unit and shown.isdigit() and [written[i : i + 1] for i in unit].count(shown) > 1
            cells.append(shown + ("!" if wrong else " "))
        border = "+" + ("-" * (2 * self.box + 1) + "+") * self.box
        lines = []
        for row in range(self.size):
            if row % self.box == 0:
                lines.append(border)
            starts = range(row * self.size, (row + 1) * self.size, self.box)
            lines.append("|" + "".join(f" {''.join(cells[start : start + self.box])}|" for start in starts))
        lines.append(border)
        if len(written) > on.cells:
            lines.append(f"characters beyond the grid: {len(written) - on.cells}")
        return "\n".join(lines)

    def _generate(self, seed: int, split: Split, count: int) -> Iterator[Puzzle]:
        seen: set[bytes] = set()  # of digests, which a million puzzles can afford
        for index in range(count):
            for attempt in range(_MOST_REPEATS):
                puzzle = self.draw(seed, split, index, attempt)
                digest = hashlib.sha256(puzzle.prompt.encode()).digest()[:8]
                if digest not in seen:
                    break
            else:
                raise ConfigError(
                    f"count is {count}, but after {index} puzzles of {split!r} the next {_MOST_REPEATS} draws were "
                    "repetitions; ask for fewer puzzles, or for a wider range of givens."
                )
            seen.add(digest)
            yield puzzle

    def _board_of(self, prompt: str) -> Board:
        on = _board_of(prompt)
        if on.box != self.box:
            raise DataError(
                f"This Sudoku prompt has {len(prompt)} characters; with box={self.box} it must have {self.size**2}."
            )
        return on


def count_solutions(prompt: str, most: int = 2) -> int:
    """Count the solutions of a puzzle of 81 or 16 characters.

    Args:
        prompt: Cells row by row, "0" where they are blank.
        most: Stop counting here; 1 or more.

    Raises:
        DataError: The prompt is no Sudoku.
        ConfigError: `most` is smaller than 1.

    >>> count_solutions("0002001004203000"), count_solutions("0" * 16, most=1000)
    (1, 288)
    """
    if most < 1:
        raise ConfigError(f"most is {most}; it must be 1 or more.")
    on = _board_of(prompt)
    return sum(1 for _ in itertools.islice(solutions(on, place(on, on.encode(prompt))), most))


def find_fault(prompt: str, text: str) -> str:
    """Say the first thing that is wrong with a grid as the solution of a puzzle; "" if nothing is.

    Raises:
        DataError: The prompt is no Sudoku.

    >>> find_fault("0002001004203000", "413223141423324")
    'malformed: 15 characters instead of 16'
    """
    on = _board_of(prompt)
    if len(text) != on.cells:
        return f"malformed: {len(text)} character{'s' * (len(text) != 1)} instead of {on.cells}"
    for cell, character in enumerate(text):
        if character not in _digits(on.size):
            return f"malformed: {character!r} at {_where(on, cell)} is no digit from 1 to {on.size}"
    for cell, given in enumerate(prompt):
        if given not in ("0", text[cell]):
            return f"a given was changed at {_where(on, cell)}"
    for name, unit in _units(on.box):
        digits = [text[cell] for cell in unit]
        for digit in _digits(on.size):
            if digits.count(digit) > 1:
                return f"{name} has {_TIMES[digits.count(digit)]} {digit}s"
    return ""


def split_of(grid: str) -> Split:
    """Say to which split a full grid belongs, and with it every puzzle that it solves.

    4x4: the 288 grids in the order of their SHA-256; the first 29 are test, the next 29 valid, the others train. A grid
    and its copy with other digits may stand in different splits.

    9x9: by the SHA-256 of the grid, half train, a quarter valid, a quarter test. Digits are renamed before, so that the
    first row reads 123456789: a grid and its copy with other digits are in the same split. The shares only set how
    often a grid is drawn in vain; there are 6.7e21 of them.

    Args:
        grid: All 81 or 16 characters, without blanks.

    Raises:
        DataError: This is no valid grid.
    """
    fault = find_fault(grid, grid)
    if fault:
        raise DataError(f"{grid!r} is no full Sudoku grid: {fault}.")
    return _split_of(grid)


def _split_of(grid: str) -> Split:
    if len(grid) == 16:
        return _small_splits()[grid]
    renamed = grid.translate(str.maketrans(grid[:9], "123456789"))
    bucket = hashlib.sha256(renamed.encode()).digest()[0] % 4
    return "test" if bucket == 0 else "valid" if bucket == 1 else "train"


@functools.cache
def _small_splits() -> dict[str, Split]:
    on = board(2)
    grids = [on.decode(solution) for solution in solutions(on, on.everything)]
    grids.sort(key=lambda grid: hashlib.sha256(grid.encode()).digest())
    names: dict[str, Split] = dict.fromkeys(grids, "train")
    names.update(dict.fromkeys(grids[: 2 * _HELD_OUT_GRIDS], "valid"))
    names.update(dict.fromkeys(grids[:_HELD_OUT_GRIDS], "test"))
    return names


def _draw_grid_of(on: Board, split: Split, rng: random.Random) -> str:
    if on.box == 2:
        return rng.choice([grid for grid, name in _small_splits().items() if name == split])
    while True:
        grid = on.decode(draw_grid(on, rng))
        if _split_of(grid) == split:
            return grid


@functools.cache
def _units(box: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Give every row, column and box: its name and its cells."""
    size = box * box
    units = [(f"row {i + 1}", tuple(range(i * size, (i + 1) * size))) for i in range(size)]
    units += [(f"column {i + 1}", tuple(range(i, size * size, size))) for i in range(size)]
    for number in range(size):
        top, left = number // box * box, number % box * box
        name = f"box {number + 1} (rows {top + 1}-{top + box}, columns {left + 1}-{left + box})"
        units.append((name, tuple((top + i) * size + left + j for i in range(box) for j in range(box))))
    return tuple(units)


def _digits(size: int) -> tuple[str, ...]:
    return tuple("123456789"[:size])


def _where(on: Board, cell: int) -> str:
    return f"row {cell // on.size + 1}, column {cell % on.size + 1}"


def _board_of(prompt: str) -> Board:
    box = {16: 2, 81: 3}.get(len(prompt))
    if box is None:
        raise DataError(
            f"This Sudoku prompt has {len(prompt)} characters; it must have 81 (9x9 cells) or 16 (4x4 cells), row by "
            "row, with 0 for a blank."
        )
    on = board(box)
    for cell, character in enumerate(prompt):
        if character not in ("0", *_digits(on.size)):
            raise DataError(
                f"This Sudoku prompt has {character!r} at {_where(on, cell)}; it must be a digit from 1 to {on.size}, "
                "or 0 for a blank."
            )
    return on


def _check_split(split: str) -> None:
    if split not in get_args(Split):
        raise ConfigError(f"split is {split!r}; it must be 'train', 'valid' or 'test'.")
