"""What a reviewer's changes to sampling, editing and pairing left unnoticed: draws, windows, counts and exemptions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from tenon.core.chat import Failure, Request, ScriptedWriter
from tenon.core.run import Run
from tenon.methods.rise.config import EditConfig, EditorName, ErrorKind, FilterConfig, PairConfig, Recipe, SampleConfig
from tenon.methods.rise.edit import edit_solution, inject_errors, plan_edits
from tenon.methods.rise.filters import KEPT
from tenon.methods.rise.pairs import USED, build_pairs, choose
from tenon.methods.rise.rows import Edit, Question, Solution
from tenon.methods.rise.sample import sample_solutions

QUESTION = Question(id="q", prompt="How many?", answer="7")
STEP = "So we find 12 - 5 = 7 apples in the basket."
IN_PROCESS = [name for name in get_args(EditorName) if name != "llm"]


def solution(text: str = f"Step 1: {STEP}", *, sample: int = 0, correct: bool = True, of: str = "q") -> Solution:
    return Solution(
        key=f"{of}/{sample}", id=of, sample=sample, text=text, correct=correct, found=None, finish_reason="stop",
        writer="w",
    )  # fmt: skip


def recipe(editor: Any = "rules", *, kinds: tuple[ErrorKind, ...] = ("multi_value",), **changes: Any) -> Recipe:
    return Recipe(edit=EditConfig(editor=editor, kinds=kinds, **changes))


# Sampling


def test_an_answer_that_never_came_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    def script(request: Request) -> str | Failure:
        return Failure(reason="the server is gone") if request.key == "q/0" else "So.\nAnswer: 7"

    few = Recipe(sample=SampleConfig(samples=2), pairs=PairConfig(edited=0))
    with Run.open(tmp_path, config=few) as run:
        found = sample_solutions(run, [QUESTION], ScriptedWriter(script, "test"), few, max_failed=1)
        counts = run.stages()["samples"]
    assert [(one.correct, one.found, one.finish_reason) for one in found] == [
        (None, None, "failed"),
        (True, "7", "stop"),
    ]
    assert (counts["right"], counts["wrong"], counts["not graded"]) == (1, 0, 1)


# Draws


def answers(found: list[Edit]) -> set[str | None]:
    return {one.answer for one in found}


@pytest.mark.parametrize("editor", IN_PROCESS)
def test_edits_are_drawn_by_step_by_sample_and_by_question_each_alone(editor: Any) -> None:
    lines = "\n".join([f"Step 1: {STEP}"] * 12)
    assert len(answers(edit_solution(QUESTION, solution(lines), recipe(editor)))) > 1
    samples = [edit_solution(QUESTION, solution(sample=sample), recipe(editor))[0] for sample in range(12)]
    assert len(answers(samples)) > 1
    questions = [replace(QUESTION, id=str(n)) for n in range(12)]
    assert len(answers([edit_solution(one, solution(of=one.id), recipe(editor))[0] for one in questions])) > 1


@pytest.mark.parametrize("editor", IN_PROCESS)
def test_edits_and_kinds_are_drawn_by_the_seed_each_alone(editor: Any) -> None:
    seeds = [replace(recipe(editor), seed=seed) for seed in range(12)]
    assert len(answers([edit_solution(QUESTION, solution(), one)[0] for one in seeds])) > 1
    kinds: tuple[ErrorKind, ...] = ("multi_value", "wrong_sub", "del_term", "symbol", "swap")
    drawn = {plan_edits(QUESTION, solution(), replace(recipe(kinds=kinds), seed=seed))[0].kind for seed in range(40)}
    assert drawn == set(kinds)


def kept(step: int, of: str = "q") -> Edit:
    return Edit(
        key=f"{of}/0/{step}", id=of, sample=0, step=step, last_step=False, prefix=f"Step {step}:", chosen=f" a{step}",
        offset=1, window=f"a{step}", kind="value", answer="x", rejected=f" x{step}", distance=1, outcome=KEPT,
        writer="w",
    )  # fmt: skip


def paired(seed: int, of: str = "q") -> list[int | None]:
    """Of 8 edits of the only right solution, the steps that are drawn."""
    solutions = [solution(of=of), solution(sample=1, correct=False, of=of)]
    made = build_pairs(
        [replace(QUESTION, id=of)],
        solutions,
        [kept(step, of) for step in range(1, 9)],
        Recipe(pairs=PairConfig(edited=1), seed=seed),
    )
    return [pair.step for pair in made.rows if pair.pair_kind == "edit"]


def test_pairs_are_drawn_by_the_seed_and_by_the_question_each_alone() -> None:
    assert {step for seed in range(80) for step in paired(seed)} == set(range(1, 9))
    assert {step for n in range(80) for step in paired(0, str(n))} == set(range(1, 9))


# What an editor sees

LONG = "Step 1: One has 1 = 1. Two has 2 = 2. Three is fine. Four is so. Five is fine. Six is Mia."


def test_the_window_and_the_kind_of_error_are_those_of_the_recipe() -> None:
    (attempt,) = plan_edits(QUESTION, solution(LONG), Recipe(edit=EditConfig(window=2)))
    assert attempt.window == "Five is fine. Six is Mia."
    assert attempt.offset is not None
    assert attempt.step.text[attempt.offset :] == attempt.window
    assert attempt.kind == "words"  # the numbers and the equations of the step are not shown
    (attempt,) = plan_edits(QUESTION, solution(LONG), Recipe(edit=EditConfig(window=None)))
    assert attempt.window == LONG.removeprefix("Step 1: ")
    assert attempt.kind != "words"


def test_a_model_is_shown_the_window_and_cut_at_the_tokens_of_the_recipe(tmp_path: Path) -> None:
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        return "Five is fine. Six is Tom.\n```\n"

    few = Recipe(edit=EditConfig(window=2, max_tokens=77))
    with Run.open(tmp_path, config=few) as run:
        (edit,) = inject_errors(
            run,
            [QUESTION],
            [solution(LONG), solution(sample=1, correct=False)],
            few,
            writer=ScriptedWriter(script, "e"),
        )
    assert [one.sampling.max_tokens for one in asked] == [77]
    assert "Current step:\n```\nFive is fine. Six is Mia.\n```" in str(asked[0].messages[-1]["content"])
    assert (edit.outcome, edit.rejected) == (KEPT, LONG.removeprefix("Step 1:").replace("Mia", "Tom"))


def test_an_editor_sees_what_stands_before_a_step_and_nothing_that_comes_after() -> None:
    text = f"Step 1: There are 89.\nStep 2: {STEP}\nStep 3: There are 64."
    found = [
        edit_solution(QUESTION, solution(text), replace(recipe(kinds=("wrong_sub",)), seed=seed))[1].answer or ""
        for seed in range(60)
    ]
    assert any("89" in one for one in found)
    assert not any("64" in one for one in found)


# Counts


@pytest.mark.parametrize("editor", IN_PROCESS)
def test_counts_of_edits_add_up(tmp_path: Path, editor: Any) -> None:
    text = f"Step 1: {STEP}\nStep 2: \nStep 3: So we find 3 + 4 = 7 pears.\nStep 4: Fine.\nStep 5: {STEP}"
    mixed = recipe(editor, kinds=("swap", "multi_value"), filters=FilterConfig(verify=True))
    questions = [replace(QUESTION, id=str(n)) for n in range(10)]
    solutions = [
        one for n in range(10) for one in (solution(text, of=str(n)), solution(sample=1, correct=False, of=str(n)))
    ]
    with Run.open(tmp_path, config=mixed) as run:
        edits = inject_errors(run, questions, solutions, mixed)
        stage = run.stages()["edits"]
    assert stage["attempts"] == len(edits) == 50
    assert stage["outcomes"] == Counter(one.outcome for one in edits)
    assert sum(stage["outcomes"].values()) == 50
    assert len(stage["outcomes"]) > 2
    assert stage["kept_by_kind"] == Counter(one.kind for one in edits if one.outcome == KEPT)
    assert sum(stage["kept_by_kind"].values()) == stage["outcomes"][KEPT] < 50


# Choices


def test_a_right_solution_that_corrects_itself_may_answer_a_question_about_what_is_wrong() -> None:
    solutions = [solution("It was a mistake. Answer: 7"), solution(sample=1, correct=False)]

    def outcome(prompt: str) -> str:
        return choose(replace(QUESTION, prompt=prompt), solutions, PairConfig(), 0).outcome

    assert outcome("How many?") == "right ones correct themselves"
    assert outcome("How many are wrong?") == outcome("Which is correct?") == USED


def test_the_wrong_solution_of_a_full_pair_keeps_its_box() -> None:
    right, wrong = r"Step 1: So \(\boxed{7}\).", r"Step 1: So \(\boxed{8}\)."
    solutions = [solution(right), solution(wrong, sample=1, correct=False)]
    (pair,) = build_pairs([QUESTION], solutions, [], Recipe(pairs=PairConfig(edited=0))).rows
    assert (pair.chosen, pair.rejected) == (right, wrong)
