"""The families of stories, by name. A new family is a file here and a line in this table."""

from __future__ import annotations

from tenon.tasks.math.plot import Family
from tenon.tasks.math.stories.area import AREA
from tenon.tasks.math.stories.building import BUILDING
from tenon.tasks.math.stories.classroom import CLASSROOM
from tenon.tasks.math.stories.coins import COINS
from tenon.tasks.math.stories.farm import FARM
from tenon.tasks.math.stories.group import GROUP
from tenon.tasks.math.stories.growth import GROWTH
from tenon.tasks.math.stories.party import PARTY
from tenon.tasks.math.stories.reading import READING
from tenon.tasks.math.stories.recipe import RECIPE
from tenon.tasks.math.stories.savings import SAVINGS
from tenon.tasks.math.stories.sharing import SHARING
from tenon.tasks.math.stories.shopping import SHOPPING
from tenon.tasks.math.stories.time import TIME
from tenon.tasks.math.stories.trading import TRADING
from tenon.tasks.math.stories.trip import TRIP
from tenon.tasks.math.stories.wages import WAGES
from tenon.tasks.math.stories.weight import WEIGHT

__all__ = ["FAMILIES"]

_ALL = (
    SHOPPING, SHARING, READING, FARM, SAVINGS, PARTY, CLASSROOM, TRADING,
    TRIP, WAGES, BUILDING, GROUP, RECIPE, AREA, TIME, COINS, GROWTH, WEIGHT,
)  # fmt: skip

FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
"""In a fixed order: a drawn family is a number into it, so a new one changes what a seed gives."""
