"""Grade-school mathematics: generated word problems with verified steps, readers of GSM8K and MATH, answer checking.

    >>> problem = generate_problem(0, "train", 0, steps=1)
    >>> verify(problem)  # raises when any step is false

Problem 0 of a split is always the same; no test problem shares its equations with a training problem.
"""

from __future__ import annotations

from tenon.tasks.math.generate import generate_problem, generate_problems
from tenon.tasks.math.problem import (
    Problem,
    Step,
    find_faults,
    parse_solution,
    render_solution,
    split_of,
    verify,
)
from tenon.tasks.math.stories import FAMILIES

__all__ = [
    "FAMILIES",
    "Problem",
    "Step",
    "find_faults",
    "generate_problem",
    "generate_problems",
    "parse_solution",
    "render_solution",
    "split_of",
    "verify",
]
