"""Published values come out to their digits, optima are optima, and no law answers for another."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling import laws
from tenon.methods.batch_scaling.laws import (
    DataLimitedLoss,
    Domain,
    KaplanLoss,
    Law,
    LossLaw,
    ParametricLoss,
    PowerLaw,
    ThreeTermLoss,
)
from tenon.methods.batch_scaling.laws.loss import UnfittedLoss
from tenon.methods.batch_scaling.laws.published import LAWS
from tenon.methods.batch_scaling.laws.weight_decay import timescale, weight_decay
from tenon.methods.batch_scaling.reference import allocation_by_search, least_by_search

TOLD: dict[str, Any] = {"name": "mine", "title": "t", "equation": "e", "source": "s", "tag": "fitted"}
STEPLAW_THREE_TERM = ThreeTermLoss(**TOLD, E=0.4737, A=173.3, alpha=0.2937, F=4.060, beta=0.1999, G=3.443, gamma=0.1048)
"""Section 2.8 of the specification: our form on StepLaw's table."""


def random_laws() -> list[LossLaw]:
    rng = numpy.random.default_rng(7)
    found: list[LossLaw] = []
    for place in range(20):
        alpha, beta = rng.uniform(0.15, 0.7, 2)
        constants = {"E": rng.uniform(0.5, 2.5), "A": math.exp(rng.uniform(3, 8)), "B": math.exp(rng.uniform(3, 9))}
        found.append(ParametricLoss(**{**TOLD, "name": f"random{place}"}, **constants, alpha=alpha, beta=beta))
    return found


OPTIMAL = [
    *random_laws(),
    *(law for law in LAWS if isinstance(law, ParametricLoss | KaplanLoss)),
    STEPLAW_THREE_TERM,
    DataLimitedLoss(**TOLD, E=1.8, A=482.0, B=2085.0, alpha=0.35, beta=0.37, R=15.0),
]


@pytest.mark.parametrize("law", OPTIMAL, ids=lambda law: law.name)
@pytest.mark.parametrize("compute", [1e18, 1e21, 5.88e23])
def test_optimum_7_1(law: LossLaw, compute: float) -> None:
    best = law.optimal(compute, force=True)
    assert pytest.approx(compute, rel=1e-12) == 6 * best.N * best.D
    assert best.loss == law.loss(best.N, best.D)

    # no feasible point is better, in a wide range and in a narrow one
    rng = numpy.random.default_rng(1)
    for reach in (math.log(1e4), 0.05):
        N = best.N * numpy.exp(rng.uniform(-reach, reach, 200))
        assert (law.loss(N, compute / 6 / N) >= best.loss - 1e-15 * best.loss).all()
    assert best.loss < law.loss(1.1 * best.N, best.D / 1.1)
    assert best.loss < law.loss(best.N / 1.1, best.D * 1.1)

    # the exponent of N, by a finite difference over decades, on which a power law has no curvature
    slope = math.log(law.optimal(compute * 100, force=True).N / law.optimal(compute / 100, force=True).N)
    terms = law.terms()
    assert slope / math.log(1e4) == pytest.approx(terms.beta / (terms.alpha + terms.beta), rel=1e-9)
    assert law.exponent() == pytest.approx(slope / math.log(1e4), rel=1e-9)


@pytest.mark.parametrize("law", random_laws(), ids=lambda law: law.name)
def test_the_terms_are_in_balance_7_1(law: ParametricLoss) -> None:
    best = law.optimal(3e20)
    of_n, of_d = law.alpha * law.A * best.N**-law.alpha, law.beta * law.B * best.D**-law.beta
    assert of_n == pytest.approx(of_d, rel=1e-10)


@pytest.mark.parametrize("law", OPTIMAL[18:], ids=lambda law: law.name)
def test_the_optimum_is_that_of_a_search(law: LossLaw) -> None:
    best = law.optimal(1e21, flops_per_token_per_param=7.0, force=True)
    N, D = allocation_by_search(law.loss, 1e21, flops_per_token_per_param=7.0)
    # near its minimum a loss in float64 is flat over ~1e-7 of ln N
    assert pytest.approx((N, D), rel=1e-5) == (best.N, best.D)


def test_exponents_of_shuai_add_up_7_3() -> None:
    one = {"C": 1.0, "N": 1.0, "D": 1.0, "B": 1.0, "S": 1.0}
    frontier = laws.get("shuai2024.frontier").scale(one, C=math.e)
    fixed = laws.get("shuai2024.fixed_compute").scale(one, C=math.e)
    logs = {name: math.log(value) for name, value in {**frontier, **fixed}.items()}
    assert logs == pytest.approx({"C": 1.0, "N": 0.464, "D": 0.536, "S": 0.434, "B": 0.102}, abs=1e-12)
    assert logs["N"] + logs["D"] == pytest.approx(1.0, abs=1e-12)
    assert logs["S"] + logs["B"] == pytest.approx(logs["D"], abs=1e-12)
    assert logs["B"] / logs["D"] == pytest.approx(0.190, abs=5e-4)  # and not the 0.264 of fixed_data


@pytest.mark.parametrize("name", ["shuai2024.frontier", "shuai2024.fixed_compute", "deepseek2024", "bjorck2024"])
def test_scaling_composes_7_3(name: str) -> None:
    law = laws.get(name)
    start = {"C": 1e20, "N": 1.1e9, "D": 2.3e10, "B": 7.7e5, "S": 3e4, "lr": 3e-4}
    places = [{"C": 1e20}, {"C": 3.3e21}, {"C": 7e23}]
    if name == "bjorck2024":
        places = [{"N": 1.1e9, "D": 2.3e10}, {"N": 3e9, "D": 5e10}, {"N": 2e10, "D": 8e11}]
    assert {**start, **law.scale(start, **places[0])} == start  # identity, to the bit
    between = law.scale(start, **places[1])
    assert len(between) > len(places[1])
    direct, through = law.scale(start, **places[2]), law.scale(between, **places[2])
    assert through == pytest.approx(direct, rel=1e-12)
    assert set(through) == set(direct)


def test_ratios_do_not_need_the_coefficient_but_agree_with_it() -> None:
    law = laws.get("zhang2024.data")  # a law with a unit, a factor and a coefficient
    scaled = law.scale({"D": 1e9, "B": law.critical_batch(1e9)}, D=1e11)
    assert scaled["B"] == pytest.approx(law.critical_batch(1e11), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "quantity", "inputs"),
    [
        ("shuai2024.frontier", "params", {"C": 1e21}),
        ("shuai2024.frontier", "tokens", {"C": 1e21}),
        ("shuai2024.fixed_compute", "batch", {"C": 1e21}),
        ("shuai2024.fixed_compute", "steps", {"C": 1e21}),
        ("shuai2024.learning_rate", "learning_rate", {"B": 1e6}),
        ("hoffmann2022.approach1", "params", {"C": 1e21}),
        ("hoffmann2022.approach2", "tokens", {"C": 1e21}),
        ("nanogpt_kaplan.frontier", "critical_batch", {"C": 1e21}),
        ("bjorck2024", "learning_rate", {"N": 1e9, "D": 1e10}),
    ],
)
def test_unknown_coefficients_are_refused_9(name: str, quantity: Any, inputs: dict[str, float]) -> None:
    law = laws.get(name)
    assert quantity in law.gives()
    assert not law.is_known(quantity)
    with pytest.raises(ConfigError, match=r"coefficient of .*\?.* is not known") as refused:
        law.predict(quantity, **inputs)
    assert f"laws.get({name!r}).scale(" in str(refused.value)
    for at in inputs:  # the advice names the law's own inputs
        assert f"{at}=..." in str(refused.value)


def test_no_constant_of_shuai_was_invented() -> None:
    """Section 10, 4: only the law of fixed data has a coefficient."""
    ours = [law for law in LAWS if law.name.startswith("shuai2024")]
    known = {(law.name, quantity) for law in ours for quantity in law.gives() if law.is_known(quantity)}
    assert known == {("shuai2024.fixed_data", "batch")}
    assert not any(isinstance(law, LossLaw) for law in ours)


def test_the_loss_of_gadre_is_refused_and_says_what_is_missing_9() -> None:
    law = laws.get("gadre2024")
    assert isinstance(law, UnfittedLoss)
    assert not law.is_known("loss")
    assert law.gives() == ("loss", "params", "tokens")
    for call in (
        *(lambda: law.loss(1e9, 1e10), lambda: law.optimal(1e21), lambda: law.predict("loss", N=1e9, D=1e10)),
        *(lambda: law.params(1e21), lambda: law.tokens(1e21), lambda: law.exponent()),
    ):
        with pytest.raises(ConfigError, match=r"E, A, B, alpha .* not known.*equal_exponents"):
            call()
    assert law.scale({"C": 1e20, "N": 1e9}, C=1e22)["N"] == pytest.approx(1e10, rel=1e-12)


def test_the_rounded_constants_do_not_allocate() -> None:
    law = laws.get("hoffmann2022")
    assert isinstance(law, LossLaw)
    assert law.loss(7e10, 1.4e12) == pytest.approx(1.9367, abs=1e-3)
    assert law.is_known("loss")
    assert not law.is_known("params")
    for call in (lambda: law.optimal(1e21), lambda: law.params(1e21), lambda: law.tokens(1e21)):
        with pytest.raises(ConfigError, match=r"rounded.*hoffmann2022_unrounded"):
            call()
    assert law.optimal(1e21, force=True).N > 0


def test_a_critical_batch_is_no_best_batch() -> None:
    """Section 10, 7."""
    critical = laws.every("critical_batch")
    assert {law.name for law in critical} == {
        *("kaplan2020.frontier", "kaplan2020.critical", "nanogpt_kaplan.frontier", "nanogpt_kaplan.critical"),
        *("zhang2024.data", "zhang2024.optimal", "zhang2024.fixed3B", "bergsma2025.critical"),
    }
    inputs = {"N": 1e9, "D": 1e10, "C": 1e20, "L": 3.0}
    for law in critical:
        with pytest.raises(ConfigError, match=r"no batch\. It gives the critical batch, .*\.critical_batch\(\)"):
            law.batch(**inputs)
    for law in laws.every("batch"):
        with pytest.raises(ConfigError, match=r"no critical_batch\. It gives the batch, .*\.batch\(\)"):
            law.critical_batch(**inputs)


def test_every_law_tells_where_it_is_from() -> None:
    names = [law.name for law in LAWS]
    assert len(set(names)) == len(names)
    for law in LAWS:
        assert laws.get(law.name) is law
        assert law.source, law.name
        assert law.equation, law.name
        assert law.title, law.name
        assert law.caveat, law.name
        assert law.c_definition, law.name
        assert law.tag in ("paper", "2nd", "code", "lit", "calc"), law.name
        assert law.gives(), law.name
        unknown = [one for one in law.formulas.values() if one.coefficient is None]
        assert bool(unknown) == ("?" in law.equation) or isinstance(law, UnfittedLoss), law.name
        for quantity in law.gives():
            assert law.inputs(quantity), law.name


def test_the_names_that_others_rely_on() -> None:
    for name in (
        *("shuai2024.frontier", "shuai2024.fixed_compute", "shuai2024.fixed_data", "shuai2024.learning_rate"),
        *("bergsma2025", "bergsma2025.critical", "zhang2024.data", "zhang2024.optimal", "zhang2024.fixed3B"),
        *("kaplan2020", "kaplan2020.critical", "kaplan2020.learning_rate", "nanogpt_kaplan.critical"),
        *("hoffmann2022", "hoffmann2022_unrounded", "hoffmann2022.approach1", "hoffmann2022.approach2"),
        *("besiroglu2024", "deepseek2024", "minicpm2024", "steplaw2025", "porian2024", "bjorck2024", "gadre2024"),
    ):
        assert laws.get(name).name == name
    with pytest.raises(ConfigError, match="did you mean 'steplaw2025'"):
        laws.get("steplaw")


def test_distance_from_the_range() -> None:
    law = laws.get("steplaw2025")  # N 60M to 1B, D 2B to 100B
    assert law.predict("batch", D=1e10).extrapolation == 0
    assert law.predict("batch", D=1e12).extrapolation == pytest.approx(1.0, abs=1e-12)
    assert law.predict("learning_rate", N=6e5, D=1e12).extrapolation == pytest.approx(2.0, abs=1e-12)
    assert law.predict("batch", D=1e10, N=1e12).extrapolation == pytest.approx(3.0, abs=1e-12)  # N counts, unused
    assert law.predict("batch", D=numpy.array([1e10, 2e7])).extrapolation == pytest.approx(2.0, abs=1e-12)
    shuai = laws.get("shuai2024.fixed_data")  # D up to 300B: where it begins is not known
    assert shuai.predict("batch", D=1e3).extrapolation == 0
    assert shuai.predict("batch", D=3e12).extrapolation == pytest.approx(1.0, abs=1e-12)
    assert shuai.recommended.distance(D=1e10) == pytest.approx(1.0, abs=1e-12)
    assert shuai.recommended.distance(D=1e14) == 0


def test_distance_counts_what_an_allocation_finds() -> None:
    law = ParametricLoss(**TOLD, E=1.0, A=400.0, B=400.0, alpha=0.3, beta=0.3, domain=Domain(N=(1e8, 1e9)))
    assert pytest.approx(1e10, rel=1e-9) == law.optimal(6e20).N
    for quantity in ("params", "tokens"):
        assert law.predict(quantity, C=6e20).extrapolation == pytest.approx(1.0, abs=1e-9)  # type: ignore[arg-type]
    assert law.predict("loss", N=1e8, D=1.0).extrapolation == 0
    assert law.gives() == ("loss", "params", "tokens")
    assert law.params(6e20) == pytest.approx(1e10, rel=1e-9)


def test_numbers_give_numbers_and_arrays_broadcast() -> None:
    N, D = numpy.array([[1e8], [1e9], [1e10]]), numpy.array([1e9, 1e10])
    for law in OPTIMAL:
        assert type(law.loss(1e9, 10**10)) is float
        table = law.loss(N, D)
        assert table.shape == (3, 2)
        assert table[2, 1] == law.loss(1e10, 1e10)
        best = law.optimal(numpy.array([1e20, 1e21]), force=True)
        assert best.N.shape == best.D.shape == best.loss.shape == (2,)
        assert type(law.optimal(1e20, force=True).N) is float
        assert best.N[1] == law.optimal(1e21, force=True).N
    steplaw = laws.get("steplaw2025")
    assert steplaw.learning_rate(N, D).shape == (3, 2)
    assert steplaw.learning_rate(N, D)[1, 0] == pytest.approx(steplaw.learning_rate(1e9, 1e9), rel=1e-14)
    assert steplaw.batch([1e9, 1e10]).shape == (2,)
    assert type(steplaw.batch(1e10)) is float
    assert type(steplaw.scale({"D": 1e9, "B": 1e5}, D=1e10)["B"]) is float


@pytest.mark.parametrize("wrong", [-1e9, 0, math.nan, math.inf, "1e9", "big", None, True, [1e9, -1.0], [[1.0], [1, 2]]])
def test_bad_inputs_are_refused(wrong: Any) -> None:
    for law in OPTIMAL[-8:]:
        for call in (lambda law=law: law.loss(wrong, 1e10), lambda law=law: law.loss(1e9, wrong)):
            with pytest.raises(ConfigError, match=r"mine|kaplan|hoffmann|besiroglu|random"):
                call()
        with pytest.raises(ConfigError):
            law.optimal(wrong, force=True)
        with pytest.raises(ConfigError):
            law.optimal(1e20, flops_per_token_per_param=wrong, force=True)
    for call in (
        lambda: laws.get("steplaw2025").learning_rate(wrong, 1e10),
        lambda: laws.get("shuai2024.fixed_data").batch(wrong),
        lambda: laws.get("shuai2024.frontier").scale({"C": 1e20, "N": wrong}, C=1e21),
        lambda: laws.get("shuai2024.frontier").scale({"C": 1e20, "N": 1e9}, C=wrong),
        lambda: laws.get("deepseek2024").scale({"C": 1e20, "lr": wrong}, C=1e21),
        lambda: weight_decay(wrong, 1e-3, 1e9, 1e10),
    ):
        with pytest.raises(ConfigError):
            call()


def test_calls_with_other_inputs_are_refused() -> None:
    law = laws.get("besiroglu2024")
    for call, said in (
        (lambda: law.predict("loss", N=1e9), "D did not come"),
        (lambda: law.predict("params"), "C did not come"),
        (lambda: law.params(1e20, 1e21), "2 values came"),
        (lambda: law.batch(D=1e10), "gives loss, params, tokens, and no batch"),
        (lambda: law.predict("params", X=1), "no input is called 'X'"),
        (lambda: laws.get("steplaw2025").loss(1e9, 1e10), "and no loss"),
    ):
        with pytest.raises(ConfigError, match=said):
            call()


@pytest.mark.parametrize("change", [{"alpha": -0.3}, {"B": 0.0}, {"beta": 0.0}, {"A": -5.0}])
def test_a_law_that_does_not_fall_has_no_optimum(change: dict[str, float]) -> None:
    constants = {"E": 1.0, "A": 400.0, "B": 400.0, "alpha": 0.3, "beta": 0.3, **change}
    with pytest.raises(ConfigError, match="no best size"):
        ParametricLoss(**TOLD, **constants).optimal(1e20)


def test_three_terms_have_their_best_batch_in_closed_form() -> None:
    law = STEPLAW_THREE_TERM
    D = numpy.array([4e9, 1e10, 1e11])
    assert law.best_batch(D) == pytest.approx(0.0699 * D**0.656, rel=5e-3)  # as section 2.8 prints it
    assert law.gives() == ("loss", "batch", "params", "tokens", "steps")
    for tokens in D:
        searched = least_by_search(lambda B, tokens=tokens: law.loss(1e9, tokens, B), 1e3, 1e9, rounds=5)
        assert law.batch(tokens) == pytest.approx(searched, rel=1e-5)
        assert law.steps(tokens) * law.batch(tokens) == pytest.approx(tokens, rel=1e-12)
    assert law.loss(1e9, 1e10) == law.loss(1e9, 1e10, law.best_batch(1e10))
    assert law.predict("loss", N=1e9, D=1e10, B=1e4).value == law.loss(1e9, 1e10, 1e4) > law.loss(1e9, 1e10)
    assert type(law.batch(1e10)) is float


def test_the_excess_of_a_batch_is_measured_from_the_best_one() -> None:
    law = STEPLAW_THREE_TERM
    best = law.best_batch(1e10)
    assert law.excess(1e10, best) == 0
    for B in (best / 4, best / 2, best * 2, best * 4):
        assert law.excess(1e10, B) == pytest.approx(law.loss(3e8, 1e10, B) - law.loss(3e8, 1e10), abs=1e-14)
        assert law.excess(1e10, B) > 0
    assert law.excess(numpy.array([[1e9], [1e10]]), numpy.array([1e5, 1e6, 1e7])).shape == (2, 3)
    with pytest.raises(ConfigError, match="no best batch"):
        ThreeTermLoss(**TOLD, E=1, A=1, alpha=0.3, F=1, beta=0.2, G=-1, gamma=0.1).best_batch(1e10)


def test_repeated_tokens_are_worth_less() -> None:
    constants = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
    limited, plain = DataLimitedLoss(**TOLD, **constants, R=15.0), ParametricLoss(**TOLD, **constants)
    D = numpy.array([1e8, 5e8, 1e9])
    assert (limited.loss(1e9, D, 1e9) == plain.loss(1e9, D)).all()
    assert limited.loss(1e9, 1e12) == plain.loss(1e9, 1e12)
    # 4 passes: 1 + 15 (1 - exp(-3/15)) = 3.719 of them count; many: 1 + 15
    assert limited.effective_tokens(4e9, 1e9) == pytest.approx(3.719e9, rel=1e-3)
    assert limited.effective_tokens(1e15, 1e9) == pytest.approx(16e9, rel=1e-12)
    assert limited.effective_tokens(1.001e9, 1e9) == pytest.approx(1.001e9, rel=1e-6)  # no step where repetition begins
    assert limited.loss(1e9, 4e9, 1e9) == pytest.approx(plain.loss(1e9, limited.effective_tokens(4e9, 1e9)), rel=1e-14)
    assert plain.loss(1e9, 4e9) < limited.loss(1e9, 4e9, 1e9) < plain.loss(1e9, 1e9)


def test_weight_decay_is_linear_in_the_batch() -> None:
    assert timescale(1e9, 1e9) == pytest.approx(1.084, rel=1e-12)
    assert timescale(1e9, 2e10) == pytest.approx(1.084 * 20**-0.527, rel=1e-12)
    decay = weight_decay(numpy.array([1e5, 2e5]), 1e-3, 1e9, 2e10)
    assert decay[1] / decay[0] == pytest.approx(2.0, rel=1e-12)
    assert 1e5 / (1e-3 * decay[0] * 2e10) == pytest.approx(timescale(1e9, 2e10), rel=1e-12)


def test_a_power_law_without_its_coefficient_is_not_evaluated() -> None:
    with pytest.raises(AssertionError):
        PowerLaw(coefficient=None, exponents={"D": 0.5})(D=1.0)
    with pytest.raises(ConfigError, match="scales B"):
        Law(**TOLD, formulas={"batch": PowerLaw(coefficient=None, exponents={"D": 0.5})}).scale({"D": 1.0}, D=2.0)
