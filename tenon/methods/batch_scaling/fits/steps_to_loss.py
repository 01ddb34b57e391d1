"""The critical batch from a sweep: at every batch, the steps that a training of its own needs to reach one loss.

A sweep has the final loss of whole trainings (their schedules ended), by model size, batch and tokens, learning rates
tuned for each. Between the numbers of tokens that were tried, the tokens to a target loss are interpolated; divided by
the batch they are steps, and `fit_critical` finds S_min and E_min. Points of one training's curve would not do: its
learning rate had not yet fallen there, and curves of different batches cross (Merrill et al. 2025, section 2.6 (f) of
our notes).

The interpolation is [ours]: monotone, of D^-0.3 over the loss, which by laws of the loss is nearly a straight line. On
StepLaw's sweep a point that was left out of three comes back within 9 % of its tokens; over ln(D), a chord of a curve,
within 29 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.config import CriticalFitConfig
from tenon.methods.batch_scaling.fits.cells import Cell, clean_runs, find_cells
from tenon.methods.batch_scaling.fits.critical_fit import CriticalFit, fit_critical
from tenon.methods.batch_scaling.runs.table import Dropped, RunTable

__all__ = ["CriticalAt", "CriticalSweep", "LossCurve", "fit_critical_sweep", "loss_curves"]

FEWEST_BATCHES = 3
"""At a target loss; two batches have a hyperbola, and nothing that could contradict it."""

BEND = -0.3
"""Power of D that is interpolated: exponents of D in published laws of the loss are 0.28 to 0.37."""


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """Final loss against tokens of one model size at one batch, the learning rate tuned at every point."""

    N: float
    """Parameters."""
    batch: float
    """Tokens per step."""
    tokens: tuple[float, ...]
    """Training tokens D, ascending."""
    loss: tuple[float, ...]
    """At these [nats per token], falling."""

    @cached_property
    def _bent(self) -> Any:
        import numpy
        from scipy.interpolate import PchipInterpolator

        return PchipInterpolator(self.loss[::-1], numpy.array(self.tokens[::-1]) ** BEND)

    def steps(self, target: float) -> float:
        """Give the steps to a loss, by monotone interpolation of D^-0.3; NaN outside the losses seen."""
        if not self.loss[-1] <= target <= self.loss[0]:
            return math.nan
        return float(self._bent(target)) ** (1 / BEND) / self.batch

    def gap(self, target: float) -> float:
        """Give the factor between the numbers of tokens on both sides of a loss; 1 where one of them has that loss."""
        if target in self.loss:
            return 1.0
        later = next(i for i, loss in enumerate(self.loss) if loss < target)
        return self.tokens[later] / self.tokens[later - 1]


@dataclass(frozen=True, kw_only=True)
class CriticalAt:
    """The critical batch of one model size at one loss."""

    N: float
    """Parameters."""
    target: float
    """The loss [nats per token]."""
    fit: CriticalFit
    """S_min, E_min and their quotient, with the batches they rest on in `residuals`."""
    below: tuple[float, ...] = ()
    """Batches that reach the loss and are below the best one: they need more tokens than larger ones."""

    def row(self) -> dict[str, Any]:
        """Give it as a row of a table; without a critical batch where S_min or E_min is not identified."""
        low, high = self.fit.intervals.get("critical_batch", (None, None))
        return {
            "N": self.N, "target loss": self.target,
            "critical batch": self.fit.critical_batch if self.fit.is_identified else None, "low": low, "high": high,
            "S_min": self.fit.s_min, "E_min": self.fit.e_min, "batches": len(self.fit.residuals),
            "worst residual": max((one["residual"] for one in self.fit.residuals), key=abs),
            "remark": ", ".join(self.fit.remarks),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CriticalSweep:
    """The critical batches of a sweep."""

    found: tuple[CriticalAt, ...]
    """By model size, then from the highest loss to the lowest."""
    left_out: tuple[Dropped, ...]
    """Batches and model sizes that say nothing, and why."""
    runs: RunTable
    """The sweep."""
    noise: tuple[dict[str, float], ...] = ()
    """A row per run with a measured noise scale: the critical batch at that run's loss beside it, and the quotient."""

    def rows(self) -> list[dict[str, Any]]:
        """Give a row per model size and loss."""
        return [one.row() for one in self.found]

    def points(self) -> list[dict[str, float]]:
        """Give a row per model size, loss and batch: steps measured and fitted."""
        return [{"N": one.N, "target loss": one.target, **point} for one in self.found for point in one.fit.residuals]


def loss_curves(cells: Iterable[Cell]) -> tuple[list[LossCurve], list[Dropped]]:
    """Put the cells of a sweep together by model size and batch.

    Returns:
        A curve for every size and batch with two numbers of tokens or more, and those without one, each with its
        reason: learning rates at an edge are bounds and no points; noise may make more tokens look worse.
    """
    points: dict[tuple[float, float], list[tuple[float, float]]] = {}
    edges: dict[tuple[float, float], int] = {}
    for cell in cells:
        for one in cell.batches:
            key = (cell.N, one.batch)
            edges[key] = edges.get(key, 0) + one.is_edge
            points.setdefault(key, []).extend([] if one.is_edge else [(cell.D, one.loss)])
    curves, left_out = [], []
    for (size, batch), found in sorted(points.items()):
        tokens, loss = zip(*sorted(found), strict=True) if found else ((), ())
        name = f"N={size:.4g} B={batch:.4g}"
        if len(tokens) < 2:
            why = f"tuned learning rates at {len(tokens)} of the numbers of tokens, 2 or more are needed"
            if edges[size, batch]:
                why += f"; at {edges[size, batch]} the best learning rate is the last one tried"
            left_out.append(Dropped(name, why))
        elif any(later >= earlier for earlier, later in pairwise(loss)):
            left_out.append(Dropped(name, "its loss does not fall with the tokens everywhere: add seeds"))
        else:
            curves.append(LossCurve(N=size, batch=batch, tokens=tokens, loss=loss))
    return curves, left_out


def fit_critical_sweep(runs: Any, config: CriticalFitConfig | None = None, **changes: Any) -> CriticalSweep:
    """Find the critical batch of every model size of a sweep, at several losses.

    Args:
        runs: A RunTable, or whatever `read_runs` takes: several numbers of tokens at each of several batches, learning
            rates tuned for each.
        config: Which losses.
        changes: Fields of the config that are to be others.

    Raises:
        DataError: No size has a loss that three batches reach between numbers of tokens that were tried; the message
            says what is missing.
    """
    config = replace(config or CriticalFitConfig(), **changes)
    table = clean_runs(runs)
    curves, left_out = loss_curves(find_cells(table))
    found: list[CriticalAt] = []
    for size in sorted({curve.N for curve in curves}):
        at, gone = _size(size, [curve for curve in curves if size == curve.N], config)
        found += at
        left_out += gone
    if not found:
        lines = "\n".join(f"  {one.id}: {one.reason}" for one in left_out)
        raise DataError(
            f"No critical batch can be found: a size needs {FEWEST_BATCHES} batches, each trained on several numbers "
            f"of tokens with tuned learning rates, that reach one loss.\n{lines}"
        )
    noise = tuple(_noise_rows(table, curves, found, config))
    return CriticalSweep(found=tuple(found), left_out=tuple(left_out), runs=table, noise=noise)


def _size(
    size: float, curves: Sequence[LossCurve], config: CriticalFitConfig
) -> tuple[list[CriticalAt], list[Dropped]]:
    """Find the critical batches of one model size."""
    targets: Sequence[float] = config.targets
    if not targets:
        # Batches below the best one, which are not fitted, must not narrow the range of losses: first find which.
        first = _targets(curves, config.count)
        below = {one for target in first for one in _reaching(curves, target, config)[1]}
        targets = _targets([curve for curve in curves if curve.batch not in below], config.count) or first
    found, left_out = [], []
    if not targets:
        left_out.append(Dropped(f"N={size:.4g}", f"no loss is reached by {FEWEST_BATCHES} of its batches"))
    for target in sorted(targets, reverse=True):
        name = f"N={size:.4g} loss {target:.4g}"
        try:
            fit, gone = _critical_at(curves, target, config)
        except DataError as error:
            left_out.append(Dropped(name, str(error)))
            continue
        found.append(CriticalAt(N=size, target=target, fit=fit, below=tuple(gone)))
        if gone:
            told = ", ".join(f"{one:.4g}" for one in gone)
            left_out.append(Dropped(name, f"below the best batch, more tokens than larger ones need: {told}"))
    return found, left_out


def _critical_at(
    curves: Sequence[LossCurve], target: float, config: CriticalFitConfig
) -> tuple[CriticalFit, list[float]]:
    """Fit the hyperbola at one loss of one model size; also give the batches below the best one, which are not in it.

    Raises:
        DataError: Too few batches reach the loss, or their steps follow no hyperbola.
    """
    rows, below = _reaching(curves, target, config)
    if len(rows) < FEWEST_BATCHES:
        spans = ", ".join(f"{one.batch:.4g}: {one.loss[-1]:.4g} to {one.loss[0]:.4g}" for one in curves)
        more = f", {len(below)} more are below the best batch" if below else ""
        raise DataError(
            f"{len(rows)} batches reach it between numbers of tokens at most {config.gap:g} times apart{more} (losses: "
            f"{spans}); {FEWEST_BATCHES} are needed"
        )
    return fit_critical(rows, level=config.level), below


def _reaching(
    curves: Sequence[LossCurve], target: float, config: CriticalFitConfig
) -> tuple[list[dict[str, float]], list[float]]:
    """Give batch and steps of those that reach a loss, without those below the best batch, which come beside."""
    rows = [{"batch": curve.batch, "steps": curve.steps(target)} for curve in curves if _reaches(curve, target, config)]
    tokens = [row["batch"] * row["steps"] for row in rows]
    first = next((i for i, one in enumerate(tokens) if one <= config.more_tokens * min(tokens)), 0)
    return rows[first:], [row["batch"] for row in rows[:first]]


def _reaches(curve: LossCurve, target: float, config: CriticalFitConfig) -> bool:
    return not math.isnan(curve.steps(target)) and curve.gap(target) <= config.gap


def _targets(curves: Sequence[LossCurve], count: int) -> list[float]:
    """Give losses evenly inside a range of losses that is wide, and that many batches reach all of: [ours], the largest
    product of its width and the square of the batches beyond two.

    None, if fewer than three batches have any loss in common.
    """
    ends = sorted({end for curve in curves for end in (curve.loss[0], curve.loss[-1])})

    def worth(low: float, high: float) -> float:
        reached = sum(curve.loss[-1] <= low and high <= curve.loss[0] for curve in curves)
        return (high - low) * max(0, reached - 2) ** 2

    ranges = [(low, high) for i, low in enumerate(ends) for high in ends[i + 1 :] if worth(low, high) > 0]
    if not ranges:
        return []
    low, high = max(ranges, key=lambda one: worth(*one))
    return [low + (high - low) * (place + 0.5) / count for place in range(count)]


def _noise_rows(
    table: RunTable, curves: Sequence[LossCurve], found: Sequence[CriticalAt], config: CriticalFitConfig
) -> Iterator[dict[str, float]]:
    """Hold every measured noise scale against the critical batch of its size at the loss that its run ended with.

    Runs that ended outside the losses at which that size's critical batch is known say nothing.
    """
    import numpy

    for place in numpy.flatnonzero(numpy.isfinite(table["noise_tokens"])):
        size, loss, noise = (float(table[name][place]) for name in ("n_params", "loss", "noise_tokens"))
        try:
            fit, _ = _critical_at([curve for curve in curves if size == curve.N], loss, config)
        except DataError:
            continue
        most = max((len(one.fit.residuals) for one in found if size == one.N), default=0)
        if not fit.is_identified or len(fit.residuals) < min(most, FEWEST_BATCHES + 2):
            continue
        yield {
            "N": size, "D": float(table["tokens"][place]), "B": float(table["batch_tokens"][place]),
            "lr": float(table["lr"][place]), "loss": loss, "noise scale": noise,
            "critical batch": fit.critical_batch, "noise / critical": noise / fit.critical_batch,
        }  # fmt: skip
