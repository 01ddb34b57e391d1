"""The people and the things of the stories."""

from __future__ import annotations

__all__ = ["ANIMALS", "BOXES", "FOOD", "HE", "ITEMS", "KEEPSAKES", "PLACES", "SHE", "TOOLS", "plural"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SHE = _words(
    "Mia Emma Anna Lena Zoe Lily Nora Sara Eva Ruth Ida Clara Maya Rosa Ella Grace Julia Amina Leah Hanna "
    "Tina Olga Wendy Carla Yuki Priya Fatima Ingrid Sofia Vera Nina Alice Bella Daisy Iris Jade Kate Lucy"
)
HE = _words(
    "Tom Ben Leo Max Sam Paul Noah Jack Omar Ivan Luis Finn Adam Eric Hugo Karl Liam Mark Nick Oscar "
    "Peter Ryan Simon Theo Victor Will Yusuf Ali Bruno Carlos David Felix George Henry Jonas Kenji Ravi Diego"
)


def plural(word: str) -> str:
    """The plural of a word in these lists, which hold regular nouns only.

    >>> plural("box"), plural("cherry"), plural("toy"), plural("potato")
    ('boxes', 'cherries', 'toys', 'potatoes')
    """
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh", "ato")) else "s")


FOOD = _words(
    "apple pear plum peach lemon orange banana cherry tomato potato carrot onion cookie muffin candy bun bagel donut "
    "waffle pancake cracker chocolate biscuit dumpling sandwich pretzel mango melon olive walnut"
)
ITEMS = _words(
    "pen pencil notebook eraser ruler crayon marker folder candle button ribbon cup plate spoon towel brush lamp "
    "soap battery magnet basket pillow sock glove scarf hat belt mug jar bead"
)
KEEPSAKES = _words(
    "stamp coin card sticker marble shell badge poster comic toy postcard pin medal doll robot puzzle photo stone "
    "feather whistle"
)
ANIMALS = _words("hen duck cow goat pig horse rabbit turkey lamb donkey pony pigeon")
TOOLS = _words("chair table bench fence door cabinet ladder kite birdhouse lantern stool frame")
BOXES = _words("box bag basket crate pack jar bowl tray carton case tin bucket")
PLACES = _words("market store shop fair bazaar supermarket kiosk mall")
