"""Durable JSON lines: what was appended stays, a line torn by a kill is cut, a key stands once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tenon.core.errors import DataError
from tenon.core.files import json_bytes, plain, sync_folder, write_all, write_atomic

__all__ = ["Lines", "Metrics", "Rows"]


class Lines:
    """An append-only file of JSON objects, one a line."""

    def __init__(self, path: Path) -> None:
        """Open the file, cutting a last line that has no newline: the mark of a kill inside a write."""
        self.path = path
        self.torn_bytes = 0
        """Length of the line that was cut on opening [bytes]; 0 when there was none."""
        self._whole: int | None = None
        """Size before a write that failed, while the file is longer [bytes]."""
        if path.exists():
            self._cut_torn_line()

    def _forget_failed_write(self) -> None:
        if self._whole is not None:
            os.truncate(self.path, self._whole)
            self._whole = None

    def _cut_torn_line(self) -> None:
        with open(self.path, "r+b") as file:
            size = end = file.seek(0, os.SEEK_END)
            while end > 0:  # blocks from the back: the file may be larger than memory
                start = max(0, end - 65536)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    end = start + newline + 1
                    break
                end = start
            if size > end:
                self.torn_bytes = size - end
                file.truncate(end)
                file.flush()
                os.fsync(file.fileno())

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one plain record; when this returns, the line is on the disk.

        Raises:
            OSError: The system refused, e.g. for want of room; `filename` tells where. No half line stays.
        """
        try:
            self._forget_failed_write()
            is_new = not self.path.exists()
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                self._whole = os.fstat(file).st_size
                write_all(file, json_bytes(record))
                if is_new:
                    sync_folder(self.path.parent)
                self._whole = None
            finally:
                os.close(file)
        except OSError as error:
            with contextlib.suppress(OSError):  # where even that is refused, the next append or opening does it
                self._forget_failed_write()
            error.filename = str(self.path)
            raise

    def replace(self, records: list[dict[str, Any]]) -> None:
        """Put these records in the place of all there are, at once."""
        write_atomic(self.path, b"".join(map(json_bytes, records)))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Read the records in order.

        Raises:
            DataError: A complete line is no JSON object, so something else than this package wrote it.
        """
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise DataError(f"{self.path} line {number} is not valid JSON ({error}); was it edited?") from error
                if not isinstance(record, dict):
                    raise DataError(f"{self.path} line {number} is not an object but {line[:40]!r}; was it edited?")
                yield record


class Rows:
    """Lines with a text `key` each, no key twice."""

    def __init__(self, path: Path) -> None:
        """Open the file and remember which keys it holds.

        Raises:
            DataError: A line has no key, or a key stands twice.
        """
        self.lines = Lines(path)
        self._digests: dict[str, bytes] = {}  # not the rows: there may be more of them than memory
        for number, row in enumerate(self.lines, start=1):
            key = _key(row, f"{path} line {number}")
            if key in self._digests:
                raise DataError(
                    f"{path} line {number} repeats the key {key!r}; was the file edited, or joined from two?"
                )
            self._digests[key] = _digest(row)

    def append(self, row: Mapping[str, Any]) -> bool:
        """Add a row durably. A row that already stands there is not added again.

        Returns:
            Whether the row is new.

        Raises:
            DataError: No text `key`; a value without a JSON form, NaN and infinity included; or another row stands
                under this key.
        """
        name = self.lines.path.stem
        key = _key(row, f"A row for {name!r}")
        record = plain(row, f"{name} row {key!r}")
        digest = _digest(record)
        if key in self._digests:
            if self._digests[key] == digest:
                return False
            raise DataError(
                f"{name} already has a row {key!r} with other content. Keys are unique: ask run.done({name!r}, key) "
                "before the work, and derive seeds from the key so that repeated work gives the same row."
            )
        self.lines.append(record)
        self._digests[key] = digest
        return True

    def __contains__(self, key: str) -> bool:
        return key in self._digests

    def __len__(self) -> int:
        return len(self._digests)

    def keys(self) -> set[str]:
        """Give all keys."""
        return set(self._digests)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.lines)


class Metrics:
    """Numbers by step, no number of a step twice."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            DataError: A line has no step.
        """
        self.lines = Lines(path)
        self._records = list(self.lines)
        for number, record in enumerate(self._records, start=1):
            if not isinstance(record.get("step"), int):
                raise DataError(f"{path} line {number} has no integer 'step'; was the file edited?")
        self._known = {(record["step"], name): value for record in self._records for name, value in record.items()}

    def log(self, step: int, numbers: Mapping[str, float | None]) -> None:
        """Add a line of plain numbers. What already stands there is not added again.

        Raises:
            DataError: The step already has another value of the same name.
        """
        for name, value in numbers.items():
            before = self._known.get((step, name), value)
            if before != value:
                raise DataError(
                    f"Step {step} already has {name} = {before}, and now comes {value}. "
                    "Work that continues from a checkpoint calls run.rewind(first step to be repeated) before it logs."
                )
        new = {name: value for name, value in numbers.items() if (step, name) not in self._known}
        if new:
            record = {"step": step, **new}
            self.lines.append(record)
            self._records.append(record)
            self._known |= {(step, name): value for name, value in new.items()}

    def rewind(self, step: int) -> int:
        """Drop the lines of `step` and later; say how many."""
        kept = [record for record in self._records if record["step"] < step]
        dropped = len(self._records) - len(kept)
        if dropped:
            self.lines.replace(kept)
            self._records = kept
            self._known = {key: value for key, value in self._known.items() if key[0] < step}
        return dropped

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([dict(record) for record in self._records])


def _key(row: Mapping[str, Any], where: str) -> str:
    key = row.get("key")
    if not isinstance(key, str) or not key:
        raise DataError(
            f"{where} has the key {key!r} (fields: {', '.join(map(str, row))}); every row needs a text 'key'."
        )
    return key


def _digest(record: Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=16).digest()
