"""Stories with rates and shares: trips, wages, building, parts of a group."""

from __future__ import annotations

from tenon.tasks.math.names import TOOLS
from tenon.tasks.math.plot import Family, Move

__all__ = ["BUILDING", "GROUP", "TRIP", "WAGES"]

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

WAGES = Family(
    name="wages",
    level="harder",
    limit=1000,
    slots={
        "thing": TOOLS,
        "job": (
            "baker",
            "painter",
            "driver",
            "gardener",
            "waiter",
            "tailor",
            "plumber",
            "cook",
            "guard",
            "cleaner",
            "farmer",
            "barber",
        ),
    },
    openings=(
        Move(
            says=(
                "{Name} works as a {job} for {a} hours and earns {b} dollars per hour.",
                "A {job} earns {b} dollars an hour. {Name} has this job and works {a} hours.",
                "{Name} is paid {b} dollars for each hour as a {job} and works for {a} hours.",
            ),
            steps=("a * b | {Name} earns {eq} dollars.",),
            ranges={"b": (8, 40)},
        ),
        Move(
            says=(
                "{Name} earns {a} dollars as a {job}.",
                "The {job} {Name} gets {a} dollars.",
                "{Name} has a job as a {job} and makes {a} dollars.",
            ),
            ranges={"a": (40, 400)},
        ),
        Move(
            says=(
                "{Name} makes {a} {things} and sells them for {b} dollars each.",
                "{Name} sells {a} {things} at a price of {b} dollars each.",
            ),
            steps=("a * b | {Name} earns {eq} dollars.",),
            ranges={"b": (10, 95)},
        ),
        Move(
            says=(
                "{Name} works {a} hours a day for {b} days. One hour is paid with {c} dollars.",
                "{Name} is a {job} and works {b} days with {a} hours each. Each hour brings {c} dollars.",
            ),
            steps=("a * b | {Name} works {eq} hours.", "x * c | {Name} earns {eq} dollars."),
            ranges={"b": (2, 7)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{He} gets a tip of {a} dollars.",
                "{He} gets {a} dollars extra.",
                "{Friend} pays {him} another {a} dollars.",
            ),
            steps=("t + a | Now it is {eq} dollars.",),
            ranges={"a": (5, 120)},
        ),
        Move(
            says=(
                "{He} pays {a} dollars in tax.",
                "{He} spends {a} dollars on new shoes.",
                "{He} pays {a} dollars for gas.",
            ),
            steps=("t - a | Now it is {eq} dollars.",),
        ),
        Move(
            says=(
                "{He} works {a} more hours for {b} dollars an hour.",
                "{He} repairs {a} {things} for {b} dollars each.",
            ),
            steps=("a * b | That brings {eq} dollars.", "t + x | Now it is {eq} dollars."),
            ranges={"b": (5, 40)},
        ),
        Move(
            says=("{He} buys {a} tools for {b} dollars each.", "{He} pays {a} helpers {b} dollars each."),
            steps=("a * b | {He} pays {eq} dollars.", "t - x | Now it is {eq} dollars."),
            ranges={"b": (5, 40)},
        ),
        Move(
            says=("{part_} the money goes to {his} family.", "{He} spends {part} the money on rent."),
            steps=("t / p | {part_} the money is {eq} dollars.", "t - x | Now it is {eq} dollars."),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many dollars does {Name} have in the end?",
                "How many dollars is that in the end?",
                "How many dollars does {he} have now?",
            )
        ),
        Move(
            says=(
                "{He} splits the money evenly with friends, so that {a} people get the same.",
                "{a} workers share this money equally.",
            ),
            steps=("t / a | Each person gets {eq} dollars.",),
            asks=("How many dollars does each person get?", "What is the share of one person in dollars?"),
        ),
        Move(
            says=("{He} needs {a} dollars for the rent.", "A new machine costs {a} dollars."),
            steps=("a - t | {He} needs {eq} more dollars.",),
            asks=("How many more dollars does {he} need?", "How many dollars are missing?"),
        ),
        Move(
            says=("{He} gets this amount every month for {a} months.", "This happens in each of {a} months."),
            steps=("t * a | In that time it is {eq} dollars.",),
            asks=("How many dollars is that in this time?", "How many dollars is that after all these months?"),
        ),
    ),
    distractors=(
        "{Name} is {d} years old.",
        "The way to work takes {d} minutes.",
        "{Friend} has worked there for {d} years.",
        "The shop has {d} rooms.",
        "The {job} next door has {d} customers.",
    ),
)

BUILDING = Family(
    name="building",
    level="harder",
    limit=1000,
    slots={
        "thing": ("brick", "tile", "stone", "board", "beam", "block", "pipe", "panel", "nail", "screw", "window"),
        "site": ("wall", "house", "tower", "bridge", "garage", "hall", "chimney", "school", "stage"),
    },
    openings=(
        Move(
            says=(
                "{Name} builds a {site} with {a} rows of {b} {things}.",
                "For a {site}, {Name} lays {a} rows with {b} {things} in each row.",
                "A truck brings {a} pallets with {b} {things} each to {Name}, who builds a {site}.",
            ),
            steps=("a * b | {Name} has {eq} {things}.",),
            ranges={"b": (10, 90)},
        ),
        Move(
            says=(
                "{Name} has {a} {things} for a {site}.",
                "{Name} gets {a} {things} to build a {site}.",
                "There are {a} {things} at the {site} that {Name} builds.",
            ),
            ranges={"a": (50, 600)},
        ),
        Move(
            says=(
                "{Name} builds a {site} from {a} old {things} and {b} new {things}.",
                "{Name} orders {a} {things} for a {site} in one store and {b} in another.",
            ),
            steps=("a + b | {Name} has {eq} {things}.",),
            ranges={"a": (30, 400), "b": (30, 400)},
        ),
        Move(
            says=(
                "{Name} brings {a} boxes with {b} {things} and {c} boxes with {d} {things} to the {site}.",
                "At the {site} of {Name} there are {a} carts of {b} {things} and also {c} carts of {d} {things}.",
            ),
            steps=(
                "a * b | The first ones hold {eq} {things}.",
                "c * d | The others hold {eq} {things}.",
                "y + x | {Name} has {eq} {things}.",
            ),
            ranges={"b": (10, 60), "d": (10, 60)},
        ),
    ),
    moves=(
        Move(
            says=(
                "{a} {things} break.",
                "{He} uses {a} {things} for the floor.",
                "{a} of the {things} are too short and go back.",
            ),
            steps=("t - a | There are {eq} {things} left.",),
        ),
        Move(
            says=(
                "{Friend} brings {a} more {things}.",
                "{He} orders {a} more {things}.",
                "Another {a} {things} arrive.",
            ),
            steps=("t + a | Now there are {eq} {things}.",),
            ranges={"a": (10, 200)},
        ),
        Move(
            says=("{He} gets {a} more stacks of {b} {things}.", "{a} carts arrive, each with {b} {things}."),
            steps=("a * b | {eq} {things} are new.", "t + x | Now there are {eq} {things}."),
            ranges={"b": (10, 60)},
        ),
        Move(
            says=("{a} workers use {b} {things} each.", "{He} uses {b} {things} a day for {a} days."),
            steps=("a * b | They use {eq} {things}.", "t - x | There are {eq} {things} left."),
            ranges={"b": (5, 60)},
        ),
        Move(
            says=("{part_} the {things} are used for the roof.", "{He} uses {part} the {things} on the first day."),
            steps=("t / p | {part_} the {things} is {eq}.", "t - x | There are {eq} {things} left."),
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many {things} are there in the end?",
                "How many {things} does {Name} have now?",
                "How many {things} are there now?",
            )
        ),
        Move(
            says=("The {things} are set in {a} equal rows.", "{He} builds {a} equal parts from all the {things}."),
            steps=("t / a | Each has {eq} {things}.",),
            asks=("How many {things} are in each?", "How many {things} are in one of them?"),
        ),
        Move(
            says=("The {site} needs {a} {things} in total.", "{He} needs {a} {things} for the whole {site}."),
            steps=("a - t | {He} needs {eq} more {things}.",),
            asks=("How many more {things} does {he} need?", "How many {things} are missing?"),
        ),
        Move(
            says=(
                "The {site} needs {a} {things} in total. The missing ones come in packs of {b}.",
                "{He} needs {a} {things} for the {site} and buys the rest in packs of {b}.",
            ),
            steps=("a - t | {He} needs {eq} more {things}.", "x / b | {He} buys {eq} packs."),
            asks=("How many packs does {he} buy?", "How many packs must {he} buy?"),
        ),
        Move(
            says=("Each of the {things} weighs {a} kg.", "One of the {things} has a weight of {a} kg."),
            steps=("t * a | They weigh {eq} kg.",),
            asks=("How many kg do they weigh together?", "What do they weigh in all, in kg?"),
        ),
    ),
    distractors=(
        "The {site} is {d} meters high.",
        "{Name} has worked there for {d} years.",
        "The truck is {d} years old.",
        "The street has {d} lamps.",
        "{Friend} paints {d} doors.",
    ),
)

GROUP = Family(
    name="group",
    level="harder",
    limit=600,
    slots={
        "thing": (
            "player",
            "visitor",
            "worker",
            "dancer",
            "singer",
            "hiker",
            "swimmer",
            "soldier",
            "runner",
            "camper",
            "scout",
            "actor",
        ),
        "place": ("hall", "park", "camp", "stadium", "museum", "theater", "zoo", "harbor", "square"),
    },
    openings=(
        Move(
            says=(
                "{Name} counts {a} {things} in the {place}.",
                "There are {a} {things} in the {place} where {Name} works.",
                "{Name} leads a group of {a} {things} at the {place}.",
            ),
            ranges={"a": (24, 240, 12)},
        ),
        Move(
            says=(
                "{a} buses bring {things} to the {place}, {b} in each bus. {Name} counts them.",
                "{Name} sees {a} lines of {b} {things} in the {place}.",
                "At the {place}, {Name} meets {a} teams of {b} {things}.",
            ),
            steps=("a * b | There are {eq} {things}.",),
            ranges={"b": (10, 48, 2)},
        ),
        Move(
            says=(
                "There are {a} {things} in the {place}, and {part} them wear a hat. {Name} counts only those.",
                "{Name} sees {a} {things} in the {place}. {part_} them are women, and {he} leads the women.",
                "{part_} the {a} {things} in the {place} stay for lunch with {Name}.",
            ),
            steps=("a / p | {part_} the {things} is {eq}.",),
            ranges={"a": (60, 480, 60)},
        ),
        Move(
            says=(
                "Two thirds of the {a} {things} in the {place} go with {Name}.",
                "There are {a} {things} in the {place}. Two thirds of them follow {Name}.",
            ),
            steps=("a / 3 | One third of the {things} is {eq}.", "x * 2 | Two thirds is {eq} {things}."),
            ranges={"a": (18, 147, 3)},
        ),
        Move(
            says=(
                "Three quarters of the {a} {things} in the {place} go with {Name}.",
                "There are {a} {things} in the {place}. Three quarters of them follow {Name}.",
            ),
            steps=("a / 4 | One quarter of the {things} is {eq}.", "x * 3 | Three quarters is {eq} {things}."),
            ranges={"a": (20, 160, 4)},
        ),
    ),
    moves=(
        Move(
            says=("{part_} them go home.", "{part_} these {things} leave.", "{part_} the group takes the bus home."),
            steps=("t / p | {part_} the {things} is {eq}.", "t - x | There are {eq} {things} left."),
        ),
        Move(
            says=("Only {part} them stay.", "{He} goes on with {part} these {things}, and the others leave."),
            steps=("t / p | {part_} the {things} is {eq}.",),
        ),
        Move(
            says=(
                "{a} more {things} join.",
                "{a} {things} come late and join.",
                "{Friend} arrives with {a} more {things}.",
            ),
            steps=("t + a | Now there are {eq} {things}.",),
            ranges={"a": (4, 100)},
        ),
        Move(
            says=("{a} of these {things} leave.", "{a} {things} feel tired and stop."),
            steps=("t - a | There are {eq} {things} left.",),
        ),
        Move(
            says=("{a} teams of {b} {things} join.", "{a} vans arrive with {b} {things} each."),
            steps=("a * b | {eq} {things} are new.", "t + x | Now there are {eq} {things}."),
            ranges={"b": (4, 30)},
        ),
    ),
    closings=(
        Move(
            asks=(
                "How many {things} is that?",
                "How many {things} are there in this group now?",
                "How many {things} are with {Name} in the end?",
            )
        ),
        Move(
            says=("They form teams of {a}.", "They split up into teams of {a}."),
            steps=("t / a | That makes {eq} teams.",),
            asks=("How many teams are there?", "How many teams does that make?"),
        ),
        Move(
            says=("Each of them pays {a} dollars.", "A ticket for each of these {things} costs {a} dollars."),
            steps=("t * a | They pay {eq} dollars.",),
            asks=("How many dollars do they pay?", "What do they pay together in dollars?"),
        ),
        Move(
            says=("There is room for {a} {things}.", "The {place} has {a} seats, one for each of them."),
            steps=("a - t | {eq} places are free.",),
            asks=("How many places stay free?", "How many more {things} would fit?"),
        ),
    ),
    distractors=(
        "The {place} is open for {d} minutes.",
        "{Name} is {d} years old.",
        "There are {d} trees around the {place}.",
        "{Friend} sells {d} maps.",
        "The {place} was built {d} years ago.",
    ),
)
