"""Seam to transformers' Trainer: the noise of every batch, the loss at its masked tokens, and the causal baseline.

A batch is `input_ids` and `labels`, -100 where nothing is to be written (the prompt): what can be masked is what has a
label. Noise is drawn before the step begins, for all its accumulated batches, so that the loss can be divided by all
masked tokens of the step on all devices; a batch that brings `time` and `is_masked` keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

from tenon.core.errors import DataError
from tenon.core.seeds import torch_generator
from tenon.core.training.packing import IGNORE
from tenon.methods.mdm.config import MDMConfig
from tenon.methods.mdm.model import check_bidirectional
from tenon.methods.mdm.objective import masked_loss
from tenon.methods.mdm.process import draw_masked, draw_time, masked_input

__all__ = ["IGNORE", "MDMTrainer", "noised"]


def noised(
    batch: dict[str, Tensor], config: MDMConfig, *, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Give a batch with `time` [rows] and `is_masked` [rows, seq], drawn unless it brings them, and the places `at`.

    `at` are the masked places, counted over all rows. To find them waits for the device: once a step, here, and not
    between forward and backward.
    """
    if "is_masked" not in batch:
        is_maskable = batch["labels"] != IGNORE
        time = draw_time(len(is_maskable), config, generator=generator, device=is_maskable.device)
        batch = batch | {"time": time, "is_masked": draw_masked(is_maskable, time, generator=generator)}
    return batch if "at" in batch else batch | {"at": batch["is_masked"].flatten().nonzero()[:, 0]}


class MDMTrainer(Trainer):
    """Train an `MDMForMaskedDiffusion` with the diffusion objective.

    Args:
        args: As for Trainer, which everything else is handed to.
        mdm: Noise and weights.

    Raises:
        UnsupportedModelError: The model is causal.
    """

    def __init__(self, *args: Any, mdm: MDMConfig | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mdm = mdm or MDMConfig()
        model: Any = self.model
        self.mask_id = int(model.config.mask_token_id)
        self.empty_batches = 0
        """Batches in which nothing could be masked; they teach nothing."""
        # The loss is divided by a whole step's count here, so Trainer must not divide by its number of batches again.
        self.model_accepts_loss_kwargs = True
        check_bidirectional(model)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Draw the noise of a step's batches, and count what its loss is divided by, over all devices."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        # Named by seed, step and process: Trainer puts the global state back only after these batches were drawn.
        name = (self.args.seed, "mdm", "noise", self.state.global_step, self.args.process_index)
        generator = torch_generator(*name, device=device)
        batches = [noised(self._prepare_inputs(batch), self.mdm, generator=generator) for batch in batches]
        count = sum(self._count(batch) for batch in batches)
        total = torch.as_tensor(count, device=device, dtype=torch.float32)
        if self.args.world_size > 1:
            total = self.accelerator.gather(total).sum()
        return batches, total

    def _count(self, batch: dict[str, Tensor]) -> Any:
        if self.mdm.loss_norm == "batch":
            return len(batch["labels"])
        return len(batch["at"]) if self.mdm.loss_norm == "masked" else (batch["labels"] != IGNORE).sum()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Give the loss of one batch, with logits computed at its masked tokens alone."""
        if "labels" not in inputs:
            raise DataError(f"The batch has {', '.join(inputs)}, but no labels; give -100 where nothing is written.")
        batch = noised(inputs, self.mdm)
        ids, at = batch["input_ids"], batch["at"]
        self.empty_batches += not len(at)
        torch._dynamo.maybe_mark_dynamic(at, 0)  # its length differs at every step: compiled once, not twice
        text = masked_input(ids, batch["is_masked"], self.mask_id)
        outputs = model(text, attention_mask=batch.get("attention_mask"), at=at)
        count = self._count(batch) if num_items_in_batch is None else num_items_in_batch
        time = batch["time"][at // ids.shape[1]]
        loss = masked_loss(outputs.logits, ids.flatten()[at], time, self.mdm, normaliser=count)
        if num_items_in_batch is not None and self.args.world_size > 1:
            loss = loss * self.args.world_size  # gradients are averaged over processes
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: dict[str, Tensor], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Give the loss of a held-out batch, its noise the same at every evaluation."""
        prepared = self._prepare_inputs(inputs)
        first = int(prepared["input_ids"].long().sum())  # names the batch
        noise = noised(
            {name: value.cpu() for name, value in prepared.items()}, self.mdm, generator=torch_generator(first)
        )
        batch = {name: value.to(self.args.device) for name, value in noise.items()}
        with torch.no_grad():
            return self.compute_loss(model, batch).detach(), None, None
