"""Plan a training run: model size, tokens, batch, learning rate and steps for what one has, by every law at once.

The steps are these: complete the budget (`allocation`), ask every law (`law_rows`), round the batch to the hardware
(`plan_batch`), and follow what comes of it: steps, hours, memory, warnings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.critical import learning_rate_scale
from tenon.methods.batch_scaling.laws import get
from tenon.methods.batch_scaling.laws.loss import DataLimitedLoss, LossLaw, ThreeTermLoss
from tenon.methods.batch_scaling.plans.allocation import MAX_DECADES, Budget, nearest_inside, resolve
from tenon.methods.batch_scaling.plans.batch import fit_batch, place, warmup_of
from tenon.methods.batch_scaling.plans.checks import (
    check_cards,
    check_reach,
    check_unique,
    long_rows,
    nearest_told,
    own_rate_doubts,
    short_training,
)
from tenon.methods.batch_scaling.plans.gpus import gpu_of
from tenon.methods.batch_scaling.plans.law_rows import (
    DISAGREEMENT,
    Chosen,
    LawRow,
    choose_batch,
    choose_rate,
    ends_of,
    laws_of,
    marked,
    rows_of,
)
from tenon.methods.batch_scaling.plans.memory import Shard
from tenon.methods.batch_scaling.plans.model_shape import Convention, ModelShape, suggest_shape
from tenon.methods.batch_scaling.plans.overhead import overhead_of
from tenon.methods.batch_scaling.plans.record import FLAT_NATS, Plan
from tenon.methods.batch_scaling.plans.shape_reading import shape_of
from tenon.methods.batch_scaling.plans.units import count_of, days_of, flops_of, gpus_of, short

__all__ = ["Plan", "flat_region", "loss_law_of", "plan"]


def plan(
    *,
    compute: float | str | None = None,
    tokens: float | str | None = None,
    params: float | str | None = None,
    gpus: int | str | None = None,
    days: float | str | None = None,
    gpu: Any = None,
    mfu: float = 0.4,
    price_per_gpu_hour: float | None = None,
    model: Any = None,
    seq_len: int = 2048,
    world_size: int | None = None,
    per_device: int | None = None,
    laws: str | Sequence[str] = "all",
    loss_law: str | None = None,
    fitted: Sequence[Any] = (),
    surface: Any = None,
    unique_tokens: float | str | None = None,
    max_steps: float | str | None = None,
    max_batch: float | str | None = None,
    flops: Convention = "6n_head",
    gamma: float = 0.75,
    warmup: float | None = None,
    optimizer_bytes: float = 8.0,
    shard: Shard | None = None,
    recompute: bool = False,
    force: bool = False,
) -> Plan:
    """Plan a training run from any part of it.

    >>> plan(compute="1e21").to_training_arguments(world_size=1, per_device=1)["lr_scheduler_type"]
    'cosine_with_min_lr'

    Args:
        compute: C [FLOPs]; like other counts a number or a text such as "1e21" or "10 PF-days".
        tokens: D, such as "300B".
        params: N, such as "1.3B".
        gpus: Their number, or "8xH100". With `days` they make the compute; alone they tell how many days.
        days: Time to train: 5, "5d", "36h".
        gpu: An accelerator by name, its dense bf16 peak [FLOP/s], or a `GPU`; H100 unless told.
        mfu: Share of the peak that training reaches.
        price_per_gpu_hour: In your currency.
        model: What `shape_of` takes: a config, a folder, a name. Gives N in every way of counting.
        seq_len: Tokens of a row.
        world_size: Data-parallel processes; the number of GPUs unless told, else 1.
        per_device: Rows per process and micro-batch; chosen unless told.
        laws: "all", or names.
        loss_law: The law that allocates; of `fitted` if there is one, else besiroglu2024.
        fitted: Your own laws (`FittedLaw`); they come before the published ones.
        surface: A `FittedLaw` with a three-term law, only for the flat region.
        unique_tokens: Different tokens that there are.
        max_steps: The most steps; may raise the batch.
        max_batch: The largest batch [tokens].
        flops: How FLOPs are counted where the model is known.
        gamma: The learning rate goes as B^gamma below the batch of its own law, and not at all above.
        warmup: Steps, or a share below 1; None: 2 % of all, at least 100 and at most 2,000 [ours].
        optimizer_bytes: Of the optimizer's state per parameter.
        shard: What is spread over the GPUs; None: the least that fits.
        recompute: Gradient checkpointing.
        force: Go on where the laws do not reach, data repeat, steps are few, or the batch is rounded far; every such
            thing is a warning then.

    Raises:
        ConfigError: What was given is contradictory or out of reach; the message has the nearest feasible plan.
    """
    number, kind = gpus_of(gpus, "gpus (--gpus)") if gpus is not None else (None, None)
    if kind is not None and gpu is not None and gpu_of(kind, "gpus (--gpus)") != gpu_of(gpu):
        raise ConfigError(f"gpus (--gpus) is {gpus!r} and gpu (--gpu) is {gpu!r}; leave one of the two kinds out.")
    accelerator = gpu_of(gpu) if gpu else gpu_of(kind or "H100", "gpus (--gpus)")
    for name, value in (("seq_len", seq_len), ("world_size", world_size), ("per_device", per_device)):
        if value is not None and (isinstance(value, bool) or value != int(value) or value < 1):
            option = name.replace("_", "-")
            raise ConfigError(f"{name} (--{option}) is {value!r}; it must be a whole number, 1 or more.")
    if price_per_gpu_hour is not None and not price_per_gpu_hour >= 0:
        raise ConfigError(f"price_per_gpu_hour (--price) is {price_per_gpu_hour!r}; it must be 0 or more.")
    if not 0 < mfu <= 1:
        raise ConfigError(
            f"mfu (--mfu) is {mfu!r}; it must be above 0 and at most 1: the share of the peak that is reached."
        )
    shape = None if model is None else shape_of(model)
    warnings = check_cards(fitted, force)
    law = loss_law_of(loss_law, fitted)
    rate = accelerator.peak_flops * mfu * 3600
    budget = resolve(
        compute=_compute(compute, number, days, rate),
        tokens=_count(tokens, "tokens (--tokens)"),
        params=_count(params, "params (--params)"),
        shape=shape,
        law=law,
        convention=flops,
        seq_len=seq_len,
    )
    chosen_laws, are_named = laws_of(laws, fitted), laws != "all"
    if not force:
        check_reach(budget, law, chosen_laws, are_named)
    unique = _count(unique_tokens, "unique_tokens (--unique-tokens)")
    warnings += check_unique(unique, budget, law, force)
    warnings += long_rows(shape, seq_len)
    if shape is not None and shape.experts:
        warnings.append("A mixture of experts: the laws are of dense models; N is what is active for a token.")
    loss, told = _predict_loss(law, budget, unique, force)
    warnings += told

    batch_rows = rows_of("batch", chosen_laws, budget, loss=loss, loss_name=law.name)
    with nearest_told(budget, law, chosen_laws, are_named):
        batch = choose_batch(batch_rows, are_named=are_named, force=force)
    smallest, greatest = ends_of(batch.rows)
    processes, largest = int(world_size or number or 1), _count(max_batch, "max_batch (--max-batch)")
    laid = _laid_out(budget, shape)
    placed = place(
        laid, accelerator, wanted=min(batch.value, largest or math.inf), world_size=processes, seq_len=seq_len,
        per_device=per_device, shard=shard, optimizer_bytes=optimizer_bytes, recompute=recompute,
    )  # fmt: skip
    fit = fit_batch(
        batch.value,
        tokens=budget.D,
        world_size=processes,
        per_device=placed.per_device,
        seq_len=seq_len,
        flops_per_token=budget.flops_per_token,
        max_batch=largest,
        max_steps=_count(max_steps, "max_steps (--max-steps)"),
        force=force,
    )
    if loss is not None and isinstance(law, ThreeTermLoss):  # asked at its best batch before, when there was no other
        loss = float(law.loss(budget.count(law.n_kind), budget.D, fit.batch_tokens))
    steps = math.ceil(budget.D / fit.batch_tokens)
    warmup_steps = warmup_of(steps, warmup)
    critical_rows = rows_of(
        "critical_batch", chosen_laws, budget, loss=loss, loss_name=law.name, batch=fit.batch_tokens
    )
    critical = overhead_of(critical_rows, fit.batch_tokens)
    at = min(float(fit.batch_tokens), batch.value)  # the learning rate rises with the batch up to the best one
    rate_rows = rows_of("learning_rate", chosen_laws, budget, loss=loss, loss_name=law.name, batch=at)
    with nearest_told(budget, law, chosen_laws, are_named):
        chosen_rate = choose_rate(rate_rows, are_named=are_named, force=force)
    learning_rate, rate_how = _scaled(chosen_rate, batch_rows, batch.value, fit.batch_tokens, gamma)
    reach = [
        row
        for row in rate_rows
        if row.value is not None and not row.is_ruled_out and (row.is_fitted or row.extrapolation is not None)
        and (row.extrapolation or 0.0) <= MAX_DECADES
    ]  # fmt: skip
    low, high = ends_of(reach) if reach else (None, None)
    if chosen_rate is None:
        warnings.append("No law of the learning rate reaches there; tune it, or fit your own law to a small sweep.")
    elif low and high and high[0] / low[0] > DISAGREEMENT:
        warnings.append(
            f"Laws disagree: {low[1]} says a learning rate of {low[0]:.3g}, {high[1]} {high[0]:.3g}; their schedules "
            "differ, too."
        )
    warnings += [] if chosen_rate is None else own_rate_doubts(chosen_rate.rows[0], reach)
    warnings += [*batch.warnings, *(chosen_rate.warnings if chosen_rate else ()), *fit.warnings, *critical.warnings]
    warnings += [*placed.warnings, *short_training(steps, warmup_steps)]
    flat = _flat(surface, fitted, budget.D)
    if flat is not None and not flat[0] <= fit.batch_tokens <= flat[1]:
        warnings.append(
            f"The batch is outside the flat region, {short(flat[0])} to {short(flat[1])} tokens, of the one public "
            "sweep that shows it (StepLaw's, unless a card of yours has one)."
        )
    realised = steps * fit.batch_tokens
    hours = realised * budget.flops_per_token / rate
    return Plan(
        params=budget.N,
        counts={} if shape is None else _counts(shape),
        tokens=budget.D,
        optimal_ratio=_optimal_ratio(law, budget),
        tokens_realised=realised,
        compute=realised * budget.flops_per_token,
        flops_per_token=budget.flops_per_token,
        counted=budget.counted,
        story=budget.story,
        batch_tokens=fit.batch_tokens,
        batch_wanted=batch.value,
        batch_low=smallest[0],
        batch_high=greatest[0],
        batch_how=f"{batch.how}: {', '.join(batch.names)}",
        batch_change=fit.change,
        batch_limit=fit.limit,
        flat=flat,
        critical_batch=critical.critical_batch,
        critical_batch_how=critical.how,
        overhead=critical.factors,
        learning_rate=learning_rate,
        learning_rate_how=rate_how,
        learning_rate_caveat=chosen_rate.rows[0].caveat if chosen_rate else "",
        learning_rate_end=_end(chosen_rate, learning_rate),
        learning_rate_low=low[0] if low else None,
        learning_rate_high=high[0] if high else None,
        steps=steps,
        warmup_steps=warmup_steps,
        seq_len=seq_len,
        world_size=processes,
        per_device=placed.per_device,
        accumulation=fit.accumulation,
        loss=loss,
        loss_law=law.name,
        gpu=accelerator.name,
        gpus=number,
        mfu=mfu,
        gpu_hours=hours,
        days=None if number is None else hours / number / 24,
        cost=None if price_per_gpu_hour is None else hours * price_per_gpu_hour,
        memory=placed.memory,
        memory_shape="" if laid is None else laid.name,
        shard=placed.shard,
        rows=marked([*batch_rows, *critical_rows, *rate_rows], batch, chosen_rate),
        warnings=tuple(warnings),
    )


def loss_law_of(name: str | None, fitted: Sequence[Any]) -> LossLaw:
    """Give the law that allocates: the one named, else the user's own, else besiroglu2024.

    Raises:
        ConfigError: There is no such law, or it is none of the loss.
    """
    if name is None:
        own = [card.law for card in fitted if isinstance(card.law, LossLaw)]
        own.sort(key=lambda law: isinstance(law, ThreeTermLoss))  # that one was fitted for its batch
        return own[0] if own else loss_law_of("besiroglu2024", ())
    mine = [card.law for card in fitted if card.law.name == name]
    mine.sort(key=lambda law: not isinstance(law, LossLaw))  # cards of one name: the one of the loss is meant
    law = mine[0] if mine else get(name)
    if not isinstance(law, LossLaw):
        raise ConfigError(f"loss_law (--loss-law) is {name!r}, which gives no loss of N and D; besiroglu2024 does.")
    return law


def flat_region(law: ThreeTermLoss, tokens: float, nats: float = FLAT_NATS) -> tuple[float, float]:
    """Give the smallest and the largest batch whose loss is within `nats` of the best one's for the tokens."""
    best = float(law.best_batch(tokens))
    ends = []
    for sign in (-1.0, 1.0):
        inside, outside = 0.0, sign
        while law.excess(tokens, best * math.exp(outside)) <= nats and abs(outside) < 100:
            inside, outside = outside, 2 * outside
        for _ in range(60):  # halves until the last digit
            middle = (inside + outside) / 2
            is_flat = law.excess(tokens, best * math.exp(middle)) <= nats
            inside, outside = (middle, outside) if is_flat else (inside, middle)
        ends.append(best * math.exp(inside))
    return ends[0], ends[1]


def _compute(compute: float | str | None, gpus: int | None, days: float | str | None, per_hour: float) -> float | None:
    """Give the compute that was given, or that the GPUs make in the days."""
    given = _count(compute, "compute (--flops)")
    if days is None:
        return given
    if gpus is None:
        raise ConfigError("days came without gpus; give their number, too: gpus='8xH100' (--gpus 8xH100).")
    made_in = days_of(days, "days (--days)")
    made = gpus * 24 * made_in * per_hour
    if given is not None and abs(given / made - 1) > 0.05:
        raise ConfigError(
            f"compute (--flops) is {flops_of(given)}, and {gpus} GPUs make {flops_of(made)} in {made_in:g} days; leave "
            "one of the two out."
        )
    return made if given is None else given


def _count(value: float | str | None, name: str) -> float | None:
    return None if value is None else count_of(value, name)


def _predict_loss(law: LossLaw, budget: Budget, unique: float | None, force: bool) -> tuple[float | None, list[str]]:
    n = budget.count(law.n_kind)
    loss = law.loss(n, budget.D, unique) if isinstance(law, DataLimitedLoss) else law.loss(n, budget.D)
    distance = law.domain.distance(N=n, D=budget.D)
    if distance > MAX_DECADES and not force:
        near = nearest_inside(law.name, {"N": law.domain.N, "D": law.domain.D}, {"N": n, "D": budget.D})
        return None, [
            f"No loss is predicted: {law.name} is {distance:.1f} decades away; two decades beyond its range end at "
            f"{near}."
        ]
    if distance > 1:
        return float(loss), [f"The loss of {law.name} is extrapolated by {distance:.1f} decades."]
    return float(loss), []


def _optimal_ratio(law: LossLaw, budget: Budget) -> float | None:
    """Give D/N that the loss law would choose for the compute, if it may be asked there."""
    try:
        best = law.optimal(budget.C, flops_per_token_per_param=budget.flops_per_token / budget.N)
    except ConfigError:  # it has no optimum, or its constants are rounded too far
        return None
    return None if law.domain.distance(N=best.N, D=best.D) > MAX_DECADES else float(best.D / best.N)


def _laid_out(budget: Budget, shape: ModelShape | None) -> ModelShape | None:
    """Give the model whose memory is estimated: the user's, or a Llama of that size."""
    if shape is not None:
        return replace(shape, name=shape.name or "the model given")
    try:
        return replace(suggest_shape(budget.N), name=f"a Llama of about {short(budget.N)} parameters [ours]")
    except ConfigError:  # smaller than its vocabulary, or larger than all known
        return None


def _scaled(
    chosen: Chosen | None, batches: list[LawRow], wanted: float, batch: int, gamma: float
) -> tuple[float | None, str]:
    """Scale a law's learning rate down to a batch below the one that it goes with; above it stays (spec 2.9)."""
    if chosen is None:
        return None, "no law"
    row = chosen.rows[0]
    if "B" in row.inputs:  # it has the batch in it
        told = f"; asked at the best batch, {short(wanted)}: beyond it the learning rate does not rise"
        return chosen.value, chosen.how + (told if batch > 1.02 * wanted else "")
    same = [one.value for one in batches if (one.law, one.is_fitted) == (row.law, row.is_fitted) and one.value]
    partner = same[0] if len(same) == 1 else wanted  # two laws of one name may be of different runs
    factor = float(learning_rate_scale(batch, partner, partner, gamma))
    if factor > 0.98:
        return chosen.value, chosen.how
    told = f"{chosen.how}; x {factor:.2f} for a batch below its {short(partner)}, as B^{gamma:g}"
    return chosen.value * factor, told


def _end(chosen: Chosen | None, learning_rate: float | None) -> float | None:
    """Give where the schedule of the law ends; below that end there is nothing to fall."""
    end = None if chosen is None else chosen.rows[0].final_learning_rate
    return end if end is not None and learning_rate is not None and end < learning_rate else None


def _flat(surface: Any, fitted: Sequence[Any], tokens: float) -> tuple[float, float] | None:
    """Give the flat region, where a three-term law knows of it: its runs are within a decade."""
    cards = [*fitted, *([surface] if surface is not None else [])]
    law = next((card.law for card in cards if isinstance(card.law, ThreeTermLoss)), None)
    return None if law is None or law.domain.distance(D=tokens) > 1 else flat_region(law, tokens)


def _counts(shape: ModelShape) -> dict[str, int]:
    return {name: getattr(shape, name) for name in ("non_embedding", "with_head", "total", "active")}
