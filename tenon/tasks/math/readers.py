r"""Read GSM8K and MATH, from a local JSONL file or from the hub.

One row of GSM8K, as published and as read (calculator notes dropped, the outer format that of generated problems):

    {"question": "... How many clips ...?", "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n#### 24"}

    Step 1: Natalia sold 48/2 = 24 clips in May.
    Answer: 24
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenon.core.errors import DataError
from tenon.tasks.math.answers import extract_answer

__all__ = ["WrittenProblem", "read_gsm8k", "read_math"]

_CALCULATOR_NOTE = re.compile(r"<<[^<>]*>>")


@dataclass(frozen=True, kw_only=True)
class WrittenProblem:
    """A problem that a person wrote. It has the names of a generated `Problem`, but its steps are free text."""

    question: str
    solution: str
    answer: str
    """The bare reference answer: a number in GSM8K, often LaTeX in MATH."""
    key: str
    """File or data set name with the line or row number."""
    family: str
    """`gsm8k`, or the subject in MATH."""
    level: str
    """The data set's own word; empty in GSM8K."""
    num_steps: int
    """Lines of the solution without the answer."""

    def messages(self) -> list[dict[str, str]]:
        """The problem as one chat turn: the user asks, the assistant solves."""
        return [{"role": "user", "content": self.question}, {"role": "assistant", "content": self.solution}]


def read_gsm8k(source: str | Path = "openai/gsm8k", *, split: str = "train") -> Iterator[WrittenProblem]:
    """Read GSM8K (arXiv 2110.14168).

    Args:
        source: A local JSONL file with `question` and `answer`, or a data set on the hub.
        split: Split of the hub data set; a local file is read whole.

    Raises:
        DataError: no such file, or a row without the fields or without `####`.
    """
    for where, key, row in _rows(source, split, config="main"):
        question, worked = _text(row, "question", where), _text(row, "answer", where)
        body, mark, last = _CALCULATOR_NOTE.sub("", worked).rpartition("####")
        answer = last.strip().replace(",", "")
        if not mark or not answer:
            raise DataError(f"{where} has no final answer after '####' in 'answer'; is this GSM8K?")
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        solution = "\n".join([*(f"Step {n}: {line}" for n, line in enumerate(lines, start=1)), f"Answer: {answer}"])
        yield WrittenProblem(
            question=question, solution=solution, answer=answer, key=key, family="gsm8k", level="", num_steps=len(lines)
        )


def read_math(
    source: str | Path = "DigitalLearningGmbH/MATH-lighteval", *, split: str = "train"
) -> Iterator[WrittenProblem]:
    r"""Read MATH (arXiv 2103.03874). The solution stays as published; the answer is its last `\boxed{...}`.

    Args:
        source: A local JSONL file with `problem`, `solution` and possibly `type` and `level`, or a data set on the hub.
        split: Split of the hub data set; a local file is read whole.

    Raises:
        DataError: no such file, or a row without the fields or without a box.
    """
    for where, key, row in _rows(source, split, config=None):
        question, solution = _text(row, "problem", where), _text(row, "solution", where)
        answer = extract_answer(solution) if "\\boxed" in solution else None
        if answer is None:
            raise DataError(f"{where} has no closed \\boxed{{...}} in 'solution'; is this MATH?")
        yield WrittenProblem(
            question=question,
            solution=solution,
            answer=answer,
            key=key,
            family=str(row.get("type", "")),
            level=str(row.get("level", "")),
            num_steps=len([line for line in solution.splitlines() if line.strip()]),
        )


def _rows(source: str | Path, split: str, config: str | None) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield (place for messages, key, row)."""
    path = Path(source)
    if path.is_file():
        yield from _file_rows(path)
        return
    if isinstance(source, Path) or path.suffix in (".jsonl", ".json") or path.is_dir():
        raise DataError(f"{source} is not a file; give a JSONL file, or the name of a data set on the hub.")
    from datasets import load_dataset

    try:
        rows = load_dataset(source, config, split=split)
    except Exception as error:  # the hub client has no error family of its own
        raise DataError(
            f"{source!r} is no file here, and the hub gave no data set of that name ({type(error).__name__}: {error}). "
            "Check the path, or the name and the connection."
        ) from error
    for number, row in enumerate(rows):
        yield f"{source} {split} row {number}", f"{source}/{split}/{number}", row


def _file_rows(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    where = f"{path.name} line {number}"
                    yield where, f"{path.stem}/{number}", _parsed(line, where)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} can not be read as UTF-8 text ({error}); is it a JSONL file?") from error


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON ({error.msg}); each line must be one object.") from error
    if not isinstance(row, dict):
        raise DataError(f"{where} is a {type(row).__name__}; each line must be one object.")
    return row


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    if name not in row:
        raise DataError(f"{where} has no {name!r} (keys: {', '.join(row)}).")
    if not isinstance(row[name], str):
        raise DataError(f"{where} has {name!r} of type {type(row[name]).__name__}; it must be text.")
    return str(row[name])
