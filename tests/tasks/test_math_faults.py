"""The first fault of a solution, for every kind, and over many generated problems."""

from __future__ import annotations

import re

import pytest

from tenon.tasks.math import FAULTS, Fault, Problem, Step, diagnose, generate_problems, render_solution


def problem(*equations: str, question: str = "") -> Problem:
    steps = tuple(Step.around(equation, f"That is {equation} things.") for equation in equations)
    return Problem(
        question=question,
        steps=steps,
        answer=str(steps[-1].value),
        key="k",
        split="train",
        family="f",
        level="easy",
        num_steps=len(steps),
        has_distractor=False,
    )


CHAIN = problem("3 * 4 = 12", "12 + 5 = 17", "17 - 2 = 15", question="There are 3 bags of 4, then 5 come, 2 go.")


def written(*equations: str, answer: str) -> str:
    return render_solution([Step.around(one, f"So {one} things.") for one in equations], answer)


@pytest.mark.parametrize(
    ("equations", "answer", "fault"),
    [
        (["3 * 4 = 12", "12 + 5 = 17", "17 - 2 = 15"], "15", None),
        (["3 * 4 = 13", "13 + 5 = 18", "18 - 2 = 16"], "16", Fault("arithmetic", 1)),
        (["3 * 4 = 12", "12 + 5 = 18", "18 - 2 = 16"], "16", Fault("arithmetic", 2)),
        (["3 * 4 = 12", "12 + 6 = 18", "18 - 2 = 16"], "16", Fault("operand", 2)),
        (["3 * 5 = 15", "15 + 5 = 20"], "20", Fault("operand", 1)),
        (["3 * 4 = 12", "12 - 5 = 7", "7 - 2 = 5"], "5", Fault("operator", 2)),
        (["3 + 4 = 7", "7 + 5 = 12"], "12", Fault("operator", 1)),
        (["3 * 4 = 12", "12 - 2 = 10"], "10", Fault("omission", 2)),
        (["3 * 4 = 12", "12 + 5 = 17"], "17", Fault("omission", 3)),
        (["3 * 4 = 12", "12 + 5 = 17", "17 - 2 = 15"], "51", Fault("answer", 4)),
        (["3 * 4 = 12", "12 + 5 = 17", "99 / 9 = 11"], "11", Fault("operand", 3)),
        (["3 * 4 = 12", "12 + 5 = 17", "4 / 2 = 2"], "2", Fault("other", 3)),
    ],
)
def test_every_kind(equations: list[str], answer: str, fault: Fault | None) -> None:
    assert diagnose(CHAIN, written(*equations, answer=answer)) == fault


def test_order_of_a_sum_is_no_matter_and_that_of_a_difference_is() -> None:
    assert diagnose(CHAIN, written("4 * 3 = 12", "5 + 12 = 17", answer="17")) == Fault("omission", 3)
    assert diagnose(problem("9 / 3 = 3", question="9 3"), written("3 / 9 = 0", answer="0")) == Fault("arithmetic", 1)
    backwards = problem("8 - 4 = 4", "4 - 4 = 0", question="8 4")
    assert diagnose(backwards, written("8 - 4 = 4", "8 - 4 = 4", answer="4")) == Fault("operand", 2)


def test_a_right_answer_is_no_fault_whatever_the_steps_say() -> None:
    assert diagnose(CHAIN, "Step 1: 3 * 4 = 99.\nAnswer: 15") is None


def test_a_text_without_equations_or_answer() -> None:
    assert diagnose(CHAIN, "I do not know.") == Fault("other", 1)
    assert diagnose(CHAIN, "") == Fault("omission", 1)
    unfinished = written("3 * 4 = 12", "12 + 5 = 17", "17 - 2 = 15", answer="15").rpartition("\n")[0]
    assert diagnose(CHAIN, unfinished) == Fault("answer", 4)


@pytest.mark.parametrize("steps", [1, 2, 4, 6])
def test_injected_faults_of_generated_problems_are_found_where_they_were_put(steps: int) -> None:
    for number, one in enumerate(generate_problems(3, "valid", 60, steps=steps)):
        at = number % steps
        true = one.steps[at]
        wrong = true.rewritten(value=true.value + 1)
        text = render_solution((*one.steps[:at], wrong, *one.steps[at + 1 :]), one.answer + "1")
        assert diagnose(one, text) == Fault("arithmetic", at + 1)
        short = render_solution(one.steps[:-1], one.answer + "1")
        assert diagnose(one, short) == Fault("omission", steps)
        assert diagnose(one, render_solution(one.steps, one.answer + "1")) == Fault("answer", steps + 1)


def test_the_table_of_kinds_is_complete() -> None:
    import tenon.tasks.math.faults as module

    assert tuple(re.findall(r"^    (\w+)  ", module.__doc__ or "", re.MULTILINE)) == FAULTS
