"""Bricks, boards and other parts of a building."""

from __future__ import annotations

from tenon.tasks.math.plot import Family, Move

__all__ = ["BUILDING"]

BUILDING = Family(
    name="building",
    level="harder",
    limit=1000,
    slots={
        "thing": ("brick", "tile", "stone", "board", "beam", "block", "pipe", "panel", "nail", "screw", "window"),
        "site": ("wall", "house", "tower", "bridge", "garage", "hall", "chimney", "school", "stage"),
    },
    openings=(
        Move(
            says=(
                "{Name} builds a {site} with {a} rows of {b} {things}.",
                "For a {site}, {Name} lays {a} rows with {b} {things} in each row.",
                "A truck brings {a} pallets with {b} {things} each to {Name}, who builds a {site}.",
            ),
            steps=("a * b | {Name} has {eq} {things}.",),
            ranges={"b": (10, 90)},
        ),
        Move(
            says=(
                "{Name} has {a} {things} for a {site}.",
                "{Name} gets {a} {things} to build a {site}.",
                "There are {a} {things} at the {site} that {Name} builds.",
            ),
            ranges={"a": (50, 600)},
        ),
        Move(
            says=(
                "{Name} builds a {site} from {a} old {things} and {b} new {things}.",
                "{Name} orders {a} {things} for a {site} in one store and {b} in another.",
            ),
            steps=("a + b | {Name} has {eq} {things}.",),
            ranges={"a": (30, 400), "b": (30, 400)},
        ),
        Move(
            says=(
                "{Name} brings {a} boxes with {b} {things} and {c} boxes with {d} {things} to the {site}.",
                "At the {site} of {Name} there are {a} carts of {b} {things} and also {c} carts of {d} {things}.",
            ),
            steps=(
                "a * b | The first ones hold {eq} {things}.",
                "c * d | The others hold {eq} {things}.",
                "y + x | {Name} has {eq} {things}.",
            ),
            ranges={"b": (10, 60), "d": (10, 60)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{a} {things} break.",
                "{He} uses {a} {things} for the floor.",
                "{a} of the {things} are too short and go back.",
            ),
            steps=("t - a | There are {eq} {things} left.",),
        ),
        Move(
            says=(
                "{Friend} brings {a} more {things}.",
                "{He} orders {a} more {things}.",
                "Another {a} {things} arrive.",
            ),
            steps=("t + a | Now there are {eq} {things}.",),
            ranges={"a": (10, 200)},
        ),
        Move(
            says=("{He} gets {a} more stacks of {b} {things}.", "{a} carts arrive, each with {b} {things}."),
            steps=("a * b | {eq} {things} are new.", "t + x | Now there are {eq} {things}."),
            ranges={"b": (10, 60)},
        ),
        Move(
            says=("{a} workers use {b} {things} each.", "{He} uses {b} {things} a day for {a} days."),
            steps=("a * b | They use {eq} {things}.", "t - x | There are {eq} {things} left."),
            ranges={"b": (5, 60)},
        ),
        Move(
            says=("{part_} the {things} are used for the roof.", "{He} uses {part} the {things} on the first day."),
            steps=("t / p | {part_} the {things} is {eq}.", "t - x | There are {eq} {things} left."),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many {things} are there in the end?",
                "How many {things} does {Name} have now?",
                "How many {things} are there now?",
            )
        ),
        Move(
            says=("The {things} are set in {a} equal rows.", "{He} builds {a} equal parts from all the {things}."),
            steps=("t / a | Each has {eq} {things}.",),
            asks=("How many {things} are in each?", "How many {things} are in one of them?"),
        ),
        Move(
            says=("The {site} needs {a} {things} in total.", "{He} needs {a} {things} for the whole {site}."),
            steps=("a - t | {He} needs {eq} more {things}.",),
            asks=("How many more {things} does {he} need?", "How many {things} are missing?"),
        ),
        Move(
            says=(
                "The {site} needs {a} {things} in total. The missing ones come in packs of {b}.",
                "{He} needs {a} {things} for the {site} and buys the rest in packs of {b}.",
            ),
            steps=("a - t | {He} needs {eq} more {things}.", "x / b | {He} buys {eq} packs."),
            asks=("How many packs does {he} buy?", "How many packs must {he} buy?"),
        ),
        Move(
            says=("Each of the {things} weighs {a} kg.", "One of the {things} has a weight of {a} kg."),
            steps=("t * a | They weigh {eq} kg.",),
            asks=("How many kg do they weigh together?", "What do they weigh in all, in kg?"),
        ),
    ),
    distractors=(
        "The {site} is {d} meters high.",
        "{Name} has worked there for {d} years.",
        "The truck is {d} years old.",
        "The street has {d} lamps.",
        "{Friend} paints {d} doors.",
    ),
)
