"""`tenon batch-scaling noise-scale` and `branch`: is a batch too large? Measured, not looked up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenon.core.commandline import Device, DType, Json, Out, Seed, emit, given

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.probes.gradient_noise import NoiseEstimate

__all__ = ["branch_command", "noise_scale_command"]

Text = Annotated[str, typer.Option("--text", help="`python-docs`, a file, a folder or a hub data set.")]
SeqLen = Annotated[int, typer.Option("--seq-len", min=2, help="Tokens of a row.")]
Results = Annotated[Path | None, typer.Option("--results", help="Also write the figures to this results file.")]


def noise_scale_command(
    model: Annotated[str, typer.Argument(help="Hub id, folder (a checkpoint's too) or nano name.")] = "nano-lm",
    text: Text = "python-docs",
    seq_len: SeqLen = 128,
    small: Annotated[int, typer.Option(min=1, help="Rows of a small batch; it divides the big one.")] = 1,
    big: Annotated[int, typer.Option(min=2, help="Rows of a big batch.")] = 32,
    pairs: Annotated[
        int, typer.Option(min=1, help="Big batches in all; an interval takes 6, and more make it narrower.")
    ] = 8,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Measure nothing; show what a training logged: metrics.jsonl, trainer_state.json, folder."),
    ] = None,
    seed: Seed = None,
    device: Device = "auto",
    dtype: DType = "float32",
    out: Out = Path("runs/batch-scaling-noise"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Measure the gradient noise scale of a model on a text at its present weights, in tokens, with an interval.

    A batch far below it gains almost linearly from growing; one far above it wastes tokens. It holds for these weights
    and this text, and need not be the critical batch: `branch` tries that.

    Example: tenon batch-scaling noise-scale nano-lm --text python-docs
    Example: tenon batch-scaling noise-scale --metrics out/checkpoint-1000
    """
    from dataclasses import asdict

    from tenon.core.run import Run

    if metrics is not None:
        _show_log(metrics, out, as_json)
        return
    from tenon.core.errors import ConfigError
    from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
    from tenon.core.results import write_results
    from tenon.methods.batch_scaling.probes.noise_measure import measure_pairs
    from tenon.tasks.text import calibration_windows, read_documents

    if big % small or small >= big:
        raise ConfigError(f"--small is {small} and --big {big} rows; the small batch must divide the big one.")
    root = seed or 0
    settings = {"text": text, "seq_len": seq_len, "small": small, "big": big, "pairs": pairs, "dtype": dtype}
    loaded: Any = load_model(model, dtype=dtype, device=device)
    documents = list(read_documents(text))
    rows = calibration_windows(load_tokenizer(model), documents, count=pairs * big, length=seq_len, seed=root)
    identity = {"weights": weights_hash(model), "rows": _hash(rows)}
    with Run.open(out, config=settings, command=given(), seed=root, identity=identity) as run:
        measure_pairs(run, loaded, rows, small=small, big=big)
        found = _show_estimate(run, small=small, big=big, length=seq_len)
        told = _sentence(found)
        page = run.report(f"Gradient noise scale: {Path(model).name}", told)
    figures = asdict(found)
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=root,
            weights=identity["weights"],
            config=settings,
            estimate=figures,
        )
    emit(figures, as_json=as_json, text="\n".join([told, *found.warnings, f"The page is {page}"]))


def _hash(rows: Any) -> str:
    import hashlib

    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()


def _sentence(found: NoiseEstimate) -> str:
    if found.b_simple is None:
        at_least = found.interval and f"; it is above {found.interval[0]:,.0f} tokens"
        return f"The noise scale is not resolved by {found.pairs} pairs of gradients{at_least or ''}."
    told = f"Noise scale B_simple: {found.b_simple:,.0f} tokens"
    if found.interval is not None:
        low, high = found.interval
        end = "without an upper end" if high is None else f"to {high:,.0f}"
        told += f" (95 % interval {low:,.0f} {end})"
    return f"{told}, from {found.pairs} pairs of gradients."


def _show_estimate(run: Run, *, small: int, big: int, length: int) -> NoiseEstimate:
    """Put table and picture into the report: the estimate from ever more pairs."""
    from tenon.methods.batch_scaling.probes.gradient_noise import fewest_pairs
    from tenon.methods.batch_scaling.probes.noise_measure import estimate_of
    from tenon.methods.batch_scaling.probes.pictures import draw_noise_by_pairs

    total = len(run.rows("pairs"))
    steps = sorted({max(1, round(total * part / 8)) for part in range(1, 9)})
    found = {first: estimate_of(run, small=small, big=big, length=length, first=first) for first in steps}
    rows = [
        {
            "pairs": first,
            "b_simple": one.b_simple,
            "low": one.interval[0] if one.interval else None,
            "high": one.interval[1] if one.interval else None,
            "g2": one.g2,
            "s": one.s,
        }
        for first, one in found.items()
    ]
    run.table(
        "noise",
        rows,
        "The noise scale [tokens] from the first pairs of gradients; g2 is |G|², s tr(Σ) of a token. Fewer than "
        f"{fewest_pairs()} pairs are too few for an interval.",
    )
    caption = "The estimate as pairs are added, with its bootstrap interval where that has two ends."
    run.figure("noise", draw_noise_by_pairs(rows), caption)
    for warning in found[total].warnings:
        run.note(warning)
    run.note("Measured at fixed weights, without dropout; it rises over a training and depends on the text.")
    return found[total]


def _show_log(source: Path, out: Path, as_json: bool) -> None:
    """Show the noise scale that a training logged."""
    import hashlib
    import json

    from tenon.core.run import Run
    from tenon.methods.batch_scaling.probes.noise_measure import read_log
    from tenon.methods.batch_scaling.probes.pictures import draw_noise_by_step

    rows = read_log(source)
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    with Run.open(out, config={"metrics": True}, command=given(), identity={"log": digest}) as run:
        run.table("noise", rows, "What the training logged: moving averages up to each step.")
        run.figure("noise", draw_noise_by_step(rows), "The noise scale over the training, as logged.")
        resolved = [row["b_simple_tokens"] for row in rows if "b_simple_tokens" in row]
        if unresolved := len(rows) - len(resolved):
            run.note(f"{unresolved:,} of {len(rows):,} entries have no noise scale: it was not resolved there.")
        last = rows[-1].get("b_simple_tokens")
        told = f"Noise scale at step {rows[-1]['step']:,}: {'not resolved' if last is None else f'{last:,.0f} tokens'}"
        if resolved:
            told += f"; between {min(resolved):,.0f} and {max(resolved):,.0f} over {len(resolved):,} entries"
        page = run.report("Gradient noise scale of a training", f"{told}.")
    emit({"entries": len(rows), **rows[-1]}, as_json=as_json, text=f"{told}.\nThe page is {page}")


def branch_command(
    checkpoint: Annotated[Path, typer.Argument(help="Trainer's `checkpoint-...` folder, with its optimizer.pt.")],
    tokens: Annotated[int, typer.Option(min=1, help="Tokens that every branch trains on.")],
    batch_tokens: Annotated[int, typer.Option(min=1, help="The base batch, that of the training [tokens per step].")],
    text: Text = "python-docs",
    seq_len: SeqLen = 128,
    factors: Annotated[
        list[int] | None, typer.Option("--factor", help="A multiple of the base batch; several. 2, 4 and 8 unless set.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Loss above the base branch's that is no loss, in nats.")
    ] = 0.01,
    smooth: Annotated[
        float, typer.Option(help="Share of the tokens, at the end, that losses are averaged over.")
    ] = 0.25,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the base branch; the checkpoint's present one unless set.")
    ] = None,
    rows_per_device: Annotated[int, typer.Option(min=1, help="Rows per forward pass.")] = 8,
    seed: Seed = None,
    device: Device = "auto",
    out: Out = Path("runs/batch-scaling-branch"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Try larger batches from a checkpoint: branches with k times the batch and sqrt(k) times the learning rate.

    The text should be the training's own, from where the training stopped. A killed test goes on with the branch that
    was under way.

    Example: tenon batch-scaling branch out/checkpoint-1000 --batch-tokens 4096 --tokens 1048576 --text books
    """
    import math

    from tenon.core.errors import ConfigError
    from tenon.core.models.loading import weights_hash
    from tenon.core.ranks import processes
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.probes.branch import branch_test, window_tokens
    from tenon.methods.batch_scaling.probes.branch_text import branch_trainer, text_rows
    from tenon.methods.batch_scaling.probes.pictures import draw_branches

    if processes() > 1:
        raise ConfigError("The branch test runs in one process; start it without torchrun.")
    if batch_tokens % seq_len:
        raise ConfigError(f"--batch-tokens is {batch_tokens}; it must be a multiple of --seq-len, {seq_len}.")
    tried = sorted({1, *(factors or (2, 4, 8))})
    root = seed or 0
    window_tokens(tokens, batch_tokens, tried, smooth)
    rows = text_rows(checkpoint, text, seq_len, math.ceil(tokens / seq_len), seed=root)
    settings: dict[str, Any] = {
        "text": text,
        "seq_len": seq_len,
        "tokens": tokens,
        "batch_tokens": batch_tokens,
        "factors": tried,
        "tolerance": tolerance,
        "smooth": smooth,
        "learning_rate": learning_rate,
    }
    make = branch_trainer(
        checkpoint, rows, batch_rows=batch_tokens // seq_len, rows_per_device=rows_per_device, device=device, seed=root
    )
    identity = {"weights": weights_hash(checkpoint), "rows": _hash(rows)}
    with Run.open(out, config=settings, command=given(), seed=root, identity=identity) as run:
        options: dict[str, Any] = {"tolerance": tolerance, "smooth": smooth, "learning_rate": learning_rate}
        found = branch_test(run, make, checkpoint, seq_len=seq_len, tokens=tokens, factors=tried, **options)
        shown = [{name: one for name, one in row.items() if name not in ("key", "weights")} for row in found.rows]
        run.table(
            "branches", shown, "Branches from one checkpoint, on the same tokens; losses [nats] over the last ones."
        )
        run.figure("branches", draw_branches(found, tolerance), "Loss above the base branch's, by batch.")
        for warning in found.warnings:
            run.note(warning)
        told = f"Largest batch within {tolerance:g} nats of the base branch: {found.batch_tokens:,} tokens"
        told += f" ({found.largest} times the base)" + (", or more." if found.is_bound else ".")
        page = run.report(f"Branch test: {checkpoint.name}", told)
    figures = {
        "batch_tokens": found.batch_tokens,
        "factor": found.largest,
        "is_bound": found.is_bound,
        "branches": shown,
        "warnings": list(found.warnings),
    }
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=root,
            weights=identity["weights"],
            config=settings,
            **figures,
        )
    emit(figures, as_json=as_json, text="\n".join([told, *found.warnings, f"The page is {page}"]))
