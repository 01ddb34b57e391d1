"""A plan on the page of its run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.fits.law_card import FittedLaw
    from tenon.methods.batch_scaling.plans.record import Plan

__all__ = ["shipped_surface", "show_plan"]

SURFACE = Path(__file__).parents[1] / "results" / "steplaw-surface.json"
"""The law card of `tenon batch-scaling fit steplaw_dense.csv --law surface`: the only public sweep that shows how flat
the loss is around the best batch."""


def shipped_surface() -> FittedLaw:
    """Give the loss against the batch as StepLaw's runs have it."""
    from tenon.methods.batch_scaling.fits.law_card import load_card

    return load_card(SURFACE)


def show_plan(run: Run, found: Plan, cards: Sequence[FittedLaw], surface: FittedLaw) -> None:
    """Show a plan: its facts, every law's answer, the batch, the share of compute, and what to paste."""
    from tenon.methods.batch_scaling.laws import every
    from tenon.methods.batch_scaling.laws.loss import LossLaw, ThreeTermLoss
    from tenon.methods.batch_scaling.plans.pictures import draw_batches, draw_isoflop
    from tenon.methods.batch_scaling.plans.text import facts_of, law_table

    own = [card.law for card in (*cards, surface)]
    losses = [one for one in (*own, *every("params")) if isinstance(one, LossLaw) and one.is_known("params")]
    run.save_json("plan", found.to_dict())
    facts = [{"what": name.strip(), "planned": value} for name, value in facts_of(found).items()]
    run.table("plan", facts, found.story)
    run.table("laws", law_table(found.rows), "What every law says, and which the plan rests on.")
    run.figure(
        "batch",
        draw_batches(found, next(one for one in own if isinstance(one, ThreeTermLoss))),
        "The batch by every law. A critical batch is where tokens begin to be wasted, not the best one.",
        "Advice of the laws on a logarithmic axis of batches, the planned one as a line.",
    )
    run.figure(
        "isoflop",
        draw_isoflop(found, [one for one in losses if not isinstance(one, ThreeTermLoss)]),
        "The loss of every model size at this compute. Laws are of different data: only the shape compares.",
        "One valley per loss law over the parameters, each with its minimum.",
    )
    for one in (*found.warnings, f"In a script:\n{found.snippet()}" if found.learning_rate else ""):
        if one:
            run.note(one)
