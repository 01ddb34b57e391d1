"""What measurements look like: the noise scale by pairs and over steps, losses of branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tenon.methods.batch_scaling.probes.branch import BranchResult

__all__ = ["draw_branches", "draw_noise_by_pairs", "draw_noise_by_step"]


def draw_noise_by_pairs(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw how the estimate settles.

    Args:
        rows: With `pairs`, `b_simple`, `low` and `high` [tokens], None where there is no number.
    """
    from matplotlib.figure import Figure

    told = [row for row in rows if row["b_simple"] is not None]
    closed = [row for row in rows if row["low"] is not None and row["high"] is not None]
    with style():
        figure = Figure()
        axes = figure.add_subplot()
        axes.plot([row["pairs"] for row in told], [row["b_simple"] for row in told], marker="o", label="estimate")
        if closed:
            at, low, high = ([row[name] for row in closed] for name in ("pairs", "low", "high"))
            axes.fill_between(at, low, high, alpha=0.2, linewidth=0, label="interval")
        if told:
            axes.set_yscale("log")
            axes.legend(fontsize=9)
        axes.set(xlabel="pairs of gradients", ylabel="noise scale [tokens]")
        return figure


def draw_noise_by_step(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the noise scale over a training.

    Args:
        rows: With `step` and, where it was resolved, `b_simple_tokens`.
    """
    from matplotlib.figure import Figure

    told = [row for row in rows if "b_simple_tokens" in row]
    with style():
        figure = Figure()
        axes = figure.add_subplot()
        points = [row["step"] for row in told], [row["b_simple_tokens"] for row in told]
        axes.plot(*points, marker="o" if len(told) <= 12 else "")
        if told:
            axes.set_yscale("log")
        axes.set(xlabel="step", ylabel="noise scale [tokens]")
        return figure


def draw_branches(result: BranchResult, tolerance: float) -> Figure:
    """Draw how much worse each batch is than the base branch's, and the tolerance.

    Args:
        result: Of `branch.branch_test`.
        tolerance: The line up to which a difference costs nothing [nats].
    """
    from matplotlib.figure import Figure

    told = [row for row in result.rows if row["excess"] is not None]
    with style():
        figure = Figure()
        axes = figure.add_subplot()
        axes.plot([row["batch_tokens"] for row in told], [row["excess"] for row in told], marker="o")
        axes.axhline(tolerance, linewidth=0.8, color="#62625d", label="tolerance")
        axes.set_xscale("log", base=2)
        axes.set(xlabel="batch [tokens]", ylabel="loss above the base branch [nats]")
        axes.legend(fontsize=9)
        return figure
