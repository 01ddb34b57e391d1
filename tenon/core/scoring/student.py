"""Student's t, for the few independent numbers that seeds give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

__all__ = ["t_interval", "t_quantile"]


def t_quantile(freedom: int, *, level: float = 0.95) -> float:
    """Give the two-sided quantile of Student's t: `P(|T| <= t) = level`.

    The probability is Abramowitz and Stegun's finite sum for whole degrees of freedom (26.7.3, 26.7.4); it is inverted
    by halving.

    >>> round(t_quantile(2), 3)
    4.303
    """
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """Give `P(|T| <= t)`."""
    angle = math.atan(t / math.sqrt(freedom))
    square, is_odd = math.cos(angle) ** 2, freedom % 2
    term = math.cos(angle) if is_odd else 1.0
    total = 0.0
    for index in range(freedom // 2):
        total += term
        term *= square * ((2 * index + 2) / (2 * index + 3) if is_odd else (2 * index + 1) / (2 * index + 2))
    return 2 / math.pi * (angle + math.sin(angle) * total) if is_odd else math.sin(angle) * total


def t_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float, float]:
    """Give the mean of a few independent numbers and the ends of its t-interval.

    >>> [round(end, 2) for end in t_interval([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    mean = fmean(values)
    half = t_quantile(len(values) - 1, level=level) * stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half
