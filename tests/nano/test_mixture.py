"""The reading of nano-lm: a function of its step, shared out as configured, from short and easy to long and hard."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from tenon.core.errors import ConfigError
from tenon.core.training.packing import IGNORE
from tenon.nano.mixture import Mixture, MixtureConfig, Phase, chat_spans
from tenon.nano.tokenizer import train_tokenizer
from tenon.tasks.math import generate_problems
from tenon.tasks.math.problem import calculate
from tenon.tasks.text import Document

PROBLEMS = list(generate_problems(9, "train", 40))
BOOKS = [Document(f"book {n}", f"Chapter {n}. It was a dark, stormy night; the rain fell. " * 200) for n in range(4)]
TOKENIZER = train_tokenizer([book.text for book in BOOKS] + [p.question + p.solution for p in PROBLEMS], vocab_size=500)
EARLY = Phase(steps=32, context=128, families="easy", most_steps=2)
LATE = Phase(steps=8, context=512, learn="answers")
CONFIG = MixtureConfig(step_tokens=1024, phases=(EARLY, LATE))
ONLY_PROBLEMS = {"problems": 1.0, "books": 0.0, "gsm8k": 0.0, "tools": 0.0}


def mixture(*phases: Phase) -> Mixture:
    config = replace(CONFIG, phases=phases) if phases else CONFIG
    return Mixture(config, TOKENIZER, books=BOOKS, gsm8k=PROBLEMS)


def test_a_step_is_a_function_of_its_number() -> None:
    first, second = mixture(), mixture()
    first.rows(3)
    assert first.rows(7) == second.rows(7)
    assert first.rows(7) != first.rows(8)


def test_rows_written_as_text_are_read_back_token_by_token() -> None:
    reading = mixture(Phase(steps=4, context=512))
    rows = [row for step in range(4) for row in reading.rows(step)[0]]
    assert [TOKENIZER(text)["input_ids"] for text in reading.texts()] == rows


def test_rows_grow_with_the_phases_and_hold_the_tokens_of_a_step() -> None:
    reading = mixture()
    for step, length in ((0, 128), (31, 128), (32, 512), (39, 512)):
        ids, labels = reading.rows(step)
        assert [len(row) for row in ids] == [length] * (1024 // length)
        assert [len(row) for row in labels] == [len(row) for row in ids]


def test_sources_come_in_the_shares_of_the_phase() -> None:
    reading = mixture()
    kinds = Counter(reading._kind(EARLY, (point + 0.5) / 1000) for point in range(1000))
    assert kinds == {"problems": 560, "books": 300, "gsm8k": 80, "tools": 60}


def test_a_phase_of_answers_teaches_answers_only() -> None:
    reading = mixture(replace(EARLY, **ONLY_PROBLEMS), replace(LATE, **ONLY_PROBLEMS))
    early, late = reading.rows(0), reading.rows(39)
    assert early[0] == early[1]
    ids, labels = late[0][0], late[1][0]
    learnt = TOKENIZER.decode([token for token, label in zip(ids, labels, strict=True) if label != IGNORE])
    ignored = TOKENIZER.decode([token for token, label in zip(ids, labels, strict=True) if label == IGNORE])
    assert "Step 1:" in learnt
    assert "Step 1:" not in ignored
    assert "?" in ignored


def test_a_phase_caps_the_steps_of_its_problems() -> None:
    reading = mixture(replace(EARLY, **ONLY_PROBLEMS), replace(LATE, **ONLY_PROBLEMS))
    early = " ".join(TOKENIZER.decode(row) for step in range(4) for row in reading.rows(step)[0])
    late = " ".join(TOKENIZER.decode(row) for step in range(32, 40) for row in reading.rows(step)[0])
    assert "Step 3:" not in early
    assert "Step 5:" in late


def test_sums_are_bare_true_and_give_nothing_away() -> None:
    reading = mixture(
        replace(EARLY, context=256, sums=1.0, problems=0.0, books=0.0, gsm8k=0.0, tools=0.0, learn="answers")
    )
    ids, labels = (rows[0] for rows in reading.rows(0))
    learnt = TOKENIZER.decode([token for token, label in zip(ids, labels, strict=True) if label != IGNORE])
    sums = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)(?=\n|<)", learnt)
    assert len(sums) >= 5
    for left, sign, right, value in sums:
        assert calculate(int(left), sign, int(right)) == int(value)
    question = TOKENIZER.decode([token for token, label in zip(ids, labels, strict=True) if label == IGNORE])
    assert "=" not in question


def test_a_chat_cut_by_the_row_still_counts() -> None:
    assert list(chat_spans([7, 1, 2, 5, 7, 3, 3], assistant=7, end=2)) == [(1, 3), (5, 7)]


def test_shares_must_sum_to_one() -> None:
    with pytest.raises(ConfigError, match="sum to 1"):
        Phase(steps=1, books=0.9)
