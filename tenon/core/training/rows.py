"""Rows in the order of a training: a function of the seed and the step, whatever was read before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tenon.core.seeds import torch_generator

__all__ = ["PassRows", "whole_batch"]


class PassRows(torch.utils.data.Dataset[dict[str, Tensor]]):
    """A map-style data set of `items` rows: all rows in an order drawn from the seed, then all in another, ...

    Args:
        columns: Tensors of equal length, by name; an item has a row of each.
        items: How many rows the training reads in all.
        seed: Names the orders.
    """

    def __init__(self, columns: Mapping[str, Tensor], *, items: int, seed: int) -> None:
        count = len(next(iter(columns.values())))
        passes = -(-items // count)
        orders = [torch.randperm(count, generator=torch_generator(seed, "order", one)) for one in range(passes)]
        self.columns, self.order = dict(columns), torch.cat(orders)[:items]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        """Give one row."""
        place = self.order[item]
        return {name: column[place] for name, column in self.columns.items()}

    def __getitems__(self, items: list[int]) -> dict[str, Tensor]:
        """Give the rows of a batch at once, as the loader asks for them; `whole_batch` is the collator for these."""
        places = self.order[items]
        return {name: column[places] for name, column in self.columns.items()}


def whole_batch(batch: Any) -> dict[str, Tensor]:
    """Give a batch that a data set has collated already, as the collator of a Trainer."""
    found: dict[str, Tensor] = batch
    return found
