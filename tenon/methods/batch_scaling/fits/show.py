"""Fitted laws on the page of their run, and in a few lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tenon.methods.batch_scaling.laws.loss import LossLaw

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.fits.cells import Cell
    from tenon.methods.batch_scaling.fits.law_card import FittedLaw

__all__ = ["constants", "show_batch_law", "show_loss_law", "show_rest", "told"]


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
    show_rest(run, fitted)


def show_batch_law(run: Run, fitted: FittedLaw, cells: Sequence[Cell], laws: Sequence[Any] = ()) -> None:
    """Show a law of the best batch: constants, the cells behind it, what was left out."""
    from tenon.methods.batch_scaling.fits.pictures import draw_batch_law, draw_cells

    run.table("batch-law", constants(fitted), f"{fitted.law.equation}: {fitted.runs} cells, {_intervals(fitted)}.")
    run.table("cells", [dict(row) for row in fitted.residuals], "The best batch of every cell, and what the law says.")
    run.figure("cells", draw_cells(cells), "Loss against batch, learning rate tuned for each.", "U-shaped lines.")
    run.figure("batch", draw_batch_law(fitted, cells, laws), "Best batch against tokens.", "Points and lines.")
    show_rest(run, fitted)


def show_rest(run: Run, fitted: FittedLaw) -> None:
    """Show what a law leaves out, and what makes it doubtful."""
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
