"""What a model costs: parameters by kind, FLOPs and KV cache bytes per token; from a config, without weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from tenon.core.errors import ConfigError, UnsupportedModelError
from tenon.core.models.roles import Roles, roles_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["AttentionShape", "attention_shape", "flops_per_token", "kv_bytes_per_token", "parameters_by_kind"]

Kind = Literal["embedding", "attention", "mlp", "norm", "head"]


@dataclass(frozen=True)
class AttentionShape:
    """The sizes of one attention layer."""

    num_heads: int
    """Query heads."""
    num_kv_heads: int
    """Key/value heads; fewer than `num_heads` under grouped-query attention."""
    head_dim: int
    """Width of one head."""


def attention_shape(config: PreTrainedConfig) -> AttentionShape:
    """Read the attention sizes of a config, with the defaults that the models themselves apply."""
    num_heads = config.num_attention_heads
    return AttentionShape(
        num_heads=num_heads,
        num_kv_heads=getattr(config, "num_key_value_heads", None) or num_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // num_heads,
    )


def parameters_by_kind(model: nn.Module | PreTrainedConfig) -> dict[Kind, int]:
    """Count the parameters of a causal language model, by what they are for.

    A bias counts with its projection, a norm over query or key heads as a norm. A tied head has no parameters of its
    own: they count once, as the embedding. The values add up to all parameters of the model.

    Args:
        model: A model, or a config (then the model is laid out without memory for its weights).

    Raises:
        UnsupportedModelError: The architecture's parts are not known, or some layers are no attention (hybrid models).
    """
    roles = roles_of(model)
    if not isinstance(model, nn.Module):
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(model)
    counts: Counter[Kind] = Counter(dict.fromkeys(("embedding", "attention", "mlp", "norm", "head"), 0))
    for name, parameter in model.named_parameters():  # a tied weight comes once, under its first name
        counts[_kind(name, roles)] += parameter.numel()
    return dict(counts)


def _kind(parameter: str, roles: Roles) -> Kind:
    module = parameter.rpartition(".")[0]
    if module in (roles.embedding, roles.head):
        return "embedding" if module == roles.embedding else "head"
    inner = module.removeprefix(roles.layers + ".").partition(".")[2]  # within the layer
    norms = (roles.attention_norm, roles.mlp_norm, roles.query_norm, roles.key_norm)
    if module == roles.final_norm or inner in norms:
        return "norm"
    if not inner.startswith((roles.attention + ".", roles.mlp + ".")):
        raise UnsupportedModelError(
            f"{parameter} is neither of attention nor of an MLP; hybrid models are not counted, only those of "
            "attention layers alone."
        )
    return "attention" if inner.startswith(roles.attention + ".") else "mlp"


def flops_per_token(
    config: PreTrainedConfig,
    context: int,
    *,
    convention: Literal["causal", "square"] = "causal",
    include_head: bool = True,
) -> int:
    """Count the FLOPs of one forward pass over `context` tokens, per token; training costs three times as much.

    One multiply-add is 2 FLOPs. Only matrix products count: the embedding is a look-up, and norms, softmax, biases and
    activations are small beside them. With hidden size `d`, `L` layers, `h` heads and `g` key/value heads of size `e`,
    MLP size `f` with `m` matrices (3 if gated, else 2), vocabulary `V`, and `k` keys per query:

        2 [ L ( 2 d h e + 2 d g e + m d f + 2 h e k ) + d V ]

    Args:
        config: The model's config.
        context: Length of the sequence [tokens].
        convention: Keys that a query is charged for. "causal": those it sees, `k = (context + 1) / 2` on average.
            "square": all of the score matrix, `k = context`, as most papers and torch's `FlopCounterMode` count.
        include_head: Whether the projection to the vocabulary, `d V`, counts; many papers leave it out.

    Raises:
        UnsupportedModelError: The architecture's parts are not known, or some layers are no attention (hybrid models).
        ConfigError: `context` is smaller than 1, or `convention` is neither of the two.
    """
    if context < 1:
        raise ConfigError(f"context is {context}; it must be 1 token or more.")
    if convention not in ("causal", "square"):
        raise ConfigError(f"convention is {convention!r}; it must be 'causal' or 'square'.")
    if unknown := set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}:
        raise UnsupportedModelError(
            f"{type(config).__name__} has layers of type {min(unknown)!r}; hybrid models are not counted, only those "
            "of attention layers alone."
        )
    shape = attention_shape(config)
    query_width, kv_width = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    mlp_matrices = 2 if roles_of(config).gate is None else 3
    twice_keys = context + 1 if convention == "causal" else 2 * context  # kept whole: the average may end in a half
    layer = (
        2 * config.hidden_size * (query_width + kv_width)
        + mlp_matrices * config.hidden_size * config.intermediate_size
        + query_width * twice_keys
    )
    head = config.hidden_size * config.vocab_size if include_head else 0
    return int(2 * (config.num_hidden_layers * layer + head))


def kv_bytes_per_token(config: PreTrainedConfig, dtype: str | torch.dtype) -> int:
    """Count the bytes that one token adds to a full KV cache: 2 (keys, values) x layers x key/value heads x head size.

    Sliding-window layers stop growing at their window; this is what they add before.

    Args:
        config: The model's config.
        dtype: Type of the cached keys and values, for instance "bfloat16".

    Raises:
        ConfigError: `dtype` is no torch dtype.
    """
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype):
        raise ConfigError(f"dtype is {dtype!r}; it must be a torch dtype such as 'bfloat16'.")
    shape = attention_shape(config)
    return int(2 * config.num_hidden_layers * shape.num_kv_heads * shape.head_dim * found.itemsize)
