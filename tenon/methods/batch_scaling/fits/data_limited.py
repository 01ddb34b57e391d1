"""Fit a law of the loss where data are repeated: what is the n-th look at the same tokens worth?

The form is that of Muennighoff et al. 2023 (arXiv 2305.16264) for data. D tokens of which U are different are worth

    D' = U + U R (1 - exp(-(D/U - 1) / R)),    L = E + A N^-alpha + B D'^-beta,

so repeats count almost in full for the first epochs, and all repeats ever together R times the data. R is fitted; no
published value is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy
from numpy import ndarray

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.config import LossFitConfig
from tenon.methods.batch_scaling.fits.law_card import FittedLaw
from tenon.methods.batch_scaling.fits.loss_fit import changed, fit_form, usable_runs
from tenon.methods.batch_scaling.fits.loss_forms import Basis, Points, Powers
from tenon.methods.batch_scaling.fits.objective import Curve, Model
from tenon.methods.batch_scaling.laws.law import NKind
from tenon.methods.batch_scaling.laws.loss import DataLimitedLoss, LossLaw

__all__ = ["RepeatedPowers", "effective_log_tokens", "fit_data_limited"]

_DEFAULT = LossFitConfig()
RANGE = (0.05, 1000.0)
"""Bounds of R: repeats that are worth nothing, and repeats that are as good as new."""
REPEATED = 1.05
"""From D/U on a run counts as one that repeats its data."""
FEWEST = 3
"""Runs that repeat, and different D/U among them; fewer do not show how their worth falls."""


def fit_data_limited(
    runs: Any,
    config: LossFitConfig = _DEFAULT,
    *,
    group: str | None = None,
    n_kind: NKind | None = None,
    name: str = "fitted-data-limited",
    **changes: Any,
) -> FittedLaw:
    """Fit the law of repeated data; its `loss(N, D, unique)` takes the different tokens too.

    Args:
        runs: As for `fit_loss_law`, with a column unique_tokens; a run without a value there has not repeated its data.
        config: How it is fitted; `form` and `starts` are the one form's, and are not looked at.
        group: As for `fit_loss_law`.
        n_kind: As for `fit_loss_law`.
        name: Of the law.
        changes: Fields of the config that differ.

    Raises:
        DataError: As for `fit_loss_law`, or too few runs repeat their data.
    """
    config = changed(config, {**changes, "starts": "varpro"})
    table = usable_runs(runs, group=group, n_kind=n_kind)
    tokens = table["tokens"]
    unique = numpy.where(numpy.isfinite(table["unique_tokens"]), table["unique_tokens"], tokens)
    if (unique <= 0).any():
        bad = table.ids[int(numpy.flatnonzero(unique <= 0)[0])]
        raise DataError(f"Run {bad} has unique_tokens of 0 or less; it must be the number of different tokens.")
    # More different tokens than were seen are a data set of which a part was used: nothing is repeated.
    table = replace(table, columns={**table.columns, "unique_tokens": numpy.minimum(unique, tokens)})
    epochs = tokens / table["unique_tokens"]
    kinds = len(numpy.unique(numpy.round(epochs[epochs >= REPEATED], 3)))
    if kinds < FEWEST:
        raise DataError(
            f"{int((epochs >= REPEATED).sum())} runs repeat their data (tokens above unique_tokens), with {kinds} "
            f"different numbers of epochs; R needs {FEWEST} or more, and better some beyond ten epochs. Without "
            "repeats, fit_loss_law is the fit."
        )
    return fit_form(RepeatedPowers(), table, config, name=name, holdout=config.holdout or None)


def effective_log_tokens(log_epochs: ndarray, log_r: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Give ln(D' / U), and its first and second derivative by ln R.

    Args:
        log_epochs: ln(D/U), 0 where nothing is repeated, (n,).
        log_r: ln R, (R, 1).
    """
    repeats, rate = numpy.expm1(log_epochs), numpy.exp(log_r)
    ratio = repeats / rate
    gone = numpy.exp(-ratio)
    worth = 1 + rate * -numpy.expm1(-ratio)
    # d worth / d ln R, and the same again of that.
    first = rate * (-numpy.expm1(-ratio) - ratio * gone)
    second = first - rate * ratio**2 * gone
    return numpy.log(worth), first / worth, second / worth - (first / worth) ** 2


@dataclass(frozen=True)
class RepeatedPowers(Powers):
    """E + A N^-alpha + B D'^-beta; theta is that of `Powers`, and ln R."""

    names: ClassVar[tuple[str, ...]] = ("E", "A", "B", "alpha", "beta", "R")

    @property
    def inner(self) -> tuple[str, ...]:
        """Name the parameters that are searched."""
        return ("A", "B", "E", "alpha", "beta", "R")

    def bind(self, points: Points) -> Model:
        """Give ln(loss) of these runs as a function of theta."""
        log_u, log_epochs = _repeats(points)

        def curve(theta: ndarray) -> Curve:
            a, b, e, alpha, beta, log_r = theta.T[..., None]
            worth, slope, bend = effective_log_tokens(log_epochs, log_r)
            log_tokens = log_u + worth
            logs = numpy.stack(numpy.broadcast_arrays(a - alpha * points.x, b - beta * log_tokens, e))
            top = logs.max(axis=0)
            shares = numpy.exp(logs - top)
            total = shares.sum(axis=0)
            shares /= total
            of_data = shares[1]
            jacobian = numpy.stack(
                [
                    shares[0], of_data, shares[2],
                    -points.x * shares[0], -log_tokens * of_data, -beta * slope * of_data,
                ],
                axis=-1,
            )  # fmt: skip

            def second(c: ndarray) -> ndarray:
                # Of a log-sum-exp: shares times (outer products of the terms' gradients, plus their own curvature),
                # less the outer product of the mean gradient.
                zero, one = numpy.zeros_like(of_data), numpy.ones_like(of_data)
                of_term = [
                    numpy.stack([one, zero, zero, -points.x * one, zero, zero], -1),
                    numpy.stack([zero, one, zero, zero, -log_tokens, -beta * slope], -1),
                    numpy.stack([zero, zero, one, zero, zero, zero], -1),
                ]
                result = -_outer(jacobian, c)
                for share, gradient in zip(shares, of_term, strict=True):
                    result += _outer(gradient, c * share)
                cross = (c * of_data * -slope).sum(axis=-1)
                result[:, 4, 5] += cross
                result[:, 5, 4] += cross
                result[:, 5, 5] += (c * of_data * -beta * bend).sum(axis=-1)
                return result

            return Curve(top + numpy.log(total), jacobian, second)

        return curve

    def bounds(self, points: Points) -> tuple[ndarray, ndarray]:
        """Give the ends of the parameters."""
        lower, upper = Powers().bounds(points)
        low, high = numpy.log(RANGE)
        return numpy.append(lower, low), numpy.append(upper, high)

    def grid(self, size: int) -> ndarray:
        """Give a coarser grid of the exponents, with R from 0.5 to 200."""
        axes = [numpy.linspace(0.1, 1.0, size // 2 + 2)] * 2 + [numpy.log(numpy.geomspace(0.5, 200.0, 8))]
        return numpy.stack(numpy.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)

    def basis(self, exponents: ndarray, points: Points) -> Basis:
        """Give N^-alpha, D'^-beta and 1, which make up the loss."""
        log_u, log_epochs = _repeats(points)
        worth = log_u + effective_log_tokens(log_epochs, exponents[:, 2:])[0]
        by_size = numpy.exp(-exponents[:, :1] * points.x)
        terms = numpy.stack([by_size, numpy.exp(-exponents[:, 1:2] * worth), numpy.ones_like(by_size)], -1)
        return Basis(terms, numpy.broadcast_to(numpy.exp(points.target), by_size.shape), numpy.ones(len(exponents)))

    def constants(self, theta: ndarray, points: Points) -> dict[str, ndarray]:
        """Give those of `Powers`, and R; `a` is the exponent while data are fresh."""
        found = Powers().constants(theta[:, :-1], points)
        return {**found, "R": numpy.exp(theta[:, -1])}

    def law(self, constants: Mapping[str, float], facts: Mapping[str, Any]) -> LossLaw:
        """Make the law."""
        E, A, B, alpha, beta, R = (float(constants[name]) for name in self.names)
        equation = (
            f"L = {E:.4g} + {A:.4g} N^-{alpha:.4g} + {B:.4g} D'^-{beta:.4g}, "
            f"D' = U + {R:.4g} U (1 - exp(-(D/U - 1)/{R:.4g}))"
        )
        return DataLimitedLoss(**facts, equation=equation, E=E, A=A, B=B, alpha=alpha, beta=beta, R=R)


def _repeats(points: Points) -> tuple[ndarray, ndarray]:
    """Give ln U, counted as `y` is, and ln(D/U)."""
    if points.unique is None:
        raise AssertionError("fit_data_limited gives every run its different tokens")
    return points.unique, numpy.maximum(points.y - points.unique, 0.0)


def _outer(gradient: ndarray, weights: ndarray) -> ndarray:
    return numpy.matmul(gradient.transpose(0, 2, 1), weights[..., None] * gradient)
