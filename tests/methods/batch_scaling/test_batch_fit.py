"""Laws of the best batch: known ones recovered, intervals over cells, and sweeps that give no law."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pytest

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.config import PRESETS, BatchFitConfig
from tenon.methods.batch_scaling.fits.batch_fit import fit_batch_law, fit_lr_law
from tenon.methods.batch_scaling.fits.cells import find_cells
from tenon.methods.batch_scaling.fits.law_card import load_card, save_card
from tenon.methods.batch_scaling.fits.power_fit import fit_power, resampled
from tenon.methods.batch_scaling.runs.readers import read_runs
from tests.methods.batch_scaling.sweep_table import SIZES, STEPLAW, cell_rows, needs_steplaw, power_sweep

FAST = BatchFitConfig(bootstrap=0)


def test_fixed_data_is_recovered() -> None:
    fitted = fit_batch_law(power_sweep(), FAST)
    assert fitted.params["k"] == pytest.approx(0.5, rel=1e-6)
    assert fitted.params["x"] == pytest.approx(0.6, rel=1e-7)
    assert fitted.law.batch(D=1e10) == pytest.approx(0.5 * 1e10**0.6, rel=1e-6)
    assert fitted.law.learning_rate(N=2e8, D=1e10) == pytest.approx(30 * 2e8**-0.7 * 1e10**0.2, rel=1e-6)
    assert fitted.estimator["gamma"]["below"]["median"] == pytest.approx(0.75, abs=1e-6)
    assert fitted.estimator["joint"] == pytest.approx({"D": 0.6, "N": 0.0}, abs=1e-6)
    assert fitted.holdout is not None
    assert fitted.holdout["max_error"] < 1e-6
    assert (fitted.runs, fitted.covariance, fitted.identified) == (9, None, True)


def test_joint_is_recovered_and_a_law_of_tokens_alone_says_so() -> None:
    rows = power_sweep(k=40.0, x=0.66, y=-0.32)
    fitted = fit_batch_law(rows, FAST, form="joint")
    assert [fitted.params[one] for one in "kxy"] == pytest.approx([40.0, 0.66, -0.32], rel=1e-6)
    alone = fit_batch_law(rows, FAST)
    assert alone.estimator["joint"]["N"] == pytest.approx(-0.32, abs=1e-6)
    assert alone.objective > 0.1 > fitted.objective


def test_learning_rate_law_is_recovered() -> None:
    """Up to the best batch; c is the slope within cells, which no optimum alone could tell."""
    fitted = fit_lr_law(power_sweep(), FAST)
    # lr = 30 N^-0.7 D^0.2 (B / (0.5 D^0.6))^0.75
    assert fitted.params["B"] == pytest.approx(0.75, rel=1e-6)
    assert fitted.params["N"] == pytest.approx(-0.7, rel=1e-6)
    assert fitted.params["D"] == pytest.approx(0.2 - 0.75 * 0.6, rel=1e-6)
    assert fitted.law.learning_rate(N=2e8, D=1e10, B=1e5) == pytest.approx(
        30 * 2e8**-0.7 * 1e10**0.2 * (1e5 / (0.5 * 1e10**0.6)) ** 0.75, rel=1e-6
    )


def test_a_single_size_is_fine_and_its_law_has_no_n() -> None:
    """Section 9: three cells, two values of D, one N."""
    rows = [row for row in power_sweep() if row["n_params"] == SIZES[0]]
    fitted = fit_batch_law(rows, FAST)
    assert fitted.params["x"] == pytest.approx(0.6, rel=1e-6)
    assert "lr_N" not in fitted.params
    assert fitted.estimator["joint"] is None
    assert any("coarse" in one for one in fitted.warnings)
    assert fit_lr_law(rows, FAST).warnings == (
        "N is not in the law: in these cells it does not vary, or not apart from the others",
    )


def test_rows_may_come_in_any_order_and_twice() -> None:
    """7.5: the same law to the last digits; a repeated row is a seed, not another cell."""
    rows = power_sweep(noise=0.1)
    mixed = [rows[i] for i in numpy.random.default_rng(0).permutation(len(rows))]
    one, other = fit_batch_law(rows, bootstrap=40), fit_batch_law(mixed + rows, bootstrap=40)
    assert dict(other.params) == pytest.approx(dict(one.params), rel=1e-9)
    assert numpy.ravel(list(other.intervals.values())) == pytest.approx(
        numpy.ravel(list(one.intervals.values())), rel=1e-9
    )


def test_units_of_the_batch_do_not_matter() -> None:
    """7.9: sequences with seq_len, or tokens."""
    rows = power_sweep()
    in_sequences = [row | {"batch_tokens": row["batch_tokens"] / 512} for row in rows]
    table = read_runs(in_sequences, units={"batch": "sequences"}, seq_len=512)
    assert dict(fit_batch_law(table, FAST).params) == pytest.approx(dict(fit_batch_law(rows, FAST).params), rel=1e-9)


def test_bootstrap_is_over_cells_and_bit_for_bit_repeatable() -> None:
    """7.14, and section 10.9: ten seeds of every run add no certainty about other cells."""
    rows = power_sweep(noise=0.15)
    many = [row | {"seed": seed} for row in rows for seed in range(10)]
    one, other = fit_batch_law(rows, bootstrap=100), fit_batch_law(many, bootstrap=100)
    assert one.bootstrap == fit_batch_law(rows, bootstrap=100).bootstrap
    assert one.bootstrap["intervals"] != fit_batch_law(rows, bootstrap=100, seed=1).bootstrap["intervals"]
    for mine, theirs in (
        (one.intervals["x"], other.intervals["x"]),
        (one.bootstrap["intervals"]["x"], other.bootstrap["intervals"]["x"]),
    ):
        assert mine[0] < one.params["x"] < mine[1]
        assert mine[1] - mine[0] == pytest.approx(theirs[1] - theirs[0], rel=1e-6)
    assert {name: value for name, value in one.bootstrap.items() if name != "intervals"} == {
        "n": 100, "seed": 0, "over": "cells", "failures": 0,
    }  # fmt: skip
    assert numpy.shape(one.covariance) == (len(one.params),) * 2


def held(cells: int, draws: int, rows: int = 1, bootstrap: int = 0) -> tuple[float, float]:
    """Give how often 95 % intervals of an exponent of 0.6 hold it: Student's, and the bootstrap's percentiles."""
    rng = numpy.random.default_rng(cells)
    logs = numpy.repeat(numpy.linspace(math.log(1e9), math.log(1e11), cells), rows)
    within = numpy.tile(numpy.linspace(-1, 1, rows), cells) + 0.5 * logs
    cell = numpy.repeat(numpy.arange(cells), rows)
    inputs, names = ({"D": logs}, ["D"]) if rows == 1 else ({"D": logs, "B": within}, ["B", "D"])
    ours = theirs = 0
    for seed in range(draws):
        target = math.log(0.5) + 0.6 * logs + 0.15 * rng.standard_normal(cells)[cell]
        if rows > 1:
            target += 0.3 * within + 0.1 * rng.standard_normal(len(cell))
        counts = resampled(cells, BatchFitConfig(bootstrap=bootstrap, seed=seed))
        fit = fit_power(inputs, names, target, cell, counts, 0.95)
        low, high = fit.intervals[1 + names.index("D")]
        ours += low <= 0.6 <= high
        if fit.replicates is not None:
            low, high = numpy.nanpercentile(fit.replicates[:, -1], [2.5, 97.5])
            theirs += low <= 0.6 <= high
    return ours / draws, theirs / draws


@pytest.mark.parametrize("cells", [3, 6, 12])
def test_interval_covers(cells: int) -> None:
    """7.14 for the exponent of the batch: Student's interval holds it in 95 of 100, with few cells, too."""
    assert 0.925 <= held(cells, 400)[0] <= 0.975


@pytest.mark.parametrize("cells", [4, 6, 12])
def test_interval_of_several_rows_per_cell_covers(cells: int) -> None:
    """A cell's rows are off together, so cells are what is counted: the jackknife over them holds it as often."""
    assert 0.91 <= held(cells, 400, rows=5)[0] <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "most"), [(3, 0.80), (6, 0.90), (12, 0.93)])
def test_percentiles_of_few_cells_fall_short(cells: int, most: float) -> None:
    """Why the interval is not the bootstrap's; 2000 draws know a share to 0.5 % (one standard error)."""
    ours, theirs = held(cells, 2000, bootstrap=200)
    assert ours == pytest.approx(0.95, abs=0.02)
    assert theirs < most


def test_student_is_that_of_linregress() -> None:
    from scipy.stats import linregress, t

    rng = numpy.random.default_rng(3)
    logs = numpy.linspace(20, 25, 7)
    target = 1 + 0.6 * logs + 0.1 * rng.standard_normal(7)
    fit = fit_power({"D": logs}, ["D"], target, numpy.arange(7), None, 0.9)
    twin, reach = linregress(logs, target), t.ppf(0.95, 5)
    ends = [twin.slope - reach * twin.stderr, twin.slope + reach * twin.stderr]
    assert fit.intervals[1] == pytest.approx(ends, rel=1e-8)
    ends = [twin.intercept - reach * twin.intercept_stderr, twin.intercept + reach * twin.intercept_stderr]
    assert numpy.log(fit.intervals[0]) == pytest.approx(ends, rel=1e-6)
    # The band of the line is widest at an end.
    far = (logs - logs.mean())[-1] ** 2 / ((logs - logs.mean()) ** 2).sum()
    noise = math.sqrt(((target - twin.intercept - twin.slope * logs) ** 2).sum() / 5)
    assert math.log(fit.widest) == pytest.approx(2 * reach * noise * math.sqrt(1 / 7 + far), rel=1e-6)
    assert fit.freedom == 5


def test_card_says_which_intervals() -> None:
    """Student's, of every constant, also without a bootstrap; with one, its percentiles beside them."""
    rows = power_sweep(noise=0.1)
    plain, drawn = fit_batch_law(rows, FAST), fit_batch_law(rows, bootstrap=100)
    assert plain.intervals == drawn.intervals
    assert set(plain.intervals) == set(plain.params)
    assert plain.estimator["intervals"] == "Student's t over cells; degrees of freedom: batch 7, learning_rate 6"
    assert set(drawn.bootstrap["intervals"]) == set(drawn.params)
    assert plain.bootstrap == {}
    low, high = drawn.bootstrap["intervals"]["x"]
    assert plain.intervals["x"][0] < low < plain.params["x"] < high < plain.intervals["x"][1]


def test_as_many_constants_as_cells_say_nothing() -> None:
    """Three constants go through three cells whatever they say."""
    rows = [
        row for i, size in enumerate(SIZES)
        for row in cell_rows(size, (1e9, 1e11, 3e9)[i], best_batch=1e5 * (i + 1), best_lr=2e-3)
    ]  # fmt: skip
    fitted = fit_batch_law(rows, FAST, form="joint")
    assert not {"k", "x", "y"} & set(fitted.intervals)
    assert not fitted.identified
    assert any("no interval" in one for one in fitted.warnings)


def test_learning_rate_law_tells_its_range_and_doubts() -> None:
    """B7: the range is that of all batches fitted, and a law of noise is not identified."""
    fitted = fit_lr_law(power_sweep(noise=0.1), FAST)
    assert fitted.identified
    batches = [row["B"] for row in fitted.residuals]
    reach = fitted.law.domain.B
    assert reach is not None
    assert reach == (min(batches), max(batches))
    assert reach[0] < 0.2 * min(cell.batch for cell in find_cells(power_sweep(noise=0.1)))
    rng = numpy.random.default_rng(0)
    rows = []
    for i, tokens in enumerate((1e9, 3e9, 1e10, 3e10)):
        best = 2e-3 * math.exp(1.5 * rng.standard_normal())
        rows += cell_rows(1e8, tokens, best_batch=1e5 * 2.0 ** (i / 2), best_lr=best)
    wild = fit_lr_law(rows, FAST)
    assert not wild.identified
    assert any("not identified: the interval of the best learning rate" in one for one in wild.warnings)
    assert any("exponent D" in one for one in wild.warnings)


def test_every_cell_at_an_edge_is_an_error_that_lists_them() -> None:
    """Section 9: never a number."""
    rows = []
    for size in SIZES:
        for tokens in (1e9, 1e10):
            rows += cell_rows(size, tokens, best_batch=1e5, best_lr=2e-3, batches=[2e5, 4e5, 8e5, 16e5])
    with pytest.raises(DataError, match="0 of 6 cells") as caught:
        fit_batch_law(rows)
    assert str(caught.value).count("extend the batches below") == 6
    assert "N=4e+08 D=1e+10" in str(caught.value)
    for row in rows:
        row["batch_tokens"] /= 4
        row["lr"] = row["lr"] if row["lr"] > 4e-3 else math.nan
    rows = [row for row in rows if math.isfinite(row["lr"])]
    with pytest.raises(DataError, match="extend the learning rates below"):
        fit_lr_law(rows)


def test_too_few_cells_or_tokens() -> None:
    rows = power_sweep()
    with pytest.raises(DataError, match="2 values of D"):
        fit_batch_law([row | {"tokens": 1e10} for row in rows])
    small = [row for row in rows if row["n_params"] == SIZES[0] and row["tokens"] < 5e9]
    with pytest.raises(DataError, match="2 of 2 cells"):
        fit_batch_law(small)


def test_joint_needs_sizes_apart_from_tokens() -> None:
    rows = []
    for size in (1e8, 2e8, 4e8):
        rows += cell_rows(size, 20 * size, best_batch=1e5 * (size / 1e8) ** 0.5, best_lr=2e-3)
    with pytest.raises(DataError, match="to vary apart"):
        fit_batch_law(rows, form="joint")
    assert fit_batch_law(rows, FAST).params["x"] == pytest.approx(0.5, rel=1e-6)


def test_cells_left_out_are_listed_with_what_to_try() -> None:
    rows = power_sweep()
    rows += cell_rows(8e8, 1e11, best_batch=1e6, best_lr=1e-3, batches=[2e6, 4e6, 8e6])
    fitted = fit_batch_law(rows, FAST)
    assert fitted.params["x"] == pytest.approx(0.6, rel=1e-6)
    (gone,) = fitted.dropped
    assert gone.id == "N=8e+08 D=1e+11"
    assert "extend the batches below" in gone.reason
    assert (fitted.runs, fitted.estimator["cells"]) == (9, 10)


def test_near_best_pools_runs_as_steplaw_does() -> None:
    """The twin: ordinary least squares over all runs within the threshold of the best of their cell."""
    rows = power_sweep(noise=0.2)
    fitted = fit_batch_law(rows, FAST, estimator="near_best", threshold=0.004)
    best: dict[Any, float] = {}
    for row in rows:
        key = row["n_params"], row["tokens"]
        best[key] = min(best.get(key, math.inf), row["loss"])
    near = [row for row in rows if row["loss"] <= 1.004 * best[row["n_params"], row["tokens"]]]
    x, log_k = numpy.polyfit(numpy.log([r["tokens"] for r in near]), numpy.log([r["batch_tokens"] for r in near]), 1)
    assert fitted.params["x"] == pytest.approx(float(x), rel=1e-9)
    assert fitted.params["k"] == pytest.approx(math.exp(log_k), rel=1e-9)
    told = fitted.estimator["sensitivity"]
    assert told["near_best 0.004"]["rows"] == len(near) < told["near_best 0.008"]["rows"]
    assert told["near_best 0.004"]["x"] == fitted.params["x"]
    assert told["parabola"]["x"] == fit_batch_law(rows, FAST).params["x"]


def test_no_growth_is_said() -> None:
    """An exponent whose interval holds 0 shows nothing; one that is nowhere is not identified."""
    fitted = fit_batch_law(power_sweep(k=1e5, x=0.0, noise=0.3), bootstrap=100)
    assert any("holds 0" in one for one in fitted.warnings)
    wild = fit_batch_law(power_sweep(k=1e5, x=0.0, noise=3.0, seed=1), bootstrap=100)
    assert not wild.identified
    assert any("not identified" in one for one in wild.warnings)


def surface_rows() -> list[dict[str, Any]]:
    """Four sizes, three D each, best rates everywhere: L = 1.5 + 80 N^-.3 + 6 S^-.25 + 12 B^-.15, U-shaped in lr."""
    rows = []
    for size in (5e7, 1e8, 2e8, 4e8):
        for ratio in (10, 40, 160):
            tokens = ratio * size
            best = (12 * 0.15 / (6 * 0.25) * tokens**0.25) ** (1 / 0.4)
            for i in range(-4, 5):
                batch = best * 1.3 * 2.0**i
                loss = 1.5 + 80 * size**-0.3 + 6 * (tokens / batch) ** -0.25 + 12 * batch**-0.15
                rows += [
                    {"n_params": size, "tokens": tokens, "batch_tokens": batch, "lr": lr, "loss": loss + add}
                    for lr, add in ((5e-4, 0.1), (1e-3, 0.0), (2e-3, 0.1))
                ]
    return rows


def test_fixed_compute_is_the_frontier_of_the_surface() -> None:
    """Exponents add up to 1, and no other N, S, B at the same compute has a smaller loss."""
    fitted = fit_batch_law(surface_rows(), bootstrap=20, form="fixed_compute")
    assert fitted.params["x_N"] + fitted.params["x_S"] + fitted.params["x_B"] == pytest.approx(1, abs=1e-12)
    inverse = numpy.array([1 / 0.3, 1 / 0.25, 1 / 0.15])
    powers = [fitted.params[one] for one in ("x_N", "x_S", "x_B")]
    assert powers == pytest.approx((inverse / inverse.sum()).tolist(), rel=1e-4)
    compute = 1e19
    n, s, b = (getattr(fitted.law, one)(C=compute) for one in ("params", "steps", "batch"))
    assert 6 * n * s * b == pytest.approx(compute, rel=1e-9)

    def loss(log_n: float, log_s: float) -> float:
        size, steps = math.exp(log_n), math.exp(log_s)
        return float(80 * size**-0.3 + 6 * steps**-0.25 + 12 * (compute / 6 / size / steps) ** -0.15)

    best = loss(math.log(n), math.log(s))
    rng = numpy.random.default_rng(0)
    assert all(best <= loss(math.log(n) + u, math.log(s) + v) + 1e-9 for u, v in rng.normal(0, 0.5, (200, 2)))
    for name, (low, high) in fitted.intervals.items():
        assert low * (1 - 1e-3) <= fitted.params[name] <= high * (1 + 1e-3)


def test_fixed_compute_lists_what_it_leaves_out_and_doubts_the_surface() -> None:
    """B6: batches at an edge shape the surface, so they are told as doubts, not as dropped; bounds are told, too."""
    rows = surface_rows()
    largest = {(row["n_params"], row["tokens"]): 0.0 for row in rows}
    for row in rows:
        cell = row["n_params"], row["tokens"]
        largest[cell] = max(largest[cell], row["batch_tokens"])
    cut = [row for row in rows if row["lr"] < 1.5e-3 or row["batch_tokens"] < largest[row["n_params"], row["tokens"]]]
    fitted = fit_batch_law(cut, FAST, form="fixed_compute")
    assert fitted.dropped == ()
    assert any(one.startswith("12 of 108 batches") for one in fitted.warnings)
    assert len(fit_batch_law(cut, FAST).dropped) == 12
    assert fitted.estimator["intervals"].startswith("percentiles")
    # Without a term of size, alpha says nothing: it stops at a bound, or its term vanishes.
    flat = [row | {"loss": row["loss"] - 80 * row["n_params"] ** -0.3} for row in rows]
    assert not fit_batch_law(flat, FAST, form="fixed_compute").identified


def test_held_out_cells_are_not_fitted() -> None:
    """What is predicted does not hang on what is held out: other best batches there, the same predictions."""

    def sweep(factor: float) -> list[dict[str, Any]]:
        rng = numpy.random.default_rng(0)
        rows = []
        for i, tokens in enumerate((1e9, 3e9, 1e10, 3e10)):
            for size in SIZES[:2]:
                best = 0.5 * tokens**0.6 * math.exp(0.2 * rng.standard_normal()) * (factor if i == 3 else 1.0)
                rows += cell_rows(size, tokens, best_batch=best, best_lr=2e-3)
        return rows

    one, other = (fit_batch_law(sweep(factor), FAST) for factor in (1.0, 3.0))
    assert one.holdout is not None
    assert other.holdout is not None
    assert one.params["x"] < other.params["x"] - 0.05
    assert [row["law"] for row in one.holdout["runs"]] == pytest.approx([row["law"] for row in other.holdout["runs"]])
    ratio = [b["B"] / a["B"] for a, b in zip(one.holdout["runs"], other.holdout["runs"], strict=True)]
    assert ratio == pytest.approx([3.0, 3.0])


def test_card_gives_the_law_back(tmp_path: Path) -> None:
    fitted = fit_batch_law(power_sweep(noise=0.1), bootstrap=20)
    loaded = load_card(save_card(fitted, tmp_path / "law.json"))
    assert loaded.law.batch(D=1e10) == fitted.law.batch(D=1e10)
    assert loaded.law.learning_rate(N=1e8, D=1e10) == fitted.law.learning_rate(N=1e8, D=1e10)
    assert loaded.residuals == fitted.residuals


@needs_steplaw
def test_steplaw_cells() -> None:
    """Section 2.8 by its own recipe, which trusts batches at an edge of learning rates; and ours, which does not."""
    fitted = fit_batch_law(STEPLAW, bootstrap=20)
    told = fitted.estimator["sensitivity"]["parabola, edges kept"]
    assert (told["cells"], round(told["k"], 3), round(told["x"], 3)) == (17, 0.171, 0.622)
    assert (fitted.runs, len(fitted.dropped)) == (17, 13)
    assert (fitted.params["k"], fitted.params["x"]) == pytest.approx((0.1756, 0.6210), rel=1e-3)
    assert fitted.estimator["joint"] == pytest.approx({"N": -0.32, "D": 0.66}, abs=0.01)


@needs_steplaw
def test_steplaw_by_its_own_estimator() -> None:
    """Section 2.8: not the published constants; 129 runs within 0.25 %, and the exponent is 0.1 less within 0.5 %."""
    config = PRESETS["steplaw"]
    assert isinstance(config, BatchFitConfig)
    table = read_runs(STEPLAW)
    fitted = fit_batch_law(table, config, bootstrap=0)
    assert fitted.params["x"] == pytest.approx(0.613, abs=1e-3)
    assert (fitted.params["lr_N"], fitted.params["lr_D"]) == pytest.approx((-0.766, 0.197), abs=1e-3)
    assert fitted.estimator["joint"] == pytest.approx({"N": -0.266, "D": 0.623}, abs=1e-3)
    told = fitted.estimator["sensitivity"]
    assert told["near_best 0.0025"]["rows"] == 129
    assert told["near_best 0.005"]["x"] - told["near_best 0.0025"]["x"] == pytest.approx(-0.117, abs=2e-3)
    assert len(find_cells(table)) == 17
