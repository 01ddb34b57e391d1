"""Intervals: against scipy, against exact enumeration, and for the coverage they promise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from beartype import beartype
from jaxtyping import jaxtyped
from scipy import stats

from tenon.core.errors import ConfigError, DataError
from tenon.core.scoring import intervals as module
from tenon.core.scoring.intervals import mcnemar_p, wilson_interval

bootstrap_interval = jaxtyped(module.bootstrap_interval, typechecker=beartype)
paired_interval = jaxtyped(module.paired_interval, typechecker=beartype)


def test_bootstrap_of_a_large_sample_is_the_normal_interval() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=4000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    low, high = bootstrap_interval(values, seed=0)
    # the ends of 10,000 resampled means wander by 2 to 3 % of the half width
    assert low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_bootstrap_agrees_with_scipy_on_a_skewed_small_sample() -> None:
    values = np.random.default_rng(1).exponential(size=30)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, random_state=0
    ).confidence_interval
    ours = bootstrap_interval(values, seed=0, resamples=20_000)
    assert tuple(ours) == pytest.approx(tuple(theirs), abs=0.02)  # Monte Carlo error of both; the width is 0.7


def test_bootstrap_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(400):
        low, high = bootstrap_interval(rng.normal(1.0, 2.0, size=60), seed=trial, level=0.9, resamples=400)
        hits += low <= 1.0 <= high
    assert 0.84 <= hits / 400 <= 0.94  # binomial spread of 0.015 around 0.89 (60 items: slightly too narrow)


def test_bootstrap_is_a_function_of_values_and_seed() -> None:
    values = np.random.default_rng(0).normal(size=30).tolist()
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(np.array(values), seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)
    assert bootstrap_interval([2.0, 2.0], seed=0) == (2.0, 2.0)
    narrow, wide = bootstrap_interval(values, seed=3, level=0.5), bootstrap_interval(values, seed=3, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_blocks_leave_no_item_out(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    whole = bootstrap_interval(values, seed=0, resamples=1000)
    monkeypatch.setattr(module, "_BLOCK", 350)  # 7 rows at a time
    assert bootstrap_interval(values, seed=0, resamples=1000) == pytest.approx(tuple(whole), abs=1e-12)


def test_paired_p_is_the_exact_share_of_sign_patterns() -> None:
    a, b = np.array([1.2, 0.7, 2.0, 1.1, 0.4, 1.9, 1.0, 0.2]), np.array([1.0, 0.9, 1.1, 1.0, 0.1, 1.2, 1.3, 0.1])
    differences = a - b
    patterns = np.array(list(itertools.product([-1, 1], repeat=8)))
    exact = np.mean(np.abs(patterns @ differences) >= abs(differences.sum()) - 1e-12)
    found = paired_interval(a, b, seed=0, resamples=50_000)
    assert found.difference == pytest.approx(differences.mean())
    assert found.p == pytest.approx(exact, abs=0.007)  # three standard errors at p = 0.2
    theirs = stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True
    )
    assert theirs.pvalue == pytest.approx(exact)


def test_paired_symmetry_and_ties() -> None:
    a, b = [0.9, 0.4, 0.8, 0.7], [0.5, 0.3, 0.9, 0.1]
    there, back = paired_interval(a, b, seed=0), paired_interval(b, a, seed=0)
    assert there.difference == -back.difference
    assert there.p == back.p
    assert paired_interval(a, a, seed=0) == (0.0, 0.0, 0.0, 1.0)


def test_pairing_sees_what_a_comparison_of_means_does_not() -> None:
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0.0, 10.0, size=100)
    found = paired_interval(difficulty + 0.5 + rng.normal(size=100), difficulty, seed=0)
    assert 0.0 < found.low < 0.5 < found.high
    assert found.p < 0.001


def test_paired_p_is_uniform_under_the_null() -> None:
    rng = np.random.default_rng(5)
    ps = [paired_interval(rng.normal(size=20), rng.normal(size=20), seed=i, resamples=200).p for i in range(400)]
    assert stats.kstest(ps, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (5, 0), (3, 9), (9, 3), (7, 7), (40, 61), (600, 900)])
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    a = [True] * only_a + [False] * only_b + [True] * 10 + [False] * 4
    b = [False] * only_a + [True] * only_b + [True] * 10 + [False] * 4  # agreement changes nothing
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar_p(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "total"), [(0, 1), (0, 10), (1, 10), (37, 50), (50, 50), (999, 1000)])
def test_wilson_is_scipys(successes: int, total: int, level: float) -> None:
    theirs = stats.binomtest(successes, total).proportion_ci(level, method="wilson")
    assert tuple(wilson_interval(successes, total, level=level)) == pytest.approx(tuple(theirs), abs=1e-12)


def test_wilson_by_hand() -> None:
    low, high = wilson_interval(0, 10)  # [0, z^2 / (n + z^2)]
    assert (low, high) == (0.0, pytest.approx(0.2775, abs=5e-5))
    assert wilson_interval(10, 10).high == 1.0


def test_bad_input() -> None:
    for values, complaint in [([], "shape"), ([[1.0]], "shape"), ([1.0, math.nan], "1 numbers that are NaN")]:
        with pytest.raises(DataError, match=complaint):
            module.bootstrap_interval(values, seed=0)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="a has 2 values and b has 1"):
        module.paired_interval([1.0, 2.0], [1.0], seed=0)
    with pytest.raises(DataError, match=r"a has shape \(1,\) and b has \(2,\)"):
        mcnemar_p([True], [True, False])
    with pytest.raises(DataError, match="for scores use paired_interval"):
        mcnemar_p([0.5], [True])  # type: ignore[list-item]
    for successes, total in [(0, 0), (3, 2), (-1, 2)]:
        with pytest.raises(DataError, match="is no rate"):
            wilson_interval(successes, total)
    with pytest.raises(ConfigError, match="level is 95"):
        wilson_interval(1, 2, level=95)
    with pytest.raises(ConfigError, match="resamples is 0"):
        module.bootstrap_interval([1.0], seed=0, resamples=0)
