"""Grade-school mathematics: generated word problems with verified steps, readers of GSM8K and MATH, answer checking.

    >>> problem = generate_problem(0, "train", 0, steps=1)
    >>> verify(problem)  # raises when any step is false

Problem 0 of a split is always the same; no test problem shares its equations with a training problem.
"""

from __future__ import annotations

from tenon.tasks.math.answers import extract_answer, extract_last_number, is_correct, same_answer
from tenon.tasks.math.episodes import generate_episode
from tenon.tasks.math.faults import FAULTS, Fault, diagnose
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
from tenon.tasks.math.readers import WrittenProblem, read_gsm8k, read_math
from tenon.tasks.math.stories import FAMILIES

__all__ = [
    "FAMILIES",
    "FAULTS",
    "Fault",
    "Problem",
    "Step",
    "WrittenProblem",
    "diagnose",
    "extract_answer",
    "extract_last_number",
    "find_faults",
    "generate_episode",
    "generate_problem",
    "generate_problems",
    "is_correct",
    "parse_solution",
    "read_gsm8k",
    "read_math",
    "render_solution",
    "same_answer",
    "split_of",
    "verify",
]
