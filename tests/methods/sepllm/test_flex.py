"""FlexAttention over gathered keys: the output of the mask of all pairs, and a block mask that leaves blocks out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.flex import BLOCK, flex_attention, gather_blocks, obstacle
from tenon.methods.sepllm.mask import Whole, sep_mask
from tenon.methods.sepllm.model import apply_sepllm

UNCOMPILED = "ignore:flex_attention called without torch.compile"


def a_text(rows: int, seq: int, share: float, init: int, window: int, *, pads: int = 0, packed: bool = False) -> Whole:
    real = torch.ones(rows, seq, dtype=torch.bool)
    real[0, :pads] = False
    is_sep = (torch.rand(rows, seq) < share) & real
    document = (torch.rand(rows, seq) < 0.02).long().cumsum(1) if packed else None
    return Whole(is_sep, real if pads else None, init, window, document)


def dense(query: Tensor, key: Tensor, value: Tensor, whole: Whole) -> Tensor:
    mask = sep_mask(whole.is_sep, init=whole.init, window=whole.window, is_real=whole.is_real, document=whole.document)[
        :, None
    ]
    is_grouped = query.shape[1] != key.shape[1]
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=is_grouped)


TEXTS = {
    "plain": a_text(2, 300, 0.1, 3, 17),
    "window 1": a_text(1, 300, 0.2, 0, 1),
    "no separators": a_text(2, 400, 0.0, 0, 64),
    "all separators": a_text(1, 260, 1.0, 2, 5),
    "whole blocks": a_text(1, 512, 0.1, 3, 128),
    "left padding": a_text(2, 300, 0.1, 3, 40, pads=37),
    "documents": a_text(2, 400, 0.1, 2, 30, packed=True),
    "long": a_text(1, 1500, 0.115, 3, 64),
}


@pytest.mark.filterwarnings(UNCOMPILED)
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_7_06_output_equals_the_dense_mask(name: str, groups: int) -> None:
    whole = TEXTS[name]
    rows, seq = whole.is_sep.shape
    query, key, value = (torch.randn(rows, heads, seq, 32) for heads in (4, groups, groups))
    found = flex_attention(query, key, value, gather_blocks(whole), compiled=False)
    gap = (found - dense(query, key, value, whole)).abs()
    assert float((gap * whole.real[:, None, :, None]).max()) < 1e-5


@pytest.mark.parametrize("name", TEXTS)
def test_the_block_mask_lists_what_is_seen_and_calls_full_what_is(name: str) -> None:
    """Every seen pair lies in a listed block, and all pairs of a full block are seen: by the mask function itself."""
    whole = TEXTS[name]
    blocks = gather_blocks(whole).blocks
    queries, keys = blocks.seq_lengths
    rows = len(whole.is_sep)
    index = torch.arange(rows)[:, None, None], torch.arange(queries)[None, :, None], torch.arange(keys)[None, None]
    seen = blocks.mask_mod(index[0], torch.tensor(0), index[1], index[2])
    wide, tall = -(-queries // BLOCK) * BLOCK, -(-keys // BLOCK) * BLOCK
    seen = torch.nn.functional.pad(seen, (0, tall - keys))
    some, every = (
        torch.nn.functional.pad(seen, (0, 0, 0, wide - queries), value=value).view(
            rows, wide // BLOCK, BLOCK, tall // BLOCK, BLOCK
        )
        for value in (False, True)  # queries that do not exist ask for nothing, and mind nothing
    )
    full = listed(blocks.full_kv_num_blocks, blocks.full_kv_indices)
    touched = listed(blocks.kv_num_blocks, blocks.kv_indices) | full
    assert not (some.any(4).any(2) & ~touched).any()
    assert not (full & ~every.all(4).all(2)).any()


def listed(counts: Tensor, indices: Tensor) -> Tensor:
    """Give the blocks of a list as a table [rows, query blocks, key blocks]."""
    is_listed = torch.arange(indices.shape[-1]) < counts[..., None]
    return torch.zeros_like(is_listed).scatter(3, indices.long(), is_listed)[:, 0]


def test_blocks_left_of_the_band_are_skipped() -> None:
    """At a tenth of separators, a long text touches a quarter of the blocks of full attention, or less."""
    whole = a_text(1, 8192, 0.1, 3, 128)
    blocks = gather_blocks(whole).blocks
    touched = int(blocks.kv_num_blocks.sum() + blocks.full_kv_num_blocks.sum())
    causal = 64 * 65 // 2
    assert touched < causal / 4
    assert int(blocks.full_kv_num_blocks.sum()) > touched / 3  # the rest: two blocks of the band each, and one border


COMPILING = "ignore:.*torch.jit:DeprecationWarning"


@pytest.mark.slow  # the compiler takes a while
@pytest.mark.filterwarnings(COMPILING)
@pytest.mark.parametrize("name", ["plain", "left padding"])
def test_7_06_compiled(name: str) -> None:
    whole = TEXTS[name]
    rows, seq = whole.is_sep.shape
    query, key, value = torch.randn(3, rows, 2, seq, 32).unbind()
    if (reason := obstacle(query, 0.0)) is not None:
        pytest.skip(reason)
    found = flex_attention(query, key, value, gather_blocks(whole))
    gap = (found - dense(query, key, value, whole)).abs()
    assert float((gap * whole.real[:, None, :, None]).max()) < 1e-5


def test_what_it_cannot_do_goes_to_the_compact_kernel_with_a_message(tiny: Any, tokenizer: Any, text: Any) -> None:
    model, ids = tiny("llama"), text(40)
    with apply_sepllm(model, tokenizer, SepConfig(window=6)):
        expected = model(ids, use_cache=False).logits
    with (
        apply_sepllm(model, tokenizer, SepConfig(window=6, kernel="flex")),
        pytest.warns(UserWarning, match=r"no backward on a CPU. kernel='compact'"),
    ):
        assert torch.allclose(model(ids, use_cache=False).logits, expected, atol=1e-4)
    assert obstacle(torch.zeros(1), 0.1) == "it has no dropout"


@pytest.mark.slow
@pytest.mark.filterwarnings(COMPILING)
def test_a_model_computes_the_same_through_it(tiny: Any, tokenizer: Any, text: Any, off: Any) -> None:
    model, ids = tiny("llama"), text(300, rows=2)
    found = []
    for kernel in ("dense", "flex"):
        with apply_sepllm(model, tokenizer, SepConfig(window=6, kernel=kernel)), torch.no_grad():
            if kernel == "flex" and (reason := obstacle(torch.zeros(1), 0.0)) is not None:
                pytest.skip(reason)
            found.append(model(ids, use_cache=False).logits)
    assert off(found[1], found[0]) < 1e-5
