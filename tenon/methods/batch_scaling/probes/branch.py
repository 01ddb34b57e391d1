"""The branch test of the critical batch (Merrill et al. 2025, arXiv 2505.23971): try larger batches from a checkpoint.

From one checkpoint, branches train on the same tokens in the same order with batch k B and learning rate sqrt(k) times
the checkpoint's, held constant. The largest k whose smoothed loss stays within a tolerance of the base branch's still
costs nothing. It measures what the gradient noise scale only predicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import Trainer

    from tenon.core.run import Run

__all__ = ["BranchResult", "branch_test", "largest_factor", "window_tokens"]


@dataclass(frozen=True, kw_only=True)
class BranchResult:
    """What the branches say of the critical batch at this checkpoint."""

    rows: tuple[dict[str, Any], ...]
    """One per branch: `factor`, `batch_tokens`, `learning_rate`, `steps`, `loss`, `excess` [nats], `is_within`."""
    largest: int
    """Largest factor within the tolerance; 1 if none is."""
    batch_tokens: int
    """The batch that it makes [tokens]."""
    is_bound: bool
    """Whether every branch was within: then the critical batch is at least this, and larger factors would tell."""
    warnings: tuple[str, ...] = ()
    """What keeps it from being taken at its word."""


def window_tokens(tokens: int, batch_tokens: int, factors: Sequence[int], smooth: float) -> int:
    """Give the tokens at the end over which losses are averaged: the same ones for all branches.

    Raises:
        ConfigError: The tokens are no whole number of every branch's steps, or too few to average over an end of them.
    """
    unit = batch_tokens * math.lcm(*factors)
    if tokens % unit or tokens < 2 * unit:
        nearest = max(2, round(tokens / unit)) * unit
        raise ConfigError(
            f"The branches train on {tokens:,} tokens, and batches of {batch_tokens:,} tokens times "
            f"{', '.join(map(str, factors))} need a multiple of {unit:,}, twice or more; give {nearest:,}."
        )
    return min(tokens - unit, max(1, round(smooth * tokens / unit)) * unit)


def largest_factor(rows: Sequence[dict[str, Any]], tolerance: float) -> BranchResult:
    """Compare the branches with the base branch, factor 1, which is the first row.

    Args:
        rows: By factor, with `factor`, `batch_tokens` and `loss` [nats], or a loss of None where a branch diverged.
        tolerance: By how much a loss may be above the base branch's [nats].
    """
    base = rows[0]["loss"]
    if rows[0]["factor"] != 1 or base is None:
        raise DataError("The base branch, factor 1, has no loss; its training diverged, and nothing can be compared.")
    judged = []
    for row in rows:
        excess = None if row["loss"] is None else row["loss"] - base
        judged.append({**row, "excess": excess, "is_within": excess is not None and excess <= tolerance})
    within = [row for row in judged if row["is_within"]]
    largest = within[-1]
    warnings = []
    if failed := [row["factor"] for row in judged if not row["is_within"] and row["factor"] < largest["factor"]]:
        warnings.append(
            f"Factor {failed[0]} is outside the tolerance and {largest['factor']} within: differences are of the size "
            "of the noise. Give more tokens."
        )
    if is_bound := len(within) == len(judged):
        warnings.append(f"All branches are within the tolerance: try factors above {largest['factor']}.")
    return BranchResult(
        rows=tuple(judged),
        largest=largest["factor"],
        batch_tokens=largest["batch_tokens"],
        is_bound=is_bound,
        warnings=tuple(warnings),
    )


def branch_test(
    run: Run,
    make_trainer: Callable[[int, Path], Trainer],
    checkpoint: Path,
    *,
    seq_len: int,
    tokens: int,
    factors: Sequence[int] = (1, 2, 4, 8),
    tolerance: float = 0.01,
    smooth: float = 0.25,
    learning_rate: float | None = None,
) -> BranchResult:
    """Train the branches and find the largest batch that costs nothing. A kill loses at most one branch.

    Args:
        run: Keeps a row per branch in `branches.jsonl`.
        make_trainer: Called with a factor k and a folder. Gives a Trainer whose model has the checkpoint's weights,
            whose rows come in the same order for every k, and which takes k times the base batch per step. Schedule,
            steps and logging are set here; the optimizer takes the checkpoint's state.
        checkpoint: Trainer's `checkpoint-...` folder.
        seq_len: Tokens of a row.
        tokens: Tokens that every branch trains on.
        factors: The k; 1 is always tried.
        tolerance: By how much the smoothed loss may be above the base branch's [nats].
        smooth: Share of the tokens, at the end, over which losses are averaged.
        learning_rate: Of the base branch; None takes the one that the checkpoint's optimizer has.

    Raises:
        ConfigError: Factors, tokens or a trainer's batch do not fit.
        DataError: The checkpoint has no optimizer state, or branches begin with different weights.
    """
    tried = tuple(sorted({1, *factors}))
    if tried[0] < 1 or any(not isinstance(one, int) for one in tried):
        raise ConfigError(f"The factors are {', '.join(map(str, factors))}; they must be whole numbers, 1 or more.")
    if not tolerance >= 0 or not 0 < smooth < 1:
        raise ConfigError(f"tolerance is {tolerance} and smooth {smooth}; 0 or more, and between 0 and 1, are needed.")
    if not (checkpoint / "optimizer.pt").is_file():
        raise DataError(
            f"{checkpoint} holds no optimizer.pt; name a 'checkpoint-...' folder that Trainer wrote with "
            "save_only_model=False: branches go on with the optimizer's state."
        )
    for factor in run.track(tried, "branches", name="branches", key=_key):
        trainer = make_trainer(factor, run.path / "branches" / _key(factor))
        row = _branch(trainer, checkpoint, factor, tried, seq_len, tokens, smooth, learning_rate)
        base = next(iter(run.rows("branches")), row)
        if base["batch_tokens"] * factor != row["batch_tokens"]:
            raise ConfigError(
                f"The trainer of factor {factor} takes {row['batch_tokens']:,} tokens per step; it must be "
                f"{factor} times the base batch of {base['batch_tokens']:,}."
            )
        if base["weights"] != row["weights"]:
            raise DataError(f"The branch of factor {factor} begins with other weights than the base branch.")
        run.append("branches", row)
    return largest_factor(run.rows("branches"), tolerance)


def _key(factor: int) -> str:
    return f"factor-{factor}"


def _branch(
    trainer: Trainer,
    checkpoint: Path,
    factor: int,
    factors: Sequence[int],
    seq_len: int,
    tokens: int,
    smooth: float,
    learning_rate: float | None,
) -> dict[str, Any]:
    """Train one branch and give its row."""
    from transformers import PrinterCallback
    from transformers.trainer_utils import SaveStrategy, SchedulerType

    from tenon.core.models.loading import weights_hash
    from tenon.methods.batch_scaling.probes.branch_start import StartFromCheckpoint

    args: Any = trainer.args
    batch = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size * seq_len
    window = window_tokens(tokens, batch // factor, factors, smooth)
    args.max_steps, args.logging_steps = tokens // batch, 1
    args.lr_scheduler_type, args.lr_scheduler_kwargs, args.warmup_steps = SchedulerType.CONSTANT, {}, 0
    args.save_strategy = SaveStrategy.NO
    weights = weights_hash(trainer.model)  # type: ignore[arg-type]
    start = StartFromCheckpoint(checkpoint, math.sqrt(factor), learning_rate)
    trainer.add_callback(start)
    trainer.remove_callback(PrinterCallback)  # it prints to standard output, which belongs to the result
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-(window // batch) :]
    loss = sum(losses) / len(losses)
    return {
        "key": _key(factor),
        "factor": factor,
        "batch_tokens": batch,
        "learning_rate": start.learning_rate,
        "steps": args.max_steps,
        "loss": loss if math.isfinite(loss) else None,
        "window_tokens": window,
        "weights": weights,
    }
