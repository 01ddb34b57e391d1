"""Equation 1 (properties 7.5, 7.7 and the masks behind 7.3 and 7.4)."""

from __future__ import annotations

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped

from tenon.methods.sepllm import mask as module
from tenon.methods.sepllm.compact import compact_attention
from tenon.methods.sepllm.flex import flex_attention, gather_blocks
from tenon.methods.sepllm.kernels import _additive
from tenon.methods.sepllm.reference import mask_by_loops

# With the shapes in the signatures executed.
ranks, sep_mask, visible = (
    jaxtyped(function, typechecker=beartype) for function in (module.ranks, module.sep_mask, module.visible)
)

WINDOW = 5


@pytest.mark.parametrize("seq", [1, 2, WINDOW - 1, WINDOW, WINDOW + 1, 127, 128, 129, 513])
@pytest.mark.parametrize("init", [0, 3])
def test_7_05_mask_is_the_definition(seq: int, init: int) -> None:
    is_sep = torch.rand(1, seq) < 0.15
    loops = mask_by_loops(is_sep[0].tolist(), init=init, window=WINDOW)
    assert torch.equal(sep_mask(is_sep, init=init, window=WINDOW)[0], torch.tensor(loops))


def test_packed_documents_see_themselves_alone() -> None:
    is_sep, document = torch.rand(1, 60) < 0.15, torch.tensor([[0] * 20 + [1] + [2] * 39])
    loops = mask_by_loops(is_sep[0].tolist(), init=3, window=WINDOW, document=document[0].tolist())
    found = sep_mask(is_sep, init=3, window=WINDOW, document=document)
    assert torch.equal(found[0], torch.tensor(loops))
    alone = sep_mask(is_sep[:, 21:], init=3, window=WINDOW)
    assert torch.equal(found[:, 21:, 21:], alone)


def test_a_small_mask_written_out() -> None:
    is_sep = torch.tensor([[False, False, True, False, False, False]])
    expected = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],  # the separator sees its own segment
        [1, 0, 1, 1, 0, 0],  # init, separator, and a window of two
        [1, 0, 1, 1, 1, 0],
        [1, 0, 1, 0, 1, 1],
    ]
    assert sep_mask(is_sep, init=1, window=2)[0].int().tolist() == expected


def test_left_padding_counts_real_tokens_only() -> None:
    is_sep = torch.rand(1, 20) < 0.2
    padded = torch.cat([torch.zeros(1, 7, dtype=torch.bool), is_sep], 1)
    is_real = torch.tensor([[False] * 7 + [True] * 20])
    mask = sep_mask(padded, init=3, window=4, is_real=is_real)[0]
    assert torch.equal(mask[7:, 7:], sep_mask(is_sep, init=3, window=4)[0])
    assert not mask[7:, :7].any()
    assert torch.equal(mask[:7, :7], torch.eye(7, dtype=torch.bool))  # a pad sees itself: no empty row


def test_stored_keys_in_any_order() -> None:
    is_sep = torch.rand(1, 30) < 0.2
    position = torch.arange(30)[None]
    order = torch.randperm(30)
    shuffled = visible(position, position[:, order], is_sep[:, order], init=2, window=6)
    assert torch.equal(shuffled, sep_mask(is_sep, init=2, window=6)[:, :, order])


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("form", ["boolean", "additive", "compact", "flex"])
@pytest.mark.parametrize("token", [2, 10])  # the second row gathers more: the first one's list is filled up with 2
def test_7_07_masked_keys_are_truly_unused(form: str, token: int) -> None:
    query, key, value = torch.randn(3, 2, 2, 24, 8).unbind()
    is_sep = torch.zeros(2, 24, dtype=torch.bool)
    is_sep[1, 3:6] = True
    seen, whole = sep_mask(is_sep, init=2, window=4), module.Whole(is_sep, None, 2, 4)
    mask = seen[:, None] if form == "boolean" else _additive(seen, query.dtype, query.device)  # what layers are given

    def attend(key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        if form == "compact":
            return compact_attention(query, key, value, whole, block=8)
        if form == "flex":
            return flex_attention(query, key, value, gather_blocks(whole), compiled=False)
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    before = attend(key, value)
    key, value = key.clone(), value.clone()
    key[:, :, token], value[:, :, token] = 1e4, 1e4
    after = attend(key, value)
    sees = seen[0, :, token]
    assert torch.equal(before[:, :, ~sees], after[:, :, ~sees])
    assert not torch.equal(before[:, :, sees], after[:, :, sees])
    assert sees.tolist() == [token <= i <= token + 3 for i in range(24)]


def test_9_window_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="window is 0; it must be 1 or more"):
        sep_mask(torch.zeros(1, 3, dtype=torch.bool), init=1, window=0)


def test_ranks() -> None:
    assert ranks(torch.tensor([[False, True, False, True]])).tolist() == [[-1, 0, -1, 1]]
