"""Solutions are asked for, graded and kept; what nobody could grade is not wrong (sections 2.2 and 9)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenon.core.chat import Completion, Request, ScriptedWriter
from tenon.core.errors import DataError
from tenon.core.files import fingerprints
from tenon.core.run import VOLATILE, Run
from tenon.methods.rise import grading
from tenon.methods.rise.config import PRESETS, PairConfig, PromptConfig, Recipe, SampleConfig
from tenon.methods.rise.grading import Grade, grade_mathematics, graded
from tenon.methods.rise.rows import Question, read_questions, read_solutions
from tenon.methods.rise.sample import check_steps, equal_ones, sample_requests, sample_solutions

QUESTIONS = [Question(id="q1", prompt="2 + 3?", answer="5"), Question(id="q2", prompt="Half?", answer="0.5")]
RECIPE = Recipe(
    prompt=PromptConfig(system="Help.", instruction="Step by step.", prefill="Step 1: "),
    sample=SampleConfig(samples=2, temperature=0.7, top_p=0.8, max_tokens=50),
)
SCRIPT = {
    "q1/0": "2 + 3 = 5.\nStep 2: So 5.\nAnswer: 5",
    "q1/1": "2 + 3 = 6.\nStep 2: So 6.\nAnswer: 6",
    "q2/0": "It is half.\nStep 2: So it is.\nAnswer: 1/2",
    "q2/1": "No idea.\nStep 2: None.",
}


def sampled(path: Path, script: Any = None, recipe: Recipe = RECIPE, **options: Any) -> list[Any]:
    with Run.open(path, config=recipe) as run:
        return sample_solutions(run, QUESTIONS, ScriptedWriter(script or SCRIPT, "test"), recipe, **options)


def test_requests_say_how_a_question_is_asked() -> None:
    requests = sample_requests(QUESTIONS, RECIPE)
    assert [one.key for one in requests] == ["q1/0", "q1/1", "q2/0", "q2/1"]
    first = requests[0]
    assert first.messages == (
        {"role": "system", "content": "Help."},
        {"role": "user", "content": "2 + 3?\nStep by step."},
    )
    assert first.prefill == "Step 1: "
    sampling = first.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.stop) == (0.7, 0.8, 50, ())
    assert sample_requests(QUESTIONS, replace(RECIPE, prompt=PromptConfig()))[0].messages == (
        {"role": "user", "content": "2 + 3?"},
    )


def test_solutions_are_graded_and_kept_with_their_prefill(tmp_path: Path) -> None:
    found = sampled(tmp_path)
    assert [(one.key, one.correct, one.found) for one in found] == [
        ("q1/0", True, "5"),
        ("q1/1", False, "6"),
        ("q2/0", True, "1/2"),  # as mathematics
        ("q2/1", False, None),
    ]
    assert found[0].text == "Step 1: 2 + 3 = 5.\nStep 2: So 5.\nAnswer: 5"
    assert {one.writer for one in found} == {"scripted: test"}
    assert read_solutions(tmp_path / "samples.jsonl") == found
    with Run.open(tmp_path, config=RECIPE) as run:
        assert run.stages()["samples"] == {
            "solutions": 4, "right": 2, "wrong": 2, "not graded": 0, "cut": 0, "without an answer": 1,
            "without a step": 0, "of one step": 0,
        }  # fmt: skip


def test_a_cut_solution_is_marked(tmp_path: Path) -> None:
    def script(request: Request) -> str | Completion:
        if request.key != "q1/0":
            return SCRIPT[request.key]
        return Completion(text="2 + 3 = ", finish_reason="length", writer="scripted: test")

    first = sampled(tmp_path, script)[0]
    assert (first.finish_reason, first.correct, first.text) == ("length", False, "Step 1: 2 + 3 = ")


def test_what_a_model_refuses_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    def script(request: Request) -> str | Completion:
        if request.key != "q1/0":
            return SCRIPT[request.key]
        return Completion(text="No.", finish_reason="refusal", writer="scripted: test")

    assert sampled(tmp_path, script)[0].correct is None


def test_a_checker_that_fails_says_nothing_and_is_counted(tmp_path: Path) -> None:
    def grader(gold: str, text: str) -> Grade:
        if "6" in text:
            raise TimeoutError("too slow")
        return grade_mathematics(gold, text)

    found = sampled(tmp_path, grader=grader)
    assert [one.correct for one in found] == [True, None, True, False]
    with Run.open(tmp_path, config=RECIPE) as run:
        assert run.stages()["samples"]["not graded"] == 1


def test_mathematics_takes_the_gold_answer_first_and_knows_when_time_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def compare(a: str, b: str) -> bool | None:
        asked.append((a, b))
        return None

    monkeypatch.setattr(grading, "compare_answers", compare)
    assert graded(grade_mathematics, "x < 2", "Answer: (-\\infty, 2)") == Grade(None, "(-\\infty, 2)")
    assert asked == [("x < 2", "(-\\infty, 2)")]
    assert grade_mathematics("5", "no answer") == Grade(False, None)


def test_solutions_without_steps_are_refused_if_nearly_all_are(tmp_path: Path) -> None:
    recipe = replace(RECIPE, prompt=replace(RECIPE.prompt, prefill=""))
    with pytest.raises(
        DataError, match=r"100% of 4 solutions have no step by the splitter 'step', e.g. 'q1/0': 'So 5.'"
    ) as e:
        sampled(tmp_path, dict.fromkeys(SCRIPT, "So 5."), recipe)
    assert f"tenon rise edit {tmp_path} --set prompt.splitter=sentence" in str(e.value)
    assert [row.id for row in read_questions(tmp_path / "questions.jsonl")] == ["q1", "q2"]
    # where no edited pairs are wanted, steps do not matter
    full_only = replace(recipe, pairs=PairConfig(edited=0))
    assert len(sampled(tmp_path / "full", dict.fromkeys(SCRIPT, "So 5."), full_only)) == 4
    lines = replace(recipe, prompt=replace(recipe.prompt, splitter="line"))
    assert len(sampled(tmp_path / "lines", dict.fromkeys(SCRIPT, "So 5."), lines)) == 4


def test_nine_in_ten_without_steps_are_still_accepted(tmp_path: Path) -> None:
    prompt = PromptConfig(prefill="")
    found = sampled(tmp_path)
    without, with_steps = replace(found[0], text="So 5."), found[0]
    check_steps([*[without] * 9, with_steps], prompt)
    with pytest.raises(DataError):
        check_steps([*[without] * 10, with_steps], prompt)


def test_solutions_of_one_step_are_told(tmp_path: Path) -> None:
    sampled(tmp_path, {key: f"So {key}." for key in SCRIPT})
    with Run.open(tmp_path, config=RECIPE) as run:
        (note,) = run.collect("").notes
    assert note.startswith("4 of 4 solutions are one step, from end to end. Take another prompt.splitter")


@pytest.mark.parametrize(
    ("temperature", "words"),
    [(0.7, r'extra={"generation_config": "{\"do_sample\": true}"}'), (0.0, "temperature is 0")],
)
def test_equal_solutions_of_a_question_are_told(tmp_path: Path, temperature: float, words: str) -> None:
    recipe = replace(RECIPE, sample=replace(RECIPE.sample, temperature=temperature))
    sampled(tmp_path, lambda request: f"2 + 3 = 5.\nStep 2: So {request.key[:2]}.", recipe)
    with Run.open(tmp_path, config=recipe) as run:
        (note,) = run.collect("").notes
    assert note.startswith("2 of 2 questions have 2 times the same solution")
    assert words in note


def test_solutions_that_differ_or_stand_alone_are_not_told_to_be_equal(tmp_path: Path) -> None:
    one, other = sampled(tmp_path)[:2]
    assert equal_ones([one], RECIPE) == ""  # K is 1
    equal = [replace(solution, id=str(n)) for n in range(9) for solution in (one, one)]
    assert equal_ones(equal, RECIPE)
    assert equal_ones([*equal, one, other], RECIPE)  # 9 of 10
    assert equal_ones([*equal[:4], one, other], RECIPE) == ""


def test_a_question_without_a_gold_answer_is_refused(tmp_path: Path) -> None:
    questions = [*QUESTIONS, Question(id="q3", prompt="?", answer=" ")]
    with Run.open(tmp_path, config=RECIPE) as run, pytest.raises(DataError, match="'q3' has no gold answer"):
        sample_solutions(run, questions, ScriptedWriter(SCRIPT, "test"), RECIPE)


@pytest.mark.parametrize("stop_after", range(4))
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path, stop_after: int) -> None:
    sampled(tmp_path / "whole")
    seen: list[str] = []

    def failing(request: Request) -> str:
        if len(seen) == stop_after:
            raise KeyboardInterrupt
        seen.append(request.key)
        return SCRIPT[request.key]

    with pytest.raises(KeyboardInterrupt):
        sampled(tmp_path / "stopped", failing)

    def the_rest(request: Request) -> str:
        assert request.key not in seen
        return SCRIPT[request.key]

    sampled(tmp_path / "stopped", the_rest)
    whole, stopped = (fingerprints(tmp_path / name, skip=VOLATILE) for name in ("whole", "stopped"))
    assert whole == stopped


def test_a_graded_solution_is_not_graded_again(tmp_path: Path) -> None:
    first = sampled(tmp_path)
    assert sampled(tmp_path, grader=lambda gold, text: pytest.fail("graded again")) == first


def test_the_prefill_of_the_presets_opens_the_first_step() -> None:
    from tenon.methods.rise.steps import split

    for name, recipe in PRESETS.items():
        (step,) = split(recipe.prompt.prefill.rstrip() + " 2 + 3 = 5.", recipe.prompt)
        assert step.text == " 2 + 3 = 5.", name
        assert json.dumps(recipe.prompt.messages("q"))
