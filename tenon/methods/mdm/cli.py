"""`tenon mdm`: train on puzzles, let a model solve them, and count what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tenon.core.commandline import (
    ConfigFile,
    Device,
    Json,
    Out,
    Preset,
    Seed,
    Sets,
    emit,
    given,
    settings_help,
    with_seed,
)
from tenon.methods.mdm.cli_compare import Data, Kind, Results, compare_command, data_command
from tenon.methods.mdm.cli_finetune import complete_command, finetune_command
from tenon.methods.mdm.cli_solve import solve_command
from tenon.methods.mdm.config import (
    CONTENDERS,
    PRESETS,
    CompareConfig,
    DecodeConfig,
    EvalConfig,
    FinetuneConfig,
    PuzzleTraining,
)

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


app.command("data")(data_command)
app.command("compare", epilog=settings_help(CompareConfig(), PRESETS))(compare_command)
app.command("solve", epilog=settings_help(DecodeConfig()))(solve_command)
app.command("finetune", epilog=settings_help(FinetuneConfig()))(finetune_command)
app.command("complete", epilog=settings_help(DecodeConfig()))(complete_command)


@app.callback()
def mdm() -> None:
    """Train a masked-diffusion model that plans: Sudoku, Countdown, SAT, paths; beside its left-to-right baseline."""


@app.command("train", epilog=settings_help(PuzzleTraining(), PRESETS))
def train_command(
    kind: Kind,
    preset: Preset = None,
    contender: Annotated[
        str | None,
        typer.Option("--as", help=f"A named baseline or ablation: {', '.join(CONTENDERS)}."),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    data: Data = None,
    seed: Seed = None,
    out: Out = Path("runs/mdm-train"),
    as_json: Json = False,
) -> None:
    """Train on puzzles, generated or of a file; --as ar is the left-to-right baseline on the same rows and steps.

    Example: tenon mdm train path --preset small-path --out runs/path
    Example: tenon mdm train sudoku --preset paper-sudoku --data sudoku.jsonl --set train.precision=bf16
    Example: torchrun --nproc-per-node 8 -m tenon mdm train sudoku --preset paper-sudoku --set train.accumulation=1
    """
    from tenon.core.config import load
    from tenon.core.errors import ConfigError
    from tenon.core.ranks import is_main
    from tenon.core.run import Run
    from tenon.methods.mdm.kinds import puzzles_of, read_given
    from tenon.methods.mdm.pictures import draw_loss
    from tenon.methods.mdm.train import train_on_puzzles

    chosen = [] if preset else [f"kind={kind}"]
    settings = load(
        PuzzleTraining,
        presets=PRESETS,
        preset=preset,
        file=config,
        sets=with_seed([*chosen, *(sets or ())], seed, "train.seed"),
    )
    if settings.kind != kind:
        raise ConfigError(f"The preset {preset!r} is for {settings.kind}, but {kind} came; choose one of both.")
    if contender is not None:
        if contender not in CONTENDERS:
            raise ConfigError(f"--as is {contender!r}; it must be one of {', '.join(CONTENDERS)}.")
        settings = CONTENDERS[contender].training(settings)
    puzzles, identity = read_given(data, puzzles_of(kind, settings.size), settings.rows)  # before a run is begun
    with Run.open(out, config=settings, command=given(), seed=settings.train.seed, identity=identity) as run:
        folder = train_on_puzzles(run, settings, puzzles)
        if not is_main():  # under torchrun, one process shows
            return
        losses = [line for line in run.metrics() if line.get("loss") is not None]
        row: dict[str, Any] = {"kind": settings.kind, "objective": settings.objective, "steps": settings.train.steps}
        row |= {"rows": len(puzzles or range(settings.rows)), "loss at the end": losses[-1]["loss"] if losses else None}
        run.table("training", [row], "What was trained; losses of different objectives are not comparable.")
        run.figure("loss", draw_loss(losses), "Training loss.", "A line of training loss over steps.")
        page = run.report(f"MDM: {settings.objective} on {kind}")
    told = f"The model is in {folder}. Measure it: tenon mdm eval {folder}\nThe page is {page}"
    emit({"model": str(folder), **row}, as_json=as_json, text=told)


@app.command("eval", epilog=settings_help(EvalConfig()))
def eval_command(
    model: Annotated[
        str, typer.Argument(help="Folder of a model that `tenon mdm train` made, or nano-sudoku/4x4, /9x9.")
    ],
    puzzles: Annotated[int | None, typer.Option(help="Puzzles to ask.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: Device = "auto",
    out: Out = Path("runs/mdm-eval"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Let a model solve unseen puzzles, in several orders and numbers of steps, and count what is right.

    Strict follows the rules of the puzzle; official is the released code's way, holes included.

    Example: tenon mdm eval nano-sudoku/4x4 --puzzles 200
    Example: tenon mdm eval runs/path/model --puzzles 1000 --set orders=topk,random --set steps=1,2,5,20
    """
    from tenon.core.config import load
    from tenon.core.models.loading import weights_hash
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.mdm.answer import trained_for
    from tenon.methods.mdm.evaluate import compare_decodings
    from tenon.methods.mdm.show_compare import show_decodings

    sets = [*(sets or ()), *([] if puzzles is None else [f"puzzles={puzzles}"])]
    settings = load(EvalConfig, file=config, sets=with_seed(sets, seed))
    kind, objective = trained_for(model)
    identity = {"weights": weights_hash(model)}
    with Run.open(out, config=settings, command=given(), seed=settings.seed, identity=identity) as run:
        figures = compare_decodings(run, model, kind, objective, settings, device=device)
        show_decodings(run, figures, settings, kind, objective)
        page = run.report(f"MDM: {objective} on {kind.name}, measured")
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=settings.seed,
            weights=identity["weights"],
            config=settings,
            **figures,
        )
    best = max(figures["decodings"], key=lambda row: float(row["strict"]))
    told = f"{best['strict']:.1%} solved by the best of {len(figures['decodings'])} ways of writing "
    told += f"({best['order']}, {best['steps']} steps)\nThe page is {page}"
    emit(figures, as_json=as_json, text=told)
