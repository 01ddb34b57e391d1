"""LoRA adapters, by peft: small matrices beside a model's layers, which are trained in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tenon.core.errors import ConfigError, need

__all__ = ["lora_config"]


def lora_config(
    model: Any, *, rank: int, alpha: int, targets: Sequence[str], may_have_head: bool = False, **more: Any
) -> Any:
    """Give peft's config of adapters for this model.

    Args:
        model: What they will be put beside.
        rank: Of the matrices.
        alpha: Their scale: alpha / rank.
        targets: Names of layers, or `all-linear` alone, which leaves out the output layer.
        may_have_head: Whether the output layer may have one: trl reads that layer's weights without it.
        more: Further fields of `peft.LoraConfig`.

    Raises:
        MissingExtra: peft is not installed.
        ConfigError: No layer has such a name, or it is the output layer.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    peft = need("peft", extra="finetune")
    modules = dict(model.named_modules())
    is_all = list(targets) == ["all-linear"]
    for target in () if is_all else targets:
        found = [module for name, module in modules.items() if f".{name}".endswith(f".{target}")]
        if not found or (model.get_output_embeddings() in found and not may_have_head):
            known = {
                name.rsplit(".", 1)[-1] for name, one in modules.items() if isinstance(one, torch.nn.Linear | Conv1D)
            }
            why = "is the output layer" if found else "names no layer"
            raise ConfigError(
                f"lora_targets is {', '.join(targets)}, but {target!r} {why}; give all-linear, or some of "
                f"{', '.join(sorted(known))}."
            )
    is_transposed = any(isinstance(module, Conv1D) for module in modules.values())  # as in GPT-2
    fields: dict[str, Any] = {"task_type": "CAUSAL_LM", "fan_in_fan_out": is_transposed} | more
    target_modules = "all-linear" if is_all else list(targets)
    return peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=target_modules, **fields)
