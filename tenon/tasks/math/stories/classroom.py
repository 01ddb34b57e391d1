"""Students in rows, groups and teams."""

from __future__ import annotations

from tenon.tasks.math.plot import Family, Move

__all__ = ["CLASSROOM"]

CLASSROOM = Family(
    name="classroom",
    level="easy",
    limit=120,
    slots={
        "thing": (
            "pencil",
            "book",
            "crayon",
            "notebook",
            "marker",
            "worksheet",
            "sticker",
            "ruler",
            "folder",
            "eraser",
            "brush",
        ),
        "room": ("class", "school club", "choir", "art class", "math club", "science club"),
    },
    openings=(
        Move(
            says=(
                "The {room} of {Name} has {a} rows with {b} students in each.",
                "In the {room} of {Name} there are {a} groups of {b} students.",
                "{Name} teaches a {room} with {a} full tables and {b} students at each table.",
            ),
            steps=("a * b | There are {eq} students.",),
        ),
        Move(
            says=(
                "The {room} of {Name} has {a} students.",
                "{Name} teaches a {room} of {a} students.",
                "There are {a} students in the {room} of {Name}.",
            ),
            ranges={"a": (8, 48)},
        ),
        Move(
            says=(
                "There are {a} girls and {b} boys in the {room} of {Name}.",
                "{Name} teaches a {room} of {a} boys and {b} girls.",
            ),
            steps=("a + b | There are {eq} students.",),
            ranges={"a": (4, 30), "b": (4, 30)},
        ),
        Move(
            says=(
                "There are {a} girls in the {room} of {Name} and {b} fewer boys than girls.",
                "The {room} of {Name} has {a} girls. The boys are {b} fewer.",
            ),
            steps=("a - b | There are {eq} boys.", "a + x | There are {eq} students."),
            ranges={"a": (8, 30)},
        ),
    ),
    moves=(
        Move(
            says=("{a} new students join.", "{a} students come from another school.", "{a} more students sign up."),
            steps=("t + a | Now there are {eq} students.",),
        ),
        Move(
            says=(
                "{a} students are ill and stay at home.",
                "{a} students move away.",
                "{a} students leave for a sports day.",
            ),
            steps=("t - a | Now there are {eq} students.",),
        ),
        Move(
            says=("{a} groups of {b} students each come to visit and stay.", "{a} buses bring {b} more students each."),
            steps=("a * b | {eq} students are new.", "t + x | Now there are {eq} students."),
        ),
        Move(
            says=("{part_} the students go on a trip.", "{part_} the students leave for the music room."),
            steps=("t / p | {part_} the students is {eq}.", "t - x | Now there are {eq} students."),
        ),
        Move(
            says=("{a} teams of {b} students leave for a match.", "{a} cars take {b} students each to a museum."),
            steps=("a * b | {eq} students leave.", "t - x | Now there are {eq} students."),
        ),
    ),
    closings=(
        Move(
            says=("Each student gets {a} {things}.", "Every student needs {a} {things}."),
            steps=("t * a | They need {eq} {things}.",),
            asks=("How many {things} are needed?", "How many {things} do the students need?"),
        ),
        Move(
            says=(
                "{He} has {b} {things} and gives {a} to each student.",
                "Each student takes {a} of the {b} {things} in the room.",
            ),
            steps=("t * a | They take {eq} {things}.", "b - x | There are {eq} {things} left."),
            asks=("How many {things} are left?", "How many {things} remain?"),
        ),
        Move(
            says=("The students form {a} equal teams.", "They are split into {a} groups of the same size."),
            steps=("t / a | Each group has {eq} students.",),
            asks=("How many students are in one group?", "How many students are in each?"),
        ),
        Move(
            says=("The students work in groups of {a}.", "Groups of {a} students are made."),
            steps=("t / a | There are {eq} groups.",),
            asks=("How many groups are there?", "How many groups do they make?"),
        ),
        Move(
            asks=(
                "How many students are there now?",
                "How many students are there in the end?",
                "How many students does {Name} see now?",
            )
        ),
    ),
    distractors=(
        "The lesson takes {d} minutes.",
        "There are {d} pictures on the wall.",
        "The school is {d} years old.",
        "{Name} walks {d} minutes to school.",
        "The room has {d} lamps.",
    ),
)
