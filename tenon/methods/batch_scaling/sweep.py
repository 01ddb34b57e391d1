"""A grid of small trainings as a stage of a Run: killed at any line, the same command goes on to the same files."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError
from tenon.core.files import write_atomic
from tenon.core.progress import Advance, progress
from tenon.core.seeds import derive
from tenon.core.training.config import TrainConfig
from tenon.methods.batch_scaling.config import SweepConfig, SweepModel
from tenon.methods.batch_scaling.sweep_data import SweepData, row_order
from tenon.methods.batch_scaling.sweep_grid import (
    Cell,
    added_learning_rates,
    best_cells,
    cells_of,
    mean_losses,
    training_key,
)
from tenon.methods.batch_scaling.sweep_model import fresh_model, llama_config, parameter_counts, shape_name

if TYPE_CHECKING:
    from transformers import LlamaConfig

    from tenon.core.run import Run
    from tenon.methods.batch_scaling.stacked import Outcome

__all__ = ["ROWS", "Estimate", "estimate_sweep", "run_sweep"]

ROWS = "runs"
"""The file of the table: `runs.jsonl` while it grows, `runs.csv` beside it at the end."""


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


def run_sweep(run: Run, config: SweepConfig, data: SweepData) -> dict[str, Any]:
    """Train the whole grid into `runs.jsonl`, and write `runs.csv`, the table of best cells and the facts.

    Every cell (model, tokens, batch) is trained at all learning rates; while the best of them is at an edge, the next
    one beyond it is added, at most `config.extend` times: a batch is judged at its own best learning rate.

    Args:
        run: Opened with `data.sha256` in its identity.
        config: The grid.
        data: The text.

    Returns:
        `trainings`, `diverged` and their keys in `diverged_keys`, `cells` (the table of `best_cells`).

    Raises:
        ConfigError: The grid takes longer than `config.max_hours`.
    """
    from tenon.core.commandline import say

    cells = cells_of(config)
    estimate = estimate_sweep(config, data, done=run.keys(ROWS))
    if estimate.trainings:
        say(estimate.sentence())
        if estimate.hours > config.max_hours:
            raise ConfigError(
                f"The sweep takes about {estimate.hours:.3g} hours, more than max_hours={config.max_hours:g}. Give "
                "fewer or smaller models, tokens, batches or learning rates, or --set max_hours=..."
            )
        run.measured("estimate", hours=estimate.hours, flops_per_second=estimate.flops_per_second)
    tokens = sum(cell.steps * cell.batch_tokens for cell in cells) * len(config.learning_rates) * len(config.seeds)
    started = time.monotonic()
    with progress("sweep [tokens]", tokens) as advance:
        for cell in cells:
            _train_cell(run, config, data, cell, advance)
    rows = run.rows(ROWS)
    diverged = [row["key"] for row in rows if row["diverged"]]
    table = best_cells(rows, config)
    write_atomic(run.path / f"{ROWS}.csv", _csv(rows))
    run.table("cells", table, "The batch and learning rate of least held-out loss; an edge is a bound and no optimum.")
    if diverged:
        run.note(f"{len(diverged)} of {len(rows)} trainings diverged: {', '.join(diverged)}.")
    run.measured("sweep", seconds=time.monotonic() - started)
    if not run.stage_done("sweep"):
        run.finish_stage("sweep", trainings=len(rows), diverged=len(diverged), **data.describe())
    return {"trainings": len(rows), "diverged": len(diverged), "diverged_keys": diverged, "cells": table}


def _train_cell(run: Run, config: SweepConfig, data: SweepData, cell: Cell, advance: Advance) -> None:
    """Train a cell at the given learning rates, then beyond the edge, round by round."""
    lrs: Sequence[float] = config.learning_rates
    tried: set[float] = set()
    for round_ in range(config.extend + 1):
        tried.update(lrs)
        pairs = [(lr, seed) for lr in lrs for seed in config.seeds]
        keys = [training_key(cell, lr, seed) for lr, seed in pairs]
        count = len(pairs) * cell.steps * cell.batch_tokens if round_ == 0 else 0
        if all(run.done(ROWS, key) for key in keys):
            advance(count)
        else:  # whole, though some may be done: a replica's last digits may depend on how many there are
            outcomes = _train(config, data, cell, pairs, advance if round_ == 0 else None)
            for key, (lr, seed), outcome in zip(keys, pairs, outcomes, strict=True):
                if not run.done(ROWS, key):
                    run.append(ROWS, _row(config, data, cell, key, lr, seed, outcome))
        losses = mean_losses(run.rows(ROWS), cell)
        lrs = added_learning_rates({lr: loss for lr, loss in losses.items() if lr in tried})
        if not lrs:
            return


def _train(
    config: SweepConfig, data: SweepData, cell: Cell, pairs: Sequence[tuple[float, int]], advance: Advance | None
) -> list[Outcome]:
    """Train one cell's pairs of learning rate and seed, side by side or one after the other."""
    import torch

    llama = llama_config(cell.shape, vocabulary=data.vocabulary, seq_len=config.seq_len)
    seeds = {seed: derive(config.seed, "training", seed) for _, seed in pairs}
    trains = [_train_config(config, cell, lr, seeds[seed]) for lr, seed in pairs]
    items = trains[0].steps * trains[0].batch_size
    orders = {seed: row_order(data, items=items, seed=root) for seed, root in seeds.items()}
    if config.engine == "stacked":
        from tenon.methods.batch_scaling.stacked import train_stacked

        fresh = {seed: fresh_model(llama, seed=root) for seed, root in seeds.items()}
        return train_stacked(
            [fresh[seed] for _, seed in pairs], trains, data.rows,
            torch.stack([orders[seed] for _, seed in pairs]), data.held_out, advance=advance,
        )  # fmt: skip
    from tenon.methods.batch_scaling.sweep_trainer import train_alone

    outcomes = []
    for (_, seed), train in zip(pairs, trains, strict=True):
        outcomes.append(
            train_alone(fresh_model(llama, seed=seeds[seed]), train, data.rows, orders[seed], data.held_out)
        )
        if advance is not None:
            advance(cell.steps * cell.batch_tokens)
    return outcomes


def _train_config(config: SweepConfig, cell: Cell, lr: float, seed: int) -> TrainConfig:
    return TrainConfig(
        steps=cell.steps,
        batch_size=cell.batch_tokens // config.seq_len,
        learning_rate=lr,
        schedule="cosine",
        warmup_steps=round(config.warmup * cell.steps),
        min_lr_ratio=config.min_lr_ratio,
        weight_decay=config.weight_decay,
        adam_beta2=config.adam_beta2,
        max_grad_norm=config.max_grad_norm,
        precision=config.precision,
        device=config.device,
        seed=seed % 2**32,  # NumPy's limit, which Trainer passes it on to
    )


def _row(
    config: SweepConfig, data: SweepData, cell: Cell, key: str, lr: float, seed: int, outcome: Outcome
) -> dict[str, Any]:
    """Give the row of a training; a loss that is no number stands as null, and the row is marked."""
    counts = _counts(cell.shape, data, config)
    tokens = cell.steps * cell.batch_tokens
    is_diverged = not math.isfinite(outcome.loss)
    return {
        "key": key,
        "n_params": counts["non_embedding"],
        "n_kind": "non_embedding",
        "n_with_head": counts["with_head"],
        "n_total": counts["total"],
        "tokens": tokens,
        "batch_tokens": cell.batch_tokens,
        "lr": lr,
        "loss": None if is_diverged else outcome.loss,
        "train_loss": outcome.train_loss if math.isfinite(outcome.train_loss) else None,
        "diverged": is_diverged,
        "seq_len": config.seq_len,
        "steps": cell.steps,
        "flops": 6 * counts["non_embedding"] * tokens,  # the convention C = 6 N D
        "unique_tokens": tokens,
        "seed": seed,
        "model": shape_name(cell.shape),
        "group": f"{config.source}, {config.tokenizer}, {data.sha256[:12]}",
    }


def _counts(shape: SweepModel, data: SweepData, config: SweepConfig) -> dict[str, int]:
    return parameter_counts(llama_config(shape, vocabulary=data.vocabulary, seq_len=config.seq_len))


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    stream = io.StringIO()
    names = ["id", *(name for name in rows[0] if name != "key")]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"id": row["key"], **{name: row[name] for name in names[1:]}} for row in rows)
    return stream.getvalue().encode()


def estimate_sweep(config: SweepConfig, data: SweepData, *, done: set[str] = frozenset()) -> Estimate:  # type: ignore[assignment]
    """Time a few steps of every model size, and say what the grid costs at that speed.

    Of a step's time, one part is the same for all batches and one grows with the batch: the probe takes a small batch
    and a larger one, of at most 4,096 tokens.

    Args:
        config: The grid.
        data: The text.
        done: Keys of trainings that are done.
    """
    from tenon.core.models.counting import flops_per_token

    flops, seconds, trainings = 0.0, 0.0, 0
    for shape in config.models:
        llama = llama_config(shape, vocabulary=data.vocabulary, seq_len=config.seq_len)
        left = []
        for cell in cells_of(config):
            keys = {training_key(cell, lr, seed) for lr in config.learning_rates for seed in config.seeds}
            if cell.shape == shape and not keys <= done:
                left.append((cell, len(keys)))
        if not left:
            continue
        small = min(config.batch_tokens)
        large = max((one for one in config.batch_tokens if one <= 4096), default=small)
        fixed, each = _speed(config, data, llama, small, max(large, 2 * small))
        cost = 3 * flops_per_token(llama, config.seq_len)
        for cell, count in left:
            tokens = count * cell.steps * cell.batch_tokens
            flops += cost * tokens
            seconds += count * cell.steps * fixed + (tokens + count * data.held_out.numel() / 3) * each
            trainings += count
    speed = flops / seconds if seconds else 0.0
    return Estimate(flops=flops, hours=seconds / 3600, flops_per_second=speed, trainings=trainings)


def _speed(config: SweepConfig, data: SweepData, llama: LlamaConfig, small: int, large: int) -> tuple[float, float]:
    """Measure the seconds of a training's step: those of any step, and those per token."""
    from dataclasses import replace

    pairs = [(lr, seed) for lr in config.learning_rates for seed in config.seeds]
    if config.engine == "trainer":
        pairs = pairs[:1]
    shape = SweepModel(
        hidden=llama.hidden_size, layers=llama.num_hidden_layers, heads=llama.num_attention_heads,
        ffn=llama.intermediate_size,
    )  # fmt: skip
    few = replace(data, held_out=data.held_out[:1])
    times = []
    for batch, steps in ((small, 1), (small, 5), (large, 3)):  # the first one warms up
        rows = batch // config.seq_len * steps
        piece = replace(few, rows=data.rows[:rows].repeat(-(-rows // max(1, len(data.rows[:rows]))), 1)[:rows])
        began = time.perf_counter()
        _train(config, piece, Cell(shape, batch * steps, batch), pairs, None)
        times.append((time.perf_counter() - began) / steps / len(pairs))
    each = max((times[2] - times[1]) / (large - small), times[2] / large / 2)
    return max(0.0, times[1] - each * small), each
