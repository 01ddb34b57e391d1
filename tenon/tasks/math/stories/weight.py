"""Weights of animals, compared and changing."""

from __future__ import annotations

from tenon.tasks.math.plot import Family, Move

__all__ = ["WEIGHT"]

WEIGHT = Family(
    name="weight",
    level="harder",
    limit=1000,
    slots={
        "animal": ("dog", "pig", "goat", "calf", "pony", "sheep", "lion", "bear", "seal", "panda"),
        "box": ("crate", "sack", "box", "barrel", "bag", "chest"),
    },
    openings=(
        Move(
            says=(
                "{Name} weighs a {animal} of {a} kg.",
                "The {animal} of {Name} weighs {a} kg.",
                "{Name} has a {animal} with a weight of {a} kg.",
            ),
            ranges={"a": (20, 200)},
        ),
        Move(
            says=(
                "The {animal} of {Friend} weighs {a} kg. The {animal} of {Name} is {b} times as heavy.",
                "{Name} has a {animal} that is {b} times as heavy as the {animal} of {Friend}, which weighs {a} kg.",
            ),
            steps=("a * b | The {animal} weighs {eq} kg.",),
            ranges={"a": (8, 80), "b": (3, 6)},
        ),
        Move(
            says=(
                "The {animal} of {Friend} weighs {a} kg. The {animal} of {Name} is {b} kg heavier.",
                "{Name} has a {animal} that weighs {b} kg more than the one of {Friend}, which weighs {a} kg.",
            ),
            steps=("a + b | The {animal} weighs {eq} kg.",),
            ranges={"a": (15, 150), "b": (5, 90)},
        ),
        Move(
            says=(
                "The {animal} of {Friend} weighs {a} kg. The {animal} of {Name} has only {part} this weight.",
                "{Friend} has a {animal} of {a} kg. The one of {Name} has {part} its weight.",
            ),
            steps=("a / p | The {animal} weighs {eq} kg.",),
            ranges={"a": (60, 480, 20)},
        ),
    ),
    moves=(
        Move(
            says=("It gains {a} kg in a year.", "It eats well and gains {a} kg.", "It gets {a} kg heavier."),
            steps=("t + a | Now it weighs {eq} kg.",),
            ranges={"a": (3, 80)},
        ),
        Move(
            says=("It falls ill and loses {a} kg.", "It loses {a} kg.", "It gets {a} kg lighter."),
            steps=("t - a | Now it weighs {eq} kg.",),
        ),
        Move(
            says=("It gains {b} kg a month for {a} months.", "For {a} weeks it gains {b} kg a week."),
            steps=("a * b | It gains {eq} kg.", "t + x | Now it weighs {eq} kg."),
            ranges={"b": (2, 25)},
        ),
        Move(
            says=("It loses {b} kg a week for {a} weeks.", "For {a} months it loses {b} kg each month."),
            steps=("a * b | It loses {eq} kg.", "t - x | Now it weighs {eq} kg."),
            ranges={"a": (3, 6), "b": (2, 12)},
        ),
        Move(
            says=("It doubles its weight.", "Then it gets twice as heavy."),
            steps=("t * 2 | Now it weighs {eq} kg.",),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many kg does it weigh now?",
                "How many kg does the {animal} weigh?",
                "What is the weight of this {animal} in kg?",
            )
        ),
        Move(
            says=("A {box} of corn weighs {a} kg.", "The {animal} of {Third} weighs {a} kg."),
            steps=("a - t | The difference is {eq} kg.",),
            asks=(
                "How many kg lighter is the {animal} of {Name}?",
                "How many kg does the {animal} of {Name} weigh less?",
            ),
        ),
        Move(
            says=(
                "It travels with {a} {boxes} of {b} kg each.",
                "{Name} puts it on a truck with {a} {boxes}, each of {b} kg.",
            ),
            steps=("a * b | The {boxes} weigh {eq} kg.", "t + x | Together they weigh {eq} kg."),
            ranges={"b": (4, 40)},
            asks=("How many kg do they weigh together?", "What is the whole load in kg?"),
        ),
        Move(
            says=("{a} equal {boxes} together weigh as much as it does.", "It weighs as much as {a} equal {boxes}."),
            steps=("t / a | Each {box} weighs {eq} kg.",),
            asks=("How many kg does each {box} weigh?", "What does one {box} weigh in kg?"),
        ),
        Move(
            says=(
                "{a} such animals are on a truck, all of the same weight.",
                "A truck carries {a} of them, and all weigh the same.",
            ),
            steps=("t * a | They weigh {eq} kg.",),
            asks=("How many kg do they weigh together?", "What do they weigh in all, in kg?"),
        ),
    ),
    distractors=(
        "The {animal} is {d} months old.",
        "{Name} is {d} years old.",
        "The {animal} sleeps for {d} minutes.",
        "{Third} owns {d} birds.",
        "The truck has {d} lights.",
    ),
)
