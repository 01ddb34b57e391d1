"""Tables of runs from files, folders and memory, whoever wrote them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tenon.core.errors import ConfigError, DataError
from tenon.core.files import read_json, read_records
from tenon.methods.batch_scaling.runs.adapters import LAYOUTS, layout_of, trainer_files, trainer_records
from tenon.methods.batch_scaling.runs.checks import checked, comparable, usable
from tenon.methods.batch_scaling.runs.columns import table_of
from tenon.methods.batch_scaling.runs.names import Record, Records, pairs
from tenon.methods.batch_scaling.runs.table import RunTable, join

__all__ = ["GADRE", "Format", "read_runs"]

Format: TypeAlias = Literal["auto", "plain", "steplaw", "epoch", "gadre", "wandb", "trainer"]

GADRE = Path(__file__).parents[1] / "data" / "gadre_2024.csv"
"""104 runs of Gadre et al. 2024 (arXiv 2403.08540): three data sets, C4 validation loss; under the MIT License."""
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".json")


def read_runs(
    source: Any,
    *,
    format: Format = "auto",
    n_kind: str | None = None,
    seq_len: int | None = None,
    units: Mapping[str, str] | Sequence[str] = (),
    columns: Mapping[str, Any] | Sequence[str] | None = None,
    group: str | None = None,
) -> RunTable:
    """Read runs, bring them to our units, drop the diverged ones, and refuse what contradicts itself.

    Args:
        source: A file (CSV, TSV, JSON lines, Parquet, `trainer_state.json`), a folder with `runs.jsonl` or with
            trainings of `transformers.Trainer`, several of these, rows (dicts), a pandas frame, a `RunTable`; or
            `"gadre"`, a table that ships with the package.
        format: What the columns are; `auto` goes by their names.
        n_kind: Which parameters are counted: `non_embedding`, `with_head`, `total`. Needed where a file has several.
        seq_len: Tokens of a row, where no column says it.
        units: By quantity (`batch`, `tokens`, `n_params`, `flops`, `loss`, `unique_tokens`), where they are not ours:
            `{"batch": "sequences", "tokens": "billions"}`, or `["batch=sequences"]`.
        columns: By our name, the file's column, or a number that holds for all rows: `{"loss": "c4_loss"}`.
        group: The column that tells data sets or tokenizers apart; without it, a table of several is refused.

    Returns:
        Runs with a usable loss; what was left out is in `dropped`, what was assumed in `notes`.

    Raises:
        ConfigError: An option names what does not exist.
        DataError: The file cannot be read, or contradicts itself; the message tells row and column.

    >>> table = read_runs("gadre")
    >>> len(table), sorted(set(table.groups)), table.n_kind
    (104, ['c4_original', 'rpj', 'rw_original'], 'total')
    """
    if format not in (*LAYOUTS, "auto"):
        raise ConfigError(f"format is {format!r}; it must be one of auto, {', '.join(LAYOUTS)}.")
    if isinstance(source, RunTable):
        return checked(comparable(usable(source), group="group"))  # its rows bear their groups
    told = pairs(columns or {}, "columns (--column)")
    tables, groups = [], group
    for records, kind in _sources(source, format, told, seq_len):
        layout = LAYOUTS[kind]
        groups = groups or layout.group
        if kind == "trainer":  # its reader has taken what was told
            if units or group:
                raise ConfigError(
                    "units and group (--unit, --group-column) are for tables; a trainer_state.json has its own units."
                )
            tables.append(table_of(records, layout, n_kind=n_kind))
        else:
            tables.append(
                table_of(records, layout, n_kind=n_kind, seq_len=seq_len, units=units, columns=told, group=group)
            )
    return checked(comparable(usable(join(tables)), group=groups))


def _sources(
    source: Any, format: Format, told: Mapping[str, Any], seq_len: float | None
) -> Iterator[tuple[Records, str]]:
    if isinstance(source, str | Path):
        source = [source]
    if isinstance(source, Sequence) and source and all(isinstance(one, str | Path) for one in source):
        states: list[Path] = []
        for one in source:
            path = GADRE if one == "gadre" else Path(one)
            for file in _files(path):
                if format == "trainer" or (format == "auto" and _is_object(file)):
                    states.append(file)
                else:
                    records = _records(file)
                    yield records, layout_of(records) if format == "auto" else format
        if states:
            yield trainer_records(states, told, seq_len=seq_len), "trainer"
        return
    if format == "trainer":
        raise ConfigError("format trainer is for files of transformers.Trainer; give their path.")
    records = _in_memory(source)
    yield records, layout_of(records) if format == "auto" else format


def _in_memory(rows: Any) -> Records:
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # a pandas frame
        rows = rows.to_dict("records")
    try:
        records = list(rows)
    except TypeError as error:
        raise DataError(f"{type(rows).__name__} is no table of runs; give a path, rows, or a frame.") from error
    for place, row in enumerate(records, 1):
        if not isinstance(row, Mapping):
            raise DataError(f"Row {place} is {str(row)[:40]!r}; give one dict per training.")
    return Records(rows=tuple(Record(f"Row {place}", row) for place, row in enumerate(records, 1)), source="The table")


def _files(path: Path) -> list[Path]:
    """Give the files of runs that a path stands for.

    Raises:
        DataError: There are none, or of a kind that is not read.
    """
    if path.is_dir():
        if (path / "runs.jsonl").is_file():
            return [path / "runs.jsonl"]
        if states := trainer_files(path):
            return states
        raise DataError(f"{path} holds neither runs.jsonl nor a trainer_state.json, also in no folder below.")
    if not path.exists():
        raise DataError(f"{path} does not exist; give a file of runs, a folder, or 'gadre'.")
    if {".pickle", ".pkl"} & set(path.suffixes):
        raise DataError(
            f"{path} is a pickle, and reading one runs whatever code it holds. Porian et al. publish summaries as CSV "
            "beside theirs: read those, or convert the file where you trust it (pandas: to_csv)."
        )
    if path.suffix not in _SUFFIXES:
        raise DataError(f"{path} ends in {path.suffix!r}; tables of runs are read from {', '.join(_SUFFIXES)}.")
    return [path]


def _records(path: Path) -> Records:
    if path.suffix == ".parquet":
        return _parquet(path)
    if path.suffix == ".json":
        return _json(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    is_unended = not data.endswith((b"\n", b"\r"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} line {line} is not UTF-8 text ({error.reason} at byte {error.start}); save the table as UTF-8."
        ) from error
    return _jsonl(path, text, is_unended) if path.suffix == ".jsonl" else _csv(path, text, is_unended)


def _csv(path: Path, text: str, is_unended: bool) -> Records:
    first = text.partition("\n")[0]
    between = ";" if ";" in first and "," not in first else "\t" if "\t" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
    header: list[str] = []
    rows: list[Record] = []
    notes: list[str] = []
    lines = len(re.findall(r"\r\n|\r|\n", text)) + 1
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if is_unended and header and rows:  # an open quote runs to the end of the file
                notes.append(f"{path} line {line} was left out: the file ends within it")
                break
            raise DataError(f"{path} line {line} is no CSV ({error}); quotes must be closed.") from error
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = _header(path, line, cells)
            continue
        is_last = is_unended and reader.line_num >= lines
        if len(cells) != len(header):
            if is_last and len(cells) < len(header):
                notes.append(f"{path} line {line} was left out: the file ends within it")
                break
            raise _wrong_width(path, line, header, cells, between)
        rows.append(Record(f"{path} line {line}", dict(zip(header, cells, strict=True)), is_last))
    if not header:
        raise DataError(f"{path} is empty; give a header and one row per training.")
    return Records(rows=tuple(rows), notes=tuple(notes), source=str(path))


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    named = [cell.strip() for cell in cells if cell.strip()]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise DataError(f"{path} line {line} names a column twice: {', '.join(twice)}; which one is meant?")
    if not any(any(letter.isalpha() for letter in name) for name in named):
        raise DataError(f"{path} line {line} must name the columns, and holds {', '.join(named[:5])}; add a header.")
    return [cell.strip() for cell in cells]


def _wrong_width(path: Path, line: int, header: list[str], cells: list[str], between: str) -> DataError:
    told = f"{path} line {line} has {len(cells)} cells for {len(header)} columns"
    if len(cells) < len(header):
        return DataError(
            f"{told}: from column {header[len(cells)]!r} on they are missing. Complete or remove the line."
        )
    why = ": a decimal comma, or separators of thousands? Write 1234.5" if between == "," else ""
    return DataError(
        f"{told}: after column {header[-1]!r} follows {cells[len(header)]!r}, so cells have moved to the right{why}."
    )


def _jsonl(path: Path, text: str, is_unended: bool) -> Records:
    rows: list[Record] = []
    notes: list[str] = []
    last = len(text.split("\n"))
    is_torn = is_unended and not _is_json(text.rpartition("\n")[2])
    lines = read_records(path)
    while True:
        try:
            line, cells = next(lines)
        except StopIteration:
            break
        except DataError as error:
            if is_torn and str(error).startswith(f"{path} line {last} is not"):
                notes.append(f"{path} line {last} was left out: the file ends within it")
                break
            raise
        rows.append(Record(f"{path} line {line}", cells))
    return Records(rows=tuple(rows), notes=tuple(notes), source=str(path))


def _is_object(path: Path) -> bool:
    """Say whether a file is one JSON object, as a `trainer_state.json` is, and no list of rows."""
    return path.suffix == ".json" and isinstance(read_json(path), dict)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _json(path: Path) -> Records:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path} is no list of runs; give a JSON list of objects, or JSON lines.")
    table = _in_memory(rows)
    return Records(
        rows=tuple(row._replace(place=f"{path} {row.place.lower()}") for row in table.rows), source=str(path)
    )


def _parquet(path: Path) -> Records:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is no readable Parquet file ({error}); write it anew.") from error
    return Records(
        rows=tuple(Record(f"{path} row {place}", row) for place, row in enumerate(rows, 1)), source=str(path)
    )
