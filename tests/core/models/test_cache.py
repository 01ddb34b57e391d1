"""The cache seam: transformers takes a cache made of our layers, whatever it calls the argument."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from tenon.core.models.cache import KVCache, KVLayer, cache_argument, is_empty_default, storage_bytes
from tenon.core.models.tiny import tiny_model


class Growing(KVLayer):
    """The simplest layer: it keeps everything."""

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> Any:
        self.keys = key_states if self.keys is None else torch.cat([self.keys, key_states], 2)
        self.values = value_states if self.values is None else torch.cat([self.values, value_states], 2)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return 0 if self.keys is None else self.keys.shape[2]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0


def test_a_model_decodes_over_our_layers() -> None:
    model, ids = tiny_model("llama"), torch.arange(5, 25)[None]
    name, cache = cache_argument(model), KVCache([Growing(), Growing()])
    with torch.no_grad():
        parts = [model(part, **{name: cache}).logits for part in ids.split(7, 1)]
        torch.testing.assert_close(torch.cat(parts, 1), model(ids).logits, atol=1e-4, rtol=0)  # fp32, logits near 10
    assert cache.get_seq_length() == 20
    assert cache.bytes() == 2 * 2 * 20 * 2 * 16 * 4  # layers, keys and values, tokens, heads, head size, bytes


def test_the_argument_is_taken_and_given_back_under_one_name() -> None:
    for arch in ("llama", "gpt_neox"):
        model = tiny_model(arch)
        backbone = model.get_submodule(model.base_model_prefix)
        assert cache_argument(model) == cache_argument(backbone)
        assert isinstance(model(torch.tensor([[5]]), use_cache=True)[cache_argument(model)], DynamicCache)


def test_only_an_unused_default_cache_counts_as_empty() -> None:
    model = tiny_model("llama")
    cache = DynamicCache(config=model.config)
    assert is_empty_default(cache)
    model(torch.tensor([[5]]), **{cache_argument(model): cache})
    assert not is_empty_default(cache)
    assert not is_empty_default(KVCache([Growing()]))


def test_bytes_are_those_of_the_whole_storage() -> None:
    assert storage_bytes(None) == 0
    assert storage_bytes(torch.zeros(4, 8)[:, :2]) == 4 * 8 * 4
