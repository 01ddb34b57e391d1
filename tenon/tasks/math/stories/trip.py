"""Distances from speed and time."""

from __future__ import annotations

from tenon.tasks.math.plot import Family, Move

__all__ = ["TRIP"]

TRIP = Family(
    name="trip",
    level="harder",
    limit=1000,
    slots={
        "ride": ("bus", "train", "car", "truck", "boat", "van", "ferry", "camper"),
        "town": (
            "the coast",
            "the capital",
            "the lake",
            "the mountains",
            "the border",
            "the old town",
            "the harbor",
            "the valley",
        ),
    },
    openings=(
        Move(
            says=(
                "{Name} travels by {ride} for {a} hours at {b} km per hour.",
                "{Name} takes a {ride} to {town}. It goes {b} km per hour and drives for {a} hours.",
                "A {ride} with {Name} on board moves at {b} km per hour for {a} hours.",
                "For {a} hours, {Name} rides in a {ride} that makes {b} km every hour.",
            ),
            steps=("a * b | The {ride} goes {eq} km.",),
            ranges={"b": (10, 95, 5)},
        ),
        Move(
            says=(
                "{Name} travels {a} km by {ride}.",
                "{Name} goes {a} km towards {town} in a {ride}.",
                "A {ride} takes {Name} {a} km closer to {town}.",
            ),
            ranges={"a": (20, 300)},
        ),
        Move(
            says=(
                "{Name} travels {a} km by {ride} before lunch and {b} km after lunch.",
                "{Name} goes {a} km on the first day and {b} km on the second day of a trip to {town}.",
            ),
            steps=("a + b | {Name} travels {eq} km.",),
            ranges={"a": (20, 250), "b": (20, 250)},
        ),
        Move(
            says=(
                "{Name} travels {a} km on the first day and {b} times as far on the second day.",
                "On the first day of a trip {Name} goes {a} km by {ride}. The second day takes {him} {b} times as far.",
            ),
            steps=("a * b | The second day has {eq} km.", "a + x | {Name} travels {eq} km."),
            ranges={"a": (20, 95), "b": (3, 5)},
        ),
    ),
    moves=(
        Move(
            says=("{He} goes another {a} km by taxi.", "{He} goes on for {a} km by bike.", "{He} travels {a} km more."),
            steps=("t + a | That makes {eq} km.",),
            ranges={"a": (5, 150)},
        ),
        Move(
            says=(
                "{He} goes on for {a} hours at {b} km per hour.",
                "{He} changes to a bike and rides {a} hours at {b} km per hour.",
                "The next part takes {a} hours at {b} km per hour.",
            ),
            steps=("a * b | The next part has {eq} km.", "t + x | That makes {eq} km."),
            ranges={"b": (5, 60, 5)},
        ),
        Move(
            says=(
                "{He} has to turn around and comes back {a} km.",
                "{He} drives back {a} km to fetch {his} bag, and we count how far away {he} is now.",
            ),
            steps=("t - a | Now {he} is {eq} km away.",),
        ),
        Move(
            says=(
                "The way back takes the same road, so that the whole way counts twice.",
                "{He} comes back on the same road, so double the way.",
            ),
            steps=("t * 2 | Both ways are {eq} km.",),
        ),
    ),
    closings=(
        Move(asks=("How many km is that?", "How many km is that in the end?", "What is the number of km now?")),
        Move(
            says=("The goal of the trip is {a} km away from the start.", "The full way is {a} km long."),
            steps=("a - t | There are {eq} km left.",),
            asks=("How many km are left?", "How many km remain?"),
        ),
        Move(
            says=(
                "The full way is {a} km long. The rest is done in {b} hours at a steady speed.",
                "All in all it is {a} km to go, and {he} covers the rest in {b} hours.",
            ),
            steps=("a - t | There are {eq} km left.", "x / b | The speed is {eq} km per hour."),
            asks=("How many km per hour is that?", "What is the speed on the last part in km per hour?"),
        ),
        Move(
            says=("Another {ride} does this distance in {a} hours.", "{Friend} needs {a} hours for this distance."),
            steps=("t / a | The speed is {eq} km per hour.",),
            asks=("How many km per hour is that?", "What is this speed in km per hour?"),
        ),
        Move(
            says=("Fuel for one km costs {a} cents.", "Every km costs {a} cents."),
            steps=("t * a | The fuel costs {eq} cents.",),
            asks=("How many cents does that cost?", "What is the cost in cents?"),
        ),
    ),
    distractors=(
        "The {ride} has {d} seats.",
        "The ticket costs {d} dollars.",
        "{Friend} is {d} years old.",
        "There are {d} people on board.",
        "The {ride} is {d} years old.",
    ),
)
