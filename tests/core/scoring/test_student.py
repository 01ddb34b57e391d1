"""Student's t against scipy's."""

from __future__ import annotations

import pytest
from scipy import stats

from tenon.core.scoring.student import t_interval, t_quantile


def test_t_quantiles_are_students() -> None:
    for freedom in (1, 2, 3, 4, 5, 9, 30):
        assert t_quantile(freedom) == pytest.approx(float(stats.t.ppf(0.975, freedom)), rel=1e-9)
        assert t_quantile(freedom, level=0.9) == pytest.approx(float(stats.t.ppf(0.95, freedom)), rel=1e-9)


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = [0.3, 0.9, 0.4, 0.7]
    mean, low, high = t_interval(values)
    ends = stats.t.interval(0.95, 3, loc=mean, scale=stats.sem(values))
    assert (low, high) == pytest.approx(ends)
