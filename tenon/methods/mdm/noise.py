"""Random numbers that belong to a row, a step and a place: the same on every device, whatever else is in the batch.

A generator gives its numbers in turn, so that a row's would depend on its neighbours. Here every number is a hash of
its coordinates (the finaliser of SplitMix64, Steele et al. 2014), computed for all places at once.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["gumbel", "uniform"]


def uniform(keys: Int[Tensor, " rows"], step: int, seq: int) -> Float[Tensor, "rows seq"]:
    """Give numbers between 0 and 1, both excluded, for every place of every row.

    Args:
        keys: Name the rows; equal keys get equal numbers.
        step: Names the draw.
        seq: Places.
    """
    places = torch.arange(seq, device=keys.device)
    mixed = _mix(_mix(_mix(keys)[:, None] + step) + places)
    return (((mixed >> 11) & ((1 << 53) - 1)).double() + 0.5).mul(2.0**-53).float().clamp(1e-7, 1 - 1e-7)


def gumbel(keys: Int[Tensor, " rows"], step: int, seq: int) -> Float[Tensor, "rows seq"]:
    """Give Gumbel(0, 1) noise for every place of every row; arguments as in `uniform`."""
    return -(-uniform(keys, step, seq).log()).log()


def _mix(value: Tensor) -> Tensor:
    """Scramble 64-bit integers; products wrap around, and shifts are made logical by their masks."""
    value = value + _signed(0x9E3779B97F4A7C15)
    value = (value ^ ((value >> 30) & ((1 << 34) - 1))) * _signed(0xBF58476D1CE4E5B9)
    value = (value ^ ((value >> 27) & ((1 << 37) - 1))) * _signed(0x94D049BB133111EB)
    return value ^ ((value >> 31) & ((1 << 33) - 1))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
