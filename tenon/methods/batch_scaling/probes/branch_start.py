"""Seam to transformers' Trainer: begin with a checkpoint's optimizer, its learning rate multiplied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tenon.core.errors import ConfigError, DataError

__all__ = ["StartFromCheckpoint"]


class StartFromCheckpoint(TrainerCallback):
    """Load the optimizer's state when training begins, and set the learning rate, which must be constant.

    Resuming as Trainer does would also take over the schedule, the step and the place in the data, all of which count
    in steps of another batch.

    Args:
        checkpoint: Trainer's folder.
        factor: What the learning rate is multiplied by.
        learning_rate: Instead of the checkpoint's, before it is multiplied.
    """

    def __init__(self, checkpoint: Path, factor: float, learning_rate: float | None = None) -> None:
        self.checkpoint, self.factor, self.base = checkpoint, factor, learning_rate
        self.learning_rate = float("nan")
        """What the first group of parameters is trained with."""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        lr_scheduler: Any = None,
        **_: Any,
    ) -> None:
        """Load and set."""
        stored = torch.load(self.checkpoint / "optimizer.pt", map_location=args.device, weights_only=True)
        try:
            optimizer.load_state_dict(stored)
        except (ValueError, KeyError) as error:
            raise DataError(
                f"The optimizer's state in {self.checkpoint} does not fit this trainer's ({error}); make it with the "
                "checkpoint's model and optimizer."
            ) from error
        rates = [self.base if self.base is not None else float(group["lr"]) for group in optimizer.param_groups]
        if not all(rate > 0 for rate in rates):
            raise ConfigError(
                f"The optimizer of {self.checkpoint} has learning rate {min(rates)}, as at the end of a schedule; give "
                "the learning rate of the base branch, or an earlier checkpoint."
            )
        rates = [rate * self.factor for rate in rates]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = group["initial_lr"] = rate
        lr_scheduler.base_lrs = list(rates)
        lr_scheduler._last_lr = list(rates)
        self.learning_rate = rates[0]
