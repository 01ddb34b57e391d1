"""An answer as it fills in, on a page: a picture that moves by itself, and one that stands, of the order.

The moving one is an SVG whose every cell is drawn once per state, hidden but in its time; no script. What moves it is
one style element, without which it is the finished answer (`tenon.core.report` shows it so on paper).
"""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from tenon.core.report import Figure, style
from tenon.methods.mdm.solve import MASKED

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

    from tenon.methods.mdm.solve import Filling

__all__ = ["LEGEND", "animate", "draw_order"]

SECONDS_PER_STEP, SECONDS_AT_THE_END, ROUNDS = 0.6, 4.0, 5
CELL = 40
"""Side of a cell [px]."""
LEGEND = "+ written in this step, ~ changed in it, a dot where it is masked"
LEGEND_GIVEN = "framed: given (dashed until the model has written it), ! given, and changed"
_LOOKS = {
    # plate, its edge, digit, weight, sign
    "masked": ("none", "none", "#8a8983", "400", ""),
    "new": ("#d6e8f5", "none", "#00507f", "600", "+"),
    "revised": ("#fbe2cd", "none", "#9c4300", "600", "~"),
    "written": ("none", "none", "#1d1d1b", "400", ""),
    "open": ("none", '#8a8983" stroke-dasharray="3 3', "#62625d", "400", ""),
    "given": ("#ecebe5", "#62625d", "#1d1d1b", "700", ""),
    "changed": ("#f6d6e4", "#a3195b", "#a3195b", "700", "!"),
}


def animate(filling: Filling, name: str, caption: str) -> Figure:
    """Draw an answer as it fills in.

    Args:
        filling: Its cells after each step.
        name: Of the figure.
        caption: What stands below it, before what the signs mean.
    """
    steps = len(filling.frames)
    seconds = steps * SECONDS_PER_STEP + SECONDS_AT_THE_END
    moments = [(filling.shown(step), filling.states(step)) for step in range(steps + 1)]
    rows = -(-len(filling.order) // filling.columns)
    width, height = filling.columns * CELL + 4, rows * CELL + 34
    parts, spans = [], set()

    def during(first: int, end: int, drawn: str) -> None:
        """Add what is to be seen from a step on, until another."""
        spans.add((first, end))
        parts.append(f'<g class="t{first}-{end}{" last" if end > steps else ""}">{drawn}</g>')

    for cell in range(len(filling.order)):
        looks = [(shown[cell], states[cell]) for shown, states in moments]
        first = 0
        for (value, state), same in groupby(looks):
            end = first + len(list(same))
            during(first, end, _cell(cell, value, state, filling))
            first = end
    for step in range(steps + 1):
        bar = f'<rect x="2" y="{height - 5}" width="{(width - 4) * step / steps:.1f}" height="3" fill="#00507f"/>'
        during(step, step + 1, f'{bar}<text x="2" y="{height - 12}" class="step">step {step} of {steps}</text>')
    motion = "".join(_keyframes(first, end, steps, seconds) for first, end in sorted(spans))
    given = f", {LEGEND_GIVEN}" if filling.box else ", $ end of the answer"
    return Figure(
        name,
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        "<style>text{font:20px 'DejaVu Sans',Verdana,sans-serif;text-anchor:middle}"
        ".sign{font-size:12px}.step{font-size:13px;text-anchor:start;fill:#62625d}"
        "g{visibility:hidden}g.last{visibility:visible}</style>"
        '<style class="motion">@media (prefers-reduced-motion:no-preference){'
        f"g{{animation:{seconds}s step-end {ROUNDS} both}}{motion}}}</style>"
        f'<rect width="{width}" height="{height}" fill="#fff"/>{_lines(filling, rows)}{"".join(parts)}</svg>',
        None,
        f"{caption} Signs: {LEGEND}{given}.",
        f"The answer {filling.frames[-1]} as it fills in over {steps} steps.",
    )


def _keyframes(first: int, end: int, steps: int, seconds: float) -> str:
    """Show what has the class from step `first` until step `end`."""
    shows = {0.0: False, 100 * first * SECONDS_PER_STEP / seconds: True, 100.0: end > steps}
    if end <= steps:
        shows[100 * end * SECONDS_PER_STEP / seconds] = False
    told = "".join(f"{at:.3f}%{{visibility:{'visible' if on else 'hidden'}}}" for at, on in sorted(shows.items()))
    return f".t{first}-{end}{{animation-name:k{first}-{end}}}@keyframes k{first}-{end}{{{told}}}"


def _cell(cell: int, value: str, state: str, filling: Filling) -> str:
    row, column = divmod(cell, filling.columns)
    x, y = column * CELL + 2, row * CELL + 2
    plate, edge, ink, weight, sign = _LOOKS[state]
    drawn = ""
    if (plate, edge) != ("none", "none"):
        drawn = f'<rect x="{x + 3}" y="{y + 3}" width="{CELL - 6}" height="{CELL - 6}" fill="{plate}" stroke="{edge}"/>'
    value = "\N{MIDDLE DOT}" if value == MASKED else escape(value)
    drawn += f'<text x="{x + CELL / 2}" y="{y + CELL / 2 + 7}" fill="{ink}" font-weight="{weight}">{value}</text>'
    if sign:
        drawn += f'<text class="sign" x="{x + CELL - 9}" y="{y + 14}" fill="{ink}">{sign}</text>'
    return drawn


def _lines(filling: Filling, rows: int) -> str:
    """Draw the lines between cells, thick ones between boxes and around all."""
    right, bottom = filling.columns * CELL + 2, rows * CELL + 2
    lines = [(index, filling.columns, f"M{index * CELL + 2} 2V{bottom}") for index in range(filling.columns + 1)]
    lines += [(index, rows, f"M2 {index * CELL + 2}H{right}") for index in range(rows + 1)]
    thin, thick = "", ""
    for index, count, path in lines:
        if index % (filling.box or count) == 0:
            thick += path
        else:
            thin += path
    return f'<path d="{thin}" stroke="#d9d8d2"/><path d="{thick}" stroke="#3b3b38" stroke-width="2"/>'


def draw_order(filling: Filling) -> Plot:
    """Draw the step since which each cell is what it is in the end; given cells of a Sudoku are framed."""
    import numpy
    from matplotlib.figure import Figure as Plot
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    rows = -(-len(filling.order) // filling.columns)
    steps = numpy.full(rows * filling.columns, numpy.nan)
    steps[: len(filling.order)] = filling.order
    with style():
        scale = 0.5 if filling.box else 0.36
        figure = Plot(figsize=(filling.columns * scale + 1.2, max(rows * scale + 0.3, 1.0)))
        axes = figure.add_subplot()
        image = axes.imshow(steps.reshape(rows, filling.columns), cmap="YlGnBu", vmin=1, vmax=len(filling.frames))
        for cell, (value, step) in enumerate(zip(filling.frames[-1], filling.order, strict=True)):
            row, column = divmod(cell, filling.columns)
            ink = "white" if step > 0.55 * len(filling.frames) else "#1d1d1b"
            is_given = bool(filling.box) and filling.puzzle[cell] != "0"
            axes.text(
                column, row - 0.1, value, ha="center", va="center", color=ink, weight="bold" if is_given else None
            )
            axes.text(column + 0.42, row + 0.44, str(step), ha="right", va="bottom", color=ink, fontsize=6.5)
            if is_given:
                axes.add_patch(Rectangle((column - 0.44, row - 0.44), 0.88, 0.88, fill=False, edgecolor=ink))
        for line in range(filling.box, filling.columns, filling.box) if filling.box else ():
            axes.axhline(line - 0.5, color="white", linewidth=3)
            axes.axvline(line - 0.5, color="white", linewidth=3)
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        figure.colorbar(image, ax=axes, label="step", ticks=MaxNLocator(integer=True))
        return figure
