"""Bind a `transformers.Trainer` to a Run: progress, metrics, checkpoints, resume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

if TYPE_CHECKING:
    from transformers import Trainer

    from tenon.core.run import Run

__all__ = ["RunCallback", "checkpoint_folder", "train"]

METRICS = ("loss", "learning_rate", "grad_norm")


def checkpoint_folder(run: Run) -> Path:
    """Give the folder of a run that holds its checkpoints."""
    return run.path / "checkpoints"


class RunCallback(TrainerCallback):  # type: ignore[misc]  # transformers ships this class untyped
    """Write the trainer's figures into the run's metrics, and show them on one progress line."""

    def __init__(self, run: Run, label: str) -> None:
        self.run = run
        self.label = label
        self.progress: Any = None
        self.task: Any = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Forget metrics beyond the checkpoint that training goes on from, and open the progress line."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.run.rewind(state.global_step)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            transient=False,
        )
        self.task = self.progress.add_task(self.label, total=state.max_steps, completed=state.global_step, figures="")
        self.progress.start()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Move the progress line."""
        self.progress.update(self.task, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Keep what can be repeated (loss, rate, norm); the trainer's own timings are not figures of the run."""
        figures = {name: float(logs[name]) for name in METRICS if logs and name in logs}
        if "loss" in figures:
            self.run.log(step=state.global_step, **figures)
            self.progress.update(self.task, figures=f"loss {figures['loss']:.3f}")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the progress line."""
        self.progress.stop()


def train(trainer: Trainer, run: Run, *, label: str = "training") -> None:
    """Train, from the newest checkpoint of this run if there is one.

    Data order, schedule and optimiser state go on where the checkpoint was written, so that a training killed at any
    point ends as an uninterrupted one does (bitwise with the same number of threads).
    """
    callback = RunCallback(run, label)
    trainer.add_callback(callback)
    folder = checkpoint_folder(run)
    newest = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    try:
        trainer.train(resume_from_checkpoint=newest)
    finally:
        if callback.progress is not None:
            callback.progress.stop()
