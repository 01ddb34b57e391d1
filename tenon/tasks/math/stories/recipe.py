"""Grams and kilograms in the kitchen."""

from __future__ import annotations

from tenon.tasks.math.plot import Family, Move

__all__ = ["RECIPE"]

RECIPE = Family(
    name="recipe",
    level="harder",
    limit=3000,
    slots={
        "stuff": ("flour", "sugar", "rice", "butter", "cheese", "honey", "salt", "oats", "cocoa", "corn"),
        "dish": ("cake", "pie", "loaf", "soup", "pizza", "stew", "pudding", "salad"),
    },
    openings=(
        Move(
            says=(
                "{Name} has {a} kg of {stuff}. {He} counts in grams.",
                "{Name} buys {a} kg of {stuff} and weighs it in grams.",
                "There are {a} kg of {stuff} in the kitchen of {Name}, who counts in grams.",
            ),
            steps=("a * 1000 | {Name} has {eq} grams of {stuff}.",),
            ranges={"a": (2, 3)},
        ),
        Move(
            says=(
                "{Name} buys {a} bags of {stuff} with {b} grams each.",
                "{Name} has {a} packs of {stuff}. Each pack holds {b} grams.",
                "One pack of {stuff} has {b} grams. {Name} takes {a} packs.",
                "One {dish} needs {b} grams of {stuff}. {Name} gets {stuff} for {a} of them.",
            ),
            steps=("a * b | {Name} has {eq} grams of {stuff}.",),
            ranges={"b": (20, 95, 5)},
        ),
        Move(
            says=(
                "{Name} has {a} grams of {stuff}.",
                "{Name} finds {a} grams of {stuff} in the kitchen.",
                "There are {a} grams of {stuff} in the bowl of {Name}.",
            ),
            ranges={"a": (100, 900, 20)},
        ),
        Move(
            says=(
                "{Name} mixes {a} grams of white {stuff} with {b} grams of brown {stuff}.",
                "{Name} pours {a} grams and then {b} grams of {stuff} into a bowl.",
            ),
            steps=("a + b | {Name} has {eq} grams of {stuff}.",),
            ranges={"a": (50, 450, 10), "b": (50, 450, 10)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} uses {a} grams of it for a {dish}.",
                "{He} spills {a} grams of it.",
                "{He} gives {a} grams of it to {Friend}.",
            ),
            steps=("t - a | There are {eq} grams left.",),
            ranges={"a": (20, 400, 10)},
        ),
        Move(
            says=(
                "{He} adds {a} grams of {stuff}.",
                "{Friend} brings {a} grams of {stuff}.",
                "{He} finds {a} more grams.",
            ),
            steps=("t + a | Now there are {eq} grams.",),
            ranges={"a": (20, 400, 10)},
        ),
        Move(
            says=(
                "{He} uses {b} grams for each of {a} {dish} plates.",
                "{He} fills {a} cups with {b} grams each and gives them away.",
            ),
            steps=("a * b | {He} uses {eq} grams.", "t - x | There are {eq} grams left."),
            ranges={"b": (10, 90, 5)},
        ),
        Move(
            says=("{He} buys {a} more packs with {b} grams each.", "{a} neighbors bring {b} grams each."),
            steps=("a * b | {eq} grams are new.", "t + x | Now there are {eq} grams."),
            ranges={"b": (10, 90, 5)},
        ),
        Move(
            says=("{part_} the {stuff} goes into a {dish}.", "{He} uses {part} the {stuff}."),
            steps=("t / p | {part_} the {stuff} is {eq} grams.", "t - x | There are {eq} grams left."),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many grams of {stuff} are there now?",
                "How many grams does {Name} have in the end?",
                "How many grams of {stuff} is that in the end?",
            )
        ),
        Move(
            says=("{He} divides it equally among {a} bowls.", "{He} makes {a} portions of the same size from it."),
            steps=("t / a | Each gets {eq} grams.",),
            asks=("How many grams are in each?", "How many grams of {stuff} are in one of them?"),
        ),
        Move(
            says=("A big {dish} needs {a} grams of {stuff}.", "{He} needs {a} grams for {his} plan."),
            steps=("a - t | {He} needs {eq} more grams.",),
            ranges={"a": (200, 1900, 20)},
            asks=("How many more grams does {he} need?", "How many grams are missing?"),
        ),
    ),
    distractors=(
        "The oven needs {d} minutes to get hot.",
        "The {dish} is for {d} guests.",
        "{Friend} is {d} years old.",
        "The bowl costs {d} dollars.",
        "The recipe is on page {d} of the book.",
    ),
)
