"""What a fit looks like: runs and law, residuals, the cells of a sweep, batch against tokens, laws on a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.drawing import MARKS
from tenon.core.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tenon.methods.batch_scaling.fits.cells import Cell
    from tenon.methods.batch_scaling.fits.law_card import FittedLaw

__all__ = ["draw_batch_law", "draw_cells", "draw_loss_fit", "draw_scores"]


def draw_loss_fit(fitted: FittedLaw) -> Figure:
    """Draw measured losses with the law, and the residuals, against compute; held-out runs are hollow."""
    import numpy
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    rows = fitted.residuals
    held = (fitted.holdout or {}).get("runs", ())
    with style():
        figure = Figure(figsize=(9.0, 3.8))
        left, right = figure.subplots(1, 2)
        sizes = numpy.array([row["N"] for row in rows])
        colours = numpy.log10(sizes)
        limits = {"vmin": colours.min(), "vmax": colours.max() + 1e-9, "cmap": "viridis"}
        compute = numpy.array([6 * row["N"] * row["D"] for row in rows])
        points = left.scatter(compute, [row["loss"] for row in rows], c=colours, s=18, **limits)
        for size in numpy.unique(sizes)[:: max(1, len(numpy.unique(sizes)) // 8)]:
            tokens = numpy.array([row["D"] for row in rows if row["N"] == size])
            line = numpy.geomspace(tokens.min(), tokens.max(), 40)
            colour = colormaps["viridis"]((numpy.log10(size) - limits["vmin"]) / (limits["vmax"] - limits["vmin"]))
            left.plot(6 * size * line, fitted.law.loss(size, line), color=colour, linewidth=1)
        right.axhline(0, color="#62625d", linewidth=1)
        percent = [100 * row["residual"] for row in rows]
        right.scatter(compute, percent, c=colours, s=18, **limits)
        if held:
            out = numpy.array([6 * row["N"] * row["D"] for row in held])
            left.scatter(out, [row["loss"] for row in held], facecolor="none", edgecolor="#D55E00", label="held out")
            right.scatter(out, [100 * row["residual"] for row in held], facecolor="none", edgecolor="#D55E00")
            left.legend()
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_xlabel("compute 6 N D [FLOPs]")
        left.set_ylabel("loss [nats per token]")
        right.set_ylabel("measured above law [%]")
        figure.colorbar(points, ax=[left, right], label="log10 parameters", pad=0.01)
    return figure


def draw_cells(cells: Sequence[Cell], most: int = 9) -> Figure:
    """Draw, for every (N, D), the loss above the best one against the batch, learning rates tuned anew for each."""
    import numpy
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    shown = [cells[i] for i in numpy.unique(numpy.linspace(0, len(cells) - 1, min(most, len(cells))).astype(int))]
    tokens = numpy.log([cell.D for cell in shown])
    shades = (tokens - tokens.min()) / max(float(numpy.ptp(tokens)), 1e-9)  # the more data, the lighter
    with style():
        figure = Figure(figsize=(8.4, 4.2))
        axes = figure.subplots()
        for place, cell in enumerate(shown):
            best = min(one.loss for one in cell.batches)
            batches = [one.batch for one in cell.batches]
            colour = colormaps["viridis"](0.92 * shades[place])
            axes.plot(batches, [one.loss - best for one in cell.batches], label=f"N {cell.N:.3g}, D {cell.D:.3g}",
                      color=colour, marker=MARKS[place % len(MARKS)], markersize=4, linewidth=1.2)  # fmt: skip
            if cell.status == "ok":
                axes.axvline(cell.batch, color=colour, linewidth=0.8, linestyle=":")
        axes.set_xscale("log", base=2)
        axes.set_yscale("symlog", linthresh=0.01)
        axes.set_ylim(bottom=-0.001)
        axes.set_xlabel("batch [tokens per step]")
        axes.set_ylabel("loss above the cell's best [nats]")
        figure.legend(loc="outside right center", fontsize=8, title="dotted: the best batch", title_fontsize=8)
    return figure


def draw_batch_law(fitted: FittedLaw, cells: Sequence[Cell], laws: Sequence[Any] = ()) -> Figure:
    """Draw the best batch of every cell against its tokens, the fitted law, and published ones for comparison."""
    import numpy
    from matplotlib.figure import Figure

    used = [cell for cell in cells if cell.status == "ok"]
    with style():
        figure = Figure(figsize=(7.0, 4.2))
        axes = figure.subplots()
        tokens = numpy.array([cell.D for cell in used])
        axes.scatter(tokens, [cell.batch for cell in used], c="#1d1d1b", s=22, label="best batch of a cell", zorder=3)
        line = numpy.geomspace(tokens.min() / 2, tokens.max() * 2, 40)
        size = float(numpy.exp(numpy.mean(numpy.log([cell.N for cell in used]))))
        compute = 6 * size * line
        axes.plot(line, fitted.law.batch(D=line, N=size, C=compute), label="fitted")
        for law in laws:
            axes.plot(line, law.batch(D=line, N=size, C=compute), label=law.name, linewidth=1, linestyle="--")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("training tokens D")
        axes.set_ylabel("best batch [tokens per step]")
        axes.legend(fontsize=8)
    return figure


def draw_scores(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw how much loss each law leaves above the best of a sweep, with its own learning rate and with the best."""
    from matplotlib.figure import Figure

    ordered = sorted(rows, key=lambda row: row["joint_mean"], reverse=True)
    with style():
        figure = Figure(figsize=(7.0, 0.6 + 0.5 * len(ordered)))
        axes = figure.subplots()
        places = range(len(ordered))
        axes.barh([p + 0.2 for p in places], [row["joint_mean"] for row in ordered], 0.36, label="batch and rate")
        axes.barh([p - 0.2 for p in places], [row["batch_mean"] for row in ordered], 0.36, label="batch, rate tuned")
        for place, row in enumerate(ordered):
            axes.plot(row["joint_max"], place + 0.2, "|", color="#1d1d1b")
            axes.plot(row["batch_max"], place - 0.2, "|", color="#1d1d1b")
        axes.set_yticks(list(places), [row["law"] for row in ordered])
        axes.set_xlabel("loss above the best [%]: mean over cells, tick: worst")
        axes.legend()
    return figure
