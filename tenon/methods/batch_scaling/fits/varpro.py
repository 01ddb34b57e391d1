"""Where a fit starts: variable projection on a grid of exponents.

With the exponents given, a loss law is linear in its amplitudes. So a grid over two exponents with a small linear
problem at each point sees all of the landscape that 4,500 starts in five dimensions sample, and a few searches from its
best points end where the best of theirs does (Golub and Pereyra 1973 named the idea).
"""

from __future__ import annotations

import numpy
from numpy import ndarray

from tenon.methods.batch_scaling.fits.loss_forms import Form, Points
from tenon.methods.batch_scaling.fits.objective import Penalty

__all__ = ["project", "varpro_starts"]


def varpro_starts(form: Form, points: Points, weights: ndarray, penalty: Penalty, *, size: int, keep: int) -> ndarray:
    """Give the most promising starts, best first.

    Args:
        form: Of the law.
        points: The runs.
        weights: Of the runs in the objective, (n,).
        penalty: Of a log residual.
        size: Exponents per axis of the grid.
        keep: So many starts at most. The valleys of the grid come first, then its best other points.

    Returns:
        (keep, P), parameters as `form.inner` names them.
    """
    exponents = form.grid(size)
    amplitudes = project(form, exponents, points, weights, penalty)
    starts = numpy.clip(form.inside(exponents, numpy.log(amplitudes)), *form.bounds(points))
    cost = (weights * penalty(form.bind(points)(starts).value - points.target)[0]).sum(axis=-1)
    valley = _valleys(cost, exponents)
    order = numpy.lexsort((cost, ~valley))
    return starts[order[:keep]]


def project(form: Form, exponents: ndarray, points: Points, weights: ndarray, penalty: Penalty) -> ndarray:
    """Give the amplitudes of least relative error at each set of exponents, (G, terms), all above zero.

    Squares follow outliers, and Huber's penalty does not. So runs are weighted anew three times by what they missed,
    which brings the fit near to that of the penalty. An amplitude that would be negative is held at a ten-thousandth of
    the loss.
    """
    basis = form.basis(exponents, points)
    relative = basis.terms / basis.response[..., None]  # amplitudes times this are to be ones
    size = numpy.sqrt((relative**2).mean(axis=1, keepdims=True))
    columns = relative / size
    trust = numpy.broadcast_to(weights, columns.shape[:2])
    floor = 1e-4
    for _ in range(1 if penalty.delta is None else 4):
        weighted = columns * trust[..., None]
        normal = numpy.matmul(columns.transpose(0, 2, 1), weighted)
        # The grid has nearly equal columns (exponents of 0.1 beside the constant); a breath of ridge keeps them apart.
        normal += 1e-12 * numpy.trace(normal, axis1=1, axis2=2)[:, None, None] * numpy.eye(columns.shape[-1])
        found = numpy.linalg.solve(normal, weighted.sum(axis=1)[..., None])[..., 0]
        found = numpy.maximum(found, floor)
        sums = numpy.einsum("gnk,gk->gn", columns, found)
        missed = numpy.abs(numpy.log(sums)) * basis.power[:, None]
        if penalty.delta is not None:
            trust = weights / numpy.maximum(missed, penalty.delta)
    return found / size[:, 0]


def _valleys(cost: ndarray, exponents: ndarray) -> ndarray:
    """Mark the grid points that are no worse than their neighbours along any axis and diagonal."""
    grid = cost.reshape([len(numpy.unique(axis)) for axis in exponents.T])
    padded = numpy.pad(grid, 1, constant_values=numpy.inf)
    lowest = grid
    for offset in numpy.ndindex(*[3] * grid.ndim):
        lowest = numpy.minimum(
            lowest, padded[tuple(slice(o, o + size) for o, size in zip(offset, grid.shape, strict=True))]
        )
    return (grid == lowest).reshape(-1)
