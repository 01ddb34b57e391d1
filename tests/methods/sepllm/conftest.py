"""Tiny models, their tokenizer, and ways to feed a text piece by piece."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tenon.core.models.cache import cache_argument
from tenon.core.models.tiny import tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
MODELS = functools.cache(tiny_model)


@pytest.fixture
def tokenizer() -> Any:
    return TOKENIZER


@pytest.fixture
def tiny() -> Callable[..., Any]:
    """Random models by architecture, built once; whoever changes one puts it back."""
    return MODELS


@pytest.fixture
def text() -> Callable[..., Tensor]:
    """Random ids [rows, tokens] in which about one in eight is a full stop, a comma or a line break."""

    def make(tokens: int, rows: int = 1, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(40, 128, (rows, tokens), generator=generator)
        marks = torch.tensor(TOKENIZER.convert_tokens_to_ids([".", ",", "\n"]))
        is_mark = torch.rand(rows, tokens, generator=generator) < 1 / 8
        return torch.where(is_mark, marks[torch.randint(3, (rows, tokens), generator=generator)], ids)

    return make


@pytest.fixture
def feed() -> Callable[..., Tensor]:
    """Logits of a text that is fed in pieces of the given sizes (the last one is repeated) through one cache."""

    @torch.no_grad()
    def run(model: Any, ids: Tensor, cache: Any, sizes: Sequence[int] = (1,), **inputs: Any) -> Tensor:
        logits, start, todo = [], 0, list(sizes)
        while start < ids.shape[1]:
            size = todo.pop(0) if len(todo) > 1 else todo[0]
            kept = {name: value[:, : start + size] for name, value in inputs.items()}
            if "position_ids" in kept:  # of the new tokens alone; a mask is of all so far
                kept["position_ids"] = kept["position_ids"][:, start:]
            output = model(ids[:, start : start + size], use_cache=True, **{cache_argument(model): cache}, **kept)
            logits.append(output.logits)
            start += size
        return torch.cat(logits, 1)

    return run


@pytest.fixture
def off() -> Callable[[Tensor, Tensor], float]:
    """The largest difference, in units of the largest logit (about 10 for tiny models)."""

    def measure(found: Tensor, expected: Tensor) -> float:
        return float((found - expected).abs().max() / expected.abs().max())

    return measure
