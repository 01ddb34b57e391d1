"""What a plan looks like: the cost of a batch with every law's advice on it, and the loss of every share of compute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.report import style
from tenon.methods.batch_scaling.laws.loss import LossLaw, ThreeTermLoss
from tenon.methods.batch_scaling.plans.planner import flat_region
from tenon.methods.batch_scaling.plans.record import FLAT_NATS, Plan
from tenon.methods.batch_scaling.plans.units import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_batches", "draw_isoflop"]

_SOFT = "#62625d"


def draw_batches(plan: Plan, surface: ThreeTermLoss | None = None) -> Figure:
    """Draw what every law says of the batch, the planned one, and what a batch costs by a fitted three-term law.

    Args:
        plan: The plan.
        surface: A law of the loss of the batch; None leaves only the laws' advice.
    """
    from matplotlib.figure import Figure

    best = [row for row in plan.rows if row.quantity == "batch" and row.value is not None]
    critical = [row for row in plan.rows if row.quantity == "critical_batch" and row.value is not None]
    values = [row.value for row in (*best, *critical) if row.value is not None]
    low, high = min(*values, plan.batch_tokens) / 1.6, max(*values, plan.batch_tokens) * 1.6
    lines = sorted([*best, *critical], key=lambda row: (row.quantity, row.value))
    with style():
        figure = Figure(figsize=(7.0, (2.4 if surface else 0.6) + 0.24 * len(lines)))
        if surface is None:
            advice = figure.add_subplot()
        else:
            cost, advice = figure.subplots(2, 1, sharex=True, height_ratios=[2.0, 0.22 * len(lines)])
            _draw_cost(cost, plan, surface, low, high)
        for place, row in enumerate(reversed(lines)):
            is_best = row.quantity == "batch"
            colour = "#0072B2" if is_best else "#D55E00"
            faint = 1.0 if row.used or not is_best else 0.45
            filled = colour if row.used else "white"
            advice.plot(
                [row.value or 0.0], [place], "o" if is_best else "D", color=colour, markerfacecolor=filled, alpha=faint
            )
            if not is_best:
                advice.axvline(float(row.value or 0), color=colour, linestyle="--", linewidth=0.7, alpha=0.6)
        advice.axvline(plan.batch_tokens, color="#1d1d1b", linewidth=2.4)
        if plan.flat is not None:
            advice.axvspan(*plan.flat, color="#009E73", alpha=0.12, linewidth=0)
        advice.set_yticks(range(len(lines)), [_label(row.law, row.used) for row in reversed(lines)], fontsize=8.5)
        advice.set(xscale="log", xlim=(low, high), xlabel="batch [tokens per step]", ylim=(-0.7, len(lines) - 0.3))
        advice.grid(visible=False, axis="y")
        _legend(advice)
        _count_ticks(advice)
        return figure


def _legend(axes: Axes) -> None:
    axes.plot([], [], "o", color="#0072B2", label="best batch, in use")
    axes.plot([], [], "o", color="#0072B2", markerfacecolor="white", alpha=0.45, label="best batch, not in use")
    axes.plot([], [], "D--", color="#D55E00", markerfacecolor="white", linewidth=0.7, label="critical batch")
    axes.plot([], [], color="#1d1d1b", linewidth=2.4, label="planned")
    axes.legend(
        fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.42, 1.0), columnspacing=1.2, handlelength=1.6
    )


def _label(law: str, is_used: bool) -> str:
    return f"{law} •" if is_used else law


def _draw_cost(axes: Axes, plan: Plan, surface: ThreeTermLoss, low: float, high: float) -> None:
    """Draw the loss above the best batch's, on the plan's tokens, with the flat region shaded."""
    import numpy

    at = numpy.geomspace(low, high, 200)
    axes.plot(at, surface.excess(plan.tokens, at), color="#009E73")
    flat = flat_region(surface, plan.tokens)
    axes.axvspan(*flat, color="#009E73", alpha=0.12, linewidth=0)
    axes.axvline(plan.batch_tokens, color="#1d1d1b", linewidth=2.4)
    best = float(surface.best_batch(plan.tokens))
    axes.plot(best, 0, "v", color="#009E73", clip_on=False)
    told = f"{short(flat[0])} to {short(flat[1])} within {FLAT_NATS:g} nats"
    axes.set(ylabel="excess loss\n[nats per token]", ylim=(0, None))
    axes.set_title(f"By {surface.name} at {short(plan.tokens)} tokens: {told} of the best batch", fontsize=9)


def draw_isoflop(plan: Plan, laws: Sequence[LossLaw]) -> Figure:
    """Draw the loss of every model size at the plan's compute, a line per law, with its optimum.

    Losses of different laws are of different data, so each line stands by how much it is above its own optimum.

    Args:
        plan: The plan.
        laws: Laws of the loss that can allocate.
    """
    import numpy
    from matplotlib.figure import Figure

    compute = 6 * plan.params * plan.tokens
    with style():
        figure = Figure()
        axes = figure.add_subplot()
        optima = [law.optimal(compute) for law in laws]
        sizes = [float(best.N) for best in optima]
        low, high = min(*sizes, plan.params) / 8, max(*sizes, plan.params) * 8
        at = numpy.geomspace(low, high, 200)
        tops = []
        for law, best in zip(laws, optima, strict=True):
            above = law.loss(at, compute / (6 * at)) - best.loss
            (line,) = axes.plot(at, above, label=f"{law.name}: N = {short(best.N)}, D/N = {best.D / best.N:.3g}")
            axes.plot(best.N, 0, "v", color=line.get_color(), clip_on=False, zorder=5)
            tops.append(float(law.loss(plan.params, plan.tokens) - best.loss))
        axes.axvline(plan.params, color="#1d1d1b", linewidth=2.4, label=f"planned: N = {short(plan.params)}")
        axes.set(xscale="log", xlim=(low, high), ylim=(0, max(0.15, 1.3 * max(tops))), xlabel="parameters N")
        axes.set_ylabel("loss above the law's optimum\n[nats per token]")
        axes.set_title(f"C = 6 N D = {compute:.3g} FLOPs", fontsize=9)
        axes.legend(fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.06))
        _count_ticks(axes)
        return figure


def _count_ticks(axes: Axes) -> None:
    """Write counts as people do, 1M and 3M, where a logarithmic axis would write powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    subs: Any = (1.0,) if math.log10(high / low) > 3 else (1.0, 3.0)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
