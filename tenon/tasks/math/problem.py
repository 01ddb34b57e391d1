"""A word problem, its solution in steps, the text both become, and the proof that the text is right.

The text format is fixed, because models are trained on it:

    Step 1: Mia buys 3 * 4 = 12 apples.
    Step 2: She has 12 + 5 = 17 apples.
    Answer: 17

Everything a caller may doubt is recomputed from this text by `find_faults`; nothing is ever evaluated as code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

from tenon.core.errors import DataError

__all__ = [
    "Level",
    "Operator",
    "Problem",
    "Split",
    "Step",
    "calculate",
    "find_faults",
    "known_numbers",
    "parse_solution",
    "render_solution",
    "split_of",
    "verify",
]

Split: TypeAlias = Literal["train", "valid", "test"]
Level: TypeAlias = Literal["easy", "harder"]
Operator: TypeAlias = Literal["+", "-", "*", "/"]

_EQUATION = re.compile(r"(?<![\w.])(\d+) ([-+*/]) (\d+) = (\d+)(?![\w]|\.\d)")
_STEP_LINE = re.compile(r"Step (\d+): (.+)")
_ANSWER_LINE = re.compile(r"Answer: (\d+)")
_NUMBER = re.compile(r"\d+")

# What a word of the question allows as an operand, and which units a step must name to use their conversion factor.
_NUMBER_WORDS = {
    2: ("half", "twice", "double", "doubles", "two"),
    3: ("third", "thirds", "triple", "three"),
    4: ("quarter", "quarters"),
    5: ("fifth",),
    10: ("tenth",),
}
_UNIT_FACTORS = {
    7: ("day", "days", "week", "weeks"),
    12: ("dozen", "months"),
    60: ("hours", "minutes", "seconds"),
    100: ("meters", "cm", "dollars", "cents"),
    1000: ("kg", "grams", "km"),
}


@dataclass(frozen=True)
class Step:
    """One true equation and the clause that holds it."""

    left: int
    op: Operator
    right: int
    value: int
    text: str
    """The clause, e.g. `Mia buys 3 * 4 = 12 apples.`; it holds `equation` exactly once and no other number."""

    @classmethod
    def around(cls, equation: str, text: str) -> Step:
        """A step from its equation, `a op b = c`, and the clause that holds it."""
        left, op, right, _, value = equation.split(" ")
        return cls(int(left), cast(Operator, op), int(right), int(value), text)

    @property
    def equation(self) -> str:
        """The equation as written in `text`.

        >>> Step(3, "*", 4, 12, "Mia buys 3 * 4 = 12 apples.").equation
        '3 * 4 = 12'
        """
        return f"{self.left} {self.op} {self.right} = {self.value}"

    def rewritten(
        self, *, left: int | None = None, op: Operator | None = None, right: int | None = None, value: int | None = None
    ) -> Step:
        """The same clause around another equation, true or not: the raw material of injected errors.

        >>> Step(3, "*", 4, 12, "Mia buys 3 * 4 = 12 apples.").rewritten(value=14).text
        'Mia buys 3 * 4 = 14 apples.'
        """
        new = replace(
            self,
            left=self.left if left is None else left,
            op=self.op if op is None else op,
            right=self.right if right is None else right,
            value=self.value if value is None else value,
        )
        return replace(new, text=self.text.replace(self.equation, new.equation))


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A question with its solution; `verify` proves that the two fit."""

    question: str
    steps: tuple[Step, ...]
    answer: str
    """A plain integer; its unit stands in the question."""
    key: str
    """Names the problem: seed, split, index and what was asked for."""
    split: Split
    family: str
    level: Level
    num_steps: int
    has_distractor: bool
    """Does one sentence give a number that no step needs?"""

    @property
    def operations(self) -> tuple[Operator, ...]:
        """The operator of every step, in order."""
        return tuple(step.op for step in self.steps)

    @property
    def solution(self) -> str:
        """The steps and the answer as text."""
        return render_solution(self.steps, self.answer)

    def messages(self) -> list[dict[str, str]]:
        """The problem as one chat turn: the user asks, the assistant solves."""
        return [{"role": "user", "content": self.question}, {"role": "assistant", "content": self.solution}]


def render_solution(steps: Sequence[Step], answer: str) -> str:
    """Write steps and answer in the fixed format (see the top of this file)."""
    lines = [f"Step {number}: {step.text}" for number, step in enumerate(steps, start=1)]
    return "\n".join([*lines, f"Answer: {answer}"])


def parse_solution(text: str) -> tuple[tuple[Step, ...], str]:
    """Read steps and answer back from text. The format is checked, the arithmetic is not.

    Raises:
        DataError: a line is neither the next step nor the closing answer, or a step does not hold exactly one equation.
    """
    *step_lines, last = text.strip("\n").split("\n")
    steps = []
    for number, line in enumerate(step_lines, start=1):
        match = _STEP_LINE.fullmatch(line)
        if match is None or int(match[1]) != number:
            raise DataError(f"solution line {number} is {line!r}; it must be 'Step {number}: ...'.")
        equations = [equation[0] for equation in _EQUATION.finditer(match[2])]
        if len(equations) != 1 or len(_NUMBER.findall(match[2])) != 3:
            raise DataError(
                f"step {number} is {match[2]!r}; it must hold exactly one 'a op b = c' and no other number."
            )
        steps.append(Step.around(equations[0], match[2]))
    answer = _ANSWER_LINE.fullmatch(last)
    if answer is None:
        raise DataError(f"the last solution line is {last!r}; it must be 'Answer: <number>'.")
    return tuple(steps), answer[1]


def calculate(left: int, op: Operator, right: int) -> int | None:
    """The exact value of `left op right`, or None where it is no integer of 0 or more.

    >>> calculate(12, "/", 4), calculate(12, "/", 5), calculate(3, "-", 4)
    (3, None, None)
    """
    match op:
        case "+":
            return left + right
        case "-":
            return left - right if left >= right else None
        case "*":
            return left * right
        case "/":
            return left // right if right and left % right == 0 else None


def find_faults(problem: Problem, *, told: Collection[int] = ()) -> list[str]:
    """Say everything that is wrong with a problem, judged from its text; an empty list proves it.

    Every equation is true; every operand is a number of the question, a word of the question such as `half`, a unit
    factor whose unit the step names, or the value of an earlier step; every value but the last is used later; the last
    is the answer, which the question does not give away; a number that no step uses stands in the question exactly if a
    distractor was announced; the record agrees with the text; the split follows from it. `told` are numbers that the
    reader knows from elsewhere: in an episode, what the invented unit holds.
    """
    try:
        steps, answer = parse_solution(problem.solution)
    except DataError as error:
        return [str(error)]
    given = {int(number) for number in _NUMBER.findall(problem.question)}
    faults = []
    if steps != problem.steps:
        faults.append("the stored steps differ from those in the text")
    if not steps or len(steps) != problem.num_steps:
        faults.append(f"there are {len(steps)} steps but num_steps is {problem.num_steps}")
    known = set(told) | known_numbers(problem.question)
    for number, step in enumerate(steps, start=1):
        if calculate(step.left, step.op, step.right) != step.value:
            faults.append(f"step {number}: {step.equation} is false")
        for operand in (step.left, step.right):
            if operand not in known | known_numbers("", step.text):
                faults.append(f"step {number}: {operand} comes from nowhere")
        known.add(step.value)
        if number < len(steps) and not any(step.value in (later.left, later.right) for later in steps[number:]):
            faults.append(f"step {number}: its value {step.value} is never used")
    if steps and str(steps[-1].value) != answer:
        faults.append(f"the last step gives {steps[-1].value} but the answer is {answer}")
    if int(answer) in given:
        faults.append(f"the question gives its answer {answer} away")
    if problem.has_distractor != bool(given - {operand for step in steps for operand in (step.left, step.right)}):
        faults.append(f"has_distractor is {problem.has_distractor}, but the numbers of the question say otherwise")
    split = split_of(step.equation for step in steps)
    if split != problem.split:
        faults.append(f"the equations belong to split {split!r} but the problem says {problem.split!r}")
    return faults


def known_numbers(question: str, step: str = "") -> frozenset[int]:
    """Give the numbers that a question tells, in digits or in words, and the conversion factors of a step's units.

    >>> sorted(known_numbers("Ann has 12 eggs, Bob twice as many.", "In one week: 7 * 12 = 84.")), known_numbers("")
    ([2, 7, 12], frozenset())
    """
    words, named = (set(re.findall(r"[a-z]+", text.lower())) for text in (question, step))
    told = {int(number) for number in _NUMBER.findall(question)}
    told |= {number for number, names in _NUMBER_WORDS.items() if words.intersection(names)}
    return frozenset(told | {factor for factor, units in _UNIT_FACTORS.items() if named.intersection(units)})


def verify(problem: Problem, *, told: Collection[int] = ()) -> None:
    """Raise DataError with every fault of the problem; see `find_faults`."""
    faults = find_faults(problem, told=told)
    if faults:
        raise DataError(f"problem {problem.key} is wrong: " + "; ".join(faults) + ".")


def split_of(equations: Iterable[str]) -> Split:
    """Which split a chain of equations belongs to: 80 % train, 10 % valid, 10 % test, by their SHA-256.

    Names and wording do not count, so no test problem is a retold training problem: at least one number differs.

    >>> split_of(["3 * 4 = 12", "12 + 5 = 17"])
    'train'
    """
    digest = hashlib.sha256(";".join(equations).encode()).digest()
    bucket = int.from_bytes(digest[:4], "big") % 100
    return "train" if bucket < 80 else "valid" if bucket < 90 else "test"
