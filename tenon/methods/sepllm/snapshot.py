"""A cache as bytes, and back: a stream that was killed goes on from its last snapshot, bit for bit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tenon.core.config import identity
from tenon.core.errors import DataError, UnsupportedModelError
from tenon.methods.sepllm.plan import Slots
from tenon.methods.sepllm.schedule import BoundedSchedule, schedule

if TYPE_CHECKING:
    from tenon.methods.sepllm.cache import SepCache

__all__ = ["restore", "snapshot"]


def snapshot(cache: SepCache) -> bytes:
    """Give keys, values, bookkeeping and usage of a cache, in safetensors format.

    Raises:
        UnsupportedModelError: The model is a hybrid: what its other layers keep is transformers' own.
    """
    from safetensors.torch import save

    if len(cache.attention) < len(cache.layers):
        raise UnsupportedModelError(
            "The cache of a hybrid model cannot be written: layers that are no attention keep states of their own."
        )
    tensors: dict[str, Tensor] = {}
    for index, layer in enumerate(cache.layers):
        if layer.keys is not None:
            tensors[f"keys.{index}"] = layer.keys[:, :, : layer.width].contiguous()
            tensors[f"values.{index}"] = layer.values[:, :, : layer.width].contiguous()
    states = []
    for index, state in enumerate(cache.schedules.values()):
        tensors |= {f"position.{index}": state.slots.position, f"is_sep.{index}": state.slots.is_sep}
        tensors[f"tokens.{index}"] = state.tokens
        facts: dict[str, Any] = {"length": state.slots.length, "columns": state.columns, "num": state.compressions}
        if isinstance(state, BoundedSchedule):
            tensors[f"num_sep.{index}"], facts["overflow"] = state.num_sep, state.overflow
        states.append(facts)
    rooms = [0 if layer.keys is None else layer.keys.shape[2] for layer in cache.layers]
    facts = {"config": identity(cache.config), "schedules": states, "usage": vars(cache.usage), "rooms": rooms}
    return save({name: tensor.contiguous() for name, tensor in tensors.items()}, {"cache": json.dumps(facts)})


def restore(cache: SepCache, content: bytes, device: torch.device) -> None:
    """Fill an empty cache with what `snapshot` gave, on the device of its model.

    Raises:
        DataError: The snapshot is of a cache with another config.
    """
    from safetensors.torch import load

    length = int.from_bytes(content[:8], "little")
    facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["cache"])
    if facts["config"] != identity(cache.config):
        raise DataError(
            "The snapshot is of a cache with another SepConfig; make the cache with the one it was made with."
        )
    tensors = {name: tensor.to(device) for name, tensor in load(content).items()}
    for index, rule in enumerate(dict.fromkeys(cache.rules)):
        if index == len(facts["schedules"]):
            return  # nothing was fed yet
        kept = facts["schedules"][index]
        state = schedule(rule, len(kept["length"]), device)
        state.slots = Slots(tensors[f"position.{index}"], tensors[f"is_sep.{index}"], tuple(kept["length"]))
        state.tokens, state.columns, state.compressions = tensors[f"tokens.{index}"], kept["columns"], kept["num"]
        if isinstance(state, BoundedSchedule):
            state.num_sep, state.overflow = tensors[f"num_sep.{index}"], tuple(kept["overflow"])
        cache.schedules[rule] = state
    for index, layer in enumerate(cache.layers):
        state = cache.schedules[layer.rule]
        states = tensors[f"keys.{index}"], tensors[f"values.{index}"]
        layer.fill(*states, columns=state.columns, room=facts["rooms"][index])
    vars(cache.usage).update(facts["usage"])
