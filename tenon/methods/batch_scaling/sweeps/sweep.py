"""A grid of small trainings as a stage of a Run: killed at any line, the same command goes on to the same files."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError
from tenon.core.files import write_atomic
from tenon.core.progress import Advance, progress
from tenon.methods.batch_scaling.config import SweepConfig, SweepModel
from tenon.methods.batch_scaling.fits.cells import find_cells
from tenon.methods.batch_scaling.fits.pictures import draw_cells
from tenon.methods.batch_scaling.sweeps.cost import estimate_sweep
from tenon.methods.batch_scaling.sweeps.data import SweepData
from tenon.methods.batch_scaling.sweeps.grid import (
    Cell,
    added_learning_rates,
    best_cells,
    cells_of,
    mean_losses,
    training_key,
)
from tenon.methods.batch_scaling.sweeps.model import llama_config, parameter_counts, shape_name
from tenon.methods.batch_scaling.sweeps.train import passes_of, train_pairs

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.sweeps.stacked import Outcome

__all__ = ["ROWS", "run_sweep"]

ROWS = "runs"
"""The file of the table: `runs.jsonl` while it grows, `runs.csv` beside it at the end."""


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
        whole = [f"{batch:,}" for batch in config.batch_tokens if passes_of(config, batch) == 1]
        if config.noise_scale and whole:
            say(
                f"No noise scale for batches of {', '.join(whole)} tokens: no number from 2 to 8 divides their rows of "
                f"{config.seq_len} tokens, and it is measured between equal parts of a batch."
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
    if len(config.batch_tokens) > 1 and 2 * len(diverged) <= len(rows):
        caption = "Loss against batch, learning rate tuned for each; a best batch at an end wants more batches."
        run.figure("cells", draw_cells(find_cells(rows)), caption, "A line per model and tokens.")
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
        pairs = {training_key(cell, lr, seed): (lr, seed) for lr in lrs for seed in config.seeds}
        left = {key: pair for key, pair in pairs.items() if not run.done(ROWS, key)}
        told = advance if round_ == 0 else None  # nobody knows beforehand how many are added
        # Stacked, all are trained again if one is left: a replica's last digits depend on how many there are.
        again = pairs if left and config.engine == "stacked" else left
        if told is not None:
            told((len(pairs) - len(again)) * cell.steps * cell.batch_tokens)
        outcomes = train_pairs(config, data, cell, list(again.values()), told) if again else ()
        for key, outcome in zip(again, outcomes, strict=True):
            if key in left:
                run.append(ROWS, _row(config, data, cell, key, *left[key], outcome))
        losses = mean_losses(run.rows(ROWS), cell)
        lrs = added_learning_rates({lr: loss for lr, loss in losses.items() if lr in tried})
        if not lrs:
            return


def _row(
    config: SweepConfig, data: SweepData, cell: Cell, key: str, lr: float, seed: int, outcome: Outcome
) -> dict[str, Any]:
    """Give the row of a training; a loss that is no number stands as null, and the row is marked."""
    counts = _counts(cell.shape, data.vocabulary, config.seq_len)
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
        **({"noise_tokens": outcome.noise_tokens} if config.noise_scale else {}),
        "diverged": is_diverged,
        "seq_len": config.seq_len,
        "steps": cell.steps,
        "flops": 6 * counts["non_embedding"] * tokens,  # the convention C = 6 N D
        "unique_tokens": tokens,
        "seed": seed,
        "model": shape_name(cell.shape),
        "group": f"{config.source}, {config.tokenizer}, {data.sha256[:12]}",
    }


@cache  # it lays a model out to count
def _counts(shape: SweepModel, vocabulary: int, seq_len: int) -> dict[str, int]:
    return parameter_counts(llama_config(shape, vocabulary=vocabulary, seq_len=seq_len))


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    stream = io.StringIO()
    names = ["id", *(name for name in rows[0] if name != "key")]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"id": row["key"], **{name: row[name] for name in names[1:]}} for row in rows)
    return stream.getvalue().encode()
