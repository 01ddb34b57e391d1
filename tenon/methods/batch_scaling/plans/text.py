"""A plan for the terminal: what to train, what every law says, what to mind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tenon.methods.batch_scaling.plans.law_rows import LawRow
from tenon.methods.batch_scaling.plans.record import FLAT_NATS, Plan
from tenon.methods.batch_scaling.plans.units import duration, flops_of, integer, short

__all__ = ["facts_of", "law_table", "table_text", "text_of"]

_TITLES = {"batch": "best batch", "critical_batch": "critical batch", "learning_rate": "learning rate"}


def text_of(plan: Plan) -> str:
    """Give the whole plan as text."""
    facts = facts_of(plan)
    width = max(map(len, facts))
    lines = [plan.story, "", *(f"{name.ljust(width)}  {value}" for name, value in facts.items()), ""]
    lines.append(table_text(law_table(plan.rows)))
    lines += [f"! {one}" for one in plan.warnings]
    if plan.learning_rate is not None:
        lines += ["", plan.snippet()]
    return "\n".join(lines)


def facts_of(plan: Plan) -> dict[str, str]:
    """Give what is planned, by name, in words."""
    return dict(_facts(plan))


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    kinds = ", ".join(f"{short(count)} {name.replace('_', ' ')}" for name, count in plan.counts.items())
    yield "parameters N", f"{short(plan.params)} ({kinds or 'no model given, so in every way of counting'})"
    best = "" if plan.optimal_ratio is None else f" ({plan.loss_law} holds {plan.optimal_ratio:.3g} to be optimal)"
    yield "tokens D", f"{short(plan.tokens)}, D/N = {plan.tokens / plan.params:.3g}{best}"
    yield "compute C", f"{flops_of(plan.compute)} ({plan.counted})"
    spread = f"laws in use say {short(plan.batch_low)} to {short(plan.batch_high)}"
    yield "batch B", f"{integer(plan.batch_tokens)} tokens = {integer(plan.batch_tokens / plan.seq_len)} rows; {spread}"
    made = f"rounded by {plan.batch_change:+.1%}"
    if plan.batch_limit:
        made = f"{plan.batch_limit} makes it {1 + plan.batch_change:.3g} times that"
    yield "", f"{plan.batch_how}; {made}"
    if plan.flat is not None:
        yield "flat region", f"{short(plan.flat[0])} to {short(plan.flat[1])} cost at most {FLAT_NATS:g} nats more"
    if plan.critical_batch is not None and plan.overhead is not None:
        more = " to ".join(dict.fromkeys(f"{factor - 1:.0%}" for factor in plan.overhead))
        yield "critical batch", f"{short(plan.critical_batch)} at twice the tokens ({plan.critical_batch_how})"
        yield "   ", f"this batch takes {more} more than a tiny one"
    rate = "none" if plan.learning_rate is None else f"{plan.learning_rate:.3g}"
    yield "learning rate", f"{rate} ({plan.learning_rate_how})"
    if plan.learning_rate_low is not None and plan.learning_rate_high is not None:
        yield " ", f"laws say {plan.learning_rate_low:.3g} to {plan.learning_rate_high:.3g}; never averaged"
    if plan.learning_rate_caveat:
        setting = plan.learning_rate_caveat.split(". ")[0].rstrip(".")
        yield "  ", f"its setting: {setting}"
    yield (
        "steps S",
        f"{plan.steps:,}, warm-up {plan.warmup_steps:,} [ours], then cosine to {plan.learning_rate_end or 0:g}",
    )
    layout = f"{plan.world_size} processes x {plan.per_device} rows x {plan.accumulation} accumulated"
    yield "layout", f"{layout} x {plan.seq_len} tokens; spread over GPUs: {plan.shard}"
    if plan.memory is not None:
        yield "memory per GPU", f"about {plan.memory.total / 2**30:,.1f} GiB ({plan.memory_shape})"
    hours = f"{short(plan.gpu_hours)} GPU hours of {plan.gpu} at MFU {plan.mfu:g}"
    yield "time", hours if plan.days is None else f"{duration(24 * plan.days)} on {plan.gpus} GPUs; {hours}"
    if plan.cost is not None:
        yield "cost", f"{plan.cost:,.0f}"
    if plan.loss is not None:
        yield "loss", f"{plan.loss:.3f} nats per token by {plan.loss_law}, on its own data and tokenizer"


def law_table(rows: Sequence[LawRow]) -> list[dict[str, Any]]:
    """Give the laws' answers as rows of a table."""
    return [
        {
            "quantity": _TITLES.get(row.quantity, row.quantity),
            "law": row.law + (" (yours)" if row.is_fitted else ""),
            "value": "-" if row.value is None else value_text(row),
            "decades outside": "?" if row.extrapolation is None or row.unknown else f"{row.extrapolation:.1f}",
            "used": "yes" if row.used else "",
            "remark": row.why,
        }
        for row in rows
    ]


def value_text(row: LawRow) -> str:
    """Write a value in its unit."""
    if row.value is None:
        return "-"
    return f"{row.value:.3g}" if row.quantity == "learning_rate" else short(row.value)


def table_text(rows: Sequence[dict[str, Any]]) -> str:
    """Write a table in columns; the last one as it is."""
    if not rows:
        return ""
    names = list(rows[0])
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) for name in names[:-1]]
    told = [dict(zip(names, names, strict=True)), *rows]
    return "\n".join(
        "  ".join(
            [*(str(row[name]).ljust(width) for name, width in zip(names, widths, strict=False)), str(row[names[-1]])]
        ).rstrip()
        for row in told
    )
