"""Saving dollars for something."""

from __future__ import annotations

from tenon.tasks.math.names import ITEMS, KEEPSAKES
from tenon.tasks.math.plot import Family, Move

__all__ = ["SAVINGS"]

SAVINGS = Family(
    name="savings",
    level="easy",
    limit=150,
    slots={
        "thing": ITEMS + KEEPSAKES,
        "wish": ("bike", "tent", "phone", "guitar", "camera", "drum", "skateboard", "watch"),
    },
    openings=(
        Move(
            says=(
                "{Name} saves {b} dollars a week for {a} weeks.",
                "{Name} puts {b} dollars into a piggy bank every week. {He} does this for {a} weeks.",
                "For {a} weeks, {Name} saves {b} dollars each week.",
                "Every week {Name} gets {b} dollars of pocket money and saves all of it for {a} weeks.",
            ),
            steps=("a * b | {Name} saves {eq} dollars.",),
        ),
        Move(
            says=(
                "{Name} has {a} dollars in a piggy bank.",
                "{Name} has saved {a} dollars.",
                "There are {a} dollars in the wallet of {Name}.",
            ),
            ranges={"a": (10, 80)},
        ),
        Move(
            says=(
                "{Name} gets {a} dollars from an aunt and {b} dollars from an uncle.",
                "{Name} has {a} dollars in one pocket and {b} dollars in the other.",
            ),
            steps=("a + b | {Name} has {eq} dollars.",),
            ranges={"a": (5, 50), "b": (5, 50)},
        ),
        Move(
            says=(
                "{Name} has {a} dollars and {Friend} has {b} dollars more than {Name}. They put their money together.",
                "{Name} saves {a} dollars. {Friend} saves {b} dollars more than that, and they share one piggy bank.",
            ),
            steps=("a + b | {Friend} has {eq} dollars.", "a + x | Together they have {eq} dollars."),
            ranges={"a": (6, 40), "b": (3, 20)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} spends {a} dollars on lunch.",
                "{He} pays {a} dollars for a ticket.",
                "{He} lends {Third} {a} dollars.",
            ),
            steps=("t - a | Now there are {eq} dollars.",),
        ),
        Move(
            says=(
                "{He} gets {a} dollars for {his} birthday.",
                "{He} finds {a} more dollars.",
                "Grandpa adds {a} dollars.",
            ),
            steps=("t + a | Now there are {eq} dollars.",),
        ),
        Move(
            says=(
                "{He} saves {b} dollars a week for {a} more weeks.",
                "{He} sells {a} old {things} for {b} dollars each.",
            ),
            steps=("a * b | {He} adds {eq} dollars.", "t + x | Now there are {eq} dollars."),
        ),
        Move(
            says=(
                "{He} buys {a} {things} for {b} dollars each.",
                "{He} pays for {a} {things} that cost {b} dollars each.",
            ),
            steps=("a * b | The {things} cost {eq} dollars.", "t - x | Now there are {eq} dollars."),
        ),
        Move(
            says=("{He} spends {part} the money.", "{part_} the money goes to {Third}."),
            steps=("t / p | {part_} the money is {eq} dollars.", "t - x | Now there are {eq} dollars."),
        ),
    ),
    closings=(
        Move(
            says=("The {wish} costs {a} dollars.", "{He} wants a {wish} for {a} dollars."),
            steps=("a - t | {He} needs {eq} more dollars.",),
            asks=("How many more dollars does {he} need?", "How many dollars are still missing?"),
        ),
        Move(
            says=(
                "A {wish} costs {a} dollars. From now on {he} saves {b} dollars a week for it.",
                "{He} wants a {wish} for {a} dollars and will save {b} dollars every week until {he} can pay.",
            ),
            steps=("a - t | {He} needs {eq} more dollars.", "x / b | It takes {eq} weeks."),
            asks=("How many weeks does it take?", "After how many weeks can {he} buy it?"),
        ),
        Move(
            says=(
                "One {thing} costs {a} dollars, and all the money is spent on such {things}.",
                "All of the money buys {things} for {a} dollars each.",
            ),
            steps=("t / a | That buys {eq} {things}.",),
            asks=("How many {things} is that?", "How many {things} can {he} buy?"),
        ),
        Move(
            asks=(
                "How many dollars are there now?",
                "How much money is there in the end, in dollars?",
                "How many dollars is that in the end?",
            )
        ),
    ),
    distractors=(
        "The {wish} weighs {d} kg.",
        "{Third} is {d} years old.",
        "The bank is {d} minutes away.",
        "{Name} owns {d} {things}.",
        "The store sells {d} kinds of {things}.",
    ),
)
