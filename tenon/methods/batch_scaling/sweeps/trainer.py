"""One training of a sweep by `transformers.Trainer` itself: the slow engine, and the twin of the stacked one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tenon.core.training.config import TrainConfig, training_options
from tenon.core.training.rows import whole_batch
from tenon.methods.batch_scaling.probes.noise_callback import GradientNoiseScaleCallback
from tenon.methods.batch_scaling.sweeps.stacked import Outcome

if TYPE_CHECKING:
    from jaxtyping import Int
    from transformers import PreTrainedModel

__all__ = ["train_alone"]


NOISE_STEPS = 50
"""Steps below which a training tells no noise scale: an average over fewer is mostly of its beginning [ours]."""


class OrderedRows(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Rows of a text in a given order, a batch at a time."""

    def __init__(self, rows: Tensor, order: Tensor) -> None:
        self.rows, self.order = rows, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitems__(self, items: list[int]) -> dict[str, Tensor]:
        """Give a batch; the labels are the ids, which the model moves by one itself."""
        ids = self.rows[self.order[items]].long()
        return {"input_ids": ids, "labels": ids}


class LogTail(TrainerCallback):
    """Log the loss twice: before the last steps, and at the end, which then is the mean over these."""

    def __init__(self, tail: int) -> None:
        self.tail = tail

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ask for a log at these two places."""
        control.should_log = state.global_step in (state.max_steps - self.tail, state.max_steps)


def train_alone(
    model: PreTrainedModel,
    train: TrainConfig,
    rows: Int[Tensor, "text_rows seq"],
    order: Int[Tensor, " items"],
    held_out: Int[Tensor, "held_rows seq"],
    *,
    noise_scale: bool = False,
) -> Outcome:
    """Train one model, in place, and measure it on the held-out rows; arguments as in `train_stacked`.

    With `noise_scale` the training must accumulate its batches.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = training_options(train, Path(folder)) | {"save_strategy": "no", "logging_strategy": "no"}
        arguments = TrainingArguments(**options, per_device_eval_batch_size=64)
        if arguments.n_gpu > 1:  # Trainer would give every GPU a batch of its own, and so train with a larger one
            arguments._n_gpu = 1
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=OrderedRows(rows, order),
            data_collator=whole_batch,
            callbacks=[LogTail(max(1, train.steps // 10))],
        )
        trainer.remove_callback(PrinterCallback)  # it prints to standard output, which belongs to the result
        noise = GradientNoiseScaleCallback(quiet=True).attach(trainer) if noise_scale else None
        trainer.train()
        every = OrderedRows(held_out, torch.arange(len(held_out)))
        loss = trainer.evaluate(every)["eval_loss"]
    last = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-1]
    is_settled = noise is not None and noise.scale.pairs >= NOISE_STEPS
    return Outcome(
        loss=float(loss), train_loss=float(last), noise_tokens=noise.scale.b_simple if noise and is_settled else None
    )
