"""What a training run is told, once, in the terms of the field."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tenon.core.errors import require

if TYPE_CHECKING:
    from transformers import TrainingArguments

__all__ = ["TrainConfig", "training_arguments", "training_options"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Optimiser, schedule and batch of one training."""

    steps: int = 1000
    """Optimiser steps in all."""
    batch_size: int = 8
    """Rows per device and forward pass."""
    accumulation: int = 1
    """Forward passes per optimiser step."""
    learning_rate: float = 1e-3
    """Highest learning rate of the schedule."""
    schedule: Literal["constant", "linear", "cosine", "wsd"] = "cosine"
    """Shape after the warm-up; `wsd` stays flat and falls over the last fifth (warm-up, stable, decay)."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises from zero."""
    min_lr_ratio: float = 0.1
    """Learning rate at the end, as a share of the highest (cosine and wsd)."""
    weight_decay: float = 0.1
    """AdamW's decoupled weight decay; norms and biases are spared."""
    adam_beta1: float = 0.9
    """AdamW: memory of the mean gradient."""
    adam_beta2: float = 0.95
    """AdamW: memory of the squared gradient."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this global norm."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Autocast; bf16 only pays where the processor has it."""
    log_every: int = 10
    """Steps between two entries of the metrics."""
    save_every: int = 200
    """Steps between two checkpoints."""
    keep_checkpoints: int = 2
    """Newest checkpoints kept."""
    seed: int = 0
    """Order of the data, dropout, fresh weights."""
    gradient_checkpointing: bool = field(default=False, metadata={"identity": False})
    """Compute activations again in the backward pass instead of keeping them: less memory, a third more time."""
    compile: bool = field(default=False, metadata={"identity": False})
    """Use torch.compile (needs a compiler)."""
    device: Literal["auto", "cpu"] = field(default="auto", metadata={"identity": False})
    """`cpu` keeps off a GPU that is there."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "log_every", "save_every", "keep_checkpoints"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.learning_rate > 0, self, "learning_rate", "above 0")
        require(0 <= self.warmup_steps <= self.steps, self, "warmup_steps", f"between 0 and steps ({self.steps})")
        require(0 <= self.min_lr_ratio <= 1, self, "min_lr_ratio", "between 0 and 1")
        require(self.weight_decay >= 0, self, "weight_decay", "0 or more")
        require(self.max_grad_norm > 0, self, "max_grad_norm", "above 0")
        for name in ("adam_beta1", "adam_beta2"):
            require(0 <= getattr(self, name) < 1, self, name, "between 0 and 1, 1 excluded")


def training_arguments(config: TrainConfig, folder: Path) -> TrainingArguments:
    """Turn a config into `TrainingArguments` that write nothing but checkpoints below `folder` and report to nobody."""
    from transformers import TrainingArguments

    return TrainingArguments(**training_options(config, folder))


def training_options(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """Give the arguments of `training_arguments` by name, for those who build a subclass of it."""
    import torch
    from transformers import TrainingArguments

    checkpointing = "activation_checkpointing"
    if checkpointing not in TrainingArguments.__dataclass_fields__:  # its name before transformers 5.18
        checkpointing = "gradient_checkpointing"
    decay = max(1, config.steps // 5)
    scheduler, options = {
        "constant": ("constant_with_warmup", {}),
        "linear": ("linear", {}),
        "cosine": ("cosine_with_min_lr", {"min_lr_rate": config.min_lr_ratio}),
        "wsd": ("warmup_stable_decay", {"num_decay_steps": decay, "min_lr_ratio": config.min_lr_ratio}),
    }[config.schedule]
    return {
        "output_dir": str(folder),
        "max_steps": config.steps,
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulation,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": scheduler,
        "lr_scheduler_kwargs": options,
        "warmup_steps": config.warmup_steps,
        "weight_decay": config.weight_decay,
        "adam_beta1": config.adam_beta1,
        "adam_beta2": config.adam_beta2,
        "max_grad_norm": config.max_grad_norm,
        "bf16": config.precision == "bf16",
        "fp16": config.precision == "fp16",
        checkpointing: config.gradient_checkpointing,
        "torch_compile": config.compile,
        # Said outright where there is no GPU, too: otherwise bf16 is refused there.
        "use_cpu": config.device == "cpu" or not torch.accelerator.is_available(),
        "seed": config.seed,
        "data_seed": config.seed,
        "logging_steps": config.log_every,
        "logging_nan_inf_filter": False,  # it waits for the device at every step, to hide what should be seen
        "save_steps": config.save_every,
        "save_total_limit": config.keep_checkpoints,
        "train_sampling_strategy": "sequential",  # the order is for our data sets to decide
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,  # the Run shows the progress
        "report_to": "none",
    }
