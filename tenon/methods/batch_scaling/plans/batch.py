"""A batch that the hardware can take: whole rows on every GPU, within the user's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.plans.gpus import GPU
from tenon.methods.batch_scaling.plans.memory import SHARDS, Memory, Shard, estimate_memory
from tenon.methods.batch_scaling.plans.model_shape import ModelShape
from tenon.methods.batch_scaling.plans.units import flops_of, integer, short

__all__ = ["MIN_STEPS", "Fit", "Placement", "fit_batch", "place", "warmup_of"]

MIN_STEPS = 500
"""A plan of fewer steps is refused: no law was fitted to such, and a schedule has no room."""

TOLD_CHANGE = 0.1
"""Change of the batch by rounding [share] that a plan warns of."""

MOST_CHANGE = 1.0
"""Change of the batch by rounding [share] beyond which a plan is refused: over twice the laws' batch [ours]."""

NEAR_CHANGE = 0.25
"""Change [share] that the layouts keep to which are told instead."""

USABLE_MEMORY = 0.9
"""Share of a GPU's memory that a plan counts on; the rest goes to buffers and fragments."""


MOST_ROWS = 64
"""Rows per GPU and micro-batch beyond which nothing gets faster."""


@dataclass(frozen=True)
class Fit:
    """A batch in whole steps of the hardware."""

    batch_tokens: int
    accumulation: int
    change: float
    """From what was wanted [share]; 0.02 is 2 % more."""
    limit: str
    """`max_steps` or `max_batch`, whichever decided it; "": neither."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Placement:
    """How a model lies on the GPUs."""

    per_device: int
    shard: Shard
    memory: Memory | None
    warnings: tuple[str, ...]


def fit_batch(
    wanted: float,
    *,
    tokens: float,
    world_size: int,
    per_device: int,
    seq_len: int,
    flops_per_token: float,
    max_batch: float | None = None,
    max_steps: float | None = None,
    force: bool = False,
) -> Fit:
    """Round a batch to a multiple of the quantum, world_size x per_device x seq_len, within the limits.

    Raises:
        ConfigError: The limits contradict each other, the batch leaves too few steps, or it is rounded by more than
            `MOST_CHANGE`; the nearest plan is told.
    """
    warnings, limit = [], ""
    quantum = world_size * per_device * seq_len
    count = max(1, round(wanted / quantum))
    if max_steps is not None and count * quantum * max_steps < tokens:
        count, limit = math.ceil(tokens / (max_steps * quantum)), "max_steps"
        warnings.append(
            f"max_steps (--max-steps) of {integer(max_steps)} asks for a batch of {short(count * quantum)} tokens, "
            f"{count * quantum / wanted:.3g} times what the laws say."
        )
    if max_batch is not None and count * quantum > max_batch:
        most = int(max_batch // quantum)
        if most < 1:
            raise ConfigError(
                f"max_batch (--max-batch) is {short(max_batch)} tokens, and one row per GPU is more: world_size x "
                f"per_device x seq_len is {integer(quantum)}. Nearest: max_batch={quantum} (--max-batch {quantum}), or "
                "fewer GPUs or shorter rows."
            )
        if max_steps is not None and most * quantum * max_steps < tokens:
            raise ConfigError(
                f"max_steps {integer(max_steps)} and max_batch {short(max_batch)} (--max-steps, --max-batch) cannot "
                f"both hold: {short(tokens)} tokens take {integer(math.ceil(tokens / (most * quantum)))} steps of that "
                f"batch. Nearest: that many steps, or a batch of {short(tokens / max_steps)}."
            )
        warnings.append(
            f"max_batch (--max-batch) keeps the batch to {most * quantum / wanted:.3g} times what the laws say."
        )
        count, limit = most, "max_batch"
    batch = count * quantum
    change = batch / wanted - 1
    is_rounded = not warnings  # otherwise a limit changes it, and says so
    _check_steps(batch, tokens, quantum, flops_per_token, force, warnings)
    if is_rounded and abs(change) > TOLD_CHANGE:
        what = (
            f"Rounding to whole rows on every GPU (multiples of {integer(quantum)} tokens) changes the batch by "
            f"{change:+.0%}"
        )
        near = _nearer(wanted, {"per_device": per_device, "world_size": world_size, "seq_len": seq_len})
        if abs(change) <= MOST_CHANGE:
            warnings.append(f"{what}; nearer: {near}.")
        elif force:
            warnings.append(f"Forced: {what}, from {short(wanted)} to {short(batch)} tokens; nearer: {near}.")
        else:
            raise ConfigError(
                f"{what}, from {short(wanted)} to {short(batch)} tokens; {MOST_CHANGE:+.0%} is allowed. Nearest "
                f"feasible: {near}. Or force=True (--force)."
            )
    return Fit(batch, count, change, limit, tuple(warnings))


def _nearer(wanted: float, sizes: dict[str, int]) -> str:
    """Say with how many rows or processes, either alone, a batch can be rounded; or else with how short rows.

    The largest divisor of what was given comes first: 337 of 4,096 processes are no layout of a cluster. It is not the
    nearest one, for that is always 1; nor is it 1 itself, which leaves most of the hardware idle.
    """

    def change(quantum: int) -> float:
        return abs(max(1, round(wanted / quantum)) * quantum / wanted - 1)

    told: list[str] = []
    quantum = math.prod(sizes.values())
    most = min(NEAR_CHANGE, 0.99 * change(quantum))
    for name, size in sizes.items():
        if told and name == "seq_len":
            continue
        fewer = [one for one in range(size - 1, 0, -1) if change(quantum // size * one) <= most]
        if fewer:
            near = next((one for one in fewer if one > 1 and size % one == 0), fewer[0])
            told.append(f"{name}={near} (--{name.replace('_', '-')} {near})")
    return ", or ".join(told) or "fewer of all three, world_size, per_device and seq_len"


def _check_steps(
    batch: int, tokens: float, quantum: int, flops_per_token: float, force: bool, warnings: list[str]
) -> None:
    steps = math.ceil(tokens / batch)
    if batch <= tokens and steps >= MIN_STEPS:
        return
    least = MIN_STEPS * batch
    near = [f"{short(least)} tokens ({flops_of(least * flops_per_token)}) with this batch"]
    smaller = int(tokens / MIN_STEPS // quantum) * quantum
    if smaller:
        near.insert(0, f"max_batch={smaller} (--max-batch {smaller}) with these tokens")
    else:
        near.insert(0, f"rows on fewer GPUs, for at most {integer(tokens / MIN_STEPS)} tokens per step")
    what = (
        f"A batch of {integer(batch)} tokens is larger than the data, {integer(tokens)} tokens."
        if batch > tokens
        else f"{integer(tokens)} tokens are {steps} steps of {integer(batch)} tokens; a plan needs {MIN_STEPS}."
    )
    if not force:
        raise ConfigError(f"{what} Nearest feasible: {', or '.join(near)}. Or force=True (--force).")
    warnings.append(f"Forced: {what}")


def place(
    shape: ModelShape | None,
    gpu: GPU,
    *,
    wanted: float,
    world_size: int,
    seq_len: int,
    per_device: int | None,
    shard: Shard | None,
    optimizer_bytes: float,
    recompute: bool,
) -> Placement:
    """Choose rows per GPU and what is spread over the GPUs, as far as they are not given.

    The least spreading that fits comes first; of 1 to 64 rows per GPU the one that fits in memory with the fewest
    micro-batches, of those the nearest to the batch, where the rounding stays within 5 %.
    """

    def need(rows: int, how: Shard) -> Memory | None:
        if shape is None:
            return None
        return estimate_memory(
            shape, per_device=rows, seq_len=seq_len, world_size=world_size, shard=how, optimizer_bytes=optimizer_bytes,
            recompute=recompute,
        )  # fmt: skip

    def fits(rows: int, how: Shard) -> bool:
        memory = need(rows, how)
        return memory is None or gpu.memory_bytes is None or memory.total <= USABLE_MEMORY * gpu.memory_bytes

    ways: tuple[Shard, ...] = (shard,) if shard is not None else SHARDS if world_size > 1 else ("none",)
    how = next((way for way in ways if fits(per_device or 1, way)), ways[-1])
    rows = per_device or 1
    if per_device is None:
        choices = []
        for more in range(1, MOST_ROWS + 1):
            count = round(wanted / (more * world_size * seq_len))
            change = abs(count * more * world_size * seq_len / wanted - 1)
            if count >= 1 and change <= 0.05 and fits(more, how):
                choices.append((count, change, more))
        rows = min(choices)[2] if choices else 1
    warnings: tuple[str, ...] = ()
    memory = need(rows, how)
    if memory is not None and gpu.memory_bytes is not None and not fits(rows, how):
        hint = "recompute activations: recompute=True (--recompute), " if not recompute else ""
        warnings = (
            f"About {memory.total / 2**30:,.0f} GiB per GPU are needed, and {gpu.name} has "
            f"{gpu.memory_bytes / 2**30:,.0f}: {hint}fewer rows, more GPUs, or tensor parallel.",
        )
    return Placement(rows, how, memory, warnings)


def warmup_of(steps: int, warmup: float | None) -> int:
    """Give the steps of the warm-up: 2 % of all, at least 100 and at most 2,000 [ours]; or what the user says.

    >>> warmup_of(20_000, None), warmup_of(1000, None), warmup_of(1000, 0.05), warmup_of(1000, 10)
    (400, 100, 50, 10)

    Args:
        steps: All steps.
        warmup: Steps, or below 1 a share of them; None: the rule.

    Raises:
        ConfigError: Negative, or more than all steps.
    """
    if warmup is None:
        return min(steps, max(100, min(2000, math.ceil(0.02 * steps))))
    asked = math.ceil(warmup * steps) if warmup < 1 else round(warmup)
    if not 0 <= asked <= steps:
        raise ConfigError(
            f"warmup (--warmup) is {warmup!r}; it must be 0 to {steps} steps, or a share of them below 1."
        )
    return asked
