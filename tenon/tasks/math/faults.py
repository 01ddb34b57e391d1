"""Where a written solution of a generated problem goes wrong first, and how.

    arithmetic   an equation is false: 12 + 5 = 18
    operand      a true equation with a number that does not belong there, or comes from nowhere: 12 + 6 = 18
    operator     the right numbers, another operation: 12 - 5 = 7
    omission     a step is missing: the next one, or the answer, takes a number that this step was to work out
    answer       all steps are right, and the answer that is marked is another, or none is marked
    other        no equation where one was due, or a step that the true solution does not have

The first fault is named, as in the RISE paper's analysis; what comes after it rests on it. A solution with the right
answer has none, whatever its steps say.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from tenon.tasks.math.answers import extract_answer, same_answer
from tenon.tasks.math.problem import Operator, Problem, Step, calculate, known_numbers

__all__ = ["FAULTS", "Fault", "FaultKind", "diagnose"]

FaultKind: TypeAlias = Literal["arithmetic", "operand", "operator", "omission", "answer", "other"]

FAULTS: tuple[FaultKind, ...] = get_args(FaultKind)
"""All kinds, in the order of the table above."""

_EQUATION = re.compile(r"(?<![\w.])(\d+) ?([-+*/]) ?(\d+) ?= ?(\d+)(?![\w]|\.\d)")
_COMMUTATIVE = ("+", "*")


@dataclass(frozen=True)
class Fault:
    """The first thing that is wrong with a solution."""

    kind: FaultKind
    step: int
    """Number of the step, from 1; the answer counts as the one after the last."""


def diagnose(problem: Problem, text: str) -> Fault | None:
    """Name the first fault of a solution; None if its answer is right.

    >>> from tenon.tasks.math import generate_problem
    >>> problem = generate_problem(0, "train", 0, steps=2, family="shopping")
    >>> diagnose(problem, problem.solution) is None
    True
    >>> false = problem.solution.replace(f"= {problem.steps[0].value} ", f"= {problem.steps[0].value + 1} ", 1)
    >>> diagnose(problem, false.replace(f"Answer: {problem.answer}", "Answer: 0"))
    Fault(kind='arithmetic', step=1)
    """
    found = extract_answer(text)
    if found is not None and same_answer(found, problem.answer):
        return None
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("Answer:")]
    known, missing = known_numbers(problem.question), Counter(map(_meaning, problem.steps))
    for number, line in enumerate(lines, start=1):
        equations = [_step(match, line) for match in _EQUATION.finditer(line)]
        if not equations:
            return Fault("other", number)
        for step in equations:
            if calculate(step.left, step.op, step.right) != step.value:
                return Fault("arithmetic", number)
            if missing[_meaning(step)] > 0:
                missing[_meaning(step)] -= 1
                known = known | {step.value}
                continue
            todo = [gold for gold in problem.steps if missing[_meaning(gold)] > 0]
            return Fault(_kind(step, todo, known, line), number)
    return Fault("omission" if +missing else "answer", len(lines) + 1)


def _step(match: re.Match[str], line: str) -> Step:
    left, op, right, value = match.groups()
    operator: Operator = op  # type: ignore[assignment]  # the expression allows no other
    return Step(int(left), operator, int(right), int(value), line)


def _meaning(step: Step) -> tuple[str, tuple[int, ...]]:
    """What a step does, in whichever order its numbers stand where that is no matter."""
    numbers = (step.left, step.right)
    return step.op, tuple(sorted(numbers)) if step.op in _COMMUTATIVE else numbers


def _kind(step: Step, todo: list[Step], known: frozenset[int], line: str) -> FaultKind:
    """Say how a true equation differs from the steps that were still to be done."""
    written = Counter((step.left, step.right))
    for gold in todo:
        wanted = Counter((gold.left, gold.right))
        if written == wanted:  # other operation, or a difference or quotient the wrong way round
            return "operator"
    pending = {gold.value for gold in todo}
    for gold in todo:
        instead = list((Counter((gold.left, gold.right)) - written).elements())
        if gold.op == step.op and len(instead) == 1:  # one number is another
            return "omission" if instead[0] in pending and instead[0] not in known else "operand"
    if not {step.left, step.right} <= known | known_numbers("", line):
        return "operand"
    return "other"
