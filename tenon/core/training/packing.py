"""From token sequences of all lengths to rows of one length, and labels only where a model should learn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

__all__ = ["IGNORE", "mask_labels", "pack"]

IGNORE = -100
"""The label that every Hugging Face loss leaves out."""


def pack(sequences: Iterable[Sequence[int]], *, length: int) -> Iterator[list[int]]:
    """Lay sequences end to end and cut rows of `length` tokens; what remains at the end is not given.

    A sequence that crosses the end of a row goes on in the next, so no token is lost between rows.

    >>> list(pack([[1, 2, 3], [4, 5], [6, 7]], length=3))
    [[1, 2, 3], [4, 5, 6]]
    """
    row: list[int] = []
    for sequence in sequences:
        row.extend(sequence)
        while len(row) >= length:
            yield row[:length]
            row = row[length:]


def mask_labels(ids: Sequence[int], spans: Iterable[tuple[int, int]]) -> list[int]:
    """Give labels that keep the tokens inside `spans` (start, end excluded) and leave out all others.

    >>> mask_labels([5, 6, 7, 8], [(1, 3)])
    [-100, 6, 7, -100]
    """
    labels = [IGNORE] * len(ids)
    for start, end in spans:
        labels[start:end] = ids[start:end]
    return labels
