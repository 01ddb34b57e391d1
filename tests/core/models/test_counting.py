"""Counting: every formula against the thing itself (real parameters, counted matrix products, a filled cache)."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, LlamaConfig

from tenon.core.errors import ConfigError, UnsupportedModelError
from tenon.core.models.cache import cache_argument
from tenon.core.models.counting import (
    AttentionShape,
    attention_shape,
    flops_per_token,
    kv_bytes_per_token,
    parameters_by_kind,
)
from tenon.core.models.roles import roles_of
from tenon.core.models.tiny import ARCHITECTURES, tiny_model

IDS = torch.arange(24)[None]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_parameters_add_up_and_a_tied_head_counts_once(arch: str, tied: bool) -> None:
    model = tiny_model(arch, tie_word_embeddings=tied)
    counts = parameters_by_kind(model)
    assert sum(counts.values()) == sum(parameter.numel() for parameter in model.parameters())
    assert counts["embedding"] == 128 * 64
    assert counts["head"] == (0 if tied else 128 * 64) + (
        128 if arch == "phi" else 0
    )  # phi's head has a bias of its own
    assert parameters_by_kind(model.config) == counts


def test_parameters_by_hand() -> None:
    assert parameters_by_kind(tiny_model("qwen3")) == {
        "embedding": 128 * 64,
        "attention": 2 * (64 * 64 + 2 * 32 * 64 + 64 * 64),  # query, key and value, output
        "mlp": 2 * 3 * 64 * 128,
        "norm": 2 * (2 * 64 + 2 * 16) + 64,  # two per layer, query and key norm, final
        "head": 128 * 64,
    }


def test_a_published_size_from_its_config() -> None:
    """Llama 3.1 8B: 8,030,261,248 parameters, 128 KiB of bf16 cache per token."""
    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=False,
    )
    counts = parameters_by_kind(config)
    assert sum(counts.values()) == 8_030_261_248
    assert kv_bytes_per_token(config, "bfloat16") == 128 * 1024
    # Without attention scores, a forward pass is 2 FLOPs per matrix parameter.
    matrices = counts["attention"] + counts["mlp"] + counts["head"]
    assert flops_per_token(config, 1) == 2 * matrices + 4 * 32 * 4096  # one key: its score and its value, per layer


def test_attention_shape_fills_in_the_defaults() -> None:
    assert attention_shape(tiny_model("gpt_neox").config) == AttentionShape(num_heads=4, num_kv_heads=4, head_dim=16)
    assert attention_shape(tiny_model("llama").config) == AttentionShape(num_heads=4, num_kv_heads=2, head_dim=16)
    wide = tiny_model("gemma", head_dim=32).config  # heads wider than hidden / heads
    assert attention_shape(wide) == AttentionShape(num_heads=4, num_kv_heads=2, head_dim=32)


def counted(counter: FlopCounterMode, model: torch.nn.Module) -> int:
    """Give the counted FLOPs without those of rotary angles, which older transformers computes as a matrix product."""
    counts = counter.get_flop_counts()
    rotary = f"{type(model).__name__}.{roles_of(model).rotary}"
    return counter.get_total_flops() - sum(counts.get(rotary, {}).values())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_square_flops_are_those_that_torch_counts(arch: str) -> None:
    model = tiny_model(arch, attn_implementation="eager")
    length = IDS.shape[1]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(IDS, use_cache=False)
    expected = length * flops_per_token(model.config, length, convention="square")
    assert counted(counter, model) == expected


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_causal_flops_are_those_of_decoding_one_by_one(arch: str) -> None:
    """Token `i` of a decode sees exactly `i + 1` keys, so the sum over the sequence is the causal count."""
    model = tiny_model(arch, attn_implementation="eager")
    cache, length = DynamicCache(config=model.config), IDS.shape[1]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        for i in range(length):
            model(IDS[:, i : i + 1], **{cache_argument(model): cache})
    expected = length * flops_per_token(model.config, length)
    assert counted(counter, model) == expected


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_head_can_be_left_out(arch: str) -> None:
    config = tiny_model(arch).config
    assert flops_per_token(config, 9) - flops_per_token(config, 9, include_head=False) == 2 * 64 * 128


@pytest.mark.parametrize(
    ("arch", "dtype"), [*((arch, torch.float32) for arch in ARCHITECTURES), ("llama", torch.bfloat16)]
)
def test_kv_bytes_are_those_of_a_filled_cache(arch: str, dtype: torch.dtype) -> None:
    model = tiny_model(arch).to(dtype)
    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        model(IDS, **{cache_argument(model): cache})
    stored = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert stored == IDS.shape[1] * kv_bytes_per_token(model.config, dtype)
    assert kv_bytes_per_token(model.config, dtype) == kv_bytes_per_token(
        model.config, str(dtype).removeprefix("torch.")
    )


def test_bad_input() -> None:
    config = tiny_model("llama").config
    with pytest.raises(ConfigError, match="context is 0"):
        flops_per_token(config, 0)
    with pytest.raises(ConfigError, match="must be 'causal' or 'square'"):
        flops_per_token(config, 4, convention="half")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="dtype is 'int33'"):
        kv_bytes_per_token(config, "int33")
    config.model_type = "unheard-of"
    for count in (parameters_by_kind, lambda c: flops_per_token(c, 4)):
        with pytest.raises(UnsupportedModelError):
            count(config)
