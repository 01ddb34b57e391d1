"""Which of several processes is this? torchrun and accelerate start one per GPU, and say so in the environment."""

from __future__ import annotations

import os

__all__ = ["is_main", "processes"]


def is_main() -> bool:
    """Say whether this process is the one that writes: the only one, or rank 0 of those that were started together."""
    return os.environ.get("RANK", "0") == "0"


def processes() -> int:
    """Give how many processes were started together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))
