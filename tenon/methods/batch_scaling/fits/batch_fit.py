"""Laws of the best batch and learning rate, fitted to the cells of a sweep.

`fixed_data`     B = k D^x              `joint`  B = k D^x N^y
`fixed_compute`  N, S and B as powers of C, from the three-term surface; their exponents add up to 1

One cell counts as one observation: cells are what differs between trainings that one wants to predict, so intervals
come from the spread of cells, never of runs within a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.config import BatchFitConfig
from tenon.methods.batch_scaling.fits import batch_facts as facts
from tenon.methods.batch_scaling.fits.cells import Cell, clean_runs, find_cells
from tenon.methods.batch_scaling.fits.law_card import FittedLaw
from tenon.methods.batch_scaling.fits.power_fit import (
    PowerFit,
    fit_power,
    fit_powers,
    identified,
    intervals_of,
    resampled,
)
from tenon.methods.batch_scaling.laws.law import Law, PowerLaw, Quantity
from tenon.methods.batch_scaling.runs.table import RunTable

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["fit_batch_law", "fit_lr_law"]

FEWEST_CELLS = 3
NEEDS = {"fixed_data": ("D",), "joint": ("D", "N")}
TELL = {"k": "k", "D": "x", "N": "y"}


class _Powers(NamedTuple):
    """Fitted powers by quantity, and what is said of their constants."""

    formulas: dict[Quantity, PowerLaw]
    params: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    replicates: ndarray | None
    """Constants of refits to resampled cells, (R, params), without those that had no solution."""
    failures: int
    """These."""
    kind: str
    """Of interval."""
    doubts: tuple[str, ...]
    """What makes them doubtful."""
    identified: bool


class Rows(NamedTuple):
    """What powers are fitted to: one or several rows per cell."""

    inputs: Mapping[str, ndarray]
    """Natural logarithms by name, (n,) each."""
    batch: ndarray
    """ln B, (n,)."""
    lr: ndarray
    """ln(learning rate), (n,); NaN where it is not tuned."""
    cell: ndarray
    """Which cell, (n,)."""


def fit_batch_law(
    runs: Any, config: BatchFitConfig | None = None, *, name: str = "fitted", **changes: Any
) -> FittedLaw:
    """Fit the best batch, and the best learning rate at it, to a sweep.

    Cells count alike, for the standard error of a best batch (`se`, in `residuals`) rests on two degrees of freedom or
    fewer: weights from it would be those of chance.

    Args:
        runs: A RunTable, or whatever `read_runs` takes: several (N, D), each with batches, each of them with its own
            learning rates.
        config: How.
        name: Of the law.
        changes: Fields of the config that are to be others.

    Returns:
        `law.batch(...)` and, where learning rates are tuned, `law.learning_rate(...)`, the one at the best batch.
        `estimator` also tells `gamma` (slope of ln(learning rate) on ln(batch) below and above the best batch),
        `sensitivity` (the same law by other estimators) and `joint` (does N matter?).

    Raises:
        DataError: Fewer than three cells have a best batch, or they have one value of D only; the message lists the
            cells, and what to try. `joint` also needs N to vary apart from D; `fixed_compute` several sizes.
    """
    config = replace(config or BatchFitConfig(), **changes)
    table = clean_runs(runs)
    cells = find_cells(table, config)
    used = _usable(cells)
    if config.form == "fixed_compute":
        found = _fixed_compute(used, config)
    else:
        found = _powers(_rows(used, config), used, config)
    residuals = facts.residuals(used, found.formulas["batch"])
    law = Law(
        name=name,
        title=f"Best batch and learning rate of a sweep ({config.form.replace('_', ' ')})",
        equation="; ".join(facts.equation(quantity, one) for quantity, one in found.formulas.items()),
        source=table.source,
        tag="fitted",
        formulas=found.formulas,
        n_kind=table.counted,
        domain=facts.domain(used),
        caveat="Of this sweep's data, schedule and optimiser. The learning rate is that of the best batch.",
    )
    told = asdict(config) | {"cells": len(cells), "gamma": facts.gamma(used), "intervals": found.kind}
    if config.form != "fixed_compute":
        told |= {"sensitivity": _sensitivity(table, cells, config), "joint": _independence(used, config)}
    return FittedLaw(
        law=law,
        params=found.params,
        intervals=found.intervals,
        covariance=intervals_of(found.params, found.replicates, config.level)[1],
        objective=sum(row["residual"] ** 2 for row in residuals),
        runs=len(used),
        dropped=(*table.dropped, *facts.left_out(cells, edges=config.form != "fixed_compute")),
        warnings=(*found.doubts, *facts.doubts(used, found.params, config)),
        identified=found.identified,
        residuals=residuals,
        holdout=_holdout(used, config),
        estimator=told,
        bootstrap=_bootstrap(found, config),
        data_sha256=table.sha256(),
        source=table.source,
    )


def fit_lr_law(
    runs: Any, config: BatchFitConfig | None = None, *, name: str = "fitted-lr", **changes: Any
) -> FittedLaw:
    """Fit the best learning rate k N^a D^b B^c to the tuned batches up to the best one of every cell.

    Beyond the best batch it hardly rises any more, so those batches are not of this law. Inputs that do not vary, or
    not apart from the others, are left out of it.

    Args:
        runs: As in `fit_batch_law`.
        config: For `points`, `bootstrap`, `level` and `seed`.
        name: Of the law.
        changes: Fields of the config that are to be others.

    Raises:
        DataError: As `fit_batch_law`.
    """
    import numpy

    config = replace(config or BatchFitConfig(), **changes)
    table = clean_runs(runs)
    cells = find_cells(table, config)
    used = _usable(cells)
    told = [(i, cell, one) for i, cell in enumerate(used) for one in cell.tuned(above=False)]
    inputs = {
        "N": numpy.log([cell.N for _, cell, _ in told]),
        "D": numpy.log([cell.D for _, cell, _ in told]),
        "B": numpy.log([one.batch for *_, one in told]),
    }
    place = numpy.array([i for i, *_ in told])
    target = numpy.log([one.lr for *_, one in told])
    names = identified(inputs, ("B", "D", "N"))
    fit = fit_power(inputs, names, target, place, resampled(len(used), config, "lr"), config.level)
    found = _joined([("learning_rate", ("k", *names), fit)], config)
    formula = fit.power
    fitted = formula(**{one: numpy.exp(column) for one, column in inputs.items()})
    off = numpy.log(fitted) - target
    missing = [one for one in ("N", "D", "B") if one not in names]
    return FittedLaw(
        law=Law(
            name=name,
            title="Best learning rate of a sweep, up to the best batch",
            equation=facts.equation("learning_rate", formula),
            source=table.source,
            tag="fitted",
            formulas={"learning_rate": formula},
            n_kind=table.counted,
            domain=replace(facts.domain(used), B=facts.ends([one.batch for *_, one in told])),
            caveat="Up to the best batch; beyond it the learning rate hardly rises.",
        ),
        params=found.params,
        intervals=found.intervals,
        covariance=intervals_of(found.params, found.replicates, config.level)[1],
        objective=float((off**2).sum()),
        runs=len(told),
        dropped=(*table.dropped, *facts.left_out(cells)),
        warnings=(
            *(f"{one} is not in the law: in these cells it does not vary, or not apart from the others"
              for one in missing),
            *found.doubts,
        ),
        identified=found.identified,
        residuals=tuple(
            {"N": cell.N, "D": cell.D, "B": one.batch, "lr": one.lr, "law": float(f), "residual": float(r)}
            for (_, cell, one), f, r in zip(told, fitted, off, strict=True)
        ),
        estimator=asdict(config) | {"cells": len(cells), "gamma": facts.gamma(used), "intervals": found.kind},
        bootstrap=_bootstrap(found, config),
        data_sha256=table.sha256(),
        source=table.source,
    )  # fmt: skip


def _usable(cells: Sequence[Cell]) -> list[Cell]:
    """Give the cells with a best batch, or say why there are too few."""
    used = [cell for cell in cells if cell.status == "ok"]
    different = len({cell.D for cell in used})
    if len(used) >= FEWEST_CELLS and different >= 2:
        return used
    lost = [f"  {cell.id}: {cell.reason}" for cell in cells if cell.status != "ok"]
    raise DataError(
        f"{len(used)} of {len(cells)} cells (N, D) have a best batch, with {different} different D; a batch law needs "
        f"{FEWEST_CELLS} cells and 2 values of D, so there is no law."
        + ("\nWithout a best batch:\n" + "\n".join(lost) if lost else " Train with other numbers of tokens.")
    )


def _rows(used: Sequence[Cell], config: BatchFitConfig) -> Rows:
    """Take the observations: the optimum of every cell, or all its runs that come near its best one."""
    import numpy

    told = []
    for place, cell in enumerate(used):
        if config.estimator == "parabola":
            told.append((cell.N, cell.D, cell.batch, cell.lr, place))
        else:
            most = cell.best_run[2] * (1 + config.threshold)
            runs = [(one.batch, *run) for one in cell.batches for run in one.runs]
            told += [(cell.N, cell.D, batch, lr, place) for batch, lr, loss in runs if loss <= most]
    n, d, batch, lr, place = numpy.array(told, dtype=float).T
    return Rows({"N": numpy.log(n), "D": numpy.log(d)}, numpy.log(batch), numpy.log(lr), place.astype(int))


def _powers(rows: Rows, used: Sequence[Cell], config: BatchFitConfig) -> _Powers:
    """Fit B and the learning rate."""
    import numpy

    names = NEEDS[config.form]
    if missing := [one for one in names if one not in identified(rows.inputs, names)]:
        raise DataError(
            f"The law {config.form} needs {' and '.join(names)} to vary apart from each other; in the {len(used)} "
            f"usable cells {', '.join(missing)} does not. Train more sizes at the same tokens, or fit form=fixed_data "
            "(--set form=fixed_data)."
        )
    parts: list[tuple[Quantity, list[str], ndarray, ndarray]] = [
        ("batch", list(names), rows.batch, numpy.ones(len(rows.batch), bool))
    ]
    tuned = numpy.isfinite(rows.lr)
    if len(numpy.unique(rows.cell[tuned])) >= FEWEST_CELLS:
        inputs = identified({one: column[tuned] for one, column in rows.inputs.items()}, ("D", "N"))
        if "D" in inputs:
            parts.append(("learning_rate", inputs, rows.lr, tuned))
    counts = resampled(len(used), config)
    found = []
    for quantity, inputs, target, mask in parts:
        chosen = {one: column[mask] for one, column in rows.inputs.items()}
        fit = fit_power(chosen, inputs, target[mask], rows.cell[mask], counts, config.level)
        told = [TELL[one] if quantity == "batch" else f"lr_{one}" for one in ("k", *inputs)]
        found.append((quantity, told, fit))
    return _joined(found, config)


def _joined(fits: Sequence[tuple[Quantity, Sequence[str], PowerFit]], config: BatchFitConfig) -> _Powers:
    """Put fits of one or more quantities together, their constants under the names that come with them."""
    import numpy

    formulas = {quantity: fit.power for quantity, _, fit in fits}
    params: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for _, names, fit in fits:
        params |= dict(zip(names, (fit.power.coefficient or 0.0, *fit.power.exponents.values()), strict=True))
        intervals |= dict(zip(names, fit.intervals, strict=False))  # all or none
    replicates, failures = None, 0
    if drawn := [fit.replicates for *_, fit in fits if fit.replicates is not None]:
        every = numpy.concatenate(drawn, axis=1)
        kept = numpy.isfinite(every).all(axis=1)
        replicates, failures = every[kept], int((~kept).sum())
    told = ", ".join(f"{quantity} {max(0, fit.freedom)}" for quantity, _, fit in fits)
    doubts, pinned = facts.power_doubts(fits, failures, config)
    kind = f"Student's t over cells; degrees of freedom: {told}"
    return _Powers(formulas, params, intervals, replicates, failures, kind, doubts, pinned)


def _bootstrap(found: _Powers, config: BatchFitConfig) -> dict[str, Any]:
    """Tell the bootstrap, with its own intervals."""
    if found.replicates is None:
        return {}
    percentiles = intervals_of(found.params, found.replicates, config.level)[0]
    return {
        "n": len(found.replicates), "seed": config.seed, "over": "cells", "failures": found.failures,
        "intervals": {name: list(one) for name, one in percentiles.items()},
    }  # fmt: skip


def _fixed_compute(used: Sequence[Cell], config: BatchFitConfig) -> _Powers:
    """Give N, S and B against C from the three-term surface."""
    import numpy

    from tenon.methods.batch_scaling.fits import surface

    points = surface.surface_points(used)
    constants, _ = surface.fit_constants(points)
    letters: dict[Quantity, str] = {"params": "N", "steps": "S", "batch": "B"}

    def told(one: dict[str, float]) -> tuple[dict[Quantity, PowerLaw], dict[str, float]]:
        powers = surface.frontier(one)
        values = {f"k_{letters[quantity]}": power.coefficient or 0.0 for quantity, power in powers.items()}
        return powers, values | {f"x_{letters[quantity]}": power.exponents["C"] for quantity, power in powers.items()}

    formulas, params = told(constants)
    refits, failures = surface.refit(points, constants, count=config.bootstrap, seed=config.seed)
    replicates = numpy.array([list(told(one)[1].values()) for one in refits]) if len(refits) > 1 else None
    intervals = intervals_of(params, replicates, config.level)[0]
    doubts, pinned = surface.doubts(
        points, constants, intervals, sum(one.is_edge for cell in used for one in cell.batches)
    )
    kind = "percentiles of the bootstrap over cells"
    return _Powers(formulas, params, intervals, replicates, failures, kind, tuple(doubts), pinned)


def _sensitivity(table: RunTable, cells: Sequence[Cell], config: BatchFitConfig) -> dict[str, dict[str, Any]]:
    """Fit the same law by other estimators: how much of the exponents is a choice."""
    import numpy

    edges = find_cells(table, config, keep_edges=True)
    wide = 2 * config.threshold
    others = {
        "parabola": (cells, replace(config, estimator="parabola")),
        "parabola, edges kept": (edges, replace(config, estimator="parabola")),
        f"near_best {config.threshold:g}": (cells, replace(config, estimator="near_best")),
        f"near_best {wide:g}": (cells, replace(config, estimator="near_best", threshold=wide)),
    }
    result = {}
    for name, (told, settings) in others.items():
        used = [cell for cell in told if cell.status == "ok"]
        rows = _rows(used, settings)
        names = NEEDS[config.form]
        theta = fit_powers(rows.inputs, names, rows.batch, rows.cell, None)[0]
        powers = {TELL[one]: float(x) for one, x in zip(names, theta[1:], strict=True)}
        result[name] = {"cells": len(used), "rows": len(rows.batch), "k": float(numpy.exp(theta[0])), **powers}
    return result


def _independence(used: Sequence[Cell], config: BatchFitConfig) -> dict[str, float] | None:
    """Regress the best batch on N and D together: does N matter? None: they do not vary apart."""
    rows = _rows(used, config)
    if len(identified(rows.inputs, ("D", "N"))) < 2:
        return None
    _, d, n = fit_powers(rows.inputs, ("D", "N"), rows.batch, rows.cell, None)[0]
    return {"D": float(d), "N": float(n)}


def _holdout(used: Sequence[Cell], config: BatchFitConfig) -> dict[str, Any] | None:
    """Predict the best batches at the most tokens from the others; None: too few are left to fit."""
    import numpy

    tokens = [cell.D for cell in used]
    rest = [cell for cell, here in zip(used, tokens, strict=True) if here < max(tokens)]
    if config.form == "fixed_compute" or len(rest) < FEWEST_CELLS or len({cell.D for cell in rest}) < 2:
        return None
    rows, names = _rows(rest, config), NEEDS[config.form]
    if len(identified(rows.inputs, names)) < len(names):
        return None
    theta = fit_powers(rows.inputs, names, rows.batch, rows.cell, None)[0]
    held = [cell for cell, here in zip(used, tokens, strict=True) if here == max(tokens)]
    inputs = numpy.log([[getattr(cell, name) for name in names] for cell in held])
    law = numpy.exp(theta[0] + inputs @ theta[1:])
    errors = law / [cell.batch for cell in held] - 1
    return {
        "rule": "best batches at the most tokens, from the other cells",
        "count": len(held),
        "mean_error": float(numpy.abs(errors).mean()),
        "max_error": float(numpy.abs(errors).max()),
        "runs": [
            {"N": cell.N, "D": cell.D, "B": cell.batch, "law": float(b), "residual": float(numpy.log(b / cell.batch))}
            for cell, b in zip(held, law, strict=True)
        ],
    }
