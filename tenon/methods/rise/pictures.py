"""What RISE looks like: pairs with their edits in colour, faults before and after, margins, training."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.drawing import MARKS, heights
from tenon.core.report import Excerpt, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tenon.core.report import Mark
    from tenon.methods.rise.rows import Edit, Pair

__all__ = [
    "draw_contenders",
    "draw_faults",
    "draw_margins",
    "draw_training",
    "edited_words",
    "excerpt",
    "excerpt_of_attempt",
]

FEW = 12
"""So many points of a line are marked each."""

_WORDS = re.compile(r"\d+(?:[.,]\d+)*|\w+|\s+|.", re.DOTALL)


def edited_words(chosen: str, rejected: str) -> list[tuple[str, Mark]]:
    """Give both texts as one: what they share, what the first has alone, what the second has instead.

    >>> edited_words("3 + 4 = 7.", "3 + 4 = 8.")
    [('3 + 4 = ', 'plain'), ('7', 'removed'), ('8', 'added'), ('.', 'plain')]
    """
    first, second = _WORDS.findall(chosen), _WORDS.findall(rejected)
    parts: list[tuple[str, Mark]] = []
    for action, a, b, c, d in difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if action == "equal":
            parts.append(("".join(first[a:b]), "plain"))
        else:
            went, came = "".join(first[a:b]), "".join(second[c:d])
            parts += [(text, mark) for text, mark in ((went, "removed"), (came, "added")) if text]  # type: ignore[misc]  # mypy widens the literals
    return parts


def excerpt(pair: Pair) -> Excerpt:
    """Show a pair: its question and first steps, then the step as it was and as it was made."""
    kind = "whole solutions" if pair.pair_kind == "full" else f"{pair.edit_type}, step {pair.step}"
    ahead: list[tuple[str, Mark]] = [(f"{pair.prompt}\n", "soft")]
    if pair.pair_kind == "full":
        right: list[tuple[str, Mark]] = [("chosen\n", "soft"), (pair.chosen, "plain")]
        wrong: list[tuple[str, Mark]] = [("\nrejected\n", "soft"), (pair.rejected, "added")]
        return Excerpt(kind, (*ahead, *right, *wrong))
    distance = "" if pair.edit_distance is None else f", distance {pair.edit_distance}"
    return Excerpt(
        kind + distance,
        (*ahead, (pair.initial_reason_steps, "soft"), *edited_words(pair.chosen, pair.rejected)),
    )


def excerpt_of_attempt(edit: Edit) -> Excerpt:
    """Show an attempt at a step: what was shown, and what the editor answered, word for word."""
    answer = "no answer" if edit.answer is None else edit.answer
    parts: list[tuple[str, Mark]] = [
        (edit.prefix, "soft"),
        (edit.chosen, "plain"),
        ("\nanswer\n", "soft"),
        (answer, "soft" if edit.answer is None else "added"),
    ]
    return Excerpt(f"{edit.outcome}: {edit.kind or 'no kind'}, step {edit.step}", tuple(parts))


def _name(axes: Axes, columns: int = 1) -> None:
    """Say what is what, if there is anything."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=9, ncols=columns)


def draw_faults(rates: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw how often a solution goes wrong first in which way, one bar per model.

    Args:
        rates: Per model the rows `faults` of `evaluate.figures`, or of a comparison, with `fault`, `rate`, `low`,
            `high`.
    """
    from matplotlib.figure import Figure

    kinds = [row["fault"] for row in next(iter(rates.values()))]
    with style():
        figure = Figure()
        axes, width = figure.add_subplot(), 0.8 / len(rates)
        for place, (name, rows) in enumerate(rates.items()):
            tops, bars = heights(rows, "rate", 100)
            at = [index + (place - (len(rates) - 1) / 2) * width for index in range(len(kinds))]
            axes.bar(at, tops, width, yerr=bars, capsize=2, label=name, error_kw={"linewidth": 0.8})
        axes.set_xticks(range(len(kinds)), kinds)
        axes.set(ylabel="of all solutions [%]", ylim=(0, None))
        _name(axes, columns=2)
        return figure


def draw_contenders(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy by the number of steps, one line per contender.

    Args:
        rows: With `contender`, `steps` (a number, or `all`, which is left out), `accuracy`, `low` and `high` [share].
    """
    from matplotlib.figure import Figure

    numbered = [row for row in rows if row["steps"] != "all"]
    names = list(dict.fromkeys(row["contender"] for row in numbered))
    with style():
        figure = Figure()
        axes = figure.add_subplot()
        for place, name in enumerate(names):
            mine = [row for row in numbered if row["contender"] == name]
            at = [row["steps"] + 0.06 * (place - (len(names) - 1) / 2) for row in mine]  # side by side
            tops, bars = heights(mine, "accuracy", 100)
            axes.errorbar(at, tops, bars, marker=MARKS[place % len(MARKS)], capsize=2, alpha=0.9, label=name)
        axes.set_xticks(sorted({row["steps"] for row in numbered}))
        axes.set(xlabel="steps of the true solution", ylabel="solved [%]", ylim=(0, None))
        _name(axes, columns=2)
        return figure


def draw_training(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw loss and reward margins over the steps.

    Args:
        lines: Of the metrics: `step`, `loss`, and `margins/full` and `margins/edit` where there are such pairs.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(7.0, 3.2))
        left, right = figure.subplots(1, 2)
        told = [line for line in lines if line.get("loss") is not None]
        left.plot([line["step"] for line in told], [line["loss"] for line in told], marker=_marker(told))
        left.set(xlabel="step", ylabel="loss")
        for name in ("rewards/margins", "margins/full", "margins/edit"):
            points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
            if points:
                right.plot(
                    *zip(*points, strict=True),
                    marker=_marker(points),
                    label=name.replace("rewards/margins", "all pairs"),
                )
        right.set(xlabel="step", ylabel="reward margin")
        _name(right)
        return figure


def _marker(points: Sequence[Any]) -> str:
    """Give points where they are few: a line of one point, or the last step of a short training, cannot be seen."""
    return "o" if len(points) <= FEW else ""


def draw_margins(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw how much likelier the true step is than the edited one, by kind of error.

    Args:
        rows: With `contender`, `kind`, `margin`, `low` and `high` [nats]; the last two may be none.
    """
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    names = list(dict.fromkeys(row["contender"] for row in rows))
    with style():
        figure = Figure()
        axes = figure.add_subplot()
        for place, name in enumerate(names):
            mine = [row for row in rows if row["contender"] == name]
            at = [kinds.index(row["kind"]) + 0.09 * (place - (len(names) - 1) / 2) for row in mine]
            tops, bars = heights(mine, "margin", 1)
            axes.errorbar(at, tops, bars, marker=MARKS[place % len(MARKS)], linestyle="", capsize=2, label=name)
        axes.set_xticks(range(len(kinds)), kinds)
        axes.axhline(0, linewidth=0.8, color="#62625d")
        axes.set(ylabel="margin [nats]")
        _name(axes, columns=2)
        return figure
