"""The three-term law L(N, S, B): recovered, at its best batch, and on StepLaw's table."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.fits.surface import NAMES, fit_constants, fit_surface, frontier, surface_points
from tests.methods.batch_scaling.sweep_table import STEPLAW, needs_steplaw

TRUE = {"E": 1.5, "A": 80.0, "alpha": 0.3, "F": 6.0, "beta": 0.25, "G": 12.0, "gamma": 0.15}


def surface_rows(noise: float = 0.0, true: dict[str, float] = TRUE, unit: float = 1.0) -> list[dict[str, Any]]:
    """Five sizes, three D each, seven batches, the best of three learning rates in the middle."""
    rng = numpy.random.default_rng(0)
    rows = []
    for size in (5e7, 1e8, 2e8, 4e8, 8e8):
        for ratio in (10, 40, 160):
            tokens = ratio * size
            for i in range(7):
                batch = 2e4 * 4.0**i
                loss = true["E"] + true["A"] * size ** -true["alpha"]
                loss += true["F"] * (tokens / batch) ** -true["beta"] + true["G"] * batch ** -true["gamma"]
                loss *= math.exp(noise * rng.standard_normal())
                rows += [
                    {"n_params": size * unit, "tokens": tokens, "batch_tokens": batch, "lr": lr, "loss": loss + add}
                    for lr, add in ((5e-4, 0.1), (1e-3, 0.0), (2e-3, 0.1))
                ]
    return rows


@pytest.mark.parametrize(
    "true",
    [TRUE, {"E": 0.4737, "A": 173.3, "alpha": 0.2937, "F": 4.06, "beta": 0.1999, "G": 3.443, "gamma": 0.1048}],
)
def test_exact_surface_is_recovered(true: dict[str, float]) -> None:
    fitted = fit_surface(surface_rows(true=true), bootstrap=0)
    for name in NAMES:
        assert fitted.params[name] == pytest.approx(true[name], rel=1e-4)
    assert fitted.params["x"] == pytest.approx(true["beta"] / (true["beta"] + true["gamma"]), rel=1e-5)
    assert fitted.estimator["rms_log_residual"] < 1e-8
    assert fitted.identified


def test_best_batch_has_the_least_loss() -> None:
    """k and x are those of the law's own best batch, which no other batch beats."""
    fitted = fit_surface(surface_rows(noise=0.003), bootstrap=0)
    for tokens in (1e9, 1e11):
        best = fitted.law.batch(D=tokens)
        assert best == pytest.approx(fitted.params["k"] * tokens ** fitted.params["x"], rel=1e-9)
        around = fitted.law.loss(1e8, tokens, best * numpy.exp(numpy.linspace(-3, 3, 601)))  # type: ignore[attr-defined]
        assert int(numpy.argmin(around)) == 300


def test_order_units_and_repetition_do_not_matter() -> None:
    """7.5: N a million times larger only scales A; a row twice is a seed."""
    rows = surface_rows(noise=0.003)
    one = fit_surface(rows, bootstrap=0)
    mixed = [rows[i] for i in numpy.random.default_rng(0).permutation(len(rows))]
    assert dict(fit_surface(mixed + rows, bootstrap=0).params) == pytest.approx(dict(one.params), rel=1e-6)
    scaled = dict(fit_surface(surface_rows(noise=0.003, unit=1e6), bootstrap=0).params)
    assert scaled.pop("A") == pytest.approx(one.params["A"] * 1e6 ** one.params["alpha"], rel=1e-5)
    assert scaled == pytest.approx({name: value for name, value in one.params.items() if name != "A"}, rel=1e-6)


def test_bootstrap_is_repeatable_and_holds_the_truth() -> None:
    rows = surface_rows(noise=0.003)
    one = fit_surface(rows, bootstrap=40)
    assert one.intervals == fit_surface(rows, bootstrap=40).intervals
    assert one.intervals != fit_surface(rows, bootstrap=40, seed=1).intervals
    assert one.intervals["x"][0] < 0.625 < one.intervals["x"][1]
    assert one.intervals["x"][0] < one.params["x"] < one.intervals["x"][1]
    assert one.bootstrap["over"] == "cells"
    assert numpy.shape(one.covariance) == (9, 9)


def test_huber_shrugs_off_outliers() -> None:
    """7.8: every twentieth batch 30 % worse hardly moves the batch's exponent; least squares it does."""
    rows = surface_rows(noise=0.001)
    for place in range(0, len(rows), 60):
        for row in rows[place : place + 3]:
            row["loss"] *= 1.3
    clean = fit_surface(surface_rows(noise=0.001), bootstrap=0).params["x"]
    assert abs(fit_surface(rows, bootstrap=0).params["x"] - clean) < 0.01
    assert abs(fit_surface(rows, bootstrap=0, delta=10.0).params["x"] - clean) > 0.03


def test_frontier_exponents_add_up_to_one() -> None:
    powers = frontier(TRUE)
    assert sum(one.exponents["C"] for one in powers.values()) == pytest.approx(1, abs=1e-12)
    n, s, b = (powers[one](C=1e20) for one in ("params", "steps", "batch"))
    assert 6 * n * s * b == pytest.approx(1e20, rel=1e-9)
    slopes = [0.3 * 80 * n**-0.3, 0.25 * 6 * s**-0.25, 0.15 * 12 * b**-0.15]
    assert slopes == pytest.approx([slopes[0]] * 3, rel=1e-9)


def test_warm_start_ends_where_the_grid_does() -> None:
    from tenon.methods.batch_scaling.fits.cells import find_cells

    points = surface_points(find_cells(surface_rows(noise=0.003)))
    cold, value = fit_constants(points)
    warm, again = fit_constants(points, start=TRUE)
    assert again == pytest.approx(value, rel=1e-9)
    assert warm == pytest.approx(cold, rel=1e-5)


def test_tables_that_hold_no_surface() -> None:
    rows = surface_rows()
    with pytest.raises(DataError, match="only one value of N"):
        fit_surface([row for row in rows if row["n_params"] == 1e8])
    with pytest.raises(DataError, match="only one value of B"):
        fit_surface([row for row in rows if row["batch_tokens"] == 2e4])
    with pytest.raises(DataError, match="has 7 batches"):
        fit_surface([row for row in rows if row["n_params"] == 1e8 and row["tokens"] == 1e9])


def test_edges_are_told() -> None:
    rows = [row for row in surface_rows() if row["lr"] < 1.5e-3 or row["batch_tokens"] > 1e5]
    kept, left = fit_surface(rows, bootstrap=0), fit_surface(rows, bootstrap=0, keep_edges=False)
    assert any("at an edge" in one for one in kept.warnings)
    assert (kept.runs, left.runs) == (105, 75)
    assert len(left.dropped) == 30


@needs_steplaw
def test_steplaw_surface() -> None:
    """Section 2.8, to its printed digits; five sizes do not identify E, which the law says itself."""
    fitted = fit_surface(STEPLAW, bootstrap=20)
    told = {"E": 0.4737, "A": 173.3, "alpha": 0.2937, "F": 4.060, "beta": 0.1999, "G": 3.443, "gamma": 0.1048}
    for name, value in told.items():
        assert fitted.params[name] == pytest.approx(value, rel=5e-4)
    assert fitted.params["x"] == pytest.approx(0.656, abs=5e-4)
    assert fitted.params["k"] == pytest.approx(0.0699, abs=1e-4)
    assert fitted.estimator["rms_log_residual"] == pytest.approx(0.0061, abs=5e-5)
    assert any("5 model sizes" in one for one in fitted.warnings)
