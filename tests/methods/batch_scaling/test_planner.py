"""Plans: budgets that agree, the laws' table of the specification, batches that the hardware takes (7.15), refusals."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.fits.law_card import FittedLaw
from tenon.methods.batch_scaling.laws import every, get
from tenon.methods.batch_scaling.laws.law import Domain, Law, PowerLaw
from tenon.methods.batch_scaling.laws.loss import DataLimitedLoss, ParametricLoss, ThreeTermLoss
from tenon.methods.batch_scaling.plans.batch import warmup_of
from tenon.methods.batch_scaling.plans.law_rows import LawRow, choose_batch, choose_rate, geometric_median
from tenon.methods.batch_scaling.plans.model_shape import ModelShape
from tenon.methods.batch_scaling.plans.planner import Plan, flat_region, plan

FACTS = {"title": "", "equation": "", "source": "test", "tag": "fitted"}
SURFACE = ThreeTermLoss(  # the specification's fit to StepLaw's table, section 2.8
    name="surface", E=0.4737, A=173.3, alpha=0.2937, F=4.060, beta=0.1999, G=3.443, gamma=0.1048, **FACTS
)  # type: ignore[arg-type]


def own(name: str = "mine", *, domain: Domain | None = None, **formulas: PowerLaw) -> FittedLaw:
    """Give a law card of one's own."""
    law = Law(name=name, formulas=formulas, domain=domain or Domain(), **FACTS)  # type: ignore[arg-type]
    return FittedLaw(law=law, params={})


def power(coefficient: float, **exponents: float) -> PowerLaw:
    return PowerLaw(coefficient=coefficient, exponents=exponents)


def row(law: str, value: float | None, extrapolation: float | None = 0.0, **more: Any) -> LawRow:
    return LawRow(**{"law": law, "quantity": "batch", "value": value, "extrapolation": extrapolation, **more})


def value(found: Plan, law: str, quantity: str) -> float:
    (one,) = [row.value for row in found.rows if (row.law, row.quantity) == (law, quantity)]
    assert one is not None
    return one


# --- the specification's table ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute", "expected"),
    [  # section 2.8: N, D, D/N, L, B of shuai, steplaw, deepseek, bergsma, critical of zhang, lr of steplaw, deepseek
        (1e19, (2.62e8, 6.36e9, 24.2, 2.927, 1.25e6, 2.30e5, 4.79e5, 3.56e5, 7.19e5, 1.85e-3, 1.31e-3)),
        (1e21, (2.78e9, 6.00e10, 21.6, 2.306, 2.27e6, 8.27e5, 2.16e6, 8.41e5, 2.07e6, 6.86e-4, 7.39e-4)),
        (1e23, (2.95e10, 5.66e11, 19.2, 2.032, 4.10e6, 2.98e6, 9.74e6, 1.99e6, 5.93e6, 2.54e-4, 4.16e-4)),
    ],
)
def test_the_worked_example(compute: float, expected: tuple[float, ...]) -> None:
    found = plan(compute=compute)
    told = (
        found.params,
        found.tokens,
        found.tokens / found.params,
        found.loss,
        value(found, "shuai2024.fixed_data", "batch"),
        value(found, "steplaw2025", "batch"),
        value(found, "deepseek2024", "batch"),
        value(found, "bergsma2025", "batch"),
        value(found, "zhang2024.data", "critical_batch"),
        value(found, "steplaw2025", "learning_rate"),
        value(found, "deepseek2024", "learning_rate"),
    )
    assert told == pytest.approx(expected, rel=5e-3)  # three digits are printed


def test_every_law_is_in_the_table_also_those_without_a_coefficient() -> None:
    rows = {(row.law, row.quantity): row for row in plan(compute=1e21).rows}
    unknown = rows["shuai2024.fixed_compute", "batch"]
    assert unknown.value is None
    assert "coefficient not known" in unknown.why
    assert rows["minicpm2024", "batch"].why.startswith("L = 2.306 is besiroglu2024's")  # a loss of other data
    assert all(row.used or row.why for row in rows.values())


# --- what belongs together -------------------------------------------------------------------------------------------


@given(st.floats(16, 23))
@settings(max_examples=15)
def test_params_tokens_and_compute_lead_to_one_budget(log_compute: float) -> None:
    first = plan(compute=10**log_compute, force=True)
    assert 6 * first.params * first.tokens == pytest.approx(10**log_compute, rel=1e-12)
    by_params = plan(params=first.params, force=True)  # the tokens for which that size is optimal
    by_tokens = plan(tokens=first.tokens, force=True)
    both = plan(params=first.params, tokens=first.tokens, force=True)
    for other in (by_params, by_tokens, both):
        assert (other.params, other.tokens) == pytest.approx((first.params, first.tokens), rel=1e-9)
        assert other.batch_tokens == first.batch_tokens


def test_texts_and_numbers_are_the_same() -> None:
    assert plan(params="1.3B", tokens="26B") == plan(params=1.3e9, tokens=26e9)


def test_gpus_and_days_make_compute() -> None:
    found = plan(params="1.3B", gpus="8xH100", days="5d", mfu=0.4, price_per_gpu_hour=2.0)
    assert found.tokens == pytest.approx(8 * 5 * 86400 * 989e12 * 0.4 / (6 * 1.3e9))
    assert found.days == pytest.approx(5, rel=1e-4)  # a last step may be whole
    assert found.gpu_hours == pytest.approx(found.compute / (989e12 * 0.4 * 3600))
    assert found.cost == pytest.approx(2 * found.gpu_hours)
    assert found.world_size == 8
    assert plan(params="1.3B", tokens="26B", gpus=8).days == pytest.approx(found.days * 26e9 / found.tokens, rel=1e-3)
    half = plan(params="1.3B", gpus="8xA100", days=5)
    assert half.tokens == pytest.approx(found.tokens * 312 / 989)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"params": "1.3B", "tokens": "26B", "compute": 1e21}, r"do not agree: 6 N D is 2.03e\+20"),
        ({"compute": 1e21, "gpus": 8, "days": 1, "params": "1B"}, "GPUs make"),
        ({"params": "1B", "days": 3}, "days came without gpus"),
        ({"gpus": "8xH100", "gpu": "A100", "days": 1}, "leave one of the two kinds"),
        ({}, "Nothing to plan with"),
        ({"seq_len": 4096}, "Nothing to plan with"),
        ({"tokens": -5, "params": 1e9}, "tokens .* is -5"),
        ({"params": "1B", "tokens": "20B", "mfu": 40}, "mfu .* is 40"),
        ({"params": "1B", "tokens": "20B", "per_device": 0}, "per_device .* is 0"),
        ({"params": "1B", "tokens": "20B", "warmup": -1}, "warmup .* is -1"),
        ({"params": "1B", "tokens": "20B", "loss_law": "steplaw2025"}, "no loss"),
        ({"params": "1B", "tokens": "20B", "laws": "steplow2025"}, "did you mean 'steplaw2025'"),
        ({"params": "1B", "tokens": "20B", "laws": ["zhang2024.data"]}, "No law gives a batch"),
        ({"compute": 1e21, "loss_law": "hoffmann2022"}, "hoffmann2022_unrounded"),
        ({"model": "nano-lm", "params": "1B", "tokens": "1B"}, "the model says it"),
    ],
)
def test_contradictions_are_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(**given)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"compute": "much"}, "compute (--flops) is 'much'"),
        ({"compute": 1e30}, " (--flops "),
        ({"days": 5}, "gpus='8xH100' (--gpus 8xH100)"),
        ({"days": "soon", "gpus": 8}, "days (--days) is 'soon'"),
        ({"tokens": -5}, "tokens (--tokens) is -5"),
        ({"params": "1B", "tokens": "20B", "seq_len": 0}, "seq_len (--seq-len) is 0"),
        ({"params": "1B", "tokens": "20B", "price_per_gpu_hour": -1}, "price_per_gpu_hour (--price) is -1"),
        ({"params": "1B", "tokens": "20B", "warmup": -1}, "warmup (--warmup) is -1"),
        ({"params": "1B", "tokens": "20B", "max_batch": 1000}, "max_batch=2048 (--max-batch 2048)"),
        ({"params": "1B", "tokens": "20B", "unique_tokens": "5B"}, "tokens=5e+09 (--tokens 5e+09)"),
        ({"params": "1B", "tokens": "20B", "compute": 1e21}, "(--params or --model, --tokens, --flops)"),
        ({"model": "nano-lm", "tokens": "1B", "flops": "7n"}, "flops (--count-flops) is '7n'"),
        ({"params": "1B", "tokens": "20B", "loss_law": "steplaw2025"}, "loss_law (--loss-law) is 'steplaw2025'"),
        ({}, "compute (--flops), or gpus and days (--gpus, --days)"),
    ],
)
def test_a_refusal_names_the_argument_and_the_option_of_the_command(given: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(option)):
        plan(**given)


def test_all_three_may_be_given_if_they_agree() -> None:
    assert plan(params="1B", tokens="20B", compute=1.2e20 * 1.04).tokens == 20e9  # 5 % are allowed
    with pytest.raises(ConfigError, match="do not agree"):
        plan(params="1B", tokens="20B", compute=1.2e20 * 1.06)


# --- models ----------------------------------------------------------------------------------------------------------

MODEL = ModelShape(hidden=2048, layers=24, heads=16, ffn=5632, vocab=50_304, name="m")


@pytest.mark.parametrize(
    ("sizes", "context"),
    [
        ({"model_type": "llama", "max_position_embeddings": 4096}, 4096),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "llama"}, None),
    ],
)
def test_rows_longer_than_the_models_context_are_told(sizes: dict[str, Any], context: int | None) -> None:
    model = {"hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "vocab_size": 50_304, **sizes}
    setup: dict[str, Any] = {"model": model, "tokens": "30B"}
    told = [one for one in plan(**setup, seq_len=8192).warnings if "are longer" in one]
    assert [f"{context:,} of the model's config" in one and "8,192" in one for one in told] == [True] * bool(context)
    assert not [one for one in plan(**setup, seq_len=context or 8192).warnings if "are longer" in one]


def test_each_law_gets_its_own_count_of_a_model() -> None:
    found = plan(model=MODEL, tokens="30B")
    assert found.counts == {name: getattr(MODEL, name) for name in ("non_embedding", "with_head", "total", "active")}
    step = math.exp(0.58631) * MODEL.non_embedding**-0.71292 * 30e9**0.30749
    assert value(found, "steplaw2025", "learning_rate") == pytest.approx(step)
    assert value(found, "porian2024", "batch") == pytest.approx(0.7576 * MODEL.with_head**0.703)
    assert found.loss == pytest.approx(get("besiroglu2024").loss(MODEL.total, 30e9))  # type: ignore[attr-defined]
    assert found.flops_per_token == 6 * MODEL.with_head
    assert plan(model=MODEL, tokens="30B", flops="6n").flops_per_token == 6 * MODEL.non_embedding


def test_the_deepseek_law_counts_its_own_compute() -> None:
    m = 72 * 24 * 2048**2 + 12 * 24 * 2048 * 2048
    found = plan(model=MODEL, tokens="30B")
    assert value(found, "deepseek2024", "batch") == pytest.approx(0.2920 * (m * 30e9) ** 0.3271)
    rows = plan(params=MODEL.total, tokens="30B").rows
    told = next(row for row in rows if row.law == "deepseek2024" and row.quantity == "batch")
    assert "in place of M D" in told.why  # and not in silence
    assert told.value == pytest.approx(0.2920 * (6 * MODEL.total * 30e9) ** 0.3271)


def test_a_mixture_of_experts_counts_what_is_active() -> None:
    moe = replace(MODEL, experts=8, active_experts=2, expert_ffn=5632, moe_layers=24)
    found = plan(model=moe, tokens="30B")
    assert found.flops_per_token == 6 * moe.count("with_head") < 6 * moe.with_head
    assert any("mixture of experts" in one.lower() for one in found.warnings)


# --- choosing --------------------------------------------------------------------------------------------------------


def test_the_batch_is_the_geometric_median_of_laws_near_their_range() -> None:
    rows = [row("a", 1e5), row("b", 4e5, 0.4), row("c", 9e5), row("far", 1e9, 0.6), row("gone", None)]
    chosen = choose_batch(rows, are_named=False, force=False)
    assert chosen.value == 4e5
    assert set(chosen.names) == {"a", "b", "c"}
    assert choose_batch(rows[:2], are_named=False, force=False).value == pytest.approx(2e5)  # mean of logarithms
    assert geometric_median([1, 10, 1e6]) == 10


def test_farther_laws_are_asked_only_when_near_ones_are_fewer_than_two() -> None:
    rows = [row("a", 1e5), row("b", 4e5, 0.9), row("c", 9e5, 1.9)]
    assert choose_batch(rows, are_named=False, force=False).names == ("a", "b")
    found = choose_batch(rows[1:], are_named=False, force=False)
    assert found.names == ("b", "c")
    assert "factor 79.4" in found.warnings[0]  # 1.9 decades
    with pytest.raises(ConfigError, match="No law of the batch"):
        choose_batch([row("d", 1e5, 2.1)], are_named=False, force=False)
    assert choose_batch([row("d", 1e5, 2.1)], are_named=False, force=True).value == 1e5


def test_laws_of_unknown_range_or_ruled_out_are_used_only_when_named() -> None:
    rows = [row("a", 1e5), row("b", 2e5), row("unknown", 9e9, None), row("out", 8e9, 0.0, is_ruled_out=True)]
    assert choose_batch(rows, are_named=False, force=False).names == ("a", "b")
    assert len(choose_batch(rows, are_named=True, force=False).names) == 4


def test_a_critical_batch_never_becomes_the_best_one() -> None:
    for compute in (1e18, 1e20, 1e22):
        found = plan(compute=compute)
        used = {row.law for row in found.rows if row.used and row.quantity != "learning_rate"}
        assert used
        assert not any(law.startswith(("zhang", "kaplan")) or "critical" in law for law in used)
    with pytest.raises(AssertionError):
        choose_batch([row("zhang2024.data", 1e6, quantity="critical_batch")], are_named=True, force=True)


def test_the_large_scale_law_is_offered_and_not_used_below_its_scale() -> None:
    small = {row.law: row for row in plan(params="1B", tokens="20B").rows if row.quantity == "batch"}
    assert small["shuai2024.fixed_data"].value == pytest.approx(3.24e3 * 20e9**0.264)
    assert not small["shuai2024.fixed_data"].used
    assert "over-estimates below ~100B" in small["shuai2024.fixed_data"].why
    large = {row.law: row for row in plan(params="2B", tokens="200B").rows if row.quantity == "batch"}
    assert large["shuai2024.fixed_data"].used
    assert plan(params="1B", tokens="20B", laws="shuai2024.fixed_data").batch_wanted == pytest.approx(1.70e6, rel=0.01)


def test_laws_at_one_ratio_are_used_only_there() -> None:
    at = {row.law: row for row in plan(params="1B", tokens="20B").rows if row.quantity == "batch"}
    assert at["porian2024"].used
    beside = {row.law: row for row in plan(params="1B", tokens="90B").rows if row.quantity == "batch"}
    assert not beside["porian2024"].used
    assert "D/N of about 20" in beside["porian2024"].why


def test_the_learning_rate_is_one_laws_and_never_a_mean() -> None:
    for compute in (1e18, 1e19, 1e20, 1e21, 1e22):
        found = plan(compute=compute)
        values = {row.law: row.value for row in found.rows if row.quantity == "learning_rate" and row.value}
        (used,) = [row.law for row in found.rows if row.quantity == "learning_rate" and row.used]
        assert found.learning_rate is not None
        assert found.learning_rate <= values[used] * (1 + 1e-9)
        if found.batch_tokens >= value(found, used, "batch"):
            assert found.learning_rate == values[used]
    rates = [
        row("n", 1e-3, inputs=("N",)),
        row("nd", 2e-3, inputs=("N", "D")),
        row("far", 5e-3, 0.3, inputs=("N", "D")),
    ]
    chosen = choose_rate(rates, are_named=False, force=False)
    assert chosen is not None
    assert chosen.names == ("nd",)  # the range contains the point, and it says most


def test_below_its_batch_a_learning_rate_falls_and_above_it_stays() -> None:
    batch, rate = power(2e5, D=0.0), power(1e-3, D=0.0)
    card = own(batch=batch, learning_rate=rate)
    setup: dict[str, Any] = {"params": "1B", "tokens": "20B", "fitted": [card], "seq_len": 1000, "per_device": 1}
    assert plan(**setup).learning_rate == 1e-3
    half = plan(**setup, max_batch=1e5)
    assert half.learning_rate == pytest.approx(1e-3 * 0.5**0.75)  # gamma is 0.75 unless told
    assert plan(**setup, max_batch=1e5, gamma=0.5).learning_rate == pytest.approx(1e-3 * 0.5**0.5)
    assert plan(**setup, max_steps=50_000).batch_tokens == 4e5
    assert plan(**setup, max_steps=50_000).learning_rate == 1e-3


def test_your_own_law_comes_first() -> None:
    card = own(batch=power(0.5, D=0.5), learning_rate=power(3e-3, D=0.0))
    found = plan(params="1B", tokens="20B", fitted=[card])
    assert found.batch_wanted == pytest.approx(0.5 * 20e9**0.5)
    assert found.batch_how == "your own law: mine"
    assert found.learning_rate_how.startswith("mine, yours")
    assert [row.law for row in found.rows if row.used] == ["mine", "mine"]
    assert len(found.rows) > 15  # the others are still told


def test_your_own_loss_law_allocates() -> None:
    law = ParametricLoss(name="mine", E=1.0, A=100.0, B=100.0, alpha=0.3, beta=0.3, **FACTS)  # type: ignore[arg-type]
    found = plan(compute=6e20, fitted=[FittedLaw(law=law, params={})])
    assert found.params == pytest.approx(1e10)  # equal terms: N = D
    assert found.loss_law == "mine"
    assert plan(compute=6e20, fitted=[FittedLaw(law=law, params={})], loss_law="besiroglu2024").params != found.params


def test_a_law_that_is_not_pinned_down_is_refused_unless_forced() -> None:
    card = replace(own(batch=power(0.5, D=0.5)), identified=False, warnings=("E is 0",))
    with pytest.raises(ConfigError, match="not pinned down by its runs \\(E is 0\\)"):
        plan(params="1B", tokens="20B", fitted=[card])
    found = plan(params="1B", tokens="20B", fitted=[card], force=True)
    assert any("not pinned down" in one for one in found.warnings)


def test_disagreement_is_told_by_name() -> None:
    rows = [row("low", 1e5), row("high", 4.1e5)]
    assert "low says a batch of 100k tokens, high 410k" in choose_batch(rows, are_named=False, force=False).warnings[0]
    assert not choose_batch([row("low", 1e5), row("high", 3.9e5)], are_named=False, force=False).warnings


# --- far from every law ----------------------------------------------------------------------------------------------


def test_far_extrapolation_is_told_then_refused_then_forced() -> None:
    card = own(batch=power(0.5, D=0.5), domain=Domain(D=(1e8, 1e9)))
    found = plan(params="1B", tokens="20B", fitted=[card])  # 1.3 decades
    assert any("1.3 decades (a factor 20)" in one for one in found.warnings)
    with pytest.raises(
        ConfigError, match=r"mine is 2\.3 decades outside its range; two decades beyond it end at D = 100B"
    ):
        plan(params="1B", tokens="200B", fitted=[card])
    assert plan(params="1B", tokens="100B", fitted=[card]).batch_wanted == pytest.approx(0.5 * 1e11**0.5)
    assert plan(params="1B", tokens="200B", fitted=[card], force=True).batch_wanted == pytest.approx(0.5 * 2e11**0.5)


@pytest.mark.parametrize("compute", [1e30, 1e10])
def test_the_nearest_feasible_budget_is_told_and_feasible(compute: float) -> None:
    with pytest.raises(ConfigError, match="decades outside") as told:
        plan(compute=compute)
    near = re.search(r"Nearest feasible: compute=([\d.e+]+) ", str(told.value))
    assert near is not None
    plan(compute=near[1])
    beyond = float(near[1]) * (1.1 if compute > 1e20 else 0.9)  # and no more than that
    with pytest.raises(ConfigError):
        plan(compute=beyond)
    assert plan(compute=compute, force=True).warnings


def test_your_own_loss_law_is_not_stretched() -> None:
    law = ParametricLoss(
        name="mine", E=1.0, A=100.0, B=100.0, alpha=0.3, beta=0.3, domain=Domain(N=(1e6, 1e7)), **FACTS
    )  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"3\.0 decades outside the runs.*Nearest feasible: compute="):
        plan(compute=6e20, fitted=[FittedLaw(law=law, params={})])
    found = plan(params="10B", tokens="10B", fitted=[FittedLaw(law=law, params={})])
    assert found.loss is None
    assert any("No loss is predicted" in one for one in found.warnings)


# --- batches, steps, hardware ----------------------------------------------------------------------------------------


@given(
    params=st.floats(7.5, 10.5),
    ratio=st.floats(5, 200),
    world=st.sampled_from([1, 2, 8, 24, 64]),
    seq_len=st.sampled_from([512, 1000, 2048, 4096]),
    per_device=st.sampled_from([None, 1, 3]),
)
@settings(max_examples=40)
def test_batches_fit_the_hardware_and_the_data_7_15(
    params: float, ratio: float, world: int, seq_len: int, per_device: int | None
) -> None:
    n = 10**params
    found = plan(params=n, tokens=ratio * n, world_size=world, seq_len=seq_len, per_device=per_device, force=True)
    assert found.batch_tokens % (world * found.per_device * seq_len) == 0
    assert found.tokens <= found.steps * found.batch_tokens < found.tokens + found.batch_tokens
    assert found.tokens_realised == found.steps * found.batch_tokens
    told = found.to_training_arguments(world_size=world, per_device=found.per_device, seq_len=seq_len)
    rows = told["per_device_train_batch_size"] * told["gradient_accumulation_steps"] * world
    assert rows * seq_len == found.batch_tokens
    if per_device is None and found.batch_wanted >= world * seq_len:
        quantum = world * seq_len  # the choice of rows costs no more than 5 %, one row per GPU aside
        nearest = abs(round(found.batch_wanted / quantum) * quantum / found.batch_wanted - 1)
        assert abs(found.batch_change) <= max(0.05, nearest) + 1e-9


def test_training_arguments_take_it_7_15(tmp_path: Path) -> None:
    from transformers import TrainingArguments

    found = plan(params="1.3B", tokens="26B", world_size=1, per_device=4)
    told = found.to_training_arguments(world_size=1, per_device=4, seq_len=2048)
    assert set(told) == {
        "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate", "max_steps", "warmup_steps",
        "lr_scheduler_type", "lr_scheduler_kwargs",
    }  # fmt: skip
    arguments = TrainingArguments(output_dir=str(tmp_path), report_to=[], use_cpu=True, **told)
    per_step = arguments.train_batch_size * arguments.gradient_accumulation_steps * 2048
    assert per_step == found.batch_tokens
    assert arguments.max_steps == found.steps
    assert arguments.learning_rate == found.learning_rate
    assert arguments.get_warmup_steps(found.steps) == found.warmup_steps


def test_the_learning_rate_ends_where_its_law_says(tmp_path: Path) -> None:
    """StepLaw's at 1e-5: the scheduler that transformers makes of the arguments does, too."""
    import torch
    from transformers import TrainingArguments, get_scheduler

    found = plan(params="1.3B", tokens="26B", world_size=1, per_device=4)
    assert found.learning_rate_how.startswith("steplaw2025")
    assert found.learning_rate_end == 1e-5
    assert "then cosine to 1e-05" in found.to_text()
    told = TrainingArguments(output_dir=str(tmp_path), report_to=[], use_cpu=True, **found.to_training_arguments())
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=told.learning_rate)
    scheduler = get_scheduler(
        told.lr_scheduler_type, optimizer=optimizer, num_warmup_steps=2, num_training_steps=10,
        scheduler_specific_kwargs=told.lr_scheduler_kwargs,
    )  # fmt: skip
    rates = []
    for _ in range(10):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    assert max(rates) == pytest.approx(found.learning_rate)
    assert rates[-1] == pytest.approx(1e-5)


def test_a_law_that_states_no_end_or_one_above_the_peak_leaves_a_plain_cosine() -> None:
    assert [law.name for law in every("learning_rate") if law.final_learning_rate is not None] == ["steplaw2025"]
    silent = plan(params="500M", tokens="10B", laws=["porian2024"])
    low = plan(params="20T", tokens="100B", laws=["steplaw2025"], force=True)
    assert low.learning_rate is not None
    assert low.learning_rate < 1e-5
    for found in (silent, low):
        assert found.learning_rate_end is None
        told = found.to_training_arguments()
        assert told["lr_scheduler_type"] == "cosine"
        assert "lr_scheduler_kwargs" not in told
        assert "then cosine to 0" in found.to_text()


def test_the_snippet_is_what_the_arguments_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = plan(params="1.3B", tokens="26B", world_size=8, per_device=4)
    there: dict[str, Any] = {}
    exec(found.snippet(), there)  # that is what it is for
    assert there["arguments"].max_steps == found.steps
    assert there["arguments"].lr_scheduler_kwargs == {"min_lr": 1e-5}
    assert there["arguments"].gradient_accumulation_steps == found.batch_tokens // (8 * 4 * 2048)


def test_other_hardware_that_does_not_divide_the_batch_is_refused_with_the_nearest() -> None:
    found = plan(params="1.3B", tokens="26B", world_size=8, per_device=4)
    half = found.to_training_arguments(world_size=4)
    assert half["gradient_accumulation_steps"] == 2 * found.accumulation
    with pytest.raises(ConfigError, match=r"no multiple of .* the nearest is [\d,]+ \([+-][\d.]+%\)"):
        found.to_training_arguments(world_size=7)


def test_rounding_is_told() -> None:
    found = plan(params="1B", tokens="20B", world_size=320, per_device=1)
    assert found.batch_tokens == 320 * 2048
    assert found.batch_change == pytest.approx(found.batch_tokens / found.batch_wanted - 1)
    assert any(f"{found.batch_change:+.0%}" in one for one in found.warnings)


def test_a_batch_that_is_rounded_far_is_refused_and_the_nearest_layouts_are_feasible() -> None:
    """Rows of 2,000 tokens on 8 processes, and a law of 100,000: 16 rows each make 256,000, 2 make 96,000."""
    setup: dict[str, Any] = {"params": "1B", "tokens": "20B", "seq_len": 2000, "fitted": [own(batch=power(1e5, D=0.0))]}
    with pytest.raises(ConfigError, match=r"changes the batch by \+156%, from 100k to 256k tokens; \+100%") as told:
        plan(**setup, world_size=8, per_device=16)
    assert "Nearest feasible: per_device=2 (--per-device 2), or world_size=3 (--world-size 3). Or" in str(told.value)
    for near in ({"world_size": 8, "per_device": 2}, {"world_size": 3, "per_device": 16}):
        assert abs(plan(**setup, **near).batch_change) <= 0.25
    with pytest.raises(ConfigError, match=r"Nearest feasible: seq_len=100000 \(--seq-len 100000\)"):
        plan(**{**setup, "seq_len": 300_000}, world_size=1, per_device=1)
    assert plan(**{**setup, "seq_len": 100_000}, world_size=1, per_device=1).batch_tokens == 100_000
    (warning,) = [one for one in plan(**setup, world_size=8, per_device=7).warnings if "Rounding" in one]
    assert "changes the batch by +12%; nearer: per_device=6 (--per-device 6), or world_size=" in warning
    (warning,) = [one for one in plan(**setup, world_size=8, per_device=12).warnings if "Rounding" in one]
    assert "changes the batch by +92%; nearer: per_device=6 (--per-device 6), or world_size=4" in warning
    forced = plan(**setup, world_size=8, per_device=16, force=True)
    assert forced.batch_tokens == 256_000
    assert any(one.startswith("Forced: Rounding") for one in forced.warnings)
    # What a limit changes is no rounding.
    assert plan(**setup, world_size=8, per_device=1, max_batch=50_000).batch_tokens == 48_000


def test_nearer_layouts_are_divisors_of_what_was_given_where_one_is_near() -> None:
    """337 rows of 2,048 tokens on 4,096 processes: 256 of them are a layout of such a cluster, 337 are none."""
    setup: dict[str, Any] = {"params": "1B", "tokens": "20B", "fitted": [own(batch=power(337 * 2048.0, D=0.0))]}
    with pytest.raises(ConfigError, match=r"Nearest feasible: world_size=256 \(--world-size 256\)"):
        plan(**setup, world_size=4096, per_device=1)
    assert abs(plan(**setup, world_size=256, per_device=1).batch_change) <= 0.25


def test_an_unknown_accelerator_is_named_with_its_option() -> None:
    with pytest.raises(ConfigError, match=r"^gpus \(--gpus\): no GPU is called 'H1000'"):
        plan(params="1B", tokens="20B", gpus="8xH1000")
    with pytest.raises(ConfigError, match=r"^gpu \(--gpu\): no GPU is called 'H1000'"):
        plan(params="1B", tokens="20B", gpu="H1000")


def test_a_small_rounding_is_no_warning() -> None:
    found = plan(
        params="1B", tokens="20B", seq_len=2000, world_size=8, per_device=6, fitted=[own(batch=power(1e5, D=0.0))]
    )
    assert found.batch_change == pytest.approx(-0.04)
    assert not [one for one in found.warnings if "Rounding" in one]


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than the data"):
        plan(params=1e8, tokens=2e8, world_size=1024, per_device=128)


def test_few_steps_are_refused_and_the_nearest_plans_are_feasible() -> None:
    setup: dict[str, Any] = {"params": 1e8, "tokens": 2e8, "world_size": 1, "per_device": 1}
    card = own(batch=power(1e6, D=0.0))
    with pytest.raises(ConfigError, match=r"201 steps of 999,424 tokens; a plan needs 500") as told:
        plan(**setup, fitted=[card])
    smaller = re.search(r"max_batch=(\d+)", str(told.value))
    more = re.search(r"or ([\d.]+M) tokens", str(told.value))
    assert smaller is not None
    assert more is not None
    assert plan(**setup, fitted=[card], max_batch=smaller[1]).steps >= 500
    assert plan(**{**setup, "tokens": more[1]}, fitted=[card]).steps >= 500
    forced = plan(**setup, fitted=[card], force=True)
    assert forced.steps < 500
    assert any(one.startswith("Forced") for one in forced.warnings)


def test_limits_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="cannot both hold"):
        plan(params="1B", tokens="20B", max_steps=1000, max_batch="1M")
    with pytest.raises(ConfigError, match="Nearest: max_batch=2048"):
        plan(params="1B", tokens="20B", max_batch=1000)
    capped = plan(params="1B", tokens="20B", max_batch="100k")
    assert capped.batch_tokens <= 1e5
    assert plan(params="1B", tokens="20B", max_steps=3000).steps <= 3000


def test_repeated_data_are_refused() -> None:
    with pytest.raises(ConfigError, match="4 epochs of 5B: one-epoch laws do not cover"):
        plan(params="1B", tokens="20B", unique_tokens="5B")
    assert plan(params="1B", tokens="20B", unique_tokens="20B").loss
    assert any("epochs" in one for one in plan(params="1B", tokens="20B", unique_tokens="5B", force=True).warnings)
    law = DataLimitedLoss(name="mine", E=1.0, A=400.0, B=400.0, alpha=0.3, beta=0.3, R=15.0, **FACTS)  # type: ignore[arg-type]
    found = plan(params="1B", tokens="20B", unique_tokens="5B", fitted=[FittedLaw(law=law, params={})])
    assert found.loss == pytest.approx(law.loss(1e9, 20e9, 5e9))
    assert found.loss > law.loss(1e9, 20e9)


def test_a_wasteful_batch_tells_its_overhead() -> None:
    card = own(critical_batch=power(1e5, D=0.0), domain=Domain(D=(1e9, 1e11)))
    found = plan(params="1B", tokens="20B", laws=["steplaw2025"], fitted=[card], max_steps=20_000, per_device=1)
    assert found.overhead == pytest.approx((1 + found.batch_tokens / 1e5,) * 2)
    assert any(f"about {found.overhead[0]:.1f} times the tokens" in one for one in found.warnings)  # type: ignore[index]
    fine = plan(params="1B", tokens="20B", laws=["steplaw2025"], fitted=[card], max_batch=1e5)
    assert not any("critical" in one for one in fine.warnings)


def test_ones_own_critical_law_is_asked_at_the_fewest_tokens() -> None:
    """It was fitted to E_min; D of a plan with batch B is E_min (1 + B / B_crit), which is solved for E_min."""
    card = own(critical_batch=power(30.0, D=0.4), domain=Domain(D=(1e9, 1e11), B=(1e5, 3e5)))
    found = plan(params="1B", tokens="20B", laws=["steplaw2025", "zhang2024.data"], fitted=[card])
    critical = value(found, "mine", "critical_batch")
    least = 20e9 / (1 + found.batch_tokens / critical)
    assert least < 10e9
    assert critical == pytest.approx(30.0 * least**0.4, rel=1e-9)
    (told,) = [row for row in found.rows if (row.law, row.quantity) == ("mine", "critical_batch")]
    assert "at E_min = " in told.why
    assert told.extrapolation == 0  # the batch of the plan is no input of it
    published = value(found, "zhang2024.data", "critical_batch")
    assert published == pytest.approx(22.91 * 512 * 20e3**0.47)  # asked at D, as published


def test_what_a_law_calls_critical_is_minded() -> None:
    found = plan(params="1B", tokens="20B", laws=["steplaw2025", "zhang2024.data"])
    critical = value(found, "zhang2024.data", "critical_batch")
    assert found.overhead == pytest.approx((1 + 0.2 * found.batch_tokens / critical,) * 2)  # 20 % at its critical batch
    assert found.critical_batch == pytest.approx(critical / 0.2)  # where it is 100 %


def test_warm_up_and_short_trainings() -> None:
    assert [warmup_of(steps, None) for steps in (600, 20_000, 500_000)] == [100, 400, 2000]
    found = plan(params="1B", tokens="20B", warmup=0.3)
    assert found.warmup_steps == math.ceil(0.3 * found.steps)
    assert any("warm-up is 30%" in one for one in found.warnings)
    assert any("Only" in one for one in plan(params="1B", tokens="20B", max_steps=1500).warnings)
    assert not any("Only" in one for one in plan(params="1B", tokens="20B").warnings)


def test_the_flat_region_is_where_the_surface_says() -> None:
    low, high = flat_region(SURFACE, 2e10, 0.01)
    best = SURFACE.best_batch(2e10)
    assert low < best < high
    assert SURFACE.excess(2e10, low) == pytest.approx(0.01, abs=1e-9)
    assert SURFACE.excess(2e10, high) == pytest.approx(0.01, abs=1e-9)
    card = FittedLaw(law=SURFACE, params={})
    found = plan(params="1B", tokens="20B", surface=card)
    assert found.flat == (low, high)
    assert not any(row.is_fitted for row in found.rows)  # only for the flat region
    assert plan(params="1B", tokens="20B", fitted=[card]).batch_wanted == pytest.approx(best)
    assert plan(params="1B", tokens="20B").flat is None


def test_memory_decides_rows_and_sharding() -> None:
    small = plan(params="1B", tokens="20B", gpus="8xH100")
    assert small.shard == "none"
    assert small.memory is not None
    assert small.memory.total < 80 * 2**30
    large = plan(model=ModelShape(hidden=8192, layers=80, heads=64, kv_heads=8, ffn=28672, vocab=32000), tokens="1.4T",
                 gpus="256xH100")  # fmt: skip
    assert large.shard == "full"
    assert large.memory is not None
    assert large.memory.total < 80 * 2**30
    alone = plan(params="10B", tokens="200B", gpu="RTX4090")
    assert any("GiB per GPU are needed" in one for one in alone.warnings)


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_plan_is_plain_json_and_text() -> None:
    found = plan(params="1.3B", gpus="8xH100", days=5, price_per_gpu_hour=2)
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["schema_version"] == 1
    assert content["batch_tokens"] == found.batch_tokens
    assert len(content["rows"]) == len(found.rows)
    text = found.to_text()
    assert "falls to 1e-5" in found.learning_rate_caveat  # the schedule of the law that gave the learning rate
    for expected in (
        "its setting: Sequences of 2048 tokens",
        f"{found.batch_tokens:,}",
        f"{found.steps:,}",
        "steplaw2025",
        "TrainingArguments",
        "D/N",
    ):
        assert expected in text


def test_planning_imports_no_torch_scipy_or_transformers() -> None:
    code = (
        "import sys; from tenon.methods.batch_scaling.plans.planner import plan; plan(compute=1e21).to_text();"
        "print([name for name in ('torch', 'transformers', 'scipy', 'matplotlib', 'pandas') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"
