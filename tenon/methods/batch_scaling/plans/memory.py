"""An estimate of the memory that training takes per GPU. Good to a third or so: it decides what to try first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.plans.model_shape import ModelShape

__all__ = ["SHARDS", "Memory", "Shard", "estimate_memory"]

Shard: TypeAlias = Literal["none", "optimizer", "gradients", "full"]
SHARDS: tuple[Shard, ...] = ("none", "optimizer", "gradients", "full")
"""What is spread over the GPUs: nothing (DDP), the optimizer's state (ZeRO 1), gradients too (2), weights (FSDP)."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU."""

    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.weights + self.gradients + self.optimizer + self.activations


def estimate_memory(
    shape: ModelShape,
    *,
    per_device: int,
    seq_len: int,
    world_size: int = 1,
    shard: Shard = "none",
    optimizer_bytes: float = 8.0,
    recompute: bool = False,
) -> Memory:
    """Estimate what a mixed-precision training takes: fp32 weights and gradients, bf16 activations, fused attention.

    Kept for the backward pass, per token and layer, in bf16: inputs and outputs of two norms and the attention's output
    (5 d), queries, keys, values, and the MLP's inner values (4 ffn gated, 2 ffn otherwise); with d = 4 ffn that is 32 d
    bytes, beside 34 d of Korthikanti et al. 2022 (table 2), which has dropout masks. Logits: 10 bytes each (bf16, fp32,
    and the gradient).

    Args:
        shape: The model.
        per_device: Rows of a micro-batch on one GPU.
        seq_len: Tokens of a row.
        world_size: GPUs, for what is spread over them.
        shard: What is spread.
        optimizer_bytes: Of the optimizer's state per parameter: 8 for AdamW in fp32, 2 in 8 bit.
        recompute: Gradient checkpointing: only every layer's input is kept, and one layer is recomputed at a time.

    Raises:
        ConfigError: `shard` is unknown.
    """
    if shard not in SHARDS:
        raise ConfigError(f"shard is {shard!r}; it must be one of {', '.join(SHARDS)}.")
    level = SHARDS.index(shard)
    over_optimizer, over_gradients, over_weights = (world_size if level >= least else 1 for least in (1, 2, 3))
    tokens = per_device * seq_len
    ffn = shape.ffn if not shape.moe_layers else shape.active_experts * shape.expert_ffn + shape.shared_ffn
    inner = (4 if shape.gated else 2) * ffn
    layer = 2.0 * (5 * shape.hidden + shape.query_width + 2 * shape.kv_width + inner)
    kept = shape.layers * 2.0 * shape.hidden + layer if recompute else shape.layers * layer
    return Memory(
        weights=4.0 * shape.total / over_weights,
        gradients=4.0 * shape.total / over_gradients,
        optimizer=optimizer_bytes * shape.total / over_optimizer,
        activations=tokens * (kept + 10.0 * shape.vocab),
    )
