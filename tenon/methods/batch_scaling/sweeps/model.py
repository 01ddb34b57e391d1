"""The models of a sweep: a Llama of a given shape, with fresh weights by seed, and how its parameters are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenon.core.seeds import derive
from tenon.methods.batch_scaling.config import SweepModel

if TYPE_CHECKING:
    from transformers import LlamaConfig, LlamaForCausalLM

__all__ = ["fresh_model", "llama_config", "parameter_counts", "shape_name"]


def shape_name(shape: SweepModel) -> str:
    """Give the name of a size, as it stands in the keys of rows.

    >>> shape_name(SweepModel(hidden=64, layers=2, heads=2, ffn=176)), shape_name(SweepModel(hidden=64, ffn=256))
    ('h64l2', 'h64l2a2f256')
    """
    name = f"h{shape.hidden}l{shape.layers}"
    is_usual = shape.heads == max(1, shape.hidden // 32) and shape.ffn == usual_ffn(shape.hidden)
    return name if is_usual else f"{name}a{shape.heads}f{shape.ffn}"


def usual_ffn(hidden: int) -> int:
    """Give Llama's MLP size, 8/3 of the hidden size, as a multiple of 16.

    >>> [usual_ffn(hidden) for hidden in (64, 128, 192, 256)]
    [176, 352, 512, 688]
    """
    return 16 * -(-8 * hidden // 48)


def llama_config(shape: SweepModel, *, vocabulary: int, seq_len: int) -> LlamaConfig:
    """Give the transformers config: multi-head attention, gated MLP, an output head of its own."""
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        vocab_size=vocabulary,
        max_position_embeddings=seq_len,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        tie_word_embeddings=False,
        use_cache=False,
        attn_implementation="sdpa",  # type: ignore[call-arg]  # a field of every config, which its class does not name
    )


def fresh_model(config: LlamaConfig, *, seed: int) -> LlamaForCausalLM:
    """Make a model of random weights, as transformers initialises it, on the CPU: a function of the seed alone."""
    import torch
    from transformers import LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):  # transformers draws from the global generator; we leave it as it was
        torch.manual_seed(derive(seed, "weights"))
        return LlamaForCausalLM(config)


def parameter_counts(config: LlamaConfig) -> dict[str, int]:
    """Count parameters without embedding and head, with the head, and with both."""
    from tenon.core.models.counting import parameters_by_kind

    counts = parameters_by_kind(config)
    total = sum(counts.values())
    return {
        "non_embedding": total - counts["embedding"] - counts["head"],
        "with_head": total - counts["embedding"],
        "total": total,
    }
