"""Attention of eq. (1) that computes only what is seen: gathered kept keys, and a band of nearest ones.

Queries go in blocks. The keys of a block are the initial and separator keys left of its band, gathered side by side,
and the band itself, from `window - 1` columns before the block to its end. Kept keys left of the band are seen by
all queries of the block, so only the band needs a mask, and memory grows with block, window and kept keys,
never with the square of the text. One softmax sees both parts, so nothing is merged; gradients are autograd's.

Useful pairs per query are about `window + rho * S / 2` against `S / 2` of full causal attention (section 8 of the
specification): for long texts the gain tends to `1 / rho`.

Shape letters: B rows, H query heads, G key heads, S tokens, D head size, C gathered keys.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tenon.methods.sepllm.mask import Whole

__all__ = ["compact_attention"]


def compact_attention(
    query: Float[Tensor, "batch heads seq dim"],
    key: Float[Tensor, "batch groups seq dim"],
    value: Float[Tensor, "batch groups seq dim"],
    whole: Whole,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    block: int | None = None,
) -> Float[Tensor, "batch heads seq dim"]:
    """Attend from every token to the initial ones, the separators before it, and its nearest ones.

    Equals scaled dot-product attention under `sep_mask` of the same text, but for the output of pads, which nobody
    reads.

    Args:
        query: Rotated queries.
        key: Rotated keys; fewer heads than queries have is grouped-query attention.
        value: Values.
        whole: The mask, as a rule.
        scaling: Factor of the scores; None is `dim ** -0.5`.
        dropout: Share of attention weights dropped.
        block: Queries per block; None chooses by window and text.
    """
    seq, window, kept = query.shape[2], whole.window, whole.kept
    order, before = _gathered(kept)
    if block is None:  # few enough that the backward of the slices, a text's length each, stays small
        block = max(64, min(512, max(window, seq // 32)))
    kept_key, kept_value = (_take(states, order) for states in (key, value))
    outputs = []
    for start in range(0, seq, block):
        stop = min(start + block, seq)
        left = max(0, start - window + 1)
        counts = before[:, left]
        far = int(counts.max())
        seen = _far(whole, order[:, :far], counts, start, stop)
        mask = torch.cat([seen, _band(whole, kept, start, stop, left)], 2)[:, None]
        outputs.append(
            torch.nn.functional.scaled_dot_product_attention(
                query[:, :, start:stop],
                torch.cat([kept_key[:, :, :far], key[:, :, left:stop]], 2),
                torch.cat([kept_value[:, :, :far], value[:, :, left:stop]], 2),
                attn_mask=mask,
                dropout_p=dropout,
                scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        )
    return torch.cat(outputs, 2)


def _gathered(kept: Bool[Tensor, "batch seq"]) -> tuple[Tensor, Tensor]:
    """Give the columns of kept tokens, in order, first in each row [B, C]; and how many stand before each column."""
    before = torch.nn.functional.pad(kept.cumsum(1), (1, 0))
    most = int(before[:, -1].max())
    return (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, :most], before


def _take(states: Tensor, order: Tensor) -> Tensor:
    index = order[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3])
    return states.gather(2, index)


def _far(whole: Whole, order: Tensor, counts: Tensor, start: int, stop: int) -> Bool[Tensor, "batch queries keys"]:
    """Say which gathered keys left of the band each query of a block may see: those of its row, and of its document."""
    seen = (torch.arange(order.shape[1], device=order.device) < counts[:, None])[:, None]
    if whole.document is None:
        return seen.expand(-1, stop - start, -1)
    return seen & (whole.document.gather(1, order)[:, None] == whole.document[:, start:stop, None])


def _band(whole: Whole, kept: Tensor, start: int, stop: int, left: int) -> Bool[Tensor, "batch queries keys"]:
    """Say which of the columns `left` to `stop` each query of a block may see."""
    real = whole.real
    rows = torch.arange(start, stop, device=kept.device)[:, None]
    columns = torch.arange(left, stop, device=kept.device)[None]
    causal, near = columns <= rows, rows - columns < whole.window
    band = causal & (near | kept[:, None, left:stop]) & real[:, None, left:stop]
    if whole.document is not None:
        band &= whole.document[:, None, left:stop] == whole.document[:, start:stop, None]
    # A pad would see nothing, and the softmax of nothing is NaN: let it see itself; nobody reads its output.
    return band | ((columns == rows) & ~real[:, start:stop, None])
