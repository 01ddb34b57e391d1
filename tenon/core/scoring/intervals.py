"""How sure a figure is: intervals for means, differences and rates.

    one mean (bits per byte over documents)              bootstrap_interval
    two systems on the same items                        paired_interval
    two systems, each item right or wrong                mcnemar_p beside paired_interval
    one rate (accuracy)                                  wilson_interval

Items must be independent: documents or problems, not the tokens inside one. A seed gives the same interval everywhere.
"""

# No `from __future__ import annotations`: tests execute the shapes.

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from tenon.core.errors import ConfigError, DataError
from tenon.core.seeds import numpy_rng

__all__ = ["Interval", "PairedDifference", "bootstrap_interval", "mcnemar_p", "paired_interval", "wilson_interval"]

_BLOCK = 1 << 22  # numbers drawn at once: 32 MiB


class Interval(NamedTuple):
    """The two ends of a confidence interval."""

    low: float
    high: float


class PairedDifference(NamedTuple):
    """How far two systems are apart on the same items."""

    difference: float
    """Mean of `a - b`."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end of its interval."""
    p: float
    """Chance of a difference at least this large, either way, if the two systems were exchangeable."""


def bootstrap_interval(
    values: Sequence[float] | Float[np.ndarray, " items"], *, seed: int, level: float = 0.95, resamples: int = 10_000
) -> Interval:
    """Give the percentile bootstrap interval of the mean (Efron 1979).

    Items are drawn with replacement, as many as there are, `resamples` times; the interval holds the middle `level` of
    the means. With fewer than about 20 items it is too narrow and covers less than it says.

    Args:
        values: One number per independent item.
        seed: The run's seed.
        level: Wanted coverage, between 0 and 1.
        resamples: Number of resampled means.

    Raises:
        DataError: There are no values, or one is not finite.
        ConfigError: `level` is not between 0 and 1, or `resamples` is smaller than 1.
    """
    array = _checked(values, "values")
    _check_options(level, resamples)
    rng = numpy_rng(seed, "bootstrap_interval")
    size = len(array)
    means = _in_blocks(lambda rows: array[rng.integers(size, size=(rows, size))].mean(axis=1), size, resamples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def paired_interval(
    a: Sequence[float] | Float[np.ndarray, " items"],
    b: Sequence[float] | Float[np.ndarray, " items"],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 10_000,
) -> PairedDifference:
    """Compare two systems item by item: mean difference, bootstrap interval, and a sign-flip permutation p-value.

    If neither system were better, each difference could as well have the other sign. `p` is the share of random sign
    patterns whose mean is at least as far from 0 as the observed one, the observed pattern counted among them, so it is
    never 0 (Phipson and Smyth 2010).

    Args:
        a: One number per item from the first system.
        b: The second system's numbers, in the same order.
        seed: The run's seed.
        level: Wanted coverage of the interval, between 0 and 1.
        resamples: Number of resampled means, and of sign patterns.

    Raises:
        DataError: The two have different lengths, are empty, or hold a number that is not finite.
        ConfigError: `level` is not between 0 and 1, or `resamples` is smaller than 1.
    """
    first, second = _checked(a, "a"), _checked(b, "b")
    if len(first) != len(second):
        raise DataError(f"a has {len(first)} values and b has {len(second)}; paired systems answer the same items.")
    differences = first - second
    low, high = bootstrap_interval(differences, seed=seed, level=level, resamples=resamples)
    rng = numpy_rng(seed, "paired_interval")
    size = len(differences)
    flipped = _in_blocks(lambda rows: rng.choice((-1.0, 1.0), size=(rows, size)) @ differences, size, resamples)
    observed = abs(differences.sum())
    tolerance = 1e-12 * np.abs(differences).sum()  # equal sums, added in another order, are equal
    extreme = int((np.abs(flipped) >= observed - tolerance).sum())
    return PairedDifference(float(differences.mean()), low, high, (extreme + 1) / (resamples + 1))


def mcnemar_p(a: Sequence[bool] | Bool[np.ndarray, " items"], b: Sequence[bool] | Bool[np.ndarray, " items"]) -> float:
    """Give the exact two-sided p-value of McNemar's test: do two systems differ in how often they are right?

    Only items on which exactly one of them is right say anything; if neither is better, each of these is a fair coin.
    The binomial tail is summed in whole numbers, without an approximation.

    Args:
        a: Whether the first system is right, per item.
        b: The same of the second system, in the same order.

    Raises:
        DataError: The two have different lengths or hold something other than true and false.

    >>> mcnemar_p([True] * 5, [False] * 5)  # 2 / 2**5
    0.0625
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(f"a has shape {first.shape} and b has {second.shape}; paired systems answer the same items.")
    if not (np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        raise DataError(
            "a and b must say right (True) or wrong (False) for every item; for scores use paired_interval."
        )
    only_a, only_b = int((first > second).sum()), int((second > first).sum())
    tail = sum(math.comb(only_a + only_b, i) for i in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2 ** (only_a + only_b))


def wilson_interval(successes: int, total: int, *, level: float = 0.95) -> Interval:
    """Give Wilson's score interval of a rate (Wilson 1927): sound for few items and for rates near 0 and 1.

    The ends are the rates `p` that satisfy `|successes / total - p| = z sqrt(p (1 - p) / total)`.

    Raises:
        DataError: Not `0 <= successes <= total` with at least one item.
        ConfigError: `level` is not between 0 and 1.
    """
    if not (total >= 1 and 0 <= successes <= total):
        raise DataError(f"{successes} of {total} is no rate; it takes 0 <= successes <= total and total >= 1.")
    _check_options(level, 1)
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate, share = successes / total, z * z / total
    center = (rate + share / 2) / (1 + share)
    half = z * math.sqrt(rate * (1 - rate) / total + share / (4 * total)) / (1 + share)
    # At the borders the ends are 0 and 1 exactly; rounding would miss them.
    return Interval(0.0 if successes == 0 else center - half, 1.0 if successes == total else center + half)


def _in_blocks(draw: Callable[[int], np.ndarray], size: int, resamples: int) -> Float[np.ndarray, " resamples"]:
    rows = max(1, _BLOCK // size)
    return np.concatenate([draw(min(rows, resamples - start)) for start in range(0, resamples, rows)])


def _checked(values: Sequence[float] | np.ndarray, name: str) -> Float[np.ndarray, " items"]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise DataError(f"{name} has shape {array.shape}; it must hold one number per item, and at least one.")
    if not np.isfinite(array).all():
        raise DataError(f"{name} holds {int((~np.isfinite(array)).sum())} numbers that are NaN or infinite.")
    return array


def _check_options(level: float, resamples: int) -> None:
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}; it must lie between 0 and 1, for instance 0.95.")
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}; it must be 1 or more.")
