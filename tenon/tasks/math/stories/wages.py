"""Money earned by the hour or by the piece."""

from __future__ import annotations

from tenon.tasks.math.names import TOOLS
from tenon.tasks.math.plot import Family, Move

__all__ = ["WAGES"]

WAGES = Family(
    name="wages",
    level="harder",
    limit=1000,
    slots={
        "thing": TOOLS,
        "job": (
            "baker",
            "painter",
            "driver",
            "gardener",
            "waiter",
            "tailor",
            "plumber",
            "cook",
            "guard",
            "cleaner",
            "farmer",
            "barber",
        ),
    },
    openings=(
        Move(
            says=(
                "{Name} works as a {job} for {a} hours and earns {b} dollars per hour.",
                "A {job} earns {b} dollars an hour. {Name} has this job and works {a} hours.",
                "{Name} is paid {b} dollars for each hour as a {job} and works for {a} hours.",
            ),
            steps=("a * b | {Name} earns {eq} dollars.",),
            ranges={"b": (8, 40)},
        ),
        Move(
            says=(
                "{Name} earns {a} dollars as a {job}.",
                "The {job} {Name} gets {a} dollars.",
                "{Name} has a job as a {job} and makes {a} dollars.",
            ),
            ranges={"a": (40, 400)},
        ),
        Move(
            says=(
                "{Name} makes {a} {things} and sells them for {b} dollars each.",
                "{Name} sells {a} {things} at a price of {b} dollars each.",
            ),
            steps=("a * b | {Name} earns {eq} dollars.",),
            ranges={"b": (10, 95)},
        ),
        Move(
            says=(
                "{Name} works {a} hours a day for {b} days. One hour is paid with {c} dollars.",
                "{Name} is a {job} and works {b} days with {a} hours each. Each hour brings {c} dollars.",
            ),
            steps=("a * b | {Name} works {eq} hours.", "x * c | {Name} earns {eq} dollars."),
            ranges={"b": (2, 7)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} gets a tip of {a} dollars.",
                "{He} gets {a} dollars extra.",
                "{Friend} pays {him} another {a} dollars.",
            ),
            steps=("t + a | Now it is {eq} dollars.",),
            ranges={"a": (5, 120)},
        ),
        Move(
            says=(
                "{He} pays {a} dollars in tax.",
                "{He} spends {a} dollars on new shoes.",
                "{He} pays {a} dollars for gas.",
            ),
            steps=("t - a | Now it is {eq} dollars.",),
        ),
        Move(
            says=(
                "{He} works {a} more hours for {b} dollars an hour.",
                "{He} repairs {a} {things} for {b} dollars each.",
            ),
            steps=("a * b | That brings {eq} dollars.", "t + x | Now it is {eq} dollars."),
            ranges={"b": (5, 40)},
        ),
        Move(
            says=("{He} buys {a} tools for {b} dollars each.", "{He} pays {a} helpers {b} dollars each."),
            steps=("a * b | {He} pays {eq} dollars.", "t - x | Now it is {eq} dollars."),
            ranges={"b": (5, 40)},
        ),
        Move(
            says=("{part_} the money goes to {his} family.", "{He} spends {part} the money on rent."),
            steps=("t / p | {part_} the money is {eq} dollars.", "t - x | Now it is {eq} dollars."),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many dollars does {Name} have in the end?",
                "How many dollars is that in the end?",
                "How many dollars does {he} have now?",
            )
        ),
        Move(
            says=(
                "{He} splits the money evenly with friends, so that {a} people get the same.",
                "{a} workers share this money equally.",
            ),
            steps=("t / a | Each person gets {eq} dollars.",),
            asks=("How many dollars does each person get?", "What is the share of one person in dollars?"),
        ),
        Move(
            says=("{He} needs {a} dollars for the rent.", "A new machine costs {a} dollars."),
            steps=("a - t | {He} needs {eq} more dollars.",),
            asks=("How many more dollars does {he} need?", "How many dollars are missing?"),
        ),
        Move(
            says=("{He} gets this amount every month for {a} months.", "This happens in each of {a} months."),
            steps=("t * a | In that time it is {eq} dollars.",),
            asks=("How many dollars is that in this time?", "How many dollars is that after all these months?"),
        ),
    ),
    distractors=(
        "{Name} is {d} years old.",
        "The way to work takes {d} minutes.",
        "{Friend} has worked there for {d} years.",
        "The shop has {d} rooms.",
        "The {job} next door has {d} customers.",
    ),
)
