"""Random numbers that belong to a row, a step and a place: the same on every device, whatever else is in the batch.

A generator gives its numbers in turn, so that a row's would depend on its neighbours. Here every number is a hash of
its coordinates (the finaliser of SplitMix64, Steele et al. 2014), computed for all places at once.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["gumbel", "streams", "uniform"]


def streams(keys: Int[Tensor, " rows"], seed: int, steps: int) -> Int[Tensor, "steps rows"]:
    """Name the draws of every step and row, once for all of an answer.

    Args:
        keys: Name the rows; equal keys get equal numbers.
        seed: Seed of all of them.
        steps: How many draws.
    """
    rows = _mix(keys + _mix(torch.tensor(seed, device=keys.device)))
    return _mix(rows + torch.arange(steps, device=keys.device)[:, None])


def uniform(stream: Int[Tensor, " rows"], seq: int) -> Float[Tensor, "rows seq"]:
    """Give numbers between 0 and 1, both excluded, for every place of every row.

    Args:
        stream: One step of `streams`.
        seq: Places.
    """
    mixed = _mix(stream[:, None] + torch.arange(seq, device=stream.device))
    # 23 bits and a half: what float32 holds exactly, so that none is rounded to 1.
    return (((mixed >> 41) & ((1 << 23) - 1)).float() + 0.5) * 2.0**-23


def gumbel(stream: Int[Tensor, " rows"], seq: int) -> Float[Tensor, "rows seq"]:
    """Give Gumbel(0, 1) noise for every place of every row; arguments as in `uniform`."""
    return -(-uniform(stream, seq).log()).log()


def _mix(value: Tensor) -> Tensor:
    """Scramble 64-bit integers; products wrap around, and shifts are made logical by their masks."""
    value = value + _signed(0x9E3779B97F4A7C15)
    value = (value ^ ((value >> 30) & ((1 << 34) - 1))) * _signed(0xBF58476D1CE4E5B9)
    value = (value ^ ((value >> 27) & ((1 << 37) - 1))) * _signed(0x94D049BB133111EB)
    return value ^ ((value >> 31) & ((1 << 33) - 1))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
