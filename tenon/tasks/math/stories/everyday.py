"""Stories of everyday counting: shops, sharing, books, farms."""

from __future__ import annotations

from tenon.tasks.math.names import ANIMALS, BOXES, FOOD, ITEMS, PLACES
from tenon.tasks.math.plot import Family, Move

__all__ = ["FARM", "READING", "SHARING", "SHOPPING"]

SHOPPING = Family(
    name="shopping",
    level="easy",
    limit=100,
    slots={"thing": ITEMS + FOOD, "box": BOXES, "place": PLACES},
    openings=(
        Move(
            says=(
                "{Name} goes to the {place} and buys {a} {boxes} with {b} {things} in each {box}.",
                "{Name} buys {a} {boxes} of {things} at the {place}. Each {box} holds {b} {things}.",
                "There are {b} {things} in every {box}. {Name} takes {a} {boxes} home from the {place}.",
                "At the {place}, {Name} pays for {a} {boxes}, each with {b} {things}.",
            ),
            steps=("a * b | {Name} buys {eq} {things}.",),
        ),
        Move(
            says=(
                "{Name} buys {a} {things} at the {place}.",
                "{Name} comes home from the {place} with {a} {things}.",
                "There are {a} {things} in the shopping cart of {Name}.",
                "{Name} has {a} {things} at home.",
            ),
            ranges={"a": (6, 60)},
        ),
        Move(
            says=(
                "{Name} buys {a} {things} in the morning and {b} {things} in the evening.",
                "{Name} buys {a} {things} at one {place} and {b} at another.",
                "{Name} finds {a} red {things} and {b} blue {things} at the {place} and buys them all.",
            ),
            steps=("a + b | {Name} buys {eq} {things}.",),
            ranges={"a": (4, 48), "b": (4, 48)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} buys {a} more {things}.",
                "{He} gets {a} more {things} for free.",
                "{He} goes back and picks {a} more {things}.",
                "{Friend} brings {him} another {a} {things}.",
            ),
            steps=("t + a | {Name} has {eq} {things}.",),
        ),
        Move(
            says=(
                "{He} gives {a} {things} to {Friend}.",
                "{Friend} takes {a} of the {things}.",
                "{He} brings {a} {things} back to the {place}.",
                "{He} uses {a} of the {things}.",
            ),
            steps=("t - a | {Name} has {eq} {things} left.",),
        ),
        Move(
            says=(
                "{He} also buys {a} {boxes} with {b} {things} in each.",
                "{He} adds {a} {boxes}. Every {box} has {b} {things}.",
                "{Friend} gives {him} {a} {boxes} of {b} {things} each.",
            ),
            steps=("a * b | The {boxes} hold {eq} {things}.", "t + x | {Name} has {eq} {things}."),
        ),
        Move(
            says=(
                "{He} gives {a} {things} to each of {b} neighbors.",
                "{a} {things} go to each of {his} {b} cousins.",
                "{He} has {b} friends and hands each of them {a} {things}.",
            ),
            steps=("a * b | {He} gives away {eq} {things}.", "t - x | {Name} has {eq} {things} left."),
        ),
        Move(
            says=(
                "{He} gives {part} {his} {things} to {Friend}.",
                "{part_} the {things} are broken and thrown away.",
                "{He} sells {part} the {things}.",
            ),
            steps=("t / p | {part_} the {things} is {eq}.", "t - x | {Name} has {eq} {things} left."),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many {things} does {Name} have now?",
                "How many {things} are there in the end?",
                "How many {things} does {he} have at the end?",
                "What is the number of {things} that {Name} has now?",
            )
        ),
        Move(
            says=(
                "{He} packs the {things} into {boxes} of {a}.",
                "{He} puts all of them into {boxes} that hold {a} {things} each.",
            ),
            steps=("t / a | {He} fills {eq} {boxes}.",),
            asks=("How many {boxes} does {he} fill?", "How many {boxes} does {Name} need?"),
        ),
        Move(
            says=("{He} pays {a} dollars for each of the {things}.", "Each {thing} costs {a} dollars."),
            steps=("t * a | The {things} cost {eq} dollars.",),
            asks=("How many dollars do these {things} cost?", "What do all of these {things} cost in dollars?"),
        ),
        Move(
            says=(
                "{He} needs {a} {things} in all.",
                "{Name} wants to have {a} {things}.",
            ),
            steps=("a - t | {He} needs {eq} more {things}.",),
            asks=("How many more {things} does {he} need?", "How many {things} are still missing?"),
        ),
    ),
    distractors=(
        "The {place} opens {d} minutes late.",
        "{Friend} lives {d} steps away from the {place}.",
        "There are {d} people in line.",
        "{Name} is {d} years old.",
        "A poster at the {place} costs {d} dollars.",
    ),
)

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

FARM = Family(
    name="farm",
    level="easy",
    limit=100,
    slots={"thing": ANIMALS, "barn": ("barn", "stable", "pen", "field", "yard", "shed")},
    openings=(
        Move(
            says=(
                "A farm has {a} {barns} with {b} {things} in each.",
                "{Name} works on a farm with {a} {barns}. {b} {things} live in each {barn}.",
                "There are {b} {things} in each of the {a} {barns} of {Name}.",
            ),
            steps=("a * b | The farm has {eq} {things}.",),
        ),
        Move(
            says=(
                "{Name} has {a} {things} on a farm.",
                "{a} {things} live on the farm of {Name}.",
                "{Name} is a farmer and owns {a} {things}.",
            ),
            ranges={"a": (6, 60)},
        ),
        Move(
            says=(
                "On the farm of {Name} there are {a} brown {things} and {b} white {things}.",
                "{Name} sees {a} {things} in one {barn} and {b} {things} in the next.",
            ),
            steps=("a + b | The farm has {eq} {things}.",),
            ranges={"a": (4, 45), "b": (4, 45)},
        ),
        Move(
            says=(
                "{Name} has {a} {things}. {Friend} has {b} times as many, and they run one farm together.",
                "On one farm, {Name} keeps {a} {things} and {Friend} keeps {b} times as many.",
            ),
            steps=("a * b | {Friend} has {eq} {things}.", "a + x | The farm has {eq} {things}."),
            ranges={"a": (3, 20), "b": (2, 5)},
        ),
    ),
    moves=(
        Move(
            says=("{He} sells {a} {things}.", "{a} {things} run away.", "{He} brings {a} {things} to {Third}."),
            steps=("t - a | There are {eq} {things} left.",),
        ),
        Move(
            says=(
                "{He} buys {a} more {things}.",
                "{a} young {things} are born.",
                "{Third} gives the farm {a} {things}.",
            ),
            steps=("t + a | Now there are {eq} {things}.",),
        ),
        Move(
            says=("{He} buys {a} groups of {b} {things}.", "{a} trucks come, and each brings {b} {things}."),
            steps=("a * b | {eq} {things} are new.", "t + x | Now there are {eq} {things}."),
        ),
        Move(
            says=(
                "{a} farmers come, and each of them buys {b} {things}.",
                "{He} sells {b} {things} to each of {a} neighbors.",
            ),
            steps=("a * b | The farm sells {eq} {things}.", "t - x | There are {eq} {things} left."),
        ),
        Move(
            says=("{part_} the {things} move to another farm.", "{He} sells {part} the {things}."),
            steps=("t / p | {part_} the {things} is {eq}.", "t - x | There are {eq} {things} left."),
        ),
    ),
    closings=(
        Move(
            says=(
                "The {things} are put into {a} {barns}, the same number in each.",
                "{a} {barns} hold all of them, with equal numbers.",
            ),
            steps=("t / a | Each {barn} holds {eq} {things}.",),
            asks=("How many {things} are in each {barn}?", "How many {things} live in one {barn}?"),
        ),
        Move(
            says=(
                "Each of the {things} eats {a} kg of food a week.",
                "One of the {things} needs {a} kg of food every week.",
            ),
            steps=("t * a | They eat {eq} kg of food.",),
            asks=("How many kg of food do they eat in a week?", "How many kg of food are needed each week?"),
        ),
        Move(
            says=("{Third} has {a} {things}.", "The next farm has {a} {things}."),
            steps=("a - t | The difference is {eq} {things}.",),
            asks=(
                "How many more {things} are there than at {Name}'s farm?",
                "How many fewer {things} does {Name} have?",
            ),
        ),
        Move(
            asks=(
                "How many {things} are on the farm now?",
                "How many {things} are there in the end?",
                "How many {things} does the farm have now?",
            )
        ),
    ),
    distractors=(
        "The farm is {d} years old.",
        "A tractor needs {d} liters of fuel.",
        "There are {d} apple trees behind the {barn}.",
        "{Third} owns {d} cats.",
        "The {barn} is {d} meters long.",
    ),
)
