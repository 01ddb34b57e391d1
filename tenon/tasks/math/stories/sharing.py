"""Sharing food fairly."""

from __future__ import annotations

from tenon.tasks.math.names import BOXES, FOOD
from tenon.tasks.math.plot import Family, Move

__all__ = ["SHARING"]

SHARING = Family(
    name="sharing",
    level="easy",
    limit=100,
    slots={"thing": FOOD, "box": BOXES, "kid": ("friend", "cousin", "neighbor", "guest", "player")},
    openings=(
        Move(
            says=(
                "{Name} has {a} {things}.",
                "{Name} bakes {a} {things}.",
                "Grandma gives {Name} {a} {things}.",
                "There are {a} {things} on the table in front of {Name}.",
            ),
            ranges={"a": (8, 72)},
        ),
        Move(
            says=(
                "{Name} opens {a} {boxes}. There are {b} {things} in each.",
                "{Name} has {a} {boxes} with {b} {things} each.",
                "{a} {boxes} stand in front of {Name}, and each {box} holds {b} {things}.",
            ),
            steps=("a * b | {Name} has {eq} {things}.",),
        ),
        Move(
            says=(
                "{Name} brings {a} {things} and {Friend} brings {b} {things}. {Name} puts them all in one {box}.",
                "{Name} has {a} {things}. {Friend} adds {b} more to them.",
                "{Name} gets {a} {things} from {Friend} and {b} {things} from {Third}.",
            ),
            steps=("a + b | Together there are {eq} {things}.",),
            ranges={"a": (5, 45), "b": (5, 45)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} eats {a} of them.",
                "{He} keeps {a} of them for later and puts them away.",
                "{He} drops {a} {things} on the floor and throws them out.",
                "{Third} eats {a} of the {things}.",
            ),
            steps=("t - a | Now there are {eq} {things}.",),
        ),
        Move(
            says=(
                "{He} finds {a} more {things}.",
                "{Third} brings {a} more {things}.",
                "{He} makes {a} more {things}.",
            ),
            steps=("t + a | Now there are {eq} {things}.",),
        ),
        Move(
            says=(
                "{He} opens {a} more {boxes} with {b} {things} in each.",
                "{a} neighbors bring {b} {things} each and add them.",
            ),
            steps=("a * b | This adds {eq} {things}.", "t + x | Now there are {eq} {things}."),
        ),
        Move(
            says=(
                "{a} hungry birds take {b} {things} each.",
                "{a} children take {b} {things} each.",
                "Each of {a} brothers eats {b} {things}.",
            ),
            steps=("a * b | They take {eq} {things}.", "t - x | Now there are {eq} {things}."),
        ),
        Move(
            says=(
                "{He} splits the {things} into {a} equal piles and keeps only one pile.",
                "{He} makes {a} equal piles of {things} and gives away all but one pile.",
            ),
            steps=("t / a | The pile has {eq} {things}.",),
        ),
    ),
    closings=(
        Move(
            says=(
                "{He} shares the {things} equally among {a} {kids}.",
                "{a} {kids} share them equally.",
                "{He} gives each of {a} {kids} the same number of {things} until nothing is left.",
                "The {things} are dealt out fairly to {a} {kids}.",
            ),
            steps=("t / a | Each {kid} gets {eq} {things}.",),
            asks=(
                "How many {things} does each {kid} get?",
                "How many {things} are there for each {kid}?",
                "What is the share of one {kid}?",
            ),
        ),
        Move(
            says=(
                "{He} hands out {a} {things} to every {kid} until nothing is left.",
                "Every {kid} gets {a} {things}, and then they are all gone.",
            ),
            steps=("t / a | There are {eq} {kids}.",),
            asks=("How many {kids} are there?", "How many {kids} get {things}?"),
        ),
        Move(
            says=(
                "{He} shares them equally among {a} {kids}. One {kid} already has {b} {things}.",
                "{a} {kids} share them equally, and one {kid} has {b} {things} from before.",
            ),
            steps=("t / a | Each {kid} gets {eq} {things}.", "x + b | This {kid} has {eq} {things}."),
            ranges={"b": (3, 30)},
            asks=("How many {things} does this {kid} have then?", "How many {things} has that {kid} now?"),
        ),
        Move(
            asks=(
                "How many {things} can {Name} share out now?",
                "How many {things} are there now?",
                "How many {things} are left to share?",
            )
        ),
    ),
    distractors=(
        "The {box} is {d} cm tall.",
        "{Friend} lives {d} minutes away.",
        "{Name} is {d} years old.",
        "It is day {d} of the month.",
        "There are {d} trees in the garden.",
    ),
)
