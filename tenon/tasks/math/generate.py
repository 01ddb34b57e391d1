"""Generated grade-school word problems whose every step is known to be true.

    >>> problem = generate_problem(0, "train", 0, steps=2, family="shopping")
    >>> problem.num_steps, problem.solution.splitlines()[-1] == f"Answer: {problem.answer}"
    (2, True)

Splits are disjoint by construction: the equations of a problem decide its split (`split_of`), and the generator draws
until they fall into the one asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from tenon.core.errors import ConfigError
from tenon.core.seeds import derive
from tenon.tasks.math.plot import Family, Unfit, plan, tell
from tenon.tasks.math.problem import Problem, Split, split_of
from tenon.tasks.math.stories import FAMILIES

__all__ = ["DISTRACTOR_SHARE", "MAX_STEPS", "generate_problem", "generate_problems"]

MAX_STEPS = 6
DISTRACTOR_SHARE = 0.25
"""How often a problem has a distractor when the caller does not say."""

_STEP_WEIGHTS = (16, 24, 24, 16, 12, 8)  # of 1, 2, ... MAX_STEPS steps, when the caller does not say
_MAX_DRAWS = 100_000  # a draw fits with a chance of about 1 in 20; running out means that a family is broken


def generate_problem(
    seed: int,
    split: Split,
    index: int,
    *,
    steps: int | None = None,
    family: str | None = None,
    distractor: bool | None = None,
) -> Problem:
    """Generate one problem; the same arguments give the same problem, whatever was generated before.

    Args:
        seed: Base seed.
        split: Share of the world of problems to draw from.
        index: Number of the problem within the split.
        steps: Steps of the solution, 1 to 6; drawn when None.
        family: Kind of story, a key of `FAMILIES`; drawn when None.
        distractor: Whether a sentence gives a number that no step needs; one in four when None.

    Raises:
        ConfigError: an unknown split or family, or `steps` out of range.
    """
    if split not in ("train", "valid", "test"):
        raise ConfigError(f"split is {split!r}; it must be 'train', 'valid' or 'test'.")
    if family is not None and family not in FAMILIES:
        raise ConfigError(f"family is {family!r}; it must be one of: {', '.join(FAMILIES)}.")
    if steps is not None and not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"steps is {steps}; it must be 1 to {MAX_STEPS}.")
    rng = Random(derive(seed, "math", split, index, steps, family, distractor))
    kind = FAMILIES[rng.choice(tuple(FAMILIES)) if family is None else family]
    num_steps = rng.choices(range(1, MAX_STEPS + 1), _STEP_WEIGHTS)[0] if steps is None else steps
    has_distractor = rng.random() < DISTRACTOR_SHARE if distractor is None else distractor
    asked = {"steps": steps, "family": family, "distractor": distractor}
    key = "-".join([f"math-{seed}-{split}-{index}", *(f"{k}={v}" for k, v in asked.items() if v is not None)])
    for _ in range(_MAX_DRAWS):
        problem = _draw_problem(kind, num_steps, has_distractor, split, key, rng)
        if problem is not None:
            return problem
    raise AssertionError(f"family {kind.name!r} has no {split} problem with {num_steps} steps")


def generate_problems(
    seed: int,
    split: Split,
    count: int,
    *,
    start: int = 0,
    steps: int | None = None,
    family: str | None = None,
    distractor: bool | None = None,
) -> Iterator[Problem]:
    """Generate problems `start` to `start + count - 1`; see `generate_problem`."""
    for index in range(start, start + count):
        yield generate_problem(seed, split, index, steps=steps, family=family, distractor=distractor)


def _draw_problem(
    kind: Family, num_steps: int, has_distractor: bool, split: Split, key: str, rng: Random
) -> Problem | None:
    """One try: None when the numbers do not work out, belong to another split, or give the answer away."""
    try:
        story = plan(kind, num_steps, rng)
        if split_of(story.equations) != split:
            return None
        question, steps = tell(kind, story, rng, distractor=has_distractor)
    except Unfit:
        return None
    answer = str(steps[-1].value)
    if answer in re.findall(r"\d+", question):
        return None
    return Problem(
        question=question,
        steps=steps,
        answer=answer,
        key=key,
        split=split,
        family=kind.name,
        level=kind.level,
        num_steps=num_steps,
        has_distractor=has_distractor,
    )
