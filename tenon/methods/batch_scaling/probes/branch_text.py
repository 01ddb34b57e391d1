"""Trainers for the branch test of a checkpoint on a text: equal rows in an equal order, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError, DataError
from tenon.core.seeds import torch_generator

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Trainer

__all__ = ["branch_trainer", "text_rows"]


def text_rows(checkpoint: Path, text: str, seq_len: int, count: int, *, seed: int = 0) -> Tensor:
    """Cut a text into rows and shuffle them.

    Args:
        checkpoint: Its tokenizer reads the text.
        text: As in `tenon.tasks.text`.
        seq_len: Tokens of a row.
        count: Rows wanted.
        seed: Of the order.

    Returns:
        Token ids [count, seq_len].

    Raises:
        DataError: The text is too short: no row is used twice.
    """
    import torch

    from tenon.core.models.loading import load_tokenizer
    from tenon.core.training.packing import pack
    from tenon.tasks.text import read_documents, stream_ids

    ids = stream_ids(load_tokenizer(checkpoint), read_documents(text), limit=count * seq_len)
    rows = list(pack(ids, length=seq_len))
    if len(rows) < count:
        raise DataError(
            f"{text} gives {len(rows):,} rows of {seq_len} tokens, and {count:,} are needed; give more text or "
            "train on fewer tokens."
        )
    order = torch.randperm(count, generator=torch_generator(seed, "branch rows"))
    return torch.tensor(rows)[order]


def branch_trainer(
    checkpoint: Path, rows: Tensor, *, batch_rows: int, rows_per_device: int, device: str = "auto", seed: int = 0
) -> Callable[[int, Path], Trainer]:
    """Give what `branch_test` calls for every branch.

    The optimizer's settings are those that the checkpoint's optimizer.pt holds; gradients are clipped to norm 1.

    Args:
        checkpoint: Where every branch begins.
        rows: Token ids [rows, seq].
        batch_rows: Rows of the base batch.
        rows_per_device: Rows per forward pass, at most.
        device: `auto` or `cpu`.
        seed: For dropout.

    Raises:
        ConfigError: The base batch is no whole number of forward passes.
    """
    from tenon.core.training.config import TrainConfig, training_arguments

    per_device = min(rows_per_device, batch_rows)
    if not per_device or batch_rows % per_device:
        raise ConfigError(
            f"The base batch has {batch_rows} rows, which {rows_per_device} rows per forward pass do not divide; give "
            "another number of either."
        )

    def make(factor: int, folder: Path) -> Trainer:
        from transformers import Trainer

        from tenon.core.models.loading import load_model

        settings = TrainConfig(
            batch_size=per_device,
            accumulation=batch_rows * factor // per_device,
            schedule="constant",
            seed=seed,
            device="cpu" if device == "cpu" else "auto",
        )
        data: Any = [{"input_ids": row, "labels": row} for row in rows]
        model: Any = load_model(checkpoint, dtype="float32", device="cpu" if device == "cpu" else "auto")
        return Trainer(model=model, args=training_arguments(settings, folder), train_dataset=data)

    return make
