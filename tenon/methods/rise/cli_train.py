"""`tenon rise run`, `train`, `eval` and `compare`: all of it at once, a training, a measurement, a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenon.core.commandline import ConfigFile, Device, DType, Json, Out, Preset, Seed, Sets, emit, given, say
from tenon.methods.rise.cli_data import (
    BaseUrl,
    BatchSize,
    Count,
    MaxFailed,
    Questions,
    Server,
    check_messages,
    check_template,
    keep_recipe,
    known_recipes,
    portion,
    recipe_of,
    the_questions,
)

__all__ = ["compare_command", "eval_command", "run_command", "train_command"]

Model = Annotated[str, typer.Argument(help="Hub id, folder or nano name of a chat model.")]
Results = Annotated[Path | None, typer.Option("--results", help="Also write the figures to this results file.")]


def run_command(
    model: Model,
    questions: Questions = None,
    count: Count = None,
    unseen: Annotated[
        Path | None, typer.Option(help="Questions to measure on before and after, none of those trained on.")
    ] = None,
    problems: Annotated[int, typer.Option(min=0, help="Without --unseen: so many unseen word problems.")] = 200,
    base_url: BaseUrl = None,
    server: Server = None,
    served: Annotated[
        str | None, typer.Option(help="The server's name for the model, where it is another than MODEL.")
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    batch_size: BatchSize = 64,
    max_failed: MaxFailed = 0,
    device: Device = "auto",
    dtype: DType = "auto",
    out: Out = Path("runs/rise"),
    as_json: Json = False,
) -> None:
    """Sample, edit, pair and train in one run, and measure before and after; the same command goes on after a kill.

    The preset is `nano` for a nano model, otherwise `paper`.

    Example: tenon rise run nano-lm --count 200
    Example: tenon rise run Qwen/Qwen2-1.5B-Instruct --questions gsm8k/train.jsonl --unseen gsm8k/test.jsonl
    """
    from tenon.core.chat import writer_for
    from tenon.core.errors import ConfigError
    from tenon.core.models.loading import load_tokenizer, weights_hash
    from tenon.core.run import Run
    from tenon.methods.rise.pipeline import check_unseen, run_recipe

    if served is not None and base_url is None:
        raise ConfigError("--served is a server's name for the model, and no --base-url names a server; give it, too.")
    recipe = recipe_of(preset, config, sets, seed, model=model)
    asked, _, digest = the_questions(questions, count, recipe.seed)
    tested, known, other = the_questions(unseen, None if unseen else problems or None, 0, "test")
    if unseen is None and not problems:
        tested, known = [], []
    writer = writer_for(
        served or model, base_url=base_url, server=server or (), batch_size=batch_size, device=device, dtype=dtype
    )
    check_template(load_tokenizer(model), recipe.prompt)
    check_unseen(asked, tested)
    identity = {**writer.identity(), "weights": weights_hash(model), "questions": digest, "unseen": other}
    with Run.open(out, config=recipe, command=given(), seed=recipe.seed, identity=identity) as run:
        keep_recipe(run, recipe)
        facts = run_recipe(
            run,
            model,
            writer,
            asked,
            recipe,
            unseen=tested,
            problems=known,
            batch_size=batch_size,
            device=device,
            max_failed=max_failed,
        )
        told = f"{facts['pairs']:,} pairs, {facts['full']:,} full and {facts['edited']:,} edited by "
        told += f"{(served or model) if recipe.edit.editor == 'llm' else recipe.edit.editor}."
        if accuracy := facts.get("accuracy"):
            solved = f"{accuracy['before']:.1%} before, {accuracy['after']:.1%} after"
            told = f"Unseen questions solved: {solved}, by training on {told}"
        page = run.report(f"RISE: {Path(model).name}", told)
    told += f"\nThe model is in {out / 'model'}\n"
    emit({"model": str(out / "model"), **facts}, as_json=as_json, text=f"{told}The page is {page}")


def train_command(
    model: Model,
    pairs: Annotated[
        Path, typer.Argument(help="Folder of `tenon rise pairs` or its pairs.jsonl, or a file of Step-DPO's.")
    ],
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    sft: Annotated[bool, typer.Option("--sft", help="The baseline: learn the chosen sides, without DPO.")] = False,
    out: Out = Path("runs/rise-train"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Train on pairs: DPO with the NLL term; EOS only where a solution really ends.

    Settings are those of the pairs unless --preset names others.

    Example: tenon rise train nano-lm runs/rise-pairs/pairs.jsonl
    Example: torchrun --nproc-per-node 8 -m tenon rise train Qwen/Qwen2-7B-Instruct pairs.jsonl --preset paper
    """
    import hashlib
    from dataclasses import replace

    from tenon.core.models.loading import load_tokenizer, weights_hash
    from tenon.core.ranks import is_main
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.rise.folders import check_out, pairs_in
    from tenon.methods.rise.rows import read_pairs
    from tenon.methods.rise.show import show_training
    from tenon.methods.rise.trainer import train_on_pairs, train_supervised

    pairs = pairs_in(pairs)
    check_out(out, pairs.parent)
    recipe = recipe_of(preset, config, sets, None, model=model, before=pairs.parent)
    if seed is not None:
        recipe = replace(recipe, rise=replace(recipe.rise, train=replace(recipe.rise.train, seed=seed)))
    rows = read_pairs(pairs)
    check_template(load_tokenizer(model), recipe.prompt)
    untold = sum(row.pair_kind == "edit" and row.last_step is None for row in rows)
    note = (
        f"{untold:,} of {len(rows):,} rows do not say whether their step is the last (last_step); none ends with EOS."
    )
    settings = {**portion(recipe, "prompt", "rise"), "objective": "sft" if sft else "dpo"}
    identity = {"weights": weights_hash(model), "pairs": hashlib.sha256(pairs.read_bytes()).hexdigest()}
    training_seed = recipe.rise.train.seed
    with Run.open(out, config=settings, command=given(), seed=training_seed, identity=identity) as run:
        keep_recipe(run, recipe)
        if untold:
            run.note(note)
            if is_main():
                say(note)
        facts = (train_supervised if sft else train_on_pairs)(run, model, rows, recipe)
        if not is_main():  # under torchrun, one process shows
            return
        show_training(run, facts)
        page = run.report(f"RISE: {Path(model).name}, trained")
    folder = out / "model"
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=training_seed,
            weights=weights_hash(folder),
            config=settings,
            training=facts,
        )
    told = f"The model is in {folder}. Measure it: tenon rise eval {folder}\nThe page is {page}"
    emit({"model": str(folder), **facts}, as_json=as_json, text=told)


def eval_command(
    model: Annotated[str, typer.Argument(help="Hub id, folder (a training's too), nano name, or a server's name.")],
    questions: Questions = None,
    count: Count = None,
    base_url: BaseUrl = None,
    server: Server = None,
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    dtype: DType = "auto",
    out: Out = Path("runs/rise-eval"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Let a model answer unseen questions greedily; count what is right, and how it goes wrong first.

    Without --questions, unseen word problems of 1 to 4 steps are asked, whose true steps are known. Questions are put
    as in training, if the model was trained here; otherwise the preset is `nano` for a nano model, or `paper`.

    Example: tenon rise eval nano-lm --count 200
    Example: tenon rise eval runs/rise/model --questions gsm8k/test.jsonl
    """
    from tenon.core.chat import writer_for
    from tenon.core.config import load
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.rise.config import EvalConfig
    from tenon.methods.rise.evaluate import evaluate, figures
    from tenon.methods.rise.folders import check_out, model_in
    from tenon.methods.rise.show import show_answers

    model = model_in(model)
    check_out(out, Path(model), Path(model).parent)
    recipes, start = known_recipes(model, Path(model).parent)
    presets = {name: EvalConfig(prompt=one.prompt, max_tokens=one.sample.max_tokens) for name, one in recipes.items()}
    settings = load(EvalConfig, presets=presets, preset=preset or start, file=config, sets=sets or ())
    asked, problems, digest = the_questions(questions, count, seed or 0, "test")
    writer = writer_for(
        model, base_url=base_url, server=server or (), batch_size=batch_size, device=device, dtype=dtype
    )
    check_messages(writer, settings.prompt)
    identity = {**writer.identity(), "questions": digest}
    with Run.open(out, config=settings, command=given(), seed=seed or 0, identity=identity) as run:
        counted = figures(evaluate(run, writer, asked, settings, problems=problems))
        show_answers(run, {Path(model).name: counted})
        page = run.report(f"RISE: {Path(model).name}, measured")
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=seed or 0,
            weights=identity["writer"],
            config=settings,
            **counted,
        )
    total = counted["accuracy"][-1]
    told = f"{total['accuracy']:.1%} of {total['questions']:,} questions solved "
    told += f"(95 % interval {total['low']:.1%} to {total['high']:.1%})\nThe page is {page}"
    emit(counted, as_json=as_json, text=told)


def compare_command(
    model: Model = "nano-lm",
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    trainings: Annotated[
        Path | None, typer.Option(help="Folder of samples and trainings, finished ones included; --out unless set.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Train only this one, e.g. rise-0, and stop: to share the work, e.g. a process for every seed."
        ),
    ] = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    out: Out = Path("runs/rise-compare"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Train the method and its baselines on generated word problems, several seeds, for equally many steps.

    Example: tenon rise compare nano-lm --set seeds=5 --out runs/rise-compare
    Example: tenon rise compare nano-lm --trainings runs/shared --only rise-0 --only full-0
    """
    from tenon.core.chat import writer_for
    from tenon.core.config import load
    from tenon.core.errors import ConfigError
    from tenon.core.models.loading import weights_hash
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.rise.compare import check_equal_steps, compare_contenders, train_contender, training_named
    from tenon.methods.rise.config import PRESETS, CompareConfig
    from tenon.methods.rise.show import show_comparison

    presets = {name: CompareConfig(recipe=one) for name, one in PRESETS.items()}
    settings = load(CompareConfig, presets=presets, preset=preset, file=config, sets=sets or ())
    check_equal_steps(settings)
    check_messages(writer_for(model, device=device), settings.recipe.prompt)
    if only:
        if trainings is None:
            raise ConfigError("--only trains into a folder that is shared; name it with --trainings.")
        for name, seed in [training_named(one) for one in only]:
            train_contender(trainings, model, name, seed, settings, batch_size=batch_size, device=device)
        emit({"trained": only}, as_json=as_json)
        return
    with Run.open(out, config=settings, command=given(), identity={"weights": weights_hash(model)}) as run:
        tables = compare_contenders(run, model, settings, trainings=trainings, batch_size=batch_size, device=device)
        sentences = show_comparison(run, tables)
        page = run.report(f"RISE: {Path(model).name}, method and baselines")
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=0,
            weights=weights_hash(model),
            config=settings,
            **tables,
        )
    emit(tables, as_json=as_json, text="\n".join([*sentences, f"The page is {page}"]))
