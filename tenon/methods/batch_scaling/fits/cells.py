"""A sweep by cells (N, D): at each batch the best learning rate, and of these batches the best one.

A learning rate counts as the best one only between two that were tried and are worse; else the loss of its batch is
an upper bound, and a better one may lie beyond. The batch with the least loss must likewise stand between two batches
whose own learning rates are tuned: then the best batch is bracketed. Where it is not, a cell gives no number, but says
what to try.

A learning rate with which a run diverged, if only with one seed, is worse than any other: the best one may stand beside
it, but no parabola goes through it, and the seeds that survived do not speak for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.config import BatchFitConfig
from tenon.methods.batch_scaling.runs.readers import read_runs
from tenon.methods.batch_scaling.runs.table import RunTable

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["BatchOptimum", "Cell", "beyond", "clean_runs", "find_cells", "fit_parabola", "next_batch"]

SAME_TOKENS = 1.07
"""Runs whose tokens differ by less than this factor are of one cell: D is rounded to whole steps of each batch."""
SAME_RATE = 1.01
"""Learning rates that differ by less than this factor are one; tables round them."""


class Vertex(NamedTuple):
    """The minimum of a parabola."""

    x: float
    y: float
    se: float
    """Standard error of x from the residuals (delta method); NaN where the parabola goes through all points."""


@dataclass(frozen=True, kw_only=True)
class BatchOptimum:
    """One batch of a cell, with its best learning rate."""

    batch: float
    """Tokens per step."""
    lr: float
    """Best learning rate: vertex of the parabola in ln(lr) through the least loss and its neighbours; at an edge, or
    where a neighbour diverged, the one of the least loss."""
    loss: float
    """At `lr` [nats per token]; at an edge an upper bound of what tuning would give."""
    is_edge: bool = False
    """The least loss stands at the end of the learning rates tried with this batch."""
    is_gap: bool = False
    """It does, and the cell's other batches were trained beyond that end: a run is missing, no range too short."""
    advice: str = ""
    """At an edge: what to try."""
    runs: tuple[tuple[float, float], ...] = ()
    """Learning rate and loss (mean over seeds) of every run, by learning rate; without those that diverged."""
    diverged: tuple[float, ...] = ()
    """Learning rates with which a run diverged."""

    @property
    def least(self) -> tuple[float, float]:
        """Learning rate and loss of the best run, without a parabola."""
        return min(self.runs, key=lambda one: one[1])


@dataclass(frozen=True, kw_only=True)
class Cell:
    """All runs of one model size and one number of tokens."""

    N: float
    """Parameters."""
    D: float
    """Training tokens."""
    batches: tuple[BatchOptimum, ...]
    """By batch."""
    batch: float
    """Best batch [tokens]; NaN unless `status` is ok."""
    lr: float
    """Best learning rate at the best batch; NaN unless the status is ok and the batch of least loss is tuned."""
    loss: float
    """At the best batch [nats per token]; NaN unless the status is ok."""
    se: float
    """Standard error of ln(batch); NaN where three batches leave no residual."""
    status: str
    """`ok`, or why there is no best batch: `batch_edge`, `lr_edge`, `too_few`, `not_convex`."""
    reason: str = ""
    """The same in words, with what to try."""

    @property
    def id(self) -> str:
        """Name the cell in lists."""
        return f"N={self.N:.4g} D={self.D:.4g}"

    @property
    def best_run(self) -> tuple[float, float, float]:
        """Batch, learning rate and loss of the best run that was trained."""
        return min(((one.batch, *one.least) for one in self.batches), key=lambda run: run[2])

    def tuned(self, *, above: bool) -> list[BatchOptimum]:
        """List the batches with a tuned learning rate up to the one of least loss, or from it on (`above`)."""
        turn = min(self.batches, key=lambda one: one.loss).batch
        side = (one for one in self.batches if (one.batch >= turn if above else one.batch <= turn))
        return [one for one in side if not one.is_edge]

    def slope(self, *, above: bool) -> float:
        """Give d ln(best learning rate) / d ln(batch) on one side of the best batch; NaN with fewer than 3 points."""
        import numpy

        points = self.tuned(above=above)
        if len(points) < 3:
            return float("nan")
        x = numpy.log([one.batch for one in points])
        y = numpy.log([one.lr for one in points])
        return float(numpy.polyfit(x - x.mean(), y, 1)[0])


def find_cells(runs: Any, config: BatchFitConfig | None = None, *, keep_edges: bool = False) -> list[Cell]:
    """Find the best batch of every cell (N, D), its learning rate tuned anew for each batch.

    Section 2.9 of our notes: a parabola in ln(lr) through three learning rates, then one in ln(B) through at most
    `config.points` batches around the least loss. Runs that differ by the seed alone count as their mean.

    Args:
        runs: A RunTable, or whatever `read_runs` takes; needs n_params, tokens, batch_tokens, lr and loss.
        config: For `points`.
        keep_edges: Trust the least loss of a batch even where its learning rate stands at an edge. It is what one gets
            without looking, and tells how much the edges matter.

    Returns:
        All cells, by N, then D; those without a best batch say so in `status`.

    Raises:
        DataError: Columns are missing, more than half of the runs have no finite loss, or runs of several data sets,
            tokenizers or row lengths are mixed.
    """
    import numpy

    config = config or BatchFitConfig()
    table = _with_diverged(clean_runs(runs))
    cells = []
    for size in numpy.unique(table["n_params"]):
        of_size = _take(table, numpy.flatnonzero(table["n_params"] == size))
        for places in _together(of_size["tokens"], SAME_TOKENS):
            of_cell = _take(of_size, places)
            tokens = float(numpy.median(of_cell["tokens"]))
            cells.append(_cell(float(size), tokens, of_cell, config.points, keep_edges))
    return [cell for cell in cells if cell is not None]


def clean_runs(runs: Any) -> RunTable:
    """Give the runs that a fit of batches can use; those without a finite, positive loss are listed as dropped.

    Runs in memory and a RunTable are checked as a file is.

    Raises:
        DataError: As `find_cells`.
    """
    table = read_runs(runs)
    groups = sorted(set(table.groups))
    if len(groups) > 1:  # a table that was read before keeps them apart: its column was told
        raise DataError(
            f"The runs are of {len(groups)} groups ({', '.join(map(repr, groups[:8]))}), whose losses do not compare: "
            f"give a table of one of them (--group {groups[0]!r})."
        )
    for name in ("n_params", "tokens", "batch_tokens", "lr"):
        if bad := [one for one, value in zip(table.ids, table[name], strict=True) if not (0 < value < float("inf"))]:
            raise DataError(
                f"{len(bad)} of {len(table)} runs have no positive {name} (first: {bad[0]}); a fit of batches needs "
                "n_params, tokens, batch_tokens, lr and loss of every run."
            )
    return table


def fit_parabola(x: Sequence[float] | ndarray, y: Sequence[float] | ndarray) -> Vertex | None:
    """Give the minimum of the least-squares parabola through points (n,); None: it has none inside their range."""
    import numpy

    x, y = numpy.asarray(x, dtype=float), numpy.asarray(y, dtype=float)
    middle = x.mean()
    design = numpy.stack([numpy.ones_like(x), x - middle, (x - middle) ** 2], axis=1)
    (level, tilt, bend), *_ = numpy.linalg.lstsq(design, y, rcond=None)
    if bend <= 0:
        return None
    place = -tilt / (2 * bend)
    if not x.min() <= middle + place <= x.max():
        return None
    se = float("nan")
    if len(x) > 3:
        noise = float(((y - design @ (level, tilt, bend)) ** 2).sum()) / (len(x) - 3)
        pull = numpy.array([0.0, -1 / (2 * bend), tilt / (2 * bend**2)])
        se = float(numpy.sqrt(noise * pull @ numpy.linalg.inv(design.T @ design) @ pull))
    return Vertex(float(middle + place), float(level + tilt * place + bend * place**2), se)


def beyond(tried: Sequence[float] | ndarray, *, below: bool) -> float:
    """Give the value to try next beyond an end: as far from it as its neighbour, by factor; half or twice a lone one.

    >>> beyond([1.0, 2.0, 8.0], below=True), beyond([1.0, 2.0, 8.0], below=False), beyond([3.0], below=True)
    (0.5, 32.0, 1.5)
    """
    end, inner = (tried[0], tried[1:2]) if below else (tried[-1], tried[-2:-1])
    return float(end**2 / inner[0]) if len(inner) else float(end / 2 if below else end * 2)


def next_batch(tried: Sequence[float], *, below: bool, row: int | None = None) -> int | None:
    """Give the batch to try next beyond an end [tokens], as one that a sweep takes: in whole rows.

    Args:
        tried: Batches, by size.
        below: Beyond which end.
        row: Tokens of a row; None: not known, and the batches' greatest common divisor stands for it, or its half,
            quarter and so on where less than that is wanted.

    Returns:
        A multiple of the row; None where no whole row is less than what was tried.

    >>> next_batch([384, 640, 1024], below=False), next_batch([384, 640, 1024], below=True)  # 1638.4 and 230.4
    (1664, 256)
    >>> next_batch([128, 256], below=True), next_batch([128, 256], below=True, row=128)
    (64, None)
    """
    aim = beyond(tried, below=below)
    step = row or math.gcd(*(round(one) for one in tried))
    while row is None and round(aim / step) == 0 and step % 2 == 0:
        step //= 2
    return round(aim / step) * step or (round(aim) if row is None else None)


def _with_diverged(table: RunTable) -> dict[str, ndarray]:
    """Give the columns that matter, with a row of infinite loss for every run that diverged."""
    import numpy

    gone = [one for one in table.diverged if one.group in table.groups]
    names = ("n_params", "tokens", "batch_tokens", "lr")
    columns = {name: numpy.append(table[name], [getattr(one, name) for one in gone]) for name in names}
    return columns | {"loss": numpy.append(table["loss"], [numpy.inf] * len(gone))}


def _take(table: Mapping[str, ndarray], places: ndarray) -> dict[str, ndarray]:
    return {name: column[places] for name, column in table.items()}


def _cell(size: float, tokens: float, table: Mapping[str, ndarray], points: int, keep_edges: bool) -> Cell | None:
    import numpy

    reached = (float(table["lr"].min()), float(table["lr"].max()))
    tried = [
        _batch_optimum(float(batch), _take(table, numpy.flatnonzero(table["batch_tokens"] == batch)), reached)
        for batch in numpy.unique(table["batch_tokens"])
    ]
    batches = tuple(one for one in tried if one.runs)
    if not batches:
        return None
    nothing = {"batch": float("nan"), "lr": float("nan"), "loss": float("nan"), "se": float("nan")}
    status, reason = _judge(batches if keep_edges else tried, keep_edges)
    if status != "ok":
        return Cell(N=size, D=tokens, batches=batches, **nothing, status=status, reason=reason)
    turn = int(numpy.argmin([one.loss for one in batches]))
    usable = [i for i, one in enumerate(batches) if keep_edges or not one.is_edge or i == turn]
    place = usable.index(turn)
    window = [batches[i] for i in usable[max(0, place - points // 2) : place + points // 2 + 1]]
    vertex = fit_parabola(numpy.log([one.batch for one in window]), [one.loss for one in window])
    if vertex is None:
        reason = f"the loss of the {len(window)} batches around the least is no U in ln(batch): add seeds or batches"
        return Cell(N=size, D=tokens, batches=batches, **nothing, status="not_convex", reason=reason)
    rate = float("nan")
    if keep_edges or not batches[turn].is_edge:
        known = [one for one in batches if keep_edges or not one.is_edge]
        rate = float(
            numpy.exp(
                numpy.interp(vertex.x, numpy.log([one.batch for one in known]), numpy.log([one.lr for one in known]))
            )
        )
    return Cell(
        N=size, D=tokens, batches=batches, batch=float(numpy.exp(vertex.x)), lr=rate, loss=vertex.y, se=vertex.se,
        status="ok",
    )  # fmt: skip


def _judge(batches: Sequence[BatchOptimum], keep_edges: bool) -> tuple[str, str]:
    """Say whether the best batch is bracketed, and if not, what to try."""
    turn = min(range(len(batches)), key=lambda i: batches[i].loss)
    tried = [one.batch for one in batches]
    further = f"{next_batch(tried, below=turn == 0)}"
    if len(batches) < 3:
        count = "1 batch was" if len(batches) == 1 else f"{len(batches)} batches were"
        return "too_few", f"{count} tried: extend to 3 or more, to {further} tokens first"
    if turn in (0, len(batches) - 1):
        end, side = ("smallest", "below") if turn == 0 else ("largest", "above")
        extend = f"the best batch is the {end} tried ({tried[turn]:.0f} tokens): "
        extend += f"extend the batches {side} it, to {further}"
        advice = batches[turn].advice
        return "batch_edge", f"{extend}; {advice}" if advice else extend
    if keep_edges:
        return "ok", ""
    # A neighbour's upper bound cannot bracket; that of the least loss itself can, if only a run is missing there.
    doubtful = [
        one
        for i, one in enumerate(batches[turn - 1 : turn + 2], turn - 1)
        if one.is_edge and (i != turn or not one.is_gap)
    ]
    if doubtful:
        return "lr_edge", "; ".join(one.advice for one in doubtful)
    return "ok", ""


def _batch_optimum(batch: float, table: Mapping[str, ndarray], reached: tuple[float, float]) -> BatchOptimum:
    import numpy

    tried = [
        (float(numpy.exp(numpy.log(table["lr"][places]).mean())), float(table["loss"][places].mean()))
        for places in _together(table["lr"], SAME_RATE)
    ]
    rates, losses = numpy.array(tried).T
    runs = tuple(one for one in tried if one[1] < numpy.inf)
    diverged = tuple(rate for rate, loss in tried if loss == numpy.inf)
    best = int(losses.argmin())
    if 0 < best < len(tried) - 1:
        near = slice(best - 1, best + 2)
        vertex = fit_parabola(numpy.log(rates[near]), losses[near]) if numpy.isfinite(losses[near]).all() else None
        # Flat to the last digit: three equal losses have no vertex, and the middle is as good as any.
        x, y = (vertex.x, vertex.y) if vertex else (numpy.log(rates[best]), losses[best])
        return BatchOptimum(batch=batch, lr=float(numpy.exp(x)), loss=float(y), runs=runs, diverged=diverged)
    end, side = ("smallest", "below") if best == 0 else ("largest", "above")
    is_gap = reached[0] * SAME_RATE < rates[best] if best == 0 else reached[1] > rates[best] * SAME_RATE
    advice = f"at batch {batch:.0f} the best learning rate is the {end} tried ({rates[best]:.4g}): "
    further = f"{beyond(rates, below=best == 0):.3g}"
    advice += f"{'train the missing runs' if is_gap else 'extend the learning rates'} {side} it, to {further}"
    if not runs:
        is_gap = False
        advice = f"at batch {batch:.0f} every learning rate diverged: extend them below {rates[0]:.4g}, to {further}"
    elif len(tried) == 1:
        is_gap, both = False, f"{rates[0] / 2:.3g} and {rates[0] * 2:.3g}"
        advice = f"at batch {batch:.0f} only one learning rate was tried ({rates[0]:.4g}): extend to {both}"
    return BatchOptimum(
        batch=batch, lr=float(rates[best]), loss=float(losses[best]), is_edge=True, is_gap=bool(is_gap), advice=advice,
        runs=runs, diverged=diverged,
    )  # fmt: skip


def _together(values: ndarray, factor: float) -> list[ndarray]:
    """Give the places of values that are within a factor of the smallest of their set, sets by value."""
    import numpy

    order = numpy.argsort(values, kind="stable")
    sets: list[list[int]] = []
    start = float("nan")
    for place in order:
        if not sets or values[place] > start * factor:
            sets.append([])
            start = float(values[place])
        sets[-1].append(int(place))
    return [numpy.array(one) for one in sets]
