"""`tenon sepllm recall`: train small models under every mask, and ask them for what no window reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenon.core.commandline import ConfigFile, Json, Out, Seed, Sets, emit, given, with_seed

__all__ = ["recall_command"]


def recall_command(
    models: Annotated[int | None, typer.Option(help="Models trained under each mask.")] = None,
    shipped: Annotated[bool, typer.Option("--shipped", help="Train nothing: ask the weights of the package.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = Path("runs/sepllm-recall"),
    results: Annotated[Path | None, typer.Option(help="Also write the figures to this results file.")] = None,
    as_json: Json = False,
) -> None:
    """Show what separators carry: train small models under every mask, and ask beyond the reach of any window.

    Example: tenon sepllm recall --models 1 --set sequences=256
    """
    from tenon.core.config import load
    from tenon.core.errors import ConfigError
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.sepllm import CARD
    from tenon.methods.sepllm.recall import (
        RecallConfig,
        combined_hash,
        evaluate_recall,
        shipped_hash,
        shipped_recall,
    )
    from tenon.methods.sepllm.recall_tables import show_recall

    sets = [*(sets or ()), *([] if models is None else [f"models={models}"])]
    settings = load(RecallConfig, file=config, sets=with_seed(sets, seed))
    if shipped and results is not None:
        raise ConfigError(
            "--shipped asks the weights of the package, and --results is for trained ones; leave one out."
        )
    identity = {"weights": shipped_hash()} if shipped else None
    with Run.open(out, config=settings, command=given(), seed=settings.seed, identity=identity) as run:
        if shipped:
            figures = shipped_recall(sequences=settings.sequences, seed=settings.seed)
        else:
            figures = evaluate_recall(run, settings)
        show_recall(run, figures, settings)
        page = run.report(f"{CARD.title}: segment recall", "What separators carry beyond any window.", CARD)
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=settings.seed,
            weights=combined_hash(run.path / "models", "-0"),
            config=settings,
            **figures,
        )
    emit(figures, as_json=as_json, text="\n".join([*figures["verdicts"], f"The page is {page}"]))
