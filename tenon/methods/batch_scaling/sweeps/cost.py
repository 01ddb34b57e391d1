"""What a sweep will cost, measured by a short probe before it begins."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace

from tenon.methods.batch_scaling.config import SweepConfig, SweepModel
from tenon.methods.batch_scaling.sweeps.data import SweepData
from tenon.methods.batch_scaling.sweeps.grid import Cell, cells_of, training_key
from tenon.methods.batch_scaling.sweeps.model import llama_config
from tenon.methods.batch_scaling.sweeps.train import train_pairs

__all__ = ["Estimate", "estimate_sweep"]

LONG = 0.5
"""Larger batches than one whose step takes so long are not probed: their time grows as their tokens do [s]."""


@dataclass(frozen=True)
class Estimate:
    """What the grid will cost, without the learning rates that are added."""

    flops: float
    """Of all trainings that are not done yet, forward and backward."""
    hours: float
    """At the measured speed."""
    flops_per_second: float
    """The measured speed, on average over the grid."""
    trainings: int
    """How many are not done yet."""

    def sentence(self) -> str:
        """Say it to a user."""
        return (
            f"{self.trainings:,} trainings, {self.flops:.2e} FLOPs; a probe ran at {self.flops_per_second:.2e} FLOP/s, "
            f"so this takes about {self.hours:.2g} hours. Learning rates that are added come on top."
        )


def estimate_sweep(config: SweepConfig, data: SweepData, *, done: Collection[str] = ()) -> Estimate:
    """Time some steps of every model size at several batches, and say what the grid costs at that speed.

    Args:
        config: The grid.
        data: The text.
        done: Keys of trainings that are done already.
    """
    from tenon.core.models.counting import flops_per_token

    flops, seconds, trainings = 0.0, 0.0, 0
    for shape in config.models:
        left = []
        for cell in cells_of(config):
            keys = {training_key(cell, lr, seed) for lr in config.learning_rates for seed in config.seeds}
            if cell.shape == shape and not keys.issubset(done):
                left.append((cell, len(keys)))
        if not left:
            continue
        llama = llama_config(shape, vocabulary=data.vocabulary, seq_len=config.seq_len)
        times = _step_times(config, data, shape, sorted({cell.batch_tokens for cell, _ in left}))
        for cell, count in left:
            tokens = cell.steps * cell.batch_tokens
            took = times[cell.batch_tokens]
            measuring = data.held_out.numel() / 3 * took / cell.batch_tokens  # forward alone: a third of a step's work
            seconds += count * (cell.steps * took + measuring)
            flops += count * 3 * flops_per_token(llama, config.seq_len) * tokens
            trainings += count
    speed = flops / seconds if seconds else 0.0
    return Estimate(flops=flops, hours=seconds / 3600, flops_per_second=speed, trainings=trainings)


def _step_times(config: SweepConfig, data: SweepData, shape: SweepModel, batches: list[int]) -> dict[int, float]:
    """Give the seconds of a step by batch [tokens]: one training's share, with all that are trained side by side."""
    pairs = [(lr, seed) for lr in config.learning_rates for seed in config.seeds]
    if config.engine == "trainer":
        pairs = pairs[:1]

    def seconds(batch: int, steps: int) -> float:
        needed = batch * steps // config.seq_len
        rows = data.rows[:needed].repeat(-(-needed // len(data.rows[:needed])), 1)
        piece = replace(data, rows=rows, held_out=data.held_out[:1])
        began = time.perf_counter()
        list(train_pairs(config, piece, Cell(shape, batch * steps, batch), pairs))
        return time.perf_counter() - began

    seconds(batches[0], 1)  # warms up
    times: dict[int, float] = {}
    for batch in batches:
        largest = max(times, default=0)
        if times and times[largest] * len(pairs) > LONG:
            times[batch] = times[largest] * batch / largest
        else:
            once, more = seconds(batch, 1), seconds(batch, 4)
            times[batch] = max((more - once) / 3, more / 16) / len(pairs)  # never less than a share: clocks waver
    return times
