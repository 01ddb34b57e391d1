"""Stories about people together: savings, parties, school classes, traded collections."""

from __future__ import annotations

from tenon.tasks.math.names import FOOD, ITEMS, KEEPSAKES
from tenon.tasks.math.plot import Family, Move

__all__ = ["CLASSROOM", "PARTY", "SAVINGS", "TRADING"]

SAVINGS = Family(
    name="savings",
    level="easy",
    limit=150,
    slots={
        "thing": ITEMS + KEEPSAKES,
        "wish": ("bike", "tent", "phone", "guitar", "camera", "drum", "skateboard", "watch"),
    },
    openings=(
        Move(
            says=(
                "{Name} saves {b} dollars a week for {a} weeks.",
                "{Name} puts {b} dollars into a piggy bank every week. {He} does this for {a} weeks.",
                "For {a} weeks, {Name} saves {b} dollars each week.",
                "Every week {Name} gets {b} dollars of pocket money and saves all of it for {a} weeks.",
            ),
            steps=("a * b | {Name} saves {eq} dollars.",),
        ),
        Move(
            says=(
                "{Name} has {a} dollars in a piggy bank.",
                "{Name} has saved {a} dollars.",
                "There are {a} dollars in the wallet of {Name}.",
            ),
            ranges={"a": (10, 80)},
        ),
        Move(
            says=(
                "{Name} gets {a} dollars from an aunt and {b} dollars from an uncle.",
                "{Name} has {a} dollars in one pocket and {b} dollars in the other.",
            ),
            steps=("a + b | {Name} has {eq} dollars.",),
            ranges={"a": (5, 50), "b": (5, 50)},
        ),
        Move(
            says=(
                "{Name} has {a} dollars and {Friend} has {b} dollars more than {Name}. They put their money together.",
                "{Name} saves {a} dollars. {Friend} saves {b} dollars more than that, and they share one piggy bank.",
            ),
            steps=("a + b | {Friend} has {eq} dollars.", "a + x | Together they have {eq} dollars."),
            ranges={"a": (6, 40), "b": (3, 20)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} spends {a} dollars on lunch.",
                "{He} pays {a} dollars for a ticket.",
                "{He} lends {Third} {a} dollars.",
            ),
            steps=("t - a | Now there are {eq} dollars.",),
        ),
        Move(
            says=(
                "{He} gets {a} dollars for {his} birthday.",
                "{He} finds {a} more dollars.",
                "Grandpa adds {a} dollars.",
            ),
            steps=("t + a | Now there are {eq} dollars.",),
        ),
        Move(
            says=(
                "{He} saves {b} dollars a week for {a} more weeks.",
                "{He} sells {a} old {things} for {b} dollars each.",
            ),
            steps=("a * b | {He} adds {eq} dollars.", "t + x | Now there are {eq} dollars."),
        ),
        Move(
            says=(
                "{He} buys {a} {things} for {b} dollars each.",
                "{He} pays for {a} {things} that cost {b} dollars each.",
            ),
            steps=("a * b | The {things} cost {eq} dollars.", "t - x | Now there are {eq} dollars."),
        ),
        Move(
            says=("{He} spends {part} the money.", "{part_} the money goes to {Third}."),
            steps=("t / p | {part_} the money is {eq} dollars.", "t - x | Now there are {eq} dollars."),
        ),
    ),
    closings=(
        Move(
            says=("The {wish} costs {a} dollars.", "{He} wants a {wish} for {a} dollars."),
            steps=("a - t | {He} needs {eq} more dollars.",),
            asks=("How many more dollars does {he} need?", "How many dollars are still missing?"),
        ),
        Move(
            says=(
                "A {wish} costs {a} dollars. From now on {he} saves {b} dollars a week for it.",
                "{He} wants a {wish} for {a} dollars and will save {b} dollars every week until {he} can pay.",
            ),
            steps=("a - t | {He} needs {eq} more dollars.", "x / b | It takes {eq} weeks."),
            asks=("How many weeks does it take?", "After how many weeks can {he} buy it?"),
        ),
        Move(
            says=(
                "One {thing} costs {a} dollars, and all the money is spent on such {things}.",
                "All of the money buys {things} for {a} dollars each.",
            ),
            steps=("t / a | That buys {eq} {things}.",),
            asks=("How many {things} is that?", "How many {things} can {he} buy?"),
        ),
        Move(
            asks=(
                "How many dollars are there now?",
                "How much money is there in the end, in dollars?",
                "How many dollars is that in the end?",
            )
        ),
    ),
    distractors=(
        "The {wish} weighs {d} kg.",
        "{Third} is {d} years old.",
        "The bank is {d} minutes away.",
        "{Name} owns {d} {things}.",
        "The store sells {d} kinds of {things}.",
    ),
)

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

CLASSROOM = Family(
    name="classroom",
    level="easy",
    limit=120,
    slots={
        "thing": (
            "pencil",
            "book",
            "crayon",
            "notebook",
            "marker",
            "worksheet",
            "sticker",
            "ruler",
            "folder",
            "eraser",
            "brush",
        ),
        "room": ("class", "school club", "choir", "art class", "math club", "science club"),
    },
    openings=(
        Move(
            says=(
                "The {room} of {Name} has {a} rows with {b} students in each.",
                "In the {room} of {Name} there are {a} groups of {b} students.",
                "{Name} teaches a {room} with {a} full tables and {b} students at each table.",
            ),
            steps=("a * b | There are {eq} students.",),
        ),
        Move(
            says=(
                "The {room} of {Name} has {a} students.",
                "{Name} teaches a {room} of {a} students.",
                "There are {a} students in the {room} of {Name}.",
            ),
            ranges={"a": (8, 48)},
        ),
        Move(
            says=(
                "There are {a} girls and {b} boys in the {room} of {Name}.",
                "{Name} teaches a {room} of {a} boys and {b} girls.",
            ),
            steps=("a + b | There are {eq} students.",),
            ranges={"a": (4, 30), "b": (4, 30)},
        ),
        Move(
            says=(
                "There are {a} girls in the {room} of {Name} and {b} fewer boys than girls.",
                "The {room} of {Name} has {a} girls. The boys are {b} fewer.",
            ),
            steps=("a - b | There are {eq} boys.", "a + x | There are {eq} students."),
            ranges={"a": (8, 30)},
        ),
    ),
    moves=(
        Move(
            says=("{a} new students join.", "{a} students come from another school.", "{a} more students sign up."),
            steps=("t + a | Now there are {eq} students.",),
        ),
        Move(
            says=(
                "{a} students are ill and stay at home.",
                "{a} students move away.",
                "{a} students leave for a sports day.",
            ),
            steps=("t - a | Now there are {eq} students.",),
        ),
        Move(
            says=("{a} groups of {b} students each come to visit and stay.", "{a} buses bring {b} more students each."),
            steps=("a * b | {eq} students are new.", "t + x | Now there are {eq} students."),
        ),
        Move(
            says=("{part_} the students go on a trip.", "{part_} the students leave for the music room."),
            steps=("t / p | {part_} the students is {eq}.", "t - x | Now there are {eq} students."),
        ),
        Move(
            says=("{a} teams of {b} students leave for a match.", "{a} cars take {b} students each to a museum."),
            steps=("a * b | {eq} students leave.", "t - x | Now there are {eq} students."),
        ),
    ),
    closings=(
        Move(
            says=("Each student gets {a} {things}.", "Every student needs {a} {things}."),
            steps=("t * a | They need {eq} {things}.",),
            asks=("How many {things} are needed?", "How many {things} do the students need?"),
        ),
        Move(
            says=(
                "{He} has {b} {things} and gives {a} to each student.",
                "Each student takes {a} of the {b} {things} in the room.",
            ),
            steps=("t * a | They take {eq} {things}.", "b - x | There are {eq} {things} left."),
            asks=("How many {things} are left?", "How many {things} remain?"),
        ),
        Move(
            says=("The students form {a} equal teams.", "They are split into {a} groups of the same size."),
            steps=("t / a | Each group has {eq} students.",),
            asks=("How many students are in one group?", "How many students are in each?"),
        ),
        Move(
            says=("The students work in groups of {a}.", "Groups of {a} students are made."),
            steps=("t / a | There are {eq} groups.",),
            asks=("How many groups are there?", "How many groups do they make?"),
        ),
        Move(
            asks=(
                "How many students are there now?",
                "How many students are there in the end?",
                "How many students does {Name} see now?",
            )
        ),
    ),
    distractors=(
        "The lesson takes {d} minutes.",
        "There are {d} pictures on the wall.",
        "The school is {d} years old.",
        "{Name} walks {d} minutes to school.",
        "The room has {d} lamps.",
    ),
)

TRADING = Family(
    name="trading",
    level="easy",
    limit=100,
    slots={"thing": KEEPSAKES, "box": ("album", "box", "tin", "bag", "case", "pack", "jar")},
    openings=(
        Move(
            says=(
                "{Name} collects {things} and has {a}.",
                "{Name} has {a} {things}.",
                "There are {a} {things} in the collection of {Name}.",
            ),
            ranges={"a": (6, 60)},
        ),
        Move(
            says=(
                "{Friend} has {a} {things}. {Name} has {b} times as many.",
                "{Name} has {b} times as many {things} as {Friend}, who has {a}.",
            ),
            steps=("a * b | {Name} has {eq} {things}.",),
            ranges={"a": (3, 20), "b": (3, 6)},
        ),
        Move(
            says=(
                "{Friend} has {a} {things}. {Name} has {b} more than {Friend}.",
                "{Friend} has {a} {things}, and {Name} has {b} more than that.",
            ),
            steps=("a + b | {Name} has {eq} {things}.",),
            ranges={"a": (5, 45), "b": (3, 40)},
        ),
        Move(
            says=(
                "{Friend} has {a} {things}. {Name} has {b} fewer.",
                "{Name} has {b} {things} fewer than {Friend}, who has {a}.",
            ),
            steps=("a - b | {Name} has {eq} {things}.",),
            ranges={"a": (15, 80)},
        ),
        Move(
            says=(
                "{Name} has {a} {boxes} of {things}, and each {box} holds {b}.",
                "{Name} keeps {things} in {a} {boxes}. There are {b} {things} in every {box}.",
            ),
            steps=("a * b | {Name} has {eq} {things}.",),
        ),
    ),
    moves=(
        Move(
            says=(
                "{Third} gives {him} {a} {things}.",
                "{He} wins {a} {things} in a game.",
                "{He} finds {a} more {things} in a drawer.",
            ),
            steps=("t + a | {Name} has {eq} {things}.",),
        ),
        Move(
            says=("{He} gives {a} {things} to {Third}.", "{He} loses {a} {things}.", "{He} sells {a} {things}."),
            steps=("t - a | {Name} has {eq} {things}.",),
        ),
        Move(
            says=(
                "{He} trades {a} {things} and gets {b} {things} back.",
                "{Third} takes {a} of the {things} and gives {him} {b} others for them.",
            ),
            steps=("t - a | {He} is left with {eq} {things}.", "x + b | {Name} has {eq} {things}."),
            ranges={"b": (2, 20)},
        ),
        Move(
            says=("{He} buys {a} {boxes} with {b} {things} in each.", "{a} friends give {him} {b} {things} each."),
            steps=("a * b | {He} gets {eq} {things}.", "t + x | {Name} has {eq} {things}."),
        ),
        Move(
            says=("{He} gives {part} {his} {things} away.", "{He} trades {part} the {things} for a book."),
            steps=("t / p | {part_} the {things} is {eq}.", "t - x | {Name} has {eq} {things}."),
        ),
        Move(
            says=("{He} doubles {his} collection.", "{He} then has twice as many {things} as before."),
            steps=("t * 2 | {Name} has {eq} {things}.",),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many {things} does {Name} have now?",
                "How many {things} does {he} have in the end?",
                "How many {things} are in the collection of {Name} now?",
            )
        ),
        Move(
            says=("{Third} has {a} {things}.", "The collection of {Third} has {a} {things}."),
            steps=("a - t | {Third} has {eq} {things} more.",),
            asks=(
                "How many more {things} does {Third} have than {Name}?",
                "How many {things} does {Name} lack to have as many as {Third}?",
            ),
        ),
        Move(
            says=(
                "{He} puts them into {boxes}, {a} in each.",
                "Each {box} has room for {a} {things}, and {he} puts all of them away.",
            ),
            steps=("t / a | {He} fills {eq} {boxes}.",),
            asks=("How many {boxes} does {he} fill?", "How many {boxes} are filled?"),
        ),
        Move(
            says=("{Third} has {a} times as many {things}.", "{a} times as many {things} belong to {Third}."),
            steps=("t * a | {Third} has {eq} {things}.", "t + x | Together they have {eq} {things}."),
            ranges={"a": (3, 5)},
            asks=(
                "How many {things} do {Name} and {Third} have together?",
                "How many {things} do the two have in all?",
            ),
        ),
    ),
    distractors=(
        "{Third} has {d} pencils.",
        "{Name} is {d} years old.",
        "The club meets for {d} minutes.",
        "The shelf is {d} cm wide.",
        "{Friend} paid {d} dollars for a ticket.",
    ),
)
