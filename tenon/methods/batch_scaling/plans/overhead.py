"""What a batch costs beside a tiny one, by the laws of the critical batch: 1 + B/B_crit times the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tenon.methods.batch_scaling.laws.published_batch import overhead_at_critical
from tenon.methods.batch_scaling.plans.law_rows import LawRow, geometric_median
from tenon.methods.batch_scaling.plans.units import short

__all__ = ["Overhead", "overhead_of"]

WASTEFUL = 3.0
"""Factor of tokens, 1 + B/B_crit, from which on a plan warns: B is twice the critical batch there."""

NEAR = 1.0
"""Decades outside its range up to which a law takes part."""


class Overhead(NamedTuple):
    """The critical batch of a plan, and what the plan's own batch costs."""

    critical_batch: float | None
    """Tokens per step, at twice the tokens; None: no law reaches."""
    how: str
    """By whose laws."""
    factors: tuple[float, float] | None
    """Least and largest number of times the tokens of a tiny batch."""
    warnings: tuple[str, ...] = ()
    """Whether the batch is wasteful."""


def overhead_of(rows: Sequence[LawRow], batch: int) -> Overhead:
    """Give the critical batch of the laws that reach, one's own before others, and the cost of a batch by them."""
    near: dict[str, LawRow] = {}
    for number, row in enumerate(rows):
        if row.value is None or row.is_ruled_out or row.extrapolation is None or row.extrapolation > NEAR:
            continue
        paper = str(number) if row.is_fitted else row.law.split(".")[0]
        if paper not in near or row.extrapolation < (near[paper].extrapolation or 0.0):  # its laws are of the same runs
            near[paper] = row
    near = {name: row for name, row in near.items() if row.is_fitted} or near  # one's own come first
    if not near:
        return Overhead(None, "", None)
    how = ", ".join(f"{row.law}, yours" if row.is_fitted else row.law for row in near.values())
    far = [row for row in rows if row.is_fitted and row.extrapolation is not None and row.extrapolation > NEAR]
    if far and not any(row.is_fitted for row in near.values()):
        how += f"; your own {far[0].law} is {far[0].extrapolation:.1f} decades outside its range"
    factors = [1 + overhead_at_critical(row.law) * batch / row.value for row in near.values() if row.value is not None]
    ends, middle = (min(factors), max(factors)), geometric_median(factors)
    warnings: tuple[str, ...] = ()
    if middle > WASTEFUL:
        warnings = (
            f"A batch of {short(batch)} tokens is over twice the critical one: it takes about {middle:.1f} times the "
            f"tokens of a small batch for the same loss ({ends[0]:.1f} to {ends[1]:.1f} over {len(factors)} laws), by "
            "1 + B/B_crit.",
        )
    return Overhead(geometric_median([batch / (factor - 1) for factor in factors]), how, ends, warnings)
