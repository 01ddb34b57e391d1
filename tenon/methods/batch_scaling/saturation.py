"""How the best learning rate rises with the batch, and where it stops: the two forms of gradient noise.

SGD (McCandlish et al. 2018, eq. 2.10):  rate(B) = peak / (1 + B_noise / B)                      -> peak as B grows
Adam (Li et al. 2024, 2405.14578):       rate(B) = 2 peak / (sqrt(B_noise / B) + sqrt(B / B_noise))  peak at B_noise
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from tenon.core.errors import DataError

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["RateForm", "Saturation", "best_rate", "fit_saturation"]

RateForm: TypeAlias = Literal["saturating", "adam_surge"]


class Saturation(NamedTuple):
    """A fitted form."""

    peak: float
    """Largest best learning rate."""
    noise_batch: float
    """B_noise [tokens]."""
    rms: float
    """Root mean square of the log residuals."""


def best_rate(batch: Any, peak: float, noise_batch: float, form: RateForm = "saturating") -> Any:
    """Give the best learning rate of a batch; numbers or arrays, in the unit of `noise_batch`.

    >>> best_rate(100.0, 0.01, 100.0), best_rate(100.0, 0.01, 100.0, "adam_surge")
    (0.005, 0.01)
    """
    ratio = batch / noise_batch
    if form == "saturating":
        return peak / (1 + 1 / ratio)
    return 2 * peak / (ratio**-0.5 + ratio**0.5)


def fit_saturation(
    batches: Sequence[float] | ndarray, rates: Sequence[float] | ndarray, form: RateForm = "saturating"
) -> Saturation:
    """Fit a form to best learning rates by least squares of their logarithms.

    Args:
        batches: (n,) [tokens].
        rates: (n,).
        form: Which one.

    Raises:
        DataError: Fewer than three batches, or none of the values may be a batch or a rate.
    """
    import numpy
    from scipy.optimize import minimize_scalar

    x, y = numpy.asarray(batches, dtype=float), numpy.asarray(rates, dtype=float)
    if len(numpy.unique(x)) < 3 or not ((x > 0) & (y > 0) & numpy.isfinite(x * y)).all():
        raise DataError(
            f"{len(x)} best learning rates came; where they saturate takes those of 3 different batches or more, all "
            "positive and finite."
        )

    def misfit(log_noise: float) -> float:
        # The peak is only a level in logarithms: its best value is the mean, so one unknown is left.
        return float(numpy.var(numpy.log(y) - numpy.log(best_rate(x, 1.0, float(numpy.exp(log_noise)), form))))

    # Three decades beyond the batches the form is a power law or constant, and nothing tells one noise from another.
    places = numpy.linspace(numpy.log(x.min()) - 7, numpy.log(x.max()) + 7, 400)
    best = int(numpy.argmin([misfit(one) for one in places]))
    ends = places[max(0, best - 1)], places[min(len(places) - 1, best + 1)]
    noise = float(numpy.exp(minimize_scalar(misfit, bounds=ends, method="bounded", options={"xatol": 1e-12}).x))
    residuals = numpy.log(y) - numpy.log(best_rate(x, 1.0, noise, form))
    return Saturation(float(numpy.exp(residuals.mean())), noise, float(residuals.std()))
