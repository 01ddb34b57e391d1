"""Pictures of an answer filling in: every state told apart without colour, the steps counted, nothing that runs."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy
import pytest
from rich.console import Console

from tenon.methods.mdm.animation import animate, draw_order
from tenon.methods.mdm.show import frame, order_of, show_filling
from tenon.methods.mdm.solve import Filling

PUZZLE = "2000" + "0" * 12
FRAMES = ("." + "13." + "." * 12, "2.34" + "." * 12, "3134" + "4" * 12, "2134" + "4" * 12)
GRID = Filling(PUZZLE, FRAMES, (4, 3, 2, 2, *[3] * 12), 4, 2)
LINE = Filling("1,2-1,2", (".,.", "2,.", "1,2"), (3, 1, 3), 2)


def test_every_cell_is_told_by_what_it_was_before() -> None:
    assert [GRID.states(step)[:4] for step in range(5)] == [
        ["open", "masked", "masked", "masked"],
        ["open", "new", "new", "masked"],
        ["given", "masked", "written", "new"],  # the second is masked again
        ["changed", "new", "written", "written"],  # and written again as it was
        ["given", "written", "written", "written"],
    ]
    assert GRID.states(2)[2] == "written"
    assert LINE.states(3) == ["revised", "written", "new"]
    revised_later = Filling("p", ("1", ".", "2"), (3,), 1)  # masked in between
    assert [revised_later.states(step) for step in range(4)] == [["masked"], ["new"], ["masked"], ["revised"]]
    assert GRID.shown(0) == "2..............."
    assert GRID.shown(3) == FRAMES[2]
    assert LINE.shown(0) == "..."


def test_a_sudoku_is_a_framed_grid_of_signs() -> None:
    assert frame(GRID, 1).plain.splitlines() == [
        "step 1 of 4, 14 of 16 masked",
        "+-------+-------+",
        "|(2)+1  |+3  .  |",
        "| .  .  | .  .  |",
        "+-------+-------+",
        "| .  .  | .  .  |",
        "| .  .  | .  .  |",
        "+-------+-------+",
    ]
    assert "|!3 +1  | 3  4  |" in frame(GRID, 3).plain
    assert "|[2] 1  | 3  4  |" in frame(GRID, 4).plain
    assert "| 4  3  | 2  2  |" in order_of(GRID).plain


def test_other_kinds_are_lines_with_signs_below() -> None:
    assert frame(LINE, 3).plain == "step 3 of 3, 0 of 3 masked\n1,\n~\n2\n+"
    assert order_of(LINE).plain == "fixed in step\n  1  ,\n  3  1\n  2\n  3"


def test_a_terminal_sees_it_in_place_and_a_file_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen = io.StringIO()
    show_filling(GRID, console=Console(file=screen, force_terminal=True, width=120), pause_seconds=0)
    told = screen.getvalue()
    assert "step 4 of 4" in told
    assert "\x1b[1A" in told  # goes up again, to write over what was there
    assert "fixed in step" in told
    show_filling(GRID)
    plain = capsys.readouterr().err
    assert "\x1b" not in plain
    assert re.findall(r"step (\d) of 4", plain) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("filling", [GRID, LINE])
def test_the_animation_shows_every_moment_once_and_stands_without_its_motion(filling: Filling) -> None:
    drawn = animate(filling, "filling-1", "Puzzle 1.")
    assert drawn.svg is not None
    (motion,) = re.findall(r'<style class="motion">.*?</style>', drawn.svg)
    assert "prefers-reduced-motion" in motion
    tree = ElementTree.fromstring(drawn.svg)
    groups = [node for node in tree if node.tag.endswith("}g")]
    spans = [tuple(map(int, re.findall(r"\d+", node.attrib["class"]))) for node in groups]
    steps, cells = len(filling.frames), len(filling.order)
    for step in range(steps + 1):  # one look per cell at every moment, and one counter
        assert sum(first <= step < end for first, end in spans) == cells + 1
    # Without motion, what is visible is the finished answer, and the last step.
    last = [node for node in groups if "last" in node.attrib["class"]]
    texts = [
        "".join(text.text or "" for text in node if text.tag.endswith("}text") and "class" not in text.attrib)
        for node in last
    ]
    assert [text for text in texts if text] == list(filling.frames[-1])
    assert f"step {steps} of {steps}" in ElementTree.tostring(last[-1], encoding="unicode")
    assert not re.search(r"<script|\son\w+=|href|url\(", drawn.svg)


def test_the_motion_follows_the_steps() -> None:
    svg = animate(LINE, "f", "c").svg or ""
    seconds = float(re.findall(r"animation:([\d.]+)s step-end", svg)[0])
    at = [100 * step * 0.6 / seconds for step in range(4)]
    found = re.findall(r"@keyframes k1-2\{(.*?)\}\}", svg)[0]
    assert found == (
        f"0.000%{{visibility:hidden}}{at[1]:.3f}%{{visibility:visible}}"
        f"{at[2]:.3f}%{{visibility:hidden}}100.000%{{visibility:hidden"
    )
    assert "@keyframes k0-1{0.000%{visibility:visible}" in svg  # seen from the start
    assert re.search(
        r"@keyframes k3-4\{0.000%\{visibility:hidden\}[\d.]+%\{visibility:visible\}100.000%\{visibility:v", svg
    )


@pytest.mark.parametrize("filling", [GRID, LINE])
def test_the_order_is_drawn_with_its_numbers(filling: Filling) -> None:
    axes = draw_order(filling).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts[::2] == list(filling.frames[-1])
    assert texts[1::2] == [str(step) for step in filling.order]
    image = axes.images[0].get_array()
    assert image is not None
    assert numpy.ma.compressed(image).tolist() == list(filling.order)
    assert len(axes.patches) == (1 if filling.box else 0)  # the given
