"""Newton's method on many small fits at once, with bounds.

A bootstrap is hundreds of fits of the same form to the same runs with other weights. One at a time, each costs far more
in calls than in arithmetic; side by side they are a few matrix products per step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy import ndarray

from tenon.methods.batch_scaling.fits.objective import Model, Penalty, evaluate

__all__ = ["Solution", "minimise"]

TOLERANCE = 1e-12
"""Of the gradient per unit of weight, at which a fit needs no further step."""
ACCEPTABLE = 1e-6
"""Of the same: above it, a fit that has stopped has not converged."""


BLOCK = 50_000
"""Runs times fits that are worked on at once: few enough for a processor's cache."""


class Solution(NamedTuple):
    """Where R fits ended."""

    theta: ndarray
    """(R, P)."""
    value: ndarray
    """The objective as it is summed, without the scale, (R,)."""
    gradient: ndarray
    """Largest entry of the gradient per unit of weight, at parameters that are free to move, (R,)."""
    converged: ndarray
    """(R,) bool."""


def minimise(
    model: Model,
    start: ndarray,
    target: ndarray,
    weights: ndarray,
    penalty: Penalty,
    bounds: tuple[ndarray, ndarray],
    *,
    steps: int = 300,
    far: int = 0,
    finish: bool = True,
) -> Solution:
    """Minimise the objective from R starts.

    Steps are those of Levenberg and Marquardt in the eigenvectors of the exact Hessian, whose negative eigenvalues
    count by their size, so a step always leads down. What Newton's method leaves unfinished (the Hessian of Huber's
    penalty jumps), L-BFGS-B of scipy ends.

    Args:
        model: The form, bound to the runs.
        start: (R, P), inside the bounds.
        target: ln of the measured losses, (n,).
        weights: (R, n), or (1, n) for the same ones everywhere.
        penalty: Of a residual.
        bounds: Lower and upper ends of the parameters, (P,) each.
        steps: At most so many.
        far: So many of them at first by reweighted least squares, for starts far from any minimum.
        finish: Whether to end single fits that have not converged with scipy.
    """
    weights = numpy.broadcast_to(weights, (len(start), weights.shape[-1]))
    if len(start) > (block := max(1, BLOCK // weights.shape[-1])):
        parts = [
            minimise(
                model, start[i : i + block], target, weights[i : i + block], penalty, bounds,
                steps=steps, far=far, finish=finish,
            )
            for i in range(0, len(start), block)
        ]  # fmt: skip
        return Solution(*(numpy.concatenate(column) for column in zip(*parts, strict=True)))
    scale = 1.0 / (penalty.delta or 1e-3)
    mass = weights.sum(axis=-1)
    lower, upper = bounds
    theta = numpy.clip(start, lower, upper)
    now = evaluate(model, theta, target, weights, penalty, scale, far=far > 0)
    value, gradient, hessian = (part.copy() for part in now)
    damping = numpy.full(len(theta), 1e-3)
    growth = numpy.full(len(theta), 2.0)
    going = numpy.arange(len(theta))
    for step in range(steps):
        if step == far > 0:  # from here on with the exact Hessian
            hessian[going] = evaluate(model, theta[going], target, weights[going], penalty, scale).hessian
            damping[going], growth[going] = 1e-3, 2.0
        slope = _free(theta[going], gradient[going], lower, upper)
        going = going[numpy.abs(slope).max(axis=-1) > TOLERANCE * mass[going]]
        if not going.size:
            break
        trial, promised = _step(theta[going], gradient[going], hessian[going], damping[going], lower, upper)
        there = evaluate(model, trial, target, weights[going], penalty, scale, far=step < far)
        gained = value[going] - there.value
        better = gained > 0
        took = going[better]
        theta[took], value[took] = trial[better], there.value[better]
        gradient[took], hessian[took] = there.gradient[better], there.hessian[better]
        # Nielsen's rule: trust grows smoothly with how well the parabola foretold the gain.
        ratio = gained / numpy.maximum(promised, 1e-300)
        easier = numpy.maximum(1 / 5, 1 - (2 * numpy.clip(ratio, 0, 1) - 1) ** 3)
        damping[going] *= numpy.where(better, easier, growth[going])
        growth[going] = numpy.where(better, 2.0, growth[going] * 2)
        damping[going] = numpy.maximum(damping[going], 1e-14)
        # Nothing is left to gain that the sum could show, or no step however short leads down.
        spent = (promised <= 1e-17 * value[going]) | (damping[going] > 1e12)
        going = going[~spent]
        if not going.size:
            break
    size = numpy.abs(_free(theta, gradient, lower, upper)).max(axis=-1) / mass
    for one in numpy.flatnonzero(size > ACCEPTABLE) if finish else ():
        theta[one], value[one], size[one] = _finish(model, theta[one], target, weights[one], penalty, bounds, scale)
    return Solution(theta, value / scale, size, size <= ACCEPTABLE)


def _finish(
    model: Model,
    start: ndarray,
    target: ndarray,
    weights: ndarray,
    penalty: Penalty,
    bounds: tuple[ndarray, ndarray],
    scale: float,
) -> tuple[ndarray, float, float]:
    """End a single fit with L-BFGS-B; give where it ended, the scaled objective and the gradient per unit of weight."""
    from scipy.optimize import minimize

    def objective(theta: ndarray) -> tuple[float, ndarray]:
        there = evaluate(model, theta[None], target, weights[None], penalty, scale)
        return float(there.value[0]), there.gradient[0]

    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=list(zip(*bounds, strict=True)),
        options={"ftol": 1e-16, "gtol": 1e-10, "maxiter": 1000},
    )  # fmt: skip
    before, after = objective(start), objective(found.x)
    best, (value, gradient) = (found.x, after) if after[0] < before[0] else (start, before)
    left = _free(best[None], gradient[None], *bounds)
    return best, value, float(numpy.abs(left).max() / weights.sum())


def _free(theta: ndarray, gradient: ndarray, lower: ndarray, upper: ndarray) -> ndarray:
    """Give the gradient with zeros where a parameter sits at a bound and would leave it."""
    stuck = ((theta <= lower) & (gradient > 0)) | ((theta >= upper) & (gradient < 0))
    return numpy.where(stuck, 0.0, gradient)


def _step(
    theta: ndarray, gradient: ndarray, hessian: ndarray, damping: ndarray, lower: ndarray, upper: ndarray
) -> tuple[ndarray, ndarray]:
    slope = _free(theta, gradient, lower, upper)
    free = (slope != 0).astype(float)
    inner = hessian * free[:, :, None] * free[:, None, :]
    values, vectors = numpy.linalg.eigh(inner)
    size = numpy.abs(values)
    top = size.max(axis=-1, keepdims=True)
    bent = numpy.maximum(size, 1e-14 * top) + damping[:, None] * top + 1e-300
    along = numpy.einsum("rpk,rp->rk", vectors, slope)
    step = -numpy.einsum("rpk,rk->rp", vectors, along / bent)
    step *= numpy.minimum(1.0, 2.0 / numpy.maximum(numpy.abs(step).max(axis=-1, keepdims=True), 1e-300))
    trial = numpy.clip(theta + step, lower, upper)
    # What the damped parabola gains. A bound may spoil a direction; the damping then turns it towards the gradient.
    return trial, 0.5 * numpy.abs(((trial - theta) * slope).sum(axis=-1))
