"""The forms of L(N, D) that can be fitted: how each is bound to runs, bounded, started, and read back as constants.

Inside a fit ln N and ln D are counted from their means, so an amplitude is that of a term in the middle of the runs.
It then hardly moves when an exponent does, and units do not matter; `constants` gives the amplitudes at N = D = 1 that
laws have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy
from numpy import ndarray

from tenon.methods.batch_scaling.fits.objective import LogSumExp, Model, ScaledLogSumExp
from tenon.methods.batch_scaling.laws.loss import KaplanLoss, LossLaw, ParametricLoss

__all__ = ["EXPONENTS", "FORMS", "Basis", "Bracket", "Form", "Points", "Powers"]

EXPONENTS = (0.01, 3.0)
"""Bounds of an exponent: a term outside is a constant, or is felt by the smallest runs alone."""
REACH = 25.0
"""How far the log amplitude of a term, in the middle of the runs, may be from the log of their losses."""


class Points(NamedTuple):
    """Runs as a fit sees them."""

    x: ndarray
    """ln N, less `x_mean`, (n,)."""
    y: ndarray
    """ln D, less `y_mean`, (n,)."""
    target: ndarray
    """ln of the measured loss, (n,)."""
    x_mean: float
    y_mean: float
    unique: ndarray | None = None
    """ln of the different tokens among D, less `y_mean`, (n,); only for a law of repeated data."""

    @classmethod
    def of(cls, n_params: ndarray, tokens: ndarray, loss: ndarray, unique: ndarray | None = None) -> Points:
        """Take N, D, L and, where data are repeated, the different tokens."""
        x, y = numpy.log(n_params), numpy.log(tokens)
        u = None if unique is None else numpy.log(unique) - y.mean()
        return cls(x - x.mean(), y - y.mean(), numpy.log(loss), float(x.mean()), float(y.mean()), u)

    def at(self, n_params: ndarray, tokens: ndarray, unique: ndarray | None = None) -> Points:
        """Give other runs, counted from the same middle; their losses are not known."""
        x, y = numpy.log(n_params) - self.x_mean, numpy.log(tokens) - self.y_mean
        u = None if unique is None else numpy.log(unique) - self.y_mean
        return Points(x, y, numpy.full(x.shape, numpy.nan), self.x_mean, self.y_mean, u)


class Basis(NamedTuple):
    """What is linear in a form once its exponents are given: amplitudes times `terms` make up `response`."""

    terms: ndarray
    """(G, n, terms), at G sets of exponents."""
    response: ndarray
    """(G, n)."""
    power: ndarray
    """The loss is the response to this power, (G,)."""


class Form(Protocol):
    """A form of the law; theta is (R, P), its parameters as `inner` names them."""

    @property
    def inner(self) -> tuple[str, ...]:
        """Name the parameters that are searched."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Name the constants of the law."""
        ...

    def bind(self, points: Points) -> Model:
        """Give ln(loss) of these runs as a function of theta."""
        ...

    def bounds(self, points: Points) -> tuple[ndarray, ndarray]:
        """Give the ends of the parameters, (P,) each."""
        ...

    def grid(self, size: int) -> ndarray:
        """Give the exponents where variable projection starts; all axes but the last may be of other length."""
        ...

    def basis(self, exponents: ndarray, points: Points) -> Basis:
        """Give the linear part at exponents of the grid, (G, exponents)."""
        ...

    def inside(self, exponents: ndarray, amplitudes: ndarray) -> ndarray:
        """Put exponents and log amplitudes (G, terms) together to theta."""
        ...

    def many_starts(self, points: Points) -> ndarray:
        """Give a coarse grid over all parameters, as Hoffmann et al. took it."""
        ...

    def constants(self, theta: ndarray, points: Points) -> dict[str, ndarray]:
        """Give the law's constants, and `a`, the exponent of C in N_opt; (R,) each."""
        ...

    def judged(self, theta: ndarray, points: Points) -> dict[str, ndarray]:
        """Give what runs can tell whatever their units: E, exponents, and each term in the middle of the runs."""
        ...

    def law(self, constants: Mapping[str, float], facts: Mapping[str, Any]) -> LossLaw:
        """Make the law."""
        ...


@dataclass(frozen=True)
class Powers:
    """E + A N^-alpha + B D^-beta, with two exponents, or one for both.

    theta is the logs of A and B (in the middle of the runs) and of E, then the exponents.
    """

    shared: bool = False
    """alpha = beta (Gadre et al. 2024)."""

    names: ClassVar[tuple[str, ...]] = ("E", "A", "B", "alpha", "beta")

    @property
    def inner(self) -> tuple[str, ...]:
        """Name the parameters that are searched."""
        return ("A", "B", "E", "alpha") if self.shared else ("A", "B", "E", "alpha", "beta")

    def bind(self, points: Points) -> Model:
        """Give ln(loss) of these runs as a function of theta."""
        runs, size = len(points.x), len(self.inner)
        designs = numpy.zeros((3, runs, size))
        for term in range(3):
            designs[term, :, term] = 1.0
        designs[0, :, 3] = -points.x
        designs[1, :, size - 1] = -points.y
        return LogSumExp(designs)

    def bounds(self, points: Points) -> tuple[ndarray, ndarray]:
        """Give the ends of the parameters."""
        low, high, count = points.target.min(), points.target.max(), len(self.inner) - 3
        return (
            numpy.array([low - REACH, low - REACH, low - 12.0] + [EXPONENTS[0]] * count),
            numpy.array([high + REACH, high + REACH, high + 1.0] + [EXPONENTS[1]] * count),
        )

    def grid(self, size: int) -> ndarray:
        """Give exponents from 0.1 to 1: `size` by `size`, or a dense line."""
        if self.shared:
            return numpy.linspace(0.1, 1.0, 4 * size - 3)[:, None]
        return _product(numpy.linspace(0.1, 1.0, size), numpy.linspace(0.1, 1.0, size))

    def basis(self, exponents: ndarray, points: Points) -> Basis:
        """Give N^-alpha, D^-beta and 1, which make up the loss."""
        by_size, by_tokens = numpy.exp(-exponents[:, :1] * points.x), numpy.exp(-exponents[:, -1:] * points.y)
        terms = numpy.stack([by_size, by_tokens, numpy.ones_like(by_size)], -1)
        return Basis(terms, numpy.broadcast_to(numpy.exp(points.target), by_size.shape), numpy.ones(len(exponents)))

    def inside(self, exponents: ndarray, amplitudes: ndarray) -> ndarray:
        """Put exponents and log amplitudes together."""
        return numpy.concatenate([amplitudes, exponents], -1)

    def many_starts(self, points: Points) -> ndarray:
        """Give 6 values of ln A and ln B, 5 of ln E and of each exponent: 4,500 starts, or 900 with one exponent."""
        powers, amplitudes = [numpy.arange(0, 2.1, 0.5)] * (1 if self.shared else 2), numpy.arange(0, 26, 5.0)
        starts = _product(amplitudes, amplitudes, numpy.arange(-1, 1.1, 0.5), *powers)
        starts[:, 0] -= starts[:, 3] * points.x_mean
        starts[:, 1] -= starts[:, -1] * points.y_mean
        return starts

    def constants(self, theta: ndarray, points: Points) -> dict[str, ndarray]:
        """Give E, A, B, alpha, beta, and a = beta / (alpha + beta)."""
        alpha, beta = theta[:, 3], theta[:, len(self.inner) - 1]
        return {
            "E": numpy.exp(theta[:, 2]),
            "A": numpy.exp(theta[:, 0] + alpha * points.x_mean),
            "B": numpy.exp(theta[:, 1] + beta * points.y_mean),
            "alpha": alpha,
            "beta": beta,
            "a": beta / (alpha + beta),
        }

    def judged(self, theta: ndarray, points: Points) -> dict[str, ndarray]:
        """Give the constants with A N^-alpha and B D^-beta at the mean ln N and ln D of the runs, for A and B."""
        terms = {"A N^-alpha": numpy.exp(theta[:, 0]), "B D^-beta": numpy.exp(theta[:, 1])}
        found = self.constants(theta, points)
        return terms | {key: value for key, value in found.items() if key not in ("A", "B")}

    def law(self, constants: Mapping[str, float], facts: Mapping[str, Any]) -> LossLaw:
        """Make the law."""
        E, A, B, alpha, beta = (float(constants[name]) for name in self.names)
        equation = f"L = {E:.4g} + {A:.4g} N^-{alpha:.4g} + {B:.4g} D^-{beta:.4g}"
        return ParametricLoss(**facts, equation=equation, E=E, A=A, B=B, alpha=alpha, beta=beta)


@dataclass(frozen=True)
class Bracket:
    """[(Nc/N)^(alpha_N/alpha_D) + Dc/D]^alpha_D: no irreducible loss (Kaplan et al. 2020, eq. 1.5).

    theta is the logs of the two terms in the middle of the runs, alpha_N / alpha_D, alpha_D.
    """

    names = ("Nc", "Dc", "alpha_N", "alpha_D")
    inner = ("Nc", "Dc", "alpha_N", "alpha_D")

    def bind(self, points: Points) -> Model:
        """Give ln(loss) of these runs as a function of theta."""
        zero, one = numpy.zeros_like(points.x), numpy.ones_like(points.x)
        designs = numpy.stack([numpy.stack([one, zero, -points.x], -1), numpy.stack([zero, one, zero], -1)])
        return ScaledLogSumExp(designs, numpy.stack([zero, -points.y]))

    def bounds(self, points: Points) -> tuple[ndarray, ndarray]:
        """Give the ends of the parameters; the bracket is the loss to the power 1 / alpha_D, which may be large."""
        reach = REACH + numpy.abs(points.target).max() / EXPONENTS[0]
        return (
            numpy.array([-reach, -reach, EXPONENTS[0], EXPONENTS[0]]),
            numpy.array([reach, reach, 10.0, EXPONENTS[1]]),
        )

    def grid(self, size: int) -> ndarray:
        """Give ratios from 0.1 to 1.5 and alpha_D from 0.03 to 1."""
        return _product(numpy.linspace(0.1, 1.5, size), numpy.geomspace(0.03, 1.0, size))

    def basis(self, exponents: ndarray, points: Points) -> Basis:
        """Give N^-ratio and 1/D, which make up the loss to the power 1 / alpha_D."""
        by_size = numpy.exp(-exponents[:, :1] * points.x)
        terms = numpy.stack([by_size, numpy.broadcast_to(numpy.exp(-points.y), by_size.shape)], -1)
        return Basis(terms, numpy.exp(points.target / exponents[:, 1:]), exponents[:, 1])

    def inside(self, exponents: ndarray, amplitudes: ndarray) -> ndarray:
        """Put exponents and log amplitudes together."""
        return numpy.concatenate([amplitudes, exponents], -1)

    def many_starts(self, points: Points) -> ndarray:
        """Give 5 ratios, 5 of alpha_D, and 6 shares of either term around the middle loss: 900 starts."""
        shares = numpy.arange(-8.0, 3.0, 2.0)
        starts = _product(shares, shares, numpy.arange(0.25, 1.6, 0.3), numpy.array([0.05, 0.1, 0.2, 0.5, 1.0]))
        starts[:, :2] += points.target.mean() / starts[:, 3:]
        return starts

    def constants(self, theta: ndarray, points: Points) -> dict[str, ndarray]:
        """Give Nc, Dc, alpha_N, alpha_D, and a = alpha_D / (alpha_N + alpha_D)."""
        ratio, alpha_D = theta[:, 2], theta[:, 3]
        # With a ratio of 0.01 the term hardly depends on N, and its Nc is beyond all numbers.
        log_n = numpy.clip(theta[:, 0] / ratio + points.x_mean, -700, 700)
        return {
            "Nc": numpy.exp(log_n),
            "Dc": numpy.exp(theta[:, 1] + points.y_mean),
            "alpha_N": ratio * alpha_D,
            "alpha_D": alpha_D,
            "a": 1 / (1 + ratio),
        }

    def judged(self, theta: ndarray, points: Points) -> dict[str, ndarray]:
        """Give the exponents, and the loss if one term were all of it, at the mean ln N and ln D of the runs."""
        found = self.constants(theta, points)
        alpha_D = found["alpha_D"]
        terms = {"(Nc/N)^alpha_N": numpy.exp(theta[:, 0] * alpha_D), "(Dc/D)^alpha_D": numpy.exp(theta[:, 1] * alpha_D)}
        return terms | {key: value for key, value in found.items() if key not in ("Nc", "Dc")}

    def law(self, constants: Mapping[str, float], facts: Mapping[str, Any]) -> LossLaw:
        """Make the law."""
        Nc, Dc, alpha_N, alpha_D = (float(constants[name]) for name in self.names)
        equation = f"L = [({Nc:.4g}/N)^({alpha_N:.4g}/{alpha_D:.4g}) + {Dc:.4g}/D]^{alpha_D:.4g}"
        return KaplanLoss(**facts, equation=equation, Nc=Nc, Dc=Dc, alpha_N=alpha_N, alpha_D=alpha_D)


FORMS: dict[str, Form] = {"chinchilla": Powers(), "equal_exponents": Powers(shared=True), "kaplan": Bracket()}
"""By the name in `LossFitConfig.form`."""


def _product(*axes: ndarray) -> ndarray:
    return numpy.stack(numpy.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
