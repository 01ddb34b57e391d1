"""Results as frozen records, and one page that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Card", "Figure", "Report", "Table"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a method is: its `CARD`, read by the command line, the paper index and the report."""

    name: str
    """The method's folder and command, e.g. `sepllm`."""
    title: str
    """The method's name for people, e.g. `SepLLM`."""
    paper: str
    """The paper's title."""
    arxiv: str
    """The paper's arXiv number, e.g. `2412.12094`; empty when there is none."""
    summary: str
    """One sentence: what the user gets."""
    shape: Literal["apply", "train", "stages"]
    """How it is used: a reversible change of a live model, a Trainer, or functions from rows to rows."""
    when_to_use: str
    """One sentence: who reaches for it, and when."""


@dataclass(frozen=True)
class Table:
    """Rows with named columns; the columns are the keys in the order in which they first appear."""

    name: str
    rows: tuple[dict[str, Any], ...]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture as SVG text, PNG bytes, or both; the page prefers the SVG."""

    name: str
    svg: str | None
    png: bytes | None
    caption: str = ""
    alt: str = ""


@dataclass(frozen=True)
class Report:
    """All that is to be said about one piece of work; `demo(run)` returns one."""

    title: str
    summary: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Config, seed, weights, versions, hardware: named values, or groups of them one level down."""
    card: Card | None = None
