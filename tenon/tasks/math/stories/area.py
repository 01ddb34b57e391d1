"""Areas in square meters."""

from __future__ import annotations

from tenon.tasks.math.plot import Family, Move

__all__ = ["AREA"]

AREA = Family(
    name="area",
    level="harder",
    limit=1000,
    slots={
        "place": ("room", "garden", "yard", "field", "hall", "stage", "court", "kitchen", "roof"),
        "thing": ("carpet", "pond", "table", "bed", "shed", "bench", "mat"),
    },
    openings=(
        Move(
            says=(
                "{Name} has a {place} that is {a} meters long and {b} meters wide. {He} wants to know its area.",
                "The {place} of {Name} measures {a} meters by {b} meters, and {he} thinks about its area.",
                "{Name} finds the area of a {place}. It is {b} meters wide and {a} meters long.",
            ),
            steps=("a * b | The area is {eq} square meters.",),
            ranges={"a": (5, 60), "b": (3, 9)},
        ),
        Move(
            says=(
                "{Name} has a {place} with an area of {a} square meters.",
                "The {place} of {Name} has {a} square meters.",
                "{Name} takes care of a {place} of {a} square meters.",
            ),
            ranges={"a": (20, 400)},
        ),
        Move(
            says=(
                "{Name} has two parts of a {place}. One is {a} by {b} meters, the other is {c} by {d} meters.",
                "The {place} of {Name} has two parts that measure {a} by {b} meters and {c} by {d} meters.",
            ),
            steps=(
                "a * b | The first part has {eq} square meters.",
                "c * d | The second part has {eq} square meters.",
                "y + x | The area is {eq} square meters.",
            ),
            ranges={"a": (4, 40), "b": (3, 9), "c": (4, 40), "d": (3, 9)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} adds {a} square meters.",
                "{Friend} gives {him} {a} square meters more.",
                "It is made {a} square meters larger.",
            ),
            steps=("t + a | Now it has {eq} square meters.",),
            ranges={"a": (5, 150)},
        ),
        Move(
            says=(
                "A {thing} covers {a} square meters, which {he} takes off.",
                "{He} gives {a} square meters of it to {Friend}.",
                "{a} square meters are not used, and {he} leaves them out.",
            ),
            steps=("t - a | That leaves {eq} square meters.",),
        ),
        Move(
            says=(
                "A {thing} of {a} meters by {b} meters covers a part, which {he} takes off.",
                "{He} leaves out a corner of {a} meters by {b} meters.",
            ),
            steps=("a * b | This part has {eq} square meters.", "t - x | That leaves {eq} square meters."),
        ),
        Move(
            says=(
                "{He} adds a part of {a} meters by {b} meters.",
                "A new part, {a} meters long and {b} meters wide, is added.",
            ),
            steps=("a * b | The new part has {eq} square meters.", "t + x | Now it has {eq} square meters."),
            ranges={"a": (4, 30)},
        ),
        Move(
            says=("{part_} this area is sold.", "{part_} this area belongs to {Friend} and is taken off."),
            steps=("t / p | {part_} the area is {eq} square meters.", "t - x | That leaves {eq} square meters."),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many square meters is that?",
                "What is the area in square meters?",
                "How many square meters are there in the end?",
            )
        ),
        Move(
            says=("Paint for one square meter costs {a} dollars.", "{He} pays {a} dollars for each square meter."),
            steps=("t * a | That costs {eq} dollars.",),
            asks=("How many dollars does that cost?", "What is the cost in dollars?"),
        ),
        Move(
            says=("{He} cuts it into {a} equal parts.", "{a} people share this area equally."),
            steps=("t / a | Each part has {eq} square meters.",),
            asks=("How many square meters does each part have?", "How many square meters is one part?"),
        ),
        Move(
            says=(
                "One bucket of paint is enough for {a} square meters.",
                "A bucket of paint covers {a} square meters.",
            ),
            steps=("t / a | It takes {eq} buckets.",),
            asks=("How many buckets are needed for all of it?", "How many buckets of paint does it take?"),
        ),
    ),
    distractors=(
        "The {place} is {d} years old.",
        "The door is {d} cm thick.",
        "{Friend} has {d} flowers.",
        "There are {d} chairs in the next room.",
        "The {thing} costs {d} dollars.",
    ),
)
