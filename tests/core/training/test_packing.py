"""Packing loses nothing between rows; labels stand only where they should."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenon.core.training.packing import IGNORE, mask_labels, pack


@given(st.lists(st.lists(st.integers(0, 9), max_size=7), max_size=20), st.integers(1, 6))
def test_rows_are_the_sequences_end_to_end(sequences: list[list[int]], length: int) -> None:
    flat = [token for sequence in sequences for token in sequence]
    rows = list(pack(sequences, length=length))
    assert all(len(row) == length for row in rows)
    assert [token for row in rows for token in row] == flat[: len(flat) // length * length]


def test_labels_outside_the_spans_are_ignored() -> None:
    #       user     assistant  user assistant
    ids = [5, 6, 7, 8, 9, 10, 11]
    assert mask_labels(ids, [(1, 3), (5, 7)]) == [IGNORE, 6, 7, IGNORE, IGNORE, 10, 11]
