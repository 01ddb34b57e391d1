"""The critical batch from a sweep whose steps to every loss are known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from scipy.optimize import brentq
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError
from tenon.core.run import Run
from tenon.methods.batch_scaling import laws
from tenon.methods.batch_scaling.cli import app
from tenon.methods.batch_scaling.config import CriticalFitConfig
from tenon.methods.batch_scaling.fits.cells import find_cells
from tenon.methods.batch_scaling.fits.critical_show import draw_critical_sweep, show_critical_sweep
from tenon.methods.batch_scaling.fits.law_card import load_card
from tenon.methods.batch_scaling.fits.steps_to_loss import fit_critical_sweep, loss_curves
from tests.methods.batch_scaling.sweep_table import STEPLAW, needs_steplaw

BATCHES = [2.0**i * 1000 for i in range(9)]
TOKENS = [2.0**i * 1e7 for i in range(5)]
RATES = (1e-3, 2e-3, 4e-3)


def e_min(loss: float) -> float:
    return 1e6 * (loss - 1.5) ** -2.5


def s_min(loss: float) -> float:
    return 60 * (loss - 1.5) ** -1.5


def loss_after(tokens: float, batch: float) -> float:
    """The loss at which E_min + S_min B are these tokens."""
    return float(brentq(lambda x: e_min(x) + s_min(x) * batch - tokens, 1.5 + 1e-6, 60.0, xtol=1e-13))


def sweep(
    *, size: float = 1e8, tokens: list[float] | None = None, batches: list[float] | None = None, worse: float = 0.0
) -> list[dict[str, Any]]:
    """A sweep that follows the hyperbola; `worse` raises the losses of the two smallest batches."""
    return [
        {
            "n_params": size, "tokens": d, "batch_tokens": b, "lr": lr, "seed": 0, "n_kind": "total",
            "loss": loss_after(d, b) + 0.02 * math.log(lr / 2e-3) ** 2 + (worse if b < 3000 else 0.0),
        }
        for d in tokens or TOKENS for b in batches or BATCHES for lr in RATES
    ]  # fmt: skip


def test_the_critical_batch_of_a_known_sweep() -> None:
    """At every loss, within what interpolation between doubled tokens leaves."""
    found = fit_critical_sweep(sweep())
    assert [one.N for one in found.found] == [1e8] * 3
    targets = [one.target for one in found.found]
    assert targets == sorted(targets, reverse=True)
    for one in found.found:
        assert one.fit.critical_batch == pytest.approx(e_min(one.target) / s_min(one.target), rel=0.01)
        assert one.fit.s_min == pytest.approx(s_min(one.target), rel=0.01)
        assert len(one.fit.residuals) >= len(BATCHES) - 1
    assert targets[0] - targets[-1] > 0.05
    batches = [one.fit.critical_batch for one in found.found]
    assert batches == sorted(batches)  # it grows as the loss falls


def test_steps_of_a_curve_are_those_that_were_trained() -> None:
    curves, left_out = loss_curves(find_cells(sweep()))
    assert not left_out
    for curve in curves:
        for tokens, loss in zip(curve.tokens, curve.loss, strict=True):
            assert curve.steps(loss) == pytest.approx(tokens / curve.batch, rel=1e-9)
        between = loss_after(1.4 * curve.tokens[1], curve.batch)
        assert curve.steps(between) == pytest.approx(1.4 * curve.tokens[1] / curve.batch, rel=0.003)
        assert curve.gap(between) == 2
        assert curve.gap(curve.loss[1]) == 1
        assert math.isnan(curve.steps(curve.loss[0] + 1e-6))  # nothing is extrapolated
        assert math.isnan(curve.steps(curve.loss[-1] - 1e-6))


def test_losses_that_are_named() -> None:
    target = loss_after(4e7, 16000)
    (one,) = fit_critical_sweep(sweep(), targets=(target,)).found
    assert one.target == target
    at_16k = next(row for row in one.fit.residuals if row["batch"] == 16000)
    assert at_16k["steps"] * 16000 == pytest.approx(4e7, rel=1e-9)


def test_a_loss_that_no_batch_reaches_is_left_out_with_what_they_reach() -> None:
    found = fit_critical_sweep(sweep(), targets=(loss_after(4e7, 16000), 1.6))
    assert len(found.found) == 1
    (left,) = found.left_out
    assert left.id == "N=1e+08 loss 1.6"
    assert "0 batches reach it between numbers of tokens at most 6 times apart" in left.reason
    assert f"{BATCHES[0]:.4g}: {loss_after(TOKENS[-1], BATCHES[0]):.4g} to" in left.reason


def test_small_batches_that_need_more_tokens_are_left_out() -> None:
    """Below the best batch a sweep leaves the hyperbola; E_min must not follow it."""
    plain, bent = fit_critical_sweep(sweep()), fit_critical_sweep(sweep(worse=0.1))
    assert any("below the best batch" in one.reason and one.reason.endswith("1000, 2000") for one in bent.left_out)
    for one in bent.found:
        assert min(row["batch"] for row in one.fit.residuals) == 4000
        assert one.fit.critical_batch == pytest.approx(e_min(one.target) / s_min(one.target), rel=0.05)
    assert not plain.left_out


def test_sizes_stand_apart() -> None:
    rows = sweep() + sweep(size=2e8)
    found = fit_critical_sweep(rows, count=2)
    assert [one.N for one in found.found] == [1e8, 1e8, 2e8, 2e8]


def test_a_bound_is_no_point() -> None:
    """Where the best learning rate of a batch is the last one tried, that batch has a bound there."""
    rows = [row for row in sweep() if not (row["batch_tokens"] == 8000 and row["lr"] > 3e-3)]
    curves, left_out = loss_curves(find_cells(rows))
    assert 8000 not in {curve.batch for curve in curves}
    assert [one.id for one in left_out] == ["N=1e+08 B=8000"]
    assert "at 5 the best learning rate is the last one tried" in left_out[0].reason


def test_noise_that_turns_a_curve_is_named() -> None:
    rows = sweep()
    for row in rows:
        if row["batch_tokens"] == 2000 and row["tokens"] == TOKENS[3]:
            row["loss"] += 0.5
    left_out = loss_curves(find_cells(rows))[1]
    assert [(one.id, one.reason.split(":")[0]) for one in left_out] == [
        ("N=1e+08 B=2000", "its loss does not fall with the tokens everywhere")
    ]


def test_what_is_missing_is_said() -> None:
    with pytest.raises(DataError, match=r"needs 3 batches.*\n.*tuned learning rates at 1 of the numbers of tokens"):
        fit_critical_sweep(sweep(tokens=TOKENS[:1]))
    with pytest.raises(DataError, match=r"no loss is reached by 3 of its batches"):
        fit_critical_sweep(sweep(batches=BATCHES[:2]))


def test_a_noise_scale_is_held_against_the_critical_batch_at_its_loss() -> None:
    rows = sweep()
    row = next(one for one in rows if (one["tokens"], one["batch_tokens"], one["lr"]) == (TOKENS[2], 16000.0, 2e-3))
    row["noise_tokens"] = 5e4
    (found,) = fit_critical_sweep(rows).noise
    expected = e_min(row["loss"]) / s_min(row["loss"])
    assert found["critical batch"] == pytest.approx(expected, rel=0.03)
    assert found["noise / critical"] == pytest.approx(5e4 / expected, rel=0.03)
    assert (found["D"], found["B"], found["loss"]) == (TOKENS[2], 16000.0, row["loss"])


def test_noise_scales_stand_beside_their_own_size_and_only_where_that_is_clear() -> None:
    rows = sweep() + sweep(size=2e8, batches=[4 * one for one in BATCHES])
    for row in rows:
        if (row["tokens"], row["lr"]) == (TOKENS[2], 2e-3) and row["batch_tokens"] in (16000.0, 64000.0, 256000.0):
            row["noise_tokens"] = 5e4
    found = fit_critical_sweep(rows).noise
    assert {row["N"] for row in found} == {1e8, 2e8}
    for row in found:
        assert row["critical batch"] == pytest.approx(e_min(row["loss"]) / s_min(row["loss"]), rel=0.05)
    far = sweep()
    next(one for one in far if (one["tokens"], one["batch_tokens"]) == (TOKENS[0], BATCHES[-1]))["noise_tokens"] = 5e4
    assert fit_critical_sweep(far).noise == ()  # hardly another batch had such a loss


@pytest.mark.parametrize("factor", [2.0, 4.0])
def test_tokens_far_apart_do_not_bias_the_critical_batch(factor: float) -> None:
    found = fit_critical_sweep(sweep(tokens=[1e7 * factor**i for i in range(3)])).found
    for one in found:
        assert one.fit.critical_batch == pytest.approx(e_min(one.target) / s_min(one.target), rel=0.05)


def test_nothing_is_interpolated_across_a_wide_gap() -> None:
    """Where large batches lack the numbers of tokens between, they are no points, and do not bend the rest."""
    rows = [row for row in sweep() if row["batch_tokens"] < 1e5 or row["tokens"] in (TOKENS[0], TOKENS[-1])]
    found = fit_critical_sweep(rows).found
    assert found
    for one in found:
        assert max(row["batch"] for row in one.fit.residuals) < 1e5
        assert one.fit.critical_batch == pytest.approx(e_min(one.target) / s_min(one.target), rel=0.03)
    wide = fit_critical_sweep(rows, gap=20.0, targets=(found[0].target,)).found[0]
    assert max(row["batch"] for row in wide.fit.residuals) > 1e5


def test_how_many_more_tokens_are_below_the_best_batch_is_a_setting() -> None:
    rows = sweep(worse=0.02)
    target = loss_after(3e7, 4000)
    strict, loose = (fit_critical_sweep(rows, targets=(target,), more_tokens=one).found[0] for one in (1.02, 1.5))
    assert strict.below == (1000.0, 2000.0)
    assert loose.below == ()


def test_equal_losses_are_no_curve() -> None:
    rows = sweep()
    for row in rows:
        if row["batch_tokens"] == 2000 and row["tokens"] == TOKENS[3]:
            row["loss"] = next(
                one["loss"] for one in rows
                if (one["batch_tokens"], one["tokens"], one["lr"]) == (2000, TOKENS[2], row["lr"])
            )  # fmt: skip
    assert [one.id for one in loss_curves(find_cells(rows))[1]] == ["N=1e+08 B=2000"]


def test_the_level_is_that_of_the_intervals() -> None:
    narrow, wide = (fit_critical_sweep(sweep(), level=level).found[0].fit.intervals for level in (0.5, 0.99))
    assert wide["s_min"][1] > narrow["s_min"][1]


def test_config() -> None:
    with pytest.raises(ConfigError, match="targets"):
        CriticalFitConfig(targets=(-1.0,))
    with pytest.raises(ConfigError, match="count"):
        CriticalFitConfig(count=0)
    with pytest.raises(ConfigError, match="different losses"):
        CriticalFitConfig(targets=(1.9, 1.9))


def test_the_picture_has_every_point() -> None:
    found = fit_critical_sweep(sweep())
    left, right = draw_critical_sweep(found).axes
    assert sum(len(line.get_xdata()) for line in left.lines if line.get_linestyle() == "None") == len(found.points())
    drawn = right.get_legend_handles_labels()[1]
    assert drawn == ["N 1e+08", "bergsma2025.critical", "zhang2024.data / 0.2"]
    zhang = next(line for line in right.lines if str(line.get_label()).startswith("zhang"))
    law = laws.get("zhang2024.data")
    assert zhang.get_ydata()[0] == pytest.approx(5 * law.critical_batch(D=zhang.get_xdata()[0]))
    tiny = fit_critical_sweep([row | {"n_params": 1e5} for row in sweep()])
    assert draw_critical_sweep(tiny).axes[1].get_legend_handles_labels()[1] == ["N 1e+05"]


def test_the_command_takes_a_sweep(tmp_path: Path) -> None:
    table = tmp_path / "sweep.csv"
    rows = sweep()
    table.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]) + "\n")
    fit = ["fit", str(table), "--law", "critical", "--set", "count=1", "--out", str(tmp_path / "fit")]
    results = tmp_path / "results.json"
    done = CliRunner().invoke(app, [*fit, "--results", str(results)])
    assert done.exit_code == 0, done.output
    shared = json.loads(results.read_text())
    (row,) = shared["critical"]
    assert row["batches"] == len(BATCHES)
    assert "points" not in shared
    assert f"{row['critical batch']:,.4g}" in done.output
    assert "Hyperbolas" in (tmp_path / "fit" / "report.html").read_text()
    assert "1 of 1 critical batches are known to a factor of 10; a law of them needs 3" in done.output
    assert "a law of them needs 3" in (tmp_path / "fit" / "report.html").read_text()
    law = CliRunner().invoke(app, ["fit", str(table), "--law", "critical", "--out", str(tmp_path / "law")])
    assert "B_crit = " in law.output
    assert load_card(tmp_path / "law" / "law-critical.json").runs == 3


def test_the_command_takes_steps_with_several_seeds_and_refuses_trainings_of_one_length(tmp_path: Path) -> None:
    steps = tmp_path / "steps.csv"
    rows = [f"1e6,{b},{round((200 + 12_800 / b) * off)},2" for b in (8, 16, 32, 64, 128, 256) for off in (0.99, 1.01)]
    steps.write_text("\n".join(["n_params,batch_tokens,steps,loss", *rows]))
    done = CliRunner().invoke(app, ["fit", str(steps), "--law", "critical", "--out", str(tmp_path / "a")])
    assert "Critical batch 6" in done.output
    equal = tmp_path / "equal.csv"
    equal.write_text("n_params,batch_tokens,steps,loss\n" + "\n".join(f"1e6,{b},{4096 // b},2" for b in (8, 16, 32)))
    with pytest.raises(DataError, match="All runs have the same tokens, 4096"):
        raise_of(["fit", str(equal), "--law", "critical", "--out", str(tmp_path / "b")])
    bound = tmp_path / "bound.csv"
    rows = [f"1e6,{b},{round(1e6 / b**1.02)},2" for b in (8, 16, 32, 64)]
    bound.write_text("\n".join(["n_params,batch_tokens,steps,loss", *rows]))
    done = CliRunner().invoke(app, ["fit", str(bound), "--law", "critical", "--out", str(tmp_path / "c")])
    assert "The critical batch is above the batches tried, 64 at most." in done.output
    with pytest.raises(ConfigError, match="--seed is given"):
        raise_of(["fit", str(steps), "--law", "critical", "--seed", "3", "--out", str(tmp_path / "d")])


def raise_of(words: list[str]) -> None:
    """Run a command, and raise what it raised."""
    error = CliRunner().invoke(app, words).exception
    assert error is not None
    raise error


def test_lines_explain_remarks_and_sum_up_noise_scales(tmp_path: Path) -> None:
    rows = sweep(batches=BATCHES[:4])
    for row in rows:
        if (row["tokens"], row["batch_tokens"], row["lr"]) == (TOKENS[2], 4000.0, 2e-3):
            row["noise_tokens"] = 1e5
    with Run.open(tmp_path / "run", config={}) as run:
        found = fit_critical_sweep(rows, count=1, targets=(loss_after(TOKENS[2], 4000.0),))
        text = show_critical_sweep(run, found, None, "no law")
    (row,) = found.rows()
    assert row["remark"] == "extrapolated"
    assert "Extrapolated: the critical batch is outside the batches tried." in text
    assert "no law" in text


@needs_steplaw
def test_steplaw_agrees_with_power_lines() -> None:
    """Runs that Power Lines never saw: its law of the critical batch is within a factor 2 of all of them."""
    found = fit_critical_sweep(str(STEPLAW))
    assert {one.N for one in found.found} == {214663680.0, 268304384.0, 429260800.0, 536872960.0, 1073741824.0}
    law = laws.get("bergsma2025.critical")
    for one in found.found:
        ratio = one.fit.critical_batch / law.critical_batch(D=one.fit.e_min)
        assert 1 / 2 < ratio < 2
