"""Files of others are read with patience, and refused with the line that is wrong (section 9)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tenon.core.errors import DataError
from tenon.methods.rise.rows import (
    SCHEMA,
    Edit,
    Pair,
    Question,
    Solution,
    read_edits,
    read_pairs,
    read_questions,
    read_solutions,
)


def written(path: Path, *rows: Any) -> Path:
    file = path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_questions_have_several_forms(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        {"id": "a", "prompt": "How many?", "answer": 17, "dataset": "d", "more": 1},
        {"question": "How many more?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"},
        {"problem": "How much?", "solution": r"It is $\boxed{\frac{1}{2}}$."},
        {"id": 0, "prompt": "How many in all?", "answer": "Step 1: 3.\nAnswer: 3"},
    )
    assert read_questions(file) == [
        Question(id="a", prompt="How many?", answer="17", dataset="d"),
        Question(id="rows/2", prompt="How many more?", answer="7", dataset="rows"),
        Question(id="rows/3", prompt="How much?", answer=r"\frac{1}{2}", dataset="rows"),
        Question(id="0", prompt="How many in all?", answer="3", dataset="rows"),
    ]


@pytest.mark.parametrize("answer", [None, "", "  ", [], True, "so it is\nseven"])
def test_a_gold_answer_that_is_none_is_refused_with_its_line(tmp_path: Path, answer: Any) -> None:
    file = written(tmp_path, {"prompt": "a", "answer": "1"}, {"prompt": "b", "answer": answer})
    with pytest.raises(DataError, match=r"line 2 has the answer .* no gold answer"):
        read_questions(file)


@pytest.mark.parametrize(
    "answer",
    [
        "I do not know at all, sorry",
        "no idea really",
        "so it is",
        "well - I do not know",
        "about 3, but I am not sure",
        "#### sorry, I cannot say",
        "1" * 501,
    ],
)
def test_prose_is_no_gold_answer(tmp_path: Path, answer: str) -> None:
    """It would make every solution a false wrong one."""
    with pytest.raises(DataError, match=r"line 1 has the answer .* no gold answer"):
        read_questions(written(tmp_path, {"prompt": "a", "answer": answer}))


@pytest.mark.parametrize(
    "answer",
    ["-1,250.5", "$18.90", "3/4", "12%", r"\frac{1}{2}", r"(3, \frac{\pi}{2})", r"\text{I and II only}", "x^2 - 3x + 1",
     "[2,\u221e)", "B", "(A)", "yes", "Evelyn", "a, b", "5 square inches", "3 hours 20 minutes", r"10\text{ cm}",
     "2x + y = 3", r"30^\circ", r"\sqrt{2} \text{ units}", r"x \in [-2,7]", "1,2,3", "2 sin x + 3 cos x - log y"],
)  # fmt: skip
def test_mathematics_and_labels_are_gold_answers(tmp_path: Path, answer: str) -> None:
    assert read_questions(written(tmp_path, {"prompt": "a", "answer": answer}))[0].answer == answer


def test_a_question_with_two_answers_is_refused_with_both_lines(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "answer": "17"}, {"prompt": "b", "answer": "1"}, {"prompt": "a ", "answer": "17.0"}]
    assert len(read_questions(written(tmp_path, *rows))) == 3
    with pytest.raises(DataError, match="line 1 and line 4, with the answers '17' and '18'"):
        read_questions(written(tmp_path, *rows, {"prompt": "a", "answer": "18"}))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"answer": "1"}], r"line 1 has no question \(keys: answer\)"),
        ([{"prompt": " ", "answer": "1"}], "line 1 has no question"),
        ([{"id": "a", "prompt": "x", "answer": "1"}] * 2, "line 2 repeats the id 'a'"),
        ([], "has no questions"),
    ],
)
def test_questions_that_are_none_are_refused(tmp_path: Path, rows: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_questions(written(tmp_path, *rows))


@pytest.mark.parametrize("read", [read_questions, read_solutions, read_edits, read_pairs])
def test_files_that_are_none_are_refused(tmp_path: Path, read: Any) -> None:
    with pytest.raises(DataError, match="is no file"):
        read(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "\xe9"}\n')
    with pytest.raises(DataError, match="no UTF-8 text"):
        read(tmp_path / "latin.jsonl")
    (tmp_path / "text.jsonl").write_text("hello\n")
    with pytest.raises(DataError, match="line 1 is not JSON"):
        read(tmp_path / "text.jsonl")


def test_rows_of_another_stage_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, {"key": "a", "text": "x"})
    for read in (read_solutions, read_edits):
        with pytest.raises(DataError, match=r"line 1 has no id, .*another stage"):
            read(file)


def test_solutions_and_edits_survive_their_files(tmp_path: Path) -> None:
    solution = Solution(
        key="q/0", id="q", sample=0, text="é\u2028\r\n", correct=None, found=None, finish_reason="stop", writer="w"
    )
    assert read_solutions(written(tmp_path, asdict(solution))) == [solution]
    edit = Edit(
        key="q/0/1", id="q", sample=0, step=1, last_step=True, prefix="p", chosen="c", offset=None, window="",
        kind=None, answer=None, rejected=None, distance=None, outcome="blank step", writer="",
    )  # fmt: skip
    assert read_edits(written(tmp_path, asdict(edit))) == [edit]


FULL = {"prompt": "x", "chosen": "good", "rejected": "bad"}


def test_pairs_of_step_dpo_are_accepted(tmp_path: Path) -> None:
    """Rows without `pair_kind`: with no first steps a whole solution is compared."""
    file = written(
        tmp_path, {**FULL, "initial_reason_steps": ""}, {**FULL, "initial_reason_steps": "Step 1: a\nStep 2:"}, FULL
    )
    kinds = [(pair.pair_kind, pair.is_terminal) for pair in read_pairs(file)]
    assert kinds == [("full", True), ("edit", False), ("full", True)]


def test_pairs_survive_their_record_and_unknown_fields(tmp_path: Path) -> None:
    # a first step may begin the answer, with nothing in front of it: pair_kind says what it is
    pair = Pair(
        prompt="x", initial_reason_steps="", chosen="a", rejected="b", step=1, last_step=False, pair_kind="edit",
        edit_type="value", edit_distance=1, source_id="q", sample_index=0,
    )  # fmt: skip
    assert read_pairs(written(tmp_path, {**pair.row(), "theirs": 1})) == [pair]
    assert pair.row()["schema"] == SCHEMA
    assert not pair.is_terminal


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chosen": None}, "line 1 has 'chosen' of type NoneType"),
        ({"rejected": ["a"]}, "line 1 has 'rejected' of type list"),
        ({"schema": SCHEMA + 1}, "newer than"),
        ({"pair_kind": "edited"}, "line 1 has the pair_kind 'edited'; give 'full'"),
    ],
)
def test_pairs_that_are_none_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_pairs(written(tmp_path, {**FULL, **changes}))
