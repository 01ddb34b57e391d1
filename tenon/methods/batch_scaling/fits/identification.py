"""Whether runs can tell the constants of a loss law: before the fit by where they stand, after it by where it ended."""

from __future__ import annotations

from collections.abc import Mapping

import numpy
from numpy import ndarray

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.fits.loss_forms import Form, Points
from tenon.methods.batch_scaling.fits.uncertainty import cells_of

__all__ = ["limits_reached", "require_variation", "wide_intervals"]

DISTINCT = 8
"""A loss law needs at least so many distinct (N, D)."""
SPREAD = 0.05
"""Least spread (standard deviation) of ln N and ln D off any line: runs on one line cannot tell two terms apart."""
WIDE = 10.0
"""An interval whose ends differ by more than this factor says that a constant is not known."""


def require_variation(points: Points) -> None:
    """Refuse runs that cannot tell the terms of a loss law apart.

    Raises:
        DataError: Too few distinct (N, D), one N, one D, or all of them on a line; with the condition number of the
            design (ln N, ln D), which is infinite if they are exactly on one.
    """
    cells = int(cells_of(points).max()) + 1
    if len(points.x) < 2:
        raise DataError(f"There is one run; a loss law needs {DISTINCT} distinct (N, D) or more. Train more.")
    singular = numpy.linalg.svd(numpy.stack([points.x, points.y], -1), compute_uv=False) / numpy.sqrt(len(points.x))
    condition = singular[0] / singular[1] if singular[1] > 1e-12 else numpy.inf
    told = f"the condition number of (ln N, ln D) is {condition:.3g}"
    if cells < DISTINCT:
        raise DataError(
            f"The runs have {cells} distinct (N, D); a loss law needs {DISTINCT} or more, and better thrice as many "
            f"({told}). Train more sizes and lengths."
        )
    for values, letter, term, what in (
        (points.x, "N", "A N^-alpha", "model sizes"),
        (points.y, "D", "B D^-beta", "lengths of training"),
    ):
        if values.std() < SPREAD:
            raise DataError(
                f"All runs have nearly the same {letter}, so {term} cannot be told from the constant ({told}). "
                f"Train several {what}, a factor of ten apart or more."
            )
    ray = (points.y - points.x).std()
    if ray < SPREAD:
        raise DataError(
            f"All runs have nearly the same D/N, so exponents of N and of D cannot be told apart ({told}). Train some "
            "sizes for other lengths, a factor of four shorter or longer."
        )
    if singular[1] < SPREAD:
        raise DataError(
            "All runs lie on one line in (ln N, ln D), so exponents of N and of D cannot be told apart "
            f"({told}). Train some sizes for lengths off that line, a factor of four shorter or longer."
        )


def limits_reached(form: Form, points: Points, theta: ndarray, constants: Mapping[str, float]) -> list[str]:
    """Say what of the constants is no finding but a limit."""
    lower, upper = form.bounds(points)
    doubts = []
    for place, key in enumerate(form.inner):
        if key == "E":
            continue
        near = 1e-6 * (upper[place] - lower[place])
        if theta[place] <= lower[place] + near or theta[place] >= upper[place] - near:
            end = "lower" if theta[place] <= lower[place] + near else "upper"
            doubts.append(f"the search for {key} ended at its {end} bound ({key} = {constants[key]:.4g})")
    if (E := constants.get("E")) is not None:
        lowest = float(numpy.exp(points.target.min()))
        if lowest * 1e-3 > E:
            doubts.append(f"E is zero ({E:.3g}): the runs are too far from the irreducible loss to see it")
        if lowest <= E:
            doubts.append(f"E is {E:.4g}, above the lowest measured loss ({lowest:.4g})")
    return doubts


def wide_intervals(intervals: Mapping[str, tuple[float, float]]) -> list[str]:
    """Say which constants are not known to within a factor of ten.

    Args:
        intervals: Of what `Form.judged` gives. A and B are not among it: they are the terms at N = 1 and D = 1, which
            an error of an exponent reaches over as many decades as the units of N and D say.
    """
    return [
        f"{key}{' in the middle of the runs' if '^' in key else ''} is known only within a factor of {high / low:.3g} "
        f"({low:.4g} to {high:.4g})"
        for key, (low, high) in intervals.items()
        if high > WIDE * low
    ]
