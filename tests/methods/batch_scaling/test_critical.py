"""Steps are traded for tokens as McCandlish et al. say, and the learning rate follows the batch as far as it should."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling import critical

BATCHES = numpy.geomspace(1.0, 1e6, 25)
S_MIN, E_MIN = 210.0, 12_900.0


def test_the_trade_of_steps_and_tokens_7_11() -> None:
    S, E = critical.steps_needed(BATCHES, S_MIN, E_MIN), critical.examples_needed(BATCHES, S_MIN, E_MIN)
    assert pytest.approx(E, rel=1e-14) == S * BATCHES
    assert pytest.approx(numpy.ones(25), rel=1e-9) == (S / S_MIN - 1) * (E / E_MIN - 1)
    assert (numpy.diff(S) < 0).all()
    assert (numpy.diff(E) > 0).all()


def test_the_critical_batch_costs_twice_both_7_11() -> None:
    B = critical.critical_batch(S_MIN, E_MIN)
    assert pytest.approx(61.43, abs=0.01) == B
    assert critical.steps_needed(B, S_MIN, E_MIN) == pytest.approx(2 * S_MIN, rel=1e-14)
    assert critical.examples_needed(B, S_MIN, E_MIN) == pytest.approx(2 * E_MIN, rel=1e-14)
    assert critical.overhead(B, B) == 2


def test_overhead_7_11() -> None:
    B = critical.critical_batch(S_MIN, E_MIN)
    assert critical.overhead(BATCHES, B) == pytest.approx(
        critical.examples_needed(BATCHES, S_MIN, E_MIN) / E_MIN, rel=1e-12
    )
    assert critical.overhead(B, BATCHES) == pytest.approx(
        critical.steps_needed(BATCHES, S_MIN, E_MIN) / S_MIN, rel=1e-12
    )
    assert critical.batch_for_overhead(1e6, 1.2) == pytest.approx(2e5, rel=1e-12)
    assert critical.overhead(critical.batch_for_overhead(B, [1.01, 1.2, 5.0]), B) == pytest.approx([1.01, 1.2, 5.0])
    for none in (1.0, 0.5, [1.2, 1.0]):
        with pytest.raises(ConfigError, match="above 1"):
            critical.batch_for_overhead(1e6, none)


def test_adjustments_to_another_batch_7_11() -> None:
    """What Kaplan et al. adjust gives back the least steps and tokens from those of any batch."""
    B = critical.critical_batch(S_MIN, E_MIN)
    S, E = critical.steps_needed(BATCHES, S_MIN, E_MIN), critical.examples_needed(BATCHES, S_MIN, E_MIN)
    assert critical.least_steps(S, BATCHES, B) == pytest.approx(numpy.full(25, S_MIN), rel=1e-12)
    assert critical.least_examples(E, BATCHES, B) == pytest.approx(numpy.full(25, E_MIN), rel=1e-12)
    C = 6 * 1e9 * E  # compute goes with the tokens
    assert critical.least_compute(C, BATCHES, B) == pytest.approx(numpy.full(25, 6e9 * E_MIN), rel=1e-12)


def test_the_saturating_learning_rate_7_12() -> None:
    peak, noise = 3e-3, 1e5
    assert critical.learning_rate_saturating(1e-3, peak, noise) / 1e-3 == pytest.approx(peak / noise, rel=1e-7)
    assert critical.learning_rate_saturating(1e15, peak, noise) == pytest.approx(peak, rel=1e-9)
    assert critical.learning_rate_saturating(noise, peak, noise) == pytest.approx(peak / 2, rel=1e-14)
    assert (numpy.diff(critical.learning_rate_saturating(BATCHES, peak, noise)) > 0).all()


def test_the_surge_7_12() -> None:
    peak, noise = 3e-3, 1e5
    assert critical.learning_rate_surge(noise, peak, noise) == pytest.approx(peak, rel=1e-14)
    for times in (1.01, 2.0, 30.0, 1e4):
        below, above = (critical.learning_rate_surge(noise * one, peak, noise) for one in (1 / times, times))
        assert below == pytest.approx(above, rel=1e-12)
        assert below < peak
    # far below the noise scale it rises like the square root
    ratio = critical.learning_rate_surge(4.0, peak, noise) / critical.learning_rate_surge(1.0, peak, noise)
    assert ratio == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.5, 0.75, 1.0])
def test_the_learning_rate_stops_at_the_best_batch(gamma: float) -> None:
    scale = critical.learning_rate_scale
    assert scale(2e5, 1e5, optimum=1e6, gamma=gamma) == pytest.approx(2**gamma, rel=1e-14)
    assert scale(5e4, 1e5, optimum=1e6, gamma=gamma) == pytest.approx(0.5**gamma, rel=1e-14)
    assert scale(1e5, 1e5, optimum=1e6, gamma=gamma) == 1
    at_best = scale(1e6, 1e5, optimum=1e6, gamma=gamma)
    assert at_best == pytest.approx(10**gamma, rel=1e-14)
    assert scale(8e6, 1e5, optimum=1e6, gamma=gamma) == at_best  # a planner that goes on scaling is wrong
    assert scale(4e6, 2e6, optimum=1e6, gamma=gamma) == 1
    assert scale(1e5, 8e6, optimum=1e6, gamma=gamma) == pytest.approx(0.1**gamma, rel=1e-14)


CALLS: list[tuple[str, int]] = [
    *(("critical_batch", 2), ("steps_needed", 3), ("examples_needed", 3), ("overhead", 2), ("batch_for_overhead", 2)),
    *(("least_steps", 3), ("least_examples", 3), ("least_compute", 3), ("learning_rate_saturating", 3)),
    *(("learning_rate_surge", 3), ("learning_rate_scale", 4)),
]


@pytest.mark.parametrize(("name", "count"), CALLS)
def test_numbers_arrays_and_nonsense(name: str, count: int) -> None:
    function = getattr(critical, name)
    assert type(function(*[2] * count)) is float
    table = function(numpy.full((3, 1), 2.0), numpy.full(4, 2.0), *[2.0] * (count - 2))
    assert table.shape == (3, 4)
    assert (table == function(*[2] * count)).all()
    for place in range(count):
        for wrong in (-1.0, 0, math.nan, math.inf, "many", None):
            values: list[Any] = [2.0] * count
            values[place] = wrong
            with pytest.raises(ConfigError, match="it must be"):
                function(*values)


def test_every_function_is_tried() -> None:
    assert {name for name, _ in CALLS} == set(critical.__all__)
