"""The gradient noise scale (McCandlish et al. 2018, arXiv 1812.06162): from squared norms of gradients to a batch.

A gradient of a batch of `b` is the true gradient G plus noise of covariance Sigma / b, so that

    E|G_b|^2 = |G|^2 + tr(Sigma) / b            B_simple = tr(Sigma) / |G|^2

and two batch sizes tell both unknowns apart (appendix A.1 there). Both estimates scatter widely around their true
values, and a ratio of scattering numbers is biased: average each first, and divide once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tenon.core.errors import ConfigError, DataError
from tenon.core.seeds import numpy_rng

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = [
    "NoiseEstimate",
    "NoiseScale",
    "Pair",
    "RankStep",
    "fewest_pairs",
    "noise_scale",
    "pair_of_step",
    "two_batch",
]

WIDE = 10.0
"""An interval whose ends differ by more than this factor is called wide."""


def two_batch(small_sq: Any, big_sq: Any, small: Any, big: Any) -> tuple[Any, Any]:
    """Estimate |G|^2 and tr(Sigma) without bias from squared gradient norms at two batch sizes; arrays broadcast.

    Args:
        small_sq: |G_b|^2 of the small batch's mean gradient.
        big_sq: The same of the big batch.
        small: Its size b, in any unit.
        big: The big batch's size, in the same unit.

    Returns:
        `g2`, |G|^2, and `s`, tr(Sigma) of one unit. Either may be negative: they scatter around the true values.

    Raises:
        ConfigError: A small batch is not smaller than the big one.

    >>> two_batch(3.0, 2.0, 1, 2)  # |G|^2 = 1, and noise of 2 per unit
    (1.0, 2.0)
    """
    import numpy

    if numpy.any(numpy.asarray(small) >= numpy.asarray(big)) or numpy.any(numpy.asarray(small) <= 0):
        raise ConfigError(
            f"The two batches are {small} and {big}; the estimator needs two sizes, the first above 0 and the smaller."
        )
    g2 = (big * big_sq - small * small_sq) / (big - small)
    s = (small_sq - big_sq) / (1 / small - 1 / big)
    return g2, s


class NoiseScale:
    """Moving averages of |G|^2 and tr(Sigma) over a training, in which both drift; their ratio is B_simple.

    Args:
        decay: Weight of the past at every update; 0.99 remembers about a hundred.
    """

    def __init__(self, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"decay is {decay}; it must be 0 or more and below 1.")
        self.decay = decay
        self.pairs = 0
        """Updates so far."""
        self._g2 = self._s = 0.0

    def update(self, g2: float, s: float) -> None:
        """Take in one pair's estimates; s in the unit in which the batch is wanted."""
        self.pairs += 1
        self._g2 = self.decay * self._g2 + (1 - self.decay) * g2
        self._s = self.decay * self._s + (1 - self.decay) * s

    @property
    def g2(self) -> float | None:
        """The average of |G|^2, freed of its start at zero; None before the first update."""
        return self._g2 / (1 - self.decay**self.pairs) if self.pairs else None

    @property
    def s(self) -> float | None:
        """The average of tr(Sigma), likewise."""
        return self._s / (1 - self.decay**self.pairs) if self.pairs else None

    @property
    def b_simple(self) -> float | None:
        """The ratio of the averages; None while one of them is not above zero: not resolved yet."""
        return self._s / self._g2 if self._g2 > 0 and self._s > 0 else None

    def state(self) -> dict[str, float]:
        """Give what a checkpoint keeps."""
        return {"g2": self._g2, "s": self._s, "pairs": self.pairs}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on where `state` was taken."""
        self._g2, self._s, self.pairs = float(state["g2"]), float(state["s"]), int(state["pairs"])


def fewest_pairs(level: float = 0.95) -> int:
    """Give the pairs from which on there is an interval [ours].

    A bootstrap cannot reach beyond what was drawn, and even the whole range of n independent draws misses the middle of
    their distribution whenever all fall on one side of it, with probability 2^(1 - n). Below 6 pairs that is over 5 %.

    >>> fewest_pairs(), fewest_pairs(0.99)
    (6, 8)
    """
    return math.ceil(1 - math.log2(1 - level))


@dataclass(frozen=True, kw_only=True)
class NoiseEstimate:
    """The noise scale of a model on its data, at one point of its training."""

    b_simple: float | None
    """tr(Sigma) / |G|^2 [tokens]; None: not resolved, the warnings say why."""
    g2: float
    """|G|^2."""
    s: float
    """tr(Sigma) of one token."""
    interval: tuple[float, float | None] | None
    """Bootstrap interval of `b_simple` [tokens]; an upper end of None is open; None as a whole: nothing can be said, as
    from fewer than `fewest_pairs`."""
    pairs: int
    """Pairs of norms behind it."""
    warnings: tuple[str, ...] = ()
    """What keeps it from being taken at its word."""


def noise_scale(
    small_norms_sq: Sequence[float] | ndarray,
    big_norms_sq: Sequence[float] | ndarray,
    *,
    small: Any,
    big: Any,
    unit_tokens: float = 1.0,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> NoiseEstimate:
    """Estimate B_simple from pairs of squared gradient norms: the ratio of averages, never the average of ratios.

    Args:
        small_norms_sq: |G_b|^2 of every pair's small batch, or the mean over several small batches of a pair.
        big_norms_sq: |G_B|^2 of every pair's big batch.
        small: Size of the small batches; one number, or one per pair.
        big: Size of the big ones, in the same unit.
        unit_tokens: Tokens in that unit: the length of a row where sizes are rows.
        bootstrap: Resamples of the pairs for the interval; 0 gives none.
        level: Level of the interval.
        seed: Of the bootstrap.

    Raises:
        DataError: No pairs, different numbers of norms, or a norm that is negative or no number.
        ConfigError: The two sizes are not two, or `level` is out of range.
    """
    import numpy

    first, second = (numpy.asarray(norms, dtype=float) for norms in (small_norms_sq, big_norms_sq))
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise DataError(
            f"There are {first.size} small and {second.size} big squared norms; give a pair each, one or more."
        )
    for name, norms in (("small", first), ("big", second)):
        if len(bad := numpy.flatnonzero(~(numpy.isfinite(norms) & (norms >= 0)))):
            raise DataError(
                f"The {name} squared norm of pair {bad[0] + 1} is {norms[bad[0]]}; it must be a number, 0 or more. "
                f"Leave out the {len(bad)} such pairs, and say so."
            )
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}; it must be between 0 and 1.")
    g2s, ss = (one * numpy.ones(len(first)) for one in two_batch(first, second, small, big))
    ss = ss * unit_tokens
    g2, s = float(g2s.mean()), float(ss.mean())
    fewest = fewest_pairs(level)
    interval = _interval(g2s, ss, bootstrap, level, seed) if bootstrap and len(first) >= fewest else None
    told = list(_unresolved(g2, s))
    if interval is not None and not told:
        if interval[1] is None:
            told.append("The interval is open above: |G|^2 is not told apart from 0. Measure more pairs.")
        elif interval[1] > WIDE * max(interval[0], 1e-300):
            told.append(f"The ends of the interval differ by more than a factor of {WIDE:g}. Measure more pairs.")
    if bootstrap and len(first) < fewest:
        told.append(
            f"{len(first)} pair{'s are' if len(first) > 1 else ' is'} too few for an interval of {100 * level:g} %. "
            f"Measure {fewest} or more."
        )
    b_simple = s / g2 if g2 > 0 and s > 0 else None
    return NoiseEstimate(b_simple=b_simple, g2=g2, s=s, interval=interval, pairs=len(first), warnings=tuple(told))


def _unresolved(g2: float, s: float) -> Sequence[str]:
    told = []
    if not g2 > 0:
        told.append(f"|G|^2 is not resolved yet: its estimate is {g2:.3g}. Measure more pairs, or a larger big batch.")
    if not s > 0:
        told.append(f"The noise is not resolved yet: tr(Sigma) is estimated as {s:.3g}. Take a smaller small batch.")
    return told


def _interval(g2s: ndarray, ss: ndarray, bootstrap: int, level: float, seed: int) -> tuple[float, float | None] | None:
    """Resample pairs; a resample whose |G|^2 is not above zero counts as an infinite batch."""
    import numpy

    rng, pairs = numpy_rng(seed, "noise scale"), len(g2s)
    ratios = numpy.empty(bootstrap)
    for place in range(bootstrap):
        drawn = rng.integers(pairs, size=pairs)
        g2, s = g2s[drawn].mean(), ss[drawn].mean()
        ratios[place] = numpy.inf if g2 <= 0 else max(0.0, s / g2)
    # "lower" and "higher" take values that occur: an interpolation between infinities is no number.
    low = float(numpy.quantile(ratios, (1 - level) / 2, method="lower"))
    high = float(numpy.quantile(ratios, (1 + level) / 2, method="higher"))
    return None if low == numpy.inf else (low, None if high == numpy.inf else high)


class RankStep(NamedTuple):
    """What one process saw of one optimizer step, as plain numbers: gradients are those that backward left."""

    small_sq: float
    """|gradient|^2 after the first micro-batch, or, without accumulation, before the processes were averaged."""
    big_sq: float
    """|gradient|^2 after all micro-batches and processes, before clipping."""
    first: float
    """Targets in the loss of the small batch."""
    targets: float
    """Targets in the losses of this process's step."""
    inverse: float
    """Sum over its micro-batches of 1 / targets."""
    micro_batches: float
    """How many there were."""
    tokens: float
    """Tokens of all its micro-batches, targets or not."""


class Pair(NamedTuple):
    """Two squared norms of mean gradients with the sizes of their batches [tokens]."""

    small_sq: float
    big_sq: float
    small: float
    big: float


def pair_of_step(ranks: Sequence[RankStep], *, is_weighted: bool, is_shared: bool, accumulated: bool) -> Pair | None:
    """Undo how a training divides its losses, and give the pair of norms of one optimizer step.

    transformers divides a micro-batch's summed loss by the targets N of the whole step (`is_weighted`), of all W
    processes (`is_shared`, the loss is then multiplied by W because processes are averaged) or of its own; otherwise
    each micro-batch's mean loss by the number k of micro-batches. So a first micro-batch of n targets left a gradient

        sum g W / N  (shared)       sum g / N_rank  (weighted)       mean g / k  (otherwise)

    and its mean gradient is that times N / (n W), N_rank / n or k. Noise adds up as variances do: a mean of W means
    over n_r targets has that of a batch of W^2 / sum(1 / n_r).

    Args:
        ranks: What every process saw.
        is_weighted: Whether losses were divided by numbers of targets.
        is_shared: Whether by those of all processes.
        accumulated: Whether the small batch is a first micro-batch; otherwise it is a process's whole share.

    Returns:
        The pair, or None: a norm is no number, a micro-batch has no target, or both batches are equally large.
    """
    processes = len(ranks)
    if not all(math.isfinite(number) for rank in ranks for number in rank) or any(rank.first <= 0 for rank in ranks):
        return None
    targets, tokens = sum(rank.targets for rank in ranks), sum(rank.tokens for rank in ranks)
    if is_weighted and is_shared:
        factors = [targets / (processes * rank.first) for rank in ranks]
        big = targets
    elif is_weighted:
        factors = [rank.targets / rank.first for rank in ranks]
        big = processes**2 / sum(1 / rank.targets for rank in ranks)
    else:
        factors = [rank.micro_batches if accumulated else 1.0 for rank in ranks]
        # A rank's mean over its k means has noise sum(1 / n) / k^2.
        big = processes**2 / sum(rank.inverse / rank.micro_batches**2 for rank in ranks)
    small_sq = sum(rank.small_sq * factor**2 for rank, factor in zip(ranks, factors, strict=True)) / processes
    small = processes / sum(1 / rank.first for rank in ranks)
    if not small < big:
        return None
    per_target = tokens / targets
    return Pair(small_sq, ranks[0].big_sq, small * per_target, big * per_target)
