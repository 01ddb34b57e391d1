"""The families of stories, by name. A new family is a `Family` in one of these files and a place in this table."""

from __future__ import annotations

from tenon.tasks.math.plot import Family
from tenon.tasks.math.stories.everyday import FARM, READING, SHARING, SHOPPING
from tenon.tasks.math.stories.groups import CLASSROOM, PARTY, SAVINGS, TRADING
from tenon.tasks.math.stories.measures import AREA, COINS, GROWTH, RECIPE, TIME, WEIGHT
from tenon.tasks.math.stories.work import BUILDING, GROUP, TRIP, WAGES

__all__ = ["FAMILIES"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        SHOPPING, SHARING, READING, FARM, SAVINGS, PARTY, CLASSROOM, TRADING,
        TRIP, WAGES, BUILDING, GROUP, RECIPE, AREA, TIME, COINS, GROWTH, WEIGHT,
    )
}  # fmt: skip
