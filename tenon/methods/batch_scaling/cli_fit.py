"""`tenon batch-scaling fit` and `compare`: laws from runs, and published laws held against a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenon.core.commandline import ConfigFile, Json, Out, Preset, Seed, Sets, emit, given, say, with_seed

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.fits.law_card import FittedLaw
    from tenon.methods.batch_scaling.runs.table import RunTable

__all__ = ["compare_command", "fit_command"]

Runs = Annotated[
    list[str],
    typer.Argument(
        help="Tables of runs: CSV, JSONL, Parquet, trainer_state.json or folders of them, W&B exports; or `gadre`, the "
        "shipped runs of Gadre et al."
    ),
]
Group = Annotated[str | None, typer.Option(help="Use only runs of this data set, where the table has several.")]
GroupColumn = Annotated[
    str | None, typer.Option(help="The column that tells data sets or tokenizers apart: their losses do not compare.")
]
NKind = Annotated[
    Literal["non_embedding", "with_head", "total"] | None,
    typer.Option("--n-kind", help="Which parameters the table counts, where it does not say."),
]
SeqLen = Annotated[int | None, typer.Option(min=1, help="Tokens of a row, where batches are in sequences.")]
Units = Annotated[
    list[str] | None,
    typer.Option("--unit", metavar="COLUMN=UNIT", help="E.g. batch=sequences, tokens=billions, flops=pf-days."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="OURS=THEIRS", help="Where a column has another name: loss=eval/loss; or a number for all."
    ),
]
Results = Annotated[
    Path | None, typer.Option(help="Write the figures here, too, with command, commit and hardware, without the runs.")
]
ONE_LOSS = 0.01
"""Runs whose losses differ by less than this share have reached one loss; those of a sweep differ by more."""
What = Literal["loss", "batch", "learning-rate", "surface", "isoflop", "data-limited", "critical"]


def fit_command(
    runs: Runs,
    law: Annotated[
        What,
        typer.Option(
            help="loss: L(N, D). batch: the best batch by tokens. learning-rate: by N, D and batch. surface: L(N, S, "
            "B). isoflop: N and D by compute, without a form of the loss. data-limited: with repeated tokens. "
            "critical: from steps to one loss, or from a sweep with several numbers of tokens."
        ),
    ] = "loss",
    group: Group = None,
    group_column: GroupColumn = None,
    n_kind: NKind = None,
    seq_len: SeqLen = None,
    units: Units = None,
    columns: Columns = None,
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = Path("runs/batch-scaling-fit"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Fit a law to runs of your own, with intervals, and write its card, which `plan --card` takes.

    Example: tenon batch-scaling fit gadre --group c4_original --set holdout=0.2
    Example: tenon batch-scaling fit sweep.csv --law batch --unit batch=sequences --seq-len 2048
    Example: tenon batch-scaling fit sweep.csv --law critical --set targets=3.0,2.8
    """
    from tenon.core.config import load
    from tenon.core.errors import ConfigError
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.config import PRESETS, BatchFitConfig, CriticalFitConfig, LossFitConfig
    from tenon.methods.batch_scaling.fits.law_card import save_card
    from tenon.methods.batch_scaling.fits.show import constants, told

    table = the_runs(
        runs, group=group, group_column=group_column, n_kind=n_kind, seq_len=seq_len, units=units, columns=columns
    )
    others: dict[str, Any] = {"batch": BatchFitConfig, "learning-rate": BatchFitConfig, "critical": CriticalFitConfig}
    kind: Any = others.get(law, LossFitConfig)
    presets = {name: one for name, one in PRESETS.items() if isinstance(one, kind)}
    if seed is not None and law == "critical":
        raise ConfigError("--seed is given, and a critical batch draws nothing at random; leave it out.")
    settings = load(kind, presets=presets, preset=preset, file=config, sets=with_seed(sets, seed))
    identity = {"runs": table.sha256()}
    root = getattr(settings, "seed", 0)  # the critical batch draws nothing
    with Run.open(
        out, config={"law": law, "fit": settings_of(settings)}, command=given(), seed=root, identity=identity
    ) as run:
        found, facts, text = FITS[law](run, table, settings)
        for note in table.notes:
            run.note(note)
        page = run.report(f"Batch-size scaling: {law} law")
    if found is not None:
        card = save_card(found, out / f"law-{law}.json")
        facts = {**found.to_dict(), **facts}
        text = f"{text}{told(found)}\nThe card is {card}: tenon batch-scaling plan --card {card} ..."
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=root,
            weights="none: no model",
            data_sha256=table.sha256(),
            runs=len(table),
            **_shareable(facts, law),
            **({} if found is None else {"constants": constants(found)}),
        )
    for note in table.notes:
        say(note)
    emit(facts, as_json=as_json, text=f"{text}\nThe page is {page}")


def compare_command(
    runs: Runs,
    group: Group = None,
    group_column: GroupColumn = None,
    n_kind: NKind = None,
    seq_len: SeqLen = None,
    units: Units = None,
    columns: Columns = None,
    card: Annotated[
        list[Path] | None, typer.Option("--card", metavar="CARD", help="Score this law of yours, too, from `fit`.")
    ] = None,
    out: Out = Path("runs/batch-scaling-compare"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Hold every law of batch and learning rate against a sweep: the loss it leaves above the sweep's best.

    Example: tenon batch-scaling compare runs/sweep/runs.csv
    """
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.fits.compare import published_laws, score_doubts, score_laws
    from tenon.methods.batch_scaling.fits.law_card import load_card
    from tenon.methods.batch_scaling.fits.pictures import draw_scores

    table = the_runs(
        runs, group=group, group_column=group_column, n_kind=n_kind, seq_len=seq_len, units=units, columns=columns
    )
    own = [load_card(path) for path in card or ()]
    with Run.open(out, config={"compare": "laws"}, command=given(), identity={"runs": table.sha256()}) as run:
        rows = score_laws(table, [*published_laws(), *own] if own else None)
        caption = "Loss above the best of the sweep [%], over its cells (N, D); the rate by the law, or tuned anew."
        run.table("laws", rows, caption)
        run.figure("laws", draw_scores(rows), caption, "A pair of bars for every law.")
        warnings = score_doubts(table)
        for warning in warnings:
            run.note(warning)
        page = run.report("Batch-size scaling: laws against a sweep")
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=0,
            weights="none: no model",
            data_sha256=table.sha256(),
            runs=len(table),
            laws=rows,
            warnings=warnings,
        )
    lines = [f"{'law':<34}{'batch and rate: mean, max':>28}{'batch, rate tuned: mean, max':>31}   [%]"]
    for row in rows:
        joint = f"{row['joint_mean']:.3f}  {row['joint_max']:.3f}"
        tuned = f"{row['batch_mean']:.3f}  {row['batch_max']:.3f}"
        lines.append(f"{row['law']:<34}{joint:>28}{tuned:>31}")
    lines += [f"  Warning: {one}" for one in warnings]
    emit({"laws": rows, "warnings": warnings}, as_json=as_json, text="\n".join([*lines, f"The page is {page}"]))


def the_runs(
    runs: list[str],
    *,
    group: str | None,
    group_column: str | None,
    n_kind: str | None,
    seq_len: int | None,
    units: list[str] | None,
    columns: list[str] | None,
) -> RunTable:
    """Read the runs that a command was given, and take those of one group.

    Raises:
        ConfigError: There is no such group.
        DataError: The runs cannot be read.
    """
    from tenon.core.errors import ConfigError
    from tenon.core.values import nearest
    from tenon.methods.batch_scaling.runs.readers import read_runs

    table = read_runs(
        runs[0] if len(runs) == 1 else list(runs),
        n_kind=n_kind, seq_len=seq_len, units=units or (), columns=columns or None, group=group_column,
    )  # fmt: skip
    if group is None:
        return table
    if group not in table.groups:
        raise ConfigError(f"--group is {group!r}; {nearest(group, sorted(set(table.groups)))}.")
    return table.take([place for place, one in enumerate(table.groups) if one == group])


def _shareable(facts: dict[str, Any], law: str) -> dict[str, Any]:
    """Give what may be committed: the law and its uncertainty, not the runs themselves, which may be somebody's."""
    kept = {name: value for name, value in facts.items() if name not in ("created_by", "data_sha256", "residuals")}
    if law == "batch":  # the best batch of every cell is a result, not data
        kept["cells"] = facts["residuals"]
    if sensitivity := facts.get("estimator", {}).get("sensitivity"):
        kept["sensitivity"] = [{"estimator": name, **found} for name, found in sensitivity.items()]
    kept.pop("points", None)  # measured steps are near to being the runs
    if facts.get("holdout"):
        kept["holdout"] = {name: value for name, value in facts["holdout"].items() if name != "runs"}
    return {**kept, "residuals": []} if "law" in facts else kept


def settings_of(settings: Any) -> dict[str, Any]:
    """Give a fit's settings as plain values, for the identity of its run."""
    from tenon.core.config import to_dict

    return to_dict(settings)


def _loss(run: Run, table: RunTable, settings: Any) -> tuple[FittedLaw, dict[str, Any], str]:
    from tenon.methods.batch_scaling.fits.loss_fit import fit_loss_law
    from tenon.methods.batch_scaling.fits.show import show_loss_law

    fitted = fit_loss_law(table, settings)
    show_loss_law(run, fitted)
    return fitted, {}, ""


def _batch(run: Run, table: RunTable, settings: Any) -> tuple[FittedLaw, dict[str, Any], str]:
    from tenon.methods.batch_scaling import laws
    from tenon.methods.batch_scaling.fits.batch_fit import fit_batch_law
    from tenon.methods.batch_scaling.fits.cells import find_cells
    from tenon.methods.batch_scaling.fits.show import show_batch_law

    fitted = fit_batch_law(table, settings)
    published = [laws.get(name) for name in ("steplaw2025", "bergsma2025", "shuai2024.fixed_data")]
    show_batch_law(run, fitted, find_cells(table, settings), published)
    return fitted, {}, ""


def _learning_rate(run: Run, table: RunTable, settings: Any) -> tuple[FittedLaw, dict[str, Any], str]:
    from tenon.methods.batch_scaling.fits.batch_fit import fit_lr_law
    from tenon.methods.batch_scaling.fits.show import constants

    fitted = fit_lr_law(table, settings)
    run.table("learning-rate", constants(fitted), fitted.law.equation)
    return fitted, {}, ""


def _surface(run: Run, table: RunTable, settings: Any) -> tuple[FittedLaw, dict[str, Any], str]:
    from tenon.methods.batch_scaling.fits.show import constants
    from tenon.methods.batch_scaling.fits.surface import fit_surface

    fitted = fit_surface(table, bootstrap=settings.bootstrap, seed=settings.seed)
    run.table("surface", constants(fitted), fitted.law.equation)
    return fitted, {}, ""


def _data_limited(run: Run, table: RunTable, settings: Any) -> tuple[FittedLaw, dict[str, Any], str]:
    from tenon.methods.batch_scaling.fits.data_limited import fit_data_limited
    from tenon.methods.batch_scaling.fits.show import constants

    fitted = fit_data_limited(table, settings)
    run.table("data-limited", constants(fitted), fitted.law.equation)
    return fitted, {}, ""


def _isoflop(run: Run, table: RunTable, settings: Any) -> tuple[None, dict[str, Any], str]:
    import dataclasses

    from tenon.methods.batch_scaling.fits.isoflop import fit_isoflop

    found = fit_isoflop(table)
    facts = dataclasses.asdict(found)
    run.table("isoflop", [{"exponent of N": found.exponent, "level": found.level}], "N = level x C^exponent.")
    run.table("groups", [dict(one) for one in facts["groups"]], "The best size at every compute.")
    if found.dropped:
        left = [{"what": one.id, "left out because": one.reason} for one in found.dropped]
        run.table("left-out", left, "What the line does not go through.")
    for warning in found.warnings:
        run.note(warning)
    return None, facts, found.to_text()


def _critical(run: Run, table: RunTable, settings: Any) -> tuple[FittedLaw | None, dict[str, Any], str]:
    from dataclasses import asdict

    import numpy

    from tenon.core.errors import DataError
    from tenon.methods.batch_scaling.fits.critical_fit import fit_critical
    from tenon.methods.batch_scaling.fits.critical_law import critical_law
    from tenon.methods.batch_scaling.fits.critical_show import show_critical, show_critical_sweep
    from tenon.methods.batch_scaling.fits.steps_to_loss import fit_critical_sweep

    if numpy.ptp(table["loss"]) < ONE_LOSS * table["loss"].min():
        rows = [
            {"batch": float(batch), "steps": float(steps)}
            for batch, steps in zip(table["batch_tokens"], table["steps"], strict=True)
        ]
        found = fit_critical(rows, level=settings.level)
        return None, asdict(found), show_critical(run, found)
    sweep = fit_critical_sweep(table, settings)
    law, why = None, ""
    try:
        law = critical_law(sweep, settings)
    except DataError as error:  # critical batches, and too few of them for a law
        why = str(error)
    text = show_critical_sweep(run, sweep, law, why)
    facts = {"critical": sweep.rows(), "points": sweep.points(), "noise": [dict(one) for one in sweep.noise]}
    if law is None:
        facts["left_out"] = [one._asdict() for one in sweep.left_out]
    return law, facts, f"{text}\n" if law else text


FITS: dict[str, Any] = {
    "loss": _loss,
    "batch": _batch,
    "learning-rate": _learning_rate,
    "surface": _surface,
    "isoflop": _isoflop,
    "data-limited": _data_limited,
    "critical": _critical,
}
