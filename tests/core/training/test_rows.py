"""Rows of a training: all of them, then all in another order."""

from __future__ import annotations

import torch

from tenon.core.training.rows import PassRows, whole_batch


def test_rows_are_all_read_before_one_comes_again_and_then_in_another_order() -> None:
    data = PassRows({"ids": torch.arange(6), "labels": torch.arange(6) * 2}, items=15, seed=0)
    order = [int(data[item]["ids"]) for item in range(len(data))]
    assert sorted(order[:6]) == sorted(order[6:12]) == list(range(6))
    assert order[:6] != order[6:12]
    assert len(order) == 15
    assert [int(data[item]["labels"]) for item in range(15)] == [2 * one for one in order]
    batch = whole_batch(data.__getitems__([0, 7, 14]))
    assert batch["ids"].tolist() == [order[0], order[7], order[14]]
    again = PassRows({"ids": torch.arange(6)}, items=9, seed=0)
    assert [int(again[item]["ids"]) for item in range(9)] == order[:9]
