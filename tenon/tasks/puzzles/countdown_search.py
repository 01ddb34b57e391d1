"""Countdown's depth-first search: the first solution of one problem, and of thousands at once.

The order decides the label: pairs of indices as `itertools.combinations` gives them, per pair the results of
`combine`, and each result goes to the end of the numbers that remain. It is the generator of Stream-of-Search
(arXiv 2404.03683, Apache-2.0), recovered from its description and its labels; nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

__all__ = ["combine", "first_codes", "first_solution", "reachable", "replay"]

Ints = NDArray[np.int64]

_BASE = 40  # moves of a state: up to 10 pairs of 5 numbers, 4 results of each pair
_UNSOLVED = np.iinfo(np.int64).max


def combine(a: int, b: int) -> list[tuple[str, int]]:
    """Give every legal equation of two numbers with its value, in the order of the search.

    Sum and product have their operands in the order given; difference and quotient start with the larger. A quotient
    must be exact. Zeros are legal, as a result and as an operand.

    >>> combine(3, 12)
    [('3+12=15', 15), ('3*12=36', 36), ('12-3=9', 9), ('12/3=4', 4)]
    """
    low, high = (a, b) if a <= b else (b, a)
    found = [(f"{a}+{b}={a + b}", a + b), (f"{a}*{b}={a * b}", a * b), (f"{high}-{low}={high - low}", high - low)]
    if low and not high % low:
        found.append((f"{high}/{low}={high // low}", high // low))
    return found


@lru_cache(maxsize=1 << 16)
def _can_reach(numbers: tuple[int, ...], target: int) -> bool:
    if len(numbers) == 1:
        return numbers[0] == target
    for i, j in combinations(range(len(numbers)), 2):
        rest = numbers[:i] + numbers[i + 1 : j] + numbers[j + 1 :]
        for _, value in combine(numbers[i], numbers[j]):
            if _can_reach(tuple(sorted((*rest, value))), target):
                return True
    return False


def reachable(numbers: Sequence[int], target: int) -> bool:
    """Say whether all the numbers together can still make the target.

    >>> reachable([83, 2], 81), reachable([83, 3], 81)
    (True, False)
    """
    return bool(numbers) and _can_reach(tuple(sorted(numbers)), target)


def first_solution(numbers: Sequence[int], target: int) -> list[str] | None:
    """Give the equations of the first solution that the search meets; None where there is none.

    The search returns from the first branch that holds a solution, at every depth. So it is enough to ask of each
    branch, in order, whether it holds one; what is known of a set of numbers is known of each of its orders.
    """
    left, steps = list(numbers), list[str]()
    if not reachable(left, target):
        return None
    while len(left) > 1:
        left, step = next(
            (after, equation)
            for i, j in combinations(range(len(left)), 2)
            for equation, value in combine(left[i], left[j])
            if reachable(after := [*left[:i], *left[i + 1 : j], *left[j + 1 :], value], target)
        )
        steps.append(step)
    return steps


def first_codes(numbers: Ints, targets: Ints) -> Ints:
    """Search many problems at once.

    A code names a path of the search, one digit to base 40 for every equation but the last: four times the pair's
    index plus the result's. Of two paths, the search meets the one with the smaller code first.

    Args:
        numbers: `[rows, k]`, k of 3 or more, none negative.
        targets: `[rows]`, each 1 or more.

    Returns:
        `[rows]`, the code of each row's first solution, -1 where there is none. Read it with `replay`.
    """
    rows, size = numbers.shape
    columns: list[Ints] = [np.ascontiguousarray(column, dtype=np.int64) for column in numbers.T]
    owner, code = np.arange(rows), np.zeros(rows, np.int64)
    for _ in range(size - 3):
        columns, owner, code = _expand(columns, owner, code)
    target = targets[owner]
    best = np.full(rows, _UNSOLVED)
    for pair, (i, j) in enumerate(combinations(range(3), 2)):
        other = columns[3 - i - j]
        for result, (value, kept) in enumerate(_results(columns[i], columns[j])):
            rows_of = slice(None) if kept is None else kept
            rest, goal = other[rows_of], target[rows_of]
            hit = (value + rest == goal) | (value * rest == goal) | (abs(value - rest) == goal)
            # An exact quotient that is the target: the larger is the smaller times it, and not both are 0.
            hit |= ((value == goal * rest) | (rest == goal * value)) & (value + rest > 0)
            found = np.flatnonzero(hit)
            np.minimum.at(best, owner[rows_of][found], code[rows_of][found] * _BASE + 4 * pair + result)
    return np.where(best == _UNSOLVED, -1, best)


def _results(a: Ints, b: Ints) -> list[tuple[Ints, Ints | None]]:
    """The results of a pair in the order of `combine`, each with the rows that have it; None for all."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    exact = np.flatnonzero((low > 0) & (high % np.maximum(low, 1) == 0))
    return [(a + b, None), (a * b, None), (high - low, None), (high[exact] // low[exact], exact)]


def _expand(columns: list[Ints], owner: Ints, code: Ints) -> tuple[list[Ints], Ints, Ints]:
    """Every state after one more equation: its numbers, the problem it belongs to, and its code."""
    states: list[list[Ints]] = []
    owners, codes = [], []
    for pair, (i, j) in enumerate(combinations(range(len(columns)), 2)):
        rest = [column for index, column in enumerate(columns) if index not in (i, j)]
        for result, (value, kept) in enumerate(_results(columns[i], columns[j])):
            rows = slice(None) if kept is None else kept
            states.append([*(column[rows] for column in rest), value])
            owners.append(owner[rows])
            codes.append(code[rows] * _BASE + 4 * pair + result)
    merged = [np.concatenate(column) for column in zip(*states, strict=True)]
    return merged, np.concatenate(owners), np.concatenate(codes)


def replay(numbers: Sequence[int], target: int, code: int) -> list[str]:
    """Give the equations that a code of `first_codes` stands for; the last is the first of its pair that fits.

    >>> replay([3, 4, 5], 12, 0)
    ['3+4=7', '5+7=12']
    """
    left, steps = list(numbers), list[str]()
    for place in range(len(numbers) - 3, -1, -1):
        pair, result = divmod(code // _BASE**place % _BASE, 4)
        i, j = list(combinations(range(len(left)), 2))[pair]
        equation, value = combine(left[i], left[j])[result]
        left = [*left[:i], *left[i + 1 : j], *left[j + 1 :], value]
        steps.append(equation)
    steps.append(next(equation for equation, value in combine(*left) if value == target))
    return steps
