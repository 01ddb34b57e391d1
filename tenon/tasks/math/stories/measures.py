"""Stories with units: grams, square meters, minutes, cents, centimeters, kilograms."""

from __future__ import annotations

from tenon.tasks.math.names import FOOD, ITEMS
from tenon.tasks.math.plot import Family, Move

__all__ = ["AREA", "COINS", "GROWTH", "RECIPE", "TIME", "WEIGHT"]

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

COINS = Family(
    name="coins",
    level="harder",
    limit=1000,
    slots={"thing": FOOD + ITEMS, "place": ("kiosk", "bakery", "market", "shop", "stand", "fair")},
    openings=(
        Move(
            says=(
                "{Name} has {a} dollars and counts them in cents.",
                "{Name} goes to the {place} with {a} dollars and pays everything in cents.",
                "{Name} changes {a} dollars into cents.",
            ),
            steps=("a * 100 | {Name} has {eq} cents.",),
            ranges={"a": (2, 9)},
        ),
        Move(
            says=(
                "{Name} has {a} dollars and {b} cents, and counts it all in cents.",
                "In cents, {Name} wants to know what {a} dollars and {b} cents are.",
            ),
            steps=("a * 100 | The dollars are {eq} cents.", "x + b | {Name} has {eq} cents."),
            ranges={"a": (2, 8), "b": (10, 95, 5)},
        ),
        Move(
            says=(
                "{Name} has {a} coins of {b} cents.",
                "{Name} finds {a} coins. Each is worth {b} cents.",
                "There are {a} coins in the pocket of {Name}, and each is worth {b} cents.",
            ),
            steps=("a * b | {Name} has {eq} cents.",),
            ranges={"a": (3, 30), "b": (5, 10, 5)},
        ),
        Move(
            says=(
                "{Name} has {a} cents.",
                "{Name} goes to the {place} with {a} cents.",
                "There are {a} cents in the purse of {Name}.",
            ),
            ranges={"a": (100, 700, 5)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} pays {a} cents for a {thing} at the {place}.",
                "{He} loses {a} cents on the way.",
                "{He} gives {a} cents to {Friend}.",
            ),
            steps=("t - a | {Name} has {eq} cents left.",),
            ranges={"a": (10, 250, 5)},
        ),
        Move(
            says=("{He} gets {a} cents from {Friend}.", "{He} finds {a} cents.", "{Third} gives {him} {a} cents."),
            steps=("t + a | {Name} has {eq} cents.",),
            ranges={"a": (10, 250, 5)},
        ),
        Move(
            says=(
                "{He} buys {a} {things} for {b} cents each.",
                "At the {place} one {thing} costs {b} cents, and {he} buys {a} {things}.",
            ),
            steps=("a * b | The {things} cost {eq} cents.", "t - x | {Name} has {eq} cents left."),
            ranges={"b": (10, 95, 5)},
        ),
        Move(
            says=("{He} sells {a} {things} for {b} cents each.", "{a} neighbors give {him} {b} cents each."),
            steps=("a * b | {He} gets {eq} cents.", "t + x | {Name} has {eq} cents."),
            ranges={"b": (10, 75, 5)},
        ),
        Move(
            says=("{He} spends {part} this money.", "{He} gives {part} this money to {Friend}."),
            steps=("t / p | {part_} the money is {eq} cents.", "t - x | {Name} has {eq} cents left."),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many cents does {Name} have?",
                "How many cents does {he} have in the end?",
                "How many cents is that in the end?",
            )
        ),
        Move(
            says=("{He} shares this money equally among {a} children.", "{a} children share all of it equally."),
            steps=("t / a | Each child gets {eq} cents.",),
            asks=("How many cents does each child get?", "How many cents is that for one child?"),
        ),
        Move(
            says=("A {thing} at the {place} costs {a} cents.", "{He} wants to have {a} cents."),
            steps=("a - t | {He} needs {eq} more cents.",),
            asks=("How many more cents does {he} need?", "How many cents are missing?"),
        ),
        Move(
            says=(
                "{He} spends all of it on {things} for {a} cents each.",
                "One {thing} costs {a} cents, and {he} buys as many as {he} can.",
            ),
            steps=("t / a | That buys {eq} {things}.",),
            asks=("How many {things} does {he} get?", "How many {things} is that?"),
        ),
    ),
    distractors=(
        "The {place} is {d} years old.",
        "{Friend} waits for {d} minutes.",
        "{Name} is {d} years old.",
        "The {place} has {d} shelves.",
        "There are {d} people at the {place}.",
    ),
)

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

WEIGHT = Family(
    name="weight",
    level="harder",
    limit=1000,
    slots={
        "animal": ("dog", "pig", "goat", "calf", "pony", "sheep", "lion", "bear", "seal", "panda"),
        "box": ("crate", "sack", "box", "barrel", "bag", "chest"),
    },
    openings=(
        Move(
            says=(
                "{Name} weighs a {animal} of {a} kg.",
                "The {animal} of {Name} weighs {a} kg.",
                "{Name} has a {animal} with a weight of {a} kg.",
            ),
            ranges={"a": (20, 200)},
        ),
        Move(
            says=(
                "The {animal} of {Friend} weighs {a} kg. The {animal} of {Name} is {b} times as heavy.",
                "{Name} has a {animal} that is {b} times as heavy as the {animal} of {Friend}, which weighs {a} kg.",
            ),
            steps=("a * b | The {animal} weighs {eq} kg.",),
            ranges={"a": (8, 80), "b": (3, 6)},
        ),
        Move(
            says=(
                "The {animal} of {Friend} weighs {a} kg. The {animal} of {Name} is {b} kg heavier.",
                "{Name} has a {animal} that weighs {b} kg more than the one of {Friend}, which weighs {a} kg.",
            ),
            steps=("a + b | The {animal} weighs {eq} kg.",),
            ranges={"a": (15, 150), "b": (5, 90)},
        ),
        Move(
            says=(
                "The {animal} of {Friend} weighs {a} kg. The {animal} of {Name} has only {part} this weight.",
                "{Friend} has a {animal} of {a} kg. The one of {Name} has {part} its weight.",
            ),
            steps=("a / p | The {animal} weighs {eq} kg.",),
            ranges={"a": (60, 480, 20)},
        ),
    ),
    moves=(
        Move(
            says=("It gains {a} kg in a year.", "It eats well and gains {a} kg.", "It gets {a} kg heavier."),
            steps=("t + a | Now it weighs {eq} kg.",),
            ranges={"a": (3, 80)},
        ),
        Move(
            says=("It falls ill and loses {a} kg.", "It loses {a} kg.", "It gets {a} kg lighter."),
            steps=("t - a | Now it weighs {eq} kg.",),
        ),
        Move(
            says=("It gains {b} kg a month for {a} months.", "For {a} weeks it gains {b} kg a week."),
            steps=("a * b | It gains {eq} kg.", "t + x | Now it weighs {eq} kg."),
            ranges={"b": (2, 25)},
        ),
        Move(
            says=("It loses {b} kg a week for {a} weeks.", "For {a} months it loses {b} kg each month."),
            steps=("a * b | It loses {eq} kg.", "t - x | Now it weighs {eq} kg."),
            ranges={"a": (3, 6), "b": (2, 12)},
        ),
        Move(
            says=("It doubles its weight.", "Then it gets twice as heavy."),
            steps=("t * 2 | Now it weighs {eq} kg.",),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many kg does it weigh now?",
                "How many kg does the {animal} weigh?",
                "What is the weight of this {animal} in kg?",
            )
        ),
        Move(
            says=("A {box} of corn weighs {a} kg.", "The {animal} of {Third} weighs {a} kg."),
            steps=("a - t | The difference is {eq} kg.",),
            asks=(
                "How many kg lighter is the {animal} of {Name}?",
                "How many kg does the {animal} of {Name} weigh less?",
            ),
        ),
        Move(
            says=(
                "It travels with {a} {boxes} of {b} kg each.",
                "{Name} puts it on a truck with {a} {boxes}, each of {b} kg.",
            ),
            steps=("a * b | The {boxes} weigh {eq} kg.", "t + x | Together they weigh {eq} kg."),
            ranges={"b": (4, 40)},
            asks=("How many kg do they weigh together?", "What is the whole load in kg?"),
        ),
        Move(
            says=("{a} equal {boxes} together weigh as much as it does.", "It weighs as much as {a} equal {boxes}."),
            steps=("t / a | Each {box} weighs {eq} kg.",),
            asks=("How many kg does each {box} weigh?", "What does one {box} weigh in kg?"),
        ),
        Move(
            says=(
                "{a} such animals are on a truck, all of the same weight.",
                "A truck carries {a} of them, and all weigh the same.",
            ),
            steps=("t * a | They weigh {eq} kg.",),
            asks=("How many kg do they weigh together?", "What do they weigh in all, in kg?"),
        ),
    ),
    distractors=(
        "The {animal} is {d} months old.",
        "{Name} is {d} years old.",
        "The {animal} sleeps for {d} minutes.",
        "{Third} owns {d} birds.",
        "The truck has {d} lights.",
    ),
)
