"""`tenon rise`: sample, edit, pair, train, measure; each stage alone, or all of it in one run."""

from __future__ import annotations

import typer

from tenon.core.commandline import settings_help
from tenon.methods.rise.cli_data import edit_command, pairs_command, sample_command
from tenon.methods.rise.cli_train import compare_command, eval_command, run_command, train_command
from tenon.methods.rise.config import PRESETS, CompareConfig, EvalConfig

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def rise() -> None:
    """Preference pairs that differ in one subtle error, and DPO on them."""


_EVALS = {name: EvalConfig(prompt=one.prompt, max_tokens=one.sample.max_tokens) for name, one in PRESETS.items()}
_COMPARISONS = {name: CompareConfig(recipe=one) for name, one in PRESETS.items()}

app.command("run", epilog=settings_help(PRESETS["paper"], PRESETS))(run_command)
app.command("sample", epilog=settings_help(PRESETS["paper"], PRESETS, "prompt", "sample", "seed"))(sample_command)
app.command("edit", epilog=settings_help(PRESETS["paper"], PRESETS, "prompt", "edit", "pairs", "seed"))(edit_command)
app.command("pairs", epilog=settings_help(PRESETS["paper"], PRESETS, "pairs", "seed"))(pairs_command)
app.command("train", epilog=settings_help(PRESETS["paper"], PRESETS, "prompt", "rise"))(train_command)
app.command("eval", epilog=settings_help(_EVALS["paper"], _EVALS))(eval_command)
app.command("compare", epilog=settings_help(CompareConfig(), _COMPARISONS))(compare_command)
