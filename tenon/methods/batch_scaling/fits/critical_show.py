"""The critical batch as a page and as lines: of steps to one loss, and of a sweep."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.report import style
from tenon.methods.batch_scaling import laws
from tenon.methods.batch_scaling.fits.critical_fit import REMARKS
from tenon.methods.batch_scaling.fits.show import constants, show_rest
from tenon.methods.batch_scaling.laws.published_batch import overhead_at_critical

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tenon.core.run import Run
    from tenon.methods.batch_scaling.fits.critical_fit import CriticalFit
    from tenon.methods.batch_scaling.fits.law_card import FittedLaw
    from tenon.methods.batch_scaling.fits.steps_to_loss import CriticalSweep

__all__ = ["draw_critical", "draw_critical_sweep", "show_critical", "show_critical_sweep"]


def show_critical(run: Run, fit: CriticalFit) -> str:
    """Show the critical batch of steps to one loss, and say it in lines."""
    low, high = fit.intervals.get("critical_batch", (None, None))
    row = {"critical batch": fit.critical_batch if fit.is_identified else None, "low": low, "high": high,
           "S_min": fit.s_min, "E_min": fit.e_min}  # fmt: skip
    run.table("critical", [row], "S = S_min + E_min / B.")
    run.table("points", [dict(one) for one in fit.residuals], "Steps to the loss, measured and fitted.")
    run.figure("critical", draw_critical(fit.residuals, fit.s_min, fit.e_min), "Steps against tokens.", "A hyperbola.")
    for warning in fit.warnings:
        run.note(warning)
    batches = [one["batch"] for one in fit.residuals]
    if fit.is_identified:
        ends = "" if low is None else f" ({low:,.4g} to {high:,.4g})"
        line = f"Critical batch {fit.critical_batch:,.4g}{ends} = E_min {fit.e_min:,.4g} / S_min {fit.s_min:,.4g}"
    elif "S_min not identified" in fit.remarks:
        line = f"The critical batch is above the batches tried, {max(batches):,.4g} at most."
    else:
        line = f"The critical batch is below the batches tried, {min(batches):,.4g} at least."
    return "\n".join([line, *(f"  Warning: {one}" for one in fit.warnings)])


def show_critical_sweep(run: Run, sweep: CriticalSweep, law: FittedLaw | None, why: str = "") -> str:
    """Show the critical batches of a sweep, their law or why there is none, and say the batches in lines."""
    rows = sweep.rows()
    caption = "The critical batch by model size and loss; intervals from the residuals of each fit alone."
    run.table("critical", rows, " ".join([caption, *_meanings(rows)]))
    if law is not None:
        run.table("critical-law", constants(law), f"{law.law.equation}: {law.runs} critical batches.")
        others = [{"estimator": name, **one} for name, one in law.estimator["sensitivity"].items()]
        run.table("sensitivity", others, "The exponents of the tokens (x) and of the model size (y) by other choices.")
    caption = "Left: steps against tokens to a loss, sizes in the colours of the right. Right: the critical batches."
    if not _published({one.N for one in sweep.found}):
        caption += " Published laws are of models over ten times as large, and not drawn."
    run.figure("critical", draw_critical_sweep(sweep), caption, "Hyperbolas; points with intervals, and lines.")
    if sweep.noise:
        caption = "Measured gradient noise scales beside the critical batch of the same size at the same loss [tokens]."
        run.table("noise", [dict(one) for one in sweep.noise], caption)
    if law is not None:
        show_rest(run, law)
    else:
        left = [{"what": one.id, "left out because": one.reason} for one in sweep.left_out]
        run.table("left-out", left, "What says nothing of a critical batch.")
        run.note(why)
    return "\n".join([*_lines(sweep, rows), *([] if law else [why])])


def _lines(sweep: CriticalSweep, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [f"{'N':>10}{'loss':>8}{'critical batch':>16}   {'interval':<21}{'S_min':>8}{'E_min':>12}{'batches':>9}"]
    for row in rows:
        ends = "" if row["low"] is None else f"{row['low']:.3g} to {row['high']:.3g}"
        batch = "-" if row["critical batch"] is None else f"{row['critical batch']:,.4g}"
        told = f"{row['N']:>10.4g}{row['target loss']:>8.3f}{batch:>16}   {ends:<21}"
        lines.append(f"{told}{row['S_min']:>8.4g}{row['E_min']:>12.4g}{row['batches']:>9}  {row['remark']}".rstrip())
    lines += [f"  {one}" for one in _meanings(rows)]
    if sweep.noise:
        import numpy

        low, middle, high = numpy.percentile([one["noise / critical"] for one in sweep.noise], (25, 50, 75))
        count = len(sweep.noise)
        lines.append(
            f"Noise scale over critical batch in {count} runs: median {middle:.2g}, quartiles {low:.2g}, {high:.2g}"
        )
    return lines


def _meanings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Explain the remarks that rows have."""
    used = {remark for row in rows for remark in row["remark"].split(", ")}
    return [f"{name.capitalize()}: {meaning}." for name, meaning in REMARKS.items() if name in used]


def _published(sizes: Iterable[float]) -> list[tuple[str, Any, float]]:
    """Give the laws of the critical batch by tokens that are of models like these: label, law, and its divisor."""
    middle = math.exp(statistics.fmean(map(math.log, sizes)))
    found = []
    for name in ("bergsma2025.critical", "zhang2024.data"):
        law, share = laws.get(name), overhead_at_critical(name)
        if law.domain.N is not None and law.domain.N[0] / 10 <= middle <= law.domain.N[1] * 10:
            found.append((name if share == 1 else f"{name} / {share:g}", law, share))
    return found


def draw_critical(rows: Sequence[Mapping[str, Any]], s_min: float, e_min: float, unit: str = "tokens") -> Figure:
    """Draw steps against tokens to one loss, with the hyperbola (S/S_min - 1)(E/E_min - 1) = 1."""
    import numpy
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(6.0, 4.0))
        axes = figure.subplots()
        axes.plot([row["batch"] * row["steps"] for row in rows], [row["steps"] for row in rows], "o", label="measured")
        batch = numpy.geomspace(min(row["batch"] for row in rows), max(row["batch"] for row in rows), 80)
        axes.plot(e_min + s_min * batch, s_min + e_min / batch, label="fitted")
        axes.plot([2 * e_min], [2 * s_min], "D", label=f"critical batch {e_min / s_min:,.0f}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(f"{unit} to the target loss")
        axes.set_ylabel("steps to the target loss")
        axes.legend()
    return figure


def draw_critical_sweep(sweep: CriticalSweep) -> Figure:
    """Draw steps against tokens to each loss, and the critical batches against E_min.

    Beside these stand published laws whose own models are within a factor ten of the sweep's.
    """
    import numpy
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    sizes = sorted({one.N for one in sweep.found})
    shades = {size: colormaps["viridis"](0.9 * i / max(1, len(sizes) - 1)) for i, size in enumerate(sizes)}
    with style():
        figure = Figure(figsize=(9.6, 4.0))
        left, right = figure.subplots(1, 2)
        for one in sweep.found:
            fit, colour = one.fit, shades[one.N]
            batch = numpy.array([row["batch"] for row in fit.residuals])
            left.plot(batch * [row["steps"] for row in fit.residuals], [row["steps"] for row in fit.residuals],
                      color=colour, marker=".", linestyle="none")  # fmt: skip
            line = numpy.geomspace(batch.min(), batch.max(), 60)
            left.plot(fit.e_min + fit.s_min * line, fit.s_min + fit.e_min / line, color=colour, linewidth=1)
            if ends := fit.intervals.get("critical_batch"):
                right.plot([fit.e_min] * 2, ends, color=colour, linewidth=1)
        for size in sizes:
            of_size = [one for one in sweep.found if size == one.N]
            clear = [one for one in of_size if one.fit.is_identified]
            right.plot([one.fit.e_min for one in clear], [one.fit.critical_batch for one in clear],
                       color=shades[size], marker="o", markersize=4, label=f"N {size:.3g}")  # fmt: skip
        least = [one.fit.e_min for one in sweep.found]
        tokens = numpy.geomspace(min(least), max(least), 40)
        for (label, law, share), grey in zip(_published(sizes), ("#1d1d1b", "#9a9a94"), strict=False):
            batches = law.critical_batch(D=tokens) / share
            right.plot(tokens, batches, label=label, linewidth=1, linestyle="--", color=grey)
        left.set_xlabel("tokens to the loss")
        left.set_ylabel("steps to the loss")
        right.set_xlabel("E_min [tokens]" + ("; of the laws: D" if _published(sizes) else ""))
        right.set_ylabel("critical batch [tokens]")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.tick_params(which="minor", labelsize=6)
        known = [one.fit.critical_batch for one in sweep.found if one.fit.is_identified]
        if known:  # an interval that says nothing must not flatten what is known
            low, high = right.get_ylim()
            right.set_ylim(max(low, min(known) / 10), min(high, max(known) * 10))
        right.legend(fontsize=8)
    return figure
