"""Pages and pictures: what was edited is marked and nothing else, every picture draws whatever is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenon.core.report import figure_from_matplotlib
from tenon.core.run import Run
from tenon.methods.rise.compare import summary
from tenon.methods.rise.evaluate import Answer, figures
from tenon.methods.rise.pictures import (
    draw_contenders,
    draw_faults,
    draw_margins,
    draw_training,
    edited_words,
    excerpt,
)
from tenon.methods.rise.rows import Edit, Pair, Solution
from tenon.methods.rise.show import (
    SHOWN,
    show_answers,
    show_comparison,
    show_edits,
    show_pairs,
    show_solutions,
    show_training,
    told,
)
from tests.methods.rise.test_compare import row

EVIL = "<script>alert(1)</script>"
PAIR = Pair(
    prompt="Mia has 12 apples and eats 5.",
    initial_reason_steps="Step 1:",
    chosen=" She has 12 - 5 = 7 apples.",
    rejected=" She has 12 - 5 = 8 apples.",
    pair_kind="edit",
    edit_type="value",
    edit_distance=1,
    step=1,
    last_step=False,
    source_id="q",
)
FULL = Pair(prompt="Mia?", initial_reason_steps="", chosen="Answer: 7", rejected="Answer: 8", source_id="q")


# What is marked


@pytest.mark.parametrize(
    ("chosen", "rejected", "marked"),
    [
        ("12 - 5 = 7 apples", "12 - 5 = 8 apples", [("7", "removed"), ("8", "added")]),
        ("12 - 5 = 7", "12 + 5 = 7", [("-", "removed"), ("+", "added")]),
        ("1,250 + 3.5", "1,205 + 3.5", [("1,250", "removed"), ("1,205", "added")]),  # a number is one word
        ("2 + 3 + 4 = 9", "2 + 3 = 9", [(" + 4", "removed")]),
        ("two more", "two times more", [("times ", "added")]),
        ("Mia has 7, Ann 9.", "Ann has 7, Mia 9.",
         [("Mia", "removed"), ("Ann", "added"), ("Ann", "removed"), ("Mia", "added")]),
        ("the same", "the same", []),
        ("5", "", [("5", "removed")]),
    ],
)  # fmt: skip
def test_exactly_the_edited_words_are_marked(chosen: str, rejected: str, marked: list[tuple[str, str]]) -> None:
    parts = edited_words(chosen, rejected)
    found = [part for part in parts if part[1] != "plain"]
    if rejected == "2 + 3 = 9":  # which of two equal stretches went is all the same
        assert sorted(found[0][0].split()) == ["+", "4"]
    else:
        assert found == marked


@given(st.text("ab 1.,\n<é", max_size=20), st.text("ab 1.,\n<é", max_size=20))
def test_the_marked_text_is_both_texts(chosen: str, rejected: str) -> None:
    parts = edited_words(chosen, rejected)
    assert "".join(text for text, mark in parts if mark != "added") == chosen
    assert "".join(text for text, mark in parts if mark != "removed") == rejected
    assert all(text for text, _ in parts)
    if chosen == rejected:
        assert {mark for _, mark in parts} <= {"plain"}


def test_an_excerpt_shows_the_question_the_steps_so_far_and_the_edit() -> None:
    shown = excerpt(PAIR)
    assert shown.heading == "value, step 1, distance 1"
    assert shown.parts == (
        ("Mia has 12 apples and eats 5.\n", "soft"),
        ("Step 1:", "soft"),
        (" She has 12 - 5 = ", "plain"),
        ("7", "removed"),
        ("8", "added"),
        (" apples.", "plain"),
    )
    whole = excerpt(FULL)
    assert whole.heading == "whole solutions"
    assert whole.parts[1:] == (
        ("chosen\n", "soft"),
        ("Answer: 7", "plain"),
        ("\nrejected\n", "soft"),
        ("Answer: 8", "added"),
    )
    assert excerpt(replace(PAIR, edit_distance=None)).heading == "value, step 1"


def test_what_a_model_wrote_is_escaped_on_the_page(tmp_path: Path) -> None:
    evil = replace(PAIR, prompt=EVIL, initial_reason_steps=EVIL, chosen=f"7 {EVIL}", rejected=f"8 {EVIL}")
    edit = Edit(
        key="q/0/1", id="q", sample=0, step=1, last_step=True, prefix="", chosen=EVIL, offset=0, window=EVIL,
        kind=EVIL, answer=EVIL, rejected=EVIL, distance=1, outcome=EVIL, writer=EVIL,
    )  # fmt: skip
    with Run.open(tmp_path, config={}) as run:
        show_pairs(run, [evil, replace(FULL, chosen=EVIL)], {"questions": {EVIL: 1}})
        show_edits(run, [edit])
        show_answers(run, {EVIL: figures([Answer(key="k", steps=1, correct=True, fault=None, is_cut=False)])})
        page = run.report(EVIL).read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in (tmp_path / "report.md").read_text()


# Tables


def solution(question: str, sample: int, correct: bool | None, finish: str = "stop") -> Solution:
    return Solution(
        key=f"{question}/{sample}", id=question, sample=sample, text="", correct=correct, found=None,
        finish_reason=finish, writer="w",
    )  # fmt: skip


def table(run: Run, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((run.path / "tables" / f"{name}.json").read_text())["rows"]
    return rows


def test_questions_are_counted_by_their_right_solutions(tmp_path: Path) -> None:
    grades = {"a": (True, True), "b": (True, False), "c": (False, False), "d": (True, None), "e": (False, False)}
    found = [solution(name, place, grade) for name, both in grades.items() for place, grade in enumerate(both)]
    with Run.open(tmp_path, config={}) as run:
        totals = show_solutions(run, [*found[:-1], replace(found[-1], finish_reason="length")])
        rows = table(run, "solutions")
    assert [(row["right solutions"], row["questions"]) for row in rows] == [(0, 2), (1, 2), (2, 1)]
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    # "d" has a right one and one that nobody could grade, which is not wrong
    assert totals == {
        "questions": 5, "solutions": 10, "right": 0.4, "with both": 1, "cut": 1, "unchecked": 1,
    }  # fmt: skip


def test_attempts_are_counted_by_error_and_outcome(tmp_path: Path) -> None:
    def edit(number: int, kind: str | None, outcome: str) -> Edit:
        return Edit(
            key=str(number), id="q", sample=0, step=number, last_step=False, prefix="", chosen="", offset=0, window="",
            kind=kind, answer=None, rejected=None, distance=None, outcome=outcome, writer="w",
        )  # fmt: skip

    edits = [
        edit(1, "value", "kept"),
        edit(2, "value", "no change"),
        edit(3, None, "blank step"),
        edit(4, "swap", "kept"),
    ]
    with Run.open(tmp_path, config={}) as run:
        assert show_edits(run, edits) == {"attempts": 4, "kept": 2}
        assert table(run, "attempts") == [
            {"error": "value", "attempts": 2, "kept": 1, "blank step": 0, "no change": 1},
            {"error": "none fits", "attempts": 1, "kept": 0, "blank step": 1, "no change": 0},
            {"error": "swap", "attempts": 1, "kept": 1, "blank step": 0, "no change": 0},
        ]
        assert show_edits(run, []) == {"attempts": 0, "kept": 0}  # where no edited pairs are wanted
        run.report("none")


def test_three_attempts_of_each_outcome_are_shown_with_what_the_editor_answered(tmp_path: Path) -> None:
    def edit(number: int, outcome: str, answer: str | None) -> Edit:
        return Edit(
            key=str(number), id="q", sample=0, step=number, last_step=False, prefix="Step 1:", chosen=" 1 + 1 = 2.",
            offset=0, window="", kind="value", answer=answer, rejected=None, distance=None, outcome=outcome, writer="w",
        )  # fmt: skip

    unclosed = [edit(number, "no closing fence", f"I see {number}.") for number in range(5)]
    others = [edit(5, "no answer", None), edit(6, "kept", " 1 + 1 = 3.\n```")]
    with Run.open(tmp_path / "many", config={}) as run:
        show_edits(run, [*unclosed, *others])
        shown = run.collect("t")
    (examples,) = shown.excerpts
    assert [one.heading.split(":")[0] for one in examples.items] == [
        "kept", "no answer", "no closing fence", "no closing fence", "no closing fence",
    ]  # fmt: skip
    assert examples.items[0].parts[1:] == (
        (" 1 + 1 = 2.", "plain"), ("\nanswer\n", "soft"), (" 1 + 1 = 3.\n```", "added"),
    )  # fmt: skip
    assert ("no answer", "soft") in examples.items[1].parts
    (note,) = shown.notes
    assert note.startswith("5 of 7 answers have no closing fence")
    with Run.open(tmp_path / "few", config={}) as run:
        show_edits(run, [unclosed[0], *others])
        assert run.collect("t").notes == ()


def test_the_page_says_how_many_pairs_it_leaves_out(tmp_path: Path) -> None:
    many = [replace(PAIR, source_id=str(number)) for number in range(SHOWN + 6)]
    with Run.open(tmp_path / "many", config={}) as run:
        show_pairs(run, [*many, FULL], {"edits": {"paired": 30, "no change": 2}})
        edited, full = run.collect("t").excerpts
        assert (len(edited.items), len(full.items)) == (SHOWN, 1)
        assert edited.caption.startswith(f"The first {SHOWN} of {SHOWN + 6}. ")
        assert edited.caption.endswith(
            "What is struck out stood in the true step, what is bold replaced it: the error."
        )
        assert table(run, "edits") == [
            {"outcome": "paired", "edits": 30}, {"outcome": "no change", "edits": 2},
        ]  # fmt: skip
    with Run.open(tmp_path / "full", config={}) as run:
        show_pairs(run, [FULL], {})
        assert [one.name for one in run.collect("t").excerpts] == ["whole"]


def test_a_page_of_answers_that_nobody_could_check(tmp_path: Path) -> None:
    unchecked = Answer(key="k", steps=None, correct=None, fault=None, is_cut=False)
    with Run.open(tmp_path, config={}) as run:
        show_answers(run, {"before": figures([unchecked]), "after": figures([unchecked])})
        run.report("t")
        assert [row["accuracy"] for row in table(run, "accuracy")] == [None, None]


def test_training_is_shown_with_and_without_metrics(tmp_path: Path) -> None:
    with Run.open(tmp_path, config={}) as run:
        show_training(run, {"rows": 3, "edit_rows": 1, "dropped": {}})
        assert table(run, "training") == [{"rows": 3, "edit rows": 1, "dropped": "none"}]
        assert run.collect("t").figures == ()
        run.log(step=1, loss=0.7)  # as the supervised baseline: no margins
        run.log(step=2, loss=None)
        show_training(run, {"rows": 3, "dropped": {"too_long": 2, "equal": 1}})
        assert [one.name for one in run.collect("t").figures] == ["training"]
        assert table(run, "training") == [{"rows": 3, "dropped": "2 too_long, 1 equal"}]


# Pictures


def drawn(figure: Any) -> str:
    """Draw it; pytest makes errors of the warnings about what cannot be drawn."""
    svg = figure_from_matplotlib(figure, "f").svg
    assert svg is not None
    return svg


def heights(figure: Any) -> list[float]:
    return [patch.get_height() for patch in figure.axes[0].patches]


FAULTS = [
    {"fault": "operand", "rate": 0.25, "low": 0.1, "high": 0.5},
    {"fault": "cut", "rate": 0.0, "low": 0.0, "high": 0.2},
]
NONE = [row | {"rate": None, "low": None, "high": None} for row in FAULTS]


def test_faults_are_bars_side_by_side() -> None:
    figure: Any = draw_faults(
        {"before": FAULTS, "after": [row | {"rate": 0.1, "low": None, "high": None} for row in FAULTS]}
    )
    drawn(figure)
    assert heights(figure) == pytest.approx([25, 0, 10, 10])
    centres = [patch.get_x() + patch.get_width() / 2 for patch in figure.axes[0].patches]
    assert centres == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    (first, second) = [one for one in figure.axes[0].containers if one.get_label() in ("before", "after")]
    ends = [sorted(y for _, y in segment) for segment in first.errorbar[2][0].get_segments()]
    assert ends == [pytest.approx([10, 50]), pytest.approx([0, 20])]
    assert [len(segment) for segment in second.errorbar[2][0].get_segments()] == [0, 0]  # no interval, no bar
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["before", "after"]


@pytest.mark.parametrize("rates", [{"one": FAULTS}, {"one": NONE}, {"one": []}, {"one": FAULTS, "two": NONE}])
def test_faults_are_drawn_whatever_is_missing(rates: Any) -> None:
    drawn(draw_faults(rates))


def step(name: str, steps: Any, accuracy: float | None, low: float | None = None, high: float | None = None) -> Any:
    return {"contender": name, "steps": steps, "accuracy": accuracy, "low": low, "high": high}


@pytest.mark.parametrize(
    "rows",
    [
        [step("a", 1, 0.5, 0.4, 0.6)],
        [step("a", 1, 0.5), step("b", 1, 0.4, 0.3, 0.5), step("a", 2, None)],
        [step("a", "all", 0.5, 0.4, 0.6)],
        [],
    ],
)
def test_contenders_are_drawn_whatever_is_missing(rows: Any) -> None:
    figure: Any = draw_contenders(rows)
    drawn(figure)
    named = {row["contender"] for row in rows if row["steps"] != "all"}
    assert {one.get_label() for one in figure.axes[0].containers} == named
    assert sorted(figure.axes[0].get_xticks()) == sorted({row["steps"] for row in rows if row["steps"] != "all"})


def margin(name: str, kind: str, value: float, low: float | None = None, high: float | None = None) -> Any:
    return {"contender": name, "kind": kind, "margin": value, "low": low, "high": high, "preferred": 0.5}


@pytest.mark.parametrize(
    "rows",
    [
        [margin("a", "value", -1.0, -2.0, 0.5), margin("a", "all", 2.0, 1.0, 3.0)],
        [margin("a", "value", 1.0), margin("b", "all", 2.0, 1.0, 3.0)],
        [margin("a", "all", 0.0)],
        [],
    ],
)
def test_margins_are_drawn_whatever_is_missing(rows: Any) -> None:
    figure: Any = draw_margins(rows)
    drawn(figure)
    points = [value for one in figure.axes[0].containers for value in one.lines[0].get_ydata()]
    assert points == [row["margin"] for row in rows]


@pytest.mark.parametrize("lines", [[], [{"step": 1, "loss": 0.7}], [{"step": 1, "loss": 0.7, "margins/edit": 0.1}]])
def test_training_is_drawn_whatever_is_missing(lines: Any) -> None:
    figure: Any = draw_training(lines)
    drawn(figure)
    assert all(one.get_marker() == "o" for axes in figure.axes for one in axes.get_lines())  # one point is no line
    assert len(figure.axes[1].get_lines()) == sum("margins/edit" in line for line in lines)


def test_points_are_marked_where_they_are_few() -> None:
    long: Any = draw_training([{"step": step, "loss": 0.7} for step in range(100)])
    assert long.axes[0].get_lines()[0].get_marker() == ""
    assert long.axes[0].get_lines()[0].get_xdata()[-1] == 99


# Comparisons


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("names", [("rise",), ("base", "full", "rise")])
def test_a_comparison_is_shown_with_one_seed_and_one_contender(tmp_path: Path, seeds: int, names: Any) -> None:
    tables = summary([row(name, seed, 0.5 + 0.1 * seed) for name in names for seed in range(seeds)])
    with Run.open(tmp_path, config={}) as run:
        sentences = show_comparison(run, tables)
        shown = run.collect("t")
        run.report("t")
    assert [one.name for one in shown.figures] == ["steps", "faults", "margins"]
    assert [one.name for one in shown.tables] == ["contenders", "steps", "faults", "margins"]
    assert len(sentences) == len(names)
    if "full" in names:
        assert sentences[-1].endswith("one seed: no interval." if seeds == 1 else "with 3 seeds.")


def test_a_lead_is_told_only_where_its_interval_leaves_out_nothing() -> None:
    def sentence(low: float, high: float) -> str:
        lead = {"over full": (low + high) / 2, "over full, low": low, "over full, high": high}
        return told([{"contender": "rise", "seeds": 5, "accuracy": 0.5, **lead}])[0]

    assert sentence(0.01, 0.03) == "rise: 50.0 % solved; +2.0 points over full, 95 % interval +1.0 to +3.0."
    assert sentence(-0.03, -0.01).endswith("interval -3.0 to -1.0.")
    for low, high in ((-0.01, 0.03), (0.0, 0.02), (-0.02, 0.0)):
        assert sentence(low, high).endswith(": not told apart with 5 seeds.")
    assert told([{"contender": "base", "seeds": 1, "accuracy": 0.25}]) == ["base: 25.0 % solved."]
