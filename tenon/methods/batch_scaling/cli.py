"""`tenon batch-scaling`: plan, laws, fit, compare, sweep, noise-scale, branch, quadratic."""

from __future__ import annotations

import typer

from tenon.core.commandline import settings_help
from tenon.methods.batch_scaling.cli_fit import compare_command, fit_command
from tenon.methods.batch_scaling.cli_plan import laws_command, plan_command
from tenon.methods.batch_scaling.cli_probe import branch_command, noise_scale_command
from tenon.methods.batch_scaling.cli_quadratic import quadratic_command
from tenon.methods.batch_scaling.cli_sweep import sweep_command
from tenon.methods.batch_scaling.config import PRESETS, BatchFitConfig, CriticalFitConfig, LossFitConfig, SweepConfig

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def batch_scaling() -> None:
    """Plan a training run; fit scaling laws to your own; measure whether a batch is too large."""


_LOSS = {name: one for name, one in PRESETS.items() if isinstance(one, LossFitConfig)}
_BATCH = {name: one for name, one in PRESETS.items() if isinstance(one, BatchFitConfig)}
_SWEEPS = {name: one for name, one in PRESETS.items() if isinstance(one, SweepConfig)}
_FITS = "\n\n".join(
    [
        "For loss, isoflop and data-limited laws:",
        settings_help(LossFitConfig(), _LOSS),
        "For batch and learning-rate laws:",
        settings_help(BatchFitConfig(), _BATCH),
        "For the critical batch of a sweep:",
        settings_help(CriticalFitConfig(), {}),
    ]
)

app.command("plan")(plan_command)
app.command("laws")(laws_command)
app.command("fit", epilog=_FITS)(fit_command)
app.command("compare")(compare_command)
app.command("sweep", epilog=settings_help(SweepConfig(), _SWEEPS))(sweep_command)
app.command("noise-scale")(noise_scale_command)
app.command("branch")(branch_command)
app.command("quadratic")(quadratic_command)
