"""What holds for every test: no network, known seeds, poisoned memory, one thread where two would only wait."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Before transformers or huggingface_hub is imported: both read it once.
os.environ["HF_HUB_OFFLINE"] = "1"

# Read by every torch that is imported after this, in processes that tests start, too. Tiny models gain nothing from
# more threads, which wait for each other while the cores are busy with other tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says how busy the machine is, not whether the property holds.
settings.register_profile("tenon", deadline=None)
settings.load_profile("tenon")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start every test from the same global seeds, so that its result does not depend on the tests before it."""
    from tenon.core.seeds import seed_everything

    seed_everything(0)


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """Fill memory that nobody has written with NaN (integers: the largest), so that reading it fails a test.

    torch poisons only while its deterministic algorithms are on; `warn_only` keeps operators that have none usable.
    """
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)
