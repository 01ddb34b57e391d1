"""The picture of segment recall: who still answers, over the distance to the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.report import style
from tenon.methods.sepllm.contenders import FULL, SEP
from tenon.methods.sepllm.recall import HIDDEN, INTERVAL, OWN_ALONE, OWN_HIDDEN, WIDE, WINDOW

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_recall"]

ORDER = (FULL, SEP, WINDOW, WIDE, INTERVAL)
"""The masks by the place of their colour in the style's cycle: the same as in the other pictures."""
LOOKS = {
    HIDDEN: ("C2", "--"),
    OWN_HIDDEN: ("C3", ":"),
    OWN_ALONE: ("C1", "-"),
    SEP: ("C0", "--"),
    INTERVAL: ("C4", "--"),
}
"""Colour and line of what a mask or a hidden separator does to weights that were trained otherwise."""
MUTED = "#62625d"


def draw_recall(curves: Sequence[Mapping[str, Any]], *, reach: int, guess: float) -> Figure:
    """Draw accuracy over distance: left each mask on the weights trained under it, right what is changed in the test.

    Args:
        curves: The rows of `distances`: one per probe and distance, with 95 % intervals.
        reach: How far the widest window reaches through all layers [tokens].
        guess: Accuracy of the best guess without the pair.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(9.6, 4.4))
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        for name in ORDER:
            rows = [row for row in curves if row["trained under"] == name and row["tested under"] == "the same"]
            _draw(left, rows, name, f"C{ORDER.index(name)}", "-")
        changed = [row for row in curves if row["tested under"] != "the same"]
        for trained, tested in {(row["trained under"], row["tested under"]): 0 for row in changed}:
            rows = [row for row in changed if (row["trained under"], row["tested under"]) == (trained, tested)]
            label = f"trained with {trained}, {'under ' if tested in ORDER else ''}{tested}"
            _draw(right, rows, label, *LOOKS[tested])
        left.set(title="Tested as trained", ylabel="answered right [%]", ylim=(-3, 103))
        right.set(title="Changed in the test alone")
        for axes in (left, right):
            axes.set(xlabel="distance to the answer [tokens]")
            axes.axvline(reach, color=MUTED, linestyle=":", linewidth=1)
            axes.axhline(100 * guess, color=MUTED, linestyle=":", linewidth=1)
            axes.annotate(" beyond any window", (reach, 52), fontsize=8, color=MUTED)
            axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
        left.annotate("the best guess without the pair", (reach, 100 * guess + 2), fontsize=8, color=MUTED)
        return figure


def _draw(axes: Axes, rows: Sequence[Mapping[str, Any]], label: str, color: str, line: str) -> None:
    if rows:
        distance = [row["distance"] for row in rows]
        axes.plot(distance, [100 * row["accuracy"] for row in rows], line, color=color, label=label, linewidth=1.6)
        low, high = ([100 * row[end] for row in rows] for end in ("low", "high"))
        axes.fill_between(distance, low, high, color=color, alpha=0.12, linewidth=0)
