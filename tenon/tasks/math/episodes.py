"""Problems that only make sense together: the first tells what an invented unit holds, the others use it.

A chain of ordinary problems teaches a reader nothing that the last one needs, so a model that forgets them loses
nothing. In an episode the word `plim` means a number of pieces that stands in the first question and in every solution,
never in the later questions: who cannot see the earlier problems cannot solve the last.

>>> first, second = generate_episode(0, "train", 0, count=2)
>>> first.question.startswith("One "), second.question.startswith("One ")
(True, False)
"""

from __future__ import annotations

from random import Random

from tenon.core.errors import ConfigError
from tenon.core.seeds import derive
from tenon.tasks.math.names import FOOD, HE, ITEMS, KEEPSAKES, SHE, plural
from tenon.tasks.math.problem import Operator, Problem, Split, Step, calculate, split_of

__all__ = ["generate_episode"]

ONSETS = (
    "b", "bl", "br", "d", "dr", "f", "fl", "g", "gl", "gr", "k", "kl", "m", "n", "p", "pl", "pr", "s",
    "sk", "sl", "t", "tr",
)  # fmt: skip
VOWELS = "aeiou"
CODAS = ("ck", "ft", "g", "ld", "lk", "m", "mp", "n", "nk", "p", "rd", "rk", "sk", "t", "x")

# Each continuation turns the number of things into the answer: what is said and asked, the step and its clause.
CONTINUATIONS: tuple[tuple[str, str, Operator, str], ...] = (
    ("{He} gets {b} more {things}.", "How many {things} does {he} have now?", "+", "{He} has {eq} {things}."),
    ("{He} finds {b} loose {things} as well.", "How many {things} are there in all?", "+", "There are {eq} {things}."),
    ("{He} gives {b} {things} away.", "How many {things} are left?", "-", "{He} has {eq} {things} left."),
    ("{b} of the {things} break.", "How many whole {things} remain?", "-", "There remain {eq} {things}."),
    (
        "{He} shares the {things} equally among {b} friends.",
        "How many {things} does each friend get?",
        "/",
        "Each gets {eq}.",
    ),
    (
        "{He} has promised {b} times as many.",
        "How many {things} has {he} promised?",
        "*",
        "{He} promised {eq} {things}.",
    ),
)
OPENINGS = (
    "{Name} has {a} {units} of {things}.",
    "{Name} buys {a} {units} of {things}.",
    "There are {a} {units} of {things} on {Name}'s table.",
    "{Name} carries home {a} {units} of {things}.",
)


def generate_episode(seed: int, split: Split, index: int, *, count: int) -> tuple[Problem, ...]:
    """Generate `count` problems around one invented unit; the same arguments give the same episode.

    Args:
        seed: Base seed.
        split: Every problem of the episode belongs to it, by its equations.
        index: Number of the episode within the split.
        count: Problems in the episode, 2 or more: the first explains the unit.

    Raises:
        ConfigError: `count` is below 2.
    """
    if count < 2:
        raise ConfigError(
            f"count is {count}; an episode needs 2 or more problems: one that explains the unit and one that uses it."
        )
    rng = Random(derive(seed, "episode", split, index))
    unit = rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
    size = rng.randint(2, 10)
    return tuple(
        _problem(rng, unit, size, split, f"episode-{seed}-{split}-{index}-{place}", place == 0)
        for place in range(count)
    )


def _problem(rng: Random, unit: str, size: int, split: Split, key: str, explains: bool) -> Problem:
    """Draw until the equations belong to the split and the answer is not given away."""
    while True:
        is_she = rng.random() < 0.5
        thing = rng.choice(FOOD + ITEMS + KEEPSAKES)
        amount = rng.randint(2, 9)
        told = {
            "Name": rng.choice(SHE if is_she else HE),
            "he": "she" if is_she else "he",
            "He": "She" if is_she else "He",
        }
        told |= {"things": plural(thing), "units": plural(unit), "a": str(amount)}
        total = amount * size
        steps = [
            Step(amount, "*", size, total, f"The {told['units']} hold {amount} * {size} = {total} {told['things']}.")
        ]
        says = [rng.choice(OPENINGS).format_map(told)]
        ask = "How many {things} is that?"
        if rng.random() < 0.75:
            say, ask, op, clause = rng.choice(CONTINUATIONS)
            other = rng.randint(2, 9) if op in "*/" else rng.randint(2, 30)
            value = calculate(total, op, other)
            if value is None or value < 2 or (op == "*" and total > 30):
                continue
            says.append(say.format_map(told | {"b": str(other)}))
            text = clause.format_map(told | {"eq": f"{total} {op} {other} = {value}"})
            steps.append(Step(total, op, other, value, text))
        if explains:
            says.insert(0, f"One {unit} holds {size} pieces of anything.")
        question = " ".join([*says, ask.format_map(told)])
        answer = str(steps[-1].value)
        if split_of([step.equation for step in steps]) == split and answer not in question.replace(".", " ").split():
            return Problem(
                question=question, steps=tuple(steps), answer=answer, key=key, split=split, family="episode",
                level="easy", num_steps=len(steps), has_distractor=False,
            )  # fmt: skip
