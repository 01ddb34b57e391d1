"""Laws scored on sweeps: the true law loses nothing, the surface is bilinear, and StepLaw's list."""

from __future__ import annotations

import math

import numpy
import pytest
from scipy.interpolate import RegularGridInterpolator

from tenon.core.errors import ConfigError, DataError
from tenon.methods.batch_scaling import laws
from tenon.methods.batch_scaling.fits.batch_fit import fit_batch_law
from tenon.methods.batch_scaling.fits.cells import find_cells
from tenon.methods.batch_scaling.fits.compare import excess_loss, score_doubts, score_laws
from tenon.methods.batch_scaling.laws.law import Law, PowerLaw
from tenon.methods.batch_scaling.runs.table import RunTable
from tests.methods.batch_scaling.sweep_table import STEPLAW, cell_rows, needs_steplaw, power_sweep


def mine(k: float = 0.5, *, rate: bool = True) -> Law:
    formulas: dict = {"batch": PowerLaw(coefficient=k, exponents={"D": 0.6})}
    if rate:
        formulas["learning_rate"] = PowerLaw(coefficient=30.0, exponents={"N": -0.7, "D": 0.2})
    return Law(name="mine", title="", equation="", source="", tag="fitted", formulas=formulas)


def test_excess_is_bilinear_between_runs() -> None:
    """Against scipy's interpolation on the grid of ln(B), ln(lr)."""
    rng = numpy.random.default_rng(0)
    rows = cell_rows(1e8, 1e9, best_batch=1e5, best_lr=2e-3, noise=lambda: 0.01 * rng.standard_normal())
    (cell,) = find_cells(rows)
    batches = sorted({row["batch_tokens"] for row in rows})
    rates = sorted({row["lr"] for row in rows})
    losses = {(row["batch_tokens"], row["lr"]): row["loss"] for row in rows}
    table = [[losses[b, r] for r in rates] for b in batches]
    twin = RegularGridInterpolator((numpy.log(batches), numpy.log(rates)), table)
    best = min(losses.values())
    for _ in range(50):
        batch = math.exp(rng.uniform(math.log(batches[0]), math.log(batches[-1])))
        rate = math.exp(rng.uniform(math.log(rates[0]), math.log(rates[-1])))
        told = excess_loss(cell, batch, rate)
        assert told["joint"] == pytest.approx(twin((math.log(batch), math.log(rate))).item() / best - 1, abs=1e-12)
        tuned = min(twin((math.log(batch), math.log(one))).item() for one in [*rates, rate])
        assert told["batch"] == pytest.approx(tuned / best - 1, abs=1e-12)
        assert 0 <= told["batch"] <= told["joint"]
        assert not told["is_batch_clipped"]


def test_beyond_the_runs_the_edge_counts_and_is_told() -> None:
    rows = cell_rows(1e8, 1e9, best_batch=1e5, best_lr=2e-3)
    (cell,) = find_cells(rows)
    largest, highest = max(row["batch_tokens"] for row in rows), max(row["lr"] for row in rows)
    far, edge = excess_loss(cell, 100 * largest, 100 * highest), excess_loss(cell, largest, highest)
    assert far["joint"] == pytest.approx(edge["joint"], abs=1e-12)
    assert (far["is_batch_clipped"], far["is_lr_clipped"]) == (True, True)
    assert (edge["is_batch_clipped"], edge["is_lr_clipped"]) == (False, False)


def test_cells_that_end_at_their_best_batch_are_doubts() -> None:
    """Of two batches one is at the edge, too."""
    rows = cell_rows(1e8, 1e9, best_batch=1e5, best_lr=2e-3)
    assert score_doubts(rows) == []
    pair = cell_rows(1e8, 4e9, best_batch=1e5, best_lr=2e-3, batches=[5e4, 1e5])
    (told,) = score_doubts(rows + pair)
    assert "1 of 2 cells (N, D)" in told
    assert "First, N=1e+08 D=4e+09: 2 batches were tried" in told
    edge = cell_rows(1e8, 8e9, best_batch=1e5, best_lr=2e-3, batches=[1e5, 2e5, 4e5])
    (told,) = score_doubts(rows + pair + edge)
    assert "2 of 3 cells (N, D)" in told


def test_the_true_law_beats_all_others() -> None:
    rows = power_sweep()
    scores = {row["law"]: row for row in score_laws(rows, [mine(), "steplaw2025", "shuai2024.fixed_data"])}
    # Straight lines between runs a factor of two apart cost up to a quarter of a step squared: 0.01 + 0.02 of 2 nats.
    assert scores["mine"]["joint_max"] < 100 * (0.01 + 0.02) * math.log(2) ** 2 / 4 / 2
    assert scores["mine"]["clipped"] == [0, 0]
    for name, row in scores.items():
        assert row["batch_mean"] <= row["joint_mean"]
        assert row["batch_max"] <= row["joint_max"]
        if name != "mine":
            assert row["joint_mean"] > scores["mine"]["joint_mean"]
    off = score_laws(rows, [mine(k=2.0)])[0]
    # Four times the best batch, rate tuned: 0.01 ln(4)^2 of 2 nats.
    assert off["batch_mean"] == pytest.approx(100 * 0.01 * math.log(4) ** 2 / 2, rel=0.25)


def test_laws_without_a_rate_borrow_steplaws() -> None:
    rows = power_sweep()
    lent = score_laws(rows, [mine(rate=False)])[0]
    assert lent["lr_from"] == "steplaw2025"
    assert score_laws(rows, [mine()])[0]["lr_from"] == "mine"
    assert lent["batch_mean"] == pytest.approx(score_laws(rows, [mine()])[0]["batch_mean"], abs=0.1)


def test_a_fitted_law_can_be_scored() -> None:
    fitted = fit_batch_law(power_sweep(), bootstrap=0, name="of this sweep")
    (row, constant) = score_laws(power_sweep(), [fitted])
    assert row["law"] == "of this sweep"
    assert row["joint_max"] == pytest.approx(score_laws(power_sweep(), [mine()])[0]["joint_max"], rel=1e-4)
    assert constant["law"].startswith("constant")
    assert constant["lr_from"] == "constant"


def test_every_law_that_can_be_is_scored() -> None:
    names = {row["law"] for row in score_laws(power_sweep())}
    assert {"steplaw2025", "bergsma2025", "porian2024", "deepseek2024", "shuai2024.fixed_data"} <= names
    # No coefficient, a loss as input, and critical batches, which are no best ones.
    assert not names & {"shuai2024.fixed_compute", "minicpm2024", "bergsma2025.critical", "zhang2024.data"}


@pytest.mark.parametrize("name", ["shuai2024.fixed_compute", "minicpm2024", "zhang2024.data"])
def test_laws_that_cannot_be_scored(name: str) -> None:
    with pytest.raises(ConfigError, match="no best batch from N, D and C"):
        score_laws(power_sweep(), [name])


def test_refusal_names_only_laws_that_can_be_scored() -> None:
    with pytest.raises(ConfigError) as caught:
        score_laws(power_sweep(), ["zhang2024.data"])
    listed = str(caught.value).split("score one of ")[1].rstrip(".").split(", ")
    assert "steplaw2025" in listed
    assert "zhang2024.data" not in listed
    score_laws(power_sweep(), listed)


def test_different_counts_of_parameters_are_told() -> None:
    """B4: a law of non-embedding parameters on a table of all parameters, where the law asks for N or C."""
    table = RunTable.of(power_sweep(), n_kind="total")
    rows = {row["law"]: row for row in score_laws(table, [mine(), mine(rate=False), "porian2024"])}
    counts = laws.get("porian2024").n_kind
    assert rows["porian2024"]["n_kind"].startswith(f"batch: law counts {counts}, table total")
    (row, constant) = score_laws(table, [mine()])
    assert row["n_kind"] == "learning rate: law counts non_embedding, table total"
    assert constant["n_kind"] is None
    assert score_laws(RunTable.of(power_sweep(), n_kind="non_embedding"), [mine()])[0]["n_kind"] is None
    assert "does not say" in score_laws(power_sweep(), [mine()])[0]["n_kind"]
    # A batch from D, and the rate lent by a law that counts as the table does.
    lent = RunTable.of(power_sweep(), n_kind=laws.get("steplaw2025").n_kind)
    assert score_laws(lent, [mine(rate=False)])[0]["n_kind"] is None


def test_law_of_these_very_runs_is_said_to_be() -> None:
    """B5: in-sample is no prediction."""
    fitted = fit_batch_law(power_sweep(), bootstrap=0)
    assert [row["in_sample"] for row in score_laws(power_sweep(), [fitted, mine()])] == [True, False, False]
    assert [row["in_sample"] for row in score_laws(power_sweep(k=0.6), [fitted])] == [False, False]


def test_rates_that_diverged_count_as_clipped() -> None:
    """The loss there is not known, only that it is bad: the last run that did not diverge stands for it."""
    rows = cell_rows(1e8, 1e9, best_batch=1e5, best_lr=2e-3, gamma=0.0)
    largest = sorted({row["batch_tokens"] for row in rows})[-2:]
    gone = [row | {"loss": math.nan} if row["lr"] > 4e-3 and row["batch_tokens"] in largest else row for row in rows]
    (cell,) = find_cells(gone)
    for batch, lr, is_clipped in ((1e5, 8e-3, False), (largest[1], 8e-3, True), (largest[1], 3e-3, False)):
        told = excess_loss(cell, batch, lr)
        assert told["is_lr_clipped"] == is_clipped
        assert math.isfinite(told["joint"])


def test_one_batch_per_cell_is_no_sweep() -> None:
    with pytest.raises(DataError, match="two batches"):
        score_laws(cell_rows(1e8, 1e9, best_batch=1e5, best_lr=2e-3, batches=[1e5]))


@needs_steplaw
def test_steplaw_list() -> None:
    """Section 2.8 prints joint mean/max and re-tuned mean/max [%], not what holds between runs; ours is within 0.023
    of its means and 0.1 of its maxima. With the rate tuned anew the laws rank alike; else two swap, 0.01 apart.
    """
    printed = {
        "steplaw2025": (0.117, 0.211, 0.053, 0.167),
        "bergsma2025": (0.186, 0.365, 0.107, 0.343),
        "porian2024": (0.69, 1.95, 0.47, 1.25),
        "deepseek2024": (0.834, 1.12, 0.330, 0.759),
        "shuai2024.fixed_data": (1.30, 2.67, 1.23, 2.31),
        "constant 500000 tokens, lr 0.001": (0.700, 1.80, 0.187, 0.558),
    }
    rows = {row["law"]: row for row in score_laws(STEPLAW, list(printed)[:-1])}
    assert set(rows) == set(printed)
    for name, (joint_mean, joint_max, batch_mean, batch_max) in printed.items():
        row = rows[name]
        assert row["cells"] == 17
        assert row["joint_mean"] == pytest.approx(joint_mean, abs=0.023)
        assert row["batch_mean"] == pytest.approx(batch_mean, abs=0.015)
        assert row["joint_max"] == pytest.approx(joint_max, abs=0.1)
        assert row["batch_max"] == pytest.approx(batch_max, abs=0.02)
    assert sorted(rows, key=lambda one: rows[one]["batch_mean"]) == sorted(printed, key=lambda one: printed[one][2])
    # Section 2.8: P3 asks for 1.5 to 6.6 times the measured best batch here.
    law = laws.get("shuai2024.fixed_data")
    factors = [law.batch(D=cell.D) / cell.batch for cell in find_cells(STEPLAW)]
    assert (min(factors), max(factors)) == pytest.approx((1.5, 6.6), rel=0.06)
