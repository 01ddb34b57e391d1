"""A table of runs: one training per row, every column in one unit.

    n_params      parameters N, counted as `n_kind` says     seq_len        tokens of a row
    tokens        training tokens seen, D                    steps          optimizer steps
    batch_tokens  global batch B [tokens per step]           flops          training compute C [FLOPs]
    lr            peak learning rate                         unique_tokens  different tokens, where data were repeated
    loss          final loss [nats per token]                seed           of the training

Missing values are NaN. Whatever a fit leaves out is in `dropped`, with its reason: nothing vanishes without a word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tenon.core.errors import DataError

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["COLUMNS", "Dropped", "RunTable"]

COLUMNS = (
    "n_params", "tokens", "batch_tokens", "lr", "loss", "seq_len", "steps", "flops", "unique_tokens", "seed",
)  # fmt: skip


class Dropped(NamedTuple):
    """A run that is not used."""

    id: str
    """The row's id: its line in the file, or what its id column says."""
    reason: str
    """Why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunTable:
    """Columns of equal length; make one with `RunTable.of` or `tenon.methods.batch_scaling.readers.read_runs`."""

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
    notes: tuple[str, ...] = ()
    """What a user should know of the reading: assumed units, suspicious values."""
    source: str = ""
    """Where it came from."""

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
        kinds = {str(one["n_kind"]) for one in records if one.get("n_kind")}
        if n_kind is None and len(kinds) == 1:
            n_kind = kinds.pop()
        columns = {
            name: numpy.array([_number(one.get(name), name, place) for place, one in enumerate(records, 1)])
            for name in COLUMNS
        }
        return cls(
            columns=columns,
            ids=tuple(str(one.get("id", place)) for place, one in enumerate(records, 1)),
            groups=tuple(str(one.get("group") or "") for one in records),
            n_kind=n_kind,
            source=source,
        )

    def __len__(self) -> int:
        return len(self.ids)

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
            Dropped(self.ids[i], reason if isinstance(reason, str) else reason(i)) for i in numpy.flatnonzero(~kept)
        )
        return replace(self.take(numpy.flatnonzero(kept)), dropped=(*self.dropped, *gone))

    def take(self, places: Sequence[int] | ndarray) -> RunTable:
        """Give the rows at these places, in this order; a place may come more than once (resampling)."""
        import numpy

        where = numpy.asarray(places, dtype=int)
        return replace(
            self,
            columns={name: column[where] for name, column in self.columns.items()},
            ids=tuple(self.ids[i] for i in where),
            groups=tuple(self.groups[i] for i in where),
        )

    def sha256(self) -> str:
        """Give a hash of all values in order: what a fitted law remembers of its data."""
        digest = hashlib.sha256()
        for name in COLUMNS:
            digest.update(name.encode() + self.columns[name].astype("<f8").tobytes())
        digest.update("\0".join((str(self.n_kind), *self.groups)).encode())
        return digest.hexdigest()


def _number(value: Any, column: str, place: int) -> float:
    if value is None or value == "":
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"Row {place}: {column} is {value!r}; it must be a number.") from error
