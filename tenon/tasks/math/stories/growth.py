"""Heights and lengths in centimeters and meters."""

from __future__ import annotations

from tenon.tasks.math.plot import Family, Move

__all__ = ["GROWTH"]

GROWTH = Family(
    name="growth",
    level="harder",
    limit=1000,
    slots={
        "plant": ("tree", "bush", "sunflower", "bean", "rose", "vine", "palm", "bamboo", "fern", "cactus"),
        "rope": ("rope", "ribbon", "cable", "chain", "hose", "string"),
    },
    openings=(
        Move(
            says=(
                "A {plant} in the garden of {Name} grows {b} cm a week for {a} weeks after it is planted as a seed.",
                "{Name} plants a seed. The {plant} grows {b} cm every week for {a} weeks.",
                "From a seed, a {plant} grows for {a} weeks, {b} cm each week. {Name} measures it.",
            ),
            steps=("a * b | The {plant} is {eq} cm tall.",),
            ranges={"b": (3, 30)},
        ),
        Move(
            says=(
                "{Name} has a {plant} that is {a} cm tall.",
                "The {plant} of {Name} is {a} cm tall.",
                "{Name} measures a {plant} of {a} cm.",
            ),
            ranges={"a": (20, 300)},
        ),
        Move(
            says=(
                "The {plant} of {Name} is {a} meters tall, and {he} measures it in cm.",
                "{Name} has a {plant} of {a} meters and counts in cm.",
            ),
            steps=("a * 100 | The {plant} is {eq} cm tall.",),
            ranges={"a": (2, 8)},
        ),
        Move(
            says=(
                "The {plant} of {Friend} is {a} cm tall, and the {plant} of {Name} is {b} times as tall.",
                "{Friend} has a {plant} of {a} cm. {Name} has one that is {b} times as tall.",
            ),
            steps=("a * b | The {plant} is {eq} cm tall.",),
            ranges={"a": (10, 90), "b": (3, 6)},
        ),
    ),
    moves=(
        Move(
            says=("It grows {a} cm in summer.", "It grows {a} more cm.", "In the next month it gets {a} cm taller."),
            steps=("t + a | Now it is {eq} cm tall.",),
            ranges={"a": (4, 120)},
        ),
        Move(
            says=("{He} cuts off {a} cm.", "A storm breaks off {a} cm.", "A goat eats {a} cm of it."),
            steps=("t - a | Now it is {eq} cm tall.",),
        ),
        Move(
            says=("It grows {b} cm a month for {a} months.", "For {a} more weeks it grows {b} cm each week."),
            steps=("a * b | It grows {eq} cm.", "t + x | Now it is {eq} cm tall."),
            ranges={"b": (3, 40)},
        ),
        Move(
            says=("{He} cuts it {a} times, {b} cm each time.", "{a} times a goat eats {b} cm of it."),
            steps=("a * b | It loses {eq} cm.", "t - x | Now it is {eq} cm tall."),
            ranges={"a": (3, 6), "b": (2, 20)},
        ),
        Move(
            says=("{He} cuts off {part} its height.", "The wind breaks off {part} its height."),
            steps=("t / p | {part_} its height is {eq} cm.", "t - x | Now it is {eq} cm tall."),
        ),
        Move(
            says=("It doubles its height.", "Then it becomes twice as tall."),
            steps=("t * 2 | Now it is {eq} cm tall.",),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many cm tall is the {plant}?",
                "How tall is the {plant} in the end, in cm?",
                "How many cm tall is it in the end?",
            )
        ),
        Move(
            says=("The fence is {a} cm high.", "The {plant} of {Third} is {a} cm tall."),
            steps=("a - t | The difference is {eq} cm.",),
            asks=("How many cm is the {plant} of {Name} shorter?", "How many cm are missing to this height?"),
        ),
        Move(
            says=(
                "A wall is {a} cm high, and the {plant} grows {b} cm a week from now on.",
                "The {plant} grows {b} cm a week until it reaches a window at {a} cm.",
            ),
            steps=("a - t | It must grow {eq} cm.", "x / b | It takes {eq} weeks."),
            asks=("How many weeks does it take to get there?", "After how many weeks does it get there?"),
        ),
        Move(
            says=("{Name} lays a {rope} of {a} times this length.", "{He} needs a {rope} that is {a} times as long."),
            steps=("t * a | The {rope} has {eq} cm.",),
            ranges={"a": (3, 6)},
            asks=("How many cm long is the {rope}?", "What is the length of the {rope} in cm?"),
        ),
        Move(
            says=(
                "A {rope} of this length is cut into {a} equal pieces.",
                "{He} cuts a {rope} of the same length into {a} equal pieces.",
            ),
            steps=("t / a | Each piece has {eq} cm.",),
            asks=("How many cm long is each piece?", "What is the length of one piece in cm?"),
        ),
    ),
    distractors=(
        "The garden is {d} years old.",
        "{Name} gives it {d} liters of water.",
        "{Friend} has {d} flower pots.",
        "It rains on {d} days.",
        "The {plant} cost {d} dollars.",
    ),
)
