"""`tenon sepllm examples`: chain-of-thought answers after solved examples that have left the window."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tenon.core.commandline import ConfigFile, Device, DType, Json, Out, Seed, Sets, emit, given, with_seed
from tenon.methods.sepllm.cli_compare import Model, Results

__all__ = ["examples_command"]


def examples_command(
    model: Model = "nano-lm",
    problems: Annotated[int | None, typer.Option(help="Questions to answer.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: Device = "auto",
    dtype: DType = "auto",
    out: Out = Path("runs/sepllm-examples"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Ask questions that only the solved examples make answerable, with windows that the examples have left.

    Example: tenon sepllm examples --problems 500 --set windows=48,64,96
    """
    from tenon.core.config import load
    from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.sepllm import CARD
    from tenon.methods.sepllm.examples import ExamplesConfig, evaluate_examples, examples_verdicts
    from tenon.methods.sepllm.pictures import draw_examples

    sets = [*(sets or ()), *([] if problems is None else [f"problems={problems}"])]
    settings = load(ExamplesConfig, file=config, sets=with_seed(sets, seed))
    network, tokenizer = load_model(model, device=device, dtype=dtype), load_tokenizer(model)
    identity = {"weights": weights_hash(network), "dtype": str(network.dtype)}
    with Run.open(out, config=settings, command=given(), seed=settings.seed, identity=identity) as run:
        rows = evaluate_examples(run, network, tokenizer, settings)
        run.table(
            "examples",
            rows,
            f"{model} on {settings.problems} questions, each after {settings.shots} solved examples that alone say what"
            " it needs. Differences are paired over questions; p is McNemar's.",
        )
        run.figure(
            "examples",
            draw_examples(rows),
            f"{model}: answers against the share of all keys attended to. Bars are 95 % Wilson intervals.",
            "Accuracy over the share of keys, one point per rule and window.",
        )
        for verdict in (found := examples_verdicts(rows)):
            run.note(verdict)
        page = run.report(f"{CARD.title}: {model} and examples out of sight", card=CARD)
    figures: dict[str, Any] = {"examples": rows, "verdicts": found}
    if results is not None:
        command = given(shortened=True)
        write_results(
            results, command=command, seed=settings.seed, weights=weights_hash(model), config=settings, **figures
        )
    emit(figures, as_json=as_json, text="\n".join([*found, f"The page is {page}"]))
