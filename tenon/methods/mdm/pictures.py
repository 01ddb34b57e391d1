"""What training and answering look like."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.drawing import MARKS, heights
from tenon.core.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_groups", "draw_loss", "draw_orders"]


def draw_loss(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the loss over the steps.

    Args:
        lines: Of the metrics, with `step` and `loss`.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure()
        axes = figure.add_subplot()
        told = [line for line in lines if line.get("loss") is not None]
        axes.plot([line["step"] for line in told], [line["loss"] for line in told])
        axes.set(xlabel="step", ylabel="loss", yscale="log")
        return figure


def draw_orders(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy over forward passes, one line per way of writing.

    Args:
        rows: With `order`, `revise`, `forwards`, `strict`, `low` and `high` [share]; `threshold` and `block`, if any.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure()
        axes, marks = figure.add_subplot(), itertools.cycle(MARKS)
        for name in dict.fromkeys(_name(row) for row in rows):
            mine = sorted((row for row in rows if _name(row) == name), key=lambda row: row["forwards"])
            place = [row["forwards"] for row in mine]
            axes.errorbar(place, *heights(mine, "strict", 100), marker=next(marks), capsize=3, alpha=0.8, label=name)
        axes.set(xlabel="forward passes", ylabel="solved [%]", xscale="log", ylim=(-2, 102))
        forwards = sorted({row["forwards"] for row in rows if row.get("threshold") is None})
        axes.set_xticks(forwards, [f"{one:g}" for one in forwards], minor=False)
        axes.minorticks_off()
        axes.legend(fontsize=9)
        return figure


def draw_groups(tables: Mapping[str, Sequence[Mapping[str, Any]]], xlabel: str) -> Figure:
    """Draw accuracy by group, one line per model.

    Args:
        tables: Per model the rows of `evaluate_puzzles` with a number as `group`.
        xlabel: What the groups are.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure()
        axes, marks = figure.add_subplot(), itertools.cycle(MARKS)
        for name, rows in tables.items():
            place = [row["group"] for row in rows]
            axes.errorbar(place, *heights(rows, "strict", 100), marker=next(marks), capsize=3, alpha=0.8, label=name)
        axes.set(xlabel=xlabel, ylabel="solved [%]", ylim=(-2, 102))
        axes.set_xticks(sorted({row["group"] for rows in tables.values() for row in rows}))
        axes.legend(fontsize=9)
        return figure


def _name(row: Mapping[str, Any]) -> str:
    parts = [str(row["order"])]
    parts += [] if row["revise"] or row["order"] in ("random", "left to right") else ["never revised"]
    parts += ["above a threshold"] if row.get("threshold") is not None else []
    parts += [f"blocks of {row['block']}"] if row.get("block") is not None else []
    return ", ".join(parts)
