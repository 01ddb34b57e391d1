"""What a puzzle is, how an answer is judged, and what every kind of puzzle offers.

A puzzle is two strings of `CHARACTERS`, without blanks: what is given, and what is to be written. They have the format
of arXiv 2410.14157's released code, so that published files and ours interchange.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

__all__ = ["CHARACTERS", "Puzzle", "Puzzles", "Split", "Verdict"]

CHARACTERS = "0123456789*+-/=,abcdefghij"
"""Every character of every puzzle [code: the vocabulary of the release, special tokens apart]."""

Split: TypeAlias = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Puzzle:
    """One puzzle with the answer that a model is taught."""

    key: str
    """Unique within a kind: what is needed to draw it again."""
    prompt: str
    """What is given."""
    answer: str
    """The label; other answers may be as right, see `Puzzles.verify`."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What it is grouped by: givens, planning distance, number of variables ..."""


@dataclass(frozen=True)
class Verdict:
    """How an answer was judged."""

    official: bool
    """Right by the rule of the released code, holes included."""
    strict: bool
    """Right by the rules of the puzzle."""
    reason: str = ""
    """Why it is not strictly right, in a few words; empty where it is. `malformed` where it cannot be read."""

    @property
    def is_malformed(self) -> bool:
        """Whether the answer could not be read."""
        return self.reason.startswith("malformed")


class Puzzles(Protocol):
    """A kind of puzzle with its sizes; a frozen dataclass, so that it can stand in a config."""

    @property
    def name(self) -> str:
        """Name of the kind: sudoku, countdown, sat, path."""

    @property
    def longest(self) -> tuple[int, int]:
        """Characters of the longest prompt and of the longest answer."""

    def generate(self, seed: int, split: Split, count: int) -> Iterator[Puzzle]:
        """Draw `count` different puzzles of a split, the same for the same seed; splits share none."""

    def solve(self, prompt: str) -> str | None:
        """Give the label of a prompt; None where it has no solution.

        Raises:
            DataError: The prompt is no puzzle of this kind.
        """

    def verify(self, prompt: str, text: str) -> Verdict:
        """Judge an answer, whatever was written; never an exception for the text, and nothing is ever evaluated."""
