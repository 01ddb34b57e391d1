"""The attention function that transformers calls while SepLLM is applied, and which kernel computes a layer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from tenon.core.errors import UnsupportedModelError
from tenon.core.models.attention import sdpa
from tenon.methods.sepllm.compact import compact_attention
from tenon.methods.sepllm.flex import Gathered, flex_attention, gather_blocks, obstacle
from tenon.methods.sepllm.mask import Whole
from tenon.methods.sepllm.plan import Plan

__all__ = ["ATTENTION", "Masks", "attend"]

ATTENTION = "tenon_sepllm"
"""Our name in transformers' attention registry."""

WORTH = 2
"""Windows that a text must be long for the compact kernel to pay; below, almost every pair is seen."""


class Masks:
    """The masks of one forward, layer by layer; layers of one rule share one."""

    def __init__(self, plans: Sequence[Plan | None], kernel: str) -> None:
        self._plans, self._kernel = plans, kernel
        self._built: dict[tuple[int, torch.dtype, torch.device], Tensor | None] = {}
        self._gathered: dict[int, Gathered] = {}

    def _plan(self, layer: int) -> Plan:
        plan = self._plans[layer]
        assert plan is not None, f"layer {layer} was said to be no attention"
        return plan

    def whole(self, layer: int) -> Whole | None:
        """Give what a kernel needs that makes no mask of all pairs, where one is to compute this layer."""
        plan = self._plan(layer)
        if plan.whole is None or self._kernel == "dense":
            return None
        is_worth_it = plan.columns >= WORTH * plan.whole.window
        return plan.whole if self._kernel != "auto" or is_worth_it else None

    def gathered(self, layer: int, query: Tensor, dropout: float) -> Gathered | None:
        """Give what FlexAttention needs, where it is asked for and can compute this layer; if it cannot, say so."""
        plan = self._plan(layer)
        if self._kernel != "flex" or plan.whole is None:
            return None
        if (reason := obstacle(query, dropout)) is not None:
            warnings.warn(f"FlexAttention is not used: {reason}. kernel='compact' computes the same.", stacklevel=2)
            return None
        if id(plan) not in self._gathered:
            self._gathered[id(plan)] = gather_blocks(plan.whole)
        return self._gathered[id(plan)]

    def of(self, layer: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """Give a layer's mask as what is added to its scores [B or 1, 1, Q, keys]; None where everything is seen."""
        plan = self._plan(layer)
        key = (id(plan), dtype, device)
        if key not in self._built:
            self._built[key] = _additive(plan.build_mask(), dtype, device)
        return self._built[key]


def _additive(
    mask: Bool[Tensor, "batch queries keys"] | None, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    """Turn True into 0 and False into the lowest finite number: kernels would do it again in every layer."""
    if mask is None:
        return None
    lowest = torch.finfo(dtype).min
    return torch.zeros(mask.shape, dtype=dtype, device=device).masked_fill_(~mask.to(device), lowest)[:, None]


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    sepllm: Masks | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attend under the plan of this forward; the function that transformers calls."""
    if sepllm is None:  # never run dense without saying so
        raise UnsupportedModelError(
            f"{type(module).__name__} did not pass the plan on to its attention; this version of transformers, or this "
            "model's code, is not supported."
        )
    layer: Any = module.layer_idx  # torch types a module's attributes as tensors or modules
    whole = sepllm.whole(layer)
    if whole is not None:
        gathered = sepllm.gathered(layer, query, dropout)
        if gathered is not None:
            output = flex_attention(query, key, value, gathered, scaling=scaling)
        else:
            output = compact_attention(query, key, value, whole, scaling=scaling, dropout=dropout)
        return output.transpose(1, 2).contiguous(), None
    mask = sepllm.of(layer, query.dtype, query.device)
    return sdpa(module, query, key, value, mask, scaling=scaling, dropout=dropout)
