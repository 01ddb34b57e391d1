"""A forward in pieces: the arguments of one, and the outputs of all side by side."""

from __future__ import annotations

from typing import Any

import torch

from tenon.core.errors import DataError

__all__ = ["joined", "sliced"]


def sliced(kwargs: dict[str, Any], cut: slice, past: int) -> dict[str, Any]:
    """Give the arguments of one piece of a forward."""
    part = dict(kwargs)
    for name in ("input_ids", "inputs_embeds", "position_ids"):
        if part.get(name) is not None:
            part[name] = part[name][:, cut]
    if part.get("attention_mask") is not None:
        columns = part["attention_mask"].shape[1]
        offset = past if columns > _columns(kwargs) else 0
        part["attention_mask"] = part["attention_mask"][:, : offset + cut.stop]
    return part


def _columns(kwargs: dict[str, Any]) -> int:
    """Give the number of new tokens in a forward's arguments."""
    tensor = kwargs["input_ids"] if kwargs.get("input_ids") is not None else kwargs["inputs_embeds"]
    return int(tensor.shape[1])


def joined(outputs: list[Any], cache_name: str) -> Any:
    """Put the outputs of the pieces side by side."""
    whole = outputs[-1]
    if getattr(whole, "attentions", None) is not None:
        raise DataError(
            "Attention weights were asked for, but the text went through the cache in pieces; ask without them."
        )
    whole["last_hidden_state"] = torch.cat([output.last_hidden_state for output in outputs], 1)
    if getattr(whole, "hidden_states", None) is not None:
        whole["hidden_states"] = tuple(
            torch.cat(states, 1) for states in zip(*(o.hidden_states for o in outputs), strict=True)
        )
    return whole
