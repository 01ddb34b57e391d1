"""A planned training run, with every law's answer beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tenon.methods.batch_scaling.plans.law_rows import LawRow
from tenon.methods.batch_scaling.plans.memory import Memory, Shard

__all__ = ["FLAT_NATS", "SCHEMA_VERSION", "Plan"]

SCHEMA_VERSION = 1

FLAT_NATS = 0.01
"""Batches that cost no more than this beside the best one are as good as it [nats per token]."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A training run, and what every law says of it."""

    params: float
    """N, as the user or the loss law counts it."""
    counts: dict[str, int]
    """N by kind, where the model is known: non_embedding, with_head, total, active."""
    tokens: float
    """D that is planned."""
    optimal_ratio: float | None
    """D/N that `loss_law` would choose for this compute; None: it does not say."""
    tokens_realised: int
    """S x B: at least D, and less than a batch more."""
    compute: float
    """Of the realised tokens [FLOPs]."""
    flops_per_token: float
    """Forward and backward."""
    counted: str
    """How the FLOPs are counted."""
    story: str
    """What was given, and what follows."""
    batch_tokens: int
    """Global batch [tokens per step], a multiple of world_size x per_device x seq_len."""
    batch_wanted: float
    """What the laws say, before rounding and limits."""
    batch_low: float
    """Smallest of the laws in use."""
    batch_high: float
    """Largest of the laws in use."""
    batch_how: str
    """Which laws, and how they were combined."""
    batch_change: float
    """From `batch_wanted` to `batch_tokens` [share]."""
    batch_limit: str
    """"max_steps" or "max_batch" where that decided the batch; "": the laws and the rounding did."""
    flat: tuple[float, float] | None
    """Batches within `FLAT_NATS` of the best, by a fitted three-term law [tokens]; None: there is no such law."""
    critical_batch: float | None
    """Where training takes twice the least tokens [tokens]; geometric median of the laws that reach there."""
    critical_batch_how: str
    """By which laws; "": none reaches there."""
    overhead: tuple[float, float] | None
    """Least and largest factor of tokens that this batch takes beside a tiny one, over the critical-batch laws."""
    learning_rate: float | None
    """Peak; None: no law reaches there."""
    learning_rate_how: str
    """Whose law, and how far from its range."""
    learning_rate_caveat: str
    """What must be known of that law: its schedule and optimizer; the training arguments follow only its end."""
    learning_rate_end: float | None
    """At the end of the cosine, where its law states one below the peak; None: 0."""
    learning_rate_low: float | None
    """Smallest of the laws that reach there."""
    learning_rate_high: float | None
    """Largest of them."""
    steps: int
    """ceil(D / B)."""
    warmup_steps: int
    """2 % of the steps, at least 100 and at most 2,000 [ours], unless given."""
    seq_len: int
    world_size: int
    per_device: int
    """Rows of a micro-batch per GPU."""
    accumulation: int
    """Micro-batches per step."""
    loss: float | None
    """Predicted [nats per token], on the law's own data and tokenizer."""
    loss_law: str
    """By which law."""
    gpu: str
    gpus: int | None
    """None: not told, and then no days."""
    mfu: float
    """Assumed share of the GPU's peak."""
    gpu_hours: float
    days: float | None
    cost: float | None
    """gpu_hours x the price per hour."""
    memory: Memory | None
    """Estimate per GPU [bytes]."""
    memory_shape: str
    """Which model the memory is of."""
    shard: Shard
    """What is spread over the GPUs."""
    rows: tuple[LawRow, ...]
    """Every law's answer."""
    warnings: tuple[str, ...]

    def to_training_arguments(
        self, world_size: int | None = None, per_device: int | None = None, seq_len: int | None = None
    ) -> dict[str, Any]:
        """Give what `transformers.TrainingArguments` (or trl's `SFTConfig`) is to be told.

        Args:
            world_size: Processes of the training; None: the plan's.
            per_device: Rows per process and micro-batch; None: the plan's.
            seq_len: Tokens per row; None: the plan's.

        Raises:
            ConfigError: The plan's batch is no multiple of these, or no law gave a learning rate.
        """
        from tenon.methods.batch_scaling.plans.arguments import training_arguments

        return training_arguments(self, world_size, per_device, seq_len)

    def snippet(self) -> str:
        """Give Python code to paste into a training script."""
        from tenon.methods.batch_scaling.plans.arguments import snippet

        return snippet(self)

    def to_dict(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    def to_text(self) -> str:
        """Give it as text for a terminal."""
        from tenon.methods.batch_scaling.plans.text import text_of

        return text_of(self)
