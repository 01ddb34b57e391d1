"""Segment recall: pairs of a key and a value, each in a segment that a separator ends; what value belonged to this key?

    BOS f f SEP   k7 v3 f f f SEP   k1 v9 f f f f SEP   ...   QUERY k1 -> v9

Keys are distinct within a row, and so are values, so every question has one answer. The first segment holds fillers
alone: what sees the first tokens of a row sees no pair. Who knows nothing is right once in `values` guesses; who knows
which values occurred, but not beside which keys, once in `segments`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tenon.core.errors import DataError, require
from tenon.core.seeds import derive

__all__ = ["BOS", "PAD", "QUERY", "SEP", "Question", "RecallRow", "RecallTask", "draw_row", "marks"]

PAD, BOS, SEP, QUERY = range(4)
"""The ids of the marks; keys, values and fillers follow in this order."""


@dataclass(frozen=True, kw_only=True)
class RecallTask:
    """How large the vocabulary is, and how long the rows."""

    keys: int = 10
    """Different keys."""
    values: int = 16
    """Different values."""
    fillers: int = 8
    """Different fillers."""
    segments: int = 8
    """Segments with a pair, at most."""
    min_fill: int = 2
    """Fillers between a pair and its separator, at least [tokens]."""
    max_fill: int = 4
    """Fillers between a pair and its separator, at most [tokens]."""
    lead: int = 3
    """Fillers of the first segment, which holds no pair [tokens]."""

    def __post_init__(self) -> None:
        for name in ("fillers", "segments", "lead"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        for name in ("keys", "values"):
            require(getattr(self, name) >= self.segments, self, name, f"segments ({self.segments}) or more")
        require(0 <= self.min_fill <= self.max_fill, self, "min_fill", f"between 0 and max_fill ({self.max_fill})")

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return QUERY + 1 + self.keys + self.values + self.fillers

    @property
    def most_tokens(self) -> int:
        """Tokens of the longest row that asks for every pair."""
        return 2 + self.lead + (self.max_fill + 3) * self.segments + 3 * self.segments

    @property
    def mean_segment(self) -> float:
        """Mean length of a segment with a pair, its separator included [tokens]."""
        return 3 + (self.min_fill + self.max_fill) / 2

    def key(self, index: int) -> int:
        """Give the id of a key."""
        return QUERY + 1 + index

    def value(self, index: int) -> int:
        """Give the id of a value."""
        return QUERY + 1 + self.keys + index

    def filler(self, index: int) -> int:
        """Give the id of a filler."""
        return QUERY + 1 + self.keys + self.values + index


@dataclass(frozen=True)
class Question:
    """One question of a row, and where its answer stood."""

    place: int
    """Index of the answer, the token after the key that is asked for."""
    answer: int
    """Its id."""
    source: int
    """Index of the same value in the text."""
    separator: int
    """Index of the separator that ends the source's segment."""
    back: int
    """How many segments back that is; 1 is the last one before the questions."""

    @property
    def distance(self) -> int:
        """How far the answer's source is from the token that must be continued with the answer [tokens]."""
        return self.place - 1 - self.source


@dataclass(frozen=True)
class RecallRow:
    """Token ids, the answers among them, and the questions in their order."""

    ids: tuple[int, ...]
    questions: tuple[Question, ...]


def draw_row(
    task: RecallTask,
    seed: int,
    *labels: object,
    segments: int | None = None,
    questions: int = 1,
    back: int | None = None,
) -> RecallRow:
    """Draw the row that belongs to `labels` under `seed`; it ends with the answer of its last question.

    Args:
        task: Vocabulary and lengths.
        seed: The run's seed.
        labels: Name the row: split, index and so on.
        segments: Segments with a pair; None takes the most.
        questions: Questions at the end, about different pairs; at most one per segment.
        back: The pair that the first question asks for, counted from the end; None draws it.

    Raises:
        DataError: There is no such segment, or there are fewer segments than questions.

    >>> row = draw_row(RecallTask(), 0, "test", 7, back=8)
    >>> row.ids[row.questions[0].source] == row.ids[row.questions[0].place] == row.ids[-1]
    True
    """
    count = task.segments if segments is None else segments
    if (
        not 1 <= count <= task.segments
        or not 1 <= questions <= count
        or not 1 <= (1 if back is None else back) <= count
    ):
        raise DataError(
            f"segments={count}, questions={questions}, back={back}: the task has 1 to {task.segments} segments, and a "
            "row at most one question per segment, each about one of them."
        )
    rng = random.Random(derive(seed, "recall", *labels))

    def fill(length: int) -> list[int]:
        return [task.filler(rng.randrange(task.fillers)) for _ in range(length)]

    keys, values = rng.sample(range(task.keys), count), rng.sample(range(task.values), count)
    ids, spans = [BOS, *fill(task.lead), SEP], []
    for key, value in zip(keys, values, strict=True):
        source = len(ids) + 1
        ids += [task.key(key), task.value(value), *fill(rng.randint(task.min_fill, task.max_fill)), SEP]
        spans.append((source, len(ids) - 1))
    asked = rng.sample(range(count), count)
    if back is not None:
        asked.remove(count - back)
        asked.insert(0, count - back)
    found = []
    for index in asked[:questions]:
        ids += [QUERY, task.key(keys[index]), task.value(values[index])]
        found.append(Question(len(ids) - 1, ids[-1], *spans[index], count - index))
    return RecallRow(tuple(ids), tuple(found))


def marks(rows: Sequence[RecallRow], predicted: Sequence[int]) -> list[bool]:
    """Say for each row whether its last question was answered right.

    Args:
        rows: What was asked.
        predicted: The id that was predicted after each row's last key.

    Raises:
        DataError: There are not as many predictions as rows.
    """
    if len(rows) != len(predicted):
        raise DataError(f"There are {len(rows)} rows and {len(predicted)} predictions; give one for each.")
    return [row.questions[-1].answer == found for row, found in zip(rows, predicted, strict=True)]
