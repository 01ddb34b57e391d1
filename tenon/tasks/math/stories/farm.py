"""Animals that come and go on a farm."""

from __future__ import annotations

from tenon.tasks.math.names import ANIMALS
from tenon.tasks.math.plot import Family, Move

__all__ = ["FARM"]

FARM = Family(
    name="farm",
    level="easy",
    limit=100,
    slots={"thing": ANIMALS, "barn": ("barn", "stable", "pen", "field", "yard", "shed")},
    openings=(
        Move(
            says=(
                "A farm has {a} {barns} with {b} {things} in each.",
                "{Name} works on a farm with {a} {barns}. {b} {things} live in each {barn}.",
                "There are {b} {things} in each of the {a} {barns} of {Name}.",
            ),
            steps=("a * b | The farm has {eq} {things}.",),
        ),
        Move(
            says=(
                "{Name} has {a} {things} on a farm.",
                "{a} {things} live on the farm of {Name}.",
                "{Name} is a farmer and owns {a} {things}.",
            ),
            ranges={"a": (6, 60)},
        ),
        Move(
            says=(
                "On the farm of {Name} there are {a} brown {things} and {b} white {things}.",
                "{Name} sees {a} {things} in one {barn} and {b} {things} in the next.",
            ),
            steps=("a + b | The farm has {eq} {things}.",),
            ranges={"a": (4, 45), "b": (4, 45)},
        ),
        Move(
            says=(
                "{Name} has {a} {things}. {Friend} has {b} times as many, and they run one farm together.",
                "On one farm, {Name} keeps {a} {things} and {Friend} keeps {b} times as many.",
            ),
            steps=("a * b | {Friend} has {eq} {things}.", "a + x | The farm has {eq} {things}."),
            ranges={"a": (3, 20), "b": (2, 5)},
        ),
    ),
    moves=(
        Move(
            says=("{He} sells {a} {things}.", "{a} {things} run away.", "{He} brings {a} {things} to {Third}."),
            steps=("t - a | There are {eq} {things} left.",),
        ),
        Move(
            says=(
                "{He} buys {a} more {things}.",
                "{a} young {things} are born.",
                "{Third} gives the farm {a} {things}.",
            ),
            steps=("t + a | Now there are {eq} {things}.",),
        ),
        Move(
            says=("{He} buys {a} groups of {b} {things}.", "{a} trucks come, and each brings {b} {things}."),
            steps=("a * b | {eq} {things} are new.", "t + x | Now there are {eq} {things}."),
        ),
        Move(
            says=(
                "{a} farmers come, and each of them buys {b} {things}.",
                "{He} sells {b} {things} to each of {a} neighbors.",
            ),
            steps=("a * b | The farm sells {eq} {things}.", "t - x | There are {eq} {things} left."),
        ),
        Move(
            says=("{part_} the {things} move to another farm.", "{He} sells {part} the {things}."),
            steps=("t / p | {part_} the {things} is {eq}.", "t - x | There are {eq} {things} left."),
        ),
    ),
    closings=(
        Move(
            says=(
                "The {things} are put into {a} {barns}, the same number in each.",
                "{a} {barns} hold all of them, with equal numbers.",
            ),
            steps=("t / a | Each {barn} holds {eq} {things}.",),
            asks=("How many {things} are in each {barn}?", "How many {things} live in one {barn}?"),
        ),
        Move(
            says=(
                "Each of the {things} eats {a} kg of food a week.",
                "One of the {things} needs {a} kg of food every week.",
            ),
            steps=("t * a | They eat {eq} kg of food.",),
            asks=("How many kg of food do they eat in a week?", "How many kg of food are needed each week?"),
        ),
        Move(
            says=("{Third} has {a} {things}.", "The next farm has {a} {things}."),
            steps=("a - t | The difference is {eq} {things}.",),
            asks=(
                "How many more {things} are there than at {Name}'s farm?",
                "How many fewer {things} does {Name} have?",
            ),
        ),
        Move(
            asks=(
                "How many {things} are on the farm now?",
                "How many {things} are there in the end?",
                "How many {things} does the farm have now?",
            )
        ),
    ),
    distractors=(
        "The farm is {d} years old.",
        "A tractor needs {d} liters of fuel.",
        "There are {d} apple trees behind the {barn}.",
        "{Third} owns {d} cats.",
        "The {barn} is {d} meters long.",
    ),
)
