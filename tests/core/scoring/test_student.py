"""Student's t against scipy's."""

from __future__ import annotations

import pytest
from scipy import stats

from tenon.core.scoring.student import t_interval, t_quantile


def test_t_quantiles_are_students() -> None:
    printed = {1: (12.706, 6.314), 2: (4.303, 2.920), 5: (2.571, 2.015), 9: (2.262, 1.833), 30: (2.042, 1.697)}
    for freedom, (wide, narrow) in printed.items():  # as tables have them
        assert t_quantile(freedom) == pytest.approx(wide, abs=5e-4)
        assert t_quantile(freedom, level=0.9) == pytest.approx(narrow, abs=5e-4)


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = [0.3, 0.9, 0.4, 0.7]
    mean, low, high = t_interval(values)
    ends = stats.t.interval(0.95, 3, loc=mean, scale=stats.sem(values))
    assert (low, high) == pytest.approx(ends)
