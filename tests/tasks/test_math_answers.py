"""Answers: found where they are marked, equal when they mean the same, and never a hang."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tenon.tasks.math import expressions, extract_answer, extract_last_number, is_correct, same_answer
from tenon.tasks.math.answers import compare_answers


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Step 1: 2 + 3 = 5.\nAnswer: 5", "5"),
        ("Answer: 5\nAnswer: 6", "6"),
        ("It is 72.\n#### 72", "72"),
        (r"so \boxed{17}.", "17"),
        (r"so \boxed{\frac{1}{2}} holds", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{5} or rather \boxed{6}", "6"),
        (r"Answer: \boxed{5}", "5"),
        (r"\boxed{5} and then \boxed{6", "5"),
        (r"\boxed{} Answer", None),
        ("The Answer: 5", None),
        ("Answer:", None),
        ("Answer:\n5", None),
        ("five, or 5", None),
        ("", None),
    ],
)
def test_strict_extraction(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "number"),
    [("5 and 6.", "6"), ("$1,250.50 in all", "$1,250.50"), ("minus -3", "-3"), ("3 + 4 = 7", "7"), ("none", None)],
)
def test_lenient_extraction(text: str, number: str | None) -> None:
    assert extract_last_number(text) == number


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("1,000", "1000", True),
        ("17.0", "17", True),
        ("$17", "17", True),
        ("17.", "17", True),
        (r"\$1,250.50", "1250.5", True),
        ("-$3", "-3", True),
        ("0.1", "1/10", True),
        ("2/4", "1/2", True),
        ("17", "18", False),
        ("0.3333", "1/3", False),
        ("100000000000000000001", "100000000000000000000", False),
        ("", "0", False),
    ],
)
def test_numbers_are_compared_exactly_without_math_verify(
    a: str, b: str, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expressions, "same_expression", lambda a, b: pytest.fail("a number went to math-verify"))
    assert same_answer(a, b) is same
    assert same_answer(b, a) is same


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (r"\frac{1}{2}", "0.5", True),
        ("x+1", "1+x", True),
        (r"\sqrt{8}", r"2\sqrt{2}", True),
        ("(1,2)", "(2,1)", False),
        ("x+1", "x+2", False),
        ("1/0", "1/0", True),
        ("1/0", "3", False),
    ],
)
def test_everything_else_is_compared_as_mathematics(a: str, b: str, same: bool) -> None:
    assert same_answer(a, b) is same


def test_threads_may_compare() -> None:
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(same_answer, ["x+1", "x+1", r"\frac{2}{4}", "2y"], ["1+x", "1-x", r"\frac12", "y+y"]))
    assert verdicts == [True, False, True, True]


def test_a_worker_that_does_not_answer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert same_answer("x+1", "1+x")
    stuck = expressions._worker
    assert stuck is not None
    monkeypatch.setattr(expressions, "_ANSWER_SECONDS", 0.0)
    assert compare_answers("x+2", "2+x") is None  # nobody knows
    assert not same_answer("x+2", "2+x")
    assert stuck.process.poll() is not None  # it was ended, so its late answer cannot be taken for the next one
    monkeypatch.undo()
    assert same_answer("x+2", "2+x")
    assert not same_answer("x+2", "3+x")


def test_time_that_runs_out_within_the_worker_is_not_taken_for_unequal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert same_answer("x+2", "2+x")  # it runs
    monkeypatch.setattr(expressions, "_ANSWER_SECONDS", 60.0)  # its own alarm comes first, if any does
    assert compare_answers("x+2", "3+x") is False
    assert compare_answers(r"\sum_{n=1}^{10^{9}} \sin(n)", "1") is None


def test_overlong_answers_are_equal_only_as_text() -> None:
    long = "+".join(["x"] * 400)
    assert same_answer(long, long)
    assert not same_answer(long, "400x")
    assert not same_answer("9" * 501, "9" * 502)


def test_a_text_is_correct_only_by_its_marked_answer() -> None:
    assert is_correct("Step 1: 2 + 3 = 5.\nAnswer: 5", "5.0")
    assert not is_correct("Step 1: 2 + 3 = 5.", "5")
    assert not is_correct("Answer: 4", "5")
