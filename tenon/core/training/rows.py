"""Rows in the order of a training: a function of the seed and the step, whatever was read before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tenon.core.seeds import torch_generator

__all__ = ["PassRows", "step_order", "whole_batch"]


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


def step_order(lengths: Sequence[int], *, steps: int, group: int, seed: int) -> list[int]:
    """Say which row comes when: pass after pass, each in an order of its own, a function of the seed alone.

    The rows of one optimiser step are sorted by length, so that its batches have little padding; what a step learns is
    a mean over all of them, whatever their order.

    Args:
        lengths: Of the rows [tokens].
        steps: Optimiser steps.
        group: Rows of a step, over all processes.
        seed: Names the orders.
    """
    order = PassRows({"row": torch.arange(len(lengths))}, items=steps * group, seed=seed).order
    tokens = torch.tensor(lengths)
    return torch.cat([one[tokens[one].argsort(stable=True)] for one in order.split(group)]).tolist()
