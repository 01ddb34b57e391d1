"""Greedy answers, graded and counted: every answer once, faults by kind, intervals, questions never trained on."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenon.core.chat import Completion, Request, ScriptedWriter
from tenon.core.files import fingerprints
from tenon.core.run import VOLATILE, Run
from tenon.methods.rise.config import EvalConfig, PromptConfig
from tenon.methods.rise.evaluate import Answer, evaluate, figures, questions_of, word_problems
from tenon.methods.rise.grading import Grade, grade_mathematics
from tenon.methods.rise.rows import Question
from tenon.tasks.math import FAULTS, split_of

CONFIG = EvalConfig(prompt=PromptConfig(system="Help.", instruction="By steps.", prefill="Step 1:"), max_tokens=50)
PROBLEMS = word_problems(0, "test", 4, max_steps=4)  # of 1, 2, 3 and 4 steps


def measured(
    path: Path, script: Any, problems: Any = PROBLEMS, config: EvalConfig = CONFIG, **options: Any
) -> list[Answer]:
    with Run.open(path, config=config) as run:
        writer = ScriptedWriter(script, "test")
        return evaluate(run, writer, questions_of(PROBLEMS), config, problems=problems, **options)


def replaced(number: int, old: str, new: str) -> str:
    text = PROBLEMS[number].solution
    assert text.count(old) == 1
    return text.replace(old, new)


def length(text: str) -> Completion:
    return Completion(text=text, finish_reason="length", writer="scripted: test")


def test_answers_are_graded_and_their_first_fault_is_named(tmp_path: Path) -> None:
    p = [problem.key for problem in PROBLEMS]
    script = {
        p[0]: PROBLEMS[0].solution,
        p[1]: replaced(1, "45 - 42 = 3", "45 - 42 = 4").replace("Answer: 3", "Answer: 4"),
        p[2]: replaced(2, "655 / 5 = 131", "655 / 50 = 13.1").replace("Answer: 131", "Answer: 13.1"),
        p[3]: "\n".join(PROBLEMS[3].solution.splitlines()[:2]) + "\nAnswer: 520",
    }
    found = measured(tmp_path, script)
    assert [(one.key, one.steps, one.correct, one.fault, one.is_cut) for one in found] == [
        (p[0], 1, True, None, False),
        (p[1], 2, False, "arithmetic", False),
        (p[2], 3, False, "other", False),  # no equation of whole numbers where one was due
        (p[3], 4, False, "omission", False),
    ]
    with Run.open(tmp_path, config=CONFIG) as run:
        rows = run.rows("answers-graded")
        assert [row["found"] for row in rows] == ["8", "4", "13.1", "520"]
        assert [row["writer"] for row in run.rows("answers")] == ["scripted: test"] * 4


def test_questions_are_put_greedily_and_without_the_prefill_unless_it_is_asked_for(tmp_path: Path) -> None:
    seen: list[Request] = []

    def script(request: Request) -> str:
        seen.append(request)
        return "\nAnswer: 8"

    measured(tmp_path / "without", script)
    assert {(one.prefill, one.sampling.temperature, one.sampling.max_tokens) for one in seen} == {("", 0.0, 50)}
    assert seen[0].messages == (
        {"role": "system", "content": "Help."},
        {"role": "user", "content": f"{PROBLEMS[0].question}\nBy steps."},
    )
    seen.clear()
    # the prefill is part of what is judged: here it holds the only step
    config = replace(CONFIG, prompt=PromptConfig(prefill="Step 1: 2 + 2 = 5."), prefill=True)
    found = measured(tmp_path / "with", script, config=config)
    assert {one.prefill for one in seen} == {"Step 1: 2 + 2 = 5."}
    assert [one.fault for one in found] == [None, "arithmetic", "arithmetic", "arithmetic"]


def test_a_cut_answer_is_not_right_and_is_told_apart_from_a_wrong_one(tmp_path: Path) -> None:
    found = measured(tmp_path, lambda request: length(next(p for p in PROBLEMS if p.key == request.key).solution))
    assert {(one.correct, one.fault, one.is_cut) for one in found} == {(False, "cut", True)}
    counted = figures(found)
    assert (counted["accuracy"][-1]["accuracy"], counted["accuracy"][-1]["cut"]) == (0.0, 4)
    assert {row["fault"]: row["rate"] for row in counted["faults"]} == dict.fromkeys(FAULTS, 0.0) | {"cut": 1.0}


def test_what_the_checker_failed_on_is_in_neither_count(tmp_path: Path) -> None:
    def grader(gold: str, text: str) -> Grade:
        if "no idea" in text:
            raise TimeoutError("too slow")
        return grade_mathematics(gold, text)

    right = {problem.key: problem.solution for problem in PROBLEMS}
    found = measured(tmp_path, right | {PROBLEMS[1].key: "no idea"}, grader=grader)
    assert [one.correct for one in found] == [True, None, True, True]
    counted = figures(found)
    assert [(row["steps"], row["questions"]) for row in counted["accuracy"]] == [(1, 1), (3, 1), (4, 1), ("all", 3)]
    total = counted["accuracy"][-1]
    assert (total["accuracy"], total["unchecked"], total["cut"]) == (1.0, 1, 0)
    assert all(row["rate"] == 0 for row in counted["faults"])
    # What was graded once is not graded again: a checker that runs out of time may say something else the next time.
    assert measured(tmp_path, right, grader=lambda gold, text: pytest.fail("graded again")) == found


def test_without_a_true_solution_only_sums_can_be_told_from_the_rest(tmp_path: Path) -> None:
    keys = [problem.key for problem in PROBLEMS]
    texts = ["So 2 + 2 = 5.\nAnswer: 1", "So 2 + 2 = 4.\nAnswer: 1", "I do not know.", PROBLEMS[3].solution]
    found = measured(tmp_path, dict(zip(keys, texts, strict=True)), problems=())
    assert [(one.fault, one.steps) for one in found] == [
        ("arithmetic", None),
        ("other", None),
        ("other", None),
        (None, None),
    ]
    (total,) = figures(found)["accuracy"]  # by steps there is nothing to say
    assert (total["steps"], total["questions"], total["accuracy"]) == ("all", 4, 0.25)


def answer(steps: int | None, correct: bool | None, fault: str | None = None) -> Answer:
    return Answer(key="k", steps=steps, correct=correct, fault=fault, is_cut=fault == "cut")


def test_rates_have_wilson_intervals() -> None:
    answers = [answer(1, True)] * 4 + [answer(2, True)] * 3 + [answer(2, False, "operand")] * 3
    counted = figures(answers)
    ones, twos, total = counted["accuracy"]
    # Wilson (1927) by hand: for 4 of 4 the lower end is n / (n + z^2), z = 1.959964
    assert (ones["accuracy"], ones["low"], ones["high"]) == pytest.approx((1.0, 4 / (4 + 3.841459), 1.0), abs=1e-6)
    assert (twos["accuracy"], twos["low"] + twos["high"]) == pytest.approx((0.5, 1.0))
    assert total["accuracy"] == pytest.approx(0.7)
    # the ends solve |p - rate| = z sqrt(p (1 - p) / n)
    for row, rate in ((total, 0.7), (next(row for row in counted["faults"] if row["fault"] == "operand"), 0.3)):
        for end in (row["low"], row["high"]):
            assert abs(end - rate) == pytest.approx(1.959964 * (end * (1 - end) / 10) ** 0.5, abs=1e-6)
    assert sum(row["rate"] for row in counted["faults"]) + total["accuracy"] == pytest.approx(1)


def test_with_nothing_checked_there_is_no_rate() -> None:
    counted = figures([answer(None, None)])
    (total,) = counted["accuracy"]
    assert (total["accuracy"], total["low"], total["high"], total["questions"]) == (None, None, None, 0)
    assert {row["rate"] for row in counted["faults"]} == {None}


def test_the_order_of_answers_does_not_matter() -> None:
    answers = [answer(1 + n % 3, n % 2 == 0, None if n % 2 == 0 else FAULTS[n % len(FAULTS)]) for n in range(20)]
    mixed = random.Random(0).sample(answers, len(answers))
    assert figures(mixed) == figures(answers)


def test_an_evaluation_that_was_stopped_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = {problem.key: problem.solution for problem in PROBLEMS}
    whole = measured(tmp_path / "whole", script)
    append, written = Run.append, 0

    def breaking(self: Run, name: str, row: Any) -> bool:
        nonlocal written
        written += 1
        if written == 6:  # between two grades
            raise KeyboardInterrupt
        return append(self, name, row)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "append", breaking)
        with pytest.raises(KeyboardInterrupt):
            measured(tmp_path / "stopped", script)
    assert measured(tmp_path / "stopped", lambda request: pytest.fail("asked again")) == whole
    kept = [fingerprints(tmp_path / one, skip=VOLATILE) for one in ("whole", "stopped")]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("unseen", ["valid", "test"])
def test_unseen_questions_share_no_equations_with_training(unseen: Any) -> None:
    trained = word_problems(3, "train", 400, max_steps=4)
    asked = word_problems(0, unseen, 400, max_steps=4)
    chains = [{tuple(step.equation for step in problem.steps) for problem in part} for part in (trained, asked)]
    assert not chains[0] & chains[1]
    assert {split_of(step.equation for step in problem.steps) for problem in asked} == {unseen}
    assert not {one.prompt for one in questions_of(trained)} & {one.prompt for one in questions_of(asked)}
    assert [problem.num_steps for problem in asked[:8]] == [1, 2, 3, 4] * 2
    assert len({problem.key for problem in [*trained, *asked]}) == 800
    first = questions_of(asked)[0]
    assert first == Question(id=asked[0].key, prompt=asked[0].question, answer=asked[0].answer, dataset="word problems")
