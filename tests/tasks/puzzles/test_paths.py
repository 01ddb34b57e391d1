"""Paths: chains that cross, the planning distance, the released metric's reversed answers; what all kinds keep."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.tasks.puzzles import KINDS, Puzzles
from tenon.tasks.puzzles.countdown import Countdown
from tenon.tasks.puzzles.paths import Path, planning_distance
from tenon.tasks.puzzles.puzzle import CHARACTERS, Split
from tenon.tasks.puzzles.sat import Sat

PROMPT = "5,9/11,7/2,1/9,3/3,8/7,2/8,4/6,11/5,6/4,0-5,1"
ANSWER = "5,6/6,11/11,7/7,2/2,1"
BACKWARDS = "1,2/2,7/7,11/11,6/6,5"
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
ALL: tuple[Puzzles, ...] = (
    *(Countdown(numbers=3), Countdown(numbers=4), Countdown(numbers=5), Countdown(target=24)),
    *(Sat(variables=5), Sat(variables=7), Sat(variables=9), Path(), Path(nodes=3), Path(nodes=12)),
)


def test_the_published_example() -> None:
    kind = Path()
    assert kind.solve(PROMPT) == ANSWER
    assert planning_distance(PROMPT) == 5
    verdict = kind.verify(PROMPT, ANSWER)
    assert (verdict.official, verdict.strict, verdict.reason) == (True, True, "")


@pytest.mark.parametrize("nodes", [3, 4, 6, 12])
@pytest.mark.parametrize("split", SPLITS)
def test_what_is_drawn_is_two_chains_that_share_one_node(nodes: int, split: Split) -> None:
    kind = Path(nodes=nodes)
    for puzzle in kind.generate(0, split, 60):
        text, _, question = puzzle.prompt.partition("-")
        edges = [tuple(map(int, edge.split(","))) for edge in text.split("/")]
        start, goal = map(int, question.split(","))
        assert len(set(edges)) == 2 * (nodes - 1)
        ids = {node for edge in edges for node in edge}
        assert len(ids) == 2 * nodes - 1
        assert ids < set(range(2 * nodes))
        first = [start, *(int(edge.split(",")[1]) for edge in puzzle.answer.split("/"))]
        assert first[-1] == goal
        assert len(first) == nodes
        rest = set(edges) - set(pairwise(first))
        # What remains is the second chain, which meets the first at the same index.
        second = [node for node in {edge[0] for edge in rest} if node not in {edge[1] for edge in rest}]
        while len(second) < nodes:
            second += [after for before, after in rest if before == second[-1]]
        shared = [index for index in range(nodes) if first[index] == second[index]]
        assert len(shared) == 1
        assert set(first) & set(second) == {first[shared[0]]}
        assert puzzle.facts["planning_distance"] == nodes - 1 - shared[0] == planning_distance(puzzle.prompt)
        assert puzzle.facts["reversed"] == "/".join(f"{b},{a}" for a, b in reversed(list(pairwise(first))))


def test_the_fork_the_ids_and_the_edges_are_anywhere() -> None:
    puzzles = list(Path().generate(0, "train", 3000))
    distances = Counter(puzzle.facts["planning_distance"] for puzzle in puzzles)
    assert sorted(distances) == list(range(6))
    # Chi-square of 5 degrees of freedom: above 20.5 once in a thousand seeds.
    assert sum((count - 500) ** 2 / 500 for count in distances.values()) < 20.5
    starts = Counter(puzzle.answer.split(",")[0] for puzzle in puzzles)
    assert sum((starts[str(node)] - 250) ** 2 / 250 for node in range(12)) < 31.3  # 11 degrees of freedom
    places = Counter(
        puzzle.prompt.partition("-")[0].split("/").index(puzzle.answer.split("/")[0]) for puzzle in puzzles
    )
    assert sum((places[place] - 300) ** 2 / 300 for place in range(10)) < 27.9  # 9 degrees of freedom


def test_splits_share_no_graph() -> None:
    """K = 3 has 1,080 graphs: the drawn ones do meet, always within one split, whichever chain is asked for."""
    seen: dict[frozenset[str], Split] = {}
    met = 0
    for split, seed in itertools.product(SPLITS, (0, 1)):
        for puzzle in Path(nodes=3).generate(seed, split, 500):
            graph = frozenset(puzzle.prompt.partition("-")[0].split("/"))
            met += graph in seen
            assert seen.setdefault(graph, split) == split
    assert met > 1000
    assert len(seen) > 700


def test_lengths_agree_with_the_published_ones() -> None:
    """Prompt, SEP, answer and EOS: 74, in a cut-off of 75; the answer with EOS is the published 24 tokens."""
    prompt, answer = Path().longest
    assert (prompt, answer) == (49, 23)
    assert prompt + 1 + answer + 1 == 74
    assert answer + 1 == 24
    assert sum(Path(nodes=7).longest) + 2 == 94
    assert sum(Path(nodes=4).longest) + 2 <= 45
    puzzles = list(Path().generate(0, "train", 3000))
    assert max(len(puzzle.prompt) for puzzle in puzzles) == 49  # both bounds are reached
    assert max(len(puzzle.answer) for puzzle in puzzles) == 23


@pytest.mark.parametrize(
    ("text", "official", "reason"),
    [
        (BACKWARDS, True, "edge 1 is not there"),  # the released metric takes it, edges turned round
        ("2,1/7,2/11,7/6,11/5,6", False, "edge 1 does not start at 5"),  # reversed order, edges as they were
        ("5,9/9,3/3,8/8,4/4,0", False, "ends at 0, not 1"),
        ("5,6/6,11/11,7/7,2", False, "ends at 2, not 1"),
        ("5,6/6,11/11,7/7,2/2,0", False, "edge 5 is not there"),
        ("5,6/11,7/7,2/2,1", False, "edge 2 does not start at 6"),
        ("6,11/11,7/7,2/2,1", False, "edge 1 does not start at 5"),
        ("5,6/6,11/11,7/7,2/2,1/", False, "malformed"),
        ("5,6/6,11/11,7/7,2/2,1/2,1", False, "edge 6 does not start at 1"),
        ("5,6/6,11/11,7/7,2/2,1-5,1", False, "malformed"),
        ("05,6/6,11/11,7/7,2/2,1", False, "malformed"),
        ("5,6,/6,11/11,7/7,2/2,1", False, "malformed"),
        ("", False, "malformed"),
        ("5,6/6,11/11,7/7,2/2,1 ", False, "malformed"),
    ],
)
def test_wrong_answers(text: str, official: bool, reason: str) -> None:
    verdict = Path().verify(PROMPT, text)
    assert (verdict.official, verdict.strict, verdict.reason) == (official, False, reason)


def test_whatever_is_written_gets_a_verdict() -> None:
    rng = random.Random(0)
    alphabet = [*CHARACTERS, *"/,/,0123456789", " ", "\n", "²"]
    pieces = PROMPT.partition("-")[0].split("/")
    for _ in range(3000):
        kind = rng.randrange(3)
        if kind == 0:
            text = "".join(rng.choices(alphabet, k=rng.randint(0, 24)))
        elif kind == 1:
            text = "/".join(rng.choices(pieces, k=rng.randint(1, 6)))
        else:
            place = rng.randrange(len(ANSWER))
            text = ANSWER[:place] + rng.choice(alphabet) + ANSWER[place + rng.randint(0, 1) :]
        verdict = Path().verify(PROMPT, text)
        assert verdict.strict is (text == ANSWER) is not bool(verdict.reason)  # there is one path
        assert verdict.official is (text in (ANSWER, BACKWARDS))


def test_graphs_from_elsewhere() -> None:
    kind = Path(nodes=3)
    assert kind.solve("1,2/2,1/1,3/3,4-1,4") == "1,3/3,4"  # a cycle on the way
    assert kind.verify("1,2/2,1/1,3/3,4-1,4", "1,2/2,1/1,3/3,4").strict
    assert kind.solve("1,2/2,1/5,3/3,4-1,4") is None
    assert not kind.verify("1,2/2,1/5,3/3,4-1,4", "").official
    with pytest.raises(DataError, match="no path"):
        planning_distance("1,2/2,1/5,3/3,4-1,4")


def test_bad_options_and_prompts_are_refused() -> None:
    for nodes in (0, 2, 51, "6", 6.0, True):
        with pytest.raises(ConfigError, match="3 to 50"):
            Path(nodes=nodes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'train', 'valid' or 'test'"):
        Path().generate(0, "dev", 1)  # type: ignore[arg-type]
    for prompt in (
        "",
        "1,2",
        "1,2-1",
        "1,2/-1,2",
        "1,2/2,3-1,3-1,3",
        PROMPT + " ",
        PROMPT.replace("5", "x"),
        "1,2-1,2",
    ):
        with pytest.raises(DataError):
            Path().solve(prompt)
        with pytest.raises(DataError):
            Path().verify(prompt, ANSWER)
    with pytest.raises(DataError, match="10 edges; Path\\(nodes=7\\) has 12"):
        Path(nodes=7).solve(PROMPT)


def test_a_kind_that_is_used_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenon.tasks.puzzles.splits.PATIENCE", 300)
    # Nine of ten candidates belong elsewhere, and some come again: neither counts for long.
    prompts = [puzzle.prompt for puzzle in Path(nodes=3).generate(0, "test", 1000)]
    assert len(set(prompts)) == len(prompts) == 1000
    with pytest.raises(DataError, match=r"path3 has about .* different puzzles in split 'test'"):
        list(Path(nodes=3).generate(0, "test", 10_000))


@pytest.mark.parametrize("kind", ALL, ids=str)
def test_every_kind_draws_different_puzzles_and_the_same_again(kind: Puzzles) -> None:
    for split in SPLITS:
        puzzles = list(kind.generate(0, split, 20))
        assert puzzles == list(itertools.islice(kind.generate(0, split, 1000), 20))  # a longer draw goes on
        assert len({puzzle.prompt for puzzle in puzzles}) == len({puzzle.key for puzzle in puzzles}) == 20
        assert puzzles[7].key.endswith(f"-0-{split}-7")
        assert puzzles[0].prompt not in {puzzle.prompt for puzzle in kind.generate(1, split, 20)}
        for puzzle in puzzles:
            assert set(puzzle.prompt + puzzle.answer) <= set(CHARACTERS)
            assert len(puzzle.prompt) <= kind.longest[0]
            assert len(puzzle.answer) <= kind.longest[1]
            assert kind.solve(puzzle.prompt) == puzzle.answer
            verdict = kind.verify(puzzle.prompt, puzzle.answer)
            assert (verdict.official, verdict.strict, verdict.reason) == (True, True, "")
    assert list(kind.generate(0, "train", 0)) == []


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    """What stands here changes only with the generators, and then files of before no longer go on."""
    code = (
        "import hashlib, json\n"
        "from tenon.tasks.puzzles.countdown import Countdown\n"
        "from tenon.tasks.puzzles.sat import Sat\n"
        "from tenon.tasks.puzzles.paths import Path\n"
        "for kind in (Countdown(numbers=3), Sat(variables=7), Path()):\n"
        "    rows = [vars(puzzle) for puzzle in kind.generate(0, 'train', 50)]\n"
        "    print(hashlib.sha256(json.dumps(rows).encode()).hexdigest())\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert next(Path().generate(0, "train", 1)).prompt == "1,4/5,8/2,11/3,10/6,5/11,3/1,0/10,1/8,9/9,1-2,4"
    assert next(Countdown(numbers=3).generate(0, "train", 1)).prompt == "62,10,54,18"
    assert next(Sat(variables=5).generate(0, "train", 1)).prompt.startswith("-ad-e/a-d-e/-a-d-e/-acd/a-c-e/-b-c-e/")


def test_the_kinds_have_their_names() -> None:
    assert list(KINDS) == ["sudoku", "countdown", "sat", "path"]
    for name in ("countdown", "sat", "path"):
        assert KINDS[name]().name == name
    assert KINDS["countdown"]() == Countdown(numbers=4)
    with pytest.raises(TypeError):
        KINDS["other"] = KINDS["path"]  # type: ignore[index]
