"""Fit a law of the loss, L(N, D), to runs: with intervals, and with a word on what the runs do not say.

>>> rows = [{"n_params": n, "tokens": d, "loss": 2 + 400 * n**-0.3 + 900 * d**-0.35}
...         for n in (1e7, 4e7, 2e8) for d in (1e9, 5e9, 2e10)]
>>> fitted = fit_loss_law(rows, n_kind="non_embedding", bootstrap=0)
>>> round(fitted.params["alpha"], 4), round(fitted.params["beta"], 4)
(0.3, 0.35)
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy
from numpy import ndarray

from tenon.core.errors import ConfigError, DataError
from tenon.core.values import nearest
from tenon.methods.batch_scaling.config import LossFitConfig
from tenon.methods.batch_scaling.fits.best_runs import best_of_cells
from tenon.methods.batch_scaling.fits.identification import limits_reached, require_variation, wide_intervals
from tenon.methods.batch_scaling.fits.law_card import FittedLaw
from tenon.methods.batch_scaling.fits.loss_forms import FORMS, Form, Points
from tenon.methods.batch_scaling.fits.newton import Solution, minimise
from tenon.methods.batch_scaling.fits.objective import Penalty
from tenon.methods.batch_scaling.fits.uncertainty import (
    SAME,
    bootstrap,
    compute_of,
    held_out,
    holdout_mask,
    percentile_intervals,
)
from tenon.methods.batch_scaling.fits.varpro import varpro_starts
from tenon.methods.batch_scaling.laws.law import Domain, NKind
from tenon.methods.batch_scaling.runs.checks import checked, comparable, usable
from tenon.methods.batch_scaling.runs.table import RunTable

__all__ = ["extrapolation_report", "fit_form", "fit_loss_law", "usable_runs"]

_DEFAULT = LossFitConfig()


def fit_loss_law(
    runs: Any,
    config: LossFitConfig = _DEFAULT,
    *,
    group: str | None = None,
    n_kind: NKind | None = None,
    name: str = "fitted",
    **changes: Any,
) -> FittedLaw:
    """Fit a law of the loss.

    The search is Hoffmann's (2022, approach 3): the least sum of penalties of ln(predicted) - ln(measured). Outliers
    move the exponents much, so what is left out (`drop_top`) and from where residuals count linearly (`delta`) are part
    of the result.

    Args:
        runs: Whatever `RunTable.of` takes: columns n_params, tokens and loss, and flops if it is not 6 N D.
        config: How it is fitted.
        group: Of runs of several data sets, those that are fitted.
        n_kind: Which parameters n_params counts, if the table does not say.
        name: Of the law.
        changes: Fields of the config that differ.

    Raises:
        DataError: The runs cannot tell the terms of a law apart; the message names what they lack.
        ConfigError: A change is not a field of the config.
    """
    config = changed(config, changes)
    table = _table(runs, config, group, n_kind)
    return fit_form(FORMS[config.form], table, config, name=name, holdout=config.holdout or None)


def extrapolation_report(
    runs: Any,
    config: LossFitConfig = _DEFAULT,
    *,
    holdout: str | float = "largest_compute",
    group: str | None = None,
    n_kind: NKind | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Predict the largest runs from the others: the test that a law for extrapolation must pass.

    Args:
        runs: As for `fit_loss_law`.
        config: How the others are fitted.
        holdout: `largest_compute`, all runs within a factor of two of the largest compute; or a share of the runs.
        group: As for `fit_loss_law`.
        n_kind: As for `fit_loss_law`.
        changes: Fields of the config that differ.

    Returns:
        What was held out and by which rule, the mean and the largest error, a row per run, and the law's constants.

    Raises:
        DataError: As for `fit_loss_law`, of the runs that are left.
    """
    config = changed(config, {"bootstrap": 0, **changes})
    table = _table(runs, config, group, n_kind)
    fitted = fit_form(FORMS[config.form], table, config, name="extrapolation", holdout=holdout)
    return {
        **(fitted.holdout or {}),
        "fitted_runs": fitted.runs,
        "params": dict(fitted.params),
        "warnings": list(fitted.warnings),
    }


def _table(runs: Any, config: LossFitConfig, group: str | None, n_kind: NKind | None) -> RunTable:
    table = usable_runs(runs, group=group, n_kind=n_kind)
    return best_of_cells(table) if config.of_each_cell == "best" else table


def changed(config: LossFitConfig, changes: dict[str, Any]) -> LossFitConfig:
    """Give the config with changes.

    Raises:
        ConfigError: A change is not a field.
    """
    known = asdict(config)
    for field in changes:
        if field not in known:
            raise ConfigError(f"LossFitConfig has no field {field!r}; {nearest(field, known)}.")
    return replace(config, **changes)


def usable_runs(runs: Any, *, group: str | None = None, n_kind: NKind | None = None) -> RunTable:
    """Give the runs of one group that have a usable loss; the others are listed as dropped.

    Rows and tables that did not come through `read_runs` pass the same checks here.

    Raises:
        DataError: Runs of several groups and none was chosen, no runs of that group, more than half have no usable
            loss, a size or a length that is no number above 0, several counts of parameters or lengths of rows, or
            units that contradict themselves.
    """
    table = RunTable.of(runs)
    groups = sorted(set(table.groups))
    if group is not None:
        if group not in groups:
            raise DataError(f"No runs are of the group {group!r}; the table has {', '.join(map(repr, groups))}.")
        table = table.take([i for i, one in enumerate(table.groups) if one == group])
    elif len(groups) > 1:
        raise DataError(
            f"The runs are of {len(groups)} groups ({', '.join(map(repr, groups))}), whose losses do not compare: they "
            "have other data or tokenizers. Fit one of them, with group=... (--group). Across tokenizers only bits per "
            "byte compare."
        )
    if n_kind is not None:
        if table.n_kind not in (None, n_kind):
            raise DataError(
                f"The table counts N as {table.n_kind}, and n_kind={n_kind!r} (--n-kind) came; a law has one."
            )
        table = replace(table, n_kind=n_kind)
    table = usable(table)
    for column in ("n_params", "tokens"):
        bad = numpy.flatnonzero(~(numpy.isfinite(table[column]) & (table[column] > 0)))
        if len(bad):
            told = f"{table.where(int(bad[0]), column)} is {table[column][bad[0]]:g}"
            raise DataError(f"{told} ({len(bad)} of {len(table)} rows); it must be finite and above 0.")
    return checked(comparable(table))


def fit_form(
    form: Form, table: RunTable, config: LossFitConfig, *, name: str, holdout: str | float | None = None
) -> FittedLaw:
    """Fit a form to usable runs: what `fit_loss_law` does after it has chosen them."""
    everything, held, rule = table, None, ""
    if holdout:
        mask, rule = holdout_mask(table, holdout)
        held, table = table.take(numpy.flatnonzero(mask)), table.take(numpy.flatnonzero(~mask))
    if config.drop_top:
        # After the hold-out: which runs are fitted must not depend on losses that are to be predicted.
        top = numpy.argsort(-table["loss"], kind="stable")[: config.drop_top]
        kept = ~numpy.isin(numpy.arange(len(table)), top)
        table = table.keep(kept, f"among the {config.drop_top} highest losses (drop_top)")
    points = _points(table, form)
    require_variation(points)
    weights = numpy.ones(len(table))
    if config.weights == "sqrt_compute":
        weights = numpy.sqrt(compute_of(table))
        weights /= weights.mean()
    penalty = Penalty(config.delta if config.objective == "huber" else None, config.asymmetry)
    best = search(form, points, weights, penalty, config)
    constants = {key: float(value[0]) for key, value in form.constants(best.theta[None], points).items()}
    curve = form.bind(points)(best.theta[None])
    singular = numpy.linalg.svd(curve.jacobian[0], compute_uv=False)
    condition = float(singular[0] / max(singular[-1], 1e-300))
    warnings: list[str] = []
    doubts = [*best.doubts, *limits_reached(form, points, best.theta, constants)]

    intervals: dict[str, tuple[float, float]] = {}
    covariance, facts = None, {}
    if config.bootstrap:
        found = bootstrap(
            form, points, weights, penalty,
            best=best.theta, starts=best.starts, count=config.bootstrap, seed=config.seed,
        )  # fmt: skip
        facts = {**found.facts, "level": config.level}
        if failed := facts["failures"]:
            warnings.append(f"{failed} of {config.bootstrap} bootstrap refits failed; the intervals are of the others.")
        if len(found.theta) >= config.bootstrap / 2:
            values = form.constants(found.theta, points)
            intervals = percentile_intervals(values, config.level)
            facts["medians"] = {key: float(numpy.median(value)) for key, value in values.items()}
            covariance = numpy.cov(numpy.stack([values[key] for key in form.names])).tolist()
            doubts += wide_intervals(percentile_intervals(form.judged(found.theta, points), config.level))
        else:
            doubts.append("most bootstrap refits failed")
    if table.n_kind is None:
        warnings.append("Nobody said which parameters n_params counts; the law says non_embedding. Give n_kind.")
    warnings += [f"Not identified: {doubt}." for doubt in doubts]

    law = form.law(
        constants,
        {
            "name": name,
            "title": f"Own fit of L(N, D) to {len(table)} runs",
            "source": table.source or "own runs",
            "tag": "fitted",
            "n_kind": table.counted,
            "domain": _domain(table),
            "caveat": " ".join(warnings),
        },
    )
    report = None
    if held is not None:
        ahead = numpy.exp(form.bind(_points(held, form, points))(best.theta[None]).value[0])
        report = held_out(held, ahead, compute_of(table), rule)
    return FittedLaw(
        law=law,
        params={key: constants[key] for key in form.names},
        intervals=intervals,
        covariance=covariance,
        objective=best.value,
        runs=len(table),
        dropped=table.dropped,
        warnings=tuple(warnings),
        identified=not doubts,
        residuals=_residual_rows(table, curve.value[0]),
        holdout=report,
        estimator={**asdict(config), "group": table.groups[0] if table.groups else ""},
        bootstrap=facts,
        condition_number=condition,
        data_sha256=everything.sha256(),
        source=table.source,
    )


class Best(NamedTuple):
    """The end of a search."""

    theta: ndarray
    """(P,)."""
    value: float
    """Sum of the penalties."""
    starts: ndarray
    """Where it began, (K, P), at most `polish` of them."""
    doubts: tuple[str, ...]
    """Why that may be no minimum."""


def search(form: Form, points: Points, weights: ndarray, penalty: Penalty, config: LossFitConfig) -> Best:
    """Search from the starts that the config names, and keep the best end."""
    starts = varpro_starts(form, points, weights, penalty, size=config.grid, keep=config.polish)
    model, bounds = form.bind(points), form.bounds(points)

    def descend(begin: ndarray, **options: Any) -> Solution:
        return minimise(model, begin, points.target, weights[None], penalty, bounds, **options)

    begin = starts
    if config.starts == "grid":
        # Most of the many starts are far from everything. They all go some way; the better ones go on.
        for keep, steps, far in ((500, 10, 10), (8, 130, 30)):
            way = descend(form.many_starts(points) if begin is starts else begin, steps=steps, far=far, finish=False)
            begin = way.theta[numpy.argsort(way.value, kind="stable")[:keep]]
    found = descend(begin)
    # The lowest end is the law. Of ends that are equal but for rounding, one that has converged.
    near = found.value <= found.value.min() * (1 + SAME) + 1e-15
    ends = numpy.flatnonzero(near & found.converged if (near & found.converged).any() else near)
    best = int(ends[found.value[ends].argmin()])
    doubts: tuple[str, ...] = ()
    if not found.converged[best]:
        doubts = (f"the search did not converge: its best end has a gradient of {found.gradient[best]:.2g} per run",)
    return Best(found.theta[best], float(found.value[best]), starts, doubts)


def _points(table: RunTable, form: Form, middle: Points | None = None) -> Points:
    unique = table["unique_tokens"] if "R" in form.names else None
    if middle is not None:
        return middle.at(table["n_params"], table["tokens"], unique)
    return Points.of(table["n_params"], table["tokens"], table["loss"], unique)


def _domain(table: RunTable) -> Domain:
    n, d = table["n_params"], table["tokens"]
    c = 6 * n * d
    return Domain(
        N=(float(n.min()), float(n.max())), D=(float(d.min()), float(d.max())), C=(float(c.min()), float(c.max()))
    )


def _residual_rows(table: RunTable, predicted: ndarray) -> tuple[dict[str, Any], ...]:
    law, residuals = numpy.exp(predicted), numpy.log(table["loss"]) - predicted
    return tuple(
        {
            "id": one,
            "N": float(table["n_params"][i]),
            "D": float(table["tokens"][i]),
            "loss": float(table["loss"][i]),
            "law": float(law[i]),
            "residual": float(residuals[i]),
        }
        for i, one in enumerate(table.ids)
    )
