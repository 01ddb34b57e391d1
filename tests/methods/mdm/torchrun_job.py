"""A training of rows that bring their own noise, for torchrun: `torchrun torchrun_job.py FOLDER BATCH_SIZE`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tenon.core.run import Run
from tenon.core.training.config import TrainConfig, training_arguments
from tenon.core.training.loop import checkpoint_folder, save_model, train
from tenon.methods.mdm.config import MDMConfig
from tenon.methods.mdm.layout import puzzle_tokenizer
from tenon.methods.mdm.model import new_model
from tenon.methods.mdm.process import draw_masked, draw_time
from tenon.methods.mdm.trainer import IGNORE, MDMTrainer

CONFIG = MDMConfig(loss_norm="masked")


def rows(count: int) -> list[dict[str, torch.Tensor]]:
    """Rows of eight tokens, of which ever fewer are masked: two halves of a batch have unlike counts."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 31, (count, 8), generator=generator)
    labels = ids.masked_fill(torch.arange(8) < 3, IGNORE)
    time = draw_time(count, CONFIG, generator=generator)
    is_masked = draw_masked(labels != IGNORE, time, generator=generator)
    columns = {"input_ids": ids, "labels": labels, "time": time, "is_masked": is_masked}
    return [{name: column[row] for name, column in columns.items()} for row in range(count)]


def main(folder: Path, batch_size: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = new_model("tiny", vocab_size=31, mask_token_id=2, positions=8, n_layer=2, n_embd=32, n_head=4, **dropout)
    settings = TrainConfig(steps=4, batch_size=batch_size, learning_rate=1e-2, log_every=1, save_every=2, device="cpu")
    with Run.open(folder, config={"job": "torchrun"}) as run:
        arguments = training_arguments(settings, checkpoint_folder(run))
        trainer = MDMTrainer(model=model, args=arguments, train_dataset=rows(32), mdm=CONFIG)  # type: ignore[arg-type]  # a list is a data set
        train(trainer, run)
        save_model(trainer, puzzle_tokenizer(), run.path / "model")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
