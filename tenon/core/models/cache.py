"""Seam to transformers' caches: the base of our own cache layers, and where a forward takes and gives its cache.

The one file that knows transformers' cache classes. Between 5.17 and today `past_key_values` became `cache`, the name
of the longest length changed, and `update` got further arguments; nothing outside this file notices.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin

__all__ = [
    "KVCache",
    "KVLayer",
    "cache_argument",
    "cache_bytes",
    "default_cache",
    "default_layers",
    "is_empty_default",
    "storage_bytes",
]


class KVLayer(CacheLayerMixin):
    """One layer of a cache of ours: it keeps `keys` and `values`, and says what it is not (static, sliding,
    croppable)."""

    is_compileable = False
    is_croppable = False
    is_sliding = False
    supports_early_init = False

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor | None = None) -> None:
        """Do nothing: our layers allocate when they store."""

    def get_max_length(self) -> int:
        """Give -1: transformers needs no bound."""
        return -1

    def get_max_cache_shape(self) -> int:
        """Give -1; the name of `get_max_length` in earlier releases."""
        return -1


class KVCache(Cache):
    """A cache made of our own layers."""

    layers: list[Any]

    def __init__(self, layers: list[Any]) -> None:
        super().__init__(layers=layers)

    def bytes(self) -> int:
        """Give the memory that all layers hold for keys and values [bytes], unused room included."""
        return cache_bytes(self)


def cache_bytes(cache: Cache) -> int:
    """Give the memory that any cache's layers hold for keys and values [bytes], unused room included."""
    layers: list[Any] = cache.layers  # the kinds of transformers; ones without keys and values hold none of these
    stores = [getattr(layer, name, None) for layer in layers for name in ("keys", "values")]
    return sum(map(storage_bytes, stores))


def storage_bytes(tensor: torch.Tensor | None) -> int:
    """Give the memory behind a tensor [bytes], all of it, also when the tensor shows a part."""
    return 0 if tensor is None else tensor.untyped_storage().nbytes()


def cache_argument(module: torch.nn.Module) -> str:
    """Give the name under which a model's forward takes its cache, and its output gives it back."""
    return "cache" if "cache" in inspect.signature(module.forward).parameters else "past_key_values"


def default_cache(model: torch.nn.Module) -> Cache:
    """Make the cache that transformers makes by itself: every key and value, as long as the text."""
    config: Any = model.config
    return DynamicCache(config=config)


def default_layers(config: Any) -> list[Any]:
    """Make the layers of the cache that transformers makes by itself: of every layer of a model, what it keeps."""
    layers: list[Any] = DynamicCache(config=config).layers
    return layers


def is_empty_default(cache: Any) -> bool:
    """Say whether this is the cache that transformers makes by itself, still unused."""
    return type(cache) is DynamicCache and cache.get_seq_length() == 0
