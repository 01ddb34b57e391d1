"""What fits and sweeps are told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tenon.core.errors import require

__all__ = [
    "PRESETS",
    "BatchFitConfig",
    "BatchForm",
    "CriticalFitConfig",
    "LossFitConfig",
    "LossForm",
    "SweepConfig",
    "SweepModel",
]

LossForm: TypeAlias = Literal["chinchilla", "equal_exponents", "kaplan"]
BatchForm: TypeAlias = Literal["fixed_data", "joint", "fixed_compute"]


@dataclass(frozen=True, kw_only=True)
class LossFitConfig:
    """How a loss law L(N, D) is fitted to runs."""

    form: LossForm = "chinchilla"
    """`chinchilla`: E + A N^-alpha + B D^-beta; `equal_exponents`: alpha = beta; `kaplan`: one bracket, without E."""
    objective: Literal["huber", "least_squares"] = "huber"
    """Penalty of a log residual; Huber grows linearly beyond `delta`."""
    delta: float = 1e-3
    """Where Huber's penalty turns linear [log loss]."""
    asymmetry: float = 1.0
    """Factor on the penalty where the law predicts more than was measured; 1 is symmetric, 10 fits a lower envelope."""
    weights: Literal["equal", "sqrt_compute"] = "equal"
    """Weight of a run in the sum; `sqrt_compute` trusts large runs more."""
    of_each_cell: Literal["best", "all"] = "best"
    """Where runs share N and D, as in a sweep of batches and learning rates: fit the best of them, or all."""
    drop_top: int = 0
    """Runs of the highest loss that are left out: an outlier rule must be said, for it moves the exponents."""
    starts: Literal["varpro", "grid"] = "varpro"
    """Where the search starts: variable projection on a grid of exponents, or the 4,500 starts of Hoffmann et al."""
    grid: int = 19
    """Exponents per axis of variable projection, evenly from 0.1 to 1."""
    polish: int = 8
    """Best points of that grid which are polished on the objective itself."""
    bootstrap: int = 200
    """Refits to resampled runs, for the intervals; 0 gives none."""
    level: float = 0.95
    """Level of the intervals."""
    holdout: float = 0.0
    """Share of the runs, those of the largest compute, that are predicted and not fitted; whole (N, D); 0: none."""
    seed: int = 0
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        require(self.delta > 0, self, "delta", "above 0")
        require(self.asymmetry > 0, self, "asymmetry", "above 0")
        require(self.drop_top >= 0, self, "drop_top", "0 or more")
        require(self.grid >= 3, self, "grid", "3 or more")
        require(self.polish >= 1, self, "polish", "1 or more")
        require(self.bootstrap == 0 or self.bootstrap >= 20, self, "bootstrap", "0, or 20 and more")
        require(0 < self.level < 1, self, "level", "between 0 and 1")
        require(0 <= self.holdout < 1, self, "holdout", "0 or more and below 1")


@dataclass(frozen=True, kw_only=True)
class BatchFitConfig:
    """How laws of the best batch and learning rate are fitted to a sweep."""

    form: BatchForm = "fixed_data"
    """`fixed_data`: B = k D^x; `joint`: B = k D^x N^y; `fixed_compute`: N, S, B against C, exponents adding up to 1."""
    estimator: Literal["parabola", "near_best"] = "parabola"
    """Optimum of a cell: a parabola in ln B through the nearest batches, or all runs within `threshold` of its best."""
    points: int = 5
    """Batches around the minimum that the parabola goes through, at most."""
    threshold: float = 0.0025
    """`near_best`: relative distance from the cell's best loss; it moves the exponents, so it is reported."""
    bootstrap: int = 200
    """Refits to resampled cells, for the covariance and a second opinion on the intervals; 0 does without."""
    level: float = 0.95
    """Level of the intervals."""
    seed: int = 0
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        require(self.points >= 3, self, "points", "3 or more")
        require(0 < self.threshold < 1, self, "threshold", "between 0 and 1")
        require(self.bootstrap == 0 or self.bootstrap >= 20, self, "bootstrap", "0, or 20 and more")
        require(0 < self.level < 1, self, "level", "between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class CriticalFitConfig:
    """How the critical batch is read off a sweep."""

    targets: tuple[float, ...] = ()
    """Losses to reach [nats per token]; none: `count` of them, evenly over a wide range that many batches reach."""
    count: int = 3
    """Losses per model size, where none are given."""
    gap: float = 6.0
    """Largest factor between two numbers of tokens that are interpolated between."""
    more_tokens: float = 1.1
    """A batch that needs over so many times the least tokens of larger ones is below the best batch, and not fitted:
    by the hyperbola a smaller batch never needs more, and in sweeps with Adam it does."""
    level: float = 0.95
    """Level of the intervals."""

    def __post_init__(self) -> None:
        require(all(one > 0 for one in self.targets), self, "targets", "above 0")
        require(len(set(self.targets)) == len(self.targets), self, "targets", "different losses")
        require(self.gap > 1, self, "gap", "above 1")
        require(self.more_tokens >= 1, self, "more_tokens", "1 or more")
        require(self.count >= 1, self, "count", "1 or more")
        require(0 < self.level < 1, self, "level", "between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class SweepModel:
    """One size of the models that a sweep trains: a Llama of this width and depth."""

    hidden: int = 64
    """Hidden size."""
    layers: int = 2
    """Decoder layers."""
    heads: int = 2
    """Attention heads; each key/value head serves one."""
    ffn: int = 176
    """Size of the MLP, which is gated."""

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "heads", "ffn"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.hidden % (2 * self.heads) == 0, self, "hidden", "a multiple of twice the heads")


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A grid of trainings: every model size, with every number of tokens, every batch and every learning rate."""

    models: tuple[SweepModel, ...] = (SweepModel(),)
    """Sizes."""
    tokens: tuple[int, ...] = (2**18, 2**19, 2**20)
    """Training tokens D; multiples of every batch, so that all batches of a cell see exactly as many."""
    batch_tokens: tuple[int, ...] = (512, 1024, 2048, 4096, 8192, 16384)
    """Global batches [tokens]; one larger than a quarter of the training tokens is left out."""
    learning_rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
    """Peak learning rates; tuned anew for every batch."""
    extend: int = 2
    """How often a learning rate is added beyond the edge where a batch has its best one there; 0 keeps to the list."""
    seeds: tuple[int, ...] = (0,)
    """Fresh weights and data order; every cell is trained once with each."""
    source: str = "python-sources"
    """Text: as in `tenon.tasks.text`."""
    tokenizer: str = "bytes"
    """`bytes`, or the name of a tokenizer."""
    seq_len: int = 64
    """Tokens of a row."""
    held_out_tokens: int = 65_536
    """Tokens whose loss is measured after training; none of them is trained on."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises."""
    min_lr_ratio: float = 0.1
    """Learning rate at the end of the cosine, as a share of the peak."""
    weight_decay: float = 0.1
    """AdamW's."""
    adam_beta2: float = 0.95
    """AdamW's."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this global norm."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Autocast."""
    engine: Literal["stacked", "trainer"] = field(default="stacked", metadata={"identity": False})
    """`stacked` trains the learning rates of a cell side by side in one process; `trainer` one after the other."""
    noise_scale: bool = False
    """Also measure the gradient noise scale of every training, in micro-batches; engine `trainer` only."""
    device: Literal["auto", "cpu"] = field(default="auto", metadata={"identity": False})
    """`cpu` keeps off a GPU that is there."""
    max_hours: float = field(default=24.0, metadata={"identity": False})
    """A grid that will take longer is refused before it begins [h]."""
    seed: int = 0
    """Root of all randomness."""

    def __post_init__(self) -> None:
        for name in ("models", "tokens", "batch_tokens", "learning_rates", "seeds"):
            values = getattr(self, name)
            require(bool(values) and len(set(values)) == len(values), self, name, "a list of different values")
        require(all(one > 0 for one in self.learning_rates), self, "learning_rates", "above 0")
        require(self.extend >= 0, self, "extend", "0 or more")
        require(self.seq_len >= 2, self, "seq_len", "2 or more")
        require(all(one % self.seq_len == 0 and one > 0 for one in self.batch_tokens), self, "batch_tokens",
                f"multiples of seq_len ({self.seq_len}): a batch is whole rows")  # fmt: skip
        require(all(one >= min(self.batch_tokens) for one in self.tokens), self, "tokens", "no less than a batch")
        require(self.held_out_tokens >= self.seq_len, self, "held_out_tokens", "seq_len or more")
        require(0 <= self.warmup < 1, self, "warmup", "0 or more and below 1")
        require(0 <= self.min_lr_ratio <= 1, self, "min_lr_ratio", "between 0 and 1")
        require(self.weight_decay >= 0, self, "weight_decay", "0 or more")
        require(0 <= self.adam_beta2 < 1, self, "adam_beta2", "between 0 and 1, 1 excluded")
        require(self.max_grad_norm > 0, self, "max_grad_norm", "above 0")
        require(self.max_hours > 0, self, "max_hours", "above 0")
        require(not self.noise_scale or self.engine == "trainer", self, "noise_scale",
                "false where trainings are stacked: give engine=trainer with it")  # fmt: skip


PRESETS: dict[str, LossFitConfig | BatchFitConfig | SweepConfig] = {
    # Fits of L(N, D).
    "hoffmann": LossFitConfig(delta=1e-3, starts="grid"),  # [paper] Hoffmann et al. 2022, approach 3
    "epoch": LossFitConfig(delta=1e-3, drop_top=5),  # [code] Besiroglu et al. 2024: loss below the 5th largest
    "ladder": LossFitConfig(asymmetry=10.0),  # [code] OLMo-core's ladder penalises over-estimates about tenfold
    "gadre": LossFitConfig(form="equal_exponents"),  # [code] Gadre et al. 2024
    # Fits of the best batch.
    "cells": BatchFitConfig(estimator="parabola", points=5),  # [ours]
    "steplaw": BatchFitConfig(estimator="near_best", threshold=0.0025),  # [code] Li et al. 2025
    # Sweeps.
    "nano": SweepConfig(),  # [ours] half an hour on one core
    "batch": SweepConfig(  # [ours] the best batch by tokens: one size, 16-fold data; an hour and a half on one core
        tokens=(2**17, 2**18, 2**19, 2**20, 2**21), batch_tokens=(128, 256, 512, 1024, 2048, 4096, 8192),  # [ours]
    ),
    "sizes": SweepConfig(  # [ours] the loss by size and tokens, with the 64 x 2 of "batch" between; an hour on one core
        models=(  # [ours]
            SweepModel(hidden=32, layers=2, heads=1, ffn=88),  # [ours]
            SweepModel(hidden=48, layers=2, heads=2, ffn=128),  # [ours]
            SweepModel(hidden=96, layers=2, heads=3, ffn=256),  # [ours]
            SweepModel(hidden=128, layers=3, heads=4, ffn=344),  # [ours]
        ),
        tokens=(2**17, 2**18, 2**19), batch_tokens=(256, 512, 1024), learning_rates=(2e-3, 4e-3, 8e-3),  # [ours]
    ),
}  # fmt: skip
