"""Dollars and cents."""

from __future__ import annotations

from tenon.tasks.math.names import FOOD, ITEMS
from tenon.tasks.math.plot import Family, Move

__all__ = ["COINS"]

COINS = Family(
    name="coins",
    level="harder",
    limit=1000,
    slots={"thing": FOOD + ITEMS, "place": ("kiosk", "bakery", "market", "shop", "stand", "fair")},
    openings=(
        Move(
            says=(
                "{Name} has {a} dollars and counts them in cents.",
                "{Name} goes to the {place} with {a} dollars and pays everything in cents.",
                "{Name} changes {a} dollars into cents.",
            ),
            steps=("a * 100 | {Name} has {eq} cents.",),
            ranges={"a": (2, 9)},
        ),
        Move(
            says=(
                "{Name} has {a} dollars and {b} cents, and counts it all in cents.",
                "In cents, {Name} wants to know what {a} dollars and {b} cents are.",
            ),
            steps=("a * 100 | The dollars are {eq} cents.", "x + b | {Name} has {eq} cents."),
            ranges={"a": (2, 8), "b": (10, 95, 5)},
        ),
        Move(
            says=(
                "{Name} has {a} coins of {b} cents.",
                "{Name} finds {a} coins. Each is worth {b} cents.",
                "There are {a} coins in the pocket of {Name}, and each is worth {b} cents.",
            ),
            steps=("a * b | {Name} has {eq} cents.",),
            ranges={"a": (3, 30), "b": (5, 10, 5)},
        ),
        Move(
            says=(
                "{Name} has {a} cents.",
                "{Name} goes to the {place} with {a} cents.",
                "There are {a} cents in the purse of {Name}.",
            ),
            ranges={"a": (100, 700, 5)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} pays {a} cents for a {thing} at the {place}.",
                "{He} loses {a} cents on the way.",
                "{He} gives {a} cents to {Friend}.",
            ),
            steps=("t - a | {Name} has {eq} cents left.",),
            ranges={"a": (10, 250, 5)},
        ),
        Move(
            says=("{He} gets {a} cents from {Friend}.", "{He} finds {a} cents.", "{Third} gives {him} {a} cents."),
            steps=("t + a | {Name} has {eq} cents.",),
            ranges={"a": (10, 250, 5)},
        ),
        Move(
            says=(
                "{He} buys {a} {things} for {b} cents each.",
                "At the {place} one {thing} costs {b} cents, and {he} buys {a} {things}.",
            ),
            steps=("a * b | The {things} cost {eq} cents.", "t - x | {Name} has {eq} cents left."),
            ranges={"b": (10, 95, 5)},
        ),
        Move(
            says=("{He} sells {a} {things} for {b} cents each.", "{a} neighbors give {him} {b} cents each."),
            steps=("a * b | {He} gets {eq} cents.", "t + x | {Name} has {eq} cents."),
            ranges={"b": (10, 75, 5)},
        ),
        Move(
            says=("{He} spends {part} this money.", "{He} gives {part} this money to {Friend}."),
            steps=("t / p | {part_} the money is {eq} cents.", "t - x | {Name} has {eq} cents left."),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many cents does {Name} have?",
                "How many cents does {he} have in the end?",
                "How many cents is that in the end?",
            )
        ),
        Move(
            says=("{He} shares this money equally among {a} children.", "{a} children share all of it equally."),
            steps=("t / a | Each child gets {eq} cents.",),
            asks=("How many cents does each child get?", "How many cents is that for one child?"),
        ),
        Move(
            says=("A {thing} at the {place} costs {a} cents.", "{He} wants to have {a} cents."),
            steps=("a - t | {He} needs {eq} more cents.",),
            asks=("How many more cents does {he} need?", "How many cents are missing?"),
        ),
        Move(
            says=(
                "{He} spends all of it on {things} for {a} cents each.",
                "One {thing} costs {a} cents, and {he} buys as many as {he} can.",
            ),
            steps=("t / a | That buys {eq} {things}.",),
            asks=("How many {things} does {he} get?", "How many {things} is that?"),
        ),
    ),
    distractors=(
        "The {place} is {d} years old.",
        "{Friend} waits for {d} minutes.",
        "{Name} is {d} years old.",
        "The {place} has {d} shelves.",
        "There are {d} people at the {place}.",
    ),
)
