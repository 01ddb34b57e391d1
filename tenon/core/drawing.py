"""What pictures of several methods share, besides the house style (`tenon.core.report.style`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MARKS", "heights"]

MARKS = "osv^Dx*"
"""What tells lines apart where they lie on each other."""


def heights(rows: Sequence[Mapping[str, Any]], name: str, scale: float = 1.0) -> tuple[Any, Any]:
    """Give the values of rows, and how far their intervals reach down and up; what is None is not drawn.

    >>> values, bars = heights([{"rate": 0.5, "low": 0.25, "high": None}], "rate", 100)
    >>> values.tolist(), bars.tolist()
    ([50.0], [[25.0], [nan]])

    Args:
        rows: With the column `name`, and `low` and `high`.
        name: The column that is drawn.
        scale: What all are multiplied by; 100 for shares in per cent.
    """
    import numpy

    values, lows, highs = (
        scale * numpy.array([row[column] for row in rows], dtype=float)  # None becomes NaN
        for column in (name, "low", "high")
    )
    return values, numpy.maximum([values - lows, highs - values], 0.0)  # rounding may put an end on the wrong side
