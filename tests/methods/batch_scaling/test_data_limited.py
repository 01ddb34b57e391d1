"""The law of repeated data."""

from __future__ import annotations

import math
import random

import numpy
import pytest

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.config import LossFitConfig
from tenon.methods.batch_scaling.fits.data_limited import effective_log_tokens, fit_data_limited
from tenon.methods.batch_scaling.fits.loss_fit import fit_loss_law
from tests.methods.batch_scaling.loss_runs import TRUTH, law, runs_of

QUICK = LossFitConfig(bootstrap=0)


def repeated(rate=15.0, *, noise=0.0, seed=0, epochs=(1, 2, 4, 10, 30, 100)):
    rng = random.Random(seed)
    rows = []
    for n in (1e7, 4e7, 2e8, 1e9):
        for unique in (1e8, 1e9, 1e10):
            for times in epochs:
                worth = unique * (1 + rate * (1 - math.exp(-(times - 1) / rate)))
                loss = law(n, worth, **TRUTH) * math.exp(rng.gauss(0, noise))
                rows.append({"n_params": n, "tokens": unique * times, "unique_tokens": unique, "loss": loss})
    return rows


@pytest.mark.parametrize("rate", [2.0, 15.0, 60.0])
def test_exact_runs_give_back_the_truth(rate):
    fitted = fit_data_limited(repeated(rate), QUICK, n_kind="total")
    assert fitted.params == pytest.approx({**TRUTH, "R": rate}, rel=1e-4)
    assert fitted.identified
    row = repeated(rate)[4]
    assert fitted.law.loss(row["n_params"], row["tokens"], row["unique_tokens"]) == pytest.approx(row["loss"], rel=1e-6)


def test_with_noise_the_truth_is_inside_the_intervals():
    fitted = fit_data_limited(repeated(noise=0.005, seed=1), LossFitConfig(bootstrap=40), n_kind="total")
    assert set(fitted.intervals) == {"E", "A", "B", "alpha", "beta", "R", "a"}
    low, high = fitted.intervals["R"]
    assert low < 15 < high < 2 * low
    assert fitted.params["R"] == fitted.law.R


def test_runs_without_a_value_have_not_repeated():
    rows = repeated()
    told = fit_data_limited(rows, QUICK, n_kind="total")
    for row in rows:
        if row["tokens"] == row["unique_tokens"]:
            del row["unique_tokens"]
    silent = fit_data_limited(rows, QUICK, n_kind="total")
    assert silent.params == pytest.approx(told.params, rel=1e-9)
    # a data set larger than what was seen of it repeats nothing, either
    for row in rows:
        row.setdefault("unique_tokens", 1e15)
    assert fit_data_limited(rows, QUICK, n_kind="total").params == pytest.approx(told.params, rel=1e-9)


def test_a_one_epoch_law_of_the_same_runs_is_wrong():
    rows = repeated()
    blind = fit_loss_law(rows, QUICK, n_kind="total")
    seeing = fit_data_limited(rows, QUICK, n_kind="total")
    assert seeing.objective < 1e-6 * blind.objective


def test_repeats_that_are_as_good_as_new_are_at_the_bound():
    fitted = fit_data_limited(repeated(1e9), QUICK, n_kind="total")
    assert not fitted.identified
    assert any("R ended at its upper bound" in warning for warning in fitted.warnings)


def test_repeats_are_needed():
    with pytest.raises(DataError, match=r"0 runs repeat .*fit_loss_law"):
        fit_data_limited(runs_of(), QUICK)
    with pytest.raises(DataError, match=r"12 runs repeat .*with 1 different"):
        fit_data_limited(repeated(epochs=(1, 2)), QUICK)
    rows = repeated()
    rows[3]["unique_tokens"] = -5
    with pytest.raises(DataError, match="Run 4 has unique_tokens"):
        fit_data_limited(rows, QUICK)


def test_a_hold_out_is_predicted_with_its_repeats():
    fitted = fit_data_limited(repeated(), QUICK, holdout=0.2, n_kind="total")
    assert fitted.holdout["count"] == 16  # 14.4, as whole (N, D): with all their epochs
    assert fitted.holdout["max_error"] < 1e-5


def test_derivatives_by_log_r():
    epochs = numpy.log(numpy.array([1.0, 1.5, 4.0, 40.0]))
    for log_r in (-1.0, 1.0, 4.0):
        at = numpy.array([[log_r]])
        _, slope, bend = effective_log_tokens(epochs, at)
        up, down = (effective_log_tokens(epochs, at + step) for step in (1e-5, -1e-5))
        numpy.testing.assert_allclose(slope, (up[0] - down[0]) / 2e-5, atol=1e-8)
        numpy.testing.assert_allclose(bend, (up[1] - down[1]) / 2e-5, atol=1e-8)
