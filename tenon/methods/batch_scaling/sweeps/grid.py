"""Which trainings a sweep consists of, and which learning rates it adds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.config import SweepConfig, SweepModel
from tenon.methods.batch_scaling.fits.cells import beyond, next_batch
from tenon.methods.batch_scaling.sweeps.model import shape_name

__all__ = ["Cell", "added_learning_rates", "best_cells", "cells_of", "mean_losses", "training_key"]


@dataclass(frozen=True)
class Cell:
    """A model size, a number of tokens and a batch; its trainings differ in learning rate and seed."""

    shape: SweepModel
    """The size."""
    tokens: int
    """Training tokens D that were asked for."""
    batch_tokens: int
    """Global batch B [tokens]."""

    @property
    def steps(self) -> int:
        """Whole optimizer steps."""
        return self.tokens // self.batch_tokens

    @property
    def name(self) -> str:
        """Name, as it stands in the keys of rows."""
        return f"{shape_name(self.shape)}/D{self.tokens}/B{self.batch_tokens}"


def cells_of(config: SweepConfig) -> list[Cell]:
    """Give the cells in their order. A batch larger than a quarter of the tokens is left out.

    Raises:
        ConfigError: Some number of tokens has no batch left.
    """
    cells = []
    for shape in config.models:
        for tokens in config.tokens:
            fitting = [batch for batch in config.batch_tokens if 4 * batch <= tokens]
            if not fitting:
                raise ConfigError(
                    f"tokens={tokens} is less than 4 steps of the smallest batch ({min(config.batch_tokens)} tokens); "
                    "give more tokens or smaller batches."
                )
            cells += [Cell(shape, tokens, batch) for batch in fitting]
    return cells


def training_key(cell: Cell, lr: float, seed: int) -> str:
    """Name a training.

    >>> training_key(Cell(SweepModel(), 1_000_000, 4096), 0.002, 0)
    'h64l2/D1000000/B4096/lr0.002/s0'
    """
    return f"{cell.name}/lr{lr:g}/s{seed}"


def mean_losses(rows: Iterable[Mapping[str, Any]], cell: Cell) -> dict[float, float]:
    """Give a cell's held-out loss by learning rate, mean over seeds; infinite where any of them diverged."""
    found: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        if row["key"].startswith(f"{cell.name}/"):
            found[row["lr"]].append(math.inf if row["loss"] is None else row["loss"])
    return {lr: sum(losses) / len(losses) for lr, losses in sorted(found.items())}


def added_learning_rates(losses: Mapping[float, float]) -> tuple[float, ...]:
    """Give the learning rates to try next: beyond an edge of those tried, where the best one is, by a factor of 2.

    >>> added_learning_rates({1e-3: 2.5, 2e-3: 2.4, 4e-3: 2.6})  # the best one is inside
    ()
    >>> added_learning_rates({1e-3: 2.5, 2e-3: 2.4})
    (0.004,)
    >>> added_learning_rates({1e-3: 2.5})  # both edges
    (0.0005, 0.002)
    >>> added_learning_rates({1e-3: float("inf"), 2e-3: float("inf")})  # all diverged
    (0.0005,)
    """
    best = min(losses, key=lambda lr: (losses[lr], lr))
    added = []
    if best == min(losses):
        added.append(best / 2)
    if best == max(losses) and math.isfinite(losses[best]):
        added.append(best * 2)
    return tuple(added)


def best_cells(rows: Iterable[Mapping[str, Any]], config: SweepConfig) -> list[dict[str, Any]]:
    """Give, for each model size and number of tokens, the batch and learning rate of least held-out loss.

    `edge` names what has its best value at the end of what was tried, and what to try: such a value is a bound and no
    optimum.
    """
    rows = list(rows)
    table = []
    for shape in config.models:
        for tokens in config.tokens:
            found = {}
            for cell in cells_of(config):
                losses = mean_losses(rows, cell) if (cell.shape, cell.tokens) == (shape, tokens) else {}
                if losses and math.isfinite(min(losses.values())):
                    found[cell.batch_tokens] = losses
            if not found:
                continue
            batch = min(found, key=lambda one: min(found[one].values()))
            losses = found[batch]
            lr = min(losses, key=lambda one: losses[one])
            edges = []
            if batch in (min(found), max(found)):
                further = next_batch(sorted(found), below=batch == min(found), row=config.seq_len)
                edges.append("batch (one row)" if further is None else f"batch (try {further})")
            if lr in (min(losses), max(losses)):
                edges.append(f"lr (try {beyond(sorted(losses), below=lr == min(losses)):.3g})")
            one = next(row for row in rows if row["key"].startswith(f"{Cell(shape, tokens, batch).name}/"))
            table.append(
                {"model": shape_name(shape), "n_params": one["n_params"], "tokens": tokens, "best_batch": batch,
                 "best_lr": lr, "loss": losses[lr], "edge": ", ".join(edges)}
            )  # fmt: skip
    return table
