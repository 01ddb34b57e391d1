"""Collections, compared and traded among friends."""

from __future__ import annotations

from tenon.tasks.math.names import KEEPSAKES
from tenon.tasks.math.plot import Family, Move

__all__ = ["TRADING"]

TRADING = Family(
    name="trading",
    level="easy",
    limit=100,
    slots={"thing": KEEPSAKES, "box": ("album", "box", "tin", "bag", "case", "pack", "jar")},
    openings=(
        Move(
            says=(
                "{Name} collects {things} and has {a}.",
                "{Name} has {a} {things}.",
                "There are {a} {things} in the collection of {Name}.",
            ),
            ranges={"a": (6, 60)},
        ),
        Move(
            says=(
                "{Friend} has {a} {things}. {Name} has {b} times as many.",
                "{Name} has {b} times as many {things} as {Friend}, who has {a}.",
            ),
            steps=("a * b | {Name} has {eq} {things}.",),
            ranges={"a": (3, 20), "b": (3, 6)},
        ),
        Move(
            says=(
                "{Friend} has {a} {things}. {Name} has {b} more than {Friend}.",
                "{Friend} has {a} {things}, and {Name} has {b} more than that.",
            ),
            steps=("a + b | {Name} has {eq} {things}.",),
            ranges={"a": (5, 45), "b": (3, 40)},
        ),
        Move(
            says=(
                "{Friend} has {a} {things}. {Name} has {b} fewer.",
                "{Name} has {b} {things} fewer than {Friend}, who has {a}.",
            ),
            steps=("a - b | {Name} has {eq} {things}.",),
            ranges={"a": (15, 80)},
        ),
        Move(
            says=(
                "{Name} has {a} {boxes} of {things}, and each {box} holds {b}.",
                "{Name} keeps {things} in {a} {boxes}. There are {b} {things} in every {box}.",
            ),
            steps=("a * b | {Name} has {eq} {things}.",),
        ),
    ),
    moves=(
        Move(
            says=(
                "{Third} gives {him} {a} {things}.",
                "{He} wins {a} {things} in a game.",
                "{He} finds {a} more {things} in a drawer.",
            ),
            steps=("t + a | {Name} has {eq} {things}.",),
        ),
        Move(
            says=("{He} gives {a} {things} to {Third}.", "{He} loses {a} {things}.", "{He} sells {a} {things}."),
            steps=("t - a | {Name} has {eq} {things}.",),
        ),
        Move(
            says=(
                "{He} trades {a} {things} and gets {b} {things} back.",
                "{Third} takes {a} of the {things} and gives {him} {b} others for them.",
            ),
            steps=("t - a | {He} is left with {eq} {things}.", "x + b | {Name} has {eq} {things}."),
            ranges={"b": (2, 20)},
        ),
        Move(
            says=("{He} buys {a} {boxes} with {b} {things} in each.", "{a} friends give {him} {b} {things} each."),
            steps=("a * b | {He} gets {eq} {things}.", "t + x | {Name} has {eq} {things}."),
        ),
        Move(
            says=("{He} gives {part} {his} {things} away.", "{He} trades {part} the {things} for a book."),
            steps=("t / p | {part_} the {things} is {eq}.", "t - x | {Name} has {eq} {things}."),
        ),
        Move(
            says=("{He} doubles {his} collection.", "{He} then has twice as many {things} as before."),
            steps=("t * 2 | {Name} has {eq} {things}.",),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many {things} does {Name} have now?",
                "How many {things} does {he} have in the end?",
                "How many {things} are in the collection of {Name} now?",
            )
        ),
        Move(
            says=("{Third} has {a} {things}.", "The collection of {Third} has {a} {things}."),
            steps=("a - t | {Third} has {eq} {things} more.",),
            asks=(
                "How many more {things} does {Third} have than {Name}?",
                "How many {things} does {Name} lack to have as many as {Third}?",
            ),
        ),
        Move(
            says=(
                "{He} puts them into {boxes}, {a} in each.",
                "Each {box} has room for {a} {things}, and {he} puts all of them away.",
            ),
            steps=("t / a | {He} fills {eq} {boxes}.",),
            asks=("How many {boxes} does {he} fill?", "How many {boxes} are filled?"),
        ),
        Move(
            says=("{Third} has {a} times as many {things}.", "{a} times as many {things} belong to {Third}."),
            steps=("t * a | {Third} has {eq} {things}.", "t + x | Together they have {eq} {things}."),
            ranges={"a": (3, 5)},
            asks=(
                "How many {things} do {Name} and {Third} have together?",
                "How many {things} do the two have in all?",
            ),
        ),
    ),
    distractors=(
        "{Third} has {d} pencils.",
        "{Name} is {d} years old.",
        "The club meets for {d} minutes.",
        "The shelf is {d} cm wide.",
        "{Friend} paid {d} dollars for a ticket.",
    ),
)
