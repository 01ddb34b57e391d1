"""Buying and using up things from the market."""

from __future__ import annotations

from tenon.tasks.math.names import BOXES, FOOD, ITEMS, PLACES
from tenon.tasks.math.plot import Family, Move

__all__ = ["SHOPPING"]

SHOPPING = Family(
    name="shopping",
    level="easy",
    limit=100,
    slots={"thing": ITEMS + FOOD, "box": BOXES, "place": PLACES},
    openings=(
        Move(
            says=(
                "{Name} goes to the {place} and buys {a} {boxes} with {b} {things} in each {box}.",
                "{Name} buys {a} {boxes} of {things} at the {place}. Each {box} holds {b} {things}.",
                "There are {b} {things} in every {box}. {Name} takes {a} {boxes} home from the {place}.",
                "At the {place}, {Name} pays for {a} {boxes}, each with {b} {things}.",
            ),
            steps=("a * b | {Name} buys {eq} {things}.",),
        ),
        Move(
            says=(
                "{Name} buys {a} {things} at the {place}.",
                "{Name} comes home from the {place} with {a} {things}.",
                "There are {a} {things} in the shopping cart of {Name}.",
                "{Name} has {a} {things} at home.",
            ),
            ranges={"a": (6, 60)},
        ),
        Move(
            says=(
                "{Name} buys {a} {things} in the morning and {b} {things} in the evening.",
                "{Name} buys {a} {things} at one {place} and {b} at another.",
                "{Name} finds {a} red {things} and {b} blue {things} at the {place} and buys them all.",
            ),
            steps=("a + b | {Name} buys {eq} {things}.",),
            ranges={"a": (4, 48), "b": (4, 48)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} buys {a} more {things}.",
                "{He} gets {a} more {things} for free.",
                "{He} goes back and picks {a} more {things}.",
                "{Friend} brings {him} another {a} {things}.",
            ),
            steps=("t + a | {Name} has {eq} {things}.",),
        ),
        Move(
            says=(
                "{He} gives {a} {things} to {Friend}.",
                "{Friend} takes {a} of the {things}.",
                "{He} brings {a} {things} back to the {place}.",
                "{He} uses {a} of the {things}.",
            ),
            steps=("t - a | {Name} has {eq} {things} left.",),
        ),
        Move(
            says=(
                "{He} also buys {a} {boxes} with {b} {things} in each.",
                "{He} adds {a} {boxes}. Every {box} has {b} {things}.",
                "{Friend} gives {him} {a} {boxes} of {b} {things} each.",
            ),
            steps=("a * b | The {boxes} hold {eq} {things}.", "t + x | {Name} has {eq} {things}."),
        ),
        Move(
            says=(
                "{He} gives {a} {things} to each of {b} neighbors.",
                "{a} {things} go to each of {his} {b} cousins.",
                "{He} has {b} friends and hands each of them {a} {things}.",
            ),
            steps=("a * b | {He} gives away {eq} {things}.", "t - x | {Name} has {eq} {things} left."),
        ),
        Move(
            says=(
                "{He} gives {part} {his} {things} to {Friend}.",
                "{part_} the {things} are broken and thrown away.",
                "{He} sells {part} the {things}.",
            ),
            steps=("t / p | {part_} the {things} is {eq}.", "t - x | {Name} has {eq} {things} left."),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many {things} does {Name} have now?",
                "How many {things} are there in the end?",
                "How many {things} does {he} have at the end?",
                "What is the number of {things} that {Name} has now?",
            )
        ),
        Move(
            says=(
                "{He} packs the {things} into {boxes} of {a}.",
                "{He} puts all of them into {boxes} that hold {a} {things} each.",
            ),
            steps=("t / a | {He} fills {eq} {boxes}.",),
            asks=("How many {boxes} does {he} fill?", "How many {boxes} does {Name} need?"),
        ),
        Move(
            says=("{He} pays {a} dollars for each of the {things}.", "Each {thing} costs {a} dollars."),
            steps=("t * a | The {things} cost {eq} dollars.",),
            asks=("How many dollars do these {things} cost?", "What do all of these {things} cost in dollars?"),
        ),
        Move(
            says=(
                "{He} needs {a} {things} in all.",
                "{Name} wants to have {a} {things}.",
            ),
            steps=("a - t | {He} needs {eq} more {things}.",),
            asks=("How many more {things} does {he} need?", "How many {things} are still missing?"),
        ),
    ),
    distractors=(
        "The {place} opens {d} minutes late.",
        "{Friend} lives {d} steps away from the {place}.",
        "There are {d} people in line.",
        "{Name} is {d} years old.",
        "A poster at the {place} costs {d} dollars.",
    ),
)
