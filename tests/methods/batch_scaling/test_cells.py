"""Best batches of cells: exact ones, noisy ones against the twin, and those that must not be given."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.config import BatchFitConfig
from tenon.methods.batch_scaling.fits.cells import find_cells, fit_parabola
from tenon.methods.batch_scaling.reference import cell_optimum
from tenon.methods.batch_scaling.runs.readers import read_runs
from tenon.methods.batch_scaling.runs.table import RunTable
from tests.methods.batch_scaling.sweep_table import STEPLAW, cell_rows, needs_steplaw

BEST = {"best_batch": 1e5, "best_lr": 2e-3}


def test_exact_cell() -> None:
    (cell,) = find_cells(cell_rows(1e8, 1e9, **BEST))
    assert (cell.status, cell.reason) == ("ok", "")
    assert cell.batch == pytest.approx(1e5, rel=1e-9)
    assert cell.lr == pytest.approx(2e-3, rel=1e-9)
    assert cell.loss == pytest.approx(2.0, rel=1e-12)
    assert cell.se < 1e-6  # The cell is a parabola, so nothing is left over.
    assert cell.slope(above=False) == pytest.approx(0.75, abs=1e-9)


def test_noisy_cells_match_the_twin() -> None:
    rng = numpy.random.default_rng(1)
    met = 0
    for _ in range(20):
        rows = cell_rows(1e8, 1e9, **BEST, noise=lambda: 5e-4 * rng.standard_normal())
        (cell,) = find_cells(rows)
        if cell.status != "ok" or any(one.is_edge for one in cell.batches):
            continue
        batch, loss = cell_optimum([(row["batch_tokens"], row["lr"], row["loss"]) for row in rows])
        assert cell.batch == pytest.approx(batch, rel=1e-7)
        assert cell.loss == pytest.approx(loss, rel=1e-9)
        met += 1
    assert met >= 10


def test_standard_error_is_that_of_repeated_noise() -> None:
    """A vertex's standard error is the spread of vertices over draws of the noise."""
    rng = numpy.random.default_rng(2)
    x = numpy.linspace(-2, 2, 9)
    found = [fit_parabola(x, 0.3 * (x - 0.2) ** 2 + 0.02 * rng.standard_normal(9)) for _ in range(400)]
    places = numpy.array([one.x for one in found if one])
    # The variances are what is estimated without bias; 400 draws know a spread to 3.5 %.
    told = math.sqrt(numpy.mean([one.se**2 for one in found if one]))
    assert told == pytest.approx(places.std(), rel=0.12)


def test_seeds_are_averaged() -> None:
    """Two seeds whose losses differ by a constant either way are worth their mean."""
    rows = cell_rows(1e8, 1e9, **BEST)
    apart = [row | {"seed": s, "loss": row["loss"] + d} for row in rows for s, d in ((0, 0.3), (1, -0.3))]
    (one,), (both,) = find_cells(rows), find_cells(apart)
    assert both.batch == pytest.approx(one.batch, rel=1e-9)
    assert both.loss == pytest.approx(one.loss, rel=1e-9)


def test_order_of_rows_does_not_matter() -> None:
    rows = cell_rows(1e8, 1e9, **BEST) + cell_rows(2e8, 4e9, best_batch=3e5, best_lr=1e-3)
    mixed = [rows[i] for i in numpy.random.default_rng(0).permutation(len(rows))]
    one, other = find_cells(rows), find_cells(mixed)
    assert [(cell.N, cell.D, cell.batch, cell.lr) for cell in one] == [
        (cell.N, cell.D, cell.batch, cell.lr) for cell in other
    ]


def test_tokens_rounded_to_steps_are_one_cell() -> None:
    rows = cell_rows(1e8, 1e8, **BEST)
    for row in rows:
        row["tokens"] = math.ceil(row["tokens"] / row["batch_tokens"]) * row["batch_tokens"]
    assert len({row["tokens"] for row in rows}) > 3
    assert len(find_cells(rows)) == 1
    assert len(find_cells(rows + cell_rows(1e8, 1.25e8, **BEST))) == 2


@pytest.mark.parametrize(
    ("factors", "text"),
    [((1, 2, 8), "smallest tried (100000 tokens): extend the batches below it, to 50000"),
     ((1.28, 1.92, 3.2), "smallest tried (128000 tokens): extend the batches below it, to 64000"),  # 85,333: no row
     ((0.2, 0.3, 0.9), "largest tried (90000 tokens): extend the batches above it, to 270000")],
)  # fmt: skip
def test_best_batch_at_an_edge_gives_no_number(factors: tuple[float, ...], text: str) -> None:
    (cell,) = find_cells(cell_rows(1e8, 1e9, **BEST, batches=[1e5 * f for f in factors]))
    assert cell.status == "batch_edge"
    assert text in cell.reason
    assert math.isnan(cell.batch)
    assert math.isnan(cell.lr)


def test_learning_rate_at_an_edge_gives_no_number() -> None:
    """Section 9: not even where the batches themselves look fine."""
    (cell,) = find_cells(cell_rows(1e8, 1e9, **BEST, lrs=[4e-3, 8e-3, 1.6e-2, 3.2e-2]))
    assert cell.status == "lr_edge"
    assert "extend the learning rates below it, to 0.002" in cell.reason
    assert math.isnan(cell.batch)


@pytest.mark.parametrize("everywhere", [False, True])
def test_untuned_neighbour_cannot_bracket(everywhere: bool) -> None:
    """The loss of an untuned batch is an upper bound, so the least may be there, whatever is missing."""
    rows = cell_rows(1e8, 1e9, **BEST)
    neighbour = sorted({row["batch_tokens"] for row in rows})[4]
    cut = [
        row for row in rows
        if not (row["lr"] > 3e-3 and (everywhere or row["batch_tokens"] == neighbour))
    ]  # fmt: skip
    (cell,) = find_cells(cut)
    assert cell.status == "lr_edge"
    assert f"batch {neighbour:.0f}" in cell.reason
    assert (
        "extend the learning rates above" if everywhere else "train the missing runs above"
    ) + " it, to 0.0036" in cell.reason


def test_one_learning_rate_is_not_tuned() -> None:
    (cell,) = find_cells(cell_rows(1e8, 1e9, **BEST, lrs=[2e-3]))
    assert cell.status == "lr_edge"
    assert "only one learning rate was tried (0.002): extend to 0.001 and 0.004" in cell.reason


@pytest.mark.parametrize(
    ("batches", "reason"),
    [([1e5], "1 batch was tried: extend to 3 or more, to 50000 tokens first"),
     ([1e5, 4e5], "2 batches were tried: extend to 3 or more, to 25000 tokens first"),
     ([1e4, 8e4], "2 batches were tried: extend to 3 or more, to 640000 tokens first")],
)  # fmt: skip
def test_too_few_batches_are_told_the_next_one(batches: list[float], reason: str) -> None:
    (cell,) = find_cells(cell_rows(1e8, 1e9, **BEST, batches=batches))
    assert (cell.status, cell.reason) == ("too_few", reason)


def test_a_table_of_several_groups_tells_how_to_take_one() -> None:
    """Its column of groups was told when it was read, so that is no advice."""
    rows = [row | {"group": name} for name in ("c4", "pile") for row in cell_rows(1e8, 1e9, **BEST)]
    with pytest.raises(
        DataError, match=r"2 groups \('c4', 'pile'\).*give a table of one of them \(--group 'c4'\)"
    ) as told:
        find_cells(RunTable.of(rows))
    assert "--group-column" not in str(told.value)
    assert len(find_cells([row for row in rows if row["group"] == "c4"])) == 1


def test_edges_far_from_the_least_are_left_out_and_kept_on_demand() -> None:
    rows = cell_rows(1e8, 1e9, **BEST)
    smallest = min(row["batch_tokens"] for row in rows)
    second = sorted({row["batch_tokens"] for row in rows})[1]
    # The two smallest batches lose their low rates, as in sweeps with one list of rates for all.
    cut = [row for row in rows if row["batch_tokens"] not in (smallest, second) or row["lr"] > 1.5e-3]
    (cell,) = find_cells(cut)
    assert cell.status == "ok"
    assert cell.batch == pytest.approx(1e5, rel=1e-9)
    assert [one.is_edge for one in cell.batches[:3]] == [True, True, False]
    (kept,) = find_cells(cut, keep_edges=True)
    assert abs(math.log(kept.batch / 1e5)) > 0.01


def test_missing_run_at_the_least_batch_still_brackets() -> None:
    """Its neighbours are tuned and worse than its upper bound: the best batch is between them, its rate unknown."""
    rows = cell_rows(1e8, 1e9, **BEST)
    least = sorted({row["batch_tokens"] for row in rows})[3]
    cut = [row for row in rows if row["batch_tokens"] != least or row["lr"] < 2e-3]
    (cell,) = find_cells(cut)
    assert cell.status == "ok"
    assert cell.batch == pytest.approx(1e5, rel=0.1)
    assert math.isnan(cell.lr)
    assert "missing runs" in cell.batches[3].advice


def test_no_u_gives_no_number() -> None:
    """A dip of one batch below two hills: the parabola through the five opens downwards."""
    bumps = dict(zip((1e4, 2e4, 4e4, 8e4, 16e4), (0.1, 0.3, 0.0, 0.3, 0.1), strict=True))
    rows = [
        {"n_params": 1e8, "tokens": 1e9, "batch_tokens": batch, "lr": lr, "loss": 2 + bump + math.log(lr / 2e-3) ** 2}
        for batch, bump in bumps.items()
        for lr in (1e-3, 2e-3, 4e-3)
    ]
    (cell,) = find_cells(rows)
    assert cell.status == "not_convex"
    assert math.isnan(cell.batch)
    (three,) = find_cells(rows, BatchFitConfig(points=3))
    assert three.batch == pytest.approx(4e4)


def test_diverged_runs() -> None:
    rows = cell_rows(1e8, 1e9, **BEST)
    for row in rows[:11]:
        row["loss"] = math.nan
    assert find_cells(rows)[0].batch == pytest.approx(1e5, rel=1e-9)
    for row in rows[:50]:
        row["loss"] = math.nan
    with pytest.raises(DataError, match="50 of 77"):
        find_cells(rows)


def with_diverged(rows: list[dict[str, Any]], *, above: float, seed: int | None = None) -> list[dict[str, Any]]:
    """Give the rows with no loss at learning rates above one; with `seed`, for this seed alone."""
    gone = [row["lr"] > above and seed in (None, row["seed"]) for row in rows]
    return [row | {"loss": math.nan} if lost else row for row, lost in zip(rows, gone, strict=True)]


@pytest.mark.parametrize("is_table", [False, True])
def test_diverged_rate_brackets_and_shapes_no_parabola(is_table: bool) -> None:
    """Every rate above the best diverged: the best one is no edge, but only as fine as the rates were tried."""
    rows = with_diverged(cell_rows(1e8, 1e9, **BEST, gamma=0.0), above=2e-3)
    (cell,) = find_cells(RunTable.of(rows) if is_table else rows)
    assert cell.status == "ok"
    assert cell.batch == pytest.approx(1e5, rel=1e-9)
    for one in cell.batches:
        assert not one.is_edge
        assert one.lr == pytest.approx(1.8e-3)
        assert (len(one.runs), len(one.diverged)) == (6, 5)
    # With these runs merely not there, the rate may be anything above.
    (forgotten,) = find_cells([row for row in rows if math.isfinite(row["loss"])])
    assert forgotten.status == "lr_edge"


def test_survivors_of_a_rate_do_not_win() -> None:
    """Of two seeds at the best rates one diverged: the other's loss is luck, and the rate counts as diverged."""
    rows = with_diverged(cell_rows(1e8, 1e9, **BEST, gamma=0.0, seeds=2), above=1e-3, seed=1)
    (cell,) = find_cells(rows)
    assert [one.lr for one in cell.batches] == pytest.approx([0.9e-3] * 7)
    assert cell.best_run[1] == pytest.approx(0.9e-3)
    assert cell.loss > 2.005


def test_batch_of_which_every_run_diverged_cannot_bracket() -> None:
    rows = cell_rows(1e8, 1e9, **BEST)
    neighbour = sorted({row["batch_tokens"] for row in rows})[4]
    gone = [row | {"loss": math.nan} if row["batch_tokens"] == neighbour else row for row in rows]
    (cell,) = find_cells(gone)
    assert cell.status == "lr_edge"
    # Of 0.9 x 2e-3 x 2^-5 and up: the next is half of the least.
    assert "every learning rate diverged: extend them below 5.625e-05, to 2.81e-05" in cell.reason
    assert neighbour not in [one.batch for one in cell.batches]
    # Nothing is left of a cell whose every rate has a seed that diverged; the other cell stands.
    lost = with_diverged(cell_rows(2e8, 1e9, **BEST, seeds=2), above=0.0, seed=1)
    assert [cell.N for cell in find_cells(rows + rows + lost)] == [1e8]


def test_diverged_runs_are_of_their_group() -> None:
    """Where a user takes one data set of several, its neighbours' divergence is nobody's."""
    own = [row | {"group": "own"} for row in cell_rows(1e8, 1e9, **BEST)]
    other = [row | {"group": "other"} for row in with_diverged(cell_rows(1e8, 1e9, **BEST), above=1e-3)]
    table = read_runs(own + other, group="group")
    assert len(table.diverged) == 7 * 6
    mine = table.take([place for place, one in enumerate(table.groups) if one == "own"])
    assert find_cells(mine) == find_cells(own)


@pytest.mark.parametrize("change", [{"seq_len": 4096}, {"seq_len": 2, "steps": 7}])
def test_units_of_a_table_in_memory_are_checked(change: dict[str, Any]) -> None:
    """Section 9: a batch of less than a row, and steps that contradict the tokens, also in a RunTable."""
    rows = [row | change for row in cell_rows(1e8, 1e9, best_batch=8e3, best_lr=2e-3)]
    with pytest.raises(DataError, match=r"sequences|steps"):
        find_cells(RunTable.of(rows))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"group": "other"}, "data sets or tokenizers"),
        ({"seq_len": 512}, "several lengths"),
        ({"lr": None}, "no positive lr"),
        ({"n_params": None}, "n_params"),
    ],
)
def test_tables_that_are_no_sweep(change: dict[str, Any], text: str) -> None:
    rows = [row | {"seq_len": 1024, "group": "one"} for row in cell_rows(1e8, 1e9, **BEST)]
    rows[-1] |= change
    with pytest.raises(DataError, match=text):
        find_cells(rows)


@needs_steplaw
def test_steplaw_slopes() -> None:
    """Section 2.8: gamma below the best batch has median 0.79 (0.54 to 0.97), and -0.03 above."""
    cells = find_cells(STEPLAW)
    assert [cell.status for cell in cells] == ["ok"] * 17
    below = [s for cell in cells if math.isfinite(s := cell.slope(above=False))]
    above = [s for cell in cells if math.isfinite(s := cell.slope(above=True))]
    assert numpy.median(below) == pytest.approx(0.79, abs=0.005)
    assert (min(below), max(below)) == pytest.approx((0.54, 0.97), abs=0.005)
    assert numpy.median(above) == pytest.approx(-0.03, abs=0.005)
