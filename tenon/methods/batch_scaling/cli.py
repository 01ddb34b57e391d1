"""`tenon batch-scaling`: plan, laws, fit, compare, sweep, noise-scale."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def batch_scaling() -> None:
    """Plan a training run; fit scaling laws to your own; measure whether a batch is too large."""
