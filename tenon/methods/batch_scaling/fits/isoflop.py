"""The best model size at every compute, without a form of the loss (Hoffmann et al. 2022, approach 2).

Runs of one compute make a valley of the loss over ln N. Its bottom is found per compute, by a parabola or by Akima's
interpolation; a straight line through the bottoms is N_opt = level x C^exponent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy
from numpy import ndarray

from tenon.core.errors import ConfigError, DataError
from tenon.core.scoring.student import t_quantile
from tenon.core.seeds import numpy_rng
from tenon.methods.batch_scaling.fits.loss_fit import usable_runs
from tenon.methods.batch_scaling.fits.uncertainty import compute_of
from tenon.methods.batch_scaling.runs.table import Dropped, RunTable

__all__ = ["IsoFlop", "IsoFlopGroup", "fit_isoflop"]

Method: TypeAlias = Literal["parabola", "akima"]

SAME_COMPUTE = 1.1
"""Runs whose compute differs by less than this factor from the next smaller one are of one group."""
WIDEST_GROUP = 1.5
"""A group that spans more than this factor is no level of compute: its levels run into each other."""
WIDEST_WINDOW = 0.7
"""Beyond this half width [decades] the valley is no parabola: levels are wrong by percents, exponents less so."""
FINE = 25
"""Points that Akima's curve is read at between two sizes (Porian et al. 2024)."""
NOISE = ((3.0, 0.002), (7.0, 0.05))
"""Noise of a loss between seeds (Porian et al. 2024): standard deviation at two losses; log-log between them."""


@dataclass(frozen=True, kw_only=True)
class IsoFlopGroup:
    """The best size at one compute."""

    C: float
    """Geometric mean of its runs [FLOPs]."""
    N: float
    """Parameters of least loss."""
    D: float
    """Tokens that go with them: C / (6 N)."""
    loss: float
    """There [nats per token]."""
    runs: int
    """Sizes that were compared."""
    se: float | None = None
    """Standard error of ln N, from seed noise; only `akima` has one."""


@dataclass(frozen=True, kw_only=True)
class IsoFlop:
    """N_opt = level x C^exponent."""

    exponent: float
    """Of N_opt; that of D_opt is one less this."""
    level: float
    """Parameters at C = 1 FLOP."""
    groups: tuple[IsoFlopGroup, ...]
    """Those that the line goes through, by compute."""
    dropped: tuple[Dropped, ...]
    """Runs and groups that are not used, with the reason; a group's id is its compute."""
    warnings: tuple[str, ...]
    """What makes the result doubtful."""
    interval: tuple[float, float] | None = None
    """95 % of the exponent: of Student's t with the line's residuals (parabola), of the bootstrap (akima)."""

    def params(self, compute: float) -> float:
        """Give N_opt [parameters] at a compute [FLOPs]."""
        return float(self.level * compute**self.exponent)

    def to_text(self) -> str:
        """Give it as text for a terminal: the line, the best size at every compute, what is left out and doubtful."""
        ends = "" if self.interval is None else f" ({self.interval[0]:.4g} to {self.interval[1]:.4g})"
        lines = [
            f"N = {self.level:.4g} x C^{self.exponent:.4g}{ends}   ({len(self.groups)} levels of compute "
            f"fitted, {len(self.dropped)} runs or levels left out)",
            f"D = C / (6 N) goes as C^{1 - self.exponent:.4g}. The best size at every compute:",
            f"{'C [FLOPs]':>12}{'N':>12}{'D':>12}{'loss':>10}{'sizes':>8}",
        ]
        lines += [f"{one.C:>12.4g}{one.N:>12.4g}{one.D:>12.4g}{one.loss:>10.4f}{one.runs:>8}" for one in self.groups]
        levels = [one for one in self.dropped if one.id.startswith("C = ")]  # single runs may be many
        lines += [f"  Left out: {one.id}: {one.reason}" for one in levels]
        lines += [f"  Warning: {one}" for one in self.warnings]
        return "\n".join(lines)


def fit_isoflop(
    runs: Any,
    *,
    method: Method = "parabola",
    window_decades: float = WIDEST_WINDOW,
    group: str | None = None,
    replicates: int = 200,
    seed: int = 0,
) -> IsoFlop:
    """Find the best size at every compute, and how it grows.

    Args:
        runs: As for `fit_loss_law`; compute is the column flops, or 6 N D.
        method: `parabola` in ln N, or `akima` interpolation of ln L over ln N (Porian et al. 2024).
        window_decades: Runs within so many decades of the bottom shape the parabola, on either side.
        group: As for `fit_loss_law`.
        replicates: `akima`: curves with seed noise, for the standard errors that weight the line.
        seed: Of that noise.

    Raises:
        ConfigError: An option is out of range.
        DataError: Fewer than two computes have their bottom inside the sizes that were trained.
    """
    if method not in ("parabola", "akima"):
        raise ConfigError(f"method is {method!r}; it must be 'parabola' or 'akima'.")
    if not window_decades > 0:
        raise ConfigError(f"window_decades is {window_decades!r}; it must be above 0.")
    if replicates < 20:
        raise ConfigError(f"replicates is {replicates!r}; it must be 20 or more.")
    table = usable_runs(runs, group=group)
    found: list[IsoFlopGroup] = []
    noisy: list[ndarray] = []
    dropped = list(table.dropped)
    for level in _levels(compute_of(table)):
        part = _level_of(table.take(level))
        try:
            if method == "parabola":
                found.append(_parabola(part, window_decades))
            else:
                one, bottoms = _akima(part, replicates, numpy_rng(seed, "batch_scaling", "isoflop", len(noisy)))
                found.append(one)
                noisy.append(bottoms)
        except _NoBottom as reason:
            dropped.append(Dropped(f"C = {part.compute:.4g}", str(reason)))
    if len(found) < 2:
        listed = "; ".join(f"{one.id}: {one.reason}" for one in dropped[:6])
        raise DataError(
            f"{len(found)} levels of compute have a bottom inside their sizes, and a line needs 2 ({listed}). Train "
            "smaller or larger models at the same compute, several sizes per level."
        )
    warnings = []
    if window_decades > WIDEST_WINDOW and method == "parabola":
        warnings.append(
            f"The window is {window_decades:g} decades to either side; beyond {WIDEST_WINDOW:g} the valley is no "
            "parabola, and the level is off by several percent."
        )
    if lost := [one for one in dropped if one.id.startswith("C = ")]:
        warnings.append(f"{len(lost)} levels of compute were left out: {', '.join(one.id[4:] for one in lost)}.")
    if len(found) == 2:
        warnings.append("Two levels of compute make a line whatever they say; there is no interval.")
    log_c, log_n = numpy.log([one.C for one in found]), numpy.log([one.N for one in found])
    if method == "akima":
        weights = numpy.array([1 / max(one.se or 0.0, 1e-4) ** 2 for one in found])
        exponent, constant = _line(log_c, log_n, weights)
        slopes = [_line(log_c, row, weights)[0] for row in numpy.stack(noisy, -1)]
        ends = numpy.percentile(slopes, (2.5, 97.5))
        interval = (float(ends[0]), float(ends[1])) if len(found) > 2 else None
    else:
        exponent, constant = _line(log_c, log_n, numpy.ones_like(log_c))
        interval = _student(log_c, log_n, exponent, constant) if len(found) > 2 else None
    return IsoFlop(
        exponent=exponent,
        level=float(numpy.exp(constant)),
        groups=tuple(found),
        dropped=tuple(dropped),
        warnings=tuple(warnings),
        interval=interval,
    )


class _Level(NamedTuple):
    """Runs of one compute, one per size, by size."""

    compute: float
    spread: float
    """Largest over smallest compute."""
    x: ndarray
    """ln N."""
    loss: ndarray


class _NoBottom(Exception):
    """A level of compute has no usable minimum; says why."""


def _levels(compute: ndarray) -> list[Sequence[int]]:
    """Group runs by compute: sorted, and split where the next one is larger by a factor."""
    order = numpy.argsort(compute, kind="stable")
    breaks = numpy.flatnonzero(numpy.diff(numpy.log(compute[order])) > numpy.log(SAME_COMPUTE)) + 1
    return [list(part) for part in numpy.split(order, breaks)]


def _level_of(table: RunTable) -> _Level:
    compute = compute_of(table)
    # Repeats of a size under other seeds are one point of the valley: their mean.
    x, member = numpy.unique(numpy.round(numpy.log(table["n_params"]), 9), return_inverse=True)
    loss = numpy.bincount(member, weights=table["loss"]) / numpy.bincount(member)
    return _Level(float(numpy.exp(numpy.log(compute).mean())), float(compute.max() / compute.min()), x, loss)


def _check(level: _Level, fewest: int) -> None:
    if level.spread > WIDEST_GROUP:
        raise _NoBottom(
            f"its runs span a factor of {level.spread:.3g} in compute without a gap, so it is no one level of compute"
        )
    if len(level.x) < fewest:
        raise _NoBottom(f"{len(level.x)} sizes; a valley needs {fewest}")
    best = int(level.loss.argmin())
    if best in (0, len(level.x) - 1):
        side, other = ("smallest", "smaller") if best == 0 else ("largest", "larger")
        raise _NoBottom(f"the least loss is at the {side} size, N = {numpy.exp(level.x[best]):.4g}; train {other} ones")


def _parabola(level: _Level, window: float) -> IsoFlopGroup:
    _check(level, 3)
    middle = level.x[level.loss.argmin()]
    inside = numpy.zeros(len(level.x), dtype=bool)
    for _ in range(8):  # the window moves with the bottom, lest it leans to one side
        before, inside = inside, numpy.abs(level.x - middle) <= window * numpy.log(10) * (1 + 1e-9)
        if inside.sum() < 3:
            raise _NoBottom(f"{int(inside.sum())} sizes within {window:g} decades of the bottom; a parabola needs 3")
        if (inside == before).all():
            break
        bend, slope, height = numpy.polyfit(level.x[inside] - middle, level.loss[inside], 2)
        if bend <= 0:
            raise _NoBottom("the parabola through its losses opens downwards")
        shift = -slope / (2 * bend)
        low, high = level.x[inside][[0, -1]] - middle
        if not low <= shift <= high:
            raise _NoBottom(f"the parabola has its bottom outside the sizes, at N = {numpy.exp(middle + shift):.4g}")
        bottom, least = middle + shift, height - slope**2 / (4 * bend)
        middle = bottom
    n = float(numpy.exp(bottom))
    return IsoFlopGroup(C=level.compute, N=n, D=level.compute / (6 * n), loss=float(least), runs=int(inside.sum()))


def _akima(level: _Level, replicates: int, rng: numpy.random.Generator) -> tuple[IsoFlopGroup, ndarray]:
    """Give the group, and ln N at the bottom of each curve with seed noise, (replicates,)."""
    from scipy.interpolate import Akima1DInterpolator

    _check(level, 4)
    fine = numpy.concatenate(
        [
            numpy.linspace(left, right, FINE + 1, endpoint=False)
            for left, right in zip(level.x, level.x[1:], strict=False)
        ]
        + [level.x[-1:]]
    )
    (low, at_low), (high, at_high) = NOISE
    power = numpy.log(at_high / at_low) / numpy.log(high / low)
    sd = at_low * (numpy.clip(level.loss, low, high) / low) ** power
    noise = rng.standard_normal((len(level.x), replicates)) * sd[:, None]
    losses = numpy.concatenate([level.loss[:, None], level.loss[:, None] + noise], axis=1)
    curves = numpy.exp(Akima1DInterpolator(level.x, numpy.log(losses))(fine))
    bottoms = curves.argmin(axis=0)
    at_edge = (bottoms == 0) | (bottoms == len(fine) - 1)
    if at_edge[0] or at_edge[1:].mean() > 0.5:
        raise _NoBottom("with seed noise its least loss is at an edge of the sizes more often than not")
    places = fine[bottoms[1:]]
    # A curve whose bottom fell to an edge has none; another curve stands in for it.
    places[at_edge[1:]] = rng.choice(places[~at_edge[1:]], size=int(at_edge[1:].sum()))
    n = float(numpy.exp(fine[bottoms[0]]))
    return (
        IsoFlopGroup(
            C=level.compute, N=n, D=level.compute / (6 * n), loss=float(curves[bottoms[0], 0]), runs=len(level.x),
            se=float(places.std(ddof=1)),
        ),
        places,
    )  # fmt: skip


def _line(x: ndarray, y: ndarray, weights: ndarray) -> tuple[float, float]:
    """Fit y = slope x + constant by weighted least squares."""
    share = weights / weights.sum()
    x_mean, y_mean = float(share @ x), float(share @ y)
    slope = float(share @ ((x - x_mean) * (y - y_mean)) / (share @ (x - x_mean) ** 2))
    return slope, y_mean - slope * x_mean


def _student(x: ndarray, y: ndarray, slope: float, constant: float) -> tuple[float, float]:
    free = len(x) - 2
    residual = y - slope * x - constant
    error = numpy.sqrt(residual @ residual / free / ((x - x.mean()) ** 2).sum())
    half = float(t_quantile(free) * error)
    return slope - half, slope + half
