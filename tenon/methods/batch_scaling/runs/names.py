"""Which column of somebody's table is which of ours: by what it is called, and by what the caller says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tenon.core.errors import ConfigError, DataError
from tenon.core.values import nearest
from tenon.methods.batch_scaling.runs.table import COLUMNS, Dropped

__all__ = ["Found", "Layout", "Record", "Records", "constant", "find", "number", "pairs", "plain_name", "says_its_kind"]


class Record(NamedTuple):
    """A row as it stands in a file."""

    place: str
    """For messages: `runs.csv line 3`."""
    cells: Mapping[str, Any]
    """By the file's own names of its columns."""
    is_unended: bool = False
    """The last line of a file without a newline at its end: a writer may have been cut off within it."""

    @property
    def short(self) -> str:
        """Give its place within the file: `line 3`."""
        return " ".join(self.place.rsplit(" ", 2)[-2:])


@dataclass(frozen=True, kw_only=True)
class Records:
    """What a file holds."""

    rows: tuple[Record, ...]
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""

    @property
    def names(self) -> list[str]:
        """The file's columns; those without a name (pandas' index) do not count."""
        return [name for name in dict.fromkeys(name for row in self.rows for name in row.cells) if name.strip()]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What is known of a table beforehand; what the caller says goes before it."""

    columns: Mapping[str, str | float] = field(default_factory=dict)
    """By our name: the file's column, or a number that holds for all rows."""
    units: Mapping[str, str] = field(default_factory=dict)
    """By quantity, one of `UNITS`."""
    by_kind: Mapping[str, str] = field(default_factory=dict)
    """The column that counts parameters this way."""
    n_kind: str | None = None
    """What `columns["n_params"]` counts."""
    group: str | None = None
    """The column whose values keep rows apart."""
    notes: tuple[str, ...] = ()
    """What a user should know of it."""
    prepare: Callable[[Records], Records] | None = None
    """Done to the rows first."""


# Names in the form of `plain_name`, the nearest first. Single letters are those of the field, and so capitals only.
_NAMES: dict[str, tuple[str, ...]] = {
    "n_params": ("n_params", "params", "parameters", "num_params", "num_parameters", "n_parameters", "model_size", "N"),
    "tokens": ("tokens", "training_tokens", "train_tokens", "num_tokens", "n_tokens", "tokens_seen", "total_tokens",
               "num_input_tokens_seen", "D"),
    "batch_tokens": ("batch_tokens", "tokens_per_step", "tokens_per_batch", "batch_size_tokens", "batch_size_in_tokens",
                     "global_batch_tokens", "global_batch_size_tokens"),
    "batch_sequences": ("batch_sequences", "sequences_per_batch", "sequences_per_step", "batch_size_sequences",
                        "global_batch_sequences"),
    "batch": ("batch", "batch_size", "global_batch_size", "global_batch", "global_bs", "bs", "B"),
    "lr": ("lr", "peak_lr", "max_lr", "learning_rate", "peak_learning_rate", "max_learning_rate", "eta"),
    "loss": ("loss", "eval_loss", "val_loss", "valid_loss", "validation_loss", "test_loss", "held_out_loss",
             "final_loss", "L"),
    "train_loss": ("train_loss", "training_loss"),
    "seq_len": ("seq_len", "seq_length", "sequence_length", "context_length", "context_len", "max_seq_len",
                "max_seq_length", "block_size", "n_ctx"),
    "steps": ("steps", "num_steps", "n_steps", "max_steps", "train_steps", "training_steps", "optimizer_steps",
              "global_step", "train_global_step", "iterations", "S"),
    "flops": ("flops", "flop", "training_flop", "training_flops", "train_flops", "total_flops", "total_flos",
              "compute", "C"),
    "unique_tokens": ("unique_tokens",),
    "seed": ("seed", "random_seed"),
    "noise_tokens": ("noise_tokens", "b_simple_tokens"),
    "id": ("id", "run_id", "key", "name", "run_name", "exp_name", "run"),
    "group": ("group",),
    "data": ("dataset", "dataset_name", "corpus"),
    "tokenizer": ("tokenizer", "tokenizer_name"),
    "n_kind": ("n_kind",),
    "diverged": ("diverged",),
}  # fmt: skip
_KINDS: dict[str, tuple[str, ...]] = {
    "non_embedding": ("n_non_embedding", "params_non_embedding", "non_embedding_params", "non_embedding_parameters",
                      "params_no_embed", "n_no_emb", "params_non_emb", "n_params_non_embedding"),
    "with_head": ("n_with_head", "params_with_head", "n_params_with_head"),
    "total": ("n_total", "params_total", "total_params", "total_parameters", "n_params_total"),
}  # fmt: skip
_MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "-"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.ASCII | re.IGNORECASE)


def plain_name(name: str) -> str:
    """Give the name of a column without case, punctuation, and the prefixes of exports.

    >>> plain_name("config.Model Size"), plain_name("eval/loss"), plain_name("N")
    ('model_size', 'eval_loss', 'N')
    """
    name = re.sub(r"^(config|summary|hparams|args)[._/ ]+", "", name.strip())
    return name if len(name) == 1 else re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")


def pairs(given: Mapping[str, Any] | Sequence[str], option: str) -> dict[str, Any]:
    """Give what may come as a mapping, or as texts `name=value` from a command line.

    Raises:
        ConfigError: A text without `=`.
    """
    if isinstance(given, Mapping):
        return dict(given)
    for one in given:
        if "=" not in one:
            raise ConfigError(f"{option} {one!r} is no name=value; write e.g. batch=sequences.")
    return {name.strip(): value.strip() for name, _, value in (one.partition("=") for one in given)}


def number(value: Any, where: str) -> float:
    """Give a cell as a number; NaN where it is empty or says so.

    Raises:
        DataError: It is no number in the notation of programs, or could be read in two ways.
    """
    if value is None:
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in _MISSING:
            return math.nan
        if _NUMBER.fullmatch(text):
            return float(text)
        told = f"{where} is {value!r}, which is no number"
        if re.fullmatch(r"[+-]?\d[\d.,'’_\s]*([eE][+-]?\d+)?", text):
            raise DataError(
                f"{told}: a decimal comma, or separators of thousands? Both can be read in two ways; write 1234.5."
            )
        if re.fullmatch(r"[+-]?[\d.]+\s*[a-zA-Z%]+", text):
            raise DataError(f"{told}; write the number alone, and say its unit in units (--unit) if it is not ours.")
        raise DataError(f"{told}; write it as 1234.5 or 1.2e9, and leave the cell empty where it is not known.")
    if isinstance(value, bool):
        raise DataError(f"{where} is {value}; it must be a number.")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} is {str(value)[:40]!r}; it must be a number.") from error


def constant(value: Any) -> float | None:
    """Give a number that is meant for all rows, also from a command line; None where it is the name of a column."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else None
    return float(value)


@dataclass
class Found:
    """Where each quantity stands; `batch` is a batch in any unit."""

    names: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    batch_unit: str | None = None
    kind: str | None = None
    group: tuple[str, ...] = ()

    def __contains__(self, quantity: str) -> bool:
        return quantity in self.names or quantity in self.numbers

    def put(self, quantity: str, what: str | float) -> None:
        """Note a column, or a number for all rows."""
        if isinstance(what, str):
            self.names[quantity] = what
        else:
            self.numbers[quantity] = float(what)


def find(records: Records, layout: Layout, given: Mapping[str, Any], n_kind: str | None, group: str | None) -> Found:
    """Find every column of a table.

    Args:
        records: Rows of one file.
        layout: What is known of this kind of table.
        given: What the caller says: by our name, a column or a number for all rows.
        n_kind: Which parameters are meant.
        group: The column that keeps rows apart.

    Raises:
        ConfigError: The caller names what is not there.
        DataError: A needed column is missing, or there are several that it may be.
    """
    there = _There(records)
    found = Found()
    for quantity, what in {**layout.columns, **given}.items():
        if quantity not in _SETTABLE:
            raise ConfigError(f"columns (--column) has {quantity!r}; {nearest(quantity, _SETTABLE)}.")
        if quantity not in given and isinstance(what, str) and what not in there.names:
            continue  # the format was forced upon a table of other columns
        column = what if quantity in layout.columns and quantity not in given else there.given(quantity, what)
        if quantity.startswith("batch"):
            found.names.pop("batch", None)
            found.put("batch", column)
            is_number = not isinstance(column, str)
            found.batch_unit = {"batch_tokens": "tokens", "batch_sequences": "sequences"}.get(
                quantity, "tokens" if is_number else None
            )
        else:
            found.put(quantity, column)
    _find_params(found, there, layout, n_kind, is_given="n_params" in given)
    if "batch" not in found:
        for quantity, unit in (("batch_tokens", "tokens"), ("batch_sequences", "sequences"), ("batch", None)):
            if name := there.one(quantity):
                found.names["batch"], found.batch_unit = name, unit
                break
    others = ("tokens", "lr", "seq_len", "steps", "flops", "unique_tokens", "seed", "noise_tokens", "n_kind", "diverged")
    for quantity in others:
        if quantity not in found and (name := there.one(quantity)):
            found.names[quantity] = name
    if "loss" not in found and (name := there.one("loss", own_wins=False) or there.one("train_loss")):
        found.names["loss"] = name
    if "id" not in found and (names := there.all("id")):
        found.names["id"] = names[0]
    by = group or layout.group
    if by is not None:
        found.group = (str(there.given("group", by, is_column=True)),)
    else:
        found.group = tuple(there.all("group")[:1] or [*there.all("data")[:1], *there.all("tokenizer")[:1]])
    missing = [name for name in ("n_params", "loss") if name not in found]
    if "tokens" not in found and not ("steps" in found and "batch" in found) and "flops" not in found:
        missing.append("tokens")
    if missing:
        raise DataError(
            f"{records.source} has no column for {' and '.join(missing)} (columns: {', '.join(there.names)}). "
            f"Name it: columns {missing[0]}=<column> (--column {missing[0]}=<column>), or a number that "
            "holds for all rows."
        )
    return found


def _find_params(found: Found, there: _There, layout: Layout, n_kind: str | None, *, is_given: bool) -> None:
    if is_given:
        found.kind = n_kind
        return
    if "n_params" in found:
        known = {**layout.by_kind, **({layout.n_kind: found.names["n_params"]} if layout.n_kind else {})}
        found.kind = n_kind or layout.n_kind
        if found.kind is not None and known and found.kind not in known:
            raise DataError(
                f"{there.source} does not count {n_kind} parameters; it has "
                f"{', '.join(f'{kind} ({name!r})' for kind, name in known.items())}: choose n_kind (--n-kind) "
                "among these."
            )
        if found.kind in known:
            found.names["n_params"] = known[found.kind]
        return
    plain = there.all("n_params")
    by_kind = {kind: names[0] for kind in _KINDS if (names := there.of(_KINDS[kind]))}
    is_own = plain[:1] == ["n_params"]
    if n_kind in by_kind:
        found.names["n_params"], found.kind = by_kind[n_kind], n_kind
    elif plain and (n_kind is not None or is_own or not by_kind):
        name = there.one("n_params")
        assert name is not None
        found.names["n_params"], found.kind = name, n_kind
    elif len(by_kind) == 1 and not plain and n_kind is None:
        ((found.kind, found.names["n_params"]),) = by_kind.items()
    elif by_kind:
        counts = [f"{kind} ({name!r})" for kind, name in by_kind.items()] + [f"not said ({name!r})" for name in plain]
        first = next(iter(by_kind))
        raise DataError(
            f"{there.source} counts parameters as {', '.join(counts)}"
            f"{f', not {n_kind}' if n_kind else ''}. Say which is meant: n_kind={first!r} (--n-kind {first})."
        )


class _There:
    """The columns that a file has, looked up by what they may be called."""

    def __init__(self, records: Records) -> None:
        self.names, self.source = records.names, records.source
        self.by_plain: dict[str, list[str]] = {}
        for name in self.names:
            self.by_plain.setdefault(plain_name(name), []).append(name)

    def of(self, aliases: Sequence[str]) -> list[str]:
        return [name for alias in aliases for name in self.by_plain.get(alias, [])]

    def all(self, quantity: str) -> list[str]:
        return self.of(_NAMES[quantity])

    def one(self, quantity: str, *, own_wins: bool = True) -> str | None:
        """Give the column of a quantity; ours by its exact name, where that is there."""
        names = self.all(quantity)
        if len(names) > 1 and not (own_wins and quantity in names):
            raise DataError(
                f"{self.source} has several columns that may be {quantity}: {', '.join(names)}. "
                f"Say which: columns {quantity}={names[0]} (--column {quantity}={names[0]})."
            )
        return quantity if own_wins and quantity in names else next(iter(names), None)

    def given(self, quantity: str, what: Any, *, is_column: bool = False) -> str | float:
        """Give what the caller names: a column, or a number."""
        if what in self.names:
            return str(what)
        if not is_column and (value := constant(what)) is not None:
            return value
        names = self.by_plain.get(plain_name(str(what)), [])
        if len(names) != 1:
            option = "group (--group-column)" if is_column else f"columns {quantity} (--column {quantity}=...)"
            raise ConfigError(
                f"{option}: {self.source} has no column {str(what)!r} (columns: {', '.join(self.names)}); "
                f"{nearest(str(what), self.names)}."
            )
        return names[0]


_SETTABLE = (*COLUMNS, "batch", "batch_sequences", "id", "n_kind", "diverged")


def says_its_kind(name: str) -> bool:
    """Say whether a column of parameters tells by its name which it counts."""
    return any(plain_name(name) in names for names in _KINDS.values())
