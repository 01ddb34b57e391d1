"""JSON text, and writes that are whole or absent."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tenon.core.errors import DataError

__all__ = [
    "fingerprints",
    "json_bytes",
    "plain",
    "read_json",
    "read_records",
    "sync_folder",
    "write_all",
    "write_atomic",
]

TEMPORARY = ".writing"
"""Suffix of a file that is being written. A kill may leave one; the same work writes it again, and so removes it."""


def plain(value: Any, where: str, *, nonfinite: Callable[[str, float], Any] | None = None) -> Any:
    """Give `value` as what JSON can hold: dicts with text keys, lists, text, finite numbers, booleans, None.

    Dataclasses become dicts, tuples lists, paths text; NumPy and torch scalars become numbers, their arrays lists.

    Args:
        value: What is to be written.
        where: How messages name it, e.g. `pairs row 'a'`.
        nonfinite: Says what stands for a NaN or an infinity, which JSON does not have; None refuses them.

    Raises:
        DataError: A NaN or infinity, or an object that has no JSON form; the message tells its place.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        if nonfinite is not None:
            return nonfinite(where, value)
        raise DataError(f"{where} is {value}; JSON has no such number. Write None, or drop it and count it.")
    if isinstance(value, Mapping):
        return {_key(key, where): plain(item, f"{where}[{key!r}]", nonfinite=nonfinite) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]", nonfinite=nonfinite) for i, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return plain(pairs, where, nonfinite=nonfinite)
    if hasattr(value, "tolist"):  # NumPy and torch, arrays and scalars, without importing either
        return plain(value.tolist(), where, nonfinite=nonfinite)
    raise DataError(
        f"{where} is a {type(value).__name__}, which has no JSON form; convert it to text, numbers or lists."
    )


def _key(key: object, where: str) -> str:
    if isinstance(key, str):
        return str(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))
    raise DataError(f"{where} has the key {key!r}; keys are text or integers.")


def json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """Give a plain value as JSON in UTF-8, in the order given, a newline at the end."""
    try:
        return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent) + "\n").encode()
    except UnicodeEncodeError:  # half a surrogate pair, as models and servers produce: only an escape can hold it
        return (json.dumps(value, allow_nan=False, indent=indent) + "\n").encode()


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: It is not valid JSON, so something else than this package wrote it.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}); restore it, or begin again in another folder.") from error


def read_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give the objects of somebody's JSON lines with their line numbers; blank lines are passed over.

    The file is left as it is: `core.rows.Lines`, for files of ours, cuts a torn end.

    Raises:
        DataError: A line is no JSON object.
    """
    with open(path, encoding="utf-8-sig") as lines:  # with the mark that some editors write
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path} line {number} is not JSON ({error}); give one object a line.") from error
            if not isinstance(record, dict):
                raise DataError(f"{path} line {number} is not an object but {line[:40]!r}; give one object a line.")
            yield number, record


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a kill, a power cut or a full disk leaves the old content or the new, never a part.

    Raises:
        OSError: The system refused, e.g. for want of room; `filename` tells where. Nothing half-written stays.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write_all(file, data)
        finally:
            os.close(file)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        error.filename, error.filename2 = str(path), None  # the system names no file where a write fails
        raise


def write_all(file: int, data: bytes) -> None:
    """Write to a file descriptor until all is on the disk; a single `os.write` may take a part only."""
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)


def sync_folder(path: Path) -> None:
    """Make new and renamed names in a folder durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def fingerprints(folder: Path, *, skip: Collection[str] = ()) -> dict[str, str]:
    """Give the SHA-256 of every file below `folder`, by its relative path; for tests of resumption.

    Args:
        folder: Where to look.
        skip: Names of files to leave out, at any depth: `VOLATILE` of `tenon.core.run`, also of runs within a run.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in set(skip))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
