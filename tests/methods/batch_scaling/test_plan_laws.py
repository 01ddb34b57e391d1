"""How a plan uses laws near the ends of what they know: ranges, names, the best batch, and the reasons it tells."""

from __future__ import annotations

from typing import Any

import pytest

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.fits.law_card import FittedLaw
from tenon.methods.batch_scaling.laws.law import Domain, Law, PowerLaw
from tenon.methods.batch_scaling.laws.loss import ParametricLoss, ThreeTermLoss
from tenon.methods.batch_scaling.plans.law_rows import LawRow, choose_rate
from tenon.methods.batch_scaling.plans.planner import Plan, loss_law_of, plan
from tenon.methods.batch_scaling.plans.text import facts_of

FACTS: dict[str, Any] = {"title": "", "equation": "", "source": "test", "tag": "fitted"}
AT: dict[str, Any] = {"params": "1B", "tokens": "20B", "seq_len": 1000, "per_device": 1}


def own(name: str = "mine", *, domain: Domain | None = None, caveat: str = "", **formulas: PowerLaw) -> FittedLaw:
    """Give a law card of one's own."""
    law = Law(name=name, formulas=formulas, domain=domain or Domain(), caveat=caveat, **FACTS)  # type: ignore[arg-type]
    return FittedLaw(law=law, params={})


def power(coefficient: float, **exponents: float) -> PowerLaw:
    return PowerLaw(coefficient=coefficient, exponents=exponents)


def rows_of(found: Plan, quantity: str) -> dict[str, LawRow]:
    return {row.law: row for row in found.rows if row.quantity == quantity}


# --- the learning rate -----------------------------------------------------------------------------------------------


def test_a_learning_rate_of_the_batch_stops_at_the_best_batch() -> None:
    """Specification 2.8: a planner that keeps scaling the learning rate past the best batch is wrong."""
    cards = [own("batch", batch=power(2e5, D=0.0)), own("rate", learning_rate=power(1e-8, B=1.0))]
    best = plan(**AT, fitted=cards)
    assert best.learning_rate == pytest.approx(2e-3)
    assert "best batch" not in best.learning_rate_how
    beyond = plan(**AT, fitted=cards, max_steps=25_000)
    assert beyond.batch_tokens == 8e5
    assert beyond.learning_rate == best.learning_rate
    assert "asked at the best batch, 200k" in beyond.learning_rate_how
    below = plan(**AT, fitted=cards, max_batch=1e5)
    assert below.learning_rate == pytest.approx(1e-3)  # below it the law is followed


def test_a_learning_rate_is_scaled_from_its_own_laws_batch() -> None:
    found = plan(**AT, max_batch=2e5)
    step = rows_of(found, "learning_rate")["steplaw2025"]
    partner = rows_of(found, "batch")["steplaw2025"].value
    assert step.used
    assert partner is not None
    assert step.value is not None
    assert abs(found.batch_wanted / partner - 1) > 0.02  # the plan's batch is a median of several laws, and not that
    assert found.learning_rate == pytest.approx(step.value * (found.batch_tokens / partner) ** 0.75)


def test_your_own_learning_rate_out_of_reach_is_refused_unless_forced() -> None:
    card = own(learning_rate=power(1.0, N=-0.3), domain=Domain(N=(1e5, 1e6)))
    with pytest.raises(ConfigError, match=r"No law of the learning rate.*mine is 3\.0 decades.*compute=") as told:
        plan(**AT, fitted=[card])
    near = str(told.value).split("--flops ")[1].split(")")[0]
    feasible = plan(compute=near, fitted=[card])
    assert feasible.learning_rate_how.startswith("mine, yours")
    forced = plan(**AT, fitted=[card], force=True)
    assert forced.learning_rate == pytest.approx(1e9**-0.3)
    assert any("learning rate of mine is extrapolated by 3.0 decades" in one for one in forced.warnings)


def test_of_equally_near_laws_with_equal_inputs_the_latest_gives_the_learning_rate() -> None:
    rates = [
        LawRow(law=name, quantity="learning_rate", value=value, extrapolation=0.0, inputs=("N",))
        for name, value in (("early", 1e-3), ("late", 2e-3))
    ]
    chosen = choose_rate(rates, are_named=False, force=False)
    assert chosen is not None
    assert chosen.names == ("late",)


def test_laws_out_of_reach_take_no_part_in_the_spread_of_learning_rates() -> None:
    far = Law(name="far", formulas={"learning_rate": power(50.0, N=0.0)}, domain=Domain(N=(1e5, 1e6)), **FACTS)
    near = own("near", learning_rate=power(1e-3, N=0.0), domain=Domain(N=(1e8, 1e10)))
    found = plan(**AT, laws="steplaw2025", fitted=[near, FittedLaw(law=far, params={})])
    reached = [1e-3, rows_of(found, "learning_rate")["steplaw2025"].value]
    assert rows_of(found, "learning_rate")["far"].value == 50.0  # told, and no more
    assert (found.learning_rate_low, found.learning_rate_high) == (min(reached), max(reached))  # type: ignore[type-var]
    assert not any("learning rate of" in one for one in found.warnings)


# --- the loss --------------------------------------------------------------------------------------------------------


def test_the_loss_of_a_three_term_law_is_of_the_batch_that_is_planned() -> None:
    law = ThreeTermLoss(
        name="surface", E=0.4737, A=173.3, alpha=0.2937, F=4.060, beta=0.1999, G=3.443, gamma=0.1048, **FACTS
    )
    card = FittedLaw(law=law, params={})
    found = plan(params="1B", tokens="20B", fitted=[card], max_steps=600)
    assert found.batch_tokens > 10 * found.batch_wanted
    assert found.loss == pytest.approx(law.loss(1e9, 20e9, found.batch_tokens), rel=1e-12)
    assert found.loss > law.loss(1e9, 20e9) + 0.01


def test_the_text_tells_the_loss_laws_own_ratio() -> None:
    law = ParametricLoss(name="mine", E=1.0, A=100.0, B=100.0, alpha=0.3, beta=0.3, **FACTS)
    found = plan(params="10B", tokens="20B", fitted=[FittedLaw(law=law, params={})])
    assert found.optimal_ratio == pytest.approx(1)  # equal terms: N = D
    assert "D/N = 2 (mine holds 1 to be optimal)" in found.to_text()
    rounded = plan(params="1B", tokens="20B", loss_law="hoffmann2022")  # refuses to allocate
    assert rounded.optimal_ratio is None
    assert "D/N = 20\n" in rounded.to_text()


# --- ranges that are not known ---------------------------------------------------------------------------------------


def test_a_law_whose_range_of_data_is_not_known_is_used_with_a_remark_and_never_far_out() -> None:
    usual = rows_of(plan(params="1B", tokens="20B"), "batch")["bergsma2025"]
    assert usual.used
    assert usual.unknown == ("D",)
    assert usual.why == "range of D not known"
    assert rows_of(plan(params="1B", tokens="20B"), "batch")["steplaw2025"].unknown == ()
    far = plan(params="1B", tokens="10T")  # D/N = 10,000
    for row in (rows_of(far, "batch")["bergsma2025"], rows_of(far, "critical_batch")["zhang2024.data"]):
        assert row.is_ruled_out
        assert not row.used
        assert "range of D not known; and D/N = 1e+04 is over two decades from 20" in row.why
    assert far.critical_batch is None  # no law of it knows so many tokens
    with pytest.raises(ConfigError, match=r"No law of the batch.*steplaw2025 is 5\.0 decades"):
        plan(params="1B", tokens="10000T")


def test_the_table_shows_no_distance_where_a_range_is_not_known() -> None:
    lines = plan(params="1B", tokens="20B").to_text().splitlines()
    (told,) = [line for line in lines if line.startswith("best batch") and " bergsma2025 " in line]
    assert told.split()[4] == "?"


# --- names -----------------------------------------------------------------------------------------------------------


def test_cards_of_one_name_are_not_mixed_up() -> None:
    reach = Domain(N=(1e8, 1e10), D=(1e9, 1e12))
    loss = ParametricLoss(
        name="fitted", E=1.8, A=400.0, B=2000.0, alpha=0.34, beta=0.36, domain=reach, caveat="Of the loss", **FACTS
    )
    batch = own("fitted", batch=power(4e5, D=0.0), domain=reach, caveat="Of the batch")
    other = own("fitted", batch=power(9e5, D=0.0), domain=reach, caveat="Of another batch")
    rate = own("fitted", learning_rate=power(2e-3, D=0.0), domain=reach, caveat="Of the rate")
    found = plan(**AT, fitted=[FittedLaw(law=loss, params={}), batch, other, rate])
    assert found.learning_rate_caveat == "Of the rate"
    assert found.learning_rate == 2e-3
    assert (found.batch_low, found.batch_high) == (4e5, 4e5)
    assert [(row.caveat, row.value) for row in found.rows if row.used] == [("Of the batch", 4e5), ("Of the rate", 2e-3)]
    assert loss_law_of("fitted", [FittedLaw(law=loss, params={}), batch]) is loss
    far = own("fitted", batch=power(9e6, D=0.0), domain=Domain(D=(1e5, 1e6)))
    found = plan(**AT, fitted=[far, batch, rate], max_batch=2e5)  # scaled from the batch in use, not from the far one
    assert found.learning_rate == pytest.approx(2e-3 * 0.5**0.75)
    named = own("steplaw2025", learning_rate=power(2e-3, D=0.0), caveat="Of mine")
    found = plan(**AT, fitted=[named])
    assert [row.is_fitted for row in found.rows if row.used and row.quantity == "learning_rate"] == [True]


# --- critical batches ------------------------------------------------------------------------------------------------


def test_laws_of_one_paper_count_once_among_critical_batches() -> None:
    both = plan(params="500M", tokens="10B")
    rows = rows_of(both, "critical_batch")
    zhang, bergsma = rows["zhang2024.data"].value, rows["bergsma2025.critical"].value
    assert rows["zhang2024.optimal"].value == pytest.approx(zhang, rel=0.01)  # the same at D = 20 N
    assert zhang is not None
    assert bergsma is not None
    assert both.critical_batch == pytest.approx((zhang / 0.2 * bergsma) ** 0.5)  # zhang2024 says where it is 20 %


def test_a_critical_batch_over_a_decade_out_takes_no_part() -> None:
    for decades, counts in ((0.9, True), (1.1, False)):
        # So large that E_min, which the law is asked at, is about D.
        card = own(critical_batch=power(1e8, D=0.0), domain=Domain(D=(1e6, 20e9 / 10**decades)))
        found = plan(**AT, laws="steplaw2025", fitted=[card])
        assert (found.critical_batch is not None) == counts
        assert (found.overhead is not None) == counts


def test_the_summary_names_the_laws_of_the_critical_batch() -> None:
    """Those of others stand in for one's own where that is over a decade out, and it is said."""
    told = {}
    for decades in (0.5, 1.5):
        card = own(critical_batch=power(1e7, D=0.0), domain=Domain(D=(1e6, 20e9 / 10**decades)))
        told[decades] = facts_of(plan(**AT, laws=["steplaw2025", "zhang2024.data"], fitted=[card]))
    assert told[0.5]["critical batch"] == "10M at twice the tokens (mine, yours)"
    assert told[0.5]["   "] == "this batch takes 4% more than a tiny one"  # of one law there is but one number
    assert told[1.5]["critical batch"].endswith("(zhang2024.data; your own mine is 1.5 decades outside its range)")
    both = plan(**AT)
    assert both.overhead is not None
    low, high = (f"{factor - 1:.0%}" for factor in both.overhead)
    assert low != high
    assert facts_of(both)["   "] == f"this batch takes {low} to {high} more than a tiny one"


# --- what is told ----------------------------------------------------------------------------------------------------


def test_the_reason_for_which_a_law_is_not_used_is_the_true_one() -> None:
    found = rows_of(plan(params="500M", tokens="10B"), "learning_rate")
    assert found["steplaw2025"].used
    assert found["porian2024"].extrapolation == found["steplaw2025"].extrapolation == 0
    assert found["porian2024"].why == "steplaw2025 is as near and has more inputs"
    assert found["deepseek2024"].why.endswith("others are nearer to their range")
    mine = plan(**AT, fitted=[own(batch=power(4e5, D=0.0), learning_rate=power(2e-3, D=0.0))])
    for quantity in ("batch", "learning_rate"):
        assert rows_of(mine, quantity)["steplaw2025"].why == "your own law comes first"


def test_a_limit_that_decides_the_batch_is_not_called_rounding() -> None:
    card = own(batch=power(2e5, D=0.0))
    raised = plan(**AT, fitted=[card], max_steps=25_000)
    assert raised.batch_limit == "max_steps"
    assert "your own law: mine; max_steps makes it 4 times that" in raised.to_text()
    lowered = plan(**AT, fitted=[card], max_batch=1e5)
    assert "max_batch makes it 0.5 times that" in lowered.to_text()
    free = plan(**AT, fitted=[card], max_steps=1e6, max_batch=1e6)
    assert free.batch_limit == ""
    assert "rounded by +0.0%" in free.to_text()


def test_hours_follow_the_share_of_the_peak_that_is_reached() -> None:
    found = plan(**AT, gpus=8, mfu=0.3)
    assert found.gpu_hours == pytest.approx(found.compute / (989e12 * 0.3 * 3600))
    assert found.days == pytest.approx(found.gpu_hours / 8 / 24)


def test_an_own_learning_rate_far_from_its_runs_and_above_all_others_is_doubted() -> None:
    """A rate fitted at one small size, taken to a large one, where steplaw2025 and porian2024 are at home."""
    for rate, is_doubted in ((1e-2, True), (1e-4, False)):
        card = own("small", domain=Domain(N=(1e8, 1e8)), learning_rate=power(rate, D=0.0))
        found = plan(params="800M", tokens="16B", fitted=[card])
        assert found.learning_rate == pytest.approx(rate)
        assert any("too high a rate diverges" in one for one in found.warnings) is is_doubted
    inside = own("same", domain=Domain(N=(1e8, 1e9)), learning_rate=power(1e-2, D=0.0))
    assert not any("too high" in one for one in plan(params="800M", tokens="16B", fitted=[inside]).warnings)
