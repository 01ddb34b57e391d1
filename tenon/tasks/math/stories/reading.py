"""Reading a book, some pages a day."""

from __future__ import annotations

from tenon.tasks.math.plot import Family, Move

__all__ = ["READING"]

READING = Family(
    name="reading",
    level="easy",
    limit=150,
    slots={
        "book": ("book", "novel", "comic", "diary", "fairy tale", "magazine", "story"),
        "place": ("library", "school", "train", "garden", "kitchen"),
    },
    openings=(
        Move(
            says=(
                "{Name} reads {b} pages of a {book} every day for {a} days.",
                "For {a} days, {Name} reads {b} pages of a {book} each day.",
                "{Name} has a new {book}. {He} reads {b} pages a day and does so for {a} days.",
                "{Name} reads {a} chapters of a {book}, each {b} pages long.",
            ),
            steps=("a * b | {Name} reads {eq} pages.",),
            ranges={"b": (5, 20)},
        ),
        Move(
            says=(
                "{Name} reads {a} pages of a {book}.",
                "{Name} reads {a} pages in the {place}.",
                "In the {place}, {Name} reads the first {a} pages of a {book}.",
            ),
            ranges={"a": (8, 60)},
        ),
        Move(
            says=(
                "{Name} reads {a} pages on Monday and {b} pages more than that on Tuesday.",
                "{Name} reads {a} pages of a {book} before lunch. After lunch {he} reads {b} pages more than before.",
            ),
            steps=("a + b | The second time {he} reads {eq} pages.", "a + x | {Name} reads {eq} pages in all."),
            ranges={"a": (6, 40), "b": (3, 20)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} reads {a} more pages.",
                "{He} reads another {a} pages in the {place}.",
                "{He} reads {a} pages more before bed.",
            ),
            steps=("t + a | {He} has read {eq} pages.",),
        ),
        Move(
            says=(
                "{He} reads {b} pages a day for {a} more days.",
                "{He} goes on for {a} days with {b} pages a day.",
                "{He} reads {a} short stories of {b} pages each.",
            ),
            steps=("a * b | That is {eq} more pages.", "t + x | {He} has read {eq} pages."),
        ),
        Move(
            says=(
                "{He} notices that {a} of these pages were only pictures, and does not count them.",
                "{a} of the pages were read twice by mistake, so {he} takes them off the count.",
            ),
            steps=("t - a | That leaves {eq} pages.",),
        ),
        Move(
            says=(
                "{Friend} reads {a} times as many pages, and from now on we count the pages of {Friend}.",
                "{Friend} has read {a} times as many pages. Take this number.",
            ),
            steps=("t * a | {Friend} has read {eq} pages.",),
        ),
    ),
    closings=(
        Move(
            says=("The {book} has {a} pages.", "There are {a} pages in the {book}."),
            steps=("a - t | There are {eq} pages left.",),
            asks=("How many pages are left?", "How many pages are still to be read?"),
        ),
        Move(
            says=(
                "The {book} has {a} pages. The rest is read in {b} days, with the same number of pages each day.",
                "There are {a} pages in the {book}, and the remaining pages are spread evenly over {b} days.",
            ),
            steps=("a - t | There are {eq} pages left.", "x / b | That is {eq} pages a day."),
            asks=("How many pages are that per day?", "How many pages are read on each of these days?"),
        ),
        Move(
            says=(
                "All of this took {a} days, with the same number of pages each day.",
                "These pages were spread evenly over {a} days.",
            ),
            steps=("t / a | That is {eq} pages a day.",),
            asks=("How many pages is that for each day?", "How many pages were read per day?"),
        ),
        Move(
            asks=(
                "How many pages is that in all?",
                "How many pages is that now?",
                "What is the number of pages in the end?",
            )
        ),
    ),
    distractors=(
        "The {book} costs {d} dollars.",
        "The {place} has {d} windows.",
        "{Third} owns {d} books.",
        "{Name} is {d} years old.",
        "The writer of the {book} is {d} years old.",
    ),
)
