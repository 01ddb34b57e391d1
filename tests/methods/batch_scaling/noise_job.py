"""One training of two processes that measures its noise scale: `torchrun noise_job.py FOLDER ACCUMULATION plain|views`.

Rank 0 computes by hand what the first step must log, from every row's gradient, and writes both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedDataParallelKwargs
from transformers import Trainer, TrainingArguments

from tenon.core.models.tiny import tiny_model
from tenon.methods.batch_scaling.probes.noise_callback import METRICS, GradientNoiseScaleCallback
from tenon.methods.batch_scaling.reference import row_gradients

SEQ, ROWS = 12, 2


def main(folder: Path, accumulation: int, views: str) -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    count = 2 * accumulation * ROWS
    ids = torch.randint(4, 40, (count, SEQ), generator=generator)
    ids[:, ::3] = 7
    labels = ids.masked_fill(torch.arange(SEQ) < torch.arange(count)[:, None], -100)  # unlike shares of targets
    data: Any = [{"input_ids": ids[row], "labels": labels[row]} for row in range(count)]
    args = TrainingArguments(
        output_dir=str(folder), max_steps=1, per_device_train_batch_size=ROWS, max_grad_norm=1e-4, logging_steps=1,
        gradient_accumulation_steps=accumulation, save_strategy="no", report_to="none", use_cpu=True,
        disable_tqdm=True, train_sampling_strategy="sequential", dataloader_pin_memory=False,
    )  # fmt: skip
    job = Trainer(model=tiny_model("llama"), args=args, train_dataset=data, callbacks=[GradientNoiseScaleCallback()])
    if views == "views":  # gradients lie in the buffers that are averaged in place
        job.accelerator.ddp_handler = DistributedDataParallelKwargs(gradient_as_bucket_view=True)
    job.train()
    wrapped: Any = job.model_wrapped
    assert wrapped.gradient_as_bucket_view == (views == "views")
    if not job.is_world_process_zero():
        return
    # A data loader deals out micro-batches in turn: 0 to rank 0, 1 to rank 1, 2 to rank 0 ...
    gradients, counts = row_gradients(tiny_model("llama"), ids, labels)
    firsts = [slice(0, ROWS), slice(ROWS, 2 * ROWS)]
    means = [gradients[rows].sum(0) / counts[rows].sum() for rows in firsts]
    small_sq = sum(float((mean**2).sum()) for mean in means) / 2
    big_sq = float(((gradients.sum(0) / counts.sum()) ** 2).sum())
    per_target = ids.numel() / float(counts.sum())
    small = 2 / sum(1 / float(counts[rows].sum()) for rows in firsts) * per_target
    big = float(counts.sum()) * per_target
    g2, s = (big * big_sq - small * small_sq) / (big - small), (small_sq - big_sq) / (1 / small - 1 / big)
    entry = next(one for one in job.state.log_history if "loss" in one)
    record = {
        "by_hand": [s / g2 if s > 0 and g2 > 0 else None, g2, s],
        "logged": [entry.get(name) for name in METRICS],
        "clipped": entry["grad_norm"] > 0.1,
    }
    (folder / "found.json").write_text(json.dumps(record))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
