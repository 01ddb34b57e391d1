"""Fitted laws on the page of their run, and in a few lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tenon.methods.batch_scaling.laws.loss import LossLaw

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.fits.cells import Cell
    from tenon.methods.batch_scaling.fits.critical_fit import CriticalFit
    from tenon.methods.batch_scaling.fits.law_card import FittedLaw
    from tenon.methods.batch_scaling.fits.steps_to_loss import CriticalSweep

__all__ = ["constants", "show_batch_law", "show_critical", "show_critical_sweep", "show_loss_law", "told"]


def constants(fitted: FittedLaw) -> list[dict[str, Any]]:
    """Give one row per constant, with its interval; `a` is the exponent of the best model size by compute."""
    names = [*fitted.params, *(name for name in fitted.intervals if name not in fitted.params)]
    derived = {"a": fitted.law.exponent()} if isinstance(fitted.law, LossLaw) and "a" in names else {}
    rows = []
    for name in names:
        low, high = fitted.intervals.get(name, (None, None))
        rows.append({"constant": name, "value": fitted.params.get(name, derived.get(name)), "low": low, "high": high})
    return rows


def show_loss_law(run: Run, fitted: FittedLaw) -> None:
    """Show a fitted loss law: constants, picture, hold-out, what was left out."""
    from tenon.methods.batch_scaling.fits.pictures import draw_loss_fit

    run.table("constants", constants(fitted), f"{fitted.law.equation}: {fitted.runs} runs, {_intervals(fitted)}.")
    run.figure("fit", draw_loss_fit(fitted), "Runs and law; residuals.", "Losses and residuals against compute.")
    if fitted.holdout:
        facts = {name: value for name, value in fitted.holdout.items() if name != "runs"}
        run.table("holdout", [facts], "Predicted from the smaller runs alone.")
    _show_rest(run, fitted)


def show_batch_law(run: Run, fitted: FittedLaw, cells: Sequence[Cell], laws: Sequence[Any] = ()) -> None:
    """Show a law of the best batch: constants, the cells behind it, what was left out."""
    from tenon.methods.batch_scaling.fits.pictures import draw_batch_law, draw_cells

    run.table("batch-law", constants(fitted), f"{fitted.law.equation}: {fitted.runs} cells, {_intervals(fitted)}.")
    run.table("cells", [dict(row) for row in fitted.residuals], "The best batch of every cell, and what the law says.")
    run.figure("cells", draw_cells(cells), "Loss against batch, learning rate tuned for each.", "U-shaped lines.")
    run.figure("batch", draw_batch_law(fitted, cells, laws), "Best batch against tokens.", "Points and lines.")
    _show_rest(run, fitted)


def show_critical(run: Run, fit: CriticalFit) -> str:
    """Show the critical batch of steps to one loss, and say it in lines."""
    from tenon.methods.batch_scaling.fits.pictures import draw_critical

    low, high = fit.intervals.get("critical_batch", (None, None))
    row = {"critical batch": fit.critical_batch, "low": low, "high": high, "S_min": fit.s_min, "E_min": fit.e_min}
    run.table("critical", [row], "S = S_min + E_min / B.")
    run.table("points", [dict(one) for one in fit.residuals], "Steps to the loss, measured and fitted.")
    run.figure("critical", draw_critical(fit.residuals, fit.s_min, fit.e_min), "Steps against tokens.", "A hyperbola.")
    for warning in fit.warnings:
        run.note(warning)
    ends = "" if low is None else f" ({low:,.4g} to {high:,.4g})"
    lines = [f"Critical batch {fit.critical_batch:,.4g}{ends} = E_min {fit.e_min:,.4g} / S_min {fit.s_min:,.4g}"]
    return "\n".join([*lines, *(f"  Warning: {one}" for one in fit.warnings)])


def show_critical_sweep(run: Run, sweep: CriticalSweep) -> str:
    """Show the critical batches of a sweep beside published laws of it, and say them in lines."""
    from tenon.methods.batch_scaling.fits.pictures import draw_critical_sweep

    rows = sweep.rows()
    caption = (
        "The critical batch by model size and loss; intervals from the residuals of each fit alone. Extrapolated: "
        "outside the batches tried. Poor fit: some steps are over a tenth off the hyperbola."
    )
    run.table("critical", rows, caption)
    caption = "Left: steps against tokens to a loss. Right: the critical batch against E_min, with published laws."
    run.figure("critical", draw_critical_sweep(sweep), caption, "Hyperbolas; points with intervals, and lines.")
    if sweep.noise:
        caption = "Measured gradient noise scales beside the critical batch of the same size at the same loss [tokens]."
        run.table("noise", [dict(one) for one in sweep.noise], caption)
    if sweep.left_out:
        left = [{"what": one.id, "left out because": one.reason} for one in sweep.left_out]
        run.table("left-out", left, "What says nothing of a critical batch.")
    lines = [f"{'N':>10}{'loss':>8}{'critical batch':>16}   {'interval':<21}{'S_min':>8}{'E_min':>12}{'batches':>9}"]
    for row in rows:
        ends = "" if row["low"] is None else f"{row['low']:.3g} to {row['high']:.3g}"
        batch = f"{row['N']:>10.4g}{row['target loss']:>8.3f}{row['critical batch']:>16,.4g}   {ends:<21}"
        rest = f"{row['S_min']:>8.4g}{row['E_min']:>12.4g}{row['batches']:>9}  {row['remark']}"
        lines.append((batch + rest).rstrip())
    if sweep.noise:
        ratios = sorted(one["noise / critical"] for one in sweep.noise)
        lines.append(f"Noise scale over critical batch: {ratios[0]:.2g} to {ratios[-1]:.2g} in {len(ratios)} runs.")
    lines.append(f"{len(sweep.left_out)} batches or losses are left out; the page says why.")
    return "\n".join(lines)


def _show_rest(run: Run, fitted: FittedLaw) -> None:
    if fitted.dropped:
        rows = [{"run": one.id, "left out because": one.reason} for one in fitted.dropped]
        run.table(f"left-out-{fitted.law.name}", rows, "What was not fitted.")
    for warning in fitted.warnings:
        run.note(f"{fitted.law.name}: {warning}")


def _intervals(fitted: FittedLaw) -> str:
    if not fitted.intervals:
        return "no intervals asked for"
    level = fitted.estimator.get("level", 0.95)
    return f"{100 * level:.0f} % intervals ({fitted.estimator.get('intervals', 'bootstrap')})"


def told(fitted: FittedLaw) -> str:
    """Say what was fitted, in lines."""
    lines = [f"{fitted.law.equation}   ({fitted.runs} fitted, {len(fitted.dropped)} left out)"]
    for row in constants(fitted):
        value = "" if row["value"] is None else f"{row['value']:.5g}"
        ends = "" if row["low"] is None else f"   {row['low']:.4g} to {row['high']:.4g}"
        lines.append(f"  {row['constant']:<8} {value:<12}{ends}")
    if fitted.holdout:
        lines.append(
            f"  held out: {fitted.holdout['count']} largest runs, predicted within "
            f"{100 * fitted.holdout['max_error']:.2f} % (mean {100 * fitted.holdout['mean_error']:.2f} %)"
        )
    lines += [f"  Warning: {one}" for one in fitted.warnings]
    return "\n".join(lines)
