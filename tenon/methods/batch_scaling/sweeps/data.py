"""The text of a sweep: rows to train on, and rows that are held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenon.core.errors import DataError
from tenon.core.seeds import derive
from tenon.methods.batch_scaling.config import SweepConfig

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor

__all__ = ["SweepData", "load_sweep_data", "row_order"]

ENOUGH = 100_000_000
"""Reading ends at so many tokens, or at twice what the sweep needs: a data set of the hub may have no end."""


@dataclass(frozen=True, eq=False)
class SweepData:
    """A text as rows of equal length."""

    rows: Tensor
    """To be trained on: `[rows, seq_len]`, ids."""
    held_out: Tensor
    """Of other documents, the last ones: `[held rows, seq_len]`."""
    vocabulary: int
    """Number of different ids."""
    sha256: str
    """Of all rows."""

    def describe(self) -> dict[str, int]:
        """Give the sizes."""
        return {
            "train_tokens": self.rows.numel(),
            "held_out_tokens": self.held_out.numel(),
            "vocabulary": self.vocabulary,
        }


def load_sweep_data(config: SweepConfig) -> SweepData:
    """Read a source, hold its last documents out, and lay the others end to end.

    Documents are held out whole, so that no text is on both sides; a training reads a row at most once.

    Raises:
        DataError: The text is too short for the largest number of tokens, or for the held-out ones.
    """
    import numpy
    import torch

    documents, vocabulary = _encoded(config)
    held, at_end = 0, len(documents)
    while at_end > 0 and held < config.held_out_tokens:
        at_end -= 1
        held += len(documents[at_end])
    trained = sum(map(len, documents[:at_end]))
    count, needed = trained // config.seq_len, -(-max(config.tokens) // config.seq_len)
    if held < config.held_out_tokens or count < needed:
        raise DataError(
            f"{config.source} has {trained + held:,} tokens, of which {held:,} in its last documents are held out and "
            f"{trained:,} are left to train on; the sweep needs {max(config.tokens):,} (and {config.held_out_tokens:,} "
            "held out), for no row is read twice. Give a longer text as source, or lower tokens."
        )
    length = config.seq_len
    rows = numpy.concatenate(documents[:at_end])[: count * length].reshape(count, length)
    kept = config.held_out_tokens // length
    held_out = numpy.concatenate(documents[at_end:])[: kept * length].reshape(kept, length)
    digest = hashlib.sha256(f"{vocabulary} {length}\n".encode())
    digest.update(rows.astype("<u4").tobytes())
    digest.update(held_out.astype("<u4").tobytes())
    return SweepData(
        rows=torch.from_numpy(rows.astype("int32")),
        held_out=torch.from_numpy(held_out.astype("int32")),
        vocabulary=vocabulary,
        sha256=digest.hexdigest(),
    )


def row_order(data: SweepData, *, items: int, seed: int) -> Tensor:
    """Give the rows that a training reads, in order: the first `items` of one permutation, which the seed draws.

    So trainings of one seed read the same text from its beginning, whatever their batch or number of tokens.
    """
    from tenon.core.training.rows import PassRows

    return PassRows({"row": data.rows}, items=items, seed=derive(seed, "order")).order


def _encoded(config: SweepConfig) -> tuple[list[ndarray], int]:
    """Give the ids of each document, and the size of the vocabulary."""
    import numpy

    from tenon.tasks.text import read_documents

    if config.tokenizer != "bytes":
        from tenon.core.models.loading import load_tokenizer

        tokenizer = load_tokenizer(config.tokenizer)
    documents, read = [], 0
    enough = max(ENOUGH, 2 * (max(config.tokens) + config.held_out_tokens))
    for document in read_documents(config.source):
        if config.tokenizer == "bytes":
            ids = numpy.frombuffer(f"{document.text}\n\n".encode(), dtype=numpy.uint8)
        else:
            ids = numpy.array(tokenizer(f"{document.text}\n\n", verbose=False)["input_ids"], dtype=numpy.uint32)
        documents.append(ids)
        read += len(ids)
        if read >= enough:
            break
    return documents, 256 if config.tokenizer == "bytes" else len(tokenizer)
