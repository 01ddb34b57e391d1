"""`tenon rise`: sample, edit, pair, train, measure; each stage alone, or all of it in one run."""

from __future__ import annotations

import typer

from tenon.core.commandline import settings_help
from tenon.methods.rise.cli_data import edit_command, pairs_command, sample_command
from tenon.methods.rise.cli_train import compare_command, eval_command, run_command, train_command
from tenon.methods.rise.config import (
    PRESETS,
    CompareConfig,
    EvalConfig,
    Recipe,
)

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def rise() -> None:
    """Preference pairs that differ in one subtle error, and DPO on them."""


app.command("run", epilog=settings_help(Recipe(), PRESETS))(run_command)
app.command("sample", epilog=settings_help(Recipe(), PRESETS, "prompt", "sample", "seed"))(sample_command)
app.command("edit", epilog=settings_help(Recipe(), PRESETS, "prompt", "edit", "pairs", "seed"))(edit_command)
app.command("pairs", epilog=settings_help(Recipe(), PRESETS, "pairs", "seed"))(pairs_command)
app.command("train", epilog=settings_help(Recipe(), PRESETS, "prompt", "rise"))(train_command)
app.command("eval", epilog=settings_help(EvalConfig(), PRESETS))(eval_command)
app.command("compare", epilog=settings_help(CompareConfig(), PRESETS))(compare_command)
