"""Fine-tuning of a tiny model, for the kill test."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.run import Run
from tenon.core.training.config import TrainConfig
from tenon.methods.mdm.config import FinetuneConfig
from tenon.methods.mdm.finetune import finetune, prepare

torch.set_num_threads(1)  # a forked child has none of its parent's threads

STEPS = TrainConfig(steps=4, batch_size=4, learning_rate=1e-2, log_every=1, save_every=2, device="cpu")
CONFIG = FinetuneConfig(lora_rank=2, train=STEPS)
ROWS = [{"prompt": str(one), "response": str(one * one)} for one in range(20)]
FOLDER = tempfile.TemporaryDirectory()  # until this process ends; its children leave without clearing away
BACKBONE = FOLDER.name
tiny_model("llama").save_pretrained(BACKBONE)
tiny_tokenizer().save_pretrained(BACKBONE)


def finetune_job(path: Path) -> None:
    """Train, score, merge and save, as `tenon mdm finetune` does."""
    with Run.open(path, config=CONFIG, command="finetune job") as run:
        run.table("finetuning", [finetune(run, prepare(BACKBONE, ROWS, CONFIG), CONFIG)])
        run.report("Fine-tuning")
