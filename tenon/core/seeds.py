"""Seeds by name: adding a stage shifts no other, and a resumed run draws what an uninterrupted one draws."""

from __future__ import annotations

import hashlib
import json
import operator
import random
from typing import TYPE_CHECKING

from tenon.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy
    import torch

__all__ = ["derive", "numpy_rng", "seed_everything", "torch_generator"]


def derive(seed: int, *labels: object) -> int:
    """Give the seed that belongs to `labels` under `seed`: a pure function, equal on every machine.

    Args:
        seed: The run's seed.
        labels: Names of the stage, the item and so on: text, numbers, booleans, None, or tuples of these.
            `1` and `"1"` are different labels.

    Returns:
        The first 63 bits of a SHA-256, so `0 <= x < 2**63`.

    Raises:
        ConfigError: A label has another type; its text could differ from process to process.

    >>> derive(0, "propose", 17) == derive(0, "propose", 17) != derive(0, "propose", 18)
    True
    """
    try:
        # JSON because it is unambiguous: ("ab", "c") and ("a", "bc") differ. `index` admits NumPy's integers.
        text = json.dumps([operator.index(seed), *labels], default=operator.index)
    except TypeError as error:
        raise ConfigError(
            f"derive({seed!r}, {', '.join(map(repr, labels))}): {error}; "
            "seeds are integers, labels are text, numbers, None or tuples of these."
        ) from error
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(seed: int, *labels: object, device: str | torch.device = "cpu") -> torch.Generator:
    """Give a generator on `device` that starts at `derive(seed, *labels)`."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(seed, *labels))


def numpy_rng(seed: int, *labels: object) -> numpy.random.Generator:
    """Give a NumPy generator that starts at `derive(seed, *labels)`."""
    import numpy

    return numpy.random.default_rng(derive(seed, *labels))


def seed_everything(seed: int) -> None:
    """Set the global generators of `random`, NumPy and torch, for library code that takes no generator."""
    import numpy
    import torch

    random.seed(derive(seed, "random"))
    numpy.random.seed(derive(seed, "numpy") % 2**32)  # the legacy seed has 32 bits
    torch.manual_seed(derive(seed, "torch"))
