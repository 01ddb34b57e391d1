"""A plan as arguments of `transformers.TrainingArguments`, and as code to paste."""

from __future__ import annotations

from typing import Any

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.plans.record import Plan
from tenon.methods.batch_scaling.plans.units import integer, short

__all__ = ["snippet", "training_arguments"]


def training_arguments(
    plan: Plan, world_size: int | None, per_device: int | None, seq_len: int | None
) -> dict[str, Any]:
    """Give the arguments; see `Plan.to_training_arguments`.

    Every row must be packed to `seq_len` tokens: padding is no data, and a batch of padded rows is a smaller one.
    """
    world, rows, length = world_size or plan.world_size, per_device or plan.per_device, seq_len or plan.seq_len
    if plan.learning_rate is None:
        raise ConfigError(
            "No law gave a learning rate, so there is none to hand on; tune it, or plan with force=True (--force)."
        )
    quantum = world * rows * length
    if quantum < 1 or plan.batch_tokens % quantum:
        near = max(1, round(plan.batch_tokens / max(quantum, 1))) * quantum
        raise ConfigError(
            f"A batch of {integer(plan.batch_tokens)} tokens is no multiple of world_size {world} x per_device {rows} "
            f"x seq_len {length} = {integer(quantum)}; the nearest is {integer(near)} "
            f"({near / plan.batch_tokens - 1:+.1%}). Plan with these numbers: plan(..., world_size={world}, "
            f"per_device={rows}, seq_len={length})."
        )
    schedule: dict[str, Any] = {"lr_scheduler_type": "cosine"}
    if plan.learning_rate_end is not None:
        schedule = {
            "lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": plan.learning_rate_end},
        }  # fmt: skip
    return {
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": plan.batch_tokens // quantum,
        "learning_rate": plan.learning_rate,
        "max_steps": plan.steps,
        "warmup_steps": plan.warmup_steps,
        **schedule,
    }


def snippet(plan: Plan) -> str:
    """Give Python code that makes the arguments."""
    told = training_arguments(plan, None, None, None)
    told["learning_rate"] = float(f"{told['learning_rate']:.3g}")
    lines = [f"    {name}={value!r}," for name, value in told.items()]
    lines.append("    # bf16=True,  # on a GPU: time and memory count on it")
    if plan.shard != "none":
        lines.append(f"    # memory counts on {plan.shard} being sharded: give fsdp or DeepSpeed, or it does not fit")
    lines.append(
        "    # of the laws' own settings: AdamW's beta2 of 0.95 and weight decay of 0.1 are usual, not Trainer's"
    )
    layout = f"{plan.world_size} process{'es' if plan.world_size > 1 else ''}"
    head = f"# {short(plan.batch_tokens)} tokens per step on {layout}; rows packed to {plan.seq_len} tokens"
    return "\n".join(
        [
            "from transformers import TrainingArguments",
            "",
            head,
            "arguments = TrainingArguments(",
            '    output_dir="out",',
            *lines,
            ")",
        ]
    )
