"""`tenon sepllm train` and `tenon sepllm ablate`: models made for the mask, and what each mask costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenon.core.commandline import ConfigFile, Json, Out, Preset, Seed, Sets, emit, given, say, with_seed
from tenon.methods.sepllm.cli_compare import identity_of

if TYPE_CHECKING:
    from tenon.methods.sepllm.train import TrainSettings

__all__ = ["ablate_command", "train_command"]

Text = Annotated[str, typer.Option(help="Training text: python-docs, a file or folder, or a data set on the hub.")]
Results = Annotated[Path | None, typer.Option(help="Also write the figures to this results file.")]


def train_command(
    text: Text,
    model: Annotated[
        str | None, typer.Option(help="Post-training: hub id, folder or nano name of a causal language model.")
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Begin with a fresh model of --set shape.layers=4 and so on.")
    ] = False,
    tokenizer: Annotated[
        str | None, typer.Option(help="Tokenizer of a fresh model; nano-lm's if none is given.")
    ] = None,
    valid: Annotated[str | None, typer.Option(help="Held-out text to score at the end, of other documents.")] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = Path("runs/sepllm-train"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Train a model under the mask, or train one on; it is saved with its options, for apply_sepllm(model, tokenizer).

    Example: tenon sepllm train --from-scratch --text books.jsonl --valid other.jsonl --preset small
    Example: tenon sepllm train --model Qwen/Qwen3-0.6B --text books.jsonl --set sep.window=256 --set train.steps=500
    Example: torchrun --nproc-per-node 8 -m tenon sepllm train --preset paper-160m-n64 --from-scratch --text books.jsonl
    """
    from tenon.core.config import load
    from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
    from tenon.core.ranks import is_main, processes
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.sepllm import CARD
    from tenon.methods.sepllm.ablate import cut_rows, held_out_loss
    from tenon.methods.sepllm.evaluate import read_tokens
    from tenon.methods.sepllm.model import apply_sepllm
    from tenon.methods.sepllm.pictures_train import draw_training
    from tenon.methods.sepllm.train import TRAIN_PRESETS, TrainSettings, fresh_model, pack_text, train_under_mask

    settings = load(
        TrainSettings, presets=TRAIN_PRESETS, preset=preset, file=config, sets=with_seed(sets, seed, "train.seed")
    )
    _check_start(model, from_scratch, tokenizer)
    reader = load_tokenizer(model or tokenizer or "nano-lm")
    # On the CPU: Trainer moves it to where this process computes.
    network: Any = load_model(model, dtype="float32", device="cpu") if model else None
    network = network or fresh_model(settings.shape, reader, context=settings.row, seed=settings.train.seed)
    _check_context(network, settings)
    apply_sepllm(network, reader, settings.sep).remove()  # what cannot work must not leave a run behind
    rows = pack_text(reader, text, row=settings.row, most=settings.rows * processes())
    scored = (
        None if valid is None else cut_rows(reader, read_tokens(reader, valid, settings.valid_tokens), settings.row)
    )
    identity = identity_of(network, rows)
    if processes() > 1:  # each reads rows of its own, so another number of them is another training
        identity["processes"] = str(processes())
    if scored is not None:
        identity["valid"] = identity_of(network, scored)["text"]
    with Run.open(out, config=settings, command=given(), seed=settings.train.seed, identity=identity) as run:
        folder = train_under_mask(run, network, reader, rows, settings)
        if not is_main():  # under torchrun, one process scores and shows
            return
        losses = [line for line in run.metrics() if "loss" in line]
        row: dict[str, Any] = {"begun from": model or "nothing", "steps": settings.train.steps}
        row |= {
            "tokens": run.stages()["training"]["tokens"],
            "training loss at the end": losses[-1]["loss"] if losses else None,
        }
        if scored is not None:
            if not run.stage_done("scored"):
                saved = load_model(folder, dtype="float32")
                size = settings.train.batch_size
                run.finish_stage("scored", **held_out_loss(saved, reader, settings.sep, scored, batch_size=size))
            row |= run.stages()["scored"]
        run.table("training", [row], "Losses in nats per token, under the mask; the attention map is of held-out text.")
        run.figure(
            "loss",
            draw_training(losses, row.get("loss")),
            "Loss under the mask.",
            "A line of training loss over steps.",
        )
        page = run.report(f"{CARD.title}: training", f"{model or 'A fresh model'} on {text}.", CARD)
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=settings.train.seed,
            weights=weights_hash(folder),
            config=settings,
            training=row,
        )
    say(f"The page is {page}")
    emit({"model": str(folder), **row}, as_json=as_json)


def ablate_command(
    text: Text,
    valid: Annotated[str, typer.Option(help="Held-out text, of other documents.")],
    tokenizer: Annotated[str, typer.Option(help="Nano name, folder or hub id of the models' tokenizer.")] = "nano-lm",
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = Path("runs/sepllm-ablate"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Train small models under several masks, windows and seeds, and compare them on held-out text.

    Example: tenon sepllm ablate --text books.jsonl --valid other.jsonl --set windows=16,64 --set seeds=3
    """
    from tenon.core.config import load
    from tenon.core.models.loading import load_tokenizer
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.sepllm import CARD
    from tenon.methods.sepllm.ablate import AblateConfig, ablate
    from tenon.methods.sepllm.evaluate import read_tokens

    settings = load(AblateConfig, file=config, sets=with_seed(sets, seed, "train.seed"))
    reader = load_tokenizer(tokenizer)
    read = read_tokens(reader, text, settings.text_tokens)
    held_out = read_tokens(reader, valid, settings.valid_tokens)
    identity = {"text": _digest(read), "valid": _digest(held_out), "vocabulary": _vocabulary(reader)}
    with Run.open(out, config=settings, command=given(), seed=settings.train.seed, identity=identity) as run:
        figures = ablate(run, reader, settings, read, held_out, text_name=Path(text).name, valid_name=Path(valid).name)
        page = run.report(f"{CARD.title}: masks compared", f"Models from scratch on {text}.", CARD)
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=settings.train.seed,
            weights="none: trained from scratch",
            config=settings,
            **figures,
        )
    emit(figures, as_json=as_json, text="\n".join([*figures["verdicts"], f"The page is {page}"]))


def _check_start(model: str | None, from_scratch: bool, tokenizer: str | None) -> None:
    """Refuse a training that begins nowhere, or at two places."""
    from tenon.core.errors import ConfigError

    if (model is not None) == from_scratch:
        came = "both --model and --from-scratch" if from_scratch else "neither --model nor --from-scratch"
        raise ConfigError(f"The training has {came}; give a model to train on, or begin from scratch.")
    if model is not None and tokenizer is not None:
        raise ConfigError(f"--tokenizer {tokenizer} came with --model {model}; a model keeps its own, so leave it out.")


def _check_context(network: Any, settings: TrainSettings) -> None:
    """Refuse rows that are longer than the model knows."""
    from tenon.core.errors import ConfigError

    known = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    if known is not None and settings.row > known:
        raise ConfigError(
            f"TrainSettings.row is {settings.row}, but the model knows {known} positions; set a row of at most that."
        )


def _digest(ids: Any) -> str:
    import hashlib

    return hashlib.sha256(ids.numpy().tobytes()).hexdigest()


def _vocabulary(tokenizer: Any) -> str:
    import hashlib
    import json

    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()
