"""From a config to a `ModelShape`: config.json of the usual architectures is read without torch or transformers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tenon.core.errors import DataError, UnsupportedModelError
from tenon.core.files import read_json
from tenon.methods.batch_scaling.plans.model_shape import ModelShape

__all__ = ["shape_of"]

# What a model_type has besides sizes; a callable reads the config.
_BIASED = {"norm_bias": True, "qkv_bias": True, "out_bias": True, "mlp_bias": True}
_KINDS: dict[str, dict[str, Any]] = {
    "llama": {"qkv_bias": "attention_bias", "out_bias": "attention_bias", "mlp_bias": "mlp_bias"},
    "mistral": {},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qkv_bias": "attention_bias", "out_bias": "attention_bias", "qk_norm": True},
    "gemma": {"qkv_bias": "attention_bias", "out_bias": "attention_bias", "tied": True},
    "gemma2": {"qkv_bias": "attention_bias", "out_bias": "attention_bias", "tied": True, "norms_per_layer": 4},
    "gpt2": {**_BIASED, "gated": False, "tied": True},
    "gpt_neox": {**_BIASED, "gated": False, "qkv_bias": "attention_bias", "out_bias": "attention_bias"},
    "phi": {**_BIASED, "gated": False, "norms_per_layer": 1, "head_bias": True},
    "mixtral": {},
    "qwen2_moe": {"qkv_bias": "qkv_bias"},
    "qwen3_moe": {"qkv_bias": "attention_bias", "out_bias": "attention_bias", "qk_norm": True},
}
_DEFAULTS: dict[str, dict[str, Any]] = {  # of transformers, where a config.json may leave them out
    "mistral": {"num_key_value_heads": 8},
    "mixtral": {"num_key_value_heads": 8},
    "gemma": {"head_dim": 256},
    "gemma2": {"head_dim": 256},
    "qwen3": {"head_dim": 128},
    "gpt_neox": {"attention_bias": True},
    "qwen2_moe": {"qkv_bias": True},
}
_ALIASES = {"n_embd": "hidden_size", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads"}
_ALIASES |= {"num_local_experts": "num_experts"}  # one and the same under two names, depending on the release
INSTEAD = "give params (--params) in place of the model, or a ModelShape"
"""What helps where a model cannot be counted."""
_MOE, _NEEDED_MOE = ("mixtral", "qwen2_moe", "qwen3_moe"), ("num_experts", "num_experts_per_tok")
_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len")
_MOE_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")


def shape_of(source: Any) -> ModelShape:
    """Read the sizes of a model.

    Args:
        source: A ModelShape; a config or model of transformers; what config.json holds; the path of one or of its
            folder; a nano name; or a hub id (transformers then looks it up).

    Raises:
        DataError: There is no such model, or its config lacks a size.
        UnsupportedModelError: A mixture of experts of a kind that is not known; give a ModelShape.
    """
    if isinstance(source, ModelShape):
        return source
    if isinstance(source, str | Path):
        return _named(source)
    if not isinstance(source, Mapping):
        config = source if hasattr(source, "model_type") else getattr(source, "config", None)
        if not hasattr(config, "to_dict"):
            raise DataError(
                f"{type(source).__name__} tells no model's sizes; give a ModelShape, a transformers config or model, a "
                "folder with config.json, or a name."
            )
        assert config is not None
        source = config.to_dict()
    return _read(dict(source), str(source.get("_name_or_path") or source.get("model_type") or ""))


def _named(name: str | Path) -> ModelShape:
    from tenon.core.models.loading import NANO_FOLDER, nano_names

    folder = NANO_FOLDER / name if str(name) in nano_names() else Path(name)
    file = folder if folder.suffix == ".json" else folder / "config.json"
    if file.is_file():
        content = read_json(file)
        if not isinstance(content, dict):
            raise DataError(f"{file} is no config.json: it holds a {type(content).__name__}.")
        return _read(content, str(name))
    from tenon.core.models.loading import load_config

    return _read(load_config(name).to_dict(), str(name))


def _read(config: dict[str, Any], name: str) -> ModelShape:
    inner = config.get("text_config")
    if isinstance(inner, Mapping):  # of a model for several kinds of input, the language model
        config = {**inner}
    kind = str(config.get("model_type", ""))
    if kind not in _KINDS:
        return _counted(config, name, kind)
    return _closed_form({**_DEFAULTS.get(kind, {}), **config}, name, kind)


def _closed_form(config: dict[str, Any], name: str, kind: str) -> ModelShape:
    config = {_ALIASES.get(key, key): value for key, value in config.items()}
    needed = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    if missing := [key for key in (*needed, *(_NEEDED_MOE if kind in _MOE else ())) if not config.get(key)]:
        raise DataError(f"The config of {name or kind or 'the model'} has no {missing[0]}, so its size is not known.")
    told = {key: config.get(way, False) if isinstance(way, str) else way for key, way in _KINDS.get(kind, {}).items()}
    if "tie_word_embeddings" in config:
        told["tied"] = bool(config["tie_word_embeddings"])
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    if kind == "gpt2":
        told |= {"positions": config.get("n_positions", 1024)}
        config["intermediate_size"] = config.get("n_inner") or 4 * hidden
    if kind == "phi" and config.get("qk_layernorm"):
        raise UnsupportedModelError(f"Phi with qk_layernorm is not counted in closed form; {INSTEAD}.")
    if kind == "mixtral":
        told |= {"experts": config["num_experts"], "active_experts": config["num_experts_per_tok"]}
        told |= {"expert_ffn": config["intermediate_size"], "moe_layers": layers}
    if kind in ("qwen2_moe", "qwen3_moe"):
        dense, every = set(config.get("mlp_only_layers") or ()), config.get("decoder_sparse_step", 1)
        sparse = [place for place in range(layers) if place not in dense and (place + 1) % every == 0]
        told |= {"experts": config["num_experts"], "active_experts": config["num_experts_per_tok"]}
        told |= {"expert_ffn": config["moe_intermediate_size"], "moe_layers": len(sparse)}
        told["shared_ffn"] = config.get("shared_expert_intermediate_size", 0) if kind == "qwen2_moe" else 0
    return ModelShape(
        hidden=hidden,
        layers=layers,
        heads=config["num_attention_heads"],
        kv_heads=config.get("num_key_value_heads") or None,
        head_dim=config.get("head_dim") or None,
        ffn=config.get("intermediate_size") or 4 * hidden,
        vocab=config["vocab_size"],
        context=next((config[key] for key in _CONTEXT if config.get(key)), None),
        name=name,
        **told,
    )


def _counted(config: dict[str, Any], name: str, kind: str) -> ModelShape:
    """Lay out a model without memory and count it: for architectures that the closed form does not know.

    Learned positions, if it has any, then count as part of the blocks.
    """
    if any(config.get(key) for key in _MOE_KEYS):
        raise UnsupportedModelError(
            f"{kind or 'This model'} is a mixture of experts that is not known here, so its active parameters are not "
            f"either; {INSTEAD}, with experts, active_experts and expert_ffn."
        )
    if not kind:
        raise DataError(f"The config has no model_type; name it, or {INSTEAD}.")
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        known = AutoConfig.for_model(**config)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(known)
    except (ValueError, KeyError) as error:
        raise UnsupportedModelError(f"{kind!r} is no causal language model that transformers knows: {error}") from error
    shape = _closed_form({**config, **known.to_dict()}, name, kind)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    ends = {id(one): one.numel() for part in (embedding, head) if part is not None for one in part.parameters()}
    total, outside = sum(one.numel() for one in model.parameters()), sum(ends.values())  # a tied weight comes once
    tied = head is not None and head.weight is embedding.weight
    shape = dataclasses.replace(shape, tied=tied, head_bias=getattr(head, "bias", None) is not None)
    if shape.embedding + shape.head != outside:
        raise UnsupportedModelError(f"The embeddings of {kind!r} are not vocab x hidden; {INSTEAD}.")
    return dataclasses.replace(shape, other=total - outside - shape.non_embedding)
