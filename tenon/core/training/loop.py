"""Bind a `transformers.Trainer` to a Run: progress, metrics, checkpoints, resume."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from tenon.core.errors import DataError
from tenon.core.files import read_json
from tenon.core.progress import Advance, progress

if TYPE_CHECKING:
    from transformers import Trainer

    from tenon.core.run import Run

__all__ = ["RunCallback", "checkpoint_folder", "save_model", "train"]

METRICS = ("loss", "learning_rate", "grad_norm")
"""What the metrics keep: figures that a repetition gives again. The trainer's own timings are none of these."""


def checkpoint_folder(run: Run) -> Path:
    """Give the folder of a run that holds its checkpoints."""
    return run.path / "checkpoints"


class RunCallback(TrainerCallback):
    """Write the trainer's figures into the run's metrics, and show how far it is."""

    def __init__(self, run: Run, advance: Advance, metrics: Sequence[str] = ()) -> None:
        self.run = run
        self.advance = advance
        self.metrics = (*METRICS, *metrics)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Forget metrics beyond the checkpoint from which training goes on."""
        self.run.rewind(state.global_step + 1)
        self.advance(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count the step, and let no mean in the metrics reach over a checkpoint: what goes on there begins anew."""
        self.advance()
        control.should_log = control.should_log or control.should_save

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Keep the figures of a step; the summary at the end of training has no loss of its own."""
        figures = {name: float(logs[name]) for name in self.metrics if logs and name in logs}
        if "loss" in figures:
            self.run.log(step=state.global_step, **figures)


def _newest_whole(folder: Path) -> str | None:
    """Find the newest checkpoint, and delete those that a kill or a full disk left half-written.

    transformers writes a checkpoint in place, and `trainer_state.json` as its last file.
    """
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            read_json(checkpoint / "trainer_state.json")
        except (FileNotFoundError, DataError):
            shutil.rmtree(checkpoint)
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


def train(trainer: Trainer, run: Run, *, label: str = "training", metrics: Sequence[str] = ()) -> None:
    """Train, from the newest checkpoint of this run if there is one.

    Data order, schedule and optimiser state go on where the checkpoint was written, so that a training killed at any
    point ends as an uninterrupted one does (bitwise with the same number of threads).

    Args:
        trainer: Has its checkpoints in `checkpoint_folder(run)`.
        run: Gets the metrics.
        label: What the progress bar says.
        metrics: Names of further figures of this trainer that the run is to keep, besides `METRICS`.
    """
    with trainer.args.main_process_first(local=False):  # the others look when it has cleared away what is broken
        newest = _newest_whole(checkpoint_folder(run))
    trainer.remove_callback(PrinterCallback)  # it prints to standard output, which belongs to the result
    with progress(label, trainer.args.max_steps) as advance:
        trainer.add_callback(RunCallback(run, advance, metrics))
        trainer.train(resume_from_checkpoint=newest)
    if trainer.is_world_process_zero():  # pickles that nobody reads, and that hold the folder's path
        for pickle in checkpoint_folder(run).glob("checkpoint-*/training_args.bin"):
            pickle.unlink()


def save_model(trainer: Trainer, tokenizer: Any, folder: Path) -> None:
    """Write the trained model with its tokenizer, complete or not at all; every process of a training calls it."""
    partial = folder.with_name(f"{folder.name}.partial")
    if trainer.is_world_process_zero():
        shutil.rmtree(partial, ignore_errors=True)
    trainer.save_model(str(partial))  # on all ranks: gathering shards takes every one of them
    if trainer.is_world_process_zero():
        (partial / "training_args.bin").unlink(missing_ok=True)  # a pickle of Trainer's, no part of a model
        tokenizer.save_pretrained(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
