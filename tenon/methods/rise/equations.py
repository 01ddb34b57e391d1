r"""Equations of arithmetic in a text: where they stand, and whether they hold. Nothing is ever evaluated as code.

Read are chains `expr = expr = ...` of numbers (thousands commas, decimals, a dollar sign), `+ - * /` and what LaTeX and
typesetting have for them, brackets, `\frac{a}{b}` and `\boxed{a}`. What is not understood gives no equation: a side
with a variable, a power, a percentage or a unit within it, or one that goes on from words: of "half of 12 = 6", "the
sum of 3 and 4 = 7" and "20% of 50 = 10" a left side would be 12, 4 and 50. So nothing begins a chain after a word that
calculates, and a number alone not after "and", "of", ... either; after other words all do: "buys 3 * 4 = 12".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, takewhile
from typing import Literal

from tenon.tasks.math.answers import parse_number

__all__ = ["Equation", "Side", "Token", "find_equations"]

_TOKEN = re.compile(
    r"""
    (?P<number>(?:\d{1,3}(?:,\d{3})+(?![\d])|\d+)(?:\.\d+)?(?![A-Wa-wYZyz_%^!]|\\%|\.\d)(?!x(?!\d)))
    |(?P<blank>[^\S\n]+|\\?\$|\\[()\[\],;:!]|\\left(?![A-Za-z])|\\right(?![A-Za-z])|&)
    |(?P<equals>(?<![<>!=:])=(?!=))
    |(?P<operator>\*(?!\*)|[-+−–×·⋅/÷]|\\(?:times|cdot|div)(?![A-Za-z])|(?<=\d[ ])x(?=[ ]\$?\d)|(?<=\d)x(?=\d))
    |(?P<fraction>\\[dt]?frac(?![A-Za-z]))
    |(?P<open>[({]|\\boxed\s*\{)
    |(?P<close>[)}])
    |(?P<other>\\[A-Za-z]+|[A-Za-z_][A-Za-z_0-9]*|\d+|.|\n)
    """,
    re.VERBOSE,
)
_PLAIN = {"+": "+", "-": "-", "−": "-", "–": "-", "/": "/", "÷": "/", "\\div": "/"}  # all others multiply
_PROSE = re.compile(r"[A-Za-z]{2,}|\\(?:text|mathrm|mbox|quad)|[\n.,;:?!\"'’“”<>|~]|[—→∴]")
# before a number alone: what it is a part of; "a total of 3 * 4 = 12" is all of it
_CONTINUES = re.compile(r"\b(?:and|by|from|of|than|to)[^\S\n]*\\?\$?\Z|\d:\Z", re.IGNORECASE)
_CALCULATES = re.compile(
    r"(?:%|\b(?:percent|half|third|quarter|twice|thrice|double|triple|plus|minus|times|log|ln|lg|exp|sqrt|root|sin|cos|tan))"
    r"(?:[^\S\n]+of)?[^\S\n]*\\?\$?\Z",
    re.IGNORECASE,
)
_LONGEST_WORDS = 40  # of these with what follows them [characters]
_MAX_TOKENS = 200  # of a side; its brackets are followed by recursion

Kind = Literal["number", "operator", "fraction", "open", "close", "equals"]


@dataclass(frozen=True)
class Token:
    """A number, an operator, a bracket."""

    kind: Kind
    text: str
    start: int
    end: int

    @property
    def operator(self) -> str:
        """One of `+ - * /`."""
        return _PLAIN.get(self.text, "*")


@dataclass(frozen=True)
class Side:
    """One side of an equation."""

    tokens: tuple[Token, ...]
    value: Fraction

    @property
    def numbers(self) -> list[Token]:
        """Its numbers, in order."""
        return [token for token in self.tokens if token.kind == "number"]

    @property
    def operators(self) -> list[Token]:
        """Its operators, in order."""
        return [token for token in self.tokens if token.kind == "operator"]

    @property
    def divides(self) -> bool:
        """Is there a division or a fraction in it?"""
        return any(token.kind == "fraction" or token.operator == "/" for token in self.tokens)

    def slack(self, other: Side) -> Fraction:
        """By how much the other side may differ if this one is its rounded result: half of the last place written.

        0 unless this side is one number; and for a whole one, as nothing but a division is rounded to it.
        """
        (number,) = self.numbers if len(self.numbers) == 1 and not self.operators else (None,)
        decimals = number.text.partition(".")[2] if number else ""
        return Fraction(1, 2 * 10 ** len(decimals)) if number and (decimals or other.divides) else Fraction(0)


@dataclass(frozen=True)
class Equation:
    """Two sides of which the text says that they are equal."""

    left: Side
    right: Side

    @property
    def holds(self) -> bool:
        """Are they equal, or does one round the other: to its decimals, or a division to the nearest whole number?

        So 100 / 3 = 33 and 100 / 3 = 33.3 hold, and 100 / 3 = 34 does not; a half may go either way.
        """
        slack = max(self.left.slack(self.right), self.right.slack(self.left))
        return abs(self.left.value - self.right.value) <= slack


def find_equations(text: str) -> list[Equation]:
    r"""Give the equations of a text in order; a chain `a = b = c` has two.

    >>> [equation.holds for equation in find_equations("She pays 3 * 4 + 2 = 12 + 2 = $15, since x + 1 = 3.")]
    [True, False]
    """
    found = []
    for sides in _chains(text):
        read = [_read(side, at == 0, at == len(sides) - 1) for at, side in enumerate(sides)]
        found += [Equation(left, right) for left, right in pairwise(read) if left is not None and right is not None]
    return found


def _chains(text: str) -> Iterator[list[list[Token] | None]]:
    """Give runs of mathematics that have an equals sign, cut at these; None for a side that may be a part only."""
    run: list[Token] = []
    before = None
    for match in _TOKEN.finditer(text + "\n"):
        kind = match.lastgroup
        if kind == "blank":
            continue
        if kind != "other":
            run.append(Token(kind, match[0], *match.span()))  # type: ignore[arg-type]  # the names of the groups
            continue
        if any(token.kind == "equals" for token in run):
            begins = before is None or (
                _is_prose(before[0])
                and not _adjoins(before.end(), run[0].start, before[0][-1])
                and not _goes_on(text, run)
            )
            # a single letter after a blank is a unit: "= 12 m"
            ends = _is_prose(match[0]) or match[0].isalpha()
            yield _sides(run, begins, ends and not _adjoins(run[-1].end, match.start(), match[0][0]))
        run, before = [], match


def _goes_on(text: str, run: Sequence[Token]) -> bool:
    """Is the left side only the end of a calculation that words began?"""
    left = list(takewhile(lambda token: token.kind != "equals", run))
    is_alone = all(token.kind != "operator" for token in left[1:])  # a sign is no calculation
    start = run[0].start
    first = max(0, start - _LONGEST_WORDS)
    return any(words.search(text, first, start) for words in (_CALCULATES, *[_CONTINUES] * is_alone))


def _is_prose(text: str) -> bool:
    return _PROSE.fullmatch(text) is not None


def _adjoins(end: int, start: int, char: str) -> bool:
    return end == start and char.isalnum()


def _sides(run: Sequence[Token], begins: bool, ends: bool) -> list[list[Token] | None]:
    sides: list[list[Token] | None] = [[]]
    for token in run:
        if token.kind == "equals":
            sides.append([])
        else:
            side = sides[-1]
            assert side is not None
            side.append(token)
    if not begins:
        sides[0] = None
    if not ends:
        sides[-1] = None
    return sides


def _read(tokens: Sequence[Token] | None, is_first: bool, is_last: bool) -> Side | None:
    """Work a side out; None where it is no complete expression, divides by zero or is overlong."""
    if not tokens or len(tokens) > _MAX_TOKENS:
        return None
    # a bracket that opens before the chain or closes after it, as in "(3 + 4 = 7)", is no part of it; where one closes
    # on the left, as in "gcd(12, 8) = 4", the side is a part only
    depth = [0]
    for token in tokens:
        depth.append(depth[-1] + (token.kind == "open") - (token.kind == "close"))
    opened, closed = max(0, depth[-1]) if is_first else 0, max(0, -depth[-1]) if is_last else 0
    start = opened if all(token.kind == "open" for token in tokens[:opened]) else 0
    end = len(tokens) - closed
    inner = tuple(tokens[start:end])
    reader = _Reader(inner)
    try:
        value = reader.sum()
    except (_Unreadable, ZeroDivisionError):
        return None
    return Side(inner, value) if reader.at == len(inner) else None


class _Unreadable(Exception):
    pass


class _Reader:
    """Recursive descent over the tokens of a side."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens, self.at = tokens, 0

    def sum(self) -> Fraction:
        value = self.product()
        while (sign := self.operator("+-")) is not None:
            right = self.product()
            value = value + right if sign == "+" else value - right
        return value

    def product(self) -> Fraction:
        value = self.atom()
        while (sign := self.operator("*/")) is not None:
            right = self.atom()
            value = value * right if sign == "*" else value / right
        return value

    def operator(self, which: str) -> str | None:
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is None or token.kind != "operator" or token.operator not in which:
            return None
        self.at += 1
        return token.operator

    def take(self) -> Token:
        if self.at == len(self.tokens):
            raise _Unreadable
        self.at += 1
        return self.tokens[self.at - 1]

    def atom(self) -> Fraction:
        token = self.take()
        if token.kind == "number":
            value = parse_number(token.text)
            if value is None:
                raise _Unreadable
            return value
        if token.kind == "open":
            return self.closed()
        if token.kind == "fraction":
            parts = []
            for _ in range(2):
                if self.take().text != "{":
                    raise _Unreadable
                parts.append(self.closed())
            return parts[0] / parts[1]
        # a minus that touches its number is a sign; one with a blank is an operator whose left operand is unread
        if token.kind == "operator" and token.operator == "-" and self.at < len(self.tokens):
            after = self.tokens[self.at]
            if after.kind == "number" and after.start == token.end:
                return -self.atom()
        raise _Unreadable

    def closed(self) -> Fraction:
        value = self.sum()
        if self.take().kind != "close":
            raise _Unreadable
        return value
