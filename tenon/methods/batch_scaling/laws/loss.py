"""Laws of the loss, and what follows from them in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tenon.methods.batch_scaling.laws.law import Law

__all__ = ["Allocation", "LossLaw", "ParametricLoss"]


class Allocation(NamedTuple):
    """The model size and the tokens of least loss at given compute."""

    N: Any
    """Parameters."""
    D: Any
    """Tokens."""
    loss: Any
    """Nats per token."""


@dataclass(frozen=True, kw_only=True)
class LossLaw(Law):
    """A law that gives the loss; what it gives is told by its own methods."""


@dataclass(frozen=True, kw_only=True)
class ParametricLoss(LossLaw):
    """L(N, D) = E + A N^-alpha + B D^-beta (Hoffmann et al. 2022, approach 3)."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float


@dataclass(frozen=True, kw_only=True)
class KaplanLoss(LossLaw):
    """L(N, D) = [(Nc/N)^(alpha_N/alpha_D) + Dc/D]^alpha_D (Kaplan et al. 2020, eq. 1.5)."""

    Nc: float
    Dc: float
    alpha_N: float
    alpha_D: float


@dataclass(frozen=True, kw_only=True)
class ThreeTermLoss(LossLaw):
    """L(N, S, B) = E + A N^-alpha + F S^-beta + G B^-gamma, with S = D / B."""

    E: float
    A: float
    alpha: float
    F: float
    beta: float
    G: float
    gamma: float


@dataclass(frozen=True, kw_only=True)
class DataLimitedLoss(LossLaw):
    """ParametricLoss of effective tokens: U different ones, repeated, are worth U + U R (1 - exp(-(D/U - 1)/R))."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    R: float
