"""Steps are cut by place, so that no byte is lost; the window is the end of a step (properties 7.8 and 7.14)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenon.methods.rise.config import PromptConfig
from tenon.methods.rise.steps import OPENINGS, split, window

NO_PREFILL = PromptConfig(prefill="")
SPLITTERS = {name: PromptConfig(prefill="", splitter=name) for name in ("step", "line", "blank", "sentence")} | {
    "pattern": PromptConfig(prefill="", splitter="pattern", pattern=r"(?m)^\d+\)"),
    "pattern, empty matches": PromptConfig(prefill="", splitter="pattern", pattern=r"(?=Step)|$"),
}
PIECES = [
    "Step 1:", "\nStep 1:", "\nStep 2:", "\n\nStep 2:", "\r\nStep 3:", "Step 1: ", "$a\nStep 4:$", "\\text{Step 2:}",
    " 3 + 4 = 7.", " = ", ". ", "! ", "\n", "\r\n", "\n \n", " ", "\t", "é", "e\u0301", "日本", "🙂", "\u2028", "1) ",
    "\n2)",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join)


@pytest.mark.parametrize("config", SPLITTERS.values(), ids=SPLITTERS)
@given(text=TEXTS)
def test_7_08_every_step_with_what_is_around_it_is_the_text_byte_for_byte(config: PromptConfig, text: str) -> None:
    steps = split(text, config)
    for step in steps:
        assert (step.prefix + step.text + step.rest).encode("utf-8", "surrogatepass") == text.encode(
            "utf-8", "surrogatepass"
        )
    # all steps one after the other, each with what opens it, are the text too
    whole = "".join(
        step.prefix[len(before.prefix + before.text) if before else 0 :] + step.text
        for before, step in zip([None, *steps], steps, strict=False)
    )
    assert whole == (text if steps else "")
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert [step.is_last for step in steps] == [False] * (len(steps) - 1) + [True] * bool(steps)


@given(text=TEXTS)
def test_7_08_as_many_steps_as_markers_at_the_start_of_a_line(text: str) -> None:
    lines = text.split("\n")
    assert len(split(text, NO_PREFILL)) == sum(re.match(r"Step \d+:", line) is not None for line in lines)
    for step in split(text, NO_PREFILL):
        assert re.search(r"Step \d+:\Z", step.prefix)


def texts(text: str, config: PromptConfig) -> list[str]:
    return [step.text for step in split(text, config)]


def test_steps_by_hand() -> None:
    text = "Let's see.\nStep 1: a = b, as in Step 1: so.\n\nStep 2: c\r\nStep 2: d\nAnswer: 7"
    steps = split(text, NO_PREFILL)
    assert [step.text for step in steps] == [" a = b, as in Step 1: so.\n", " c", " d\nAnswer: 7"]
    assert [step.prefix[-8:] for step in steps] == ["\nStep 1:", "\nStep 2:", "\nStep 2:"]
    assert steps[0].prefix == "Let's see.\nStep 1:"
    tenth = split("Step 9: a\nStep 10: b\nStep 100: c", NO_PREFILL)
    assert [(step.prefix[-9:], step.text) for step in tenth][1:] == [("\nStep 10:", " b"), ("Step 100:", " c")]
    assert split("no steps here, see Step 1: there", NO_PREFILL) == []
    assert split("", NO_PREFILL) == []


@pytest.mark.parametrize(
    ("splitter", "text", "expected"),
    [
        ("line", "a\n\n  b\n \nc", ["a\n", "  b\n ", "c"]),
        ("line", "\r\na\r\nb\n", ["a", "b\n"]),
        ("blank", "a\nb\n\nc\n  \n\nd", ["a\nb", "c\n  ", "d"]),
        ("blank", "\na\n\nb", ["a", "b"]),
        ("blank", "a\r\nb\r\n\r\nc", ["a\r\nb", "c"]),
        ("sentence", "It is 3.5 m. So? Yes!\nBut\n\n5.", ["It is 3.5 m.", " So?", " Yes!", "\nBut", "\n\n5."]),
    ],
)  # fmt: skip
def test_other_splitters_by_hand(splitter: str, text: str, expected: list[str]) -> None:
    assert texts(text, SPLITTERS[splitter]) == expected


def test_a_pattern_opens_steps() -> None:
    assert texts("so\n1) a\n2) b", SPLITTERS["pattern"]) == [" a\n", " b"]


def test_a_step_that_the_model_did_not_write_is_left_out() -> None:
    config = PromptConfig(prefill="Let's think. ", splitter="sentence")
    assert texts("Let's think. It is 3. So 4.", config) == [" It is 3.", " So 4."]
    assert texts("Step 1: 2 + 3 = 5.", PromptConfig(prefill="Let's go.\nStep 1: ")) == [" 2 + 3 = 5."]
    assert texts("Step 1: \nStep 2: 5", PromptConfig(prefill="Step 1: ")) == [" ", " 5"]  # the model left it blank
    assert texts("Let's go.\nStep 1: 5", PromptConfig(prefill="Let's go.\nStep 1: ")) == [" 5"]


def test_long_runs_of_blank_lines_take_no_long_time() -> None:
    text = "\n" * 20_000
    for opening in OPENINGS.values():
        assert len(list(opening.finditer(text))) == 0


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (" One. Two. Three. Four. Five.", (6, "Two. Three. Four. Five.")),  # five: the last four
        (" One. Two. Three.", (1, "One. Two. Three.")),  # three: all
        (" Same. Same. Same. Same. Same.", (7, "Same. Same. Same. Same.")),  # by place, not by first occurrence
        (" a\nb\n\n c. d\n", (1, "a\nb\n\n c. d")),  # a blank line is no sentence
        ("1.5 + 2 = 3.5", (0, "1.5 + 2 = 3.5")),  # a point within a number ends nothing
    ],
)
def test_7_14_the_window_is_the_last_four_sentences_and_where_they_begin(step: str, expected: tuple[int, str]) -> None:
    assert window(step, 4) == expected


@given(text=TEXTS, sentences=st.integers(1, 5) | st.none())
def test_7_14_the_window_stands_at_its_place(text: str, sentences: int | None) -> None:
    found = window(text, sentences)
    assert (found is None) == (not text.strip())
    if found is not None:
        offset, shown = found
        assert text[offset : offset + len(shown)] == shown == shown.strip() != ""
        assert not text[offset + len(shown) :].strip()
        if sentences is None:
            assert shown == text.strip()
