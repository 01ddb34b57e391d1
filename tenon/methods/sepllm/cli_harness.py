"""`tenon sepllm eval --lm-eval`: tasks of lm-evaluation-harness under SepLLM and its controls."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenon.core.commandline import emit, given

__all__ = ["evaluate_harness"]


def evaluate_harness(
    model: str,
    tasks: str,
    *,
    config: Path | None,
    sets: list[str],
    device: str,
    dtype: str,
    out: Path,
    results: Path | None,
    as_json: bool,
) -> None:
    """Evaluate tasks of the harness under every contender, and print one table of them.

    Args:
        model: Hub id, folder or nano name.
        tasks: Names or YAML files, with commas between them.
        config: A file with fields of `HarnessConfig`.
        sets: Texts `key=value` for the same.
        device: Where to compute.
        dtype: Numbers of the model.
        out: Folder of the run.
        results: Where the figures go as well.
        as_json: Whether to print JSON.
    """
    from tenon.core.config import load
    from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.sepllm import CARD
    from tenon.methods.sepllm.harness import HarnessConfig, check_tasks, evaluate_tasks
    from tenon.methods.sepllm.model import apply_sepllm

    names = tuple(name.strip() for name in tasks.split(",") if name.strip())
    settings = replace(load(HarnessConfig, file=config, sets=sets), tasks=names)
    # Before the run is opened: what cannot work must not leave a run behind, which the next try would meet.
    check_tasks(settings.tasks)
    network, tokenizer = load_model(model, device=device, dtype=dtype), load_tokenizer(model)
    apply_sepllm(network, tokenizer, settings.sep).remove()
    identity = {"weights": weights_hash(network), "dtype": str(network.dtype), **_files(names)}
    with Run.open(out, config=settings, command=given(), identity=identity) as run:
        table = evaluate_tasks(run, network, tokenizer, settings)
        run.table(
            "lm-eval",
            table,
            f"{model} on tasks of lm-evaluation-harness, with the harness's own metrics and standard errors. Share of "
            "keys: those attended to, over those of full attention; generated answers count up to their own end.",
        )
        if any(row["cut requests"] for row in table):
            run.note("Some requests were longer than the model's positions and lost their beginning: see the table.")
        page = run.report(f"{CARD.title}: {model}", f"lm-evaluation-harness: {', '.join(names)}.", CARD)
        if results is not None:
            write_results(
                results,
                command=given(shortened=True),
                seed=settings.seed or 0,
                weights=weights_hash(model),
                config=settings,
                table=table,
            )
    lines = [_line(row) for row in table]
    emit({"table": table}, as_json=as_json, text="\n".join([*lines, f"The page is {page}"]))


def _files(names: tuple[str, ...]) -> dict[str, str]:
    """Give the hash of every task that is a file: another text is another task."""
    return {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in names if Path(name).is_file()}


def _line(row: dict[str, Any]) -> str:
    value, error, share = (
        "none" if row[name] is None else f"{row[name]:.{digits}f}"
        for name, digits in (("value", 4), ("stderr", 4), ("share of keys [%]", 1))
    )
    return f"{row['task']} {row['metric']}: {value} +- {error}, {share} % of keys, {row['method']}"
