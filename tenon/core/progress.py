"""Progress of long work: a bar where somebody watches, a line now and then where a file listens."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from tenon.core.ranks import is_main

__all__ = ["Advance", "progress"]

SECONDS_BETWEEN_LINES = 15.0


class Advance(Protocol):
    """How the work reports to the progress."""

    def __call__(self, count: int = 1) -> None:
        """Say that `count` more items are done."""


@contextmanager
def progress(label: str, total: int | None, *, stream: TextIO | None = None) -> Iterator[Advance]:
    """Show how far the work is, on standard error.

    Args:
        label: What is being done.
        total: How many items there are; None when nobody knows.
        stream: Where to write; None is standard error.
    """
    stream = stream or sys.stderr
    if not is_main():
        yield lambda count=1: None
    elif stream.isatty():
        yield from _bar(label, total, stream)
    else:
        yield from _lines(label, total, stream)


def _bar(label: str, total: int | None, stream: TextIO) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count=1: bar.advance(task, count)


def _lines(label: str, total: int | None, stream: TextIO) -> Iterator[Advance]:
    done, said_at = 0, time.monotonic()

    def advance(count: int = 1) -> None:
        nonlocal done, said_at
        done += count
        if time.monotonic() - said_at >= SECONDS_BETWEEN_LINES:
            said_at = time.monotonic()
            share = f" of {total} ({done / total:.0%})" if total else ""
            print(f"{label}: {done}{share}", file=stream, flush=True)

    yield advance


def length(items: Iterable[object]) -> int | None:
    """Give the number of items where it is known without going through them."""
    try:
        return len(items)  # type: ignore[arg-type]
    except TypeError:
        return None
