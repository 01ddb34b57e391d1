"""`tenon nano`: make the small models again, and measure them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tenon.core.commandline import ConfigFile, Device, DType, Json, Out, Preset, Seed, Sets, emit, given, with_seed

app = typer.Typer(no_args_is_help=True)
train_app = typer.Typer(no_args_is_help=True, help="Train a nano model from nothing by its recipe.")
app.add_typer(train_app, name="train")

Books = Annotated[
    Path, typer.Option(help="Folder with train.jsonl.xz and valid.jsonl.xz: one book a row, under 'text'.")
]
Results = Annotated[Path | None, typer.Option("--results", help="Also write the figures to this results file.")]


@app.callback()
def nano() -> None:
    """Make the small models that ship with the package again, and measure them."""


@train_app.command("lm")
def train_lm_command(
    books: Books,
    gsm8k: Annotated[Path, typer.Option(help="GSM8K's train.jsonl.")],
    preset: Annotated[
        str,
        typer.Option(
            help="cpu (two cores, 90 minutes), cpu-second (goes on from it, two hours), gpu, or mini (a minute; knows "
            "nothing)."
        ),
    ] = "cpu",
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = Path("runs/nano-lm"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Train nano-lm: tokenizer, training, export.

    Example: tenon nano train lm --books data/books --gsm8k data/gsm8k/train.jsonl
    """
    from dataclasses import replace

    from tenon.core.config import load
    from tenon.core.models.loading import weights_hash
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.nano.lm import PRESETS, LMConfig, describe_training, train_lm

    recipe = load(
        LMConfig,
        presets=PRESETS,
        preset=preset,
        file=config,
        sets=with_seed(sets, seed, "train.seed", "mixture.seed"),
    )
    reading = {"books": books / "train.jsonl.xz" if books.is_dir() else books, "gsm8k": gsm8k}
    identity = {name: fingerprint(path) for name, path in reading.items()}
    if recipe.start:
        identity["start"] = weights_hash(recipe.start)
    with Run.open(out, config=recipe, command=given(), seed=recipe.train.seed, identity=identity) as run:
        folder = train_lm(run, recipe, books=books, gsm8k=gsm8k)
        phases = describe_training(run, recipe)
        run.table(
            "phases", phases, "What was read, and the mean loss of the last 50 steps of each phase [nats per token]."
        )
        run.report("nano-lm: training", summary=f"Preset {preset}; the model lies in {folder.name}/ beside this page.")
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=recipe.train.seed,
            weights=weights_hash(str(folder)),
            config=replace(recipe, start=identity.get("start", "")),  # what it went on from, not where that lay
            tokens=recipe.train.steps * recipe.mixture.step_tokens,
            phases=phases,
        )
    told = f"The model is in {folder}. Measure it: tenon nano measure --model {folder} --books {books}"
    emit({"model": str(folder), "phases": phases}, as_json=as_json, text=told)


@app.command("card")
def card_command(
    name: Annotated[str, typer.Argument(help="The nano model.")] = "nano-lm",
    as_json: Json = False,
) -> None:
    """Show what a nano model is, what it was trained on, and what it can do.

    Example: tenon nano card nano-lm
    """
    from tenon.core.errors import DataError
    from tenon.core.models.loading import nano_names

    card = Path(__file__).parent / name / "README.md"
    if name not in nano_names() or not card.is_file():
        raise DataError(f"There is no nano model {name!r}; the package holds {', '.join(nano_names()) or 'none'}.")
    text = card.read_text(encoding="utf-8")
    emit({"name": name, "card": text}, as_json=as_json, text=text)


@app.command("measure")
def measure_command(
    books: Books,
    model: Annotated[str, typer.Option(help="Folder, hub id or nano name of a causal language model.")] = "nano-lm",
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: Device = "auto",
    dtype: DType = "auto",
    out: Out = Path("runs/nano-lm-measure"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Measure a language model as nano-lm's card does: bits per byte beside baselines, word problems by steps.

    Example: tenon nano measure --books data/books
    """
    from tenon.core.config import load
    from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.nano.measure import MeasureConfig, measure

    settings = load(MeasureConfig, file=config, sets=with_seed(sets, seed))
    network, tokenizer = load_model(model, device=device, dtype=dtype), load_tokenizer(model)
    weights = weights_hash(model)
    identity = {"weights": weights, "dtype": str(network.dtype)}
    identity |= {split: fingerprint(books / f"{split}.jsonl.xz") for split in ("train", "valid")}
    with Run.open(out, config=settings, command=given(), seed=settings.seed, identity=identity) as run:
        figures = measure(run, network, tokenizer, settings, books=books, name=Path(model).name)
        page = run.report(f"{model}: measured", summary="Held-out bits per byte, and unseen word problems solved.")
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=settings.seed,
            weights=weights,
            config=settings,
            **figures,
        )
    emit(figures, as_json=as_json, text=f"The page is {page}")


@app.command("held-out")
def held_out_command(
    books: Books,
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("runs/held-out.jsonl"),
    as_json: Json = False,
) -> None:
    """Write the books that nano-lm's training left out: for choosing settings, so that reported texts stay unseen.

    Example: tenon nano held-out --books data/books
    """
    import json

    from tenon.core.files import write_atomic
    from tenon.nano.mixture import split_books

    _, kept = split_books(books)
    lines = [json.dumps({"key": book.key, "title": book.facts.get("title"), "text": book.text}) for book in kept]
    write_atomic(out, "\n".join(lines) + "\n")
    emit({"books": len(kept), "file": str(out)}, as_json=as_json)


@app.command("read")
def read_command(
    books: Books,
    gsm8k: Annotated[Path, typer.Option(help="GSM8K's train.jsonl.")],
    preset: Preset = "post",
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("runs/nano-reading.jsonl"),
    as_json: Json = False,
) -> None:
    """Write a mixture of books, word problems and chats as text, one training row a line: to train nano-lm on with it.

    Example: tenon nano read --books data/books --gsm8k data/gsm8k/train.jsonl --set seed=3
    """
    import json

    from tenon.core.config import load
    from tenon.core.files import write_atomic
    from tenon.core.models.loading import load_tokenizer
    from tenon.nano.mixture import READINGS, Mixture, MixtureConfig, split_books, split_gsm8k

    settings = load(MixtureConfig, presets=READINGS, preset=preset, file=config, sets=with_seed(sets, seed))
    tokenizer: Any = load_tokenizer("nano-lm")
    mixture = Mixture(settings, tokenizer, books=split_books(books)[0], gsm8k=split_gsm8k(gsm8k)[0])
    lines = [json.dumps({"text": text}) for text in mixture.texts()]
    write_atomic(out, "\n".join(lines) + "\n")
    emit({"rows": len(lines), "tokens": settings.steps * settings.step_tokens, "file": str(out)}, as_json=as_json)


def fingerprint(path: Path) -> str:
    """Give the SHA-256 of a file that a run reads.

    Raises:
        DataError: There is no such file.
    """
    import hashlib

    from tenon.core.errors import DataError

    if not path.is_file():
        raise DataError(f"{path} is no file here; give the path of the data, as `--help` shows.")
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
