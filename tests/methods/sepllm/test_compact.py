"""The compact kernel against the mask of all pairs (property 7.6): the same output, the same gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tenon.core.models.tiny import tiny_model
from tenon.methods.sepllm.compact import compact_attention
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.mask import Whole, sep_mask
from tenon.methods.sepllm.model import apply_sepllm


def padding(kind: str, rows: int, seq: int) -> Tensor | None:
    if kind == "none":
        return None
    real = torch.ones(rows, seq, dtype=torch.bool)
    for row in range(rows):
        count = 7 * row  # ragged: the first row has none
        if count:
            real[row, :count] = kind != "left"
            real[row, seq - count :] = kind != "right"
    return real


def documents(rows: int, seq: int) -> Tensor:
    """Number a few documents per row, of lengths that differ, one of them of a single token."""
    starts = torch.zeros(rows, seq, dtype=torch.long)
    for row in range(rows):
        starts[row, [20 + row, 21 + row, seq // 2 - 3 * row]] = 1
    return starts.cumsum(1)


CASES = [
    # seq, window, separators, heads, key heads, head size, pads
    (130, 7, 0.1, 4, 4, 32, "none"),
    (130, 7, 0.1, 4, 2, 64, "left"),
    (130, 7, 0.1, 4, 1, 80, "right"),
    (300, 1, 0.2, 4, 2, 32, "left"),
    (300, 64, 0.0, 2, 2, 128, "none"),
    (90, 5, 1.0, 2, 1, 32, "left"),
    (50, 100, 0.1, 2, 2, 32, "left"),
    (65, 64, 0.1, 2, 2, 32, "none"),
]


@pytest.mark.parametrize(("seq", "window", "share", "heads", "groups", "dim", "pads"), CASES)
@pytest.mark.parametrize("init", [0, 3])
def test_7_06_output_and_gradients_equal_the_dense_mask(
    seq: int, window: int, share: float, heads: int, groups: int, dim: int, pads: str, init: int
) -> None:
    query = torch.randn(3, heads, seq, dim, requires_grad=True)
    key, value = (torch.randn(3, groups, seq, dim, requires_grad=True) for _ in range(2))
    is_sep, is_real = torch.rand(3, seq) < share, padding(pads, 3, seq)
    if is_real is not None:
        is_sep &= is_real
    mask = sep_mask(is_sep, init=init, window=window, is_real=is_real)[:, None]
    dense = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, enable_gqa=heads != groups
    )
    compact = compact_attention(query, key, value, Whole(is_sep, is_real, init, window))
    weight = torch.randn_like(dense)
    if is_real is not None:  # nobody reads the output of a pad
        weight = weight * is_real[:, None, :, None]
    assert ((compact - dense) * (weight != 0)).abs().max() < 1e-5
    inputs = (query, key, value)
    for ours, theirs in zip(
        torch.autograd.grad((compact * weight).sum(), inputs),
        torch.autograd.grad((dense * weight).sum(), inputs),
        strict=True,
    ):
        assert (ours - theirs).abs().max() < 1e-4


def test_7_06_in_bfloat16() -> None:
    query, key, value = torch.randn(3, 1, 2, 200, 32, dtype=torch.bfloat16).unbind()
    is_sep = torch.rand(1, 200) < 0.1
    mask = sep_mask(is_sep, init=3, window=16)[:, None]
    dense = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    compact = compact_attention(query, key, value, Whole(is_sep, None, 3, 16))
    assert (compact.float() - dense.float()).abs().max() < 2e-2


def test_packed_documents_equal_the_dense_mask() -> None:
    query, key, value = (torch.randn(2, 2, 150, 16, requires_grad=True) for _ in range(3))
    is_sep, document = torch.rand(2, 150) < 0.1, documents(2, 150)
    mask = sep_mask(is_sep, init=3, window=9, document=document)[:, None]
    dense = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    compact = compact_attention(query, key, value, Whole(is_sep, None, 3, 9, document), block=40)
    assert (compact - dense).abs().max() < 1e-5
    weight = torch.randn_like(dense)
    for ours, theirs in zip(
        torch.autograd.grad((compact * weight).sum(), (query, key, value)),
        torch.autograd.grad((dense * weight).sum(), (query, key, value)),
        strict=True,
    ):
        assert (ours - theirs).abs().max() < 1e-4


@pytest.mark.parametrize("block", [1, 8, 64, 1000])
def test_blocks_of_any_size_give_the_same(block: int) -> None:
    query, key, value = torch.randn(3, 1, 2, 100, 16).unbind()
    is_sep = torch.rand(1, 100) < 0.1
    whole = Whole(is_sep, None, 2, 9)
    expected = compact_attention(query, key, value, whole)
    assert (compact_attention(query, key, value, whole, block=block) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("arch", ["llama", "qwen3", "gpt_neox"])
@pytest.mark.parametrize(
    "config",
    [
        SepConfig(window=6),
        SepConfig(window=6, full_layers="head"),
        SepConfig(window=6, init=2, sep_capacity=4, local=6, capacity=20),
    ],
)
def test_a_model_computes_the_same_with_either_kernel(
    arch: str, config: SepConfig, tiny: Any, tokenizer: Any, text: Any, off: Any
) -> None:
    model, ids = tiny(arch), text(200, rows=2)  # four blocks of queries: the last three gather
    real = torch.ones_like(ids)
    real[0, :9] = 0
    found = []
    for kernel in ("dense", "compact", "auto"):
        model.zero_grad()
        with apply_sepllm(model, tokenizer, replace(config, kernel=kernel)):
            output = model(ids, attention_mask=real, use_cache=False).logits
            (output.square() * real[..., None]).sum().backward()
        grads = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
        found.append((output.detach()[real.bool()], grads))
    model.zero_grad()
    for output, grads in found[1:]:
        assert off(output, found[0][0]) < 1e-5
        assert off(grads, found[0][1]) < 1e-4
    assert torch.equal(found[1][0], found[2][0])  # two hundred tokens are many windows of six


def test_7_06_dropout_is_drawn_in_training_alone(tokenizer: Any, text: Any, off: Any) -> None:
    model, ids = tiny_model("llama", attention_dropout=0.3), text(200)

    @torch.no_grad()
    def forward(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return model(ids, use_cache=False).logits

    with apply_sepllm(model, tokenizer, SepConfig(window=6, kernel="compact")):
        plain, again = forward(0), forward(1)
        model.train()
        one, other, same = forward(0), forward(1), forward(0)
    assert torch.equal(plain, again)
    assert torch.equal(one, same)
    for found, expected in [(one, plain), (other, plain), (one, other)]:
        assert off(found, expected) > 1e-2
