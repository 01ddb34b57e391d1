"""The noisy quadratic: a training whose loss after any number of steps is known exactly, without a run.

    loss = 1/2 sum_i h_i theta_i^2,   i = 1..n,   curvature h_i = 1/i,   gradient noise of one sample c_i = h_i

SGD with batch B and learning rate r takes E[theta_i^2] to (1 - r h_i)^2 E[theta_i^2] + r^2 c_i / B, which sums up in
closed form. Batches count samples. Best batch, critical batch and the best learning rate's dependence on the batch can
all be had to many digits: what measures them on real trainings is tested on this one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["best_learning_rate", "experiment", "final_loss", "spectrum", "steps_to_loss"]

DIMENSIONS = 1000
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
LONGEST = 10**9
"""Steps after which a target counts as out of reach."""


def spectrum(dimensions: int = DIMENSIONS) -> ndarray:
    """Give the curvatures h_i = 1/i, which are the noise variances, too."""
    import numpy

    return 1.0 / numpy.arange(1, dimensions + 1)


def final_loss(batch: float, lr: float | ndarray, steps: float, *, dimensions: int = DIMENSIONS) -> Any:
    """Give the expected loss after some steps from E[theta_i^2] = 1.

    Args:
        batch: Samples per step; any positive number.
        lr: Learning rates, a number or (r,), above 0 and below 2 (the largest curvature is 1).
        steps: Steps.
        dimensions: n.

    Returns:
        The loss, of the shape of `lr`.

    Raises:
        ConfigError: A batch or a number of steps is negative, or a learning rate diverges.
    """
    import numpy

    rates = numpy.asarray(lr, dtype=float)
    if not (batch > 0 and steps >= 0 and (rates > 0).all() and (rates < 2).all()):
        raise ConfigError(
            f"batch {batch}, steps {steps}, learning rates {rates.min():.3g} to {rates.max():.3g}: the batch must be "
            "above 0, the steps 0 or more, and the learning rates above 0 and below 2, where SGD diverges."
        )
    h = spectrum(dimensions)
    step = rates[..., None] * h
    kept = numpy.exp(2 * steps * numpy.log(numpy.abs(1 - step) + 1e-300))  # (1 - r h)^(2 steps)
    # Geometric sum of the noise: (1 - q^steps) / (1 - q) with q = (1 - r h)^2 and so 1 - q = r h (2 - r h).
    noise = (rates[..., None] ** 2 * h / batch) * (1 - kept) / (step * (2 - step))
    loss = 0.5 * (h * (kept + noise)).sum(axis=-1)
    return float(loss) if loss.ndim == 0 else loss


def best_learning_rate(batch: float, steps: float, *, dimensions: int = DIMENSIONS) -> tuple[float, float]:
    """Give the learning rate of least loss after some steps, and that loss."""
    import numpy
    from scipy.optimize import minimize_scalar

    grid = numpy.linspace(numpy.log(1e-7), numpy.log(1.9999), 80)
    best = int(numpy.argmin(final_loss(batch, numpy.exp(grid), steps, dimensions=dimensions)))
    ends = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    found = minimize_scalar(
        lambda x: final_loss(batch, float(numpy.exp(x)), steps, dimensions=dimensions),
        bounds=ends, method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    return float(numpy.exp(found.x)), float(found.fun)


def steps_to_loss(batch: float, target: float, *, dimensions: int = DIMENSIONS) -> int:
    """Give the fewest steps to a loss, over all learning rates that stay constant.

    Raises:
        DataError: The target is below what a billion steps reach.
    """
    from scipy.optimize import brentq

    def excess(log_steps: float) -> float:
        return best_learning_rate(batch, math.exp(log_steps), dimensions=dimensions)[1] - target

    # More steps never do worse at their best rate, so the loss crosses the target once.
    high = 0.0
    while excess(high) > 0:
        high += math.log(4)
        if high > math.log(LONGEST):
            raise DataError(f"A loss of {target} is not reached in {LONGEST:.0e} steps of batch {batch}; raise it.")
    if high == 0:
        return 1
    return math.ceil(math.exp(brentq(excess, high - math.log(4), high, xtol=1e-7, rtol=1e-12)))


def experiment(
    *,
    samples: int = 2**17,
    target: float = 0.15,
    batches: Sequence[int] = BATCHES,
    dimensions: int = DIMENSIONS,
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Measure the critical batch and the best learning rates of the quadratic (section 6 of our notes).

    Args:
        samples: D = batch x steps of the learning-rate half.
        target: Loss of the critical-batch half.
        batches: Of both halves.
        dimensions: n.

    Returns:
        One row per batch: `batch`, `steps` and `samples` to the target, `best_lr` and `loss` at D, `slope` of
        ln(best_lr) on ln(batch) up to the next one; and the facts of the critical-batch fit.
    """
    from tenon.methods.batch_scaling.fits.critical_fit import fit_critical

    rows: list[dict[str, float]] = []
    for batch in batches:
        steps = steps_to_loss(batch, target, dimensions=dimensions)
        rate, loss = best_learning_rate(batch, samples / batch, dimensions=dimensions)
        rows.append({"batch": batch, "steps": steps, "samples": batch * steps, "best_lr": rate, "loss": loss})
    for row, after in itertools.pairwise(rows):
        row["slope"] = math.log(after["best_lr"] / row["best_lr"]) / math.log(after["batch"] / row["batch"])
    fit = fit_critical(rows)
    return rows, {
        "samples": samples,
        "target": target,
        "s_min": fit.s_min,
        "e_min": fit.e_min,
        "critical_batch": fit.critical_batch,
        "intervals": {name: list(ends) for name, ends in fit.intervals.items()},
        "largest_residual": max(abs(one["residual"]) for one in fit.residuals),
        "warnings": list(fit.warnings),
    }
