"""The critical batch from steps to a loss, and where learning rates saturate (7.11, 7.12)."""

from __future__ import annotations

import math

import numpy
import pytest

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.critical import (
    batch_for_overhead,
    learning_rate_saturating,
    learning_rate_surge,
    steps_needed,
)
from tenon.methods.batch_scaling.fits.critical_fit import fit_critical
from tenon.methods.batch_scaling.fits.saturation import fit_saturation

BATCHES = [2.0**i for i in range(14)]


@pytest.mark.parametrize(("s_min", "e_min"), [(210.0, 1.29e4), (3.0e4, 2.0e10), (1.0, 5e3)])
def test_exact_steps_are_recovered(s_min: float, e_min: float) -> None:
    """7.11: to 1e-6, and the hyperbola holds at every point."""
    batches = [b * e_min / s_min / 100 for b in BATCHES]
    fit = fit_critical([{"batch": b, "steps": s_min + e_min / b} for b in batches])
    assert fit.s_min == pytest.approx(s_min, rel=1e-6)
    assert fit.e_min == pytest.approx(e_min, rel=1e-6)
    assert fit.critical_batch == pytest.approx(e_min / s_min, rel=1e-6)
    for row in fit.residuals:
        steps, tokens = row["steps"], row["steps"] * row["batch"]
        assert (steps / fit.s_min - 1) * (tokens / fit.e_min - 1) == pytest.approx(
            1, rel=1e-4
        )  # 1e-6 over small shares
    assert fit.warnings == ()


def test_price_of_the_critical_batch() -> None:
    """7.11: twice the steps, twice the tokens; a fifth more tokens at a fifth of it."""
    fit = fit_critical([(b, 210 + 1.29e4 / b) for b in BATCHES])
    steps = steps_needed(fit.critical_batch, fit.s_min, fit.e_min)
    assert steps == pytest.approx(2 * fit.s_min)
    assert steps * fit.critical_batch == pytest.approx(2 * fit.e_min)
    fifth = batch_for_overhead(fit.critical_batch, 1.2)
    assert fifth * steps_needed(fifth, fit.s_min, fit.e_min) == pytest.approx(1.2 * fit.e_min)


def test_two_batches_are_exact_and_have_no_interval() -> None:
    fit = fit_critical([(10.0, 300.0), (1000.0, 110.0)])
    assert pytest.approx(fit.e_min + fit.s_min * 1000) == 110 * 1000
    assert fit.intervals == {}
    assert any("2 batches" in one for one in fit.warnings)


def test_intervals_cover() -> None:
    """Over 200 draws of 5 % noise the 95 % interval of the critical batch holds it in 90 to 99 %."""
    rng = numpy.random.default_rng(0)
    held = 0
    for _ in range(200):
        rows = [(b, (210 + 1.29e4 / b) * math.exp(0.05 * rng.standard_normal())) for b in BATCHES]
        low, high = fit_critical(rows).intervals["critical_batch"]
        held += low <= 1.29e4 / 210 <= high
    assert 0.90 <= held / 200 <= 0.99


def test_order_and_units_of_the_batch() -> None:
    rng = numpy.random.default_rng(1)
    rows = [(b, (210 + 1.29e4 / b) * math.exp(0.05 * rng.standard_normal())) for b in BATCHES]
    one = fit_critical(rows)
    other = fit_critical([(2048 * b, s) for b, s in reversed(rows)])
    assert other.s_min == pytest.approx(one.s_min, rel=1e-7)
    assert other.critical_batch == pytest.approx(2048 * one.critical_batch, rel=1e-7)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([(b, 1e6 / b**1.02) for b in BATCHES[:6]], "S_min is not identified"),
        ([(b, 100 + 1e5 / b) for b in (1.0, 2.0, 4.0, 8.0)], "outside the batches tried"),
        ([(b, 100 + 1e4 / b * (1.5 if b > 100 else 1)) for b in BATCHES], "do not follow"),
    ],
)
def test_doubts(rows: list[tuple[float, float]], text: str) -> None:
    """2.6 (g): what the law does not describe is said, in residuals and words."""
    assert any(text in one for one in fit_critical(rows).warnings)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "0 different batches"),
        ([(8.0, 100.0), (8.0, 101.0)], "1 different batches"),
        ([(8.0, 100.0), (16.0, 0.0)], "positive steps"),
        ([(8.0, 100.0), (16.0, 100.0), (32.0, 100.0)], "do not fall"),
        ([(b, 1e6 / b) for b in BATCHES], "All runs have the same tokens, 1e\\+06"),
        # A sweep at three numbers of tokens: steps are D / B, and reach no loss in common.
        ([(b, d / b) for d in (1e6, 4e6, 16e6) for b in BATCHES], "no steps to one loss"),
    ],
)
def test_no_critical_batch(rows: list[tuple[float, float]], text: str) -> None:
    with pytest.raises(DataError, match=text):
        fit_critical(rows)


def test_saturating_rate_is_recovered() -> None:
    """7.12: and its limits are the fitted constants."""
    batches = numpy.geomspace(1e3, 1e7, 9)
    found = fit_saturation(batches, [0.01 / (1 + 2e5 / b) for b in batches])
    assert (found.peak, found.noise_batch) == pytest.approx((0.01, 2e5), rel=1e-5)
    assert found.rms < 1e-6
    assert learning_rate_saturating(1e-3, *found[:2]) / 1e-3 == pytest.approx(0.01 / 2e5, rel=1e-4)
    assert learning_rate_saturating(1e15, *found[:2]) == pytest.approx(0.01, rel=1e-5)


def test_surge_is_recovered() -> None:
    """7.12: highest at the noise scale, and alike on both sides of it."""
    batches = numpy.geomspace(1e3, 1e7, 9)
    found = fit_saturation(batches, [0.02 / ((3e4 / b) ** 0.5 + (b / 3e4) ** 0.5) for b in batches], form="adam_surge")
    assert (found.peak, found.noise_batch) == pytest.approx((0.01, 3e4), rel=1e-5)
    rates = [learning_rate_surge(3e4 * 2.0**i, *found[:2]) for i in (-2, -1, 0, 1, 2)]
    assert max(rates) == rates[2]
    assert rates == pytest.approx(rates[::-1], rel=1e-4)


def test_saturation_is_least_squares_of_logarithms() -> None:
    """Against scipy's fit of both constants, on noisy rates."""
    from scipy.optimize import least_squares

    batches = numpy.geomspace(1e3, 1e7, 9)
    rates = 0.01 / (1 + 2e5 / batches) * numpy.exp(0.1 * numpy.random.default_rng(0).standard_normal(9))
    twin = least_squares(
        lambda theta: theta[0] - numpy.log1p(numpy.exp(theta[1]) / batches) - numpy.log(rates), [-4.0, 11.0],
        xtol=1e-14, ftol=1e-14, gtol=1e-14,
    )  # fmt: skip
    found = fit_saturation(batches, rates)
    assert (found.peak, found.noise_batch) == pytest.approx(tuple(numpy.exp(twin.x)), rel=1e-4)
    assert found.rms == pytest.approx(math.sqrt((twin.fun**2).mean()), rel=1e-6)


def test_forms_are_told_apart() -> None:
    """A rate that falls again is no saturation: the wrong form leaves residuals."""
    batches = numpy.geomspace(1e3, 1e7, 9)
    rates = [learning_rate_surge(b, 0.01, 3e4) for b in batches]
    assert fit_saturation(batches, rates).rms > 100 * fit_saturation(batches, rates, form="adam_surge").rms


def test_saturation_needs_three_batches() -> None:
    with pytest.raises(DataError, match="3 different batches"):
        fit_saturation([1e3, 2e3], [1e-3, 2e-3])
