"""Laws of the loss, and what follows from them in closed form.

All of them are, at their best, a sum (or a power of a sum) of one falling power of N and one of D. At compute
C = k N D the two are in balance where

    a_N A N^-a_N = a_D B D^-a_D      so that      N = G (C/k)^(a_D/(a_N + a_D)),   D = (C/k) / N,
                                                  G = (a_N A / (a_D B))^(1/(a_N + a_D))

(Hoffmann et al. 2022, section 3.3), which is why each law needs to name its two terms only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.laws.law import QUANTITIES, Law, Prediction, Quantity, plain, positive

__all__ = [
    "Allocation",
    "DataLimitedLoss",
    "KaplanLoss",
    "LossLaw",
    "ParametricLoss",
    "PowerTerms",
    "ThreeTermLoss",
    "UnfittedLoss",
]


class Allocation(NamedTuple):
    """The model size and the tokens of least loss at given compute."""

    N: Any
    """Parameters."""
    D: Any
    """Tokens."""
    loss: Any
    """Nats per token."""


class PowerTerms(NamedTuple):
    """The two terms in balance at the optimum: A N^-alpha and B D^-beta."""

    A: float
    """Of the model size."""
    alpha: float
    """Its exponent."""
    B: float
    """Of the tokens."""
    beta: float
    """Its exponent."""


@dataclass(frozen=True, kw_only=True)
class LossLaw(Law, ABC):
    """A law that gives the loss; what follows from it (`params`, `tokens`) is told by its own methods."""

    @abstractmethod
    def loss(self, N: Any, D: Any) -> Any:
        """Give the loss [nats per token].

        Args:
            N: Parameters, as `n_kind` counts them; a number or an array.
            D: Training tokens; broadcasts with N.

        Raises:
            ConfigError: A value is no positive, finite number.
        """

    @abstractmethod
    def terms(self) -> PowerTerms:
        """Give the two terms that the optimum balances, the batch being at its best."""

    def optimal(self, C: Any, *, flops_per_token_per_param: float = 6.0, force: bool = False) -> Allocation:
        """Share compute between model and data for the least loss, in closed form.

        Args:
            C: Compute [FLOPs]; a number or an array.
            flops_per_token_per_param: k of C = k N D.
            force: Allocate by a law that refuses, and take the consequences.

        Raises:
            ConfigError: C or k is not positive, the law has no optimum (a term that does not fall), or its constants
                are rounded too far for this (`hoffmann2022`).
        """
        compute = positive(C, f"{self.name}: C")
        compute = compute / positive(flops_per_token_per_param, f"{self.name}: flops_per_token_per_param")
        self._refuse_allocation(force)
        A, alpha, B, beta = self.terms()
        if not (A > 0 and B > 0 and alpha > 0 and beta > 0):
            raise ConfigError(
                f"{self.name} has no best size: its loss does not fall with both N and D (its terms are "
                f"{A:.4g} N^-{alpha:.4g} and {B:.4g} D^-{beta:.4g}). Fit it to runs that vary both."
            )
        balance = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
        N = balance * compute ** (beta / (alpha + beta))
        D = compute ** (alpha / (alpha + beta)) / balance
        return Allocation(plain(N), plain(D), self.loss(N, D))

    def exponent(self) -> float:
        """Give a, the exponent of the best N in the compute; that of D is 1 - a."""
        terms = self.terms()
        return terms.beta / (terms.alpha + terms.beta)

    def gives(self) -> tuple[Quantity, ...]:
        """List what the law gives."""
        return tuple(name for name in QUANTITIES if name in ("loss", "params", "tokens") or name in self.formulas)

    def inputs(self, quantity: Quantity) -> tuple[str, ...]:
        """Give the inputs of a quantity."""
        if quantity in self.formulas or quantity not in self.gives():
            return super().inputs(quantity)
        return {"loss": ("N", "D"), "batch": ("D",), "steps": ("D",)}.get(quantity, ("C",))

    def is_known(self, quantity: Quantity) -> bool:
        """Say whether the law gives the quantity as a number."""
        return super().is_known(quantity) if quantity in self.formulas else quantity in self.gives()

    def predict(self, quantity: Quantity, *values: Any, **inputs: Any) -> Prediction:
        """Evaluate the law; the distance from its range counts what it gives, too (the best N and D at a compute).

        Raises:
            ConfigError: As `Law.predict`, and as `optimal` for params and tokens.
        """
        if quantity in self.formulas or quantity not in self.gives():
            return super().predict(quantity, *values, **inputs)
        given = self._named(quantity, self.inputs(quantity), values, inputs)
        value, found = self._evaluate(quantity, given)
        return Prediction(value, self.domain.distance(**{**given, **found}))

    def _evaluate(self, quantity: Quantity, given: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Give the value, and with it the inputs of the loss that were found on the way."""
        if quantity == "loss":
            return self.loss(given["N"], given["D"]), {}
        best = self.optimal(given["C"])
        return (best.N if quantity == "params" else best.D), {"N": best.N, "D": best.D}

    def _refuse_allocation(self, force: bool) -> None:
        """Raise where the law must not allocate."""


@dataclass(frozen=True, kw_only=True)
class ParametricLoss(LossLaw):
    """L(N, D) = E + A N^-alpha + B D^-beta (Hoffmann et al. 2022, approach 3)."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    allocate_by: str = ""
    """The law to allocate by instead of this one, whose constants are rounded too far for that; "": this one."""

    def loss(self, N: Any, D: Any) -> Any:
        """Give the loss [nats per token]; see `LossLaw.loss`."""
        N, D = positive(N, f"{self.name}: N"), positive(D, f"{self.name}: D")
        return plain(self.E + self.A * N**-self.alpha + self.B * D**-self.beta)

    def terms(self) -> PowerTerms:
        """Give the two terms of the law."""
        return PowerTerms(self.A, self.alpha, self.B, self.beta)

    def is_known(self, quantity: Quantity) -> bool:
        """Say whether the law gives the quantity as a number; not what it refuses."""
        return super().is_known(quantity) and not (self.allocate_by and quantity in ("params", "tokens"))

    def _refuse_allocation(self, force: bool) -> None:
        if self.allocate_by and not force:
            raise ConfigError(
                f"{self.name} has rounded constants: its losses are fine, but its best N and D are far off (D/N = 93 "
                f"at 5.88e23 FLOPs, where the unrounded constants say 59). Use {self.allocate_by}, or pass force=True."
            )


@dataclass(frozen=True, kw_only=True)
class KaplanLoss(LossLaw):
    """L(N, D) = [(Nc/N)^(alpha_N/alpha_D) + Dc/D]^alpha_D (Kaplan et al. 2020, eq. 1.5)."""

    Nc: float
    Dc: float
    alpha_N: float
    alpha_D: float

    def loss(self, N: Any, D: Any) -> Any:
        """Give the loss [nats per token]; see `LossLaw.loss`."""
        N, D = positive(N, f"{self.name}: N"), positive(D, f"{self.name}: D")
        return plain(((self.Nc / N) ** (self.alpha_N / self.alpha_D) + self.Dc / D) ** self.alpha_D)

    def terms(self) -> PowerTerms:
        """Give the two terms in the bracket: the power outside of it rises, so their sum is what is least."""
        power = self.alpha_N / self.alpha_D
        return PowerTerms(self.Nc**power, power, self.Dc, 1.0)


@dataclass(frozen=True, kw_only=True)
class ThreeTermLoss(LossLaw):
    """L(N, S, B) = E + A N^-alpha + F S^-beta + G B^-gamma, with S = D / B.

    Fewer steps of a larger batch or more of a smaller one: at given D the two last terms have their least sum at one
    batch, B = (gamma G / (beta F) D^beta)^(1/(beta + gamma)).
    """

    E: float
    A: float
    alpha: float
    F: float
    beta: float
    G: float
    gamma: float

    def loss(self, N: Any, D: Any, B: Any = None) -> Any:
        """Give the loss [nats per token].

        Args:
            N: Parameters; a number or an array.
            D: Training tokens; broadcasts.
            B: Batch [tokens]; None: the best one for D.

        Raises:
            ConfigError: A value is no positive, finite number.
        """
        N, D = positive(N, f"{self.name}: N"), positive(D, f"{self.name}: D")
        B = self._best(D) if B is None else positive(B, f"{self.name}: B")
        return plain(self.E + self.A * N**-self.alpha + self._of_batch(D, B))

    def best_batch(self, D: Any) -> Any:
        """Give the batch of least loss at D tokens [tokens]: for every model size the same one."""
        return plain(self._best(positive(D, f"{self.name}: D")))

    def excess(self, D: Any, B: Any) -> Any:
        """Give what a batch costs: the loss above that of the best batch for D, at any model size [nats per token]."""
        D, B = positive(D, f"{self.name}: D"), positive(B, f"{self.name}: B")
        return plain(self._of_batch(D, B) - self._of_batch(D, self._best(D)))

    def terms(self) -> PowerTerms:
        """Give the terms of N and D when every D has its best batch, B = k D^x: then steps and batch fall alike."""
        k, rate = float(self._best(1.0)), self.beta * self.gamma / (self.beta + self.gamma)
        return PowerTerms(self.A, self.alpha, self.F * k**self.beta + self.G * k**-self.gamma, rate)

    def gives(self) -> tuple[Quantity, ...]:
        """List what the law gives: the best batch at D, and the steps that it takes, as well."""
        others = super().gives()
        return tuple(name for name in QUANTITIES if name in ("batch", "steps") or name in others)

    def _evaluate(self, quantity: Quantity, given: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        if quantity == "loss":
            return self.loss(given["N"], given["D"], given.get("B")), {}
        if quantity in ("batch", "steps"):
            batch = self.best_batch(given["D"])
            return (batch if quantity == "batch" else plain(given["D"] / batch)), {"B": batch}
        return super()._evaluate(quantity, given)

    def _of_batch(self, D: Any, B: Any) -> Any:
        return self.F * (D / B) ** -self.beta + self.G * B**-self.gamma

    def _best(self, D: Any) -> Any:
        if not (self.F > 0 and self.G > 0 and self.beta > 0 and self.gamma > 0):
            raise ConfigError(
                f"{self.name} has no best batch: its loss does not fall with both steps and batch (its terms are "
                f"{self.F:.4g} S^-{self.beta:.4g} and {self.G:.4g} B^-{self.gamma:.4g}). Fit it to runs that vary both."
            )
        return (self.gamma * self.G / (self.beta * self.F) * D**self.beta) ** (1 / (self.beta + self.gamma))


@dataclass(frozen=True, kw_only=True)
class DataLimitedLoss(LossLaw):
    """ParametricLoss of effective tokens: U different ones, repeated, are worth U + U R (1 - exp(-(D/U - 1)/R)).

    The form of Muennighoff et al. 2023 (arXiv 2305.16264) for data; up to U tokens each one counts in full.
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    R: float

    def loss(self, N: Any, D: Any, unique: Any = None) -> Any:
        """Give the loss [nats per token].

        Args:
            N: Parameters; a number or an array.
            D: Training tokens, repeated ones included; broadcasts.
            unique: Different tokens, U; None: all of them are different.

        Raises:
            ConfigError: A value is no positive, finite number.
        """
        N, D = positive(N, f"{self.name}: N"), self.effective_tokens(D, unique)
        return plain(self.E + self.A * N**-self.alpha + self.B * D**-self.beta)

    def effective_tokens(self, D: Any, unique: Any = None) -> Any:
        """Give the number of different tokens that D tokens with repetition are worth [tokens]."""
        import numpy

        D = positive(D, f"{self.name}: D")
        if unique is None:
            return plain(D)
        U = positive(unique, f"{self.name}: unique")
        repeated = numpy.maximum(D / U - 1, 0.0)
        return plain(numpy.minimum(D, U) + U * self.R * -numpy.expm1(-repeated / self.R))

    def terms(self) -> PowerTerms:
        """Give the two terms of the law for data that do not repeat."""
        return PowerTerms(self.A, self.alpha, self.B, self.beta)


@dataclass(frozen=True, kw_only=True)
class UnfittedLoss(LossLaw):
    """A loss law of which only the form is known; ratios (`scale`) are all that can be had of it."""

    missing: tuple[str, ...]
    """The constants that are not known."""
    fit_form: str
    """`LossFitConfig.form` that fits it to runs of one's own."""

    def loss(self, N: Any, D: Any) -> Any:
        """Refuse.

        Raises:
            ConfigError: Always, with what is missing.
        """
        raise ConfigError(self._unknown("loss"))

    def optimal(self, C: Any, *, flops_per_token_per_param: float = 6.0, force: bool = False) -> Allocation:
        """Refuse.

        Raises:
            ConfigError: Always, with what is missing.
        """
        raise ConfigError(self._unknown("best N and D"))

    def terms(self) -> PowerTerms:
        """Refuse.

        Raises:
            ConfigError: Always, with what is missing.
        """
        raise ConfigError(self._unknown("terms"))

    def is_known(self, quantity: Quantity) -> bool:
        """Say no."""
        return False

    def predict(self, quantity: Quantity, *values: Any, **inputs: Any) -> Prediction:
        """Refuse.

        Raises:
            ConfigError: Always, with what is missing.
        """
        if quantity in self.gives():
            raise ConfigError(self._unknown(quantity))
        return super().predict(quantity, *values, **inputs)

    def _unknown(self, what: str) -> str:
        return (
            f"{self.name} gives no absolute {what}: {', '.join(self.missing)} of {self.equation} are not known (only "
            f"the form was published where we could read). Fit them to your runs (`tenon batch-scaling fit RUNS --set "
            f"form={self.fit_form}`), or scale a tuned run of yours: "
            f"laws.get({self.name!r}).scale({{'C': ..., 'N': ...}}, C=...)."
        )
