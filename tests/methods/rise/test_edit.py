"""Every step of a chosen solution is edited once, judged once and kept in one row (sections 2.3 to 2.6)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tenon.core.chat import Completion, Failure, Request, ScriptedWriter
from tenon.core.errors import BackendError, ConfigError
from tenon.core.files import fingerprints
from tenon.core.run import VOLATILE, Run
from tenon.methods.rise.config import ERROR_KINDS, PRESETS, EditConfig, FilterConfig, PairConfig, PromptConfig, Recipe
from tenon.methods.rise.edit import NOT_TRIED, edit_solution, inject_errors, plan_edits
from tenon.methods.rise.equations import find_equations
from tenon.methods.rise.filters import FILTERS, KEPT
from tenon.methods.rise.pairs import USED, build_pairs, choose_all
from tenon.methods.rise.rows import Edit, Question, Solution, read_edits
from tenon.tasks.math import extract_answer, generate_problems
from tests.methods.rise.kill_data import QUESTIONS, WRITER, make_pairs

TEXT = "Step 1: Mia has 12 - 5 = 7 apples left.\nStep 2: So they give 7 * 2 = 14 apples.\nAnswer: 14"
QUESTION = Question(id="q", prompt="Mia has 12 apples and eats 5. Tom has as many. How many are there?", answer="14")
LLM = Recipe(prompt=PromptConfig(system="Help."), edit=EditConfig(filters=FilterConfig(verify=True)))
RULES = PRESETS["nano"]


def solution(text: str = TEXT, *, sample: int = 0, correct: bool = True, of: str = "q") -> Solution:
    return Solution(
        key=f"{of}/{sample}", id=of, sample=sample, text=text, correct=correct, found=None, finish_reason="stop",
        writer="w",
    )  # fmt: skip


BOTH = [solution(), solution(TEXT[:-2] + "15", sample=1, correct=False)]


def injected(path: Path, recipe: Recipe, script: Any = None, solutions: Any = BOTH, **options: Any) -> list[Edit]:
    writer = ScriptedWriter(script, "edits") if script is not None else None
    with Run.open(path, config=recipe) as run:
        return inject_errors(run, [QUESTION], solutions, recipe, writer=writer, **options)


# What is asked


def test_every_step_is_planned_with_its_place() -> None:
    first, last = plan_edits(QUESTION, solution(), LLM)
    assert (first.key, first.offset, first.window) == ("q/0/1", 1, "Mia has 12 - 5 = 7 apples left.")
    assert (last.key, last.offset, last.window) == ("q/0/2", 1, "So they give 7 * 2 = 14 apples.\nAnswer: 14")
    assert (first.step.is_last, last.step.is_last) == (False, True)


def test_kinds_are_drawn_uniformly_by_seed_question_sample_and_step() -> None:
    attempts = [
        plan_edits(replace(QUESTION, id=str(n)), solution(sample=sample), LLM)
        for n in range(1000)
        for sample in range(2)
    ]
    kinds = Counter(one.kind for pair in attempts for one in pair)
    assert len(kinds) == 5
    assert all(abs(count / 4000 - 0.2) < 0.03 for count in kinds.values()), kinds
    # steps, samples and questions draw for themselves: each pair of them agrees in one of five cases
    firsts = [pair[0].kind for pair in attempts]
    for others in ([pair[1].kind for pair in attempts], [*firsts[1:], firsts[0]], [*firsts[2:], *firsts[:2]]):
        assert abs(sum(a == b for a, b in zip(firsts, others, strict=True)) / 2000 - 0.2) < 0.04


def test_only_the_kinds_of_the_recipe_are_drawn() -> None:
    for kind in ("swap", "symbol"):
        recipe = replace(LLM, edit=EditConfig(kinds=(kind,)))
        assert [one.kind for one in plan_edits(QUESTION, solution(), recipe)] == [kind, kind]
    recipe = replace(LLM, edit=EditConfig(kinds=("words",)))
    assert [one.kind for one in plan_edits(QUESTION, solution(), recipe)] == [None, None]
    assert [one.outcome for one in edit_solution(QUESTION, solution(), recipe, ask=lambda one: "")] == [
        "no error fits"
    ] * 2


def echo_with(change: Callable[[str], str], closing: str = "\n```\nThere you are.") -> Callable[[Request], str]:
    def script(request: Request) -> str:
        shown = str(request.messages[-1]["content"]).split("```")[5].strip("\n")
        return change(shown) + closing

    return script


def test_a_model_is_asked_for_each_step_and_stopped_at_the_fence(tmp_path: Path) -> None:
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        return echo_with(lambda text: text.replace("7", "8"))(request)

    edits = injected(tmp_path, LLM, script)
    assert [one.key for one in asked] == ["q/0/1", "q/0/2"]
    system, user = asked[1].messages
    assert system == {"role": "system", "content": "Help."}
    assert f"Question:\n```\n{QUESTION.prompt}\n```" in user["content"]
    assert "Answer so far:\n```\nStep 1: Mia has 12 - 5 = 7 apples left.\nStep 2:\n```" in user["content"]
    assert "Current step:\n```\nSo they give 7 * 2 = 14 apples.\nAnswer: 14\n```" in user["content"]
    assert asked[1].prefill.endswith("\n```\n")
    sampling = asked[1].sampling
    assert (sampling.temperature, sampling.stop, sampling.max_tokens) == (0.0, ("```",), 2048)
    first, last = edits
    assert first.answer == "Mia has 12 - 5 = 8 apples left.\n```"
    assert (first.rejected, first.distance, first.outcome) == (" Mia has 12 - 5 = 8 apples left.", 1, KEPT)
    assert (first.prefix, first.chosen, first.last_step) == ("Step 1:", " Mia has 12 - 5 = 7 apples left.", False)
    assert first.writer == "scripted: edits"
    assert (last.outcome, last.last_step) == ("answer still right", True)  # 8 * 2 = 14, and still 14
    assert read_edits(tmp_path / "edits.jsonl") == edits


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (echo_with(lambda text: text, closing=""), "no closing fence"),
        (echo_with(lambda text: ""), "empty edit"),
        (echo_with(lambda text: text.replace("7", "the wrong 8")), "announces the error"),
        (echo_with(lambda text: text.replace("7", r"\boxed{8")), "unbalanced box"),
        (echo_with(lambda text: text), "no change"),
        (echo_with(lambda text: "Nothing of that kind."), "edit distance"),
        (echo_with(lambda text: text.replace("Mia", "Tom")), "equations still hold"),
    ],
)
def test_what_a_model_does_wrong_is_dropped_by_name(
    tmp_path: Path, script: Callable[[Request], str], outcome: str
) -> None:
    assert injected(tmp_path, LLM, script)[0].outcome == outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Completion(text="12 - 5 = 8\n", finish_reason="stop", stop_string="```", writer="s"), KEPT),
        (Completion(text="12 - 5 = 8\n", finish_reason="stop", writer="s"), KEPT),  # a server that does not tell
        (Completion(text="12 - 5 = 8", finish_reason="stop", writer="s"), "no closing fence"),  # ended by EOS
        (Completion(text="12 - 5 = 8\n", finish_reason="length", writer="s"), "no closing fence"),
        (Completion(text="", finish_reason="failed", writer="s"), "no answer"),
    ],
)
def test_an_edit_is_closed_where_its_fence_ended_the_text(tmp_path: Path, answer: Completion, outcome: str) -> None:
    text = "Step 1: 12 - 5 = 7"
    edits = injected(tmp_path, LLM, lambda request: answer, [solution(text), solution("", sample=1, correct=False)])
    assert [one.outcome for one in edits] == [outcome]


def test_an_answer_that_does_not_come_is_an_error_or_counted(tmp_path: Path) -> None:
    def script(request: Request) -> str | Failure:
        if request.key == "q/0/1":
            return Failure(reason="the server is gone")
        return echo_with(lambda text: text.replace("14", "15"))(request)

    with pytest.raises(BackendError, match="the server is gone"):
        injected(tmp_path / "strict", LLM, script)
    edits = injected(tmp_path / "lenient", LLM, script, max_failed=1)
    assert [one.outcome for one in edits] == ["no answer", KEPT]


# Rules and chance


def test_7_17_rules_make_false_steps_of_generated_solutions(tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    kept_last = 0
    for problem in generate_problems(0, "train", 100):
        question = Question(id=problem.key, prompt=problem.question, answer=problem.answer)
        edits = edit_solution(question, solution(problem.solution, of=problem.key), RULES)
        assert len(edits) == problem.num_steps
        for edit in edits:
            outcomes[edit.outcome] += 1
            if edit.outcome != KEPT:
                continue
            assert edit.rejected is not None
            assert not all(one.holds for one in find_equations(edit.rejected)), edit
            assert edit.writer == "rules"
            if edit.last_step:
                kept_last += 1
                assert extract_answer(edit.rejected) != problem.answer, edit
    assert set(outcomes) == {KEPT, "stays true", "answer still right"}
    assert outcomes[KEPT] > 0.6 * outcomes.total()
    assert kept_last > 10


def test_the_control_needs_no_kind_and_is_named(tmp_path: Path) -> None:
    recipe = replace(RULES, edit=EditConfig(editor="random", kinds=("words",)))
    first, last = injected(tmp_path, recipe)
    assert (first.kind, last.kind, first.writer) == ("random", "random", "random")
    assert (first.outcome, last.outcome) == (KEPT, KEPT)
    pairs = build_pairs([QUESTION], BOTH, [first, last], recipe)
    assert pairs.rows[1].edit_type == "random"


@pytest.mark.parametrize("editor", ["rules", "random"])
def test_a_run_and_a_single_solution_give_the_same_edits(tmp_path: Path, editor: Any) -> None:
    recipe = replace(RULES, edit=EditConfig(editor=editor))
    assert injected(tmp_path, recipe) == edit_solution(QUESTION, solution(), recipe)
    texts = {
        tuple(one.answer for one in edit_solution(QUESTION, solution(), replace(recipe, seed=s))) for s in range(9)
    }
    assert len(texts) > 2


def test_a_model_and_a_single_solution_give_the_same_edits(tmp_path: Path) -> None:
    edits = injected(tmp_path, LLM, echo_with(lambda text: text.replace("7", "8")))
    alone = edit_solution(QUESTION, solution(), LLM, ask=lambda one: one.window.replace("7", "8") + "\n```")
    assert [replace(one, writer="") for one in edits] == alone


def test_the_rules_look_at_the_distance_of_the_whole_step_and_at_the_solution_so_far() -> None:
    def edits(text: str, kind: Any, seed: int = 0) -> list[Edit]:
        recipe = replace(RULES, edit=EditConfig(editor="rules", kinds=(kind,)), seed=seed)
        return edit_solution(replace(QUESTION, prompt="How many?"), solution(text), recipe)

    assert edits("Step 1: 12 - 5 = 7", "swap")[0].outcome == "no error is near enough"  # 4 of 11 characters
    assert edits("Step 1: So we find 12 - 5 = 7", "swap")[0].outcome == KEPT
    text = "Step 1: There are 89.\nStep 2: So we find 12 - 5 = 7"
    assert " So we find 89 - 5 = 7" in {edits(text, "wrong_sub", seed)[1].rejected for seed in range(40)}


def test_an_edit_that_is_kept_in_its_row_is_not_judged_again(tmp_path: Path) -> None:
    first = injected(tmp_path, RULES)
    assert injected(tmp_path, RULES, grader=lambda gold, text: pytest.fail("judged again")) == first


# What has no edit


def test_blank_steps_are_not_asked_for(tmp_path: Path) -> None:
    text = "Step 1: \nStep 2: 12 - 5 = 7"
    solutions = [solution(text), solution("", sample=1, correct=False)]
    keys: list[str] = []

    def script(request: Request) -> str:
        keys.append(request.key)
        return echo_with(lambda text: text.replace("7", "8"))(request)

    edits = injected(tmp_path, LLM, script, solutions)
    assert [(one.outcome, one.offset, one.window, one.kind) for one in edits[:1]] == [("blank step", None, "", None)]
    assert (edits[1].outcome, keys) == (KEPT, ["q/0/2"])


def test_a_chosen_solution_without_steps_is_counted(tmp_path: Path) -> None:
    solutions = [solution("It is 14."), solution("", sample=1, correct=False)]
    assert injected(tmp_path, RULES, solutions=solutions) == []
    with Run.open(tmp_path, config=RULES) as run:
        assert run.stages()["edits"] == {
            "attempts": 0, "solutions": 1, "solutions_without_a_step": 1, "outcomes": {}, "kept_by_kind": {},
        }  # fmt: skip


def test_without_edited_pairs_nothing_is_edited_but_all_is_chosen(tmp_path: Path) -> None:
    recipe = replace(LLM, pairs=PairConfig(edited=0))
    assert injected(tmp_path, recipe) == []
    assert len((tmp_path / "choices.jsonl").read_text().splitlines()) == 1


def test_an_editor_that_lacks_something_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"edit\.editor is 'llm' and there is no model"):
        injected(tmp_path, LLM)
    with pytest.raises(ConfigError, match=r"edit\.editor is 'llm' and there is no model"):
        edit_solution(QUESTION, solution(), LLM)
    tokens = replace(RULES, edit=EditConfig(editor="rules", filters=FilterConfig(unit="token", max_ratio=0.5)))
    with pytest.raises(ConfigError, match="unit is 'token' and there is no tokenizer"):
        edit_solution(QUESTION, solution(), tokens)
    first, _ = edit_solution(QUESTION, solution(), tokens, tokenize=str.split)
    by_hand = Counter(first.chosen.split()) - Counter((first.rejected or "").split())
    assert first.distance == by_hand.total() == 1
    chars = replace(tokens, edit=EditConfig(editor="rules", kinds=("del_term",)))
    deleted, _ = edit_solution(QUESTION, solution(), chars, tokenize=str.split)
    assert deleted.distance == len(deleted.chosen) - len(deleted.rejected or "") > 2


# All questions, all edits, all bytes


def test_every_question_has_its_choice_and_its_advice(tmp_path: Path) -> None:
    questions = [QUESTION, replace(QUESTION, id="r"), replace(QUESTION, id="s")]
    solutions = [*BOTH, solution(of="r"), solution(correct=False, of="s")]
    with Run.open(tmp_path, config=RULES) as run:
        inject_errors(run, questions, solutions, RULES)
        assert run.rows("choices") == [asdict(one) for one in choose_all(questions, solutions, RULES)]
        assert run.stages()["choices"] == {"all right": 1, "all wrong": 1, USED: 1}
        notes = run.collect("").notes
    assert len(notes) == 2
    assert notes[0].startswith("1 of 3 questions are not used, all right: raise sample.temperature")


@pytest.mark.parametrize("editor", ["llm", "rules", "random"])
def test_7_16_every_attempt_of_a_run_is_in_one_bucket_of_the_pairs(tmp_path: Path, editor: Any) -> None:
    recipe = Recipe(
        prompt=PRESETS["paper"].prompt, sample=replace(PRESETS["paper"].sample, samples=3),
        edit=EditConfig(editor=editor, filters=FilterConfig(verify=True)), pairs=PairConfig(edited=1),
    )  # fmt: skip
    make_pairs(tmp_path, recipe)
    rows = [json.loads(line) for line in (tmp_path / "edits.jsonl").read_text().splitlines()]
    stages = json.loads((tmp_path / "stages.json").read_text())
    counts = stages["pairs"]
    assert len(rows) == stages["edits"]["attempts"] == 3 * len(QUESTIONS)
    assert sum(counts["edits"].values()) == len(rows)
    assert sum(counts["questions"].values()) == len(QUESTIONS) == sum(stages["choices"].values())
    assert {row["outcome"] for row in rows} <= {KEPT, *FILTERS, *NOT_TRIED}
    assert counts["pairs"]["full"] == len(QUESTIONS)
    assert all(kind in (*ERROR_KINDS, "random") for kind in stages["edits"]["kept_by_kind"])


class Backwards(ScriptedWriter):
    """Answers in another order, as concurrent requests do."""

    def write(self, requests: Any, *, seed: int, known: Any = frozenset()) -> Any:
        return iter(list(super().write(requests, seed=seed, known=known))[::-1])


def test_7_15_the_order_of_answers_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pairs(tmp_path / "one")
    monkeypatch.setattr("tests.methods.rise.kill_data.WRITER", Backwards(WRITER._script, "solves and edits"))
    make_pairs(tmp_path / "other")
    one, other = (fingerprints(tmp_path / name, skip=VOLATILE) for name in ("one", "other"))
    assert one == other
    assert "pairs.jsonl" in one


def test_another_seed_makes_other_pairs(tmp_path: Path) -> None:
    from tests.methods.rise.kill_data import RECIPE

    make_pairs(tmp_path / "one")
    make_pairs(tmp_path / "other", replace(RECIPE, seed=1))
    assert (tmp_path / "one/pairs.jsonl").read_bytes() != (tmp_path / "other/pairs.jsonl").read_bytes()


@pytest.mark.parametrize("points", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_7_15_a_run_killed_in_any_stage_ends_byte_identical(tmp_path: Path, points: int) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.killing", "tests.methods.rise.kill_data:job", str(tmp_path)]
    done = subprocess.run([*command, "--points", str(points)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["points"]
    assert len(found) == points
    for point in found:
        assert point["first"] == -signal.SIGKILL, point
        assert (point["ended"], point["differing"]) == (0, []), (point, done.stderr)
