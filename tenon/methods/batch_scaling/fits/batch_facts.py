"""What a fitted law of batches is told together with: slopes of the learning rate, cells left out, doubts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tenon.methods.batch_scaling.config import BatchFitConfig
from tenon.methods.batch_scaling.fits.cells import Cell
from tenon.methods.batch_scaling.fits.power_fit import PowerFit
from tenon.methods.batch_scaling.fits.saturation import fit_saturation
from tenon.methods.batch_scaling.laws.law import Domain, PowerLaw
from tenon.methods.batch_scaling.runs.table import Dropped

__all__ = ["domain", "doubts", "ends", "equation", "gamma", "left_out", "power_doubts", "residuals"]

COARSE = 8
"""With fewer cells the noise itself is hardly known."""
WIDEST = 10.0
"""Factor of the interval of a fitted value, beyond which a law is not identified."""
WIDE_EXPONENT = 1.0
"""Width of the interval of an exponent that says hardly anything."""
NARROW = 10.0
"""Factor that D must span for an exponent to say something beyond."""
NAMES = {"batch": "the best batch", "critical_batch": "the critical batch", "learning_rate": "the best learning rate"}
AMONG = {"batch": "cells", "critical_batch": "model sizes", "learning_rate": "cells"}
SYMBOLS = {"batch": "B", "critical_batch": "B_crit", "learning_rate": "lr", "params": "N", "tokens": "D", "steps": "S"}


def equation(quantity: str, power: PowerLaw) -> str:
    """Write a power law as one would.

    >>> equation("batch", PowerLaw(coefficient=0.17, exponents={"D": 0.622}))
    'B = 0.17 D^0.622'
    """
    inputs = " ".join(f"{name}^{value:.4g}" for name, value in power.exponents.items())
    return f"{SYMBOLS[quantity]} = {power.coefficient:.4g} {inputs}"


def ends(values: Sequence[float]) -> tuple[float, float]:
    """Give the least and the largest."""
    return min(values), max(values)


def domain(cells: Sequence[Cell]) -> Domain:
    """Give the range of the cells; that of the batch is of the best ones, for the others were not optimal."""

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


def left_out(cells: Sequence[Cell], *, edges: bool = True) -> tuple[Dropped, ...]:
    """List the cells without a best batch, and (`edges`) in the others the batches whose learning rate is not tuned."""
    gone = []
    for cell in cells:
        if cell.status != "ok":
            gone.append(Dropped(cell.id, cell.reason))
        elif edges:
            gone += [Dropped(f"{cell.id} B={one.batch:.4g}", one.advice) for one in cell.batches if one.is_edge]
    return tuple(gone)


def power_doubts(
    fits: Sequence[tuple[str, Sequence[str], PowerFit]], failures: int, config: BatchFitConfig
) -> tuple[tuple[str, ...], bool]:
    """Say what makes fitted powers doubtful, and whether the cells pin them down at all.

    Args:
        fits: By quantity, with the names of their constants.
        failures: Refits to resampled cells without a solution.
        config: How they were fitted.
    """
    told = []
    identified = True
    for quantity, names, fit in fits:
        what = NAMES[quantity]
        if not fit.intervals:
            identified = False
            told.append(
                f"not identified: {what} has {len(names)} constants, and too few {AMONG[quantity]} leave no spread to "
                "judge them by; there is no interval"
            )
            continue
        # k alone is the value at D = 1; what counts is the value where it was measured.
        if fit.widest > WIDEST:
            identified = False
            wide = f"as wide as a factor of {fit.widest:.3g}"
            told.append(f"not identified: the interval of {what}, where it was measured, is {wide}")
        for name, (low, high) in zip(names[1:], fit.intervals[1:], strict=True):
            if high - low > WIDE_EXPONENT:
                told.append(f"the interval of the exponent {name} is {low:.3g} to {high:.3g}: it says hardly anything")
            if name == "x" and low <= 0 <= high:
                told.append(f"the interval of the exponent x holds 0: that {what} grows with D is not shown")
    if failures > 0.1 * config.bootstrap:
        told.append(f"{failures} of {config.bootstrap} refits to resampled cells had no solution")
    return tuple(told), identified


def doubts(cells: Sequence[Cell], params: Mapping[str, float], config: BatchFitConfig) -> list[str]:
    """Say what in the cells makes the law doubtful."""
    import numpy

    told = []
    if len(cells) < COARSE:
        told.append(f"{len(cells)} cells: the intervals, which go by how these differ from the law, are coarse")
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
    return told


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
