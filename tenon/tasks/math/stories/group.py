"""Fractions of a group of people."""

from __future__ import annotations

from tenon.tasks.math.plot import Family, Move

__all__ = ["GROUP"]

GROUP = Family(
    name="group",
    level="harder",
    limit=600,
    slots={
        "thing": (
            "player",
            "visitor",
            "worker",
            "dancer",
            "singer",
            "hiker",
            "swimmer",
            "soldier",
            "runner",
            "camper",
            "scout",
            "actor",
        ),
        "place": ("hall", "park", "camp", "stadium", "museum", "theater", "zoo", "harbor", "square"),
    },
    openings=(
        Move(
            says=(
                "{Name} counts {a} {things} in the {place}.",
                "There are {a} {things} in the {place} where {Name} works.",
                "{Name} leads a group of {a} {things} at the {place}.",
            ),
            ranges={"a": (24, 240, 12)},
        ),
        Move(
            says=(
                "{a} buses bring {things} to the {place}, {b} in each bus. {Name} counts them.",
                "{Name} sees {a} lines of {b} {things} in the {place}.",
                "At the {place}, {Name} meets {a} teams of {b} {things}.",
            ),
            steps=("a * b | There are {eq} {things}.",),
            ranges={"b": (10, 48, 2)},
        ),
        Move(
            says=(
                "There are {a} {things} in the {place}, and {part} them wear a hat. {Name} counts only those.",
                "{Name} sees {a} {things} in the {place}. {part_} them are women, and {he} leads the women.",
                "{part_} the {a} {things} in the {place} stay for lunch with {Name}.",
            ),
            steps=("a / p | {part_} the {things} is {eq}.",),
            ranges={"a": (60, 480, 60)},
        ),
        Move(
            says=(
                "Two thirds of the {a} {things} in the {place} go with {Name}.",
                "There are {a} {things} in the {place}. Two thirds of them follow {Name}.",
            ),
            steps=("a / 3 | One third of the {things} is {eq}.", "x * 2 | Two thirds is {eq} {things}."),
            ranges={"a": (18, 147, 3)},
        ),
        Move(
            says=(
                "Three quarters of the {a} {things} in the {place} go with {Name}.",
                "There are {a} {things} in the {place}. Three quarters of them follow {Name}.",
            ),
            steps=("a / 4 | One quarter of the {things} is {eq}.", "x * 3 | Three quarters is {eq} {things}."),
            ranges={"a": (20, 160, 4)},
        ),
    ),
    moves=(
        Move(
            says=("{part_} them go home.", "{part_} these {things} leave.", "{part_} the group takes the bus home."),
            steps=("t / p | {part_} the {things} is {eq}.", "t - x | There are {eq} {things} left."),
        ),
        Move(
            says=("Only {part} them stay.", "{He} goes on with {part} these {things}, and the others leave."),
            steps=("t / p | {part_} the {things} is {eq}.",),
        ),
        Move(
            says=(
                "{a} more {things} join.",
                "{a} {things} come late and join.",
                "{Friend} arrives with {a} more {things}.",
            ),
            steps=("t + a | Now there are {eq} {things}.",),
            ranges={"a": (4, 100)},
        ),
        Move(
            says=("{a} of these {things} leave.", "{a} {things} feel tired and stop."),
            steps=("t - a | There are {eq} {things} left.",),
        ),
        Move(
            says=("{a} teams of {b} {things} join.", "{a} vans arrive with {b} {things} each."),
            steps=("a * b | {eq} {things} are new.", "t + x | Now there are {eq} {things}."),
            ranges={"b": (4, 30)},
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many {things} is that?",
                "How many {things} are there in this group now?",
                "How many {things} are with {Name} in the end?",
            )
        ),
        Move(
            says=("They form teams of {a}.", "They split up into teams of {a}."),
            steps=("t / a | That makes {eq} teams.",),
            asks=("How many teams are there?", "How many teams does that make?"),
        ),
        Move(
            says=("Each of them pays {a} dollars.", "A ticket for each of these {things} costs {a} dollars."),
            steps=("t * a | They pay {eq} dollars.",),
            asks=("How many dollars do they pay?", "What do they pay together in dollars?"),
        ),
        Move(
            says=("There is room for {a} {things}.", "The {place} has {a} seats, one for each of them."),
            steps=("a - t | {eq} places are free.",),
            asks=("How many places stay free?", "How many more {things} would fit?"),
        ),
    ),
    distractors=(
        "The {place} is open for {d} minutes.",
        "{Name} is {d} years old.",
        "There are {d} trees around the {place}.",
        "{Friend} sells {d} maps.",
        "The {place} was built {d} years ago.",
    ),
)
