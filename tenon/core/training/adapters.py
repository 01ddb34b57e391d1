"""LoRA adapters, by peft: small matrices beside a model's layers, which are trained in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tenon.core.errors import ConfigError, need

__all__ = ["lora_config"]


def lora_config(model: Any, *, rank: int, alpha: int, targets: Sequence[str], **more: Any) -> Any:
    """Give peft's config of adapters for this model.

    Args:
        model: What they will be put beside.
        rank: Of the matrices.
        alpha: Their scale: alpha / rank.
        targets: Names of layers, or `all-linear` alone.
        more: Further fields of `peft.LoraConfig`.

    Raises:
        MissingExtra: peft is not installed.
        ConfigError: No layer has such a name, or it is the output layer, which trl reads without its adapter.
    """
    peft = need("peft", extra="finetune")
    names = [name for name, _ in model.named_modules()]
    head = [name for name, module in model.named_modules() if module is model.get_output_embeddings()]
    for target in targets if list(targets) != ["all-linear"] else ():
        places = [name for name in names if name == target or name.endswith(f".{target}")]
        if not places or set(places) & set(head):
            why = "is the output layer" if places else "names no layer"
            known = sorted({name.rsplit(".", 1)[-1] for name, module in model.named_modules() if _is_linear(module)})
            raise ConfigError(
                f"lora_targets has {target!r}, which {why}; give all-linear, or some of {', '.join(known)}."
            )
    return peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules="all-linear" if list(targets) == ["all-linear"] else list(targets),
        task_type="CAUSAL_LM",
        **more,
    )


def _is_linear(module: Any) -> bool:
    import torch

    return isinstance(module, torch.nn.Linear)
