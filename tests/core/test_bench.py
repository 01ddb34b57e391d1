"""Timing with a clock that we set: turns, warm-up, ratios by round, and intervals that hold the truth."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from tenon.core.bench import compare, machine_facts
from tenon.core.errors import ConfigError


class Clock:
    """Time that passes only in `work`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, cost: Callable[[], float]) -> Callable[[], None]:
        def function() -> None:
            self.calls.append(name)
            self.now += cost()

        return function


def test_functions_take_turns_and_the_warm_up_is_not_counted() -> None:
    clock = Clock()
    costs = iter([9.0, 9.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0])  # a warm-up round, then three
    functions = {name: clock.work(name, lambda: next(costs)) for name in ("a", "b")}
    result = compare(functions, baseline="a", warmup=1, repeats=3, clock=clock)
    assert clock.calls == ["a", "b"] * 4
    assert result.timings["a"].seconds == (1.0, 1.0, 1.0)
    assert result.timings["b"].seconds == (2.0, 2.0, 2.0)
    b = result.timings["b"]
    assert (b.median, b.minimum, b.maximum, b.ratio, b.ratio_low, b.ratio_high) == (2, 2, 2, 2, 2, 2)
    assert result.timings["a"].ratio == 1


def test_the_ratio_is_taken_within_rounds() -> None:
    """A load that slows whole rounds tenfold leaves the ratio exactly as it was."""
    clock, load = Clock(), iter([1, 1, 10, 10, 1, 1, 10, 10, 3, 3])
    functions = {
        "base": clock.work("base", lambda: 2.0 * next(load)),
        "ours": clock.work("ours", lambda: 1.0 * next(load)),
    }
    ours = compare(functions, baseline="base", warmup=0, repeats=5, clock=clock).timings["ours"]
    assert (ours.ratio, ours.ratio_low, ours.ratio_high) == (0.5, 0.5, 0.5)
    assert (ours.minimum, ours.maximum) == (1.0, 10.0)


def test_the_interval_covers_the_truth() -> None:
    """Of 40 experiments with noise around a true median ratio of 1.5, some 38 intervals hold it."""
    held = 0
    for experiment in range(40):
        clock, draw = Clock(), random.Random(experiment)
        noise = lambda draw=draw: draw.lognormvariate(0, 0.2)  # noqa: E731
        functions = {
            "base": clock.work("base", lambda noise=noise: 1.0),
            "ours": clock.work("ours", lambda noise=noise: 1.5 * noise()),
        }
        one = compare(functions, baseline="base", warmup=0, repeats=15, seed=experiment, clock=clock).timings["ours"]
        assert one.ratio_low <= one.ratio <= one.ratio_high
        held += one.ratio_low <= 1.5 <= one.ratio_high
    assert held >= 32  # binomial(40, .95) is below with p < 0.001


def test_the_result_is_plain_and_names_its_machine() -> None:
    result = compare({"a": lambda: None}, baseline="a", warmup=0, repeats=2)
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["repeats"] == 2
    assert plain["baseline"] == "a"
    assert {"cpu", "cores", "memory", "system"} <= set(plain["machine"])
    assert "torch" in plain["versions"]
    assert result.rows()[0]["function"] == "a"
    assert result.rows()[0]["time / a"] == 1
    assert machine_facts() == machine_facts()


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'bas' is not among the functions; did you mean 'base'\?"):
        compare({"base": lambda: None}, baseline="bas")
    with pytest.raises(ConfigError, match="repeats 0"):
        compare({"a": lambda: None}, baseline="a", repeats=0)
