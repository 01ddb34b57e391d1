"""Time functions against each other, in turn, so that a busy machine is busy for all of them."""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tenon.core.errors import ConfigError
from tenon.core.machine import commit, machine_facts, versions
from tenon.core.seeds import derive
from tenon.core.values import nearest

__all__ = ["Comparison", "Timing", "commit", "compare", "machine_facts"]

RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one function took."""

    median: float
    """[s]"""
    minimum: float
    """[s]"""
    maximum: float
    """[s]"""
    ratio: float
    """Median over the rounds of (this function's time / the baseline's time in the same round); below 1 is faster."""
    ratio_low: float
    """Lower end of the ratio's 95 % bootstrap interval over rounds."""
    ratio_high: float
    """Upper end."""
    seconds: tuple[float, ...]
    """Every round's time, in order [s]."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The timings of functions that took turns."""

    baseline: str
    warmup: int
    repeats: int
    timings: dict[str, Timing]
    machine: dict[str, str]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Give all of it as plain values, for a results file."""
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """Give one row per function, for `run.table`."""
        return [
            {
                "function": name,
                "median [ms]": one.median * 1e3,
                "min [ms]": one.minimum * 1e3,
                "max [ms]": one.maximum * 1e3,
                f"time / {self.baseline}": one.ratio,
                "95 % interval": f"{one.ratio_low:.3g} to {one.ratio_high:.3g}",
            }
            for name, one in self.timings.items()
        ]


def compare(
    functions: Mapping[str, Callable[[], object]],
    *,
    baseline: str,
    warmup: int = 2,
    repeats: int = 20,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Time functions in rounds: every round calls each once, in the order given, so that each meets the same load.

    Work left under way on a GPU is waited for, before the clock starts and before it stops.

    Args:
        functions: What is timed, by name.
        baseline: The name that the ratios divide by.
        warmup: Rounds that are not counted.
        repeats: Rounds that are.
        seed: Of the bootstrap.
        clock: Gives the time [s]; for tests.

    Raises:
        ConfigError: An unknown baseline, or fewer than 0 warm-up or 1 counted rounds.
    """
    if baseline not in functions:
        raise ConfigError(f"The baseline {baseline!r} is not among the functions; {nearest(baseline, functions)}.")
    if warmup < 0 or repeats < 1:
        raise ConfigError(f"warmup is {warmup} and repeats {repeats}; they must be 0 or more and 1 or more.")
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warmup + repeats):
        for name, function in functions.items():
            _wait_for_gpu()
            start = clock()
            function()
            _wait_for_gpu()
            if turn >= warmup:
                seconds[name].append(clock() - start)
    return Comparison(
        baseline=baseline,
        warmup=warmup,
        repeats=repeats,
        timings={name: _timing(times, seconds[baseline], derive(seed, name)) for name, times in seconds.items()},
        machine=machine_facts() | _threads(),
        versions=versions(),
    )


def _timing(times: Sequence[float], base: Sequence[float], seed: int) -> Timing:
    # Rounds are resampled as pairs: what slowed a round slowed both, and so cancels in its ratio.
    ratios = [one / max(other, 1e-12) for one, other in zip(times, base, strict=True)]
    draw = random.Random(seed)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return Timing(
        median=statistics.median(times),
        minimum=min(times),
        maximum=max(times),
        ratio=statistics.median(ratios),
        ratio_low=medians[round(0.025 * (RESAMPLES - 1))],
        ratio_high=medians[round(0.975 * (RESAMPLES - 1))],
        seconds=tuple(times),
    )


def _wait_for_gpu() -> None:
    torch = sys.modules.get("torch")  # where torch was never imported, nothing is under way
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def _threads() -> dict[str, str]:
    torch = sys.modules.get("torch")
    return {} if torch is None else {"torch threads": str(torch.get_num_threads())}
