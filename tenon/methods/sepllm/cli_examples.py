"""`tenon sepllm examples` and `trained`: chain-of-thought answers after solved examples that have left the window."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tenon.core.commandline import ConfigFile, Device, DType, Json, Out, Seed, Sets, emit, given, with_seed
from tenon.methods.sepllm.cli_compare import Model, Results

__all__ = ["examples_command", "trained_command"]


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


def trained_command(
    models: Annotated[
        list[str],
        typer.Argument(help="Folders of `tenon sepllm train`: one of full attention, one of SepLLM, others, seeds."),
    ],
    problems: Annotated[int | None, typer.Option(help="Questions to answer.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = Path("runs/sepllm-trained"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Ask the same questions of models that were trained on under a mask each: every one answers under its own.

    Example: tenon sepllm trained runs/post-full/model runs/post-sep/model runs/post-strm/model --problems 500
    """
    import hashlib

    from tenon.core.config import load
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.sepllm import CARD
    from tenon.methods.sepllm.examples import Questions
    from tenon.methods.sepllm.pictures import draw_examples
    from tenon.methods.sepllm.trained import bound, evaluate_trained, find_trained, trained_verdicts

    sets = [*(sets or ()), *([] if problems is None else [f"problems={problems}"])]
    settings = load(Questions, file=config, sets=with_seed(sets, seed))
    identity = bound(found := find_trained(models))
    with Run.open(out, config=settings, command=given(), seed=settings.seed, identity=identity) as run:
        rows = evaluate_trained(run, found, settings)
        caption = (
            f"{settings.problems} questions, each after {settings.shots} solved examples that alone say what it needs; "
            "every model under the mask of its training. Differences are paired over questions."
        )
        run.table("trained", rows, caption)
        run.figure(
            "trained",
            draw_examples([{"method": row["trained under"], **row} for row in rows]),
            "Answers against the share of all keys attended to. Bars are 95 % intervals over questions.",
            "Accuracy over the share of keys, one point per mask.",
        )
        for verdict in (verdicts := trained_verdicts(rows)):
            run.note(verdict)
        page = run.report(f"{CARD.title}: trained under the mask", card=CARD)
    if results is not None:
        digest = hashlib.sha256("".join(identity.values()).encode()).hexdigest()
        write_results(
            results,
            command=given(shortened=True),
            seed=settings.seed,
            weights=digest,
            config=settings,
            trained=rows,
            verdicts=verdicts,
            models=[{"trained under": one.name, "weights": one.weights} for one in found],
        )
    emit({"trained": rows, "verdicts": verdicts}, as_json=as_json, text="\n".join([*verdicts, f"The page is {page}"]))
