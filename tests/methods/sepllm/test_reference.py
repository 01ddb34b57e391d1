"""The fast path equals the slow twin: whole models, token by token, keys un-rotated (7.11 and "done when")."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tenon.core.models.tiny import ARCHITECTURES, tiny_model
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.reference import reference_logits, simulate
from tenon.methods.sepllm.rotary import rerotate

TOKENS, PROMPT = 48, 21
BOUNDED = {"init": 2, "window": 8, "sep_capacity": 4, "local": 6, "capacity": 17}
CONFIGS = {
    "eq. 1": SepConfig(init=2, window=8),
    "eq. 1, dense prompt": SepConfig(init=2, window=8, prefill="dense"),
    "every fifth": SepConfig(init=2, window=8, separators="none", interval=5),
    "stream": SepConfig(**BOUNDED, prefill="stream", positions="cache"),
    "stream, before": SepConfig(**BOUNDED, prefill="stream", positions="cache", evict="before"),
    "stream, absolute": SepConfig(**BOUNDED, prefill="stream"),
    "sparse": SepConfig(**BOUNDED, prefill="sparse", positions="cache"),
    "sparse, before, absolute": SepConfig(**BOUNDED, prefill="sparse", evict="before"),
    "dense": SepConfig(**BOUNDED, prefill="dense", positions="cache"),
    "dense, before, growing": SepConfig(**BOUNDED, prefill="dense", evict="before", cap_separators=False),
    "latest only": SepConfig(**BOUNDED, prefill="stream", positions="cache", accumulate=False),
    "StreamingLLM": SepConfig(
        separators="none", init=2, sep_capacity=0, local=12, capacity=14, prefill="stream", positions="cache"
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("arch", ["llama", "qwen2", "qwen3", "mistral"])
def test_fast_equals_slow(arch: str, name: str, tiny: Any, tokenizer: Any, text: Any, feed: Any, off: Any) -> None:
    config, model, ids = CONFIGS[name], tiny(arch), text(TOKENS)
    with apply_sepllm(model, tokenizer, config) as applied:
        fast = feed(model, ids, applied.new_cache(), sizes=(PROMPT, 1))[0]
        bits = applied.separators[ids[0]].tolist()
    if config.interval is not None:
        bits = [j >= 2 and (j - 2) % 5 == 4 for j in range(TOKENS)]
    slow = reference_logits(model, ids[0].tolist(), simulate(bits, config, prompt=PROMPT))
    assert off(fast, slow) < 1e-5  # fp32


ROPES = {  # what moves a key must follow the model's base and scaling, not the usual ones
    "another base": {"rope_type": "default", "rope_theta": 5e5},
    "linear": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0},
    "llama3": {
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "yarn": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64},
}  # fmt: skip


@pytest.mark.parametrize("name", ["stream", "stream, before"])
@pytest.mark.parametrize("rope", ROPES)
def test_7_11_keys_move_with_the_frequencies_of_the_model(
    rope: str, name: str, tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    config, model, ids = CONFIGS[name], tiny_model("llama", rope_parameters=ROPES[rope]), text(TOKENS)
    with apply_sepllm(model, tokenizer, config) as applied:
        fast = feed(model, ids, applied.new_cache(), sizes=(TOKENS,))[0]
        bits = applied.separators[ids[0]].tolist()
    slow = reference_logits(model, ids[0].tolist(), simulate(bits, config))
    assert off(fast, slow) < 1e-5  # fp32


@pytest.mark.parametrize("name", ["stream", "stream, before"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_7_11_one_layer_gives_what_the_kept_tokens_give_as_a_text(
    arch: str, name: str, tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    """With one layer, keys and values depend on their own token alone: a text of what is seen is an exact twin, of
    partly rotary models, too."""
    config, model, ids = CONFIGS[name], tiny_model(arch, num_hidden_layers=1), text(TOKENS)
    with apply_sepllm(model, tokenizer, config) as applied:
        fast = feed(model, ids, applied.new_cache(), sizes=(TOKENS,))[0]
        bits = applied.separators[ids[0]].tolist()
    with torch.no_grad():
        slow = torch.stack([model(ids[:, step.seen]).logits[0, -1] for step in simulate(bits, config)])
    assert off(fast, slow) < 1e-5  # fp32


@pytest.mark.parametrize("arch", ["llama", "qwen2", "mistral"])
def test_a_forward_without_a_cache_equals_the_slow_one(
    arch: str, tiny: Any, tokenizer: Any, text: Any, off: Any
) -> None:
    model, ids = tiny(arch), text(40)
    for config in (CONFIGS["eq. 1"], CONFIGS["stream"]):
        with apply_sepllm(model, tokenizer, config) as applied, torch.no_grad():
            fast = model(ids, use_cache=False).logits[0]
            bits = applied.separators[ids[0]].tolist()
        assert off(fast, reference_logits(model, ids[0].tolist(), simulate(bits, config))) < 1e-5  # fp32


def test_7_11_two_hundred_turns_drift_by_less_than_a_tenth_of_a_thousandth(
    tiny: Any, tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    config = SepConfig(init=2, sep_capacity=3, local=3, capacity=9, prefill="stream", positions="cache")
    model, ids = tiny("llama"), text(430)
    with apply_sepllm(model, tokenizer, config) as applied:
        cache = applied.new_cache()
        fast = feed(model, ids, cache, sizes=(430,))[0]
        bits = applied.separators[ids[0]].tolist()
    assert cache.stats()["compressions"] >= 200
    slow = reference_logits(model, ids[0].tolist(), simulate(bits, config))
    assert off(fast, slow) < 1e-4  # fp32, 200 rotations one upon the other


@pytest.mark.parametrize("farthest", [9, 1000])  # an angle of a thousand radians has no fraction left in bfloat16
def test_7_11_bfloat16_drifts_by_less_than_five_hundredths(farthest: int, tiny: Any, off: Any) -> None:
    inv_freq = tiny("llama").model.rotary_emb.inv_freq
    key = torch.randn(1, 1, 1, 16)
    moved, exact = key.bfloat16(), key
    for shift in torch.randint(-farthest, farthest + 1, (200,)).tolist():
        moved = rerotate(moved, torch.tensor([[shift]]), inv_freq)
        exact = rerotate(exact.double(), torch.tensor([[shift]]), inv_freq)
    assert moved.dtype == torch.bfloat16
    assert off(moved.double(), exact) < 5e-2


def test_7_11_a_stream_in_bfloat16_equals_the_raw_store(tokenizer: Any, text: Any, feed: Any, off: Any) -> None:
    config = SepConfig(init=2, sep_capacity=6, local=6, capacity=60, prefill="stream", positions="cache")
    model, ids = tiny_model("llama"), text(180)
    rotary, inv_freq = model.model.rotary_emb, model.model.rotary_emb.inv_freq.clone()
    model.bfloat16()
    rotary.inv_freq = inv_freq  # float32 in models that are loaded in bfloat16
    with apply_sepllm(model, tokenizer, config) as applied:
        cache = applied.new_cache()
        fast = feed(model, ids, cache, sizes=(180,))[0]
        bits = applied.separators[ids[0]].tolist()
    assert cache.stats()["compressions"] >= 3
    assert cache.layers[0].keys.dtype == torch.bfloat16
    slow = reference_logits(model, ids[0].tolist(), simulate(bits, config))
    assert off(fast.float(), slow.float()) < 5e-2


def test_the_slow_twin_without_a_rule_is_the_model(tiny: Any, text: Any, off: Any) -> None:
    model, ids = tiny("qwen3"), text(20)
    config = SepConfig(window=None)
    slow = reference_logits(model, ids[0].tolist(), simulate([False] * 20, config))
    with torch.no_grad():
        assert off(slow, model(ids).logits[0]) < 1e-5  # fp32
