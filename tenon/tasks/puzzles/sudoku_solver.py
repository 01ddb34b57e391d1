"""Solve Sudoku by whole-grid arithmetic: every candidate is a bit of one integer.

Bit `digit * cells + cell` says that `digit + 1` may still stand in `cell` (row-major); a 9x9 grid has 729 such bits.
All rules have one form: of these n candidates exactly one is true. There are four families of them: a cell has one
digit; a row, a column, a box has each digit once. The candidates of a rule lie at fixed distances from its first, so a
few shifts count the candidates of all rules of a family at once, and no rule is ever visited alone.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Board", "Family", "board", "dig", "draw_grid", "is_unique", "narrow", "place", "solutions"]

_AFTER_REFUSAL = 2
"""Cells that `dig` tries at once after one could not go [ours: 1 to 8 hardly differ]; no result depends on it."""


@dataclass(frozen=True, slots=True)
class Family:
    """Rules of one form, such as "every row has every digit once". No two of them share a candidate."""

    firsts: int
    """The first candidate of every rule."""
    pattern: int
    """The n candidates of the rule whose first is bit 0; times some of `firsts`, all candidates of those rules."""
    near: tuple[int, ...]
    """Distances of the first `box` candidates from the first, itself apart."""
    far: tuple[int, ...]
    """Distances between such groups of `box` candidates; near and far together reach all n."""


@dataclass(frozen=True, slots=True)
class Board:
    """The bits of a size of Sudoku."""

    box: int
    size: int
    """Cells of a row, and number of digits: `box` squared."""
    cells: int
    everything: int
    """All candidates: the blank grid."""
    families: tuple[Family, ...]
    """Of cells, rows, columns, boxes."""

    def encode(self, text: str) -> int:
        """Give the candidates that the digits of `text` are; blanks ("0") give none."""
        found = 0
        for cell, character in enumerate(text):
            if character != "0":
                found |= 1 << (int(character) - 1) * self.cells + cell
        return found

    def decode(self, found: int) -> str:
        """Give the characters of candidates of which no two share a cell."""
        characters = ["0"] * self.cells
        while found:
            lowest = found & -found
            digit, cell = divmod(lowest.bit_length() - 1, self.cells)
            characters[cell] = str(digit + 1)
            found ^= lowest
        return "".join(characters)


@functools.cache
def board(box: int) -> Board:
    """Give the board whose boxes are `box` by `box` cells."""
    size = box * box
    cells = size * size

    def bit(row: int, column: int, digit: int) -> int:
        return 1 << digit * cells + row * size + column

    def family(firsts: int, near: int, far: int) -> Family:
        pattern = sum(1 << i * far + j * near for i in range(box) for j in range(box))
        return Family(firsts, pattern, tuple(near * i for i in range(1, box)), tuple(far * i for i in range(1, box)))

    every, starts = range(size), range(0, size, box)
    families = (
        family(sum(bit(row, column, 0) for row in every for column in every), cells, box * cells),
        family(sum(bit(row, 0, digit) for row in every for digit in every), 1, box),
        family(sum(bit(0, column, digit) for column in every for digit in every), size, box * size),
        family(sum(bit(row, column, digit) for row in starts for column in starts for digit in every), 1, size),
    )
    return Board(box, size, cells, (1 << cells * size) - 1, families)


def place(on: Board, givens: int) -> int:
    """Give the candidates that are left once `givens` are chosen; 0 where two of them break a rule.

    Args:
        on: The board.
        givens: Chosen candidates, any number of them.
    """
    closed = 0
    for family in on.families:
        once, twice = _count(family, givens)
        if twice & family.firsts:
            return 0
        closed |= (once & family.firsts) * family.pattern
    return on.everything & ~closed | givens


def narrow(on: Board, candidates: int) -> int:
    """Strike candidates by naked and hidden singles, until nothing changes.

    A single is the last candidate of some rule: of a cell ("naked"), or of a digit in a row, column or box ("hidden").
    It is chosen, and the other candidates of its four rules go.

    Returns:
        The candidates that are left: `on.cells` of them are a solution, more are undecided; 0 is a contradiction.
    """
    while True:
        forced = 0
        for family in on.families:
            once, twice = _count(family, candidates)
            if family.firsts & ~once:
                return 0  # a rule without candidates
            forced |= candidates & (family.firsts & ~twice) * family.pattern
        closed = 0
        for family in on.families:
            reached = forced
            for shift in family.near:
                reached |= forced >> shift
            once = reached
            for shift in family.far:
                once |= reached >> shift
            closed |= (once & family.firsts) * family.pattern
        left = candidates & ~closed | forced
        if left == candidates:
            # Two singles of one rule protect each other above. No solution has them, so the search need not go on.
            if any(_count(family, forced)[1] & family.firsts for family in on.families):
                return 0
            return left
        candidates = left


def solutions(on: Board, candidates: int) -> Iterator[int]:
    """Give every solution among the candidates once, by singles and, where they do not suffice, by trying.

    Tried are the candidates of a rule that has fewest, so that a wrong one fails soon.
    """
    untried = [candidates]
    while untried:
        left = narrow(on, untried.pop())
        if left.bit_count() == on.cells:
            # Every rule has a candidate, and there are as many candidates as cells: each rule has exactly one.
            yield left
        elif left:
            choice = _fewest(on, left)
            untried += _each(left ^ choice, choice)


def is_unique(on: Board, givens: int) -> bool:
    """Say whether exactly one solution has the givens."""
    return len(list(itertools.islice(solutions(on, place(on, givens)), 2))) == 1


def draw_grid(on: Board, rng: random.Random) -> int:
    """Draw a full grid; every grid can come out, though not all equally often.

    The boxes of the diagonal share no row and no column; they are drawn first, each on its own. Then cells are visited
    at random and given one of the digits left, drawn evenly; a digit that leads nowhere is taken back. Where a diagonal
    fits no grid (half of them with 4x4 cells), another one is drawn.
    """
    cell_pattern = on.families[0].pattern
    while True:
        chosen = 0
        for corner in range(0, on.size, on.box):
            for inside, digit in enumerate(rng.sample(range(on.size), on.size)):
                row, column = corner + inside // on.box, corner + inside % on.box
                chosen |= 1 << digit * on.cells + row * on.size + column
        order = rng.sample(range(on.cells), on.cells)
        untried = [place(on, chosen)]
        while untried:
            left = narrow(on, untried.pop())
            if left.bit_count() == on.cells:
                return left
            if left:
                choice = next(choice for cell in order if (choice := left & cell_pattern << cell).bit_count() > 1)
                options = _each(left ^ choice, choice)
                rng.shuffle(options)
                untried += options


def dig(on: Board, solution: int, order: Sequence[int], givens: int) -> int:
    """Blank cells of a full grid, one after the other, wherever the solution stays the only one.

    The result is that of trying cell by cell. Most cells can go, so a run of them is tried at once: where it leaves one
    solution, so would each part of it; where it does not, half of it is tried. A cell that could not go is not tried
    again: fewer givens would not help it.

    Args:
        on: The board.
        solution: A full grid.
        order: Cells to blank, first to last.
        givens: Stop when so many are left. More are left where the cells run out.

    Returns:
        The givens, candidates of `solution`.
    """
    cell_pattern = on.families[0].pattern
    left, count, start = solution, on.cells, 0
    length = on.cells // 4  # [ours: a tenth to a third hardly differ]; no result depends on it
    while count > givens and start < len(order):
        length = min(length, count - givens, len(order) - start)
        run = sum(1 << cell for cell in order[start : start + length])
        fewer = left & ~(run * cell_pattern)
        if is_unique(on, fewer):
            left, count, start = fewer, count - length, start + length
        elif length == 1:
            start += 1
            length = _AFTER_REFUSAL
        else:
            length = (length + 1) // 2
    return left


def _each(rest: int, choice: int) -> list[int]:
    """Give `rest` with each of the candidates of `choice`."""
    found = []
    while choice:
        lowest = choice & -choice
        found.append(rest | lowest)
        choice ^= lowest
    return found


def _count(family: Family, candidates: int) -> tuple[int, int]:
    """Give two numbers; at the first candidate of a rule, they say if it has one or more candidates, and two or more.

    Their other bits mean nothing.
    """
    once, twice = candidates, 0
    for shift in family.near:
        moved = candidates >> shift
        twice |= once & moved
        once |= moved
    near_once, near_twice = once, twice
    for shift in family.far:
        moved = near_once >> shift
        twice |= once & moved | near_twice >> shift
        once |= moved
    return once, twice


def _fewest(on: Board, candidates: int) -> int:
    """Give the candidates of a rule that has fewest, but two or more."""
    for family in on.families:
        once, twice, thrice = candidates, 0, 0
        for distance in (*family.near, *(far + near for far in family.far for near in (0, *family.near))):
            moved = candidates >> distance
            thrice |= twice & moved
            twice |= once & moved
            once |= moved
        pairs = family.firsts & twice & ~thrice
        if pairs:
            return candidates & (pairs & -pairs) * family.pattern
    pattern = on.families[0].pattern
    cells = (candidates & pattern << cell for cell in range(on.cells))
    return min((choice for choice in cells if choice.bit_count() > 1), key=int.bit_count)
