"""Errors without a language model: by rules, for models too weak to follow a request, and at random, as the control.

Both editors are functions of the text and of a `random.Random`. The rules look for an equation that holds and make
slips that people and models make: a carry, a place value, two digits exchanged, a neighbouring row of the times table,
another number of the question. What they give is read back: it must be false, and near enough (property 7.17).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from random import Random
from typing import TypeVar

from tenon.methods.rise.config import ErrorKind
from tenon.methods.rise.equations import Equation, Side, Token, find_equations

__all__ = ["CANNOT", "Proposal", "Shown", "edit_at_random", "edit_by_rules", "slips"]

T = TypeVar("T")

CANNOT = (
    "nothing to change",
    "no true equation to break",
    "stays true",
    "no error is near enough",
)
"""Why an editor of this file gives up: the kind of error finds nothing here; what it finds is wrong already; whatever
it changes is as true as before, e.g. the terms of a sum exchanged; or the filters allow no such distance."""

_NUMBER = re.compile(r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?!\w)")
_MARKER = re.compile(r"\bStep \d+:")
_PIECE = re.compile(r"\d+|[^\W\d_]+|[^\w\s]")
_NAME = re.compile(
    r"\b(?!(?:A|After|All|An|And|Answer|Are|As|At|Because|Before|But|By|Does|Each|Every|Find|For|From|Given|He|Her|Hence"
    r"|His|How|If|In|Is|It|Its|Let|Now|Of|On|One|Our|She|Since|So|Step|Suppose|That|The|Their|Then|There|Therefore|These"
    r"|They|This|Thus|To|Two|We|What|When|Where|Which|While|Who|Why|With|You|Your)\b)[A-Z][a-z]+\b"
)
_OPPOSITES = (
    ("more", "fewer"), ("more", "less"), ("most", "least"), ("total", "difference"), ("sum", "difference"),
    ("product", "quotient"), ("add", "subtract"), ("plus", "minus"), ("multiply", "divide"), ("increase", "decrease"),
    ("twice", "half"), ("double", "half"), ("before", "after"), ("first", "last"), ("each", "all"), ("every", "one"),
    ("largest", "smallest"), ("greater", "smaller"), ("longer", "shorter"), ("older", "younger"), ("buys", "sells"),
    ("gives", "gets"), ("gains", "loses"), ("left", "right"), ("above", "below"), ("positive", "negative"),
    ("even", "odd"), ("perimeter", "area"), ("radius", "diameter"), ("minutes", "hours"), ("days", "weeks"),
)  # fmt: skip
_SIGNS = {"latex": ["+", "-", r"\times", r"\div"], "typeset": ["+", "−", "×", "÷"], "plain": ["+", "-", "*", "/"]}
"""Operators as they are written around the one that is changed."""

Change = tuple[int, int, str]
"""What stands from here to there becomes this."""


@dataclass(frozen=True)
class Proposal:
    """What an editor makes of a text."""

    text: str | None
    """The edited text; None where it gives up."""
    reason: str = ""
    """Why, one of `CANNOT`."""


@dataclass(frozen=True)
class Shown:
    """What an editor sees."""

    window: str
    """The text to be edited."""
    question: str = ""
    """What was asked."""
    prefix: str = ""
    """The solution so far."""
    allowed: Callable[[str], bool] = field(default=lambda text: True)
    """Whether an edited text is near enough for the filters."""


def edit_by_rules(shown: Shown, kind: ErrorKind, random: Random) -> Proposal:
    r"""Inject one error of a kind, such that an equation which held does not hold any more.

    A result that is changed is changed wherever it stands after that, also in an answer line: a model carries its slip
    on. Other errors leave the result as it is, and with it the answer line of a last step; that the answer is still
    right is for `FilterConfig.verify` to say. A text without a readable equation gets another number, unverified.

    >>> edit_by_rules(Shown("She has 12 - 5 = 7 apples."), "swap", Random(0)).text
    'She has 5 - 12 = 7 apples.'
    >>> edit_by_rules(Shown("She has 12 + 5 = 17 apples."), "swap", Random(0))
    Proposal(text=None, reason='stays true')
    """
    if kind == "words":
        return _first(shown, _other_words(shown, random), lambda text: True)
    equations = [one for one in find_equations(shown.window) if one.left.operators or one.right.operators]
    if not equations:
        numbers = list(_NUMBER.finditer(shown.window))
        if kind not in ("value", "multi_value", "wrong_sub"):
            return Proposal(None, "nothing to change")
        return _first(shown, _other_numbers(shown, numbers, kind, random), lambda text: True)
    true = [one for one in equations if one.holds]
    if not true:
        return Proposal(None, "no true equation to break")
    false_before = _false(find_equations(shown.window))

    def is_worse(text: str) -> bool:
        return _false(find_equations(text)) > false_before

    return _first(shown, _errors(shown, kind, true, random), is_worse)


def _first(shown: Shown, changes: Iterator[list[Change]], is_error: Callable[[str], bool]) -> Proposal:
    reason = "nothing to change"
    for change in changes:
        text = _applied(shown.window, change)
        is_found = text != shown.window and is_error(text)
        if is_found and shown.allowed(text):
            return Proposal(text)
        if is_found:
            reason = "no error is near enough"
        elif reason == "nothing to change":
            reason = "stays true"
    return Proposal(None, reason)


def _applied(text: str, changes: list[Change]) -> str:
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _false(equations: list[Equation]) -> int:
    return sum(not one.holds for one in equations)


def _errors(shown: Shown, kind: ErrorKind, true: list[Equation], random: Random) -> Iterator[list[Change]]:
    sides = _shuffled({id(side): side for one in true for side in (one.left, one.right)}.values(), random)
    calculations = [side for side in sides if side.operators]
    operands = _shuffled([token for side in calculations for token in side.numbers], random)
    match kind:
        case "value" | "multi_value":
            results = [token for side in sides if not side.operators for token in side.numbers]
            for token in (*results, *operands):
                near = _neighbours(token, true) if token in results else []
                for new in _shuffled({*slips(token.text), *near}, random):
                    yield _carried_on(shown.window, token, new) if token in results else [_replaced(token, new)]
        case "wrong_sub":
            known = _known_numbers(shown, shown.window)
            for token in operands:
                for new in (*_shuffled(known, random), *_shuffled(slips(token.text), random)):
                    yield [_replaced(token, new)]
        case "symbol":
            for token in _shuffled([token for side in calculations for token in side.operators], random):
                for new in _shuffled(_signs(shown.window), random):
                    yield [_replaced(token, new)]
        case "del_term":
            for side in sorted(
                calculations, key=lambda side: len(side.numbers) < 3
            ):  # a term that leaves a calculation
                for change in _shuffled(_without_a_term(side), random):
                    yield [change]
        case "swap":
            pairs = [pair for side in calculations for pair in combinations(side.numbers, 2)]
            for one, other in _shuffled(pairs, random):
                yield [_replaced(one, other.text), _replaced(other, one.text)]


def _known_numbers(shown: Shown, window: str = "") -> set[str]:
    """Give the numbers of the question and of the solution so far; those that count its steps are none."""
    return set(_NUMBER.findall(f"{shown.question}\n{_MARKER.sub('', shown.prefix)}\n{window}"))


def _replaced(token: Token, new: str) -> Change:
    return token.start, token.end, new


def _carried_on(window: str, token: Token, new: str) -> list[Change]:
    """Change a result, and the same number wherever it stands after it."""
    later = [match.span() for match in _NUMBER.finditer(window, token.end) if match[0] == token.text]
    return [_replaced(token, new), *((start, end, new) for start, end in later)]


def slips(number: str) -> list[str]:
    """Give numbers that are written instead of this one by a slip, in its notation.

    By one or two in the last place, a carry, two digits exchanged, a zero more or less.

    >>> slips("17")
    ['15', '16', '18', '19', '27', '7', '71', '170']
    """
    units, width = int(re.sub("[,.]", "", number)), len(number.partition(".")[2])
    digits = str(units)
    found = [units - 2, units - 1, units + 1, units + 2]
    found += [units + sign * 10**place for place in range(1, len(digits)) for sign in (1, -1)]
    found += [
        int(digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :])
        for at in range(len(digits) - 1)
        if at or digits[at + 1] != "0"
    ]
    found += [units * 10] + [units // 10] * (units % 10 == 0)
    return [_written(one, width, "," in number) for one in dict.fromkeys(found) if one > 0 and one != units]


def _written(units: int, width: int, with_commas: bool) -> str:
    whole, part = divmod(units, 10**width)
    text = f"{whole:,}" if with_commas else str(whole)
    return f"{text}.{part:0{width}d}" if width else text


def _neighbours(result: Token, true: list[Equation]) -> list[str]:
    """Give the products that stand beside a result in the times table."""
    if not result.text.isdigit():
        return []
    found = []
    for one in true:
        for side, other in ((one.left, one.right), (one.right, one.left)):
            if result in other.numbers and [token.operator for token in side.operators] == ["*"]:
                factors = [int(token.text) for token in side.numbers if token.text.isdigit()]
                found += [int(result.text) + sign * factor for factor in factors for sign in (1, -1)]
    return [str(one) for one in found if one > 0]


def _signs(window: str) -> list[str]:
    style = "latex" if "\\" in window else "typeset" if any(char in window for char in "×÷−") else "plain"
    return _SIGNS[style]


def _without_a_term(side: Side) -> list[Change]:
    """Give the cuts that take one number and the operator beside it out of a side."""
    tokens, found = side.tokens, []
    for at, token in enumerate(tokens):
        if token.kind != "number":
            continue
        if at >= 2 and tokens[at - 1].kind == "operator":
            found.append((tokens[at - 2].end, token.end, ""))
        elif at + 2 < len(tokens) and tokens[at + 1].kind == "operator":
            found.append((token.start, tokens[at + 2].start, ""))
    return found


def _other_numbers(
    shown: Shown, numbers: list[re.Match[str]], kind: ErrorKind, random: Random
) -> Iterator[list[Change]]:
    known = _known_numbers(shown) if kind == "wrong_sub" else set()
    for match in _shuffled(numbers, random):
        for new in (*_shuffled(known, random), *_shuffled(slips(match[0]), random)):
            yield [(match.start(), match.end(), new)]


def _other_words(shown: Shown, random: Random) -> Iterator[list[Change]]:
    names = set(_NAME.findall(shown.question))
    others = {name: names - {name} for name in names}
    for one, other in _OPPOSITES:
        others.setdefault(one, set()).add(other)
        others.setdefault(other, set()).add(one)
    for match in _shuffled([match for match in _PIECE.finditer(shown.window) if match[0] in others], random):
        for new in _shuffled(others[match[0]], random):
            yield [(match.start(), match.end(), new)]


def edit_at_random(shown: Shown, random: Random) -> Proposal:
    """Replace one number, word or sign by any other: the control that tells whether it matters which error is injected.

    A number becomes one of as many digits, a word another of the question and the solution so far.
    """
    words = {match[0] for match in _PIECE.finditer(f"{shown.question} {shown.prefix} {shown.window}")}

    def changes() -> Iterator[list[Change]]:
        for match in _shuffled(list(_PIECE.finditer(shown.window)), random):
            old = match[0]
            if old.isdecimal():
                lowest = 10 ** (len(old) - 1) if len(old) > 1 else 0
                pool = {str(random.randrange(lowest, 10 ** len(old))) for _ in range(8)}
            elif old.isalpha():
                pool = {word for word in words if word.isalpha()}
            else:
                pool = set("+-*/=.,;:?!")
            for new in _shuffled(pool - {old}, random):
                yield [(match.start(), match.end(), new)]

    return _first(shown, changes(), lambda text: True)


def _shuffled(items: Iterable[T], random: Random) -> list[T]:
    found = sorted(items) if isinstance(items, set) else list(items)
    random.shuffle(found)
    return found
