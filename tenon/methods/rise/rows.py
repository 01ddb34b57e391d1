"""What passes between the stages: questions, solutions, edits and pairs, one JSON object a line.

questions.jsonl   {"id", "prompt", "answer", ...}             what is asked, with the gold answer
samples.jsonl     {"key": "q7/0", "id", "sample", "text", "correct", "found", "finish_reason", "writer"}
choices.jsonl     one question a line: its right and its wrong solution, or why it has none
edits.jsonl       one attempt a line: the step, what the editor made of it, and "kept" or why it was dropped
pairs.jsonl       the interchange record of Step-DPO and of RISE's data files, with our fields beside it
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tenon.core.errors import DataError
from tenon.core.files import read_records

__all__ = [
    "SCHEMA",
    "Choice",
    "Edit",
    "Pair",
    "Question",
    "Solution",
    "read_edits",
    "read_pairs",
    "read_questions",
    "read_solutions",
]

SCHEMA = 1
"""Version of the pair record."""

LONGEST_ANSWER = 500
"""A longer gold answer is none: the checker finds it equal to nothing else [characters]."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with its gold answer."""

    id: str
    """Names it in all later rows."""
    prompt: str
    """The question itself, without instruction or chat markup."""
    answer: str
    """Gold final answer."""
    dataset: str = ""
    """Where it comes from."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """One sampled solution, graded."""

    key: str
    """`<question id>/<sample>`."""
    id: str
    """Of the question."""
    sample: int
    """0 to K - 1."""
    text: str
    """The whole solution: prefill and continuation."""
    correct: bool | None
    """Whether the final answer is the gold one; None: the checker ran out of time or failed, so nobody knows."""
    found: str | None
    """The final answer that was found; None: none is marked."""
    finish_reason: str
    """`stop`: the model ended it; `length`: it was cut."""
    writer: str
    """Model that wrote it."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is used of a question's solutions."""

    key: str
    """Id of the question."""
    outcome: str
    """`used`, or why it is not."""
    chosen: int | None = None
    """Sample that is the right solution, y+, whose steps are edited."""
    rejected: int | None = None
    """Sample that is the wrong solution, y-."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One attempt to inject an error into a step."""

    key: str
    """`<question id>/<sample>/<step>`."""
    id: str
    """Of the question."""
    sample: int
    """Which of its solutions is edited."""
    step: int
    """Number of the step, from 1."""
    last_step: bool
    """Whether the solution ends with it."""
    prefix: str
    """Beginning of the solution, up to the opening of the step."""
    chosen: str
    """The step."""
    offset: int | None
    """Where in the step its shown end begins [characters]; None: nothing but blanks."""
    window: str
    """What was shown and edited."""
    kind: str | None
    """Error that was asked for, one of `ERROR_KINDS` or `random`; None: none fits."""
    answer: str | None
    """What the editor made of the window; None: nothing."""
    rejected: str | None
    """The step with the error."""
    distance: int | None
    """Levenshtein distance of the two steps, in the unit of the filter; None: dropped before it was measured."""
    outcome: str
    """`kept`, or why it was dropped."""
    writer: str
    """Who edited."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two continuations of one text, the first of which is to become likelier than the second."""

    prompt: str
    """The question itself, without instruction or chat markup."""
    initial_reason_steps: str
    """Beginning of the answer that both go on from, up to the opening of the step; empty in a full pair."""
    chosen: str
    """The right step, or the whole right solution."""
    rejected: str
    """The step with an error, or the whole wrong solution."""
    answer: str = ""
    """Gold final answer."""
    dataset: str = ""
    """Where the question comes from."""
    step: int | None = None
    """Number of the step, from 1; None in a full pair."""
    last_step: bool | None = None
    """Whether the solution ends with this step; None in a full pair, which always ends."""
    pair_kind: Literal["full", "edit"] = "full"
    """What is compared."""
    edit_type: str | None = None
    """Error that was injected, one of `ERROR_KINDS` or `random`."""
    edit_distance: int | None = None
    """Levenshtein distance of the two steps, in the unit of the filter."""
    source_id: str = ""
    """Id of the question."""
    sample_index: int | None = None
    """Which of its solutions is the chosen one, or was edited."""

    @property
    def is_terminal(self) -> bool:
        """Whether both sides end the answer, so that EOS may follow."""
        return self.pair_kind == "full" or bool(self.last_step)

    @property
    def key(self) -> str:
        """Name of the pair: question, kind and step."""
        return f"{self.source_id}/{self.pair_kind}" + ("" if self.step is None else f"/{self.step}")

    def row(self) -> dict[str, Any]:
        """Give the interchange record."""
        return {"key": self.key, **asdict(self), "schema": SCHEMA}

    @classmethod
    def from_row(cls, row: Mapping[str, Any], where: str = "A pair") -> Pair:
        """Read a record, also an old one of Step-DPO without `pair_kind`: with no first steps it is a full pair.

        Raises:
            DataError: A text is missing or is none, the kind is unknown, or the record has a newer schema.
        """
        for name in ("prompt", "chosen", "rejected"):
            if not isinstance(row.get(name), str):
                raise DataError(
                    f"{where} has {name!r} of type {type(row.get(name)).__name__}; a pair needs the texts prompt, "
                    "chosen and rejected, and initial_reason_steps where it compares steps."
                )
        if int(row.get("schema") or SCHEMA) > SCHEMA:
            raise DataError(f"{where} has schema {row['schema']}, newer than {SCHEMA}; update Tenon.")
        steps = row.get("initial_reason_steps") or ""
        known = {name: row[name] for name in cls.__dataclass_fields__ if row.get(name) is not None}
        known |= {"initial_reason_steps": steps, "pair_kind": row.get("pair_kind") or ("edit" if steps else "full")}
        if known["pair_kind"] not in ("full", "edit"):
            raise DataError(
                f"{where} has the pair_kind {known['pair_kind']!r}; give 'full' for whole solutions, 'edit' for steps, "
                "or leave it out: then a row with initial_reason_steps compares steps."
            )
        known["source_id"] = str(row.get("source_id") or where)
        return cls(**known)


def read_questions(path: Path) -> list[Question]:
    """Read questions of a JSONL file.

    `prompt` may be called `question` or `problem`; `answer` may be a worked one that marks its end (`#### 7`). Without
    an `id` a question is named by the file and its line.

    Raises:
        DataError: There is no such file, a line has no question or no answer, two have one id, or two that ask the
            same have different answers.
    """
    found: dict[str, Question] = {}
    golds: dict[str, tuple[int, str]] = {}
    for number, row in _records(path):
        where = f"{path} line {number}"
        prompt = next((row[name] for name in ("prompt", "question", "problem") if isinstance(row.get(name), str)), "")
        if not prompt.strip():
            raise DataError(f"{where} has no question (keys: {', '.join(row)}); give it as text under 'prompt'.")
        answer = _gold(row, where)
        first, gold = golds.setdefault(prompt.strip(), (number, answer))
        if not _is_same(gold, answer):
            raise DataError(
                f"{path} asks the same in line {first} and line {number}, with the answers {gold!r} and {answer!r}; "
                "one is wrong: leave it out."
            )
        given = (row[name] for name in ("id", "key") if row.get(name) not in (None, ""))  # 0 is a name
        name = str(next(given, f"{path.stem}/{number}"))
        if name in found:
            raise DataError(f"{where} repeats the id {name!r}; give every question its own.")
        found[name] = Question(id=name, prompt=prompt, answer=answer, dataset=str(row.get("dataset") or path.stem))
    if not found:
        raise DataError(f"{path} has no questions; give one object with prompt and answer a line.")
    return list(found.values())


def _is_same(gold: str, other: str) -> bool:
    from tenon.tasks.math.answers import same_answer

    return gold == other or same_answer(gold, other)


_MATHEMATICS = re.compile(
    r"\\(?:text|textbf|mathrm|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+|\b(?:sin|cos|tan|log|ln|exp|sqrt|pi)\b"
)
_WORD = re.compile(r"[^\W\d_]{2,}")
_FORMULA = re.compile(r"[\d\\=+*/^<>√π∞-]")


def _is_answer(text: str) -> bool:
    r"""Whether a text can be a gold answer: mathematics, with a unit of up to two words, or a label of one word.

    >>> [_is_answer(text) for text in ("17", r"\frac{1}{2}", "5 square inches", "x^2 - y", "(B)", "Evelyn")]
    [True, True, True, True, True, True]
    >>> _is_answer("I do not know at all, sorry"), _is_answer("about 3, but I am not sure")
    (False, False)
    """
    if len(text.splitlines()) != 1 or len(text) > LONGEST_ANSWER:
        return False
    return len(_WORD.findall(_MATHEMATICS.sub(" ", text))) <= (2 if _FORMULA.search(text) else 1)


def _gold(row: Mapping[str, Any], where: str) -> str:
    """The gold answer of a row; a missing one, or prose, would make every solution a false wrong one."""
    from tenon.tasks.math.answers import extract_answer

    value = row.get("answer", row.get("solution"))
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    answer = (extract_answer(text) or text) if text else ""
    if not _is_answer(answer):
        raise DataError(
            f"{where} has the answer {value!r}, which is no gold answer; give a number, an expression or a label of "
            "one word under 'answer', or a worked solution that ends in '#### 7', 'Answer: 7' or \\boxed{7}."
        )
    return answer


def read_solutions(path: Path) -> list[Solution]:
    """Read `samples.jsonl`.

    Raises:
        DataError: There is no such file, or a line is no solution.
    """
    return [_made(Solution, row, f"{path} line {number}") for number, row in _records(path)]


def read_edits(path: Path) -> list[Edit]:
    """Read `edits.jsonl`.

    Raises:
        DataError: There is no such file, or a line is no edit.
    """
    return [_made(Edit, row, f"{path} line {number}") for number, row in _records(path)]


def read_pairs(path: Path) -> list[Pair]:
    """Read `pairs.jsonl`, ours or Step-DPO's.

    Raises:
        DataError: There is no such file, it is empty, or a line is no pair.
    """
    found = [Pair.from_row(row, f"{path} line {number}") for number, row in _records(path)]
    if not found:
        raise DataError(f"{path} is empty; give a file with a pair a line, as `tenon rise pairs` writes it.")
    return found


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise DataError(f"{path} is no file; give a file of JSON lines.")
    return iter(list(_decoded(path)))


def _decoded(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    try:
        yield from read_records(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text ({error}); give a file of JSON lines.") from error


def _made(cls: Any, row: Mapping[str, Any], where: str) -> Any:
    missing = [name for name in cls.__dataclass_fields__ if name not in row]
    if missing:
        raise DataError(f"{where} has no {', '.join(missing)} (keys: {', '.join(row)}); was it made by another stage?")
    return cls(**{name: row[name] for name in cls.__dataclass_fields__})
