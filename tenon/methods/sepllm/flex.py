"""Attention of eq. (1) through FlexAttention: gathered kept keys beside all keys, and a mask of blocks.

The released code hands FlexAttention the mask over all pairs: since nearly every block of 128 keys holds a separator,
no block is ever left out. Here initial and separator keys are gathered first (section 2.10 of the specification), so
that what is far lies side by side and blocks left of the band are skipped. The block mask is computed from counts: no
pair of a query and a key is looked at for it, and it is made once per forward, not per layer.

FlexAttention has no dropout, a backward on GPUs only, and wants a compiler: `obstacle` says what is in the way.

Shape letters: B rows, S tokens, C gathered keys, filled up to whole blocks.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tenon.methods.sepllm.mask import Whole

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

__all__ = ["Gathered", "flex_attention", "gather_blocks", "obstacle"]

BLOCK = 128
"""Queries and keys per block; what FlexAttention's kernels are made for."""


@dataclass(frozen=True)
class Gathered:
    """Where the kept keys of a text are, and which blocks a query sees; the same for all layers of a rule."""

    order: Int[Tensor, "batch kept"]
    """Column of every gathered key, in order; what fills up the last block points anywhere."""
    blocks: BlockMask
    """Over queries, and gathered keys followed by all keys."""


def gather_blocks(whole: Whole) -> Gathered:
    """Plan the attention of a text: one sort, a few counts, and comparisons of blocks."""
    from torch.nn.attention.flex_attention import BlockMask

    kept, real, document = whole.kept, whole.real, whole.document
    batch, seq = kept.shape
    before = torch.nn.functional.pad(kept.cumsum(1), (1, 0))  # kept tokens left of each column [B, S + 1]
    most = -(-int(before[:, -1].max()) // BLOCK) * BLOCK
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    order = torch.nn.functional.pad(order, (0, most - order.shape[1]))
    filled = torch.arange(most, device=kept.device) < before[:, -1:]
    column = torch.where(filled, order, seq + whole.window)  # never `window` or more left of a query

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Say whether a query sees a gathered key (left of its band) or a key of its band."""
        place, near = key.clamp(max=max(most - 1, 0)), (key - most).clamp(min=0)
        is_band = (query - whole.window < near) & (near <= query) & (real[row, near] | (near == query))
        if most == 0:
            seen, where = is_band, near
        else:
            seen = torch.where(key < most, column[row, place] <= query - whole.window, is_band)
            where = torch.where(key < most, order[row, place], near)
        return seen if document is None else seen & (document[row, query] == document[row, where])

    first = torch.arange(0, seq, BLOCK, device=kept.device)
    last = (first + BLOCK - 1).clamp(max=seq - 1)
    some_far, all_far = (
        before[:, (edge - whole.window + 1).clamp(min=0)] for edge in (last, first)
    )  # kept keys left of the band of a block's last and of its first query [B, blocks]
    far = torch.arange(most // BLOCK, device=kept.device)
    touched_far = far * BLOCK < some_far[:, :, None]
    whole_far = (far + 1) * BLOCK <= all_far[:, :, None]
    touched_band = (first[None] <= last[:, None]) & (last[None] > (first - whole.window)[:, None])
    whole_band = (last[None] <= first[:, None]) & (first[None] > (last - whole.window)[:, None])
    whole_band = whole_band & (last - first == BLOCK - 1)[None]
    is_clean = torch.stack([part.all(1) for part in real.split(BLOCK, 1)], 1)[:, None]
    touched = torch.cat([touched_far, touched_band.expand(batch, -1, -1)], 2)
    full = torch.cat([whole_far, whole_band & is_clean], 2)
    if document is not None:  # a boundary may run through any block
        full = torch.zeros_like(full)
    blocks = BlockMask.from_kv_blocks(
        *_listed(touched & ~full), *_listed(full), BLOCK_SIZE=BLOCK, mask_mod=sees, seq_lengths=(seq, most + seq)
    )
    return Gathered(order, blocks)


def flex_attention(
    query: Float[Tensor, "batch heads seq dim"],
    key: Float[Tensor, "batch groups seq dim"],
    value: Float[Tensor, "batch groups seq dim"],
    gathered: Gathered,
    *,
    scaling: float | None = None,
    compiled: bool = True,
) -> Float[Tensor, "batch heads seq dim"]:
    """Attend from every token to the initial ones, the separators before it, and its nearest ones.

    Args:
        query: Rotated queries.
        key: Rotated keys; fewer heads than queries have is grouped-query attention.
        value: Values.
        gathered: From `gather_blocks`.
        scaling: Factor of the scores; None is `dim ** -0.5`.
        compiled: Without a compiler FlexAttention computes all pairs: for tests.

    """
    index = gathered.order[:, None, :, None].expand(-1, key.shape[1], -1, key.shape[3])
    keys, values = (torch.cat([states.gather(2, index), states], 2) for states in (key, value))
    is_grouped = query.shape[1] != key.shape[1]
    return _kernel(compiled)(query, keys, values, block_mask=gathered.blocks, scale=scaling, enable_gqa=is_grouped)


def obstacle(query: Tensor, dropout: float) -> str | None:
    """Say why FlexAttention cannot compute this; None where it can."""
    if dropout:
        return "it has no dropout"
    if query.device.type != "cpu":
        return None
    if torch.is_grad_enabled() and query.requires_grad:
        return "it has no backward on a CPU"
    compilers = (os.environ.get("CXX", "g++"), "c++", "clang++")
    return None if any(map(shutil.which, compilers)) else "there is no C++ compiler"


def _listed(blocks: Bool[Tensor, "batch queries keys"]) -> tuple[Tensor, Tensor]:
    """Give the number of blocks of each block of queries, and their indices, those first [B, 1, ...]."""
    order = (~blocks).to(torch.uint8).argsort(dim=2, stable=True)
    return blocks.sum(2, dtype=torch.int32)[:, None], order.to(torch.int32)[:, None].contiguous()


@functools.cache
def _kernel(compiled: bool) -> Callable[..., Any]:
    from torch.nn.attention import flex_attention as flex

    kernel: Callable[..., Any] = flex.flex_attention
    return torch.compile(kernel, dynamic=False) if compiled else kernel
