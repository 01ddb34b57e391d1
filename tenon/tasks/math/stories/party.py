"""Guests who come and go."""

from __future__ import annotations

from tenon.tasks.math.names import FOOD
from tenon.tasks.math.plot import Family, Move

__all__ = ["PARTY"]

PARTY = Family(
    name="party",
    level="easy",
    limit=120,
    slots={"thing": FOOD, "event": ("party", "picnic", "wedding", "festival", "dinner", "concert")},
    openings=(
        Move(
            says=(
                "{Name} sets up {a} tables with {b} seats each for a {event}, and every seat is taken.",
                "At the {event} of {Name}, {a} tables are full, and {b} guests sit at each table.",
                "{a} cars bring guests to the {event}, with {b} guests in each car.",
            ),
            steps=("a * b | There are {eq} guests.",),
        ),
        Move(
            says=(
                "{Name} invites {a} guests to a {event}.",
                "{a} guests come to the {event} of {Name}.",
                "{Name} plans a {event} for {a} guests.",
            ),
            ranges={"a": (6, 60)},
        ),
        Move(
            says=(
                "{Name} invites {a} children and {b} adults to a {event}.",
                "{a} friends and {b} relatives come to the {event} of {Name}.",
            ),
            steps=("a + b | There are {eq} guests.",),
            ranges={"a": (4, 40), "b": (4, 40)},
        ),
        Move(
            says=(
                "At the {event} of {Name} there are {a} adults and {b} times as many children.",
                "{Name} invites {a} adults to a {event} and {b} times as many children.",
            ),
            steps=("a * b | There are {eq} children.", "a + x | There are {eq} guests."),
            ranges={"a": (3, 20), "b": (2, 4)},
        ),
    ),
    moves=(
        Move(
            says=("{a} guests leave early.", "{a} guests cannot stay.", "{a} of the guests go home."),
            steps=("t - a | Now there are {eq} guests.",),
        ),
        Move(
            says=("{a} more guests arrive.", "{Friend} brings {a} more guests.", "{a} neighbors join them as guests."),
            steps=("t + a | Now there are {eq} guests.",),
        ),
        Move(
            says=("{a} families with {b} people each join as guests.", "{a} taxis arrive with {b} new guests each."),
            steps=("a * b | {eq} guests are new.", "t + x | Now there are {eq} guests."),
        ),
        Move(
            says=("{a} vans take {b} guests home each.", "{a} groups of {b} guests go home."),
            steps=("a * b | {eq} guests go home.", "t - x | Now there are {eq} guests."),
        ),
        Move(
            says=("{part_} the guests leave after the music.", "{part_} the guests go home at noon."),
            steps=("t / p | {part_} the guests is {eq}.", "t - x | Now there are {eq} guests."),
        ),
    ),
    closings=(
        Move(
            says=("Each guest eats {a} {things}.", "{Name} wants to give every guest {a} {things}."),
            steps=("t * a | They need {eq} {things}.",),
            asks=("How many {things} are needed?", "How many {things} does {Name} need for them?"),
        ),
        Move(
            says=(
                "Each guest eats {a} {things}, and {he} already has {b} {things}.",
                "{He} has {b} {things}, but every guest wants {a} of them.",
            ),
            steps=("t * a | They need {eq} {things}.", "x - b | {He} needs {eq} more {things}."),
            asks=("How many more {things} does {he} need?", "How many {things} are missing?"),
        ),
        Move(
            says=("The guests sit at {a} tables, the same number at each.", "They form {a} equal teams for a game."),
            steps=("t / a | There are {eq} guests in each.",),
            asks=("How many guests are in each of these groups?", "How many guests are there in each?"),
        ),
        Move(
            says=("There are {a} chairs.", "{Name} has {a} chairs, one for each guest."),
            steps=("a - t | {eq} chairs stay empty.",),
            asks=("How many chairs stay empty?", "How many chairs are not used?"),
        ),
        Move(
            asks=(
                "How many guests are there now?",
                "How many guests are there in the end?",
                "How many guests does {Name} have in the end?",
            )
        ),
    ),
    distractors=(
        "The {event} starts at {d} minutes past noon.",
        "{Name} hangs up {d} lanterns.",
        "The band plays {d} songs.",
        "{Third} took {d} photos.",
        "The cake weighs {d} kg.",
    ),
)
