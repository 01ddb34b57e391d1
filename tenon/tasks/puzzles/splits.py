"""Which split a puzzle belongs to, and how different puzzles of one split are drawn from a stream of candidates.

What makes a puzzle (its numbers, clauses or edges, without their order) decides its split, so no two splits share one,
whatever the seeds. Candidates come in blocks, each a function of (seed, split, number of the block); those of other
splits and those already given are passed over. So the first puzzles of a longer draw are those of a shorter one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, get_args

from tenon.core.errors import ConfigError, DataError
from tenon.tasks.puzzles.puzzle import Puzzle, Split

__all__ = ["PATIENCE", "Candidate", "check_draw", "number", "split_of"]

Candidate: TypeAlias = tuple[str, str, dict[str, Any]]
"""Prompt, answer and facts of a puzzle."""

PATIENCE = 50_000
"""Candidates without a new puzzle after which a kind counts as used up."""


def split_of(identity: str) -> Split:
    """Give the split of a puzzle: 80 % train, 10 % valid, 10 % test, by SHA-256.

    >>> split_of("1,2,3,14")
    'train'
    """
    bucket = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") % 100
    return "train" if bucket < 80 else "valid" if bucket < 90 else "test"


def check_draw(split: str, count: int) -> None:
    """Refuse what nobody can draw.

    Raises:
        ConfigError: There is no such split, or `count` is negative.
    """
    if split not in get_args(Split):
        raise ConfigError(f"split is {split!r}; it must be 'train', 'valid' or 'test'.")
    if count < 0:
        raise ConfigError(f"count is {count}; it must be 0 or more.")


def number(candidates: Iterable[Candidate | None], label: str, seed: int, split: Split, count: int) -> Iterator[Puzzle]:
    """Give the first `count` different candidates as puzzles, with keys `label-seed-split-index`.

    Args:
        candidates: An endless stream; None stands for one that belongs elsewhere.
        label: Kind and size, e.g. `path6`.
        seed: The seed of the stream.
        split: The split of the stream.
        count: How many to give.

    Raises:
        DataError: There are fewer different puzzles: `PATIENCE` candidates in a row gave nothing new.
    """
    # 8 bytes of a hash instead of the prompt: a million SAT prompts would take 300 MB. Two prompts that share
    # them (a chance of 1e-7 among a million) cost one puzzle, always the same.
    seen: set[bytes] = set()
    misses = 0
    stream = iter(candidates)
    while len(seen) < count:
        if misses >= PATIENCE:
            raise DataError(
                f"{label} has about {len(seen)} different puzzles in split {split!r}, and {count} were asked for; ask "
                "for fewer or for a larger size."
            )
        candidate = next(stream)
        if candidate is None:
            misses += 1
            continue
        prompt, answer, facts = candidate
        digest = hashlib.sha256(prompt.encode()).digest()[:8]
        if digest in seen:
            misses += 1
            continue
        misses = 0
        seen.add(digest)
        yield Puzzle(f"{label}-{seed}-{split}-{len(seen) - 1}", prompt, answer, facts)
