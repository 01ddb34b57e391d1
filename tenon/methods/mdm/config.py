"""Options of masked diffusion: how text is masked in training, what the loss weighs, in which order text is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tenon.core.errors import ConfigError, require

__all__ = ["DecodeConfig", "MDMConfig", "Order", "TimeWeight"]

TimeWeight: TypeAlias = Literal["linear", "elbo", "none"]
Order: TypeAlias = Literal["topk", "margin", "entropy", "random"]


@dataclass(frozen=True, kw_only=True)
class MDMConfig:
    """The forward process and the objective (section 3 of the paper)."""

    steps: int | None = 20
    """Diffusion steps T in training; none: time is continuous. Decoding may take another number."""
    time_weight: TimeWeight = "linear"
    """Weight of a whole sequence by how much of it is masked: `linear` (little masked counts most), `elbo` (the bound
    on the likelihood), or `none`."""
    token_alpha: float = 0.25
    """Factor of every token's loss; under Adam it only changes what gradient clipping does."""
    token_beta: float = 1.0
    """Exponent of the token's difficulty 1 - p; 0 turns the weight off. The released code calls it gamma."""
    loss_scale: Literal["normalised", "official"] = "normalised"
    """`official`: weights T times as large (linear) or as small (elbo), as in the released code."""
    loss_norm: Literal["masked", "maskable", "batch"] = "masked"
    """What the sum is divided by: masked tokens, as in the released code; all tokens that could be masked; or rows."""
    pad_policy: Literal["learn", "ignore"] = "learn"
    """Whether padding behind the answer is masked and learnt, as in the paper, so that a model finds the end of its
    answer by itself; or left alone, for answers of known length."""
    time_eps: float = 1e-3
    """Least share that is masked where time is continuous; the elbo's weight is its inverse."""

    def __post_init__(self) -> None:
        require(self.steps is None or self.steps >= 1, self, "steps", "1 or more, or none for continuous time")
        require(self.token_alpha > 0, self, "token_alpha", "above 0")
        require(self.token_beta >= 0, self, "token_beta", "0 or more")
        require(0 < self.time_eps < 1, self, "time_eps", "between 0 and 1")
        if self.loss_scale == "official" and self.steps is None:
            raise ConfigError(
                "MDMConfig.loss_scale is 'official', which multiplies by steps, and steps is none; set it."
            )


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How an answer is written (algorithm 2 of the paper)."""

    steps: int = 20
    """Forward passes; fewer are faster, 1 writes everything at once."""
    order: Order = "topk"
    """What is written first: `topk` the most probable token, `margin` the largest lead over the second, `entropy` the
    least uncertain, `random` whichever comes (each masked token with probability 1 / (steps left))."""
    noise: float = 0.5
    """Scale of the Gumbel noise on the order, falling to 0 with the steps; tokens are never drawn, only their order."""
    schedule: Literal["linear", "cosine"] = "linear"
    """How many tokens stay masked after a step."""
    revise: bool = True
    """Whether what is written may be changed and masked again, as in the released code; `random` never revises."""
    suppress: bool = True
    """Whether MASK and SEP are never written; the released code does not forbid it."""

    def __post_init__(self) -> None:
        require(self.steps >= 1, self, "steps", "1 or more")
        require(self.noise >= 0, self, "noise", "0 or more")
