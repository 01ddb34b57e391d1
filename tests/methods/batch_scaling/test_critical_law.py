"""The power law of critical batches: recovered where it is known, refused where it is not, used by a plan."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from tenon.core.errors import DataError
from tenon.methods.batch_scaling import fit_critical_law, plan
from tenon.methods.batch_scaling.config import CriticalFitConfig
from tenon.methods.batch_scaling.fits.critical_fit import CriticalFit
from tenon.methods.batch_scaling.fits.critical_law import critical_law
from tenon.methods.batch_scaling.fits.law_card import load_card, save_card
from tenon.methods.batch_scaling.fits.steps_to_loss import CriticalAt, CriticalSweep
from tenon.methods.batch_scaling.runs.table import Dropped, RunTable
from tests.methods.batch_scaling.sweep_table import STEPLAW, needs_steplaw
from tests.methods.batch_scaling.test_steps_to_loss import sweep

TABLE = RunTable.of(sweep(tokens=[1e7], batches=[1000.0]))


def known(
    *, sizes: int = 5, noise: float = 0.0, seed: int = 0, wide: float = 1.2, k: float = 3.0, x: float = 0.5
) -> CriticalSweep:
    """Critical batches k E_min^x of several sizes at three losses each; noise is shared by the losses of a size."""
    rng = numpy.random.default_rng(seed)
    found = []
    for size in range(sizes):
        shared = noise * float(rng.standard_normal())
        for place in range(3):
            tokens = 1e9 * 2.0 ** (size + place)
            batch = k * tokens**x * math.exp(shared)
            fit = CriticalFit(
                s_min=tokens / batch, e_min=tokens, critical_batch=batch,
                intervals={"critical_batch": (batch / wide, batch * wide)},
                residuals=({"batch": batch, "steps": 2 * tokens / batch, "fitted": 0.0, "residual": 0.0},) * 5,
            )  # fmt: skip
            found.append(CriticalAt(N=1e8 * 2.0**size, target=3.0 - 0.1 * place, fit=fit))
    return CriticalSweep(found=tuple(found), left_out=(), runs=TABLE)


def test_a_known_law_is_recovered() -> None:
    law = critical_law(known(), CriticalFitConfig())
    assert law.params["x"] == pytest.approx(0.5, rel=1e-9)
    assert law.params["k"] == pytest.approx(3.0, rel=1e-7)
    assert law.identified
    assert law.law.critical_batch(D=1e10) == pytest.approx(3e5, rel=1e-9)
    assert law.law.equation == "B_crit = 3 D^0.5"


def test_intervals_go_by_sizes() -> None:
    """Losses of one size share its noise: over 200 draws the 95 % interval of x holds it in 88 to 99 %."""
    held = 0
    for seed in range(200):
        low, high = critical_law(known(sizes=6, noise=0.1, seed=seed), CriticalFitConfig()).intervals["x"]
        held += low <= 0.5 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_a_single_size_has_no_interval() -> None:
    law = critical_law(known(sizes=1), CriticalFitConfig())
    assert law.intervals == {}
    assert not law.identified
    assert "not identified: the critical batch" in law.warnings[0]


def test_unclear_batches_are_left_out() -> None:
    good = known()
    blurred = tuple(
        replace(one, fit=replace(one.fit, critical_batch=1.0, intervals={"critical_batch": (0.1, 10.0)}))
        for one in good.found[:3]
    )
    law = critical_law(replace(good, found=(*blurred, *good.found[3:])), CriticalFitConfig())
    assert law.params["x"] == pytest.approx(0.5, rel=1e-9)
    assert law.runs == 12
    assert "not known to a factor of 10 (0.1 to 10)" in law.dropped[0].reason
    with pytest.raises(DataError, match="0 of 15 critical batches are known to a factor of 10"):
        critical_law(known(wide=4.0), CriticalFitConfig())


def test_tokens_must_differ() -> None:
    (first, *_), *_ = (known().found,)
    same = tuple(replace(first, target=first.target - 0.1 * i) for i in range(4))
    with pytest.raises(DataError, match=r"4 of 4 critical batches are known .* needs 3, at different tokens"):
        critical_law(replace(known(), found=same), CriticalFitConfig())


def test_what_the_sweep_leaves_out_is_in_the_card() -> None:
    gone = Dropped("N=1e+08 B=64", "why")
    assert gone in critical_law(replace(known(), left_out=(gone,)), CriticalFitConfig()).dropped


def test_the_level_is_that_of_the_intervals() -> None:
    narrow, wide = (
        critical_law(known(noise=0.1), CriticalFitConfig(level=level)).intervals["x"] for level in (0.5, 0.99)
    )
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])


def test_growth_with_the_model_is_told_apart() -> None:
    """Levels of sizes rise as N^0.4: x of all holds some of that, and the slope within sizes does not."""
    found = []
    for one in known(x=0.3).found:
        batch = one.fit.critical_batch * (one.N / 1e8) ** 0.4
        ends = {"critical_batch": (batch / 1.2, batch * 1.2)}
        found.append(replace(one, fit=replace(one.fit, critical_batch=batch, intervals=ends)))
    law = critical_law(replace(known(), found=tuple(found)), CriticalFitConfig())
    assert law.params["x"] > 0.4
    told = law.estimator["sensitivity"]
    assert told["within sizes"]["x"] == pytest.approx(0.3, abs=1e-6)
    assert (told["with N"]["x"], told["with N"]["y"]) == pytest.approx((0.3, 0.4), abs=1e-6)
    assert any("x holds some of the growth with N; within sizes it is 0.30" in one for one in law.warnings)


def test_extrapolated_batches_are_counted() -> None:
    good = known()
    far = replace(good.found[0], fit=replace(good.found[0].fit, remarks=("extrapolated",)))
    law = critical_law(replace(good, found=(far, *good.found[1:])), CriticalFitConfig())
    assert any("1 of 15 critical batches are outside the batches tried; without them x is 0.50" in one
               for one in law.warnings)  # fmt: skip


def test_a_bound_is_no_critical_batch() -> None:
    good = known()
    bound = replace(good.found[0], fit=replace(good.found[0].fit, remarks=("S_min not identified",)))
    law = critical_law(replace(good, found=(bound, *good.found[1:])), CriticalFitConfig())
    assert law.runs == 14
    assert law.dropped[0].reason == "S_min not identified"
    assert bound.row()["critical batch"] is None


def test_a_flat_law_is_called_so() -> None:
    rows = known(sizes=3, noise=1.0, x=0.0, wide=1.2)
    law = critical_law(rows, CriticalFitConfig())
    assert any("that the critical batch grows with D is not shown" in one for one in law.warnings)


def test_a_plan_takes_the_card(tmp_path: Path) -> None:
    law = critical_law(known(k=4e4, x=0.2), CriticalFitConfig())
    card: Any = load_card(save_card(law, tmp_path / "law-critical.json"))
    found = plan(params="1.3B", tokens="20B", fitted=[card])
    least = 20e9 / (1 + found.batch_tokens / found.critical_batch)  # E_min, which the law was fitted to
    assert found.critical_batch == pytest.approx(4e4 * least**0.2, rel=1e-6)  # one's own comes first
    assert plan(params="1.3B", tokens="20B").critical_batch != pytest.approx(found.critical_batch, rel=0.01)


def test_sweep_to_law() -> None:
    """From runs of one size: the batches are found, and the law says that it has no interval."""
    law = fit_critical_law(sweep())
    assert [row["N"] for row in law.residuals] == [1e8] * 3
    assert not law.identified


@needs_steplaw
def test_steplaw_s_exponent_agrees_with_published_ones() -> None:
    """.47 of Zhang et al. and .462 of Power Lines are inside its interval, and 0 is not."""
    law = fit_critical_law(str(STEPLAW))
    low, high = law.intervals["x"]
    assert 0 < low < 0.462 < 0.47 < high < 1
    assert law.params["x"] == pytest.approx(0.571, abs=0.002)
    told = law.estimator["sensitivity"]
    assert {"within sizes", "with N", "none extrapolated", "gap 3", "gap 12", "more_tokens 1.02"} <= set(told)
    assert 0.35 < told["within sizes"]["x"] < 0.45
