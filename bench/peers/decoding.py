"""Decode token by token and look at the clock: the same lines for both processes of a comparison. Needs torch alone."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

UNCOUNTED = 2
"""Tokens of a baseline's turn that are not counted: the first ones meet caches that the other functions left."""


class Decoder:
    """One way of decoding, ready to take turns.

    Args:
        model: The model, with whatever is applied to it.
        cache: What it goes on from.
        argument: The name under which the model's forward takes its cache.
        ids: Tokens that are decoded, over and over [tokens].
        steps: Tokens of one turn: whole cycles of a cache that is compressed now and then.
        start: Position of the first decoded token in the text; None leaves positions to the model.
        cut_back: Length to which the cache is cut back after each turn [tokens]; None lets it go on.
    """

    def __init__(
        self,
        model: Any,
        cache: Any,
        argument: str,
        ids: Tensor,
        *,
        steps: int,
        start: int | None = None,
        cut_back: int | None = None,
    ) -> None:
        self.model, self.cache, self.argument, self.ids = model, cache, argument, ids
        self.steps, self.start, self.cut_back = steps, start, cut_back
        self.done = 0

    @torch.inference_mode()
    def step(self) -> None:
        """Decode one token."""
        token = self.ids[self.done % len(self.ids)].view(1, 1)
        inputs = {} if self.start is None else {"position_ids": torch.tensor([[self.start + self.done]])}
        self.model(token, use_cache=True, **{self.argument: self.cache}, **inputs)
        self.done += 1

    def peak(self) -> int:
        """Make one turn untimed, and give the most that the cache held after a token of it [bytes]."""
        most = 0
        for _ in range(self.steps):
            self.step()
            most = max(most, held(self.cache))
        self._end()
        return most

    def turn(self) -> float:
        """Make one turn, and give its time per token [s]."""
        uncounted = 0 if self.cut_back is None else UNCOUNTED
        for _ in range(uncounted):
            self.step()
        start = time.perf_counter()
        for _ in range(self.steps - uncounted):
            self.step()
        seconds = (time.perf_counter() - start) / (self.steps - uncounted)
        self._end()
        return seconds

    def _end(self) -> None:
        if self.cut_back is not None:
            for layer in self.cache.layers:  # `crop` has meant two things; this means one
                layer.keys, layer.values = layer.keys[:, :, : self.cut_back], layer.values[:, :, : self.cut_back]


def held(cache: Any) -> int:
    """Give the memory behind a cache's keys and values [bytes], unused room included."""
    stores = [store for layer in cache.layers for store in (layer.keys, layer.values) if store is not None]
    return sum(store.untyped_storage().nbytes() for store in stores)


def filled(cache: Any, config: Any, tokens: int) -> Any:
    """Fill a cache with random states of `tokens` tokens: what is stored does not change the time."""
    shape = (1, config.num_key_value_heads, tokens, config.head_dim)
    for layer in range(config.num_hidden_layers):
        cache.update(torch.randn(shape), torch.randn(shape), layer)
    return cache


def nll(logits: Tensor, expected: Tensor) -> Tensor:
    """Give minus the log-probability of each expected token [nats]."""
    return torch.nn.functional.cross_entropy(logits.float(), expected, reduction="none").double()
