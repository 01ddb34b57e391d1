"""Hours and days in minutes."""

from __future__ import annotations

from tenon.tasks.math.plot import Family, Move

__all__ = ["TIME"]

TIME = Family(
    name="time",
    level="harder",
    limit=1000,
    slots={
        "task": (
            "practice",
            "training",
            "homework",
            "cleaning",
            "painting",
            "sewing",
            "gardening",
            "cooking",
            "drawing",
            "swimming",
            "reading",
            "singing",
        )
    },
    openings=(
        Move(
            says=(
                "{Name} spends {a} hours on {task} and counts the minutes.",
                "The {task} of {Name} takes {a} hours. {He} wants it in minutes.",
                "{Name} plans {a} hours for {task}, and writes them down in minutes.",
            ),
            steps=("a * 60 | That is {eq} minutes.",),
            ranges={"a": (2, 9)},
        ),
        Move(
            says=(
                "{Name} spends {b} minutes a day on {task}, for {a} days.",
                "For {a} days, {Name} does {b} minutes of {task} each day.",
                "{Name} does {task} on {a} days. Each time it takes {b} minutes.",
            ),
            steps=("a * b | That is {eq} minutes.",),
            ranges={"b": (10, 95, 5)},
        ),
        Move(
            says=(
                "{Name} spends {b} minutes a day on {task}, and does so for {a} weeks, on every day.",
                "For {a} full weeks, {Name} does {b} minutes of {task} each day.",
            ),
            steps=("a * 7 | That is {eq} days.", "x * b | That is {eq} minutes."),
            ranges={"a": (2, 9), "b": (3, 9)},
        ),
        Move(
            says=(
                "{Name} spends {a} minutes on {task}.",
                "The {task} of {Name} takes {a} minutes.",
                "{Name} needs {a} minutes for {task}.",
            ),
            ranges={"a": (30, 240, 5)},
        ),
        Move(
            says=(
                "{Name} spends {a} hours and {b} minutes on {task}.",
                "The {task} of {Name} takes {a} hours and {b} minutes.",
            ),
            steps=("a * 60 | The hours are {eq} minutes.", "x + b | That is {eq} minutes."),
            ranges={"a": (2, 6), "b": (5, 55, 5)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} goes on for {a} more minutes.",
                "{He} needs {a} minutes more than planned.",
                "{He} adds {a} minutes at the end.",
            ),
            steps=("t + a | Now it is {eq} minutes.",),
            ranges={"a": (5, 90, 5)},
        ),
        Move(
            says=(
                "{a} of these minutes are a break that does not count.",
                "{Friend} helps, which saves {a} minutes.",
                "{He} stops {a} minutes early.",
            ),
            steps=("t - a | Now it is {eq} minutes.",),
            ranges={"a": (5, 90, 5)},
        ),
        Move(
            says=(
                "{He} takes {a} breaks of {b} minutes, which do not count.",
                "{a} times {he} rests for {b} minutes, and this is taken off.",
            ),
            steps=("a * b | The breaks take {eq} minutes.", "t - x | Now it is {eq} minutes."),
            ranges={"b": (3, 15)},
        ),
        Move(
            says=("{He} adds {a} rounds of {b} minutes.", "On {a} other days {he} does {b} minutes more."),
            steps=("a * b | This adds {eq} minutes.", "t + x | Now it is {eq} minutes."),
            ranges={"b": (5, 45, 5)},
        ),
        Move(
            says=("{Friend} adds {a} hours of {task}.", "{He} works {a} hours more."),
            steps=("a * 60 | This adds {eq} minutes.", "t + x | Now it is {eq} minutes."),
            ranges={"a": (2, 5)},
        ),
    ),
    closings=(
        Move(asks=("How many minutes is that?", "How many minutes is that in the end?", "How many minutes is it now?")),
        Move(
            says=("{He} splits this time into {a} equal parts.", "The time is spread evenly over {a} days."),
            steps=("t / a | Each part has {eq} minutes.",),
            asks=("How many minutes does each part have?", "How many minutes is one part?"),
        ),
        Move(
            says=("The plan was {a} minutes.", "{He} wants to reach {a} minutes."),
            steps=("a - t | The difference is {eq} minutes.",),
            asks=("How many minutes are missing?", "How many more minutes would that take?"),
        ),
        Move(
            says=("{Third} needs {part} this time.", "{Third} is quicker and needs only {part} this time."),
            steps=("t / p | {Third} needs {eq} minutes.",),
            asks=("How many minutes does {Third} need?", "How many minutes is that for {Third}?"),
        ),
        Move(
            says=("{Third} takes {a} times as long.", "It takes {Third} {a} times as many minutes."),
            steps=("t * a | {Third} needs {eq} minutes.",),
            ranges={"a": (3, 4)},
            asks=("How many minutes does {Third} need?", "How many minutes is that for {Third}?"),
        ),
    ),
    distractors=(
        "{Name} is {d} years old.",
        "The room has {d} chairs.",
        "{Friend} lives in house number {d}.",
        "The lamp costs {d} dollars.",
        "There are {d} cookies on a plate.",
    ),
)
