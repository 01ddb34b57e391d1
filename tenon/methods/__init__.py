"""The methods, one folder each. `METHODS` is the only central edit that a new method needs."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["METHODS", "Entry"]


class Entry(NamedTuple):
    """Where a method lives and what it is for; known without importing it."""

    path: str
    """Import path of the method's folder."""
    help: str
    """One line for `tenon --help` and the tour."""


METHODS: dict[str, Entry] = {
    "batch_scaling": Entry(
        "tenon.methods.batch_scaling", "Batch size, learning rate, model and tokens for a budget: scaling laws."
    ),
    "sepllm": Entry("tenon.methods.sepllm", "Keep separators: half the KV cache or less, endless streams (SepLLM)."),
    "mdm": Entry("tenon.methods.mdm", "Models that plan: masked diffusion, easy tokens first, and its puzzles (MDM)."),
    "rise": Entry("tenon.methods.rise", "Subtle errors injected into right steps, and DPO on the pairs (RISE)."),
}
