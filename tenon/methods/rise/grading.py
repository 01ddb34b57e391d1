"""Whether a solution is right, as far as a checker can tell (section 2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tenon.tasks.math.answers import compare_answers, extract_answer

__all__ = ["Grade", "Grader", "grade_mathematics", "graded"]


@dataclass(frozen=True)
class Grade:
    """What a checker says of a solution."""

    correct: bool | None
    """Whether its final answer is the gold one; None: the checker could not tell, e.g. it ran out of time."""
    found: str | None = None
    """The final answer; None: none is marked."""


class Grader(Protocol):
    """A checker for a kind of task: mathematics, multiple choice, code with tests."""

    def __call__(self, gold: str, text: str) -> Grade:
        """Judge a whole solution by the gold answer."""


def grade_mathematics(gold: str, text: str) -> Grade:
    """Compare the last answer that the solution marks with the gold one, as mathematics.

    >>> grade_mathematics("0.5", "Step 1: It is half.\\nAnswer: 1/2")
    Grade(correct=True, found='1/2')
    """
    found = extract_answer(text)
    return Grade(found is not None and compare_answers(gold, found), found)


def graded(grade: Grader, gold: str, text: str) -> Grade:
    """Judge, and take a checker that fails for one that could not tell: a failure is no sign of a wrong solution."""
    try:
        return grade(gold, text)
    except Exception:  # it is the user's, and may raise anything; whoever calls counts it
        return Grade(None)
