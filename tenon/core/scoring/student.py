"""Student's t, for the few independent numbers that seeds give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

__all__ = ["t_interval", "t_quantile"]


def t_quantile(freedom: int, *, level: float = 0.95) -> float:
    """Give the two-sided quantile of Student's t: `P(|T| <= t) = level`.

    >>> round(t_quantile(2), 3)
    4.303
    """
    from scipy.special import stdtrit  # without the half second that scipy.stats takes to load

    return float(stdtrit(freedom, 0.5 + level / 2))


def t_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float, float]:
    """Give the mean of a few independent numbers and the ends of its t-interval.

    >>> [round(end, 2) for end in t_interval([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    mean = fmean(values)
    half = t_quantile(len(values) - 1, level=level) * stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half
