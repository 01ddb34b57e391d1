"""Products of powers fitted by least squares of logarithms, with Student's intervals.

Percentiles of refits to resampled cells cover too little where cells are few: over 400 draws of noise 95 % intervals of
an exponent from 3, 6, 12 cells held it in 68, 88 and 90 of 100. So the intervals are Student's, and the percentiles are
only a second opinion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tenon.core.scoring.student import t_quantile
from tenon.core.seeds import numpy_rng
from tenon.methods.batch_scaling.config import BatchFitConfig
from tenon.methods.batch_scaling.laws.law import PowerLaw

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["PowerFit", "fit_power", "fit_powers", "identified", "intervals_of", "resampled"]

WITHIN = ("B",)
"""Inputs that vary within a cell, and so cost no degree of freedom between cells."""


class PowerFit(NamedTuple):
    """A product of powers, with what tells how sure it is."""

    power: PowerLaw
    """k and the exponents."""
    intervals: tuple[tuple[float, float], ...]
    """Student's, of k and of every exponent; none without a degree of freedom."""
    freedom: int
    """Degrees of freedom: cells less constants."""
    widest: float
    """Largest factor that the interval of the fitted value spans at any row; infinite without intervals."""
    replicates: ndarray | None
    """k and exponents of refits to resampled cells, (R, 1 + names); NaN where one had no solution."""


def fit_power(
    inputs: Mapping[str, ndarray],
    names: Sequence[str],
    target: ndarray,
    cell: ndarray,
    counts: ndarray | None,
    level: float,
) -> PowerFit:
    """Fit k and exponents, with Student's intervals: over the residuals, or a jackknife over cells of several rows.

    Args:
        inputs: Logarithms by name, (n,) each.
        names: Of the inputs that the law has.
        target: Logarithms of what it gives, (n,).
        cell: Which cell a row is of, counted from 0, (n,).
        counts: From `resampled`; None: no refits.
        level: Of the intervals.
    """
    import numpy

    theta = fit_powers(inputs, names, target, cell, None)[0]
    power = PowerLaw(
        coefficient=float(numpy.exp(theta[0])), exponents=dict(zip(names, map(float, theta[1:]), strict=True))
    )
    replicates = None
    if counts is not None:
        replicates = fit_powers(inputs, names, target, cell, counts)
        replicates[:, 0] = numpy.exp(replicates[:, 0])
    cells = len(numpy.unique(cell))
    freedom = cells - 1 - sum(name not in WITHIN for name in names)
    if freedom < 1:
        return PowerFit(power, (), freedom, float("inf"), replicates)
    design = numpy.stack([numpy.ones_like(target), *(inputs[name] for name in names)], axis=1)
    if len(cell) == cells:
        off = target - design @ theta
        root = numpy.linalg.qr(design, mode="r")  # as stable as the fit, where rounding is all that is left
        pulls = numpy.linalg.inv(root)
        covariance = pulls @ pulls.T * float(off @ off) / freedom
    else:
        without = 1 - (numpy.unique(cell)[:, None] == numpy.arange(int(cell.max()) + 1))
        away = fit_powers(inputs, names, target, cell, without) - theta
        covariance = (cells - 1) / cells * away.T @ away
    if not numpy.isfinite(covariance).all():  # without one cell there is no law
        return PowerFit(power, (), freedom, float("inf"), replicates)
    reach = t_quantile(freedom, level=level)
    half = reach * numpy.sqrt(numpy.diag(covariance))
    intervals = [(float(low), float(high)) for low, high in zip(theta - half, theta + half, strict=True)]
    with numpy.errstate(over="ignore"):
        intervals[0] = (float(numpy.exp(intervals[0][0])), float(numpy.exp(intervals[0][1])))
        spans = reach * numpy.sqrt(numpy.einsum("np,pq,nq->n", design, covariance, design).clip(min=0))
        widest = float(numpy.exp(2 * spans.max()))
    return PowerFit(power, tuple(intervals), freedom, widest, replicates)


def resampled(cells: int, config: BatchFitConfig, *labels: str) -> ndarray | None:
    """Give how often every cell comes in every replicate, (R, cells); None: no bootstrap."""
    import numpy

    if not config.bootstrap:
        return None
    drawn = numpy_rng(config.seed, "cells", *labels).integers(0, cells, (config.bootstrap, cells))
    return numpy.stack([numpy.bincount(one, minlength=cells) for one in drawn])


def fit_powers(
    inputs: Mapping[str, ndarray], names: Sequence[str], target: ndarray, cell: ndarray, counts: ndarray | None
) -> ndarray:
    """Fit ln k and exponents by least squares, once or for every replicate: (1 or R, 1 + names); NaN: singular."""
    import numpy

    weights = numpy.ones((1, len(target))) if counts is None else counts[:, cell].astype(float)
    means = [inputs[name].mean() for name in names]
    design = numpy.stack([numpy.ones_like(target), *(inputs[one] - m for one, m in zip(names, means, strict=True))], 1)
    gram = numpy.einsum("rn,np,nq->rpq", weights, design, design)
    right = numpy.einsum("rn,np,n->rp", weights, design, target)
    theta = numpy.full(right.shape, numpy.nan)
    good = numpy.linalg.cond(gram) < 1e12
    theta[good] = numpy.linalg.solve(gram[good], right[good][..., None])[..., 0]
    theta[:, 0] -= theta[:, 1:] @ numpy.array(means, dtype=float)
    return theta


def identified(inputs: Mapping[str, ndarray], wanted: Sequence[str]) -> list[str]:
    """Choose, in the order wanted, the inputs that vary by a tenth and apart from those already chosen."""
    import numpy

    chosen: list[str] = []
    for name in wanted:
        columns = [inputs[one] - inputs[one].mean() for one in chosen]
        left = inputs[name] - inputs[name].mean()
        if columns:
            design = numpy.stack(columns, axis=1)
            left = left - design @ numpy.linalg.lstsq(design, left, rcond=None)[0]
        if numpy.sqrt((left**2).mean()) > 0.1:
            chosen.append(name)
    return chosen


def intervals_of(
    params: Mapping[str, float], replicates: ndarray | None, level: float
) -> tuple[dict[str, tuple[float, float]], list[list[float]] | None]:
    """Give percentile intervals and covariance of constants from their replicates, (R, params)."""
    import numpy

    if replicates is None or len(replicates) < 2:
        return {}, None
    ends = numpy.percentile(replicates, [50 * (1 - level), 50 * (1 + level)], axis=0)
    intervals = {name: (float(low), float(high)) for name, low, high in zip(params, *ends, strict=True)}
    return intervals, numpy.cov(replicates, rowvar=False).tolist()
