"""The pictures of training under the mask: how the loss fell, and where each mask ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tenon.core.report import style
from tenon.methods.sepllm.ablate_table import names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_curves", "draw_losses", "draw_training"]

DASHES = ("-", "--", ":", "-.")
"""How windows are told apart, from narrow to wide."""


def _color(rule: str) -> str:
    return f"C{list(names()).index(rule)}"


def draw_training(losses: Sequence[Mapping[str, Any]], held_out: float | None = None) -> Figure:
    """Draw the loss of one training over its steps.

    Args:
        losses: Lines of the metrics, with `step` and `loss` [nats per token].
        held_out: Loss on held-out text at the end; None where there is none.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure()
        axes = figure.add_subplot()
        axes.plot([line["step"] for line in losses], [line["loss"] for line in losses], label="training text")
        if held_out is not None:
            axes.axhline(held_out, color="C1", linestyle="--", label="held-out text, at the end")
            axes.legend(fontsize=9)
        axes.set(xlabel="step", ylabel="loss [nats per token]")
        return figure


def draw_curves(curves: Mapping[str, tuple[str, int | None, Sequence[Sequence[float]]]]) -> Figure:
    """Draw the training loss of every mask and window, mean over seeds.

    Args:
        curves: Per training its rule, its window, and pairs of step and loss [nats per token].
    """
    from matplotlib.figure import Figure

    windows = sorted({window for _, window, _ in curves.values() if window is not None})
    groups: dict[tuple[str, int | None], list[Sequence[Sequence[float]]]] = {}
    for rule, window, curve in curves.values():
        groups.setdefault((rule, window), []).append(curve)
    with style():
        figure = Figure()
        axes = figure.add_subplot()
        for (rule, window), group in groups.items():
            dashes = DASHES[windows.index(window) % len(DASHES)] if window is not None else "-"
            axes.plot(
                [step for step, _ in group[0]],
                [fmean(points) for points in zip(*([loss for _, loss in curve] for curve in group), strict=True)],
                label=names()[rule] + ("" if window is None else f", {window}"),
                color=_color(rule),
                linestyle=dashes,
                linewidth=1.2,
            )
        axes.set(xlabel="step", ylabel="training loss\n[nats per token]")
        axes.legend(fontsize=8)
        return figure


def draw_losses(masks: Sequence[Mapping[str, Any]], trainings: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the held-out loss by mask, one panel per window: a bar for the mean, a point for each seed.

    Args:
        masks: Rows of `compare_losses`.
        trainings: One row per trained model.
    """
    from matplotlib.figure import Figure

    windows = sorted({row["window"] for row in masks if row["window"] is not None})
    with style():
        places = len({row["rule"] for row in masks})
        figure = Figure(figsize=(max(4.2, 1.1 * places) * len(windows), 3.8))
        panels = figure.subplots(1, len(windows), sharey=True, squeeze=False)[0]
        for axes, window in zip(panels, windows, strict=True):
            shown = [row for row in masks if row["window"] in (None, window)]
            for place, row in enumerate(shown):
                points = [
                    one["loss"] for one in trainings if (one["rule"], one["window"]) == (row["rule"], row["window"])
                ]
                color, mean = _color(row["rule"]), row["loss [nats per token]"]
                axes.plot([place - 0.3, place + 0.3], [mean, mean], color=color)
                spread = [place + 0.12 * (index - (len(points) - 1) / 2) for index in range(len(points))]
                axes.plot(spread, points, "o", markersize=5, color=color)
            labels = [row["mask"].replace(", ", ",\n") for row in shown]
            axes.set_xticks(range(len(shown)), labels, fontsize=8)
            axes.set(title=f"window {window}", xlim=(-0.6, len(shown) - 0.4))
        panels[0].set_ylabel("held-out loss\n[nats per token]")
        return figure
