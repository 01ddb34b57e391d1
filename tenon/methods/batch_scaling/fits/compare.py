"""Every law of batch and learning rate held against a sweep: the loss that following it would have left on the table.

The loss of a cell (N, D) is known at the runs. Between them it is taken linear in ln(lr) along each batch, then linear
in ln(B); beyond the runs it is taken as at their edge, which flatters a law that points there, so `clipped` counts such
cells, also where the law's learning rate lies among those that diverged. The excess is over the cell's best run.
`joint` follows the law's batch and learning rate; `batch` follows its batch alone, with the learning rate tuned anew,
on the same surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError, DataError
from tenon.methods.batch_scaling.fits.cells import BatchOptimum, Cell, clean_runs, find_cells
from tenon.methods.batch_scaling.fits.law_card import FittedLaw
from tenon.methods.batch_scaling.laws import every, get
from tenon.methods.batch_scaling.laws.law import Law, Quantity
from tenon.methods.batch_scaling.runs.table import RunTable

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["excess_loss", "published_laws", "score_doubts", "score_laws"]

PARTNER = "steplaw2025"
"""Lends its learning rate to laws that have none."""
CONSTANT = (5e5, 1e-3)
"""Batch [tokens] and learning rate that many use at any size: what a law must beat."""


def score_laws(runs: Any, names: Sequence[str | Law | FittedLaw] | None = None) -> list[dict[str, Any]]:
    """Score laws of the best batch on a sweep.

    Args:
        runs: As in `find_cells`: cells (N, D) with several batches, each with several learning rates.
        names: Laws by name, or laws of your own; None: all that are known as numbers and need no more than N, D and C.

    Returns:
        A row per law, and one for a constant batch and learning rate: `law`; `joint_mean`, `joint_max`, `batch_mean`,
        `batch_max`: excess loss over cells [% of the cell's best loss]; `lr_from`: whose learning rate; `C`: how
        compute was counted, where the law asks for it; `n_kind`: where law and table count N in different ways, which;
        `in_sample`: the law was fitted to these very runs, so it flatters itself; `cells`, and `clipped`, how many of
        them the law left the grid in (by batch, by learning rate); `extrapolation`: farthest from the law's own range
        [decades].

    Raises:
        DataError: No cell has two batches.
        ConfigError: A named law gives no batch from N, D and C.
    """
    table = clean_runs(runs)
    cells = _scored(table)
    if not cells:
        raise DataError("No cell (N, D) of the sweep has two batches; laws of the batch cannot be told apart on it.")
    data = table.sha256()
    rows = []
    for one in published_laws() if names is None else names:
        is_in_sample = isinstance(one, FittedLaw) and one.data_sha256 == data
        rows.append(_score(_law(one), cells, table.n_kind, is_in_sample))
    batch, rate = CONSTANT
    told = [excess_loss(cell, batch, rate) for cell in cells]
    facts = {"lr_from": "constant", "C": None, "n_kind": None, "in_sample": False, "extrapolation": None}
    return [*rows, _row(f"constant {batch:g} tokens, lr {rate:g}", told, facts)]


def score_doubts(runs: Any) -> list[str]:
    """Say what makes the scores doubtful: cells whose best batch stands at an edge of the batches tried.

    There the true best lies beyond, and a law that points beyond is scored as if it pointed at the edge.

    Args:
        runs: As in `score_laws`.
    """
    cells = _scored(clean_runs(runs))
    edges = [cell for cell in cells if cell.status in ("batch_edge", "too_few")]  # of two batches one is at the edge
    if not edges:
        return []
    return [
        f"{len(edges)} of {len(cells)} cells (N, D) have their best batch at an edge of the batches tried, so that the "
        f"scores say little of them: laws that point beyond are flattered. First, {edges[0].id}: {edges[0].reason}."
    ]


def published_laws() -> list[Law]:
    """List the published laws that give a batch, as a number, from N, D and C."""
    return [law for law in every("batch") if law.is_known("batch") and set(law.inputs("batch")) <= set("NDC")]


def excess_loss(cell: Cell, batch: float, lr: float) -> dict[str, Any]:
    """Give the excess loss of a batch and a learning rate in a cell, as shares of the best loss.

    Returns:
        `joint`, `batch` (learning rate tuned anew, among those tried anywhere in the cell), and whether the batch or
        the learning rate was beyond the runs, or where they diverged: `is_batch_clipped`, `is_lr_clipped`.
    """
    import numpy

    place = numpy.log(batch)
    grid = numpy.log([one.batch for one in cell.batches])
    tried = numpy.unique([rate for one in cell.batches for rate, _ in one.runs])
    rates = numpy.log(numpy.append(tried, lr))
    # (batches, rates): every row by its own runs, clipped to them.
    losses = numpy.stack([_along(rates, one.runs) for one in cell.batches])
    here = numpy.array([numpy.interp(place, grid, column) for column in losses.T])
    best = cell.best_run[2]
    after = int(numpy.searchsorted(grid, place))
    around = cell.batches[max(0, after - 1) : after + 1]
    return {
        "joint": float(here[-1] / best - 1),
        "batch": float(here.min() / best - 1),
        "is_batch_clipped": not grid[0] <= place <= grid[-1],
        "is_lr_clipped": not tried[0] <= lr <= tried[-1] or any(_diverges(one, lr) for one in around),
    }


def _scored(table: RunTable) -> list[Cell]:
    return [cell for cell in find_cells(table) if len(cell.batches) >= 2]


def _diverges(one: BatchOptimum, lr: float) -> bool:
    """Say whether a learning rate lies beyond the runs of a batch, on a side where others diverged."""
    low, high = one.runs[0][0], one.runs[-1][0]
    return (lr > high and any(rate > high for rate in one.diverged)) or (
        lr < low and any(rate < low for rate in one.diverged)
    )


def _along(rates: ndarray, runs: Sequence[tuple[float, float]]) -> ndarray:
    import numpy

    known, losses = numpy.array(runs).T
    return numpy.interp(rates, numpy.log(known), losses)


def _score(law: Law, cells: Sequence[Cell], n_kind: str | None, is_in_sample: bool) -> dict[str, Any]:
    partner = law if law.is_known("learning_rate") else get(PARTNER)
    told, farthest = [], 0.0
    for cell in cells:
        inputs = {"N": cell.N, "D": cell.D, "C": 6 * cell.N * cell.D}
        batch = law.predict("batch", **{one: inputs[one] for one in law.inputs("batch")})
        asked = {one: (inputs | {"B": batch.value})[one] for one in partner.inputs("learning_rate")}
        rate = partner.predict("learning_rate", **asked)
        told.append(excess_loss(cell, float(batch.value), float(rate.value)))
        farthest = max(farthest, batch.extrapolation, rate.extrapolation)
    asks = {*law.inputs("batch"), *partner.inputs("learning_rate")}
    facts = {
        "lr_from": partner.name, "C": "6 N D" if "C" in asks else None, "n_kind": _counts(law, partner, n_kind),
        "in_sample": is_in_sample, "extrapolation": farthest,
    }  # fmt: skip
    return _row(law.name, told, facts)


def _counts(law: Law, partner: Law, n_kind: str | None) -> str | None:
    """Say where the law, or the one that lends its learning rate, counts N otherwise than the table."""
    told = []
    asked: tuple[tuple[Law, Quantity], ...] = ((law, "batch"), (partner, "learning_rate"))
    for one, quantity in asked:
        if {"N", "C"} & set(one.inputs(quantity)) and one.n_kind is not None and one.n_kind != n_kind:
            told.append(f"{quantity.replace('_', ' ')}: law counts {one.n_kind}, table {n_kind or 'does not say'}")
    return "; ".join(told) or None


def _row(name: str, told: Sequence[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"law": name}
    for kind in ("joint", "batch"):
        values = [100 * one[kind] for one in told]
        row |= {f"{kind}_mean": sum(values) / len(values), f"{kind}_max": max(values)}
    return row | facts | {
        "cells": len(told),
        "clipped": [sum(one["is_batch_clipped"] for one in told), sum(one["is_lr_clipped"] for one in told)],
    }  # fmt: skip


def _law(one: str | Law | FittedLaw) -> Law:
    law = get(one) if isinstance(one, str) else one.law if isinstance(one, FittedLaw) else one
    if not law.is_known("batch") or not set(law.inputs("batch")) <= set("NDC"):
        raise ConfigError(
            f"{law.name} gives no best batch from N, D and C as a number (it gives {', '.join(law.gives())}); score "
            f"one of {', '.join(one.name for one in published_laws())}."
        )
    return law
