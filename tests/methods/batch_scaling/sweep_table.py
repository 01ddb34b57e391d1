"""Sweeps whose best batches and learning rates are known, and StepLaw's, where it lies beside the checkout."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

STEPLAW = Path(__file__).parents[3].parent / "shared/data/scaling/steplaw_dense.csv"

needs_steplaw = pytest.mark.skipif(
    not STEPLAW.exists(), reason=f"StepLaw's table has no licence to ship; it is not at {STEPLAW}"
)


def cell_rows(
    n_params: float,
    tokens: float,
    *,
    best_batch: float,
    best_lr: float,
    gamma: float = 0.75,
    batches: Sequence[float] | None = None,
    lrs: Sequence[float] | None = None,
    noise: Callable[[], float] = lambda: 0.0,
    seeds: int = 1,
) -> list[dict[str, Any]]:
    """A cell whose loss is exactly quadratic in ln B and, around its own best rate per batch, in ln(lr)."""
    batches = batches or [best_batch * 1.1 * 2.0**i for i in range(-3, 4)]
    lrs = lrs or [best_lr * 0.9 * 2.0**i for i in range(-5, 6)]
    rows = []
    for batch in batches:
        off = math.log(batch / best_batch)
        for lr in lrs:
            miss = math.log(lr / best_lr) - gamma * off
            loss = 2.0 + 0.01 * off**2 + 0.02 * miss**2
            for seed in range(seeds):
                rows.append(
                    {
                        "n_params": n_params, "tokens": tokens, "batch_tokens": batch, "lr": lr, "seed": seed,
                        "loss": loss * (1 + noise()),
                    }
                )  # fmt: skip
    return rows


SIZES = (1e8, 2e8, 4e8)
RATIOS = (10.0, 30.0, 100.0)


def power_sweep(
    *, k: float = 0.5, x: float = 0.6, y: float = 0.0, noise: float = 0.0, seed: int = 0
) -> list[dict[str, Any]]:
    """Nine cells with best batch k D^x N^y (times exp(noise), one draw per cell) and lr 30 N^-0.7 D^0.2."""
    rng = numpy.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        for ratio in RATIOS:
            tokens = ratio * size
            best = k * tokens**x * size**y * math.exp(noise * rng.standard_normal())
            rows += cell_rows(size, tokens, best_batch=best, best_lr=30 * size**-0.7 * tokens**0.2)
    return rows
