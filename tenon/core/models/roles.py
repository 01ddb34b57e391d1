"""Where each part of a model sits: one typed record of module names per architecture.

Methods ask for a role ("attention output") and never for a name, so an architecture is taught in one place. A
`model_type` that is not in the table is refused: a guess that fits by accident would give wrong results without a word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from tenon.core.errors import UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["ROLES", "Roles", "roles_of"]


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Dotted module names: the first group from the causal model, the second from one of its `layers`.

    None says that the architecture has no such module. Attention has either `query`, `key` and `value` or `fused_qkv`.

    >>> from tenon.core.models.tiny import tiny_model
    >>> model = tiny_model("gpt_neox")
    >>> roles = roles_of(model)
    >>> model.get_submodule(roles.layers)[0].get_submodule(roles.output)
    Linear(in_features=64, out_features=64, bias=True)
    """

    backbone: str = "model"
    """The model without its head: token ids in, hidden states out."""
    embedding: str = "model.embed_tokens"
    """The token embedding."""
    layers: str = "model.layers"
    """The list of decoder layers."""
    rotary: str = "model.rotary_emb"
    """The rotary position embedding that all layers share."""
    final_norm: str = "model.norm"
    """The norm after the last layer."""
    head: str = "lm_head"
    """The projection to the vocabulary; it may share its weight with `embedding`."""
    vision_tower: str | None = None
    """The image encoder."""

    attention_norm: str = "input_layernorm"
    """The norm before attention."""
    attention: str = "self_attn"
    """The attention module."""
    query: str | None = "self_attn.q_proj"
    """The query projection."""
    key: str | None = "self_attn.k_proj"
    """The key projection."""
    value: str | None = "self_attn.v_proj"
    """The value projection."""
    fused_qkv: str | None = None
    """One projection for all three; its rows are grouped by head: query, key, value of head 0, then of head 1."""
    query_norm: str | None = None
    """The norm over each query head."""
    key_norm: str | None = None
    """The norm over each key head."""
    output: str = "self_attn.o_proj"
    """The projection out of attention."""
    mlp_norm: str = "post_attention_layernorm"
    """The norm before the MLP; the same module as `attention_norm` where both branches read one normed input."""
    mlp: str = "mlp"
    """The MLP module."""
    gate: str | None = "mlp.gate_proj"
    """The MLP's gate; None where the MLP is not gated."""
    up: str = "mlp.up_proj"
    """The MLP's projection to the intermediate size."""
    down: str = "mlp.down_proj"
    """The MLP's projection back to the hidden size."""


_LLAMA = Roles()

ROLES: dict[str, Roles] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": replace(_LLAMA, query_norm="self_attn.q_norm", key_norm="self_attn.k_norm"),
    "gemma": _LLAMA,
    "phi": replace(
        _LLAMA,
        final_norm="model.final_layernorm",
        output="self_attn.dense",
        mlp_norm="input_layernorm",
        gate=None,
        up="mlp.fc1",
        down="mlp.fc2",
    ),
    "gpt_neox": Roles(
        backbone="gpt_neox",
        embedding="gpt_neox.embed_in",
        layers="gpt_neox.layers",
        rotary="gpt_neox.rotary_emb",
        final_norm="gpt_neox.final_layer_norm",
        head="lm_head",
        attention="attention",
        query=None,
        key=None,
        value=None,
        fused_qkv="attention.query_key_value",
        output="attention.dense",
        gate=None,
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
    ),
    # A hybrid: most of its layers are convolutions, and only the others have the parts of attention.
    "lfm2": replace(
        _LLAMA,
        final_norm="model.embedding_norm",
        attention_norm="operator_norm",
        query_norm="self_attn.q_layernorm",
        key_norm="self_attn.k_layernorm",
        output="self_attn.out_proj",
        mlp_norm="ffn_norm",
        mlp="feed_forward",
        gate="feed_forward.w1",
        up="feed_forward.w3",
        down="feed_forward.w2",
    ),
}
"""The known architectures, by `config.model_type`."""


def roles_of(model: nn.Module | PreTrainedConfig) -> Roles:
    """Give the roles of a causal language model, or of the model that a config describes.

    Raises:
        UnsupportedModelError: Its `model_type` is not in `ROLES`, or the model is not the causal one (a bare backbone,
            or a wrapper around it), so the names would lead nowhere.
    """
    config = getattr(model, "config", model)
    model_type = getattr(config, "model_type", None)
    if model_type not in ROLES:
        raise UnsupportedModelError(
            f"{type(model).__name__} has model_type {model_type!r}, whose parts are not known; "
            f"known are {', '.join(ROLES)}. To add one, write its record in tenon/core/models/roles.py."
        )
    roles = ROLES[model_type]
    if isinstance(model, nn.Module) and not _has(model, roles.layers):
        raise UnsupportedModelError(
            f"{type(model).__name__} has no {roles.layers!r}; pass the causal model itself, as load_model gives it, "
            "not its backbone and not a wrapper."
        )
    return roles


def _has(model: nn.Module, name: str) -> bool:
    try:
        model.get_submodule(name)
    except AttributeError:
        return False
    return True
