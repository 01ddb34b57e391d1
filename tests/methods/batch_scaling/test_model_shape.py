"""Counts in closed form against models that are laid out (7.16), and FLOPs by every convention."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tenon.core.errors import ConfigError, DataError, UnsupportedModelError
from tenon.methods.batch_scaling.plans.memory import SHARDS, estimate_memory
from tenon.methods.batch_scaling.plans.model_shape import ModelShape, gpt3_ladder, suggest_shape
from tenon.methods.batch_scaling.plans.shape_reading import shape_of

SIZES = {"vocab_size": 193, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
USUAL = {
    "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, **SIZES,
}  # fmt: skip
MHA = {key: value for key, value in USUAL.items() if key != "num_key_value_heads"}
GPT2 = {"n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 64, **SIZES}
DENSE: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", USUAL),
    "llama, biases": ("llama", {**USUAL, "attention_bias": True, "mlp_bias": True}),
    "llama, wide heads": ("llama", {**USUAL, "head_dim": 20}),
    "mistral": ("mistral", USUAL),
    "qwen2": ("qwen2", USUAL),
    "qwen3": ("qwen3", {**USUAL, "head_dim": 16}),
    "gemma": ("gemma", {**USUAL, "head_dim": 16}),
    "gemma2": ("gemma2", {**USUAL, "head_dim": 16}),
    "gpt2": ("gpt2", GPT2),
    "gpt2, own MLP": ("gpt2", {**GPT2, "n_inner": 100}),
    "gpt_neox": ("gpt_neox", MHA),
    "gpt_neox, no bias": ("gpt_neox", {**MHA, "attention_bias": False}),
    "phi": ("phi", USUAL),
}
MOE: dict[str, tuple[str, dict[str, Any]]] = {
    "mixtral": ("mixtral", {**USUAL, "num_local_experts": 6, "num_experts_per_tok": 2}),
    "qwen2_moe": (
        "qwen2_moe",
        {**USUAL, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
         "shared_expert_intermediate_size": 40},
    ),
    "qwen3_moe": (
        "qwen3_moe",
        {**USUAL, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "head_dim": 16},
    ),
    "qwen3_moe, some dense": (
        "qwen3_moe",
        {**USUAL, "num_hidden_layers": 5, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
         "head_dim": 16, "decoder_sparse_step": 2, "mlp_only_layers": [3]},
    ),
}  # fmt: skip


def laid_out(kind: str, fields: dict[str, Any], **more: Any) -> Any:
    """Give a model without memory for its weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **fields, **more))


def split(model: Any) -> tuple[int, int, int]:
    """Count embedding (positions included), blocks, head: every parameter once, a tied one as embedding."""
    counts = [0, 0, 0]
    for name, parameter in model.named_parameters():
        is_embedding = any(word in name for word in ("embed_tokens", "embed_in", "wte", "wpe"))
        is_head = name.startswith(("lm_head", "embed_out"))
        counts[0 if is_embedding else 2 if is_head else 1] += parameter.numel()
    return counts[0], counts[1], counts[2]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("case", [*DENSE, *MOE])
def test_counts_are_those_of_the_model_7_16(case: str, tied: bool) -> None:
    kind, fields = (DENSE | MOE)[case]
    model = laid_out(kind, fields, tie_word_embeddings=tied)
    shape = shape_of(model.config)
    assert (shape.embedding, shape.non_embedding, shape.head) == split(model)
    assert shape.total == sum(one.numel() for one in model.parameters())
    assert shape.with_head == shape.non_embedding + 193 * 48  # the head costs FLOPs, tied or not
    assert shape.other == 0


@pytest.mark.parametrize("case", MOE)
def test_a_mixture_has_fewer_active_parameters_7_16(case: str) -> None:
    kind, fields = MOE[case]
    model = laid_out(kind, fields)
    shape = shape_of(model)
    experts = sum(one.numel() for name, one in model.named_parameters() if ".experts." in name)
    assert experts > 0
    assert shape.active < shape.total
    assert shape.total - shape.active == experts * (6 - 2) // 6
    assert shape.count("total") == shape.active


def test_a_dense_model_is_active_as_a_whole() -> None:
    shape = shape_of(laid_out("llama", USUAL))
    assert shape.active == shape.total


@pytest.mark.parametrize("kind", ["stablelm", "olmo2"])
def test_an_unknown_architecture_is_laid_out_and_counted(kind: str) -> None:
    model = laid_out(kind, USUAL)
    shape = shape_of(model.config)
    assert shape.total == sum(one.numel() for one in model.parameters())
    assert (shape.embedding, shape.non_embedding, shape.head) == split(model)


def test_an_unknown_mixture_of_experts_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="active_experts"):
        shape_of({"model_type": "deepseek_v3", "n_routed_experts": 8, "hidden_size": 64})


def test_the_saved_config_gives_what_the_live_one_does(tmp_path: Path) -> None:
    for case, (kind, fields) in (DENSE | MOE).items():  # save_pretrained leaves out what is a default
        folder = tmp_path / case
        config = laid_out(kind, fields).config
        config.save_pretrained(folder)
        for source in (folder, str(folder), folder / "config.json", json.loads((folder / "config.json").read_text())):
            found, live = shape_of(source), shape_of(config)
            assert (found.total, found.active, found.with_head) == (live.total, live.active, live.with_head), case


def test_a_config_that_leaves_out_defaults() -> None:
    told = {"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
            "num_attention_heads": 32, "vocab_size": 32000}  # fmt: skip
    assert shape_of(told).total == 7_241_732_096  # Mistral 7B, whose key/value heads are the default 8


def test_published_counts() -> None:
    llama = {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
             "num_attention_heads": 32, "vocab_size": 32000}  # fmt: skip
    assert shape_of(llama).total == 6_738_415_616  # Llama 2 7B
    rungs = {rung.name: rung.shape for rung in gpt3_ladder()}
    assert rungs["125M"].total == 125_226_240  # GPT-3's 125M with 2,048 positions
    for name, shape in rungs.items():
        assert shape.total == pytest.approx(float(name[:-1]) * (1e6 if name[-1] == "M" else 1e9), rel=0.03)
        assert "[inferred]" in shape.name


def test_a_nano_model_is_read_without_torch() -> None:
    code = (
        "import sys; from tenon.methods.batch_scaling.plans.shape_reading import shape_of; s = shape_of('nano-lm');"
        "print(s.total, 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert told[1:] == ["False", "False"]
    from tenon.core.models.loading import load_model

    assert int(told[0]) == sum(one.numel() for one in load_model("nano-lm", device="cpu").parameters())


def test_flops_by_every_convention() -> None:
    shape = ModelShape(hidden=2048, layers=24, heads=16, ffn=8192, vocab=50257, gated=False)
    blocks = 24 * (12 * 2048**2 + 2 * 2048) + 2048  # 12 d^2, two norms, and the last one
    assert shape.non_embedding == blocks
    assert shape.flops_per_token("6n", 2048) == 6 * blocks
    assert shape.flops_per_token("6n_head", 2048) == 6 * (blocks + 50257 * 2048)
    assert shape.flops_per_token("attn", 2048) == 6 * (blocks + 50257 * 2048) + 6 * 2048 * 2048 * 24
    assert shape.flops_per_token("deepseek", 2048) == 72 * 24 * 2048**2 + 12 * 24 * 2048 * 2048
    assert shape.flops_per_token("steplaw", 2048) == 6 * (4 * 2048 + 3 * 8192 + 2 * 2048) * 24 * 2048
    with pytest.raises(ConfigError, match="6n, 6n_head"):
        shape.flops_per_token("six", 2048)  # type: ignore[arg-type]


def test_flops_of_attention_are_those_that_the_package_counts_elsewhere() -> None:
    from tenon.core.models.counting import flops_per_token

    config = laid_out("llama", USUAL).config
    shape, context = shape_of(config), 64
    forward = flops_per_token(config, context)  # matrices only, and (context + 1) / 2 keys
    norms = (2 * 3 + 1) * 48
    half_key = 6 * 48 * 3  # 6 seq d counts seq / 2 keys, the other (seq + 1) / 2
    assert shape.flops_per_token("attn", context) - 6 * norms == 3 * forward - half_key


def test_a_mixture_costs_what_is_active() -> None:
    shape = shape_of({"model_type": "mixtral", **USUAL, "num_local_experts": 6, "num_experts_per_tok": 2})
    assert shape.flops_per_token("6n", 64) == 6 * shape.active_non_embedding < 6 * shape.non_embedding
    with pytest.raises(ConfigError, match="dense models only"):
        shape.flops_per_token("deepseek", 64)


@pytest.mark.parametrize("params", [2e7, 1.25e8, 1.3e9, 7e9, 7e10, 4e11])
@pytest.mark.parametrize("kind", ["total", "non_embedding"])
def test_a_suggested_shape_is_near_and_usual(params: float, kind: Any) -> None:
    shape = suggest_shape(params, kind=kind)
    assert shape.count(kind) == pytest.approx(params, rel=0.1)
    assert 32 <= shape.hidden / shape.layers <= 256
    with pytest.raises(ConfigError, match="smaller vocabulary"):
        suggest_shape(1e5)


def test_what_is_no_model_is_told() -> None:
    with pytest.raises(DataError, match="ModelShape"):
        shape_of(object())
    with pytest.raises(DataError, match="num_hidden_layers"):
        shape_of({"model_type": "llama", "hidden_size": 8})
    with pytest.raises(DataError):
        shape_of("no-such-folder/at-all")


def test_memory_adds_up_and_shards() -> None:
    shape = ModelShape(hidden=4096, layers=32, heads=32, ffn=11008, vocab=32000)
    totals = []
    for shard in SHARDS:
        found = estimate_memory(shape, per_device=1, seq_len=2048, world_size=8, shard=shard)
        totals.append(found.weights + found.gradients + found.optimizer)
        assert found.total == pytest.approx(totals[-1] + found.activations)
    n = shape.total  # 16 bytes per parameter, of which 0, 8, 12, 16 are spread over 8
    assert totals == pytest.approx([16 * n, 9 * n, 5.5 * n, 2 * n])
    one, two = (estimate_memory(shape, per_device=b, seq_len=2048).activations for b in (1, 2))
    assert two == 2 * one
    assert estimate_memory(shape, per_device=1, seq_len=2048, recompute=True).activations < 0.3 * one


def test_activations_are_near_the_published_formula() -> None:
    shape = ModelShape(hidden=4096, layers=32, heads=32, ffn=16384, vocab=1, gated=False)
    found = estimate_memory(shape, per_device=1, seq_len=2048).activations
    published = 34 * 2048 * 4096 * 32  # Korthikanti et al. 2022, table 2, without the scores; 2 of 34 is dropout
    assert found == pytest.approx(published, rel=0.1)
