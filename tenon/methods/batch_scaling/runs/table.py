"""A table of runs: one training per row, every column in one unit.

    n_params      parameters N, counted as `n_kind` says     seq_len        tokens of a row
    tokens        training tokens seen, D                    steps          optimizer steps
    batch_tokens  global batch B [tokens per step]           flops          training compute C [FLOPs]
    lr            peak learning rate                         unique_tokens  different tokens, where data were repeated
    loss          final loss [nats per token]                seed           of the training
    noise_tokens  gradient noise scale at its end, measured [tokens]

Missing values are NaN. Whatever a fit leaves out is in `dropped`, with its reason: nothing vanishes without a word.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tenon.core.errors import ConfigError, DataError
from tenon.core.files import json_bytes, write_atomic
from tenon.methods.batch_scaling.laws.law import NKind

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["COLUMNS", "Diverged", "Dropped", "RunTable", "join", "to_rows", "write_runs"]

COLUMNS = (
    "n_params", "tokens", "batch_tokens", "lr", "loss", "seq_len", "steps", "flops", "unique_tokens", "seed",
    "noise_tokens",
)  # fmt: skip


class Dropped(NamedTuple):
    """A run that is not used."""

    id: str
    """The row's id: its line in the file, or what its id column says."""
    reason: str
    """Why."""


class Diverged(NamedTuple):
    """Where a run of a sweep ended without a finite loss: no measurement, and yet it says that its rate is too high."""

    group: str
    n_params: float
    tokens: float
    batch_tokens: float
    lr: float


@dataclass(frozen=True, kw_only=True, eq=False)
class RunTable:
    """Columns of equal length; make one with `RunTable.of` or `tenon.methods.batch_scaling.runs.readers.read_runs`."""

    columns: Mapping[str, ndarray]
    """By name, those of `COLUMNS`; floats, NaN where a row has no value."""
    ids: tuple[str, ...]
    """One per row."""
    groups: tuple[str, ...]
    """One per row: data set and tokenizer; losses of different groups are not compared."""
    n_kind: str | None = None
    """Which parameters `n_params` counts: `non_embedding`, `with_head` or `total`; None: not said."""
    dropped: tuple[Dropped, ...] = ()
    """What was left out so far."""
    diverged: tuple[Diverged, ...] = ()
    """Of these, the runs of a sweep that have no finite loss."""
    notes: tuple[str, ...] = ()
    """What a user should know of the reading: assumed units, suspicious values."""
    source: str = ""
    """Where it came from."""
    kinds: tuple[str, ...] = ()
    """Where rows differ in it, what `n_params` counts, one per row ("" where not said); empty where all agree."""
    places: tuple[str, ...] = ()
    """One per row, for messages: `runs.csv line 3`; empty where there is no file."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The user's name of a column, by ours; for messages."""

    @classmethod
    def of(cls, rows: Any, *, n_kind: str | None = None, source: str = "") -> RunTable:
        """Make a table of rows in memory, in our units: a RunTable, a list of dicts, or a pandas frame.

        Raises:
            DataError: No rows, or a cell is no number.
        """
        import numpy

        if isinstance(rows, RunTable):
            return rows
        if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # a pandas frame
            rows = rows.to_dict("records")
        records: Sequence[Mapping[str, Any]] = list(rows)
        if not records:
            raise DataError("There are no runs: the table is empty. Give one row per training.")
        words = [str(one.get("n_kind") or "") for one in records]
        if n_kind is not None or len(set(words) - {""}) == 1:  # a row that does not say is as the others
            words = [n_kind or max(words)] * len(words)
        said, kinds = _agreed(words)
        columns = {
            name: numpy.array([_number(one.get(name), name, place) for place, one in enumerate(records, 1)])
            for name in COLUMNS
        }
        return cls(
            columns=columns,
            ids=tuple(str(one.get("id", place)) for place, one in enumerate(records, 1)),
            groups=tuple(str(one.get("group") or "") for one in records),
            n_kind=said,
            kinds=kinds,
            source=source,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def counted(self) -> NKind:
        """What a law of these runs counts: what the table says, which its readers have checked, else no embeddings."""
        return cast(NKind, self.n_kind or "non_embedding")

    def __getitem__(self, name: str) -> ndarray:
        """Give a column."""
        return self.columns[name]

    def has(self, name: str) -> bool:
        """Say whether every row has a value in a column."""
        import numpy

        return bool(numpy.isfinite(self.columns[name]).all()) and len(self) > 0

    def keep(self, mask: Sequence[bool] | ndarray, reason: str | Callable[[int], str]) -> RunTable:
        """Give the table without the rows where `mask` is false, which are listed as dropped for this reason."""
        import numpy

        kept = numpy.asarray(mask, dtype=bool)
        gone = tuple(
            Dropped(self.ids[i], reason if isinstance(reason, str) else reason(i))
            for i in numpy.flatnonzero(~kept).tolist()
        )
        return replace(self.take(numpy.flatnonzero(kept)), dropped=(*self.dropped, *gone))

    def take(self, places: Sequence[int] | ndarray) -> RunTable:
        """Give the rows at these places, in this order; a place may come more than once (resampling)."""
        import numpy

        where = numpy.asarray(places, dtype=int).tolist()
        n_kind, kinds = _agreed([self.kinds[i] for i in where]) if self.kinds else (self.n_kind, ())
        return replace(
            self,
            columns={name: column[where] for name, column in self.columns.items()},
            ids=tuple(self.ids[i] for i in where),
            groups=tuple(self.groups[i] for i in where),
            n_kind=n_kind,
            kinds=kinds,
            places=tuple(self.places[i] for i in where) if self.places else (),
        )

    def where(self, row: int, column: str | None = None) -> str:
        """Name a row, and a column of it, as the user knows them."""
        place = self.places[row] if self.places else f"Run {self.ids[row]!r}"
        return place if column is None else f"{place}, column {self.names.get(column, column)!r}"

    def sha256(self) -> str:
        """Give a hash of all values in order: what a fitted law remembers of its data."""
        digest = hashlib.sha256()
        for name in COLUMNS:
            digest.update(name.encode() + self.columns[name].astype("<f8").tobytes())
        digest.update("\0".join((str(self.n_kind), *self.groups)).encode())
        if self.diverged:
            digest.update(repr(self.diverged).encode())
        return digest.hexdigest()


def join(tables: Sequence[RunTable]) -> RunTable:
    """Give the rows of several tables as one, in their order.

    Raises:
        DataError: There are no tables.
    """
    import numpy

    if not tables:
        raise DataError("There are no tables to join; give one or more.")
    if len(tables) == 1:
        return tables[0]
    ids = [id for one in tables for id in one.ids]
    if len(set(ids)) < len(ids):  # lines of several files
        tables = [_under_source(one) for one in tables]
    n_kind, kinds = _agreed([kind for one in tables for kind in one.kinds or (one.n_kind or "",) * len(one)])
    return RunTable(
        columns={name: numpy.concatenate([one.columns[name] for one in tables]) for name in COLUMNS},
        ids=tuple(id for one in tables for id in one.ids),
        groups=tuple(group for one in tables for group in one.groups),
        n_kind=n_kind,
        dropped=tuple(gone for one in tables for gone in one.dropped),
        diverged=tuple(gone for one in tables for gone in one.diverged),
        notes=tuple(dict.fromkeys(note for one in tables for note in one.notes)),
        source=", ".join(dict.fromkeys(one.source for one in tables if one.source)),
        kinds=kinds,
        places=tuple(one.where(row) for one in tables for row in range(len(one))),
        names={ours: theirs for one in reversed(tables) for ours, theirs in one.names.items()},
    )


def to_rows(table: RunTable) -> list[dict[str, Any]]:
    """Give a table as plain rows, which `RunTable.of` and `read_runs` take again; None where a value is missing.

    Columns without any value are left out. What was dropped is not among the rows.
    """
    import numpy

    used = [name for name in COLUMNS if len(table) and numpy.isfinite(table[name]).any()]
    kinds = table.kinds or (table.n_kind or "",) * len(table)
    rows = []
    for row, name in enumerate(table.ids):
        cells: dict[str, Any] = {"id": name}
        if any(table.groups):
            cells["group"] = table.groups[row]
        cells |= {column: _plain(float(table[column][row])) for column in used}
        if any(kinds):
            cells["n_kind"] = kinds[row] or None
        rows.append(cells)
    return rows


def write_runs(table: RunTable, path: Path) -> None:
    """Write a table as CSV or JSON lines, as the name ends; a reader sees the old file or the whole new one.

    Raises:
        ConfigError: The name ends in neither `.csv` nor `.jsonl`.
    """
    rows = to_rows(table)
    if path.suffix == ".jsonl":
        write_atomic(path, b"".join(map(json_bytes, rows)))
    elif path.suffix == ".csv":
        header = list(rows[0]) if rows else ["id", *COLUMNS]
        write_atomic(path, "".join(map(_csv_line, [header, *(list(row.values()) for row in rows)])))
    else:
        raise ConfigError(f"{path} ends in {path.suffix!r}; a table of runs is written as .csv or .jsonl.")


def _under_source(table: RunTable) -> RunTable:
    if not table.source:
        return table
    return replace(
        table,
        ids=tuple(f"{table.source} {id}" for id in table.ids),
        dropped=tuple(Dropped(f"{table.source} {gone.id}", gone.reason) for gone in table.dropped),
    )


def _csv_line(cells: Sequence[Any]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)  # up to Python 3.12 only this line end makes it quote cells with \r
    return text.getvalue().removesuffix("\r\n") + "\n"


def _plain(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() else value


def _agreed(kinds: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """Give one word for all rows where they agree, else the word of each."""
    return (kinds[0] or None, ()) if len(set(kinds)) == 1 else (None, tuple(kinds))


def _number(value: Any, column: str, place: int) -> float:
    if value is None or value == "":
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"Row {place}: {column} is {value!r}; it must be a number.") from error
