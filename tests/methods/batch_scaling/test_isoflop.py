"""Valleys of one compute: exact laws, edges, and computes that are none."""

from __future__ import annotations

import functools
import random

import numpy
import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.methods.batch_scaling.fits.isoflop import fit_isoflop
from tests.methods.batch_scaling.loss_runs import TRUTH, law

EXPONENT = TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"])
COMPUTES = tuple(10 ** (18 + i / 2) for i in range(7))


@functools.cache
def bottom(compute):
    """The size of least loss, by search."""
    n = numpy.geomspace(1e5, 1e13, 80_001)
    losses = TRUTH["E"] + TRUTH["A"] * n ** -TRUTH["alpha"] + TRUTH["B"] * (compute / 6 / n) ** -TRUTH["beta"]
    return float(n[losses.argmin()])


def valley(compute, sizes, *, noise=0.0, rng=None):
    return [
        {"n_params": n, "tokens": compute / 6 / n,
         "loss": law(n, compute / 6 / n, **TRUTH) * (1 + noise * (rng.gauss(0, 1) if rng else 0))}
        for n in sizes
    ]  # fmt: skip


def around(decades, count=9):
    rows = []
    for compute in COMPUTES:
        best = bottom(compute)
        rows += valley(compute, [best * 10 ** (decades * (2 * i / (count - 1) - 1)) for i in range(count)])
    return rows


def shared_sizes(noise=0.0, seed=0, count=30):
    rng = random.Random(seed)
    sizes = numpy.geomspace(1e7, 6e10, count)
    return [row for compute in COMPUTES for row in valley(compute, sizes, noise=noise, rng=rng)]


@pytest.mark.parametrize("method", ["parabola", "akima"])
@pytest.mark.parametrize("rows", [around(0.5), shared_sizes()], ids=["around the bottom", "the same sizes everywhere"])
def test_7_13_an_exact_law_gives_its_exponent(method, rows):
    found = fit_isoflop(rows, method=method)
    assert found.exponent == pytest.approx(EXPONENT, abs=1e-3)
    assert len(found.groups) == len(COMPUTES)
    for one, compute in zip(found.groups, COMPUTES, strict=True):
        assert compute == pytest.approx(one.C, rel=1e-6)
        assert pytest.approx(one.C / 6 / one.N) == one.D
        assert pytest.approx(bottom(compute), rel=0.02) == one.N
        assert one.loss == pytest.approx(law(one.N, one.D, **TRUTH), rel=0.01)
    assert found.params(1e20) == pytest.approx(bottom(1e20), rel=0.02)
    # N D = C / 6, so the exponents of N and D add up to 1.
    assert f"D = C / (6 N) goes as C^{1 - found.exponent:.4g}. " in found.to_text()
    assert found.warnings == ()
    assert found.interval[0] <= found.exponent <= found.interval[1]


def test_the_level_of_a_wide_window_is_off_and_it_says_so():
    """Section 2.4: 0.3 to 1 % off with half a decade to either side, more with one."""
    narrow, wide = fit_isoflop(around(0.5)), fit_isoflop(around(1.0), window_decades=1.0)
    off = [abs(one.params(1e20) / bottom(1e20) - 1) for one in (narrow, wide)]
    assert 0.002 < off[0] < 0.01
    assert off[1] > off[0]
    assert "decades to either side" in wide.warnings[0]


@pytest.mark.parametrize("method", ["parabola", "akima"])
def test_7_13_a_minimum_at_an_edge_is_dropped_and_listed(method):
    rows = around(0.5)
    best = bottom(1e23)
    rows += valley(1e23, [best * factor for factor in (0.05, 0.1, 0.2, 0.4, 0.8)])
    rows += valley(1e17, [bottom(1e17) * factor for factor in (1.5, 3.0, 6.0, 12.0, 24.0)])
    found = fit_isoflop(rows, method=method)
    assert found.exponent == pytest.approx(EXPONENT, abs=1e-3)
    assert {one.id: one.reason.split(";")[1] for one in found.dropped} == {
        "C = 1e+17": " train smaller ones",
        "C = 1e+23": " train larger ones",
    }
    assert "2 levels of compute were left out: 1e+17, 1e+23" in found.warnings[0]


def test_a_level_needs_three_sizes_and_one_compute():
    rows = around(0.5) + valley(1e24, [1e10, 1e11])
    smeared = [valley(1e25 * 1.08**i, [1e10 * 1.5**i])[0] for i in range(9)]
    reasons = {one.id: one.reason for one in fit_isoflop(rows + smeared).dropped}
    assert reasons["C = 1e+24"] == "2 sizes; a valley needs 3"
    assert any("span a factor of 1.85" in reason for reason in reasons.values())
    flat = around(0.5)
    for row in flat:
        if row["n_params"] * row["tokens"] * 6 < 2e18:
            row["loss"] = 10 - row["loss"]  # a hill
    assert any("edge" in one.reason or "size" in one.reason for one in fit_isoflop(flat).dropped)


def test_seeds_of_a_size_are_one_point():
    rows = shared_sizes()
    noisy = [{**row, "loss": row["loss"] + change} for row in rows for change in (0.1, -0.1)]
    assert fit_isoflop(noisy).exponent == pytest.approx(fit_isoflop(rows).exponent, rel=1e-9)


def test_measured_compute_makes_the_levels():
    rows = [{**row, "flops": 2 * 6 * row["n_params"] * row["tokens"]} for row in around(0.5)]
    assert pytest.approx(2 * COMPUTES[0]) == fit_isoflop(rows).groups[0].C


def test_fewer_than_two_levels_are_an_error_that_lists_them():
    rows = valley(1e20, [1e7, 2e7, 4e7]) + valley(1e21, [1e7, 2e7, 4e7])
    with pytest.raises(DataError, match=r"0 levels .*C = 1e\+20: the least loss is at the largest size"):
        fit_isoflop(rows)


def test_two_levels_have_no_interval():
    rows = [row for row in around(0.5) if 6 * row["n_params"] * row["tokens"] < 5e18]
    found = fit_isoflop(rows)
    assert found.interval is None
    assert "Two levels" in found.warnings[0]


def test_the_interval_is_honest():
    """The truth is inside in most of 20 noisy tables (95 %: fewer than 16 once in 400 times)."""
    hits = 0
    for seed in range(20):
        low, high = fit_isoflop(shared_sizes(noise=0.002, seed=seed)).interval
        hits += low <= EXPONENT <= high
    assert hits >= 16


def test_akimas_seed_noise_is_its_seed():
    rows = shared_sizes(noise=0.001)
    one, two, other = (fit_isoflop(rows, method="akima", seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one.interval != other.interval
    assert all(group.se > 0 for group in one.groups)


def test_options():
    with pytest.raises(ConfigError, match="'parabola' or 'akima'"):
        fit_isoflop(around(0.5), method="spline")
    with pytest.raises(ConfigError, match="window_decades"):
        fit_isoflop(around(0.5), window_decades=0.0)
    with pytest.raises(ConfigError, match="replicates"):
        fit_isoflop(around(0.5), method="akima", replicates=3)
