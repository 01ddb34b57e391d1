"""From rows as others write them to a `RunTable`: every column found, and brought to our unit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from tenon.core.errors import ConfigError, DataError
from tenon.core.values import nearest
from tenon.methods.batch_scaling.laws.law import NKind
from tenon.methods.batch_scaling.runs.names import Found, Layout, Record, Records, find, number, pairs, says_its_kind
from tenon.methods.batch_scaling.runs.table import COLUMNS, RunTable

__all__ = ["UNITS", "table_of"]

_COUNTS = {"thousands": 1e3, "millions": 1e6, "billions": 1e9, "trillions": 1e12}
UNITS: dict[str, dict[str, float | None]] = {
    "n_params": {"params": 1.0, **_COUNTS},
    "tokens": {"tokens": 1.0, "sequences": None, **_COUNTS},
    "unique_tokens": {"tokens": 1.0, "sequences": None, **_COUNTS},
    "batch": {"tokens": 1.0, "sequences": None, **_COUNTS},
    "flops": {"flops": 1.0, "petaflops": 1e15, "exaflops": 1e18, "zettaflops": 1e21, "pf-days": 8.64e19},
    "loss": {"nats": 1.0, "bits": math.log(2), "bits-per-byte": 1.0, "perplexity": None},
}
"""By quantity, the units it may be declared in and the factor to ours; the first is ours. None: not a fixed factor."""


def table_of(
    records: Records,
    layout: Layout,
    *,
    n_kind: str | None = None,
    seq_len: float | None = None,
    units: Mapping[str, str] | Sequence[str] = (),
    columns: Mapping[str, Any] | None = None,
    group: str | None = None,
) -> RunTable:
    """Find the columns, and bring them to our units. Losses may still be missing or infinite, see `run_checks`.

    Args:
        records: Rows of one file.
        layout: What is known of this kind of table.
        n_kind: Which parameters are counted; chooses among columns, where a file counts several ways.
        seq_len: Tokens of a row, where no column says it.
        units: See `UNITS`.
        columns: By our name: a column of the file, or a number for all rows.
        group: The column whose values keep rows apart.

    Raises:
        ConfigError: An option names what does not exist.
        DataError: A column is missing or can be read in two ways; a cell is no number. The message tells the place.
    """
    if layout.prepare:
        records = layout.prepare(records)
    if not records.rows:
        raise DataError(f"{records.source or 'The table'} has no runs. Give one row per training.")
    if n_kind is not None and n_kind not in get_args(NKind):
        raise ConfigError(f"n_kind (--n-kind) is {n_kind!r}; {nearest(n_kind, get_args(NKind))}.")
    found = find(records, layout, pairs(columns or {}, "columns (--column)"), n_kind, group)
    if seq_len is not None:
        found.numbers["seq_len"] = _agreeing(seq_len, found, records)
    measures = {**layout.units, **_declared(units)}
    if found.batch_unit is None and "batch" not in measures and "batch" in found.names:
        raise DataError(
            f"{records.source}: column {found.names['batch']!r} may count tokens or sequences. Say which: "
            "units batch=tokens (--unit batch=tokens), or units batch=sequences (--unit batch=sequences) and seq_len "
            "(--seq-len)."
        )
    measures.setdefault("batch", found.batch_unit or "tokens")

    rows: list[dict[str, Any]] = []
    notes = dict.fromkeys((*records.notes, *layout.notes))
    for record in records.rows:
        try:
            rows.append(_row(record, found, measures, notes))
        except DataError as error:
            if not record.is_unended or len(records.rows) == 1:
                raise
            notes[f"{record.place} was left out: the file ends within that line ({error})"] = None
    if len({row["id"] for row in rows}) < len(rows):  # then ids do not say which run is meant
        rows = [{**row, "id": row["place"]} for row in rows]
    return replace(
        RunTable.of(rows, source=records.source),
        dropped=records.dropped,
        notes=tuple(notes),
        places=tuple(row["place"] for row in rows),
        names={**found.names, "batch_tokens": found.names.get("batch", "batch_tokens")},
    )


def _declared(units: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    declared = {}
    for name, unit in pairs(units, "units (--unit)").items():
        quantity = {"batch_tokens": "batch", "params": "n_params"}.get(name, name)
        if quantity not in UNITS:
            raise ConfigError(f"units (--unit) has {name!r}; {nearest(name, UNITS)}.")
        unit = re.sub(r"[ _]+", "-", str(unit).strip().lower())
        if unit not in UNITS[quantity]:
            raise ConfigError(f"units {name}={unit} (--unit {name}={unit}); {nearest(unit, UNITS[quantity])}.")
        declared[quantity] = unit
    return declared


def _agreeing(seq_len: float, found: Found, records: Records) -> float:
    known = found.numbers.get("seq_len", seq_len)
    if known != seq_len:
        raise ConfigError(
            f"{records.source} has rows of {known:g} tokens, and seq_len (--seq-len) is given as {seq_len:g}."
        )
    name = found.names.pop("seq_len", None)
    for record in records.rows if name else ():
        value = number(record.cells.get(name or ""), f"{record.place}, column {name!r}")
        if math.isfinite(value) and value != seq_len:
            raise DataError(
                f"{record.place}, column {name!r} is {value:g}, and seq_len (--seq-len) is given as {seq_len:g}; "
                "leave out the option where the table says it."
            )
    return float(seq_len)


def _row(record: Record, found: Found, measures: Mapping[str, str], notes: dict[str, None]) -> dict[str, Any]:
    def where(quantity: str) -> str:
        return f"{record.place}, column {found.names.get(quantity, quantity)!r}"

    def cell(quantity: str) -> float:
        if quantity in found.names:
            return number(record.cells.get(found.names[quantity]), where(quantity))
        return found.numbers.get(quantity, math.nan)

    def text(column: str | None) -> str:
        value = None if column is None else record.cells.get(column)
        return "" if value is None or value != value else str(value)  # pandas' empty cells are NaN

    row: dict[str, Any] = {name: cell(name) for name in COLUMNS if name != "batch_tokens"}
    row["batch"] = cell("batch")
    for quantity, unit in measures.items():
        factor = UNITS[quantity][unit]
        if factor is not None:
            row[quantity] *= factor
        elif unit == "perplexity":
            row["loss"] = math.log(row["loss"]) if row["loss"] > 0 else math.nan
        elif math.isfinite(row[quantity]):
            if not math.isfinite(row["seq_len"]):
                raise DataError(
                    f"{where(quantity)} counts sequences, and seq_len is not said; give seq_len (--seq-len)."
                )
            row[quantity] *= row["seq_len"]
    for quantity, value in row.items():
        if quantity not in ("loss", "seed", "noise_tokens") and (value <= 0 or math.isinf(value)):
            peak = ": the peak learning rate, not the last one" if quantity == "lr" else ""
            raise DataError(f"{where(quantity)} is {value:g}; it must be finite and above 0{peak}.")

    if not math.isfinite(row["tokens"]):
        if math.isfinite(row["steps"] * row["batch"]):
            row["tokens"] = row["steps"] * row["batch"]
            notes["tokens were not said; they are steps x batch"] = None
        elif math.isfinite(row["flops"] / row["n_params"]):
            row["tokens"] = row["flops"] / (6 * row["n_params"])
            notes["tokens were not said; they are FLOPs / (6 N)"] = None
    if "batch" not in found and math.isfinite(row["tokens"] / row["steps"]):
        row["batch"] = row["tokens"] / row["steps"]
        notes["batches were not said; they are tokens / steps"] = None
    for quantity in ("n_params", "tokens"):
        if not math.isfinite(row[quantity]):
            raise DataError(f"{where(quantity)} is empty; every run needs it.")
    row["batch_tokens"] = row.pop("batch")

    kind = text(found.names.get("n_kind"))
    if kind and kind not in get_args(NKind):
        raise DataError(f"{where('n_kind')} is {kind!r}; {nearest(kind, get_args(NKind))}.")
    if found.kind and kind and kind != found.kind and not says_its_kind(found.names.get("n_params", "")):
        raise DataError(f"{where('n_kind')} says {kind}, and n_kind (--n-kind) is given as {found.kind}; leave it out.")
    row["n_kind"] = found.kind or kind
    if text(found.names.get("diverged")).strip().lower() in ("true", "1", "1.0", "yes"):
        row["loss"] = math.nan
    row["group"] = " | ".join(text(name) for name in found.group)
    row["id"] = text(found.names.get("id")) or record.short
    row["place"] = record.place
    return row
