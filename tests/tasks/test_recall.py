"""Segment recall: every question has one answer, at a known place, and nothing but the pair gives it away."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.tasks.recall import BOS, PAD, QUERY, SEP, RecallRow, RecallTask, draw_row, marks

TASK = RecallTask()


def drawn(count: int = 60, **options: int) -> list[RecallRow]:
    return [draw_row(TASK, 0, "test", index, **options) for index in range(count)]


def is_key(token: int) -> bool:
    return TASK.key(0) <= token < TASK.value(0)


def is_value(token: int) -> bool:
    return TASK.value(0) <= token < TASK.filler(0)


def test_the_ids_do_not_overlap_and_fill_the_vocabulary() -> None:
    ids = [PAD, BOS, SEP, QUERY]
    ids += [TASK.key(index) for index in range(TASK.keys)] + [TASK.value(index) for index in range(TASK.values)]
    ids += [TASK.filler(index) for index in range(TASK.fillers)]
    assert ids == list(range(TASK.vocab_size))


@pytest.mark.parametrize("questions", [1, TASK.segments])
def test_every_question_has_one_answer_where_it_says(questions: int) -> None:
    for row in drawn(questions=questions):
        asked = set()
        text = row.ids[: -3 * questions]
        for question in row.questions:
            query, key, value = row.ids[question.place - 2 : question.place + 1]
            assert (query, value) == (QUERY, question.answer)
            (place,) = [index for index, token in enumerate(text) if token == key]  # the key occurs once
            assert question.source == place + 1
            assert [index for index, token in enumerate(text) if token == value] == [place + 1]
            assert row.ids[question.separator] == SEP
            assert SEP not in row.ids[question.source : question.separator]
            assert question.distance == question.place - 1 - question.source
            assert text[question.separator :].count(SEP) == question.back
            asked.add(key)
        assert len(asked) == questions
        assert len(row.ids) <= TASK.most_tokens


def test_segments_are_as_long_as_they_should_be() -> None:
    lengths: Counter[int] = Counter()
    for row in drawn(300):
        ends = [index for index, token in enumerate(row.ids) if token == SEP]
        assert len(ends) == TASK.segments + 1
        for first, last in itertools.pairwise(ends):
            assert [is_key(token) for token in row.ids[first + 1 : last]].index(True) == 0
            assert is_value(row.ids[first + 2])
            lengths[last - first] += 1
    assert set(lengths) == {TASK.min_fill + 3, TASK.min_fill + 4, TASK.max_fill + 3}
    mean = sum(length * count for length, count in lengths.items()) / lengths.total()
    assert mean == pytest.approx(TASK.mean_segment, abs=0.1)


def test_the_first_tokens_hold_no_pair() -> None:
    for row in drawn():
        assert row.ids[0] == BOS
        assert row.ids[TASK.lead + 1] == SEP
        assert not [token for token in row.ids[: TASK.lead + 2] if is_key(token) or is_value(token)]


def test_neither_the_place_nor_the_key_gives_the_answer_away() -> None:
    """Over many rows: each value answers about as often, whatever the key, and asked pairs stand everywhere."""
    rows = drawn(4000)
    answers = Counter(row.questions[0].answer for row in rows)
    assert set(answers) == {TASK.value(index) for index in range(TASK.values)}
    assert max(answers.values()) < 1.3 * len(rows) / TASK.values
    assert set(Counter(row.questions[0].back for row in rows)) == set(range(1, TASK.segments + 1))
    by_key = Counter((row.ids[-2], row.ids[-1]) for row in rows)
    assert max(by_key.values()) < 3 * len(rows) / (TASK.keys * TASK.values)


def test_back_chooses_the_pair() -> None:
    for back in (1, 3, TASK.segments):
        assert {row.questions[0].back for row in drawn(20, back=back)} == {back}
    # Where back was not given, the other draws are the same: the text does not depend on what is asked.
    assert draw_row(TASK, 0, 1, back=2).ids[:-3] == draw_row(TASK, 0, 1).ids[:-3]


def test_a_row_is_a_function_of_its_name() -> None:
    assert draw_row(TASK, 0, "test", 1) == draw_row(TASK, 0, "test", 1)
    others = [draw_row(TASK, 0, "test", 2), draw_row(TASK, 0, "train", 1), draw_row(TASK, 1, "test", 1)]
    assert draw_row(TASK, 0, "test", 1) not in others


def test_the_scorer_asks_for_the_answer_of_the_last_question() -> None:
    rows = drawn(4, questions=2)
    right = [row.ids[-1] for row in rows]
    assert marks(rows, right) == [True] * 4
    assert marks(rows, [right[0], SEP, right[2], rows[3].questions[0].answer]) == [True, False, True, False]
    with pytest.raises(DataError, match="4 rows and 3 predictions"):
        marks(rows, right[:3])


def test_refusals() -> None:
    for options in ({"segments": 0}, {"segments": 99}, {"questions": 9}, {"segments": 2, "back": 3}, {"back": 0}):
        with pytest.raises(DataError, match="the task has 1 to 8 segments"):
            draw_row(TASK, 0, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="keys is 3"):
        replace(TASK, keys=3)
    with pytest.raises(ConfigError, match="min_fill"):
        replace(TASK, min_fill=5)
