"""`tenon nano`: make the small models again, and measure them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="The small models that ship with the package: make them again, measure them."
)
train_app = typer.Typer(no_args_is_help=True, help="Train a nano model from nothing by its recipe.")
app.add_typer(train_app, name="train")

Books = Annotated[
    Path, typer.Option(help="Folder with train.jsonl.xz and valid.jsonl.xz: one book a row, keys title and text.")
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Change one field of the preset: key=value, dotted for nested fields.")
]


@train_app.command("lm")
def train_lm_command(
    books: Books,
    gsm8k: Annotated[Path, typer.Option(help="GSM8K's train.jsonl.")],
    preset: Annotated[
        str, typer.Option(help="cpu (two cores, about 80 minutes), gpu, or mini (a minute, knows nothing).")
    ] = "cpu",
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command again goes on.")] = Path(
        "runs/nano-lm"
    ),
    sets: Sets = None,
) -> None:
    """Train nano-lm: tokenizer, training, export.

    Example: tenon nano train lm --books data/books --gsm8k data/gsm8k/train.jsonl --preset cpu
    """
    from tenon.core.config import load
    from tenon.core.run import Run
    from tenon.nano.lm import PRESETS, LMConfig, train_lm

    config = load(LMConfig, presets=PRESETS, preset=preset, sets=sets or ())
    with Run.open(out, config=config, command="nano train lm", seed=config.train.seed) as run:
        folder = train_lm(run, config, books=books, gsm8k=gsm8k)
        run.report("nano-lm: training", summary=f"Preset {preset}. The model lies in {folder.name}/ beside this page.")
    typer.echo(f"The model is in {folder}. Measure it: tenon nano measure --model {folder} --books {books}")


@app.command("measure")
def measure_command(
    books: Books,
    model: Annotated[str, typer.Option(help="Folder or name of the model.")] = "nano-lm",
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command again goes on.")] = Path(
        "runs/nano-lm-measure"
    ),
    sets: Sets = None,
) -> None:
    """Measure a language model as nano-lm's card does: bits per byte beside baselines, word problems by steps.

    Example: tenon nano measure --books data/books
    """
    from tenon.core.config import load
    from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
    from tenon.core.run import Run
    from tenon.nano.measure import MeasureConfig, measure

    config = load(MeasureConfig, sets=sets or ())
    network, tokenizer = load_model(model), load_tokenizer(model)
    with Run.open(out, config=config, command="nano measure", identity={"weights": weights_hash(network)}) as run:
        figures = measure(run, network, tokenizer, config, books=books)
        run.table("bits per byte", figures["text"], caption="Held-out books: total bits divided by bytes of UTF-8.")
        for shots, table in figures["accuracy"].items():
            run.table(
                f"word problems, {shots} examples", table, caption="Unseen problems, greedy; 95 % Wilson intervals."
            )
        page = run.report("nano-lm: measured", summary=f"Model: {model}.")
    typer.echo(f"The page is {page}")
