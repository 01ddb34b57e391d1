"""Where the best learning rate stops rising with the batch: peak and noise scale from best learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from tenon.core.errors import DataError

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["fit_saturation"]

RateForm: TypeAlias = Literal["saturating", "adam_surge"]


class Saturation(NamedTuple):
    """A fitted form."""

    peak: float
    """Largest best learning rate."""
    noise_batch: float
    """B_noise [tokens]."""
    rms: float
    """Root mean square of the log residuals."""


def fit_saturation(
    batches: Sequence[float] | ndarray, rates: Sequence[float] | ndarray, form: RateForm = "saturating"
) -> Saturation:
    """Fit a form to best learning rates by least squares of their logarithms.

    Args:
        batches: (n,) [tokens].
        rates: (n,).
        form: `saturating` towards the peak (SGD), or the `adam_surge`, which falls again beyond the noise scale.

    Raises:
        DataError: Fewer than three batches, or a value that is no positive number.
    """
    import numpy
    from scipy.optimize import minimize_scalar

    from tenon.methods.batch_scaling.critical import learning_rate_saturating, learning_rate_surge

    curve = learning_rate_saturating if form == "saturating" else learning_rate_surge

    x, y = numpy.asarray(batches, dtype=float), numpy.asarray(rates, dtype=float)
    if len(numpy.unique(x)) < 3 or not ((x > 0) & (y > 0) & numpy.isfinite(x * y)).all():
        raise DataError(
            f"{len(x)} best learning rates came; where they saturate takes those of 3 different batches or more, all "
            "positive and finite."
        )

    def misfit(log_noise: ndarray) -> ndarray:
        # The peak is only a level in logarithms: its best value is the mean, so one unknown is left.
        return numpy.var(numpy.log(y) - numpy.log(curve(x, 1.0, numpy.exp(log_noise)[..., None])), axis=-1)

    # Three decades beyond the batches the form is a power law or constant, and nothing tells one noise from another.
    places = numpy.linspace(numpy.log(x.min()) - 7, numpy.log(x.max()) + 7, 400)
    best = int(misfit(places).argmin())
    ends = places[max(0, best - 1)], places[min(len(places) - 1, best + 1)]
    found = minimize_scalar(
        lambda place: float(misfit(numpy.asarray(place))), bounds=ends, method="bounded", options={"xatol": 1e-12}
    )
    noise = float(numpy.exp(found.x))
    residuals = numpy.log(y) - numpy.log(curve(x, 1.0, noise))
    return Saturation(float(numpy.exp(residuals.mean())), noise, float(residuals.std()))
