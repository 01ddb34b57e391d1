"""How sure a fitted loss law is: the bootstrap over runs, and runs that are predicted and not fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy
from numpy import ndarray

from tenon.core.errors import DataError
from tenon.core.seeds import numpy_rng
from tenon.methods.batch_scaling.fits.loss_forms import Form, Points
from tenon.methods.batch_scaling.fits.newton import minimise
from tenon.methods.batch_scaling.fits.objective import Penalty
from tenon.methods.batch_scaling.runs.table import RunTable

__all__ = ["Replicates", "bootstrap", "compute_of", "held_out", "holdout_mask", "percentile_intervals"]

CHECKED = 0.1
"""Share of the replicates that are also searched from all starts, to see whether the law's own valley is left."""
SAME = 1e-9
"""Objectives closer than this share are one minimum."""


class Replicates(NamedTuple):
    """Refits to resampled runs, those that converged."""

    theta: ndarray
    """(R, P)."""
    facts: Mapping[str, Any]
    """For the law card: their number, the seed, how many failed, how many left for another valley."""


def bootstrap(
    form: Form,
    points: Points,
    weights: ndarray,
    penalty: Penalty,
    *,
    best: ndarray,
    starts: ndarray,
    count: int,
    seed: int,
) -> Replicates:
    """Refit to resampled runs, all refits at once, from the law's own constants.

    What is drawn are the distinct (N, D), each with all its runs: repeats of one training under other seeds say nothing
    of what another size or length would give, and drawing them singly makes intervals too narrow. A tenth of the refits
    is also begun from all `starts`; if one of them ends lower there, all are.

    Args:
        form: Of the law.
        points: The runs.
        weights: Of the runs, (n,).
        penalty: Of a log residual.
        best: The law's parameters, (P,).
        starts: Other places to begin, (K, P).
        count: Refits.
        seed: Of the draws.
    """
    member = cells_of(points)
    cells = int(member.max()) + 1
    rng = numpy_rng(seed, "batch_scaling", "loss law", "bootstrap")
    drawn = rng.multinomial(cells, numpy.full(cells, 1 / cells), size=count)[:, member] * weights
    model, bounds = form.bind(points), form.bounds(points)

    def refit(rows: ndarray, begin: ndarray) -> Any:
        return minimise(
            model,
            numpy.tile(begin, (len(rows), 1)),
            points.target,
            numpy.repeat(rows, len(begin), axis=0),
            penalty,
            bounds,
        )

    found = refit(drawn, best[None])
    theta, value, converged = found.theta.copy(), found.value.copy(), found.converged.copy()

    def search_again(rows: ndarray) -> int:
        """Begin these replicates from all starts; keep what is lower, and count it."""
        others = refit(drawn[rows], starts)
        values = numpy.where(others.converged, others.value, numpy.inf).reshape(len(rows), -1)
        pick = values.argmin(axis=1)
        lower = values.min(axis=1) < value[rows] * (1 - SAME) - 1e-15
        place = numpy.arange(len(rows)) * len(starts) + pick
        theta[rows[lower]], value[rows[lower]] = others.theta[place[lower]], others.value[place[lower]]
        converged[rows[lower]] = True
        return int(lower.sum())

    checked = numpy.arange(max(1, round(CHECKED * count)))
    elsewhere = search_again(checked)
    if elsewhere:
        rest = numpy.arange(len(checked), count)
        elsewhere += search_again(rest)
        checked = numpy.arange(count)
    return Replicates(
        theta[converged],
        {
            "n": count,
            "seed": seed,
            "over": f"the {cells} distinct (N, D), with all their runs",
            "failures": int((~converged).sum()),
            "searched_from_all_starts": len(checked),
            "ended_in_another_valley": elsewhere,
        },
    )


def cells_of(points: Points) -> ndarray:
    """Number the distinct trainings: which cell each run belongs to, (n,)."""
    return _numbered(points.x, points.y, *([] if points.unique is None else [points.unique]))


def _numbered(*logs: ndarray) -> ndarray:
    # Rounded, because D is often computed, and equal values then differ in their last digit.
    return numpy.unique(numpy.round(numpy.stack(logs, -1), 9), axis=0, return_inverse=True)[1].reshape(-1)


def percentile_intervals(values: Mapping[str, ndarray], level: float) -> dict[str, tuple[float, float]]:
    """Give the central interval of each constant over the replicates."""
    ends = (50 * (1 - level), 50 * (1 + level))
    both = {name: numpy.percentile(value, ends) for name, value in values.items()}
    return {name: (float(low), float(high)) for name, (low, high) in both.items()}


def compute_of(table: RunTable) -> ndarray:
    """Give the training compute of each run [FLOPs]: as it was measured, else 6 N D."""
    return numpy.where(numpy.isfinite(table["flops"]), table["flops"], 6 * table["n_params"] * table["tokens"])


def holdout_mask(table: RunTable, rule: str | float) -> tuple[ndarray, str]:
    """Mark the runs that are predicted and not fitted: those of the largest compute.

    An (N, D) is held out with all its runs: of one that is fitted too, another seed would be no prediction.

    Args:
        table: The runs.
        rule: `largest_compute`, all runs within a factor of two of the largest compute; or a share of the runs, or a
            little more, as whole (N, D) are.

    Returns:
        The mask, and the rule in words.

    Raises:
        DataError: The rule is another, or it leaves nothing to fit.
    """
    member = _numbered(numpy.log(table["n_params"]), numpy.log(table["tokens"]))
    compute = numpy.zeros(int(member.max()) + 1)
    numpy.maximum.at(compute, member, compute_of(table))  # where it was measured, repeats may differ
    compute = compute[member]
    if rule == "largest_compute":
        mask = compute > compute.max() / 2
        told = "all runs within a factor of two of the largest compute"
    elif isinstance(rule, int | float) and 0 < rule < 1:
        count = max(1, round(float(rule) * len(table)))
        order = numpy.lexsort((member, compute))[::-1]  # cells of one compute stay apart
        mask = numpy.isin(member, member[order[:count]])
        told = f"the {int(mask.sum())} runs of the largest compute ({float(rule):.0%})"
    else:
        raise DataError(f"holdout is {rule!r}; it must be 'largest_compute', or a share between 0 and 1.")
    if mask.all():
        raise DataError(f"Holding out {told} leaves no run to fit: their compute spans less. Give a share instead.")
    return mask, told


def held_out(table: RunTable, predicted: ndarray, fitted_compute: ndarray, rule: str) -> dict[str, Any]:
    """Compare what was predicted with what was measured, run by run.

    Args:
        table: The runs that were held out.
        predicted: Losses, (n,).
        fitted_compute: Of the runs that were fitted [FLOPs].
        rule: In words.

    Returns:
        The rule, how many, their mean and largest absolute relative error, the mean of the signed ones (above zero: the
        law predicts too much), how far beyond the fitted compute they are [decades], and a row per run, whose residual
        is ln(measured) - ln(law).
    """
    compute, measured = compute_of(table), table["loss"]
    error = predicted / measured - 1
    residual = numpy.log(measured / predicted)
    rows = [
        {
            "id": name,
            "N": float(table["n_params"][i]),
            "D": float(table["tokens"][i]),
            "C": float(compute[i]),
            "loss": float(measured[i]),
            "law": float(predicted[i]),
            "residual": float(residual[i]),
        }
        for i, name in enumerate(table.ids)
    ]
    return {
        "rule": rule,
        "count": len(table),
        "mean_error": float(numpy.abs(error).mean()),
        "max_error": float(numpy.abs(error).max()),
        "bias": float(error.mean()),
        "decades_beyond": float(numpy.log10(compute.max() / fitted_compute.max())),
        "runs": rows,
    }
