"""Every filter of section 2.6, by its name: what it drops and what passes (properties 7.4, 7.12, 7.13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenon.methods.rise.config import FilterConfig
from tenon.methods.rise.filters import (
    FILTERS,
    KEPT,
    Filters,
    Verdict,
    announces_error,
    corrects_itself,
    edit_distance,
    is_no_change,
    is_within,
    unbox,
)
from tenon.methods.rise.grading import Grade, grade_mathematics
from tenon.methods.rise.reference_data import levenshtein, unbox_by_search


def words(text: str) -> Sequence[str]:
    return text.split()


# Phrases


CORRECTING = [
    "a mistake", "misunderstanding", "misleading", "misinterpreted", "Let's correct", "let's correct", "The correct",
    "Let's reconsider", "let's reconsider", "python", "This is not correct", "this is not correct",
]  # fmt: skip


@pytest.mark.parametrize("phrase", CORRECTING)
def test_phrase_filter_1_finds_each_phrase(phrase: str) -> None:
    assert corrects_itself("How many?", f"So, {phrase} it is.")


@pytest.mark.parametrize("text", ["the correct answer", "A mistake", "Python", "mistakenly", "incorrect", "wrong"])
def test_phrase_filter_1_minds_case_and_lets_others_pass(text: str) -> None:
    assert not corrects_itself("How many?", text)


@pytest.mark.parametrize(
    "phrase",
    [*(one for one in CORRECTING if one != "misunderstanding"), "mistakenly", "Misleading", "incorrect", "wrong"],
)
def test_phrase_filter_2_finds_each_phrase(phrase: str) -> None:
    assert announces_error("How many?", f"So, {phrase} it is.")


@pytest.mark.parametrize("text", ["misunderstanding", "the correct answer", "Incorrect", "Wrong"])
def test_phrase_filter_2_minds_case_and_lets_others_pass(text: str) -> None:
    assert not announces_error("How many?", text)


@pytest.mark.parametrize("question", ["Which is wrong?", "Which is incorrect?"])
def test_a_question_about_what_is_wrong_is_exempt(question: str) -> None:
    assert not corrects_itself(question, "a mistake")
    assert not announces_error(question, "wrong")
    assert announces_error("Which is Wrong?", "wrong")  # case matters here, too


# Boxes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{\frac{1}{2}}.", r"so \frac{1}{2}."),  # nested braces
        (r"\boxed{5} or \boxed{6}", "5 or 6"),  # several
        (r"\boxed{\boxed{5} + 1}", "5 + 1"),  # one in another
        (r"\boxed {5}", "5"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),  # escaped braces close nothing
        (r"so \(\boxed{5}\).", "so 5."),
        (r"so \( \boxed{5} \).", "so 5."),
        ("so\n\\[\n\\boxed{5}\n\\]\nend", "so\n5\nend"),
        (r"so $\boxed{5}$, $$\boxed{6}$$.", "so 5, 6."),
        (r"so $\boxed{\text{$5$}}$", r"so \text{$5$}"),
        (r"$x = \boxed{5}$ and \(\boxed{6} = y\)", r"$x = 5$ and \(6 = y\)"),  # these enclose more
        (r"$\boxed{5}.$", "$5.$"),
        (r"\$\boxed{5}\$", r"\$5\$"),  # no delimiters
        (r"costs $5: $\boxed{5}$", "costs $5: 5"),
        (r"so $a$ \boxed{5} $b$", "so $a$ 5 $b$"),  # the dollars are those of its neighbours
        (r"so $a$\boxed{5}$b$", "so $a$5$b$"),
        (r"so $$a$$ \boxed{5} $$b$$", "so $$a$$ 5 $$b$$"),
        (r"costs $5: $a$ \boxed{5} $b$", "costs $5: $a$ 5 $b$"),
        (r"so $a$ $ \boxed{5} $ $b$", "so $a$ 5 $b$"),
        (r"so $ a $ \boxed{5} $ b $", "so $ a $ 5 $ b $"),
        (r"\(\boxed{a}\) to \(\boxed{b}\)", "a to b"),
        (r"\boxed{a}. Then {b}.", "a. Then {b}."),  # not up to the brace of another
        ("no box", "no box"),
    ],
)
def test_7_13_boxes_are_taken_off_by_matching_braces(text: str, expected: str) -> None:
    assert unbox(text) == (expected, 0)


@pytest.mark.parametrize(
    ("text", "expected", "unbalanced"),
    [
        (r"\boxed{5", r"\boxed{5", 1),
        (r"\boxed{\frac{1}{2}", r"\boxed{\frac{1}{2}", 1),
        (r"\boxed{5\}", r"\boxed{5\}", 1),
        (r"\boxed{a \boxed{b} \boxed{c", r"\boxed{a b \boxed{c", 2),
        (r"\boxed{" * 1000, r"\boxed{" * 1000, 1000),
    ],
)
def test_7_13_unbalanced_boxes_end_and_are_told(text: str, expected: str, unbalanced: int) -> None:
    assert unbox(text) == (expected, unbalanced)


balanced = st.recursive(
    st.text("ab +=$", max_size=4),
    lambda inner: st.tuples(st.sampled_from([r"\boxed{", r"\boxed {", "{", r"\frac{"]), inner, inner).map(
        lambda parts: parts[0] + parts[1] + "}" + parts[2]
    ),
    max_leaves=12,
)


@given(text=balanced)
def test_7_13_boxes_are_those_of_the_slow_twin(text: str) -> None:
    found, unbalanced = unbox(text)
    assert unbalanced == 0
    assert "boxed" not in found
    # delimiters that enclosed the box only are gone from ours; the twin leaves them
    assert found.replace("$", "").replace(" ", "") == unbox_by_search(text).replace("$", "").replace(" ", "")


# Distance


@pytest.mark.parametrize(
    ("a", "b", "chars", "ratio", "tokens"),
    [
        ("3 + 4 = 7", "3 + 5 = 8", 2, 2 / 9, 2),
        ("12 - 5 = 7", "5 - 12 = 7", 4, 0.4, 2),
        ("2 + 3 + 4 = 9", "2 + 3 = 9", 4, 4 / 13, 2),
        ("", "", 0, 0.0, 0),
        ("", "abc", 3, 1.0, 1),
    ],
)
def test_7_12_levenshtein(a: str, b: str, chars: int, ratio: float, tokens: int) -> None:
    assert edit_distance(a, b)[0] == chars
    assert edit_distance(a, b)[1] == pytest.approx(ratio)
    assert edit_distance(a, b, words)[0] == tokens == levenshtein(a.split(), b.split())


short = st.text("ab1é ", max_size=12)


@given(a=short, b=short, c=short)
def test_7_12_levenshtein_is_a_metric_and_that_of_the_slow_twin(a: str, b: str, c: str) -> None:
    ab, ratio = edit_distance(a, b)
    assert ab == levenshtein(a, b)
    assert ab == edit_distance(b, a)[0]
    assert edit_distance(a, c)[0] <= ab + edit_distance(b, c)[0]
    assert (ab == 0) == (a == b)
    assert 0 <= ratio <= 1
    assert edit_distance(a, b, words)[0] == levenshtein(a.split(), b.split())


@pytest.mark.parametrize(
    ("distance", "ratio", "changes", "within"),
    [
        (3, 0.3, {}, True),
        (3, 0.31, {}, False),
        (0, 0.0, {}, False),
        (3, 0.31, {"max_ratio": None}, True),
        (4, 0.1, {"max_abs": 3}, False),
        (3, 0.1, {"max_abs": 3}, True),
        (1, 0.1, {"min_abs": 2}, False),
        (99, 0.99, {"distance": False}, True),
    ],
)
def test_bounds_of_the_distance(distance: int, ratio: float, changes: dict[str, Any], within: bool) -> None:
    assert is_within(distance, ratio, replace(FilterConfig(), **changes)) is within


# All of them


STEP = " She has 12 + 5 = 17 apples in all."


def judge(edited: str | None, step: str = STEP, *, window: str = "", last: bool = False, **changes: Any) -> Verdict:
    filters = Filters(replace(FilterConfig(), **changes), grade_mathematics)
    window = window or step.strip()
    return filters.judge(
        question="How many?",
        gold="17",
        step=step,
        offset=step.index(window),
        window=window,
        edited=edited,
        is_last=last,
    )


def edited(old: str, new: str, step: str = STEP) -> str:
    assert old in step
    return step.strip().replace(old, new)


def test_an_edit_that_passes_all_filters_is_kept_with_its_distance() -> None:
    assert judge(edited("17", "18"), verify=True) == Verdict(KEPT, STEP.replace("17", "18"), 1)


DROPPED: dict[str, dict[str, Any]] = {
    "no closing fence": {"edited": None},
    "empty edit": {"edited": " \n"},
    "announces the error": {"edited": edited("17 apples", "17 wrong apples")},
    "unbalanced box": {"edited": edited("17", r"\boxed{18")},
    "no change": {"edited": edited("12 + 5 = 17", "12+5 =  17")},
    "edit distance": {"edited": "They are many."},
    "equations still hold": {"edited": edited("She", "He"), "verify": True},
    "answer still right": {
        "edited": "12 + 6 = 17 apples.\nAnswer: 17",
        "step": " 12 + 5 = 17 apples.\nAnswer: 17",
        "verify": True,
        "last": True,
    },
}


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_drops_what_it_is_for(name: str) -> None:
    assert judge(**DROPPED[name]).outcome == name


def test_filters_that_are_off_drop_nothing() -> None:
    assert judge(**DROPPED["announces the error"], phrases=False).outcome == KEPT
    assert judge(**DROPPED["edit distance"], distance=False).outcome == KEPT
    for name in ("equations still hold", "answer still right"):
        assert judge(**DROPPED[name] | {"verify": False}).outcome == KEPT


def test_the_first_filter_that_objects_is_named() -> None:
    everything = "This is wrong."  # announces, and is too far away
    assert judge(everything).outcome == "announces the error"
    assert judge(everything, phrases=False).outcome == "edit distance"


def test_7_04_no_change_is_dropped_whatever_is_configured() -> None:
    off: dict[str, Any] = {"phrases": False, "distance": False, "verify": False}
    step = r" So $\boxed{12 + 5}$."
    for same in (step.strip(), "So 12 + 5.", "So  12+5 .", r"So \boxed{12 + 5}.", r"\boxed{So} 12 + 5."):
        assert judge(same, step, **off).outcome == "no change", same
    assert is_no_change("a b", "a  b\n")
    assert not is_no_change("a b", "a c")


def test_7_14_the_edit_replaces_the_window_once_at_its_place() -> None:
    step = " 1 + 1 = 2. 1 + 1 = 2."
    filters = Filters(FilterConfig(), grade_mathematics)
    verdict = filters.judge(
        question="", gold="2", step=step, offset=12, window="1 + 1 = 2.", edited="1 + 1 = 3.", is_last=False
    )
    assert verdict.rejected == " 1 + 1 = 2. 1 + 1 = 3."


def test_the_rejected_step_has_no_box_and_the_box_is_no_part_of_the_distance() -> None:
    step = r" She has 12 + 5 = \boxed{17}."
    verdict = judge(edited("17", "18", step), step)
    assert verdict == Verdict(KEPT, " She has 12 + 5 = 18.", 1)
    filters = Filters(FilterConfig(), grade_mathematics)
    assert filters.is_near(step, 1, step[1:], edited("17", "18", step))
    assert not filters.is_near(step, 1, step[1:], r"He had 90 or \boxed{18}.")


TWO = r" It is not wrong: 2 + 3 = 5. She has 12 + 5 = \boxed{17}."


def test_phrases_are_sought_in_the_edit_only_and_not_in_what_was_not_shown() -> None:
    window = r"She has 12 + 5 = \boxed{17}."
    assert judge(window.replace("17", "18"), TWO, window=window).outcome == KEPT
    assert judge(window.replace("17", "the wrong 18"), TWO, window=window).outcome == "announces the error"


def test_equations_are_those_of_the_whole_step_and_one_that_is_false_suffices() -> None:
    window = r"She has 12 + 5 = \boxed{17}."
    for place, old, new in ((TWO, "17", "18"), (TWO.replace("= 5.", "= 6."), "She", "He")):
        assert judge(window.replace(old, new), place, window=window, verify=True).outcome == KEPT
    assert judge(window.replace("She", "He"), TWO, window=window, verify=True).outcome == "equations still hold"
    words = " 2 + 3 = 5. Mia has so many."  # the equation was not shown
    assert judge("Tom has so many.", words, window="Mia has so many.", verify=True).outcome == "equations still hold"


def test_the_checker_reads_the_whole_last_step_with_its_box() -> None:
    seen: list[tuple[str, str]] = []

    def grader(gold: str, text: str) -> Grade:
        seen.append((gold, text))
        return Grade(True)

    step = r" The answer is \boxed{17}. It has 12 + 5 = 17."
    filters = Filters(replace(FilterConfig(), verify=True), grader)

    def judged(is_last: bool) -> str:
        return filters.judge(
            question="", gold="17", step=step, offset=step.index("It"), window="It has 12 + 5 = 17.",
            edited="It has 12 + 5 = 18.", is_last=is_last,
        ).outcome  # fmt: skip

    assert judged(is_last=False) == KEPT
    assert seen == []
    assert judged(is_last=True) == "answer still right"
    assert seen == [("17", r" The answer is \boxed{17}. It has 12 + 5 = 18.")]


def test_a_boxed_answer_is_verified_before_its_box_is_taken_off() -> None:
    step = r" She has 12 + 5 = 17 apples, so the answer for Mia is \boxed{17}."
    assert judge(edited("5 = 17", "6 = 17", step), step, last=True, verify=True).outcome == "answer still right"
    assert judge(edited("5 = 17", "6 = 17", step), step, last=False, verify=True).outcome == KEPT
    assert judge(edited("17", "18", step), step, last=True, verify=True).outcome == KEPT


def test_without_equations_only_the_answer_is_verified() -> None:
    assert judge("So there are many apples.", " So there are more apples.", verify=True).outcome == KEPT


def test_a_checker_that_fails_drops_nothing() -> None:
    def fails(gold: str, text: str) -> Grade:
        raise TimeoutError

    filters = Filters(replace(FilterConfig(), verify=True), fails)
    verdict = filters.judge(
        question="", gold="17", step=STEP, offset=1, window=STEP[1:], edited=edited("5", "6"), is_last=True
    )
    assert verdict.outcome == KEPT


def test_the_distance_may_count_tokens() -> None:
    filters = Filters(replace(FilterConfig(), max_abs=1, max_ratio=None), grade_mathematics, words)
    verdict = filters.judge(
        question="", gold="17", step=STEP, offset=1, window=STEP[1:], edited=edited("17", "28"), is_last=False
    )
    assert (verdict.outcome, verdict.distance) == (KEPT, 1)
