"""`tenon rise sample`, `edit` and `pairs`: from questions to preference pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenon.core.commandline import (
    ConfigFile,
    Device,
    DType,
    Json,
    Out,
    Preset,
    Seed,
    Sets,
    emit,
    given,
    say,
    with_seed,
)

if TYPE_CHECKING:
    from tenon.core.chat import Writer
    from tenon.core.run import Run
    from tenon.methods.rise.config import PromptConfig, Recipe
    from tenon.methods.rise.rows import Edit, Question, Solution
    from tenon.tasks.math import Problem

RECIPE = "recipe.json"
PRESETS_BY_MODEL = ("nano", "paper")
"""What is begun with where no stage before has kept a recipe."""

__all__ = [
    "RECIPE",
    "BaseUrl",
    "BatchSize",
    "Count",
    "MaxFailed",
    "Questions",
    "Server",
    "check_messages",
    "check_template",
    "edit_command",
    "keep_recipe",
    "known_recipes",
    "pairs_command",
    "portion",
    "recipe_of",
    "sample_command",
    "the_questions",
]

BaseUrl = Annotated[
    str | None,
    typer.Option(help="Ask an OpenAI-compatible server (vLLM among them) here; the key comes from OPENAI_API_KEY."),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Requests answered together by a model in this process.")]
Server = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        metavar="KEY=VALUE",
        help="How a server is asked: concurrency, requests_per_minute, timeout_s, retries; prefill=text with "
        "tokenizer=NAME where it cannot continue a message; price_prompt and price_completion.",
    ),
]
Questions = Annotated[
    Path | None,
    typer.Option("--questions", help="JSON lines with prompt (or question) and answer: GSM8K's own files, or yours."),
]
Count = Annotated[int | None, typer.Option("--count", min=1, help="Take so many questions only.")]
MaxFailed = Annotated[
    int, typer.Option(min=0, help="So many requests may stay without an answer, e.g. of questions that are too long.")
]


def recipe_of(
    preset: str | None,
    config: Path | None,
    sets: Sequence[str] | None,
    seed: int | None,
    *,
    model: str | None = None,
    before: Path | None = None,
) -> Recipe:
    """Give the recipe that a command was told, and say where it asks otherwise than the stage before.

    Args:
        preset: Where it begins; None: with that of the stage before, or with `nano` for a nano model, or `paper`.
        config: A file laid over that.
        sets: Options laid over both.
        seed: `--seed`.
        model: What is worked on.
        before: Folder of the stage before, which has kept its recipe.
    """
    from tenon.core.config import differences, load, to_dict
    from tenon.methods.rise.config import Recipe

    presets, start = known_recipes(model, before)
    recipe = load(Recipe, presets=presets, preset=preset or start, file=config, sets=with_seed(sets, seed))
    if start not in PRESETS_BY_MODEL and (
        changes := differences(*map(to_dict, (presets[start].prompt, recipe.prompt)))
    ):
        say(f"The prompt is another one than in {before}: {'; '.join(changes)}.")
    return recipe


def known_recipes(model: str | None, before: Path | None) -> tuple[dict[str, Recipe], str]:
    """Give the presets, with what the stage before has kept among them, and the name of the one to begin with.

    A preset changes how the work goes on, not how questions were asked: all have the prompt of the stage before.
    """
    from dataclasses import replace

    from tenon.core.config import from_dict
    from tenon.core.files import read_json
    from tenon.core.models.loading import is_nano
    from tenon.methods.rise.config import PRESETS, Recipe

    if before is not None and (before / RECIPE).is_file():
        name = f"the one kept in {before / RECIPE}"
        kept = from_dict(Recipe, read_json(before / RECIPE))
        return {**{one: replace(recipe, prompt=kept.prompt) for one, recipe in PRESETS.items()}, name: kept}, name
    return dict(PRESETS), PRESETS_BY_MODEL[not (model is not None and is_nano(model))]


def keep_recipe(run: Run, recipe: Recipe) -> None:
    """Keep the recipe for the stages that follow."""
    from tenon.core.config import to_dict

    run.save_json(RECIPE.removesuffix(".json"), to_dict(recipe))


def check_messages(writer: Writer, prompt: PromptConfig) -> None:
    """Refuse a model that does not take our messages before a run is begun, which would keep the settings.

    Raises:
        DataError: Its chat template refuses them, or it has none.
    """
    from tenon.core.chat.local import LocalWriter

    if isinstance(writer, LocalWriter):  # a server has the template
        check_template(writer.tokenizer, prompt)


def check_template(tokenizer: Any, prompt: PromptConfig) -> None:
    """As `check_messages`, of a tokenizer."""
    from tenon.core.chat import Request
    from tenon.core.chat.prompt import render
    from tenon.core.errors import DataError

    try:
        render(tokenizer, Request(key="the first", messages=prompt.messages("?")))
    except DataError as error:
        with_system = " If it knows no system message, --set prompt.system= leaves that out; so does --preset nano."
        raise DataError(f"{error}{with_system if prompt.system else ''}") from error


def portion(recipe: Recipe, *names: str) -> dict[str, Any]:
    """Give the parts of a recipe that a stage depends on: what its run is told apart by."""
    from tenon.core.config import identity

    everything = identity(recipe)
    return {name: everything[name] for name in names}


def the_questions(
    file: Path | None, count: int | None, seed: int, split: Any = "train", *, max_steps: int = 4
) -> tuple[list[Question], list[Problem], str]:
    """Read questions, or generate word problems, whose true solutions are known; and what tells them apart."""
    import hashlib

    from tenon.methods.rise.evaluate import questions_of, word_problems
    from tenon.methods.rise.rows import read_questions

    if file is None:
        problems = word_problems(seed, split, count or 200, max_steps=max_steps)
        return questions_of(problems), problems, f"word problems, {split}, {len(problems)} of seed {seed}"
    questions = read_questions(file)[:count]
    digest = hashlib.sha256(repr(questions).encode()).hexdigest()
    return questions, [], digest


def sample_command(
    model: Annotated[str, typer.Argument(help="Hub id, folder, nano name, or a server's name for the model.")],
    questions: Questions = None,
    count: Count = None,
    base_url: BaseUrl = None,
    server: Server = None,
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    batch_size: BatchSize = 64,
    max_failed: MaxFailed = 0,
    device: Device = "auto",
    dtype: DType = "auto",
    out: Out = Path("runs/rise-sample"),
    as_json: Json = False,
) -> None:
    """Let a model solve every question several times, and grade its answers: samples.jsonl.

    Without --questions, generated word problems are asked. The preset is `nano` for a nano model, otherwise `paper`.

    Example: tenon rise sample nano-lm --count 200
    Example: tenon rise sample Qwen/Qwen2-7B-Instruct --questions train.jsonl --base-url http://gpu:8000/v1
    """
    from tenon.core.chat import writer_for
    from tenon.core.run import Run
    from tenon.methods.rise.pairs import why_none
    from tenon.methods.rise.sample import sample_solutions
    from tenon.methods.rise.show import show_solutions

    recipe = recipe_of(preset, config, sets, seed, model=model)
    asked, _, digest = the_questions(questions, count, recipe.seed)
    writer = writer_for(
        model, base_url=base_url, server=server or (), batch_size=batch_size, device=device, dtype=dtype
    )
    check_messages(writer, recipe.prompt)
    identity = {**writer.identity(), "questions": digest}
    settings = portion(recipe, "prompt", "sample")
    for name in ("splitter", "pattern"):  # what opens a step changes no answer
        del settings["prompt"][name]
    with Run.open(out, config=settings, command=given(), seed=recipe.seed, identity=identity) as run:
        keep_recipe(run, recipe)
        found = sample_solutions(run, asked, writer, recipe, max_failed=max_failed)
        figures = show_solutions(run, found)
        page = run.report("RISE: sampled solutions")
    told = f"{figures['right']:.1%} of {figures['solutions']:,} solutions are right; {figures['with both']:,} of "
    told += f"{figures['questions']:,} questions have right and wrong ones.\n"
    nothing = why_none(asked, found, recipe)
    told += f"No question can be used: {nothing}.\n" if nothing else f"Next: tenon rise edit {out}\n"
    emit({"folder": str(out), **figures}, as_json=as_json, text=f"{told}The page is {page}")


def edit_command(
    samples: Annotated[Path, typer.Argument(help="Folder of `tenon rise sample`.")],
    model: Annotated[str | None, typer.Option(help="Who edits, with editor=llm: in the paper the same model.")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Whose tokens edit.filters.unit=token counts; the tokenizer of --model unless set."),
    ] = None,
    base_url: BaseUrl = None,
    server: Server = None,
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    batch_size: BatchSize = 64,
    max_failed: MaxFailed = 0,
    device: Device = "auto",
    dtype: DType = "auto",
    out: Out = Path("runs/rise-edit"),
    as_json: Json = False,
) -> None:
    """Inject one subtle error into every step of a right solution: edits.jsonl, with why an edit was dropped.

    Settings are those of the samples unless --preset names others.

    Example: tenon rise edit runs/rise-sample
    Example: tenon rise edit runs/rise-sample --model Qwen/Qwen2-7B-Instruct --base-url http://gpu:8000/v1
    """
    from tenon.core.chat import writer_for
    from tenon.core.errors import ConfigError
    from tenon.core.run import Run
    from tenon.methods.rise.edit import inject_errors
    from tenon.methods.rise.encode import tokens_of
    from tenon.methods.rise.folders import check_out
    from tenon.methods.rise.pairs import why_none
    from tenon.methods.rise.show import show_edits

    check_out(out, samples)
    recipe = recipe_of(preset, config, sets, seed, before=samples)
    asked, solutions = _sampled(samples)
    nothing = why_none(asked, solutions, recipe)
    writer = None
    if recipe.edit.editor == "llm":
        if model is None:
            raise ConfigError(
                "edit.editor is 'llm' and no --model is given; name the model that edits (in the paper the one that "
                "was sampled), or --set edit.editor=rules."
            )
        writer = writer_for(
            model, base_url=base_url, server=server or (), batch_size=batch_size, device=device, dtype=dtype
        )
        check_messages(writer, recipe.prompt)
    else:
        counts_tokens = recipe.edit.filters.unit == "token" and tokenizer is None
        who = {"--model": model and not counts_tokens, "--base-url": base_url, "--server": server}
        if ignored := [name for name, value in who.items() if value]:
            raise ConfigError(
                f"{ignored[0]} says who edits, and edit.editor is {recipe.edit.editor}, so nobody is asked; "
                "--set edit.editor=llm, or leave it out."
            )
    identity = {**(writer.identity() if writer else {}), "samples": _digest(samples, "questions", "samples")}
    tokenize = None
    if recipe.edit.filters.unit == "token":
        counted = tokenizer or model
        if counted is None:
            raise ConfigError("edit.filters.unit is 'token'; name the model whose tokens are counted with --tokenizer.")
        tokenize, identity["tokenizer"] = tokens_of(counted, recipe), Path(counted).name
    settings = portion(recipe, "prompt", "edit", "pairs")
    with Run.open(out, config=settings, command=given(), seed=recipe.seed, identity=identity) as run:
        keep_recipe(run, recipe)
        edits = inject_errors(run, asked, solutions, recipe, writer=writer, tokenize=tokenize, max_failed=max_failed)
        (out / "edits.jsonl").touch()  # of no attempts too: the next stage reads it
        figures = show_edits(run, edits)
        page = run.report("RISE: injected errors")
    editor = model if writer else recipe.edit.editor
    told = f"{figures['kept']:,} of {figures['attempts']:,} edits are kept; edited by: {editor}.\n"
    told += f"Next: tenon rise pairs {samples} {out}\n" if figures["kept"] else _no_edit(edits, nothing, recipe)
    emit({"folder": str(out), "editor": editor, **figures}, as_json=as_json, text=f"{told}The page is {page}")


def pairs_command(
    samples: Annotated[Path, typer.Argument(help="Folder of `tenon rise sample`.")],
    edits: Annotated[Path, typer.Argument(help="Folder of `tenon rise edit`.")],
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = Path("runs/rise-pairs"),
    as_json: Json = False,
) -> None:
    """Choose the pairs to learn from: one of whole solutions and N of edited steps per question: pairs.jsonl.

    Settings are those of the edits unless --preset names others.

    Example: tenon rise pairs runs/rise-sample runs/rise-edit --set pairs.edited=3
    """
    from tenon.core.run import Run
    from tenon.methods.rise.folders import check_out, stage_file
    from tenon.methods.rise.pairs import build_pairs, save_pairs
    from tenon.methods.rise.rows import read_edits
    from tenon.methods.rise.show import show_pairs

    check_out(out, samples, edits)
    recipe = recipe_of(preset, config, sets, seed, before=edits)
    asked, solutions = _sampled(samples)
    built = build_pairs(asked, solutions, read_edits(stage_file(edits, "edits", "edit")), recipe)
    identity = {"samples": _digest(samples, "questions", "samples"), "edits": _digest(edits, "edits")}
    with Run.open(out, config=portion(recipe, "pairs"), command=given(), seed=recipe.seed, identity=identity) as run:
        keep_recipe(run, recipe)
        save_pairs(run, built)
        show_pairs(run, built.rows, built.counts)
        page = run.report("RISE: preference pairs")
    file, kinds = out / "pairs.jsonl", built.counts["pairs"]
    told = (
        f"{len(built.rows):,} pairs, {kinds.get('full', 0):,} full and {kinds.get('edit', 0):,} edited, are in {file}"
    )
    told += f"\nNext: tenon rise train MODEL {file}\nThe page is {page}"
    emit({"file": str(file), "pairs": len(built.rows), **built.counts}, as_json=as_json, text=told)


def _sampled(folder: Path) -> tuple[list[Question], list[Solution]]:
    """Read questions and solutions from a folder of `tenon rise sample`, or of a whole run."""
    from tenon.methods.rise.folders import stage_file
    from tenon.methods.rise.rows import read_questions, read_solutions

    questions, solutions = (stage_file(folder, name, "sample") for name in ("questions", "samples"))
    return read_questions(questions), read_solutions(solutions)


def _no_edit(edits: Sequence[Edit], nothing: str, recipe: Recipe) -> str:
    """Say why no edit is kept, and what helps."""
    from collections import Counter

    if edits:
        outcomes = ", ".join(f"{count} {name}" for name, count in Counter(one.outcome for one in edits).most_common())
        return f"None is kept: {outcomes}. Take another edit.editor or --model, or loosen edit.filters.\n"
    if nothing:
        return f"No question can be used: {nothing}.\n"
    if not recipe.pairs.edited:
        return "pairs.edited is 0, so none is wanted.\n"
    return f"No solution has a step by the splitter {recipe.prompt.splitter!r}; take another prompt.splitter.\n"


def _digest(folder: Path, *names: str) -> str:
    """Hash files of a stage before this one."""
    import hashlib

    digest = hashlib.sha256()
    for name in names:
        digest.update((folder / f"{name}.jsonl").read_bytes())
    return digest.hexdigest()
