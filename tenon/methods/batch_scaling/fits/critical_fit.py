"""The critical batch from the steps to one loss: S = S_min + E_min / B (McCandlish et al. 2018, eq. 2.11).

With E = B S, the same is (S / S_min - 1)(E / E_min - 1) = 1. S_min steps are the fewest at any batch, E_min tokens the
fewest at any number of steps, and at B_crit = E_min / S_min one pays twice both. It is not the batch of least loss.
`critical` has what follows from the two: steps and tokens of any batch, the batch of a given overhead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tenon.core.errors import DataError
from tenon.core.scoring.student import t_quantile

__all__ = ["CriticalFit", "fit_critical"]

WORST = 0.10
"""Largest log residual that passes without a warning; the noisy quadratic, which follows the law, leaves 9 %."""


REMARKS = {
    "S_min not identified": "steps still fall as 1/B at the largest batch",
    "E_min not identified": "steps hardly depend on the batch",
    "extrapolated": "the critical batch is outside the batches tried",
    "poor fit": f"steps are over {WORST:.0%} off the hyperbola at some batch",
    "few batches": "fewer than 4",
}
"""What the short remarks mean."""

HOPELESS = 0.5
"""Log residual beyond which the steps are of no one target: there is nothing to fit."""


@dataclass(frozen=True, kw_only=True)
class CriticalFit:
    """A fitted hyperbola of steps and tokens."""

    s_min: float
    """Fewest steps."""
    e_min: float
    """Fewest tokens (or samples: the unit of the batches)."""
    critical_batch: float
    """E_min / S_min."""
    intervals: Mapping[str, tuple[float, float]]
    """Of the three, from the residuals (delta method in logarithms, Student's t); none with two batches."""
    residuals: tuple[Mapping[str, float], ...]
    """A row per batch: batch, steps, `fitted`, and `residual` = ln(fitted / measured)."""
    warnings: tuple[str, ...] = ()
    """What makes the number doubtful."""
    remarks: tuple[str, ...] = ()
    """The same in two words each, for tables: keys of `REMARKS`."""

    @property
    def is_identified(self) -> bool:
        """Whether both ends of the hyperbola are seen; if not, `critical_batch` is a bound of the search."""
        return not any(one.endswith("not identified") for one in self.remarks)


def fit_critical(rows: Iterable[Mapping[str, Any] | tuple[float, float]], *, level: float = 0.95) -> CriticalFit:
    """Fit S = S_min + E_min / B by least squares of ln(S): every batch counts alike, however many steps it takes.

    Args:
        rows: One per batch: `batch` [tokens] and `steps` to the same loss, as mappings or pairs; the learning rate
            tuned for each batch, or the result only tells how a fixed one fares.
        level: Of the intervals.

    Raises:
        DataError: Fewer than two different batches, a value that is no positive number, or steps that do not fall as
            the batch grows, or are farther from any such law than steps to one loss can be.
    """
    import numpy
    from scipy.optimize import least_squares

    pairs = [(one["batch"], one["steps"]) if isinstance(one, Mapping) else tuple(one) for one in rows]
    table = numpy.array(pairs, dtype=float).reshape(-1, 2)
    table = table[numpy.argsort(table[:, 0], kind="stable")]
    batch, steps = table.T
    if len(numpy.unique(batch)) < 2 or not (numpy.isfinite(table) & (table > 0)).all():
        raise DataError(
            f"{len(table)} rows came, with {len(numpy.unique(batch))} different batches; the critical batch takes "
            "positive steps to one loss at 2 batches or more, better at 5 from far below it to far above."
        )
    if numpy.ptp(numpy.log(batch * steps)) < 1e-3:
        raise DataError(
            f"All runs have the same tokens, {batch[0] * steps[0]:.4g}: these are trainings of one length, not steps "
            "to one loss. Give the steps until one loss was reached, or a sweep with several numbers of tokens."
        )
    # Relative least squares is linear and lands close by; logarithms then keep both positive.
    start, *_ = numpy.linalg.lstsq(
        numpy.stack([1 / steps, 1 / (batch * steps)], axis=1), numpy.ones(len(steps)), rcond=None
    )
    floor = numpy.array([steps.min(), (batch * steps).min()])
    start = numpy.log(numpy.where(start > 0, start, 1e-3 * floor))

    def residuals(theta: Any) -> Any:
        return numpy.log(numpy.exp(theta[0]) + numpy.exp(theta[1]) / batch) - numpy.log(steps)

    def jacobian(theta: Any) -> Any:
        parts = numpy.stack([numpy.full_like(batch, numpy.exp(theta[0])), numpy.exp(theta[1]) / batch], axis=1)
        return parts / parts.sum(axis=1, keepdims=True)

    bottom = numpy.log(1e-6 * floor)
    found = least_squares(
        residuals, numpy.maximum(start, bottom + 1e-6), jac=jacobian, bounds=(bottom, numpy.inf),
        xtol=1e-15, ftol=1e-15, gtol=1e-15,
    )  # fmt: skip
    s_min, e_min = (float(one) for one in numpy.exp(found.x))
    stuck = found.x < bottom + 0.5
    if stuck.all() or (stuck[1] and steps[-1] >= steps[0]):
        raise DataError(
            f"The steps do not fall as the batch grows ({steps[0]:.0f} at batch {batch[0]:.0f}, {steps[-1]:.0f} at "
            f"{batch[-1]:.0f}): there is no critical batch to find. Tune the learning rate for every batch."
        )
    worst = int(numpy.abs(found.fun).argmax())
    if abs(found.fun[worst]) > HOPELESS:
        raise DataError(
            f"At batch {batch[worst]:.4g} the {steps[worst]:.4g} steps are {numpy.exp(-found.fun[worst]):.3g} times "
            "those of the best S_min + E_min/B: these are no steps to one loss. Give one row per batch, with the "
            "steps until the same loss was reached, not a sweep of fixed numbers of tokens."
        )
    critical = e_min / s_min
    intervals = {} if stuck.any() else _intervals(found.x, found.fun, jacobian(found.x), level)
    doubts = list(_doubts(batch, found.fun, stuck, critical))
    return CriticalFit(
        s_min=s_min,
        e_min=e_min,
        critical_batch=critical,
        intervals=intervals,
        residuals=tuple(
            {"batch": float(b), "steps": float(s), "fitted": float(numpy.exp(r) * s), "residual": float(r)}
            for b, s, r in zip(batch, steps, found.fun, strict=True)
        ),
        warnings=tuple(sentence for _, sentence in doubts),
        remarks=tuple(short for short, _ in doubts),
    )


def _intervals(theta: Any, residuals: Any, jacobian: Any, level: float) -> dict[str, tuple[float, float]]:
    import numpy

    free = len(residuals) - 2
    if free < 1:
        return {}
    covariance = numpy.linalg.inv(jacobian.T @ jacobian) * float(residuals @ residuals) / free
    reach = t_quantile(free, level=level)
    result = {}
    for name, pull in (("s_min", (1, 0)), ("e_min", (0, 1)), ("critical_batch", (-1, 1))):
        middle, half = float(numpy.dot(pull, theta)), reach * float(numpy.sqrt(pull @ covariance @ numpy.array(pull)))
        result[name] = (float(numpy.exp(middle - half)), float(numpy.exp(middle + half)))
    return result


def _doubts(batch: Any, residuals: Any, stuck: Any, critical: float) -> Iterator[tuple[str, str]]:
    """Give what makes the number doubtful, in two words and in a sentence."""
    import numpy

    if stuck[0]:
        told = "S_min is not identified: steps still fall as 1/B at the largest batch; try larger ones"
        yield "S_min not identified", told
    if stuck[1]:
        yield "E_min not identified", "E_min is not identified: steps hardly depend on the batch; try smaller ones"
    if not stuck.any() and not batch.min() <= critical <= batch.max():
        tried = f"{batch.min():.4g} to {batch.max():.4g}"
        told = f"the critical batch {critical:.4g} is outside the batches tried ({tried}): it is extrapolated"
        yield "extrapolated", told
    worst = int(numpy.abs(residuals).argmax())
    if abs(residuals[worst]) > WORST:
        off = f"at batch {batch[worst]:.4g} it is {100 * residuals[worst]:+.0f} % off"
        told = (
            f"the steps do not follow S_min + E_min/B: {off}. It fails where curves of different batches cross: under "
            "schedules with a long constant part, and below the batch of least loss"
        )
        yield "poor fit", told
    if len(batch) < 4:
        yield "few batches", f"{len(batch)} batches say little of the residuals; try 5 or more"
