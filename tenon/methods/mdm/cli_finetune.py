"""`tenon mdm finetune` and `tenon mdm complete`: one's own model on one's own rows, and what it writes then."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tenon.core.commandline import ConfigFile, Device, Json, Out, Seed, Sets, emit, given, say, with_seed

__all__ = ["complete_command", "finetune_command"]


def finetune_command(
    backbone: Annotated[str, typer.Argument(help="Hub id, folder or nano name of a causal language model.")],
    file: Annotated[
        Path, typer.Argument(help="JSONL or CSV rows: prompt and response (or completion), messages, input and output.")
    ],
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = Path("runs/mdm-finetune"),
    results: Annotated[
        Path | None, typer.Option("--results", help="Also write the figures to this results file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train an autoregressive model on by masked diffusion, with LoRA adapters or, at lora_rank=0, all weights.

    To --set: lora_rank, lora_alpha, lora_targets, mask_token, max_length, held_out, dtype; mdm.pad_policy and all else
    of the objective; train.steps, train.batch_size, train.learning_rate and all else of the optimiser.

    Example: tenon mdm finetune nano-lm rows.jsonl --set train.steps=500 --set train.learning_rate=1e-3
    Example: torchrun --nproc-per-node 8 -m tenon mdm finetune Qwen/Qwen3-0.6B rows.jsonl --set dtype=bfloat16
    """
    import hashlib

    from tenon.core.config import load
    from tenon.core.models.loading import weights_hash
    from tenon.core.ranks import is_main
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.mdm.config import FinetuneConfig
    from tenon.methods.mdm.finetune import finetune, prepare, read_rows
    from tenon.methods.mdm.pictures import draw_loss

    settings = load(FinetuneConfig, file=config, sets=with_seed(sets, seed, "train.seed"))
    rows = read_rows(file)
    prepared = prepare(backbone, rows, settings)  # what cannot work must not leave a run behind
    identity = {"weights": weights_hash(backbone), "rows": hashlib.sha256(file.read_bytes()).hexdigest()}
    with Run.open(out, config=settings, command=given(), seed=settings.train.seed, identity=identity) as run:
        figures = finetune(run, prepared, settings)
        if not is_main():  # under torchrun, one process shows
            return
        folder = run.path / "model"
        losses = [line for line in run.metrics() if line.get("loss") is not None]
        row: dict[str, Any] = figures | {"backbone": Path(backbone).name, "steps": settings.train.steps}
        run.table(
            "finetuning",
            [row],
            "Losses are the objective's; those of held-out rows, whose noise is the same each time.",
        )
        run.figure("loss", draw_loss(losses), "Training loss.", "A line of training loss over steps.")
        page = run.report(f"MDM: {Path(backbone).name} fine-tuned", f"{len(rows)} rows of {file.name}.")
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=settings.train.seed,
            weights=weights_hash(folder),
            config=settings,
            finetuning=row,
        )
    shown = [f"{one:.4f}" if one is not None else "none" for one in (figures["loss_before"], figures["loss_after"])]
    told = f"held-out loss {shown[0]} -> {shown[1]}\nThe model is in {folder}. Use it: "
    told += f'tenon mdm complete {folder} "a prompt"\nThe page is {page}'
    emit({"model": str(folder), **row}, as_json=as_json, text=told)


def complete_command(
    model: Annotated[str, typer.Argument(help="Folder of a model that `tenon mdm finetune` made.")],
    prompt: Annotated[list[str], typer.Argument(help="Prompts like those of the training.")],
    length: Annotated[
        int | None, typer.Option(help="Places to write in, its end among them, in tokens; as in training unless given.")
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write a response to a prompt: all of it at once, and again, easy tokens first.

    Example: tenon mdm complete runs/mdm-finetune/model "What is 2+2?" --length 16 --set steps=16
    """
    from tenon.core.config import load
    from tenon.methods.mdm.complete import load_completer
    from tenon.methods.mdm.config import DecodeConfig

    completer = load_completer(model, load(DecodeConfig, file=config, sets=sets or ()), device=device)
    learnt = completer.learnt
    if length is not None and learnt.get("pad_policy", "ignore") != "ignore" and length < learnt["max_length"]:
        say(f"The model learnt rows of {learnt['max_length']} tokens; in fewer places a response may find no end.")
    texts = [completer(one, length=length, key=key, seed=seed or 0) for key, one in enumerate(prompt)]
    rows = [{"prompt": one, "response": text} for one, text in zip(prompt, texts, strict=True)]
    emit({"responses": rows, "forwards": completer.forwards}, as_json=as_json, text="\n".join(texts))
