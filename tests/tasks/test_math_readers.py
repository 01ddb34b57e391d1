"""GSM8K and MATH from small files: fields, formats, and what is said about bad lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenon.core.errors import DataError
from tenon.tasks.math import read_gsm8k, read_math

GSM8K = {
    "question": "How many clips did Natalia sell?",
    "answer": "She sold 48/2 = <<48/2=24>>24 in May.\n\nShe sold 48+24 = <<48+24=72>>72 in all.\n#### 1,072",
}
MATH = {
    "problem": "What is $x$?",
    "level": "Level 3",
    "type": "Algebra",
    "solution": "First \\boxed{2}.\nThen $x = \\boxed{\\frac{1}{2}}$.",
}


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_gsm8k_becomes_steps_and_a_bare_answer(tmp_path: Path) -> None:
    (problem,) = read_gsm8k(write(tmp_path / "train.jsonl", GSM8K, ""))
    assert problem.solution == "Step 1: She sold 48/2 = 24 in May.\nStep 2: She sold 48+24 = 72 in all.\nAnswer: 1072"
    assert (problem.answer, problem.num_steps, problem.family) == ("1072", 2, "gsm8k")
    assert problem.key == "train/1"
    assert [message["role"] for message in problem.messages()] == ["user", "assistant"]


def test_math_keeps_its_solution_and_answers_with_the_last_box(tmp_path: Path) -> None:
    (problem,) = read_math(write(tmp_path / "math.jsonl", MATH))
    assert (problem.answer, problem.level, problem.family) == (r"\frac{1}{2}", "Level 3", "Algebra")
    assert problem.solution == MATH["solution"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"question": "?", "prompt": "x"}, r"bad.jsonl line 2 has no 'answer' \(keys: question, prompt\)"),
        ({"question": "?", "answer": 7}, "bad.jsonl line 2 has 'answer' of type int; it must be text"),
        ({"question": "?", "answer": "It is 7."}, "bad.jsonl line 2 has no final answer after '####'"),
        ("{not json", "bad.jsonl line 2 is not JSON"),
        ("[1]", "bad.jsonl line 2 is a list; each line must be one object"),
    ],
)
def test_a_bad_line_of_gsm8k_is_named(tmp_path: Path, line: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_gsm8k(write(tmp_path / "bad.jsonl", GSM8K, line)))


def test_a_solution_without_a_box_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"math.jsonl line 1 has no closed \\boxed"):
        list(read_math(write(tmp_path / "math.jsonl", {**MATH, "solution": "\\boxed{2"})))


@pytest.mark.parametrize("source", [Path("absent"), "absent.jsonl"])
def test_a_missing_file_is_not_taken_for_a_data_set(source: str | Path) -> None:
    with pytest.raises(DataError, match="is not a file; give a JSONL file"):
        next(read_gsm8k(source))
