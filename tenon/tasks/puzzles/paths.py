"""Paths: two chains cross in one node; walk from the start of the first to its end. The minimal planning task.

    5,9/11,7/2,1/9,3/3,8/7,2/8,4/6,11/5,6/4,0-5,1   ->   5,6/6,11/11,7/7,2/2,1

The prompt has all edges in random order, then start and goal; the answer has the first chain's edges in order. Both
chains have K nodes and share the one at index j. Where they part, two edges lead on, and only K - 1 - j hops further,
at the goal, does it show which was right: that is the planning distance.

Lengths: 74 tokens at most for K = 6 with SEP and EOS, one less than the published cut-off 75, and 24 for the answer
with EOS, as published. K = 7 would need 94.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as count_from
from itertools import pairwise
from typing import TypeAlias

from tenon.core.errors import DataError, require
from tenon.core.seeds import numpy_rng
from tenon.tasks.puzzles.puzzle import Puzzle, Split, Verdict
from tenon.tasks.puzzles.splits import Candidate, check_draw, number, split_of

__all__ = ["Path", "planning_distance", "turned"]

_BLOCK = 512  # puzzles drawn at once
_NODE = "(?:0|[1-9][0-9]{0,8})"
_EDGES = re.compile(f"{_NODE},{_NODE}(?:/{_NODE},{_NODE})*")
_PROMPT = re.compile(f"({_EDGES.pattern})-({_NODE},{_NODE})")

Edge: TypeAlias = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Path:
    """The path task of arXiv 2410.14157."""

    nodes: int = 6
    """`K`: nodes of each chain [inferred from the published lengths and figure]."""

    def __post_init__(self) -> None:
        ok = type(self.nodes) is int and 3 <= self.nodes <= 50
        require(ok, self, "nodes", "3 to 50: shorter chains plan nothing, and longer ones have ids of three digits")

    @property
    def name(self) -> str:
        """Name of the kind."""
        return "path"

    @property
    def longest(self) -> tuple[int, int]:
        """Characters of the longest prompt and of the longest answer, for node ids of 0 to 2K-1."""
        digits = sorted((len(str(node)) for node in range(2 * self.nodes)), reverse=True)
        # How often each node is written where the longest ids stand best: the shared node four times, inner nodes,
        # start and goal twice, the ends of the other chain once. And in the answer: inner nodes twice, ends once.
        prompt = [4, *[2] * (2 * self.nodes - 4), 1, 1]
        answer = [*[2] * (self.nodes - 2), 1, 1]
        edges = self.nodes - 1
        return (
            sum(a * b for a, b in zip(digits, prompt, strict=False)) + 4 * edges + 1,  # and , / - between them
            sum(a * b for a, b in zip(digits, answer, strict=False)) + 2 * edges - 1,
        )

    def generate(self, seed: int, split: Split, count: int) -> Iterator[Puzzle]:
        """Draw different puzzles; j is uniform, node ids are a random permutation of 0 to 2K-1.

        The second chain's node j is overwritten by the first's, so one id does not occur. A puzzle's split is that of
        its graph: two splits share no graph, whatever the order of the edges and whichever chain is asked for. Facts:
        the planning distance, and `reversed`, the answer for a model that writes from goal to start, each edge turned
        round. The same seed gives the same puzzles, and a longer draw starts with those of a shorter one.

        Raises:
            ConfigError: There is no such split.
            DataError: There are not that many (K = 3 has some 40,000 for train).
        """
        check_draw(split, count)
        return number(self._candidates(seed, split), f"path{self.nodes}", seed, split, count)

    def _candidates(self, seed: int, split: Split) -> Iterator[Candidate | None]:
        size = self.nodes
        for block in count_from():
            rng = numpy_rng(seed, "path", size, split, block)
            forks = rng.integers(size, size=_BLOCK).tolist()
            # The order of uniform numbers is a uniform permutation.
            ids = rng.random((_BLOCK, 2 * size)).argsort(axis=1).tolist()
            orders = rng.random((_BLOCK, 2 * size - 2)).argsort(axis=1).tolist()
            for fork, nodes, order in zip(forks, ids, orders, strict=True):
                first, second = nodes[:size], nodes[size:]
                second[fork] = first[fork]
                answer = [f"{a},{b}" for a, b in pairwise(first)]
                edges = answer + [f"{a},{b}" for a, b in pairwise(second)]
                if split_of("/".join(sorted(edges))) != split:
                    yield None
                    continue
                prompt = "/".join([edges[place] for place in order]) + f"-{first[0]},{first[-1]}"
                backwards = "/".join([f"{b},{a}" for b, a in pairwise(first[::-1])])
                facts = {"nodes": size, "planning_distance": size - 1 - fork, "reversed": backwards}
                yield prompt, "/".join(answer), facts

    def solve(self, prompt: str) -> str | None:
        """Give the shortest path from start to goal; None where there is none.

        Raises:
            DataError: The prompt is not 2 (K - 1) edges with a start and a goal.
        """
        path = _shortest(*self._parse(prompt))
        return "/".join(map(",".join, path)) or None

    def verify(self, prompt: str, text: str) -> Verdict:
        """Judge an answer.

        Strict: a path from start to goal along given edges, each beginning where the one before ended. Official
        [code]: the label, or the label backwards: edges in reversed order, each turned round.

        Raises:
            DataError: The prompt is no puzzle of this size.
        """
        edges, start, goal = self._parse(prompt)
        reason = _fault(edges, start, goal, text)
        label = "/".join(map(",".join, _shortest(edges, start, goal)))
        is_official = bool(label) and label in (text, turned(text))
        return Verdict(official=is_official, strict=not reason, reason=reason)

    def _parse(self, prompt: str) -> tuple[list[Edge], str, str]:
        edges, start, goal = _parse(prompt)
        if len(edges) != 2 * self.nodes - 2:
            raise DataError(f"{prompt!r} has {len(edges)} edges; Path(nodes={self.nodes}) has {2 * self.nodes - 2}.")
        return edges, start, goal


def planning_distance(prompt: str) -> int:
    """Give the planning distance of a puzzle: how far from the goal its path meets an edge that leads elsewhere.

    As the released evaluation groups [code]: by the first edge of the answer whose source occurs twice among sources;
    0 where there is none.

    Raises:
        DataError: The prompt is no path puzzle, or has no path.
    """
    edges, start, goal = _parse(prompt)
    path = _shortest(edges, start, goal)
    if not path:
        raise DataError(f"{prompt!r} has no path from start to goal, so no planning distance.")
    sources = Counter(source for source, _ in edges)
    return next((len(path) - hop for hop, (source, _) in enumerate(path) if sources[source] > 1), 0)


def _shortest(edges: list[Edge], start: str, goal: str) -> list[Edge]:
    """The edges of the shortest path, by breadth-first search; empty where there is none."""
    leading: dict[str, list[Edge]] = {}
    for edge in edges:
        leading.setdefault(edge[0], []).append(edge)
    reached: dict[str, Edge | None] = {start: None}  # by which edge
    waiting = [start]
    for node in waiting:
        for edge in leading.get(node, ()):
            if edge[1] not in reached:
                reached[edge[1]] = edge
                waiting.append(edge[1])
    path, last = list[Edge](), reached.get(goal)
    while last is not None:
        path.append(last)
        last = reached[last[0]]
    return path[::-1]


def _parse(prompt: str) -> tuple[list[Edge], str, str]:
    match = _PROMPT.fullmatch(prompt)
    if match is None:
        raise DataError(f"{prompt[:100]!r} is no path puzzle; it must look like '3,1/1,2/...-3,2'.")
    start, goal = match[2].split(",")
    return _read(match[1]), start, goal


def _read(text: str) -> list[Edge]:
    return [(source, target) for source, target in (edge.split(",") for edge in text.split("/"))]


def _fault(edges: list[Edge], start: str, goal: str, text: str) -> str:
    """The first thing that is wrong with a path; empty where it is right."""
    if not _EDGES.fullmatch(text):
        return "malformed"
    here = start
    for place, edge in enumerate(_read(text), start=1):
        if edge not in edges:
            return f"edge {place} is not there"
        if edge[0] != here:
            return f"edge {place} does not start at {here}"
        here = edge[1]
    return "" if here == goal else f"ends at {here}, not {goal}"


def turned(text: str) -> str:
    """Give a path from its other end, each edge turned round; nothing for what is no path.

    >>> turned("1,6/6,5")
    '5,6/6,1'
    """
    if not _EDGES.fullmatch(text):
        return ""
    return "/".join(f"{target},{source}" for source, target in reversed(_read(text)))
