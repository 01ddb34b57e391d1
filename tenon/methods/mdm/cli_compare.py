"""`tenon mdm data` and `tenon mdm compare`: puzzles as a file, and the method beside its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenon.core.commandline import ConfigFile, Device, Json, Out, Preset, Seed, Sets, emit, given

__all__ = ["Data", "Kind", "Results", "compare_command", "data_command"]

Kind = Annotated[str, typer.Argument(help="sudoku, countdown, sat or path.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Learn from this file instead: JSON lines with prompt and response, or a Sudoku CSV."),
]
Results = Annotated[Path | None, typer.Option("--results", help="Also write the figures to this results file.")]


def data_command(
    kind: Kind,
    rows: Annotated[int, typer.Option(min=1, help="Puzzles to draw.")] = 1000,
    size: Annotated[
        int | None, typer.Option(help="Box of a Sudoku, numbers, variables, nodes; as published unless set.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, valid or test; they share no puzzle.")] = "train",
    seed: Seed = None,
    out: Annotated[Path, typer.Option("--out", help="File to write.")] = Path("puzzles.jsonl"),
    as_json: Json = False,
) -> None:
    """Draw puzzles into a file of JSON lines with prompt, response and what is known about each.

    Example: tenon mdm data sudoku --rows 100000 --seed 42 --out sudoku.jsonl
    """
    from typing import Any, cast

    from tenon.core.progress import progress
    from tenon.methods.mdm.kinds import puzzles_of
    from tenon.tasks.puzzles.files import save_puzzles

    with progress(f"drawing {kind}", rows) as advance:

        def told() -> Any:
            for puzzle in puzzles_of(kind, size).generate(seed or 0, cast(Any, split), rows):
                yield puzzle
                advance()

        count = save_puzzles(out, told())
    emit({"file": str(out), "puzzles": count}, as_json=as_json, text=f"{count:,} puzzles are in {out}")


def compare_command(
    kind: Kind,
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    data: Data = None,
    trainings: Annotated[
        Path | None, typer.Option(help="Folder of the trainings, finished ones included; below --out unless set.")
    ] = None,
    device: Device = "auto",
    out: Out = Path("runs/mdm-compare"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Train the method and its baselines from the same weights on the same puzzles, several seeds, and ask them alike.

    Each training is a run of its own, as `tenon mdm train --as NAME --seed N --out TRAININGS/NAME-N` makes it; those
    that are finished are taken as they are, so that several processes may share the work.

    Example: tenon mdm compare path --preset small-path --set contenders=mgdm,ar,reverse_ar --out runs/paths
    Example: tenon mdm compare path --preset small-path --set contenders=mgdm,rdm,token,off --out runs/weights
    """
    from tenon.core.config import load
    from tenon.core.errors import ConfigError
    from tenon.core.ranks import is_main
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.mdm.compare import compare_contenders
    from tenon.methods.mdm.config import PRESETS, CompareConfig
    from tenon.methods.mdm.kinds import puzzles_of, read_given
    from tenon.methods.mdm.show_compare import show_comparison

    contenders = ("mgdm", "ar", "reverse_ar") if kind == "path" else ("mgdm", "ar")
    presets = {
        name: CompareConfig(training=one, contenders=contenders) for name, one in PRESETS.items() if one.kind == kind
    }
    chosen = [] if preset else [f"training.kind={kind}", f"contenders={','.join(contenders)}"]
    settings = load(CompareConfig, presets=presets, preset=preset, file=config, sets=[*chosen, *(sets or ())])
    if settings.training.kind != kind:
        raise ConfigError(f"The options are for {settings.training.kind}, but {kind} came; choose one of both.")
    puzzles = puzzles_of(kind, settings.training.size)
    learnt = read_given(data, puzzles, settings.training.rows)  # before a run is begun that cannot be
    with Run.open(out, config=settings, command=given(), identity=learnt[1]) as run:
        figures = compare_contenders(run, settings, given=learnt, trainings=trainings, device=device)
        if not is_main():  # under torchrun, one process shows
            return
        told = show_comparison(run, figures, settings)
        page = run.report(f"MDM: {kind}, method and baselines")
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=0,
            weights="none: trained from scratch",
            config=settings,
            **figures,
        )
    emit(figures, as_json=as_json, text="\n".join([*told, f"The page is {page}"]))
