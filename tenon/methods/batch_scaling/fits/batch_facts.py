"""What a fitted law of batches is told together with: slopes of the learning rate, cells left out, doubts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenon.methods.batch_scaling.config import BatchFitConfig
from tenon.methods.batch_scaling.fits.cells import Cell
from tenon.methods.batch_scaling.fits.saturation import fit_saturation
from tenon.methods.batch_scaling.laws.law import Domain, PowerLaw
from tenon.methods.batch_scaling.runs.table import Dropped

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["domain", "doubts", "equation", "gamma", "left_out", "residuals"]

COARSE = 8
"""With fewer cells a bootstrap over them is coarse."""
NARROW = 10.0
"""Factor that D must span for an exponent to say something beyond."""
SYMBOLS = {"batch": "B", "learning_rate": "lr", "params": "N", "tokens": "D", "steps": "S"}


def equation(quantity: str, power: PowerLaw) -> str:
    """Write a power law as one would.

    >>> equation("batch", PowerLaw(coefficient=0.17, exponents={"D": 0.622}))
    'B = 0.17 D^0.622'
    """
    inputs = " ".join(f"{name}^{value:.4g}" for name, value in power.exponents.items())
    return f"{SYMBOLS[quantity]} = {power.coefficient:.4g} {inputs}"


def domain(cells: Sequence[Cell]) -> Domain:
    """Give the range of the cells; that of the batch is of the best ones, for the others were not optimal."""

    def ends(values: Sequence[float]) -> tuple[float, float]:
        return min(values), max(values)

    return Domain(
        N=ends([cell.N for cell in cells]),
        D=ends([cell.D for cell in cells]),
        B=ends([cell.batch for cell in cells]),
        C=ends([6 * cell.N * cell.D for cell in cells]),
    )


def residuals(cells: Sequence[Cell], power: PowerLaw) -> tuple[dict[str, Any], ...]:
    """Give a row per cell: its best batch, what the law says, ln(law / best batch)."""
    import math

    rows = []
    for cell in cells:
        law = float(power(N=cell.N, D=cell.D, C=6 * cell.N * cell.D))
        rows.append(
            {
                "N": cell.N, "D": cell.D, "B": cell.batch, "law": law, "residual": math.log(law / cell.batch),
                "se": _known(cell.se), "lr": _known(cell.lr), "loss": cell.loss,
                "gamma_below": _known(cell.slope(above=False)), "gamma_above": _known(cell.slope(above=True)),
            }
        )  # fmt: skip
    return tuple(rows)


def gamma(cells: Sequence[Cell]) -> dict[str, Any]:
    """Tell the slope of ln(best learning rate) on ln(batch): median and range over cells, on both sides of the best.

    And the noise scale of the saturating form, as a share of the best batch: where the slope ends.
    """
    told: dict[str, Any] = {}
    for name, above in (("below", False), ("above", True)):
        slopes = [one for cell in cells if (one := _known(cell.slope(above=above))) is not None]
        told[name] = _summary(slopes)
    shares = []
    for cell in cells:
        points = [one for one in cell.batches if not one.is_edge]
        if len(points) >= 4:
            found = fit_saturation([one.batch for one in points], [one.lr for one in points])
            shares.append(found.noise_batch / cell.batch)
    told["noise_batch / best batch"] = _summary(shares)
    return told


def left_out(cells: Sequence[Cell]) -> tuple[Dropped, ...]:
    """List the cells without a best batch, and in the others the batches whose learning rate is not tuned."""
    gone = []
    for cell in cells:
        if cell.status != "ok":
            gone.append(Dropped(cell.id, cell.reason))
        else:
            gone += [Dropped(f"{cell.id} B={one.batch:.4g}", one.advice) for one in cell.batches if one.is_edge]
    return tuple(gone)


def doubts(
    cells: Sequence[Cell],
    params: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    replicates: ndarray | None,
    config: BatchFitConfig,
) -> tuple[list[str], bool]:
    """Say what makes the law doubtful, and whether the cells pin it down at all."""
    import numpy

    told = []
    identified = True
    if replicates is not None and config.form != "fixed_compute":
        # k alone is the batch at D = 1; what counts is the batch where it was measured.
        places = numpy.log([[getattr(cell, one) for one in ("D", "N")[: 1 + ("y" in params)]] for cell in cells])
        powers = list(params).index("x"), *([list(params).index("y")] if "y" in params else [])
        batches = numpy.log(replicates[:, :1]) + replicates[:, powers] @ places.T
        low, high = numpy.percentile(batches, [50 * (1 - config.level), 50 * (1 + config.level)], axis=0)
        if (widest := float(numpy.exp((high - low).max()))) > 10:
            identified = False
            told.append(
                f"not identified: the interval of the best batch in a cell is as wide as a factor of {widest:.3g}"
            )
        if intervals["x"][0] <= 0 <= intervals["x"][1]:
            told.append("the interval of the exponent x holds 0: that the best batch grows with D is not shown")
    if replicates is not None and len(replicates) < 0.9 * config.bootstrap:
        told.append(
            f"{config.bootstrap - len(replicates)} of {config.bootstrap} refits to resampled cells had no solution"
        )
    if len(cells) < COARSE:
        told.append(f"{len(cells)} cells: the intervals, which resample cells, are coarse")
    tokens = [cell.D for cell in cells]
    if max(tokens) < NARROW * min(tokens):
        told.append(f"D spans a factor of {max(tokens) / min(tokens):.3g} only: the exponent says little beyond")
    if config.form == "fixed_compute":
        sizes = sorted({cell.N for cell in cells})
        told.append(
            f"from the three-term surface of {len(sizes)} model sizes: the exponents of N, S and B rest on its form"
        )
        middle = numpy.exp(numpy.mean([numpy.log(6 * cell.N * cell.D) for cell in cells]))
        best = params["k_N"] * middle ** params["x_N"]
        if not sizes[0] <= best <= sizes[-1]:
            told.append(
                f"at C = {middle:.3g} the law's N is {best:.3g}, outside the sizes of the sweep ({sizes[0]:.3g} to "
                f"{sizes[-1]:.3g}): the frontier is extrapolated"
            )
    return told, identified


def _known(value: float) -> float | None:
    return value if value == value else None  # NaN is no JSON


def _summary(values: Sequence[float]) -> dict[str, Any] | None:
    import numpy

    if not values:
        return None
    return {
        "median": float(numpy.median(values)), "low": float(min(values)), "high": float(max(values)),
        "cells": len(values),
    }  # fmt: skip
