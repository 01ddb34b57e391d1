"""Slow twins of the data stages, for tests: each is its definition, written down."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["levenshtein", "unbox_by_search"]


def levenshtein(a: Sequence[object], b: Sequence[object]) -> int:
    """Count the fewest insertions, deletions and replacements that lead from one sequence to the other.

    `d[i][j]` is the distance of the first `i` and the first `j` items.
    """
    d = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if i == 0 or j == 0:
                d[i][j] = i + j
            else:
                d[i][j] = min(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
    return d[len(a)][len(b)]


def unbox_by_search(text: str) -> str:
    r"""Take the innermost boxes off first: one that holds no other brace, then braces that hold none, until none is.

    Braces that are no box are hidden meanwhile. Delimiters stay.
    """
    import re

    hidden_open, hidden_close = "\ue000", "\ue001"
    while True:
        found = re.search(r"(\\boxed\s*)?\{([^{}]*)\}", text)
        if found is None:
            return text.replace(hidden_open, "{").replace(hidden_close, "}")
        inside = found[2] if found[1] else hidden_open + found[2] + hidden_close
        text = text[: found.start()] + inside + text[found.end() :]
