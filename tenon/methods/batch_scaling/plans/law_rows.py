"""Every law's answer at one point, with how far it is from the law's range, and which answers a plan may rest on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tenon.core.errors import ConfigError, DataError
from tenon.methods.batch_scaling import laws as registry
from tenon.methods.batch_scaling.laws.law import Law, Quantity
from tenon.methods.batch_scaling.plans.allocation import MAX_DECADES, Budget, nearest_inside
from tenon.methods.batch_scaling.plans.units import short

__all__ = [
    "Chosen",
    "LawRow",
    "choose_batch",
    "choose_rate",
    "ends_of",
    "geometric_median",
    "laws_of",
    "marked",
    "rows_of",
]

ONLY_AT_RATIO = {"porian2024": 20.0, "zhang2024.optimal": 20.0}
"""Laws of N alone that were measured at one D/N; a factor 2 beside it they are not used."""

USUAL_RATIO = 20.0
"""D/N about which trainings are planned. A law of D whose range of D was not published is used only where the plan's
own D/N is within `MAX_DECADES` of it [ours]: runs of ordinary model sizes had about so many tokens."""

DISAGREEMENT = 4.0
"""Largest over smallest batch of the laws in use, from which on a plan says so."""


_REACHES = (
    (0.5, "within a factor 3 of their known range"),
    (1.0, "up to a decade outside"),
    (MAX_DECADES, "up to two"),
)


@dataclass(frozen=True, kw_only=True)
class LawRow:
    """What a law says."""

    law: str
    """Its name."""
    quantity: Quantity
    """What it gives."""
    value: float | None
    """In the quantity's unit; None: it gives none here."""
    extrapolation: float | None = None
    """Largest distance from the law's known ranges [decades]; None: none is known."""
    unknown: tuple[str, ...] = ()
    """Inputs of the law whose range is not known: in these it may be extrapolated by more than that."""
    used: bool = False
    """Whether the plan rests on it."""
    why: str = ""
    """Why not, or what to know of it."""
    is_fitted: bool = False
    """Whether it is the user's own."""
    is_ruled_out: bool = False
    """Whether it must not be used here, unless it was named."""
    inputs: tuple[str, ...] = ()
    """What it needs."""
    caveat: str = ""
    """What must be known of it: schedule, optimizer, data."""
    final_learning_rate: float | None = None
    """Where the schedule that its learning rate belongs to ends; None: not stated."""


@dataclass(frozen=True)
class Chosen:
    """What the laws come to."""

    value: float
    rows: tuple[LawRow, ...]
    """The answers it rests on; rows and no names, for two laws may have the same one."""
    how: str
    warnings: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The laws it rests on."""
        return tuple(row.law for row in self.rows)


def laws_of(names: str | Sequence[str], fitted: Sequence[Any]) -> list[tuple[Law, bool]]:
    """Give the laws to ask, a user's own first, each with whether it is that.

    Raises:
        ConfigError: A name is unknown.
    """
    if isinstance(names, str) and names != "all":
        names = [names]
    published = registry.every() if names == "all" else [registry.get(name) for name in names]
    return [*((card.law, True) for card in fitted), *((law, False) for law in published)]


def rows_of(
    quantity: Quantity,
    laws: Sequence[tuple[Law, bool]],
    budget: Budget,
    *,
    loss: float | None,
    loss_name: str,
    batch: float | None = None,
) -> list[LawRow]:
    """Ask all laws for a quantity.

    Args:
        quantity: `batch`, `critical_batch` or `learning_rate`.
        laws: Those to ask; others than such that give it are passed over.
        budget: The point.
        loss: L for laws that need it [nats]; from another law, and so from other data.
        loss_name: Where that is from.
        batch: The plan's batch [tokens], for laws of the learning rate and a user's own of the critical batch.
    """
    return [
        _ask(law, is_fitted, quantity, budget, loss, loss_name, batch)
        for law, is_fitted in laws
        if quantity in law.gives()
    ]


def _ask(
    law: Law,
    is_fitted: bool,
    quantity: Quantity,
    budget: Budget,
    loss: float | None,
    loss_name: str,
    batch: float | None,
) -> LawRow:
    needs = law.inputs(quantity)
    row = LawRow(
        law=law.name, quantity=quantity, value=None, is_fitted=is_fitted, inputs=needs, caveat=law.caveat,
        final_learning_rate=law.final_learning_rate if quantity == "learning_rate" else None,
    )  # fmt: skip
    if not law.is_known(quantity):
        return replace(row, why="coefficient not known: only scale(...) of a tuned run of yours")
    is_critical = quantity == "critical_batch"
    point, notes = _point(law, needs, budget, loss, loss_name, None if is_critical else batch)
    try:
        if is_critical and is_fitted and "D" in needs and batch is not None:
            point["D"] = _fewest_tokens(law, point, batch)
            notes.append(f"at E_min = {short(point['D'])}, the tokens of a tiny batch for the same loss")
        value, distance = law.predict(quantity, **point)
    except (ConfigError, DataError) as error:
        return replace(row, why=str(error))
    known = [name for name in ("N", "D", "C", "B", "L") if getattr(law.domain, name) is not None and name in point]
    unknown = tuple(name for name in needs if name not in known)
    row = replace(row, value=float(value), extrapolation=float(distance) if known else None, unknown=unknown)
    if not known and not is_fitted:
        notes.append("the range of its runs is not known")
    elif unknown:
        notes.append(f"range of {', '.join(unknown)} not known")
    beside = law.recommended.distance(**{name: one for name, one in point.items() if name != "L"})
    ratio = ONLY_AT_RATIO.get(law.name)
    off = ratio is not None and abs(math.log(budget.D / budget.N / ratio)) > math.log(2)
    if beside > 0:
        notes.append(f"not recommended here: {law.caveat.split('. ')[-1].rstrip('.')}")
    if off:
        notes.append(f"only at D/N of about {ratio:g}, not {budget.D / budget.N:.3g}")
    if "D" in unknown and not is_fitted and abs(math.log10(budget.D / budget.N / USUAL_RATIO)) > MAX_DECADES:
        notes.append(f"and D/N = {budget.D / budget.N:.3g} is over two decades from {USUAL_RATIO:g}")
        off = True
    alone = [name for name in known if len(set(getattr(law.domain, name))) == 1]  # measured at one value only
    if alone and distance > math.log10(2):
        notes.append(f"only at {alone[0]} = {short(getattr(law.domain, alone[0])[0])}")
        off = True
    if distance > MAX_DECADES:
        near = nearest_inside(law.name, {name: getattr(law.domain, name) for name in point}, point)
        notes.insert(0, f"{distance:.1f} decades outside its range; two decades beyond it end at {near}")
    return replace(row, why="; ".join(notes), is_ruled_out=beside > 0 or off)


def _point(
    law: Law, needs: tuple[str, ...], budget: Budget, loss: float | None, loss_name: str, batch: float | None
) -> tuple[dict[str, float], list[str]]:
    """Give the inputs in the law's own counting, and what is to be said of them."""
    notes: list[str] = []
    n = budget.count(law.n_kind)
    c = 6 * n * budget.D
    if law.c_definition.startswith("M"):
        if budget.deepseek_flops is not None:
            c = budget.deepseek_flops
        elif "C" in needs:
            notes.append("C = 6 N D in place of M D: the model is not known")
    point = {"N": n, "D": budget.D, "C": c}
    if batch is not None:
        point["B"] = batch
    if loss is not None and "L" in needs:
        point["L"] = loss
        notes.append(f"L = {loss:.3f} is {loss_name}'s, of other data")
    return point, notes


def _fewest_tokens(law: Law, point: dict[str, float], batch: float) -> float:
    """Solve E_min = D / (1 + B / B_crit(E_min)): our fits of critical batches have E_min where others write D.

    From D downwards the solution is approached monotonically, by the exponent's factor or faster with every step.
    """
    least = point["D"]
    for _ in range(50):
        least = point["D"] / (1 + batch / law.critical_batch(**{**point, "D": least}))
    return float(least)


def geometric_median(values: Sequence[float]) -> float:
    """Give the median of logarithms: of an even number the geometric mean of the middle two.

    >>> round(geometric_median([1.0, 100.0, 10.0]), 9), round(geometric_median([1.0, 100.0]), 9)
    (10.0, 10.0)
    """
    logs = sorted(math.log(value) for value in values)
    middle = len(logs) // 2
    if len(logs) % 2:
        return float(sorted(values)[middle])
    return math.exp((logs[middle - 1] + logs[middle]) / 2)


def choose_batch(rows: Sequence[LawRow], *, are_named: bool, force: bool) -> Chosen:
    """Choose the batch: the user's own law if it reaches there, else the geometric median of the nearest laws.

    Laws within a factor 3 of their range count first; if they are fewer than two, those up to one decade outside, then
    up to two.

    Args:
        rows: Of the quantity `batch`; never of critical batches.
        are_named: Whether the user named the laws; then none is left out for being not recommended.
        force: Take laws at any distance.

    Raises:
        ConfigError: No law reaches there.
    """
    assert all(row.quantity == "batch" for row in rows), "a critical batch is no best batch"
    told = [row for row in rows if row.value is not None]
    own = [row for row in told if row.is_fitted]
    for row in own:
        if (row.extrapolation or 0.0) <= MAX_DECADES or force:
            return _chosen([row], "your own law", row.extrapolation or 0.0)
    if own and not force:
        raise ConfigError(_too_far(own, "batch"))
    usable = [row for row in told if are_named or (not row.is_ruled_out and row.extrapolation is not None)]
    for reach, words in _REACHES:
        near = [row for row in usable if (row.extrapolation or 0.0) <= reach]
        if near and (len(near) >= min(2, len(usable)) or reach == MAX_DECADES):
            farthest = max(row.extrapolation or 0.0 for row in near)
            return _chosen(
                near, f"geometric median of {len(near)} laws {words}" if len(near) > 1 else "one law", farthest
            )
    if force and told:
        nearest_row = min(told, key=lambda row: row.extrapolation or 0.0)
        return _chosen([nearest_row], "the nearest law, forced", nearest_row.extrapolation or 0.0)
    if not told:
        listed = "; ".join(f"{row.law}: {row.why}" for row in rows) or "none of those named is a law of the batch"
        raise ConfigError(f"No law gives a batch here: {listed}; name others, or give laws='all'.")
    raise ConfigError(_too_far(usable or told, "batch"))


def _chosen(rows: Sequence[LawRow], how: str, farthest: float) -> Chosen:
    warnings = []
    if farthest > 1:
        far = max(rows, key=lambda row: row.extrapolation or 0.0)
        warnings.append(
            f"The batch of {far.law} is extrapolated by {farthest:.1f} decades (a factor {10**farthest:.3g})."
        )
    low, high = ends_of(rows)
    if high[0] / low[0] > DISAGREEMENT:
        warnings.append(
            f"Laws disagree: {low[1]} says a batch of {short(low[0])} tokens, {high[1]} {short(high[0])}, "
            f"{high[0] / low[0]:.1f} times as much. A small sweep of yours would settle it."
        )
    middle = geometric_median([row.value for row in rows if row.value is not None])
    return Chosen(middle, tuple(rows), how, tuple(warnings))


def ends_of(rows: Sequence[LawRow]) -> tuple[tuple[float, str], tuple[float, str]]:
    """Give the smallest and the largest value, each with its law."""
    found = [(row.value, row.law) for row in rows if row.value is not None]
    return min(found), max(found)


def choose_rate(rows: Sequence[LawRow], *, are_named: bool, force: bool) -> Chosen | None:
    """Choose one law for the learning rate, never a mean of several: they belong to different schedules.

    The user's own comes first; then the nearest by its range; of equally near ones that with the most inputs, then the
    latest. None: no law reaches there.

    Raises:
        ConfigError: The user's own does not reach there.
    """
    told = [row for row in rows if row.value is not None]
    own = [row for row in told if row.is_fitted]
    if own and not force and min(row.extrapolation or 0.0 for row in own) > MAX_DECADES:
        raise ConfigError(_too_far(own, "learning rate"))
    usable = [
        row for row in told if row.is_fitted or are_named or (not row.is_ruled_out and row.extrapolation is not None)
    ]
    usable = [row for row in usable if (row.extrapolation or 0.0) <= MAX_DECADES or force]
    if not usable:
        return None
    best = min(
        enumerate(usable),
        key=lambda one: (not one[1].is_fitted, one[1].extrapolation or 0.0, -len(one[1].inputs), -one[0]),
    )[1]
    distance = best.extrapolation or 0.0
    where = "within its range" if distance == 0 else f"{distance:.1f} decades outside its range"
    if best.unknown:
        where += f", as far as that is known (not of {', '.join(best.unknown)})"
    far = f"The learning rate of {best.law} is extrapolated by {distance:.1f} decades (a factor {10**distance:.3g})."
    warnings = (far,) if distance > 1 else ()
    assert best.value is not None
    return Chosen(best.value, (best,), f"{best.law}, {'yours, ' if best.is_fitted else ''}{where}", warnings)


def marked(rows: Sequence[LawRow], batch: Chosen, rate: Chosen | None) -> tuple[LawRow, ...]:
    """Say of every answer whether the plan rests on it, and if not, why."""
    told = []
    for row in rows:
        chosen = {"batch": batch, "learning_rate": rate}.get(row.quantity)
        is_used = chosen is not None and any(row is one for one in chosen.rows)
        reason = "" if is_used else _why_not(row, chosen)
        told.append(replace(row, used=is_used, why="; ".join(filter(None, (row.why, reason)))))
    return tuple(told)


def _why_not(row: LawRow, chosen: Chosen | None) -> str:
    """Give the reason for which an answer is not used, unless its remark has that already."""
    if row.quantity == "critical_batch":
        return "" if row.why else "for information"
    if chosen is None or row.value is None or row.is_ruled_out or (row.extrapolation or 0.0) > MAX_DECADES:
        return ""
    best = chosen.rows[0]
    if best.is_fitted and not row.is_fitted:
        return "your own law comes first"
    if row.extrapolation is None and not row.is_fitted:
        return ""
    if (row.extrapolation or 0.0) > max(one.extrapolation or 0.0 for one in chosen.rows):
        return "others are nearer to their range"
    if row.quantity == "batch":
        return f"{best.law} comes first"
    if len(row.inputs) < len(best.inputs):
        return f"{best.law} is as near and has more inputs"
    return f"{best.law} is as near and later"


def _too_far(rows: Sequence[LawRow], what: str) -> str:
    listed = "; ".join(f"{row.law} is {row.why or f'{row.extrapolation:.1f} decades away'}" for row in rows)
    return (
        f"No law of the {what} may be used here; at most {MAX_DECADES:g} decades outside its range are allowed. "
        f"{listed}. Plan nearer to those, give your own law, fitted=[...] (--card CARD), or force=True (--force)."
    )
