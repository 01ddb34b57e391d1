"""Products of powers fitted by least squares of logarithms, and refitted to resampled cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tenon.core.seeds import numpy_rng
from tenon.methods.batch_scaling.config import BatchFitConfig

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["fit_powers", "identified", "intervals_of", "resampled"]


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
