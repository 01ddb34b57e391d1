"""`tenon batch-scaling quadratic`: critical batch and best learning rates where both are exact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenon.core.commandline import Json, Out, emit, given

__all__ = ["quadratic_command"]


def quadratic_command(
    out: Out = Path("runs/batch-scaling-quadratic"),
    results: Annotated[Path | None, typer.Option(help="Write the figures here, too, with their provenance.")] = None,
    as_json: Json = False,
) -> None:
    """Train the noisy quadratic, whose losses are exact: what a critical batch is, and how learning rates follow.

    Example: tenon batch-scaling quadratic
    """
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.fits.critical_show import draw_critical
    from tenon.methods.batch_scaling.quadratic import experiment

    with Run.open(out, config={"experiment": "noisy quadratic"}, command=given()) as run:
        rows, facts = experiment()
        caption = (
            f"Steps to a loss of {facts['target']:g}, and the best learning rate for {facts['samples']:,} samples; its "
            "slope goes from 1, where noise rules, to 0."
        )
        run.table("batches", rows, caption)
        picture = draw_critical(rows, facts["s_min"], facts["e_min"], unit="samples")
        run.figure("steps", picture, "Steps against samples to one loss.", "Points on a hyperbola.")
        page = run.report("Batch-size scaling: the noisy quadratic")
    if results is not None:
        write_results(
            results, command=given(shortened=True), seed=0, weights="none: no model", batches=rows, facts=facts
        )
    text = (
        f"S_min {facts['s_min']:.4g} steps, E_min {facts['e_min']:.4g} samples, critical batch "
        f"{facts['critical_batch']:.3g}; worst residual {100 * facts['largest_residual']:.1f} %\nThe page is {page}"
    )
    emit({"batches": rows, "facts": facts}, as_json=as_json, text=text)
