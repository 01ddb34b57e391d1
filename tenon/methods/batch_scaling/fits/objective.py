"""The objective of a loss-law fit: log-sum-exp predictions, penalties of log residuals, and their derivatives.

Everything is vectorised over R parameter sets at once (starts of one fit, or replicates of a bootstrap):

    theta    (R, P)  parameters; amplitudes as logarithms, so that they stay positive
    x, y     (n,)    ln N and ln D of the runs, each less its mean: amplitudes then hardly depend on the exponents
    r        (R, n)  ln(predicted loss) - ln(measured loss)

The objective is a sum over runs, divided by `delta` so that it is of the order of one: as a mean, or undivided, it is
so small that an optimiser's default tolerances stop it where it started.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy
from numpy import ndarray

__all__ = ["Curve", "Evaluation", "LogSumExp", "Model", "Penalty", "ScaledLogSumExp", "evaluate"]


class Curve(NamedTuple):
    """ln(loss) of all runs, and how it moves with the parameters."""

    value: ndarray
    """(R, n)."""
    jacobian: ndarray
    """(R, n, P)."""
    second: Callable[[ndarray], ndarray]
    """From weights c (R, n) to the sum over runs of c times the matrix of second derivatives, (R, P, P)."""


class Model(Protocol):
    """A form of the law, bound to the runs."""

    def __call__(self, theta: ndarray) -> Curve:
        """Predict ln(loss), theta (R, P)."""
        ...


class LogSumExp:
    """ln of a sum of terms whose logarithms are linear in theta (Hoffmann et al. 2022, appendix D.3).

    ln L = ln sum_k exp(designs[k] theta + offsets[k]): with theta = (a, b, e, alpha, beta), the designs
    (1, 0, 0, -x, 0), (0, 1, 0, 0, -y) and (0, 0, 1, 0, 0) give E + A N^-alpha + B D^-beta.
    """

    def __init__(self, designs: ndarray, offsets: ndarray | None = None) -> None:
        """Take the designs, (terms, n, P), and the offsets, (terms, n)."""
        self.designs = designs
        self.offsets = numpy.zeros(designs.shape[:2]) if offsets is None else offsets
        terms, runs, size = designs.shape
        self._squares = (designs[..., :, None] * designs[..., None, :]).reshape(terms, runs, size * size)

    def __call__(self, theta: ndarray) -> Curve:
        """Predict ln(loss), theta (R, P)."""
        logs = numpy.matmul(theta, self.designs.transpose(0, 2, 1)) + self.offsets[:, None]  # (terms, R, n)
        top = logs.max(axis=0)
        shares = numpy.exp(logs - top)
        total = shares.sum(axis=0)
        shares /= total
        jacobian = sum(share[..., None] * design for share, design in zip(shares, self.designs, strict=True))

        def second(c: ndarray) -> ndarray:
            size = theta.shape[-1]
            spread = sum((c * share) @ square for share, square in zip(shares, self._squares, strict=True))
            return spread.reshape(-1, size, size) - _gram(jacobian, c)

        return Curve(top + numpy.log(total), jacobian, second)


class ScaledLogSumExp:
    """The last parameter times a LogSumExp of the others: Kaplan's bracket, whose exponent is alpha_D."""

    def __init__(self, designs: ndarray, offsets: ndarray) -> None:
        """Take what the inner sum takes: designs, (terms, n, P - 1), and offsets, (terms, n)."""
        self.inner = LogSumExp(designs, offsets)

    def __call__(self, theta: ndarray) -> Curve:
        """Predict ln(loss), theta (R, P)."""
        inner = self.inner(theta[:, :-1])
        power = theta[:, -1]
        jacobian = numpy.concatenate([power[:, None, None] * inner.jacobian, inner.value[..., None]], axis=-1)

        def second(c: ndarray) -> ndarray:
            size = theta.shape[-1]
            result = numpy.zeros((len(theta), size, size))
            result[:, :-1, :-1] = power[:, None, None] * inner.second(c)
            cross = numpy.einsum("rn,rnp->rp", c, inner.jacobian)
            result[:, :-1, -1] = cross
            result[:, -1, :-1] = cross
            return result

        return Curve(power[:, None] * inner.value, jacobian, second)


@dataclass(frozen=True)
class Penalty:
    """What a log residual costs."""

    delta: float | None = 1e-3
    """Where the parabola r^2 / 2 turns into the line delta (|r| - delta / 2); None: it never does (least squares)."""
    asymmetry: float = 1.0
    """Factor where r > 0: the law predicts more than was measured."""

    def __call__(self, residuals: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        """Give the penalty of each residual and its first and second derivative; the second jumps at +-delta."""
        side = numpy.where(residuals > 0, self.asymmetry, 1.0)
        if self.delta is None:
            return side * residuals**2 / 2, side * residuals, side
        clipped = numpy.clip(residuals, -self.delta, self.delta)
        inside = numpy.abs(residuals) <= self.delta
        return side * clipped * (residuals - clipped / 2), side * clipped, side * inside


class Evaluation(NamedTuple):
    """The objective at R points."""

    value: ndarray
    """(R,)."""
    gradient: ndarray
    """(R, P)."""
    hessian: ndarray
    """(R, P, P); exact, away from the kinks of the penalty's derivative."""


def evaluate(
    model: Model,
    theta: ndarray,
    target: ndarray,
    weights: ndarray,
    penalty: Penalty,
    scale: float,
    *,
    far: bool = False,
) -> Evaluation:
    """Evaluate scale x sum over runs of weight x penalty(ln predicted - ln measured).

    Args:
        model: The form, bound to the runs.
        theta: (R, P).
        target: ln of the measured losses, (n,).
        weights: (R, n), or (1, n) for the same ones everywhere.
        penalty: Of a residual.
        scale: Makes the sum of the order of one, without moving its minimum.
        far: Give instead of the Hessian that of the parabolas which touch each run's penalty from above, to first order
            (reweighted least squares). It is never negative, and leads on from where the exact one says little.
    """
    curve = model(theta)
    cost, slope, bend = penalty(curve.value - target)
    scaled = scale * weights
    pull = scaled * slope
    if far:
        off = curve.value - target
        touching = numpy.divide(slope, off, out=numpy.ones_like(slope), where=numpy.abs(off) > 1e-300)
        hessian = _gram(curve.jacobian, scaled * touching)
    else:
        hessian = _gram(curve.jacobian, scaled * bend) + curve.second(pull)
    return Evaluation(
        value=(scaled * cost).sum(axis=-1),
        gradient=numpy.einsum("rn,rnp->rp", pull, curve.jacobian),
        hessian=hessian,
    )


def _gram(jacobian: ndarray, weights: ndarray) -> ndarray:
    """Sum over runs of weight x outer product: (R, n, P), (R, n) -> (R, P, P)."""
    return numpy.matmul(jacobian.transpose(0, 2, 1), weights[..., None] * jacobian)
