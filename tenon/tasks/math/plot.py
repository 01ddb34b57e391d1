"""How a story is built: moves over a running total, planned as numbers first and told as sentences afterwards.

A `Family` is data: slots to fill, openings, moves for the middle, closings with a question. A move says its facts in
one of several wordings and contributes its steps, each written as `expression | clause`:

    Move(says=("{He} buys {a} {boxes} with {b} {things} each.", ...),
         steps=("a * b | The {boxes} hold {eq} {things}.", "t + x | {Name} has {eq} {things}."))

Operands: `t` the running total before the move; `x` and `y` the last and the last but one value of this move; `a` to
`d` numbers that the move draws; `p` a fraction's denominator, told as `{part}` or, at the start of a sentence,
`{part_}` (half of, a third of, ...); digits a unit factor. The last value is the new total; an opening without steps
starts it at `a`. A number not drawn from the move's own `ranges` is drawn to fit the other operand: a true divisor,
less than what it is taken from, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from tenon.tasks.math.names import HE, SHE, plural
from tenon.tasks.math.problem import Level, Operator, Step, calculate

__all__ = ["Family", "Move", "Plan", "Unfit", "plan", "tell"]

_PARTS = {2: "half of", 3: "a third of", 4: "a quarter of", 5: "a fifth of", 10: "a tenth of"}
_THEN = ("Then", "Later,", "After that,", "Next,", "Afterwards,", "A little later,")
_WHEN = ("On Monday,", "On Tuesday,", "On Friday,", "On Saturday,", "Today,", "This week,", "In spring,", "One day,")
_UNIT_FACTORS = (7, 12, 60, 100, 1000)


class Unfit(Exception):
    """These numbers make no problem; draw again. Never leaves `generate`."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One event of a story: what is said, what is calculated, and in a closing what is asked."""

    says: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[int, int] | tuple[int, int, int]] = field(default_factory=dict)
    """Per drawn letter the lowest and highest number, both included, and the stride (1 when absent)."""

    def __post_init__(self) -> None:
        parsed = tuple(
            (tuple(expression.split()), clause) for expression, clause in (s.split(" | ") for s in self.steps)
        )
        object.__setattr__(self, "parsed", parsed)

    parsed: tuple[tuple[tuple[str, Operator, str], str], ...] = field(init=False, repr=False, default=())
    """`steps`, split once: ((left, op, right), clause)."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Everything that stories of one kind have in common."""

    name: str
    level: Level
    limit: int
    """No value of a step is above it."""
    slots: Mapping[str, tuple[str, ...]]
    """Nouns to choose from, singular; slot `thing` also fills `{things}`."""
    openings: tuple[Move, ...]
    moves: tuple[Move, ...]
    closings: tuple[Move, ...]
    distractors: tuple[str, ...]
    """Sentences with a number `{d}` that nobody needs."""


@dataclass
class Plan:
    """The numbers of a story: its moves, what each drew, and the equations."""

    moves: list[Move]
    drawn: list[dict[str, int]]
    equations: list[str]


def plan(family: Family, num_steps: int, rng: Random) -> Plan:
    """Choose moves that need exactly `num_steps` steps, and their numbers.

    Raises:
        Unfit: the numbers do not work out; call again.
    """
    opening = rng.choice([m for m in family.openings if len(m.steps) <= num_steps])
    rest = num_steps - len(opening.steps)
    closing = rng.choice([m for m in family.closings if len(m.steps) <= rest])
    rest -= len(closing.steps)
    chosen = [opening]
    unused: list[Move] = []
    while rest:
        if not unused:
            unused = rng.sample(family.moves, len(family.moves))
        move = unused.pop()
        if len(move.steps) <= rest:
            chosen.append(move)
            rest -= len(move.steps)
    result = Plan([*chosen, closing], [], [])
    total = 0
    for move in result.moves:
        total = _calculate_move(move, total, family.limit, rng, result)
    return result


def _calculate_move(move: Move, total: int, limit: int, rng: Random, result: Plan) -> int:
    """Draw the numbers of one move, append its equations, and give the new total."""
    values = {"t": total}
    for (left, op, right), _ in move.parsed:
        _draw(left, op, right, values, move, limit, rng)
        a, b = _value(left, values), _value(right, values)
        value = calculate(a, op, b)
        if value is None or not 2 <= value <= limit or not _is_easy(a, op, b):
            raise Unfit
        result.equations.append(f"{a} {op} {b} = {value}")
        values["y"], values["x"] = values.get("x", 0), value
    for letter in move.ranges:
        if letter not in values:
            values[letter] = _from_range(move, letter, rng)
    result.drawn.append(values)
    return values.get("x", total or values.get("a", 0))


def _value(token: str, values: Mapping[str, int]) -> int:
    return int(token) if token.isdigit() else values[token]


def _from_range(move: Move, letter: str, rng: Random) -> int:
    low, high, *stride = move.ranges[letter]
    return rng.randrange(low, high + 1, *stride)


def _draw(left: str, op: Operator, right: str, values: dict[str, int], move: Move, limit: int, rng: Random) -> None:
    """Give a number to each operand that has none yet: from the move's range, else one that fits the other operand."""
    open_letters = [token for token in (left, right) if not token.isdigit() and token not in values]
    for token in open_letters:
        if token in move.ranges:
            values[token] = _from_range(move, token, rng)
    for token in open_letters:
        if token not in values:
            other = right if token == left else left
            known = int(other) if other.isdigit() else values.get(other)
            values[token] = _fitting(token, op, known, is_left=token == left, limit=limit, rng=rng)


def _fitting(token: str, op: Operator, known: int | None, *, is_left: bool, limit: int, rng: Random) -> int:
    """A number that works with the other operand, `known` (None when that one is still open as well)."""
    match op:
        case "+":
            return rng.randint(2, max(2, min(limit // 3, limit - (known or 0))))
        case "*":
            return rng.randint(2, max(2, min(9, limit // (known or 9))))
        case "-":
            if known is None:
                return rng.randint(limit // 6, limit // 2)
            if is_left:
                return known + rng.randint(2, max(2, limit // 3))
            return rng.randint(2, max(2, known - 2))
        case "/":
            if known is None or is_left:
                return rng.randint(2, 9) * (known or 1)
            divisors = [n for n in (_PARTS if token == "p" else range(2, 10)) if known % n == 0 and known // n >= 2]
            if not divisors:
                raise Unfit
            return rng.choice(divisors)


def _is_easy(a: int, op: str, b: int) -> bool:
    """Products and quotients stay within what one learns by heart: one digit times up to two, or a unit factor."""
    if op == "*":
        small, large = sorted((a, b))
        return small >= 2 and (large in _UNIT_FACTORS or small in _UNIT_FACTORS or (small <= 10 and large < 100))
    return op != "/" or b <= 10 or b in _UNIT_FACTORS


def tell(family: Family, story: Plan, rng: Random, *, distractor: bool) -> tuple[str, tuple[Step, ...]]:
    """Tell a plan: the question as text, and the steps with their clauses.

    Raises:
        Unfit: the distractor's number is one that a step uses.
    """
    words = _cast(family, rng)
    sentences, clauses = [], []
    for place, (move, drawn) in enumerate(zip(story.moves, story.drawn, strict=True)):
        told = words | drawn
        if "p" in drawn:
            told["part"] = _PARTS[drawn["p"]]
            told["part_"] = _PARTS[drawn["p"]].capitalize()
        if move.says:
            sentences.append(_sentence(rng.choice(move.says), place, move is story.moves[-1], rng).format_map(told))
        clauses += [(clause, told) for _, clause in move.parsed]
    if distractor:
        sentence = rng.choice(family.distractors)
        drawn_numbers = {number for drawn in story.drawn for number in drawn.values()}
        idle = rng.choice([number for number in range(3, 60) if number not in drawn_numbers])
        if any(str(idle) in equation.split() for equation in story.equations):  # a unit factor or an intermediate value
            raise Unfit
        sentence = sentence.format_map({**words, "d": idle})
        sentences.insert(rng.randint(1, len(sentences)), sentence)
    sentences.append(rng.choice(story.moves[-1].asks).format_map(told))
    steps = tuple(
        Step.around(equation, clause.format_map({**told, "eq": equation}))
        for (clause, told), equation in zip(clauses, story.equations, strict=True)
    )
    return " ".join(sentences), steps


def _cast(family: Family, rng: Random) -> dict[str, object]:
    """Choose the people and nouns of one story."""
    is_she = rng.random() < 0.5
    name, friend, third = rng.sample(SHE if is_she else HE, 3)
    if rng.random() < 0.5:
        friend = rng.choice(HE if is_she else SHE)
    he, his, him = ("she", "her", "her") if is_she else ("he", "his", "him")
    words: dict[str, object] = {
        "Name": name, "Friend": friend, "Third": third,
        "he": he, "He": he.capitalize(), "his": his, "His": his.capitalize(), "him": him,
    }  # fmt: skip
    for slot, options in family.slots.items():
        words[slot] = word = rng.choice(options)
        words[plural(slot)] = plural(word)
    return words


def _sentence(wording: str, place: int, is_last: bool, rng: Random) -> str:
    """Put a word of time before some sentences about what the main person does; a closing tells no event."""
    if place == 0 and wording.startswith("{Name}") and rng.random() < 0.3:
        return f"{rng.choice(_WHEN)} {wording}"
    if place > 0 and not is_last and wording.startswith("{He}") and rng.random() < 0.5:
        return f"{rng.choice(_THEN)} {{he}}{wording[4:]}"
    return wording
