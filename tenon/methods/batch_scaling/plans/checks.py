"""What a plan refuses, and what it warns of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.laws import Law
from tenon.methods.batch_scaling.laws.loss import DataLimitedLoss, LossLaw
from tenon.methods.batch_scaling.plans.allocation import MAX_DECADES, Budget
from tenon.methods.batch_scaling.plans.batch import MIN_STEPS
from tenon.methods.batch_scaling.plans.law_rows import LawRow, choose_batch, choose_rate, rows_of
from tenon.methods.batch_scaling.plans.model_shape import ModelShape
from tenon.methods.batch_scaling.plans.units import short

__all__ = [
    "check_cards",
    "check_reach",
    "check_unique",
    "long_rows",
    "nearest_compute",
    "nearest_told",
    "own_rate_doubts",
    "short_training",
]

SHORT = 2000
"""Steps below which a plan warns."""


def check_cards(fitted: Sequence[Any], force: bool) -> list[str]:
    """Refuse laws that their runs do not pin down; give what their cards warn of."""
    warnings = []
    for card in fitted:
        if card.identified:
            warnings += [f"{card.law.name}: {one}" for one in card.warnings]
            continue
        why = "; ".join(card.warnings) or "its card says so"
        if not force:
            raise ConfigError(
                f"Your law {card.law.name} is not pinned down by its runs ({why}). Fit it to more varied runs, leave "
                "it out, or force=True (--force)."
            )
        warnings.append(f"Forced: your law {card.law.name} is not pinned down by its runs ({why}).")
    return warnings


def check_unique(unique: float | None, budget: Budget, law: LossLaw, force: bool) -> list[str]:
    """Refuse more tokens than there are: laws of one epoch say nothing of the second."""
    if unique is None or unique >= budget.D or isinstance(law, DataLimitedLoss):
        return []
    epochs = budget.D / unique
    what = f"{short(budget.D)} tokens are {epochs:.2g} epochs of {short(unique)}: one-epoch laws do not cover that."
    if not force:
        raise ConfigError(
            f"{what} Nearest feasible: tokens={unique:.4g} (--tokens {unique:.4g}); or give a data-limited law of your "
            "own, fitted=[...] (--card CARD); or force=True (--force)."
        )
    return [f"Forced: {what}"]


def check_reach(budget: Budget, law: LossLaw, chosen: Sequence[tuple[Law, bool]], are_named: bool) -> None:
    """Refuse a budget that was shared by a law far outside the runs behind it."""
    distance = law.domain.distance(N=budget.N, D=budget.D, C=6 * budget.N * budget.D)
    if budget.is_allocated and distance > MAX_DECADES:
        raise ConfigError(
            f"{law.name} would allocate N = {short(budget.N)} and D = {short(budget.D)}, {distance:.1f} decades "
            f"outside the runs it was fitted to; at most {MAX_DECADES:g} are allowed. "
            f"{nearest_compute(budget, law, chosen, are_named)} Or give both params and tokens (--params, "
            "--tokens), or force=True (--force)."
        )


def nearest_compute(budget: Budget, law: LossLaw, chosen: Sequence[tuple[Law, bool]], are_named: bool) -> str:
    """Say which compute, shared by the loss law, is the nearest at which the laws give batch and learning rate."""

    def reaches(log_c: float) -> bool:
        best = law.optimal(10**log_c)
        if law.domain.distance(N=best.N, D=best.D, C=10**log_c) > MAX_DECADES:
            return False
        at = Budget(N=best.N, D=best.D, C=10**log_c, flops_per_token=6 * best.N, counted="", story="")
        loss = float(best.loss)
        rows = rows_of("batch", chosen, at, loss=loss, loss_name=law.name)
        try:
            batch = choose_batch(rows, are_named=are_named, force=False).value
            rates = rows_of("learning_rate", chosen, at, loss=loss, loss_name=law.name, batch=batch)
            choose_rate(rates, are_named=are_named, force=False)
        except ConfigError:
            return False
        return bool(MIN_STEPS * batch <= best.D)

    wanted = math.log10(budget.C)
    covered = [step / 4 for step in range(4 * 8, 4 * 32) if reaches(step / 4)]
    if not covered:
        return ""
    inside, outside = min(covered, key=lambda one: abs(one - wanted)), wanted
    for _ in range(20):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if reaches(middle) else (inside, middle)
    digits = 10 ** (math.floor(inside) - 2)  # three digits, rounded towards where it is feasible
    near = digits * (math.floor if inside < wanted else math.ceil)(10**inside / digits)
    return (
        "" if reaches(wanted) else f"Nearest feasible: compute={near:.3g} (--flops {near:.3g}), shared by {law.name}."
    )


@contextmanager
def nearest_told(budget: Budget, law: LossLaw, chosen: Sequence[tuple[Law, bool]], are_named: bool) -> Iterator[None]:
    """Say beside a refusal of the laws which compute is the nearest that they reach."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{error} {nearest_compute(budget, law, chosen, are_named)}".rstrip()) from error


def own_rate_doubts(own: LawRow, others: Sequence[LawRow]) -> list[str]:
    """Doubt a user's own learning rate that is outside its runs and above all published laws inside theirs.

    A rate that was fitted at one model size says nothing of its fall with size, and too high a rate diverges.
    """
    inside = [row.value for row in others if not row.is_fitted and row.extrapolation == 0 and row.value is not None]
    if not own.is_fitted or not own.extrapolation or not inside or own.value is None or own.value <= max(inside):
        return []
    return [
        f"Your law's learning rate of {own.value:.3g}, {own.extrapolation:.1f} decades outside its runs, is above "
        f"those of all published laws that are inside theirs (at most {max(inside):.3g}): too high a rate diverges."
    ]


def long_rows(shape: ModelShape | None, seq_len: int) -> list[str]:
    """Warn of rows beyond the model's context; no refusal, for rotary positions can be extended."""
    if shape is None or shape.context is None or seq_len <= shape.context:
        return []
    return [
        f"Rows of {seq_len:,} tokens, seq_len (--seq-len), are longer than the {shape.context:,} of the model's "
        "config: extend its positions before training, or shorten the rows."
    ]


def short_training(steps: int, warmup_steps: int) -> list[str]:
    """Give what is to be said of few steps."""
    warnings = []
    if steps < SHORT:
        warnings.append(f"Only {steps:,} steps: laws were fitted to longer trainings (from {SHORT:,} on they apply).")
    if warmup_steps > 0.25 * steps:
        warnings.append(f"The warm-up is {warmup_steps / steps:.0%} of the steps; give a smaller one.")
    return warnings
