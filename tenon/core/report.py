"""Results as frozen records, and one page that shows them: on a phone, in the dark, without a network."""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote

from tenon.core.files import json_bytes, plain

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure as Plot

__all__ = [
    "Card",
    "Excerpt",
    "Excerpts",
    "Figure",
    "Mark",
    "Report",
    "Table",
    "figure_from_matplotlib",
    "render_html",
    "render_markdown",
    "style",
    "to_json",
]

MAX_ROWS = 200
"""Rows of a table that the page shows; it says how many it leaves out, and the JSON has them all."""


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


Mark: TypeAlias = Literal["plain", "soft", "removed", "added"]
"""How a stretch of text is shown: as it is, as what only leads up to it, as what went or what came instead."""


@dataclass(frozen=True)
class Excerpt:
    """A text with marked places."""

    heading: str
    parts: tuple[tuple[str, Mark], ...]
    """Stretches of text, in order, each with its mark."""


@dataclass(frozen=True)
class Excerpts:
    """Texts to be read one by one: pairs, dialogues, answers."""

    name: str
    items: tuple[Excerpt, ...]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture as SVG text, PNG bytes, or both; the page prefers the SVG.

    An SVG may move: what moves it stands in `<style class="motion">`, and without that it must be a picture that says
    as much. So it is shown on paper, and to those who ask for less motion.
    """

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
    excerpts: tuple[Excerpts, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Config, seed, weights, versions, hardware: named values, or groups of them one level down."""
    card: Card | None = None


def figure_from_matplotlib(fig: Plot, name: str, caption: str = "", alt: str = "") -> Figure:
    """Draw a matplotlib figure as SVG and PNG; equal figures give equal bytes under one matplotlib version.

    Args:
        fig: Best a `matplotlib.figure.Figure(...)` made inside `style()`; pyplot and its global state are not needed.
        name: The figure's name.
        caption: What stands below it.
        alt: What it shows, for those who cannot see it.
    """
    svg, png = io.BytesIO(), io.BytesIO()
    with style():
        fig.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        fig.savefig(png, format="png", metadata={"Software": None})
    return Figure(name, svg.getvalue().decode(), png.getvalue(), caption, alt)


@contextmanager
def style() -> Iterator[None]:
    """Draw in the house style: make the figure and its axes inside this context."""
    import matplotlib
    from cycler import cycler

    soft, rule = "#62625d", "#d9d8d2"
    settings: Any = {
        "axes.axisbelow": True,
        "axes.edgecolor": soft,
        "axes.grid": True,
        "axes.labelcolor": "#1d1d1b",
        # Okabe and Ito's colours, which people of every colour vision can tell apart; yellow is too faint on white.
        "axes.prop_cycle": cycler(color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#1d1d1b"]),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "figure.constrained_layout.use": True,
        "figure.dpi": 100,
        "figure.figsize": (7.0, 3.8),
        "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
        "font.size": 10,
        "grid.color": rule,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "savefig.dpi": 160,
        "savefig.facecolor": "white",
        "svg.fonttype": "path",
        "svg.hashsalt": "tenon",  # the ids inside an SVG are random without it
        "xtick.color": soft,
        "ytick.color": soft,
    }
    with matplotlib.rc_context(settings):
        yield


def render_html(reports: Sequence[Report], *, title: str, facts: Mapping[str, Any] | None = None) -> str:
    """Give one HTML page that needs nothing else: no network, no scripts, pictures inside; every text is escaped.

    Args:
        reports: What is shown; from two on the page has a table of contents.
        title: The page's title.
        facts: Machine and versions, shown at the foot.
    """
    sections = [
        {
            "anchor": f"part-{number}",
            "title": one.title,
            "summary": one.summary,
            "card": one.card,
            "tables": [_table_view(table) for table in one.tables],
            "figures": [
                {
                    "name": fig.name,
                    "caption": fig.caption,
                    "alt": fig.alt or fig.caption or fig.name,
                    "uri": _uri(fig),
                    "still": None if fig.svg is None or not _MOTION.search(fig.svg) else _uri(_still(fig)),
                }
                for fig in one.figures
            ],
            "excerpts": one.excerpts,
            "notes": one.notes,
            "facts": _groups(one.facts),
        }
        for number, one in enumerate(reports, start=1)
    ]
    return _template().render(title=title, sections=sections, facts=_groups(facts or {}))


def render_markdown(reports: Sequence[Report], *, title: str, figures: str = "figures") -> str:
    """Give the reports as Markdown; pictures are links into the folder `figures`."""
    level = "#" if len(reports) == 1 else "##"
    parts = [] if len(reports) == 1 else [f"# {_escape(title)}"]
    for one in reports:
        parts += [f"{level} {_escape(one.title)}", _escape(one.summary)]
        if one.card and one.card.arxiv:
            link = f"https://arxiv.org/abs/{quote(one.card.arxiv)}"
            parts.append(f"{_escape(one.card.paper)}, [arXiv {_escape(one.card.arxiv)}]({link})")
        for table in one.tables:
            parts += [f"**{_escape(table.name)}** {_escape(table.caption)}".strip(), _markdown_table(table)]
        for fig in one.figures:
            ending = "svg" if fig.svg is not None else "png"
            parts.append(f"![{_escape(fig.alt or fig.caption or fig.name)}]({figures}/{quote(fig.name)}.{ending})")
            parts.append(f"**{_escape(fig.name)}** {_escape(fig.caption)}".strip())
        for texts in one.excerpts:
            parts.append(f"**{_escape(texts.name)}** {_escape(texts.caption)}".strip())
            parts += [f"*{_escape(item.heading)}*: {_marked(item)}" for item in texts.items]
        parts.append("\n".join(f"- {_escape(note)}" for note in one.notes))
        lines = [
            f"- {_escape(f'{group} {name}')}: {_escape(value)}"
            for group, pairs in _groups(one.facts)
            for name, value in pairs
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(part for part in parts if part) + "\n"


def to_json(reports: Sequence[Report]) -> str:
    """Give the reports as JSON, tables in full, pictures by name. NaN and infinity, which JSON lacks, become text."""
    records = [
        asdict(one) | {"figures": [{"name": fig.name, "caption": fig.caption, "alt": fig.alt} for fig in one.figures]}
        for one in reports
    ]
    return json_bytes(plain({"reports": records}, "report", nonfinite=lambda _, value: str(value)), indent=2).decode()


@cache
def _template() -> jinja2.Template:
    import jinja2

    # Text from models and data stands in these pages: everything is escaped, and a forgotten name is an error.
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string((resources.files("tenon.core") / "report.html.jinja").read_text(encoding="utf-8"))


_MOTION = re.compile(r'<style class="motion">.*?</style>', re.DOTALL)


def _still(fig: Figure) -> Figure:
    return replace(fig, svg=_MOTION.sub("", fig.svg or ""))


def _uri(fig: Figure) -> str:
    # As an image even where it is SVG: scripts inside an image do not run, and ids of two figures cannot meet.
    kind, data = ("png", fig.png or b"") if fig.svg is None else ("svg+xml", fig.svg.encode())
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _table_view(table: Table) -> dict[str, Any]:
    columns = _columns(table)
    shown = [[text[row] for _, _, text in columns] for row in range(min(len(table.rows), MAX_ROWS))]
    return {
        "name": table.name,
        "caption": table.caption,
        "columns": [{"name": name, "is_number": is_number} for name, is_number, _ in columns],
        "cells": [
            [{"text": text, "css": _css(text, is_number)} for text, (_, is_number, _) in zip(row, columns, strict=True)]
            for row in shown
        ],
        "hidden": max(0, len(table.rows) - MAX_ROWS),
    }


def _css(text: str, is_number: bool) -> str:
    kind = "number" if is_number else "text long" if len(text) > 40 else "text short" if len(text) <= 24 else "text"
    return f"{kind} missing" if text == _MISSING else kind


def _markdown_table(table: Table) -> str:
    columns = _columns(table)
    if not columns:
        return "No rows."
    lines = [[_escape(name) for name, _, _ in columns], ["--:" if is_number else ":--" for _, is_number, _ in columns]]
    lines += [[_escape(text[row]) for _, _, text in columns] for row in range(len(table.rows))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _marked(item: Excerpt) -> str:
    """Give an excerpt in Markdown, on one line: what went struck through, what came in bold.

    >>> _marked(Excerpt("", (("Now 3 + 4 = ", "plain"), ("7", "removed"), ("8", "added"), ("\\n", "soft"))))
    'Now 3 + 4 = ~~7~~**8**'
    """
    around = {"removed": "~~", "added": "**"}
    words = []
    for text, mark in item.parts:
        inside = text.strip()
        sign = around.get(mark, "") if inside else ""
        ahead, _, behind = text.partition(inside) if inside else (text, "", "")
        words.append(f"{ahead}{sign}{_escape(inside)}{sign}{behind}")
    return " ".join("".join(words).split())


_MISSING = "–"


def _columns(table: Table) -> list[tuple[str, bool, list[str]]]:
    """Give every column's name, whether it holds numbers, and its cells as text."""
    columns = []
    for name in dict.fromkeys(name for row in table.rows for name in row):
        cells = [row.get(name) for row in table.rows]
        known = [cell for cell in cells if cell is not None]
        is_number = bool(known) and all(_is_number(cell) for cell in known)
        columns.append((str(name), is_number, _numbers(cells) if is_number else [_words(cell) for cell in cells]))
    return columns


def _is_number(cell: Any) -> bool:
    return (isinstance(cell, int | float) and not isinstance(cell, bool)) or cell in ("nan", "inf", "-inf")


def _words(cell: Any) -> str:
    if cell is None:
        return _MISSING
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    if isinstance(cell, list | tuple):
        return ", ".join(map(_words, cell))
    return str(cell)


def _numbers(cells: Sequence[Any]) -> list[str]:
    """Write a column's numbers with as many decimals as show its smallest and its largest; thousands get commas.

    >>> _numbers([0.5, 12.25, None]), _numbers([4096, 12]), _numbers([1e-9, 2.0])
    (['0.50', '12.25', '–'], ['4,096', '12'], ['1e-09', '2'])
    """
    finite = [cell for cell in cells if isinstance(cell, int | float) and math.isfinite(cell)]
    sizes = [abs(cell) for cell in finite if cell != 0]
    is_whole = all(cell == int(cell) for cell in finite)
    scientific = bool(sizes) and (min(sizes) < 1e-4 or (max(sizes) >= 1e9 and not is_whole))
    decimals = 0
    if sizes and not is_whole and not scientific:
        # two digits of the smallest, four of the largest
        decimals = max(1 - math.floor(math.log10(min(sizes))), 3 - math.floor(math.log10(max(sizes))), 0)

    def show(cell: Any, decimals: int) -> str:
        if cell is None:
            return _MISSING
        if isinstance(cell, str) or not math.isfinite(cell):
            return str(cell)
        return f"{cell:.4g}" if scientific else f"{cell:,.{decimals}f}"

    while decimals and all(show(cell, decimals).endswith("0") for cell in finite):
        decimals -= 1
    return [show(cell, decimals) for cell in cells]


def _groups(facts: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Give facts as named groups of pairs: first those without a group, then each dict, flattened to dotted names."""
    single = [(str(name), _words(value)) for name, value in facts.items() if not isinstance(value, Mapping)]
    groups = [(str(name), list(_flat(value, ""))) for name, value in facts.items() if isinstance(value, Mapping)]
    return [(name, pairs) for name, pairs in [("", single), *groups] if pairs]


def _flat(facts: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _words(value)


def _escape(text: str) -> str:
    for mark in "\\`*[]|":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(html.escape(text, quote=False).split())
