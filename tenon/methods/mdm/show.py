"""An answer as it fills in, in a terminal: a Sudoku as a grid, others as lines; signs say what colours say."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tenon.core.commandline import say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from tenon.methods.mdm.solve import Filling

__all__ = ["LEGEND", "frame", "order_of", "show_filling"]

_SIGNS = {
    "masked": (" . ", "dim"),
    "new": ("+{}", "bold green"),
    "revised": ("~{}", "bold yellow"),
    "written": (" {}", ""),
    "open": ("({})", "dim"),
    "given": ("[{}]", "bold"),
    "changed": ("!{}", "bold red"),
}
LEGEND = (
    ". masked   + written in this step   ~ changed in it   [1] given   (1) given, not yet written   ! given, changed"
)
"""What the signs say."""
PAUSE_SECONDS = 0.15
"""Between two steps on a terminal: the model is faster than the eye."""


def frame(filling: Filling, step: int) -> Text:
    """Give the cells after a step, 0 being before the first; the steps and what is left to write above them."""
    from rich.text import Text

    shown, states = filling.shown(step), filling.states(step)
    cells = [
        (_SIGNS[state][0].format(value).ljust(3), _SIGNS[state][1]) for value, state in zip(shown, states, strict=True)
    ]
    masked = sum(state in ("masked", "open") for state in states)
    text = Text(f"step {step} of {len(filling.frames)}, {masked} of {len(states)} masked\n")
    if filling.box:
        return text.append_text(_table(filling, cells))
    for start in range(0, len(cells), filling.columns):
        part = slice(start, start + filling.columns)
        for value, (_, style) in zip(shown[part], cells[part], strict=True):
            text.append(value, style)
        # The signs of a line stand below it, so that it can be read as it is.
        text.append("\n" + "".join(cell[0] if cell[0] in "+~" else " " for cell, _ in cells[part]).rstrip() + "\n")
    text.right_crop(1)
    return text


def order_of(filling: Filling) -> Text:
    """Give the step since which each cell is what it is in the end: small numbers were easy."""
    from rich.text import Text

    text = Text("fixed in step\n")
    if filling.box:
        return text.append_text(_table(filling, [(f"{step:>2} ", "") for step in filling.order]))
    for start in range(0, len(filling.order), filling.columns):
        part = slice(start, start + filling.columns)
        text.append("".join(f"{value:>3}" for value in filling.frames[-1][part]) + "\n")
        text.append("".join(f"{step:>3}" for step in filling.order[part]) + "\n")
    text.right_crop(1)
    return text


def _table(filling: Filling, cells: list[tuple[str, str]]) -> Text:
    """Put cells of three characters into the frame of a Sudoku."""
    from rich.text import Text

    border = "+" + ("-" * (3 * filling.box + 1) + "+") * filling.box
    text = Text()
    for cell, (shown, style) in enumerate(cells):
        row, column = divmod(cell, filling.columns)
        if column == 0 and row % filling.box == 0:
            text.append(f"{border}\n")
        if column % filling.box == 0:
            text.append(" |" if column else "|")
        text.append(shown, style)
        if column == filling.columns - 1:
            text.append(" |\n")
    return text.append(border)


def show_filling(filling: Filling, *, console: Console | None = None, pause_seconds: float = PAUSE_SECONDS) -> None:
    """Show an answer filling in, step by step, and then in which order: on a terminal in place, else as plain lines.

    Args:
        filling: What is shown again.
        console: Where; none: standard error, if it is a terminal.
        pause_seconds: Between two steps on a terminal.
    """
    frames = [frame(filling, step) for step in range(len(filling.frames) + 1)]
    if console is None and not sys.stderr.isatty():
        for one in (*frames, order_of(filling)):
            say(one.plain)
        return
    from rich.console import Console
    from rich.live import Live

    console = console or Console(stderr=True, highlight=False)
    console.print(LEGEND, style="dim")
    with Live(frames[0], console=console, auto_refresh=False) as live:
        for one in frames:
            live.update(one, refresh=True)
            time.sleep(pause_seconds)
    console.print(order_of(filling))
