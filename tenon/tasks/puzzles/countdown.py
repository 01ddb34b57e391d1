"""Countdown: make a target of three to five numbers, each used once, by the four operations; and the game of 24.

    58,11,80,83,81   ->   80-58=22,22/11=2,83-2=81

The last number of the prompt is the target. Numbers and results are integers of 0 or more. Many answers are right; the
label is the first that a fixed depth-first search meets, which is what makes exact labels learnable.

Splits: the nine `HELD_OUT` targets [measured: those of the published test file] are test's alone. Problems of the other
targets are split by a hash of the target and the sorted numbers, so that reordered numbers are no new problem. This
holds across all sizes and targets: game-of-24 tests are not among Countdown's training problems either. The paper
calls the test out-of-distribution; it is a held-out part of the same range.

Lengths: 36, 52 and 72 tokens at most for 3, 4 and 5 numbers with SEP and EOS, by exhaustion of every solution there
can be. The published cut-offs 37, 64 and 74 hold these; by what rule they were chosen is unknown, and the published 32
new tokens for four numbers cut answers off (36 with EOS). Published [code]; the lengths are [ours].
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as count_from
from typing import Literal

import numpy as np

from tenon.core.errors import ConfigError, DataError, require
from tenon.core.seeds import numpy_rng
from tenon.tasks.puzzles import countdown_search as search
from tenon.tasks.puzzles.puzzle import Puzzle, Split, Verdict
from tenon.tasks.puzzles.splits import Candidate, check_draw, number, split_of

__all__ = ["HELD_OUT", "TRAINING", "Countdown", "EquationErrors", "analyse", "split_of_problem"]

HELD_OUT = (14, 39, 41, 57, 62, 81, 87, 89, 96)
"""Targets of the test split: the first nine of 10..100 after `random.seed(4)` and one shuffle [measured]."""

TRAINING = tuple(target for target in range(10, 101) if target not in HELD_OUT)
"""The other 82 targets."""

_LONGEST_ANSWER = {3: 22, 4: 35, 5: 52}  # of any solution with numbers of 1..99 and a target of 10..100
_ITEMS = {3: 512, 4: 256, 5: 64}  # problems of a block; a block takes some tens of milliseconds
_TRIES = {3: 32, 4: 8, 5: 2}  # tuples searched at once for each, about 1 / acceptance
_ROUNDS = 200

_NUMBER = "(0|[1-9][0-9]{0,17})"  # not \d, which other scripts' digits match, too
_PROMPT = re.compile(f"{_NUMBER}(,{_NUMBER})+")
_EQUATION = re.compile(f"{_NUMBER}([-+*/]){_NUMBER}=(-?){_NUMBER}")
_CHAIN = re.compile(f"{_NUMBER}([-+*/]{_NUMBER}){{1,16}}")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,30}(\.[0-9]{1,30})?")


def split_of_problem(numbers: tuple[int, ...], target: int) -> Split:
    """Give the split that a problem belongs to, whatever kind or seed draws it."""
    return "test" if target in HELD_OUT else split_of(",".join(map(str, (*sorted(numbers), target))))


@dataclass(frozen=True, kw_only=True)
class Countdown:
    """Countdown with a number of numbers: CD3, CD4 and CD5 of arXiv 2410.14157."""

    numbers: Literal[3, 4, 5] = 4
    """How many numbers there are, besides the target."""
    target: int | None = None
    """The one target of all problems; 24 is the game of 24. None draws it: train and valid from `TRAINING`, test from
    `HELD_OUT`. A held-out target has a test split only."""
    largest: int | None = None
    """Numbers are drawn from 1 to this. None is 13 for the game of 24, a pack of cards [ours], and 99 otherwise."""

    def __post_init__(self) -> None:
        require(isinstance(self.numbers, int) and self.numbers in _ITEMS, self, "numbers", "3, 4 or 5")
        target, largest = self.target, self.largest
        require(target is None or (type(target) is int and 10 <= target <= 100), self, "target", "None or 10 to 100")
        require(largest is None or (type(largest) is int and 2 <= largest <= 99), self, "largest", "None or 2 to 99")

    @property
    def name(self) -> str:
        """Name of the kind."""
        return "countdown"

    @property
    def longest(self) -> tuple[int, int]:
        """Characters of the longest prompt and of the longest answer, for numbers up to 99 [characters]."""
        return 3 * self.numbers + 3, _LONGEST_ANSWER[self.numbers]

    def generate(self, seed: int, split: Split, count: int) -> Iterator[Puzzle]:
        """Draw different problems that have a solution.

        As in the released data's generator, the target is drawn first, and numbers are drawn until it can be made. The
        same seed gives the same problems, and a longer draw starts with those of a shorter one.

        Raises:
            ConfigError: There is no such split; or the target is held out and the split is not test.
            DataError: There are not that many, or none at all.
        """
        check_draw(split, count)
        if self.target in HELD_OUT and split != "test":
            raise ConfigError(f"target {self.target} is held out, so it has no {split} split; take 'test'.")
        size = f"countdown{self.numbers}"
        label = size + ("" if self.target is None else f"to{self.target}")
        label += "" if self.largest is None else f"max{self.largest}"
        return number(self._candidates(seed, split), label, seed, split, count)

    def _candidates(self, seed: int, split: Split) -> Iterator[Candidate | None]:
        targets = (self.target,) if self.target is not None else HELD_OUT if split == "test" else TRAINING
        largest = self.largest or (13 if self.target == 24 else 99)
        items, tries, size = _ITEMS[self.numbers], _TRIES[self.numbers], self.numbers
        for block in count_from():
            rng = numpy_rng(seed, "countdown", size, self.target, largest, split, block)
            goals = rng.choice(targets, size=items)
            numbers, codes = np.zeros((items, size), np.int64), np.full(items, -1, np.int64)
            for _ in range(_ROUNDS):
                open_ = np.flatnonzero(codes < 0)
                if not open_.size:
                    break
                drawn = rng.integers(1, largest, size=(open_.size * tries, size), endpoint=True)
                found = search.first_codes(drawn, np.repeat(goals[open_], tries)).reshape(-1, tries)
                # The first try that can be solved counts, as if they had been drawn one by one.
                first = np.argmax(found >= 0, axis=1)
                row = np.arange(open_.size)
                numbers[open_], codes[open_] = drawn.reshape(-1, tries, size)[row, first], found[row, first]
            if (codes < 0).all():
                raise DataError(f"{self}: {items * tries * _ROUNDS} draws held no problem with a solution.")
            for values, goal, code in zip(numbers.tolist(), goals.tolist(), codes.tolist(), strict=True):
                # Too hard for the rounds above (never with the published sizes), or a problem of another split.
                if code < 0 or split_of_problem(tuple(values), goal) != split:
                    yield None
                    continue
                answer = ",".join(search.replay(values, goal, code))
                facts = {"numbers": size, "target": goal, "held_out": goal in HELD_OUT}
                yield ",".join(map(str, (*values, goal))), answer, facts

    def solve(self, prompt: str) -> str | None:
        """Give the first solution of the depth-first search; None where there is none.

        Raises:
            DataError: The prompt is not `numbers` numbers and a target, with commas between them.
        """
        *numbers, target = self._parse(prompt)
        steps = search.first_solution(numbers, target)
        return None if steps is None else ",".join(steps)

    def verify(self, prompt: str, text: str) -> Verdict:
        """Judge an answer.

        Strict: one equation less than numbers; every operand is a number that is there, given or made before, and is
        used up by it; every equation is true, without negative or broken results; the last gives the target.
        Official [code]: every piece between commas is a true equation whose left side starts `int op int`, and the
        text after the last `=` is the target. Which numbers are used, and how many equations there are, is not
        looked at. The release evaluates the left side as Python; here it is parsed, and only chains of up to 17
        numbers and the four operations count: powers, `//`, signs and brackets are refused.

        Raises:
            DataError: The prompt is no problem of this size.
        """
        *numbers, target = self._parse(prompt)
        reason = _fault(numbers, target, text)
        return Verdict(official=_is_official(str(target), text), strict=not reason, reason=reason)

    def _parse(self, prompt: str) -> list[int]:
        found = _parse(prompt)
        if len(found) != self.numbers + 1:
            raise DataError(
                f"{prompt!r} has {len(found) - 1} numbers and a target; Countdown(numbers={self.numbers}) needs "
                f"{self.numbers} and a target."
            )
        return found


def _parse(prompt: str) -> list[int]:
    if not _PROMPT.fullmatch(prompt):
        raise DataError(f"{prompt[:100]!r} is no Countdown problem; it must look like '58,11,80,83,81', target last.")
    found = [int(part) for part in prompt.split(",")]
    if found[-1] < 1:
        raise DataError(f"{prompt!r} has the target 0; it must be 1 or more.")
    return found


def _value(left: int, op: str, right: int) -> int | None:
    """The value of a legal step; None where it is negative or broken."""
    match op:
        case "+":
            return left + right
        case "*":
            return left * right
        case "-":
            return left - right if left >= right else None
        case _:
            return left // right if right and left % right == 0 else None


def _fault(numbers: list[int], target: int, text: str) -> str:
    """The first thing that is wrong with an answer by the rules of the game; empty where it is right."""
    pieces = text.split(",")
    matches = [match for piece in pieces if (match := _EQUATION.fullmatch(piece))]
    if len(matches) < len(pieces):
        return "malformed"
    if len(pieces) != len(numbers) - 1:
        return f"{len(pieces)} equations, not {len(numbers) - 1}"
    left = list(numbers)
    for match in matches:
        a, op, b, sign, c = int(match[1]), match[2], int(match[3]), match[4], int(match[5])
        for operand in (a, b):
            if operand not in left:
                return f"{match[0]}: {operand} is not there"
            left.remove(operand)
        value = _value(a, op, b)
        if value is None:
            return f"{match[0]}: negative or broken"
        if sign or value != c:
            return f"{match[0]}: false"
        left.append(value)
    return "" if left == [target] else f"makes {left[0]}, not {target}"


def _is_official(target: str, text: str) -> bool:
    """The released metric, holes included; see `Countdown.verify`."""
    for piece in text.split(","):
        sides = piece.split("=")
        if len(sides) != 2 or not _CHAIN.fullmatch(sides[0]) or not _DECIMAL.fullmatch(sides[1]):
            return False
        try:
            if _chain(sides[0]) != float(sides[1]):
                return False
        except (ZeroDivisionError, OverflowError):
            return False
    return text.rpartition("=")[2] == target


def _chain(text: str) -> float:
    """The value of a chain such as `1+6/4*2`, as Python has it: `/` gives a float, and `*` and `/` come first."""
    total: float = 0
    for sign, term in re.findall(r"([-+]?)([^-+]+)", text):
        first, *others = re.findall(r"[*/]?[0-9]+", term)
        value: float = int(first)
        for other in others:
            value = value * int(other[1:]) if other[0] == "*" else value / int(other[1:])
        total = total - value if sign == "-" else total + value
    return total


@dataclass(frozen=True)
class EquationErrors:
    """What is wrong with one equation of an answer; see `analyse`."""

    text: str
    """The equation as written."""
    malformed: bool
    """It is no equation of two numbers; nothing else was looked at."""
    usage: bool
    """An operand is not there: neither given nor made before, or used up."""
    calculation: bool
    """Left and right side differ."""
    planning: bool
    """With what is left after it, the target can no longer be made."""
    was_lost: bool
    """It could not be made before it either: an earlier equation is to blame."""


def analyse(prompt: str, text: str) -> tuple[EquationErrors, ...]:
    """Say for each equation of an answer whether it is miscalculated, and whether the plan can still succeed.

    This is the error analysis of the paper's "regretful compromise" [review]: a model that goes wrong in planning, and
    then falsifies the last equation so that it ends in the target. Whether the target can still be made is judged with
    the true value of the left side: planning is the choice of numbers and operation. What comes later is judged with
    the value that was written, since the rest of the text builds on it. A left side without a legal value (negative,
    broken) loses the plan; it is also miscalculated unless its true value was written.

    Args:
        prompt: A problem with 3 to 5 numbers.
        text: An answer, whatever was written. The analysis ends with the first malformed piece, or the first equation
            that is too many.

    Raises:
        DataError: The prompt is no such problem.

    >>> [(one.planning, one.calculation) for one in analyse("58,11,80,83,81", "58+11=69,80-69=11,83-11=81")]
    [(True, False), (True, False), (True, True)]
    """
    *left, target = _parse(prompt)
    if len(left) not in _ITEMS:
        raise DataError(f"{prompt!r} has {len(left)} numbers and a target; it must have 3 to 5 and a target.")
    found = list[EquationErrors]()
    for piece in text.split(",", len(left))[: len(left)]:
        match = _EQUATION.fullmatch(piece)
        if match is None:
            found.append(EquationErrors(piece, True, False, False, False, False))
            break
        a, op, b, written = int(match[1]), match[2], int(match[3]), int(match[4] + match[5])
        was_lost, size = not _is_open(left, target), len(left)
        for operand in (a, b):
            if operand in left:
                left.remove(operand)
        value = _value(a, op, b)
        is_lost = value is None or not _is_open([*left, value], target)
        is_false = written != (a - b if op == "-" else value)
        found.append(EquationErrors(piece, False, size - len(left) < 2, is_false, is_lost, was_lost))
        if len(left) < size:  # otherwise both operands came from nowhere, and numbers would only pile up
            left.append(written)
    return tuple(found)


def _is_open(left: list[int], target: int) -> bool:
    return min(left) >= 0 and search.reachable(left, target)
