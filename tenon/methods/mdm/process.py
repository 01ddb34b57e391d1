"""The forward process: how much of a sequence is masked, and which of its tokens (section 2.3 of the specification).

Absorbing state, linear schedule: at time `t` in (0, 1] every maskable token is masked by itself with probability `t`.
With T steps, `t` is one of 1/T, 2/T ... 1, each as probable. Prompts are never masked.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tenon.methods.mdm.config import MDMConfig

__all__ = ["draw_masked", "draw_time", "masked_input"]


def draw_time(
    rows: int, config: MDMConfig, *, generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Float[Tensor, " rows"]:
    """Draw the time of every row.

    Args:
        rows: How many.
        config: Gives the number of steps, or continuous time.
        generator: Source of randomness; none is the global one.
        device: Where they are drawn.
    """
    if config.steps is None:
        uniform = torch.rand(rows, generator=generator, device=device)
        return config.time_eps + (1 - config.time_eps) * (1 - uniform)
    index = torch.randint(config.steps, (rows,), generator=generator, device=device)
    return (index + 1) / config.steps


def draw_masked(
    is_maskable: Bool[Tensor, "rows seq"], time: Float[Tensor, " rows"], *, generator: torch.Generator | None = None
) -> Bool[Tensor, "rows seq"]:
    """Draw which tokens are masked: each maskable one with its row's probability; all of them at time 1."""
    uniform = torch.rand(is_maskable.shape, generator=generator, device=is_maskable.device)
    return is_maskable & (uniform < time[:, None])


def masked_input(
    ids: Int[Tensor, "rows seq"], is_masked: Bool[Tensor, "rows seq"], mask_id: int
) -> Int[Tensor, "rows seq"]:
    """Put MASK in the place of the masked tokens."""
    return ids.masked_fill(is_masked, mask_id)
