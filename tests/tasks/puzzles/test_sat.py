"""3-SAT: satisfiable formulas of the hard region, the smallest solution as label, solved against equal to the label."""

from __future__ import annotations

import itertools
import random

import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.tasks.puzzles.puzzle import CHARACTERS, Split
from tenon.tasks.puzzles.sat import Sat
from tenon.tasks.puzzles.splits import split_of

SIZES = (5, 7, 9)
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
KINDS = {size: Sat(variables=size) for size in SIZES}  # type: ignore[arg-type]


def literals(prompt: str) -> list[list[tuple[str, bool]]]:
    """The slow twin's reading: letters with whether they stand alone."""
    clauses = []
    for text in prompt.split("/"):
        clause = []
        while text:
            sign = text[0] != "-"
            text = text.lstrip("-")
            clause.append((text[0], sign))
            text = text[1:]
        clauses.append(clause)
    return clauses


def solutions(prompt: str, size: int) -> list[str]:
    """Every solution, smallest first, by trying all."""
    clauses = literals(prompt)
    found = []
    for values in itertools.product("01", repeat=size):
        value = dict(zip("abcdefghi", values, strict=False))
        if all(any((value[letter] == "1") == sign for letter, sign in clause) for clause in clauses):
            found.append(",".join(values))
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("split", SPLITS)
def test_what_is_drawn_is_a_puzzle_of_its_split(size: int, split: Split) -> None:
    kind = KINDS[size]
    for puzzle in kind.generate(0, split, 12):
        clauses = literals(puzzle.prompt)
        assert len(clauses) == kind.clauses == {5: 41, 7: 45, 9: 51}[size]
        for clause in clauses:
            letters = [letter for letter, _ in clause]
            assert letters == sorted(set(letters))
            assert len(letters) == 3
            assert max(letters) <= "abcdefghi"[size - 1]
        every = solutions(puzzle.prompt, size)
        assert puzzle.answer == min(every) == every[0] == kind.solve(puzzle.prompt)
        assert puzzle.facts == {"variables": size, "clauses": kind.clauses, "solutions": len(every)}
        verdict = kind.verify(puzzle.prompt, puzzle.answer)
        assert verdict.official
        assert verdict.strict
        assert split_of("/".join(sorted(puzzle.prompt.split("/")))) == split


def test_clauses_and_signs_are_drawn_evenly() -> None:
    puzzles = list(KINDS[5].generate(0, "train", 300))
    texts = [text for puzzle in puzzles for text in puzzle.prompt.split("/")]
    assert len(set(texts)) == 80  # 10 triples with 8 signs
    assert max(texts.count(text) for text in set(texts)) < 1.6 * len(texts) / 80
    negated = sum(text.count("-") for text in texts) / (3 * len(texts))
    assert negated == pytest.approx(0.5, abs=0.02)


def test_the_share_with_one_solution_is_the_known_one() -> None:
    for size, share in ((5, 0.92), (7, 0.74), (9, 0.57)):
        puzzles = list(KINDS[size].generate(0, "train", 1500))
        unique = sum(puzzle.facts["solutions"] == 1 for puzzle in puzzles) / len(puzzles)
        assert unique == pytest.approx(share, abs=0.04)  # 3 standard errors of 1,500 rows


def test_lengths_are_the_published_ones() -> None:
    """Prompt, SEP, answer and EOS are the published cut-offs; longer formulas are passed over, one in 100,000."""
    for size, cutoff, new_tokens in ((5, 258, 10), (7, 285, 14), (9, 325, 18)):
        prompt, answer = KINDS[size].longest
        assert prompt + 1 + answer + 1 == cutoff
        assert answer + 1 == new_tokens == 2 * size
        # 4 to 4.3 standard deviations of the number of negations: the longest of 50,000 to 100,000 rows.
        count = 3 * KINDS[size].clauses
        negated = prompt - count - (KINDS[size].clauses - 1)
        assert 4.0 < (negated - count / 2) / (count / 4) ** 0.5 < 4.3
        lengths = [len(puzzle.prompt) for puzzle in KINDS[size].generate(0, "train", 300)]
        assert max(lengths) <= prompt


def test_formulas_beyond_the_cut_off_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenon.tasks.puzzles.sat._CUTOFF", {5: 235})
    assert KINDS[5].longest == (224, 9)
    assert max(len(puzzle.prompt) for puzzle in KINDS[5].generate(0, "train", 200)) == 224


def test_splits_share_no_formula_even_with_its_clauses_in_another_order() -> None:
    seen: dict[frozenset[tuple[str, int]], Split] = {}
    for split in SPLITS:
        for seed in (0, 1):
            for puzzle in KINDS[5].generate(seed, split, 60):
                clauses = puzzle.prompt.split("/")
                assert seen.setdefault(frozenset((text, clauses.count(text)) for text in clauses), split) == split


def test_a_solution_that_is_not_the_label_is_strictly_right() -> None:
    checked = 0
    for puzzle in KINDS[9].generate(0, "train", 40):
        for text in solutions(puzzle.prompt, 9)[1:]:
            verdict = KINDS[9].verify(puzzle.prompt, text)
            assert (verdict.strict, verdict.official, verdict.reason) == (True, False, "")
            checked += 1
    assert checked > 10


def test_what_does_not_hold_is_named() -> None:
    verdict = KINDS[5].verify("abc/-abc/a-be", "1,0,0,1,1")
    assert (verdict.strict, verdict.official, verdict.reason) == (False, False, "clause 2 does not hold")
    assert KINDS[5].solve("abc/-abc/a-be") == "0,0,1,0,0"
    assert KINDS[5].solve("cab/ba-c") == "0,1,0,0,0"  # letters in any order
    everything = "/".join("".join(signs) for signs in itertools.product(("a", "-a"), ("b", "-b"), ("c", "-c")))
    assert KINDS[5].solve(everything) is None
    assert KINDS[5].verify(everything, "0,0,0,0,0").official is False


def test_whatever_is_written_gets_a_verdict() -> None:
    rng = random.Random(0)
    puzzles = list(KINDS[5].generate(0, "valid", 5))
    right = {puzzle.prompt: set(solutions(puzzle.prompt, 5)) for puzzle in puzzles}
    alphabet = [*CHARACTERS, *"01,,", " ", "\n", "²", "1.0", "True"]
    every = {",".join(values) for values in itertools.product("01", repeat=5)}
    for _ in range(3000):
        puzzle = rng.choice(puzzles)
        if rng.random() < 0.5:
            text = ",".join(rng.choices("01", k=rng.choice([4, 5, 5, 5, 6])))
        else:
            text = "".join(rng.choices(alphabet, k=rng.randint(0, 12)))
        verdict = KINDS[5].verify(puzzle.prompt, text)
        assert verdict.strict is (text in right[puzzle.prompt]) is not bool(verdict.reason)
        assert verdict.official is (text == puzzle.answer)
        assert verdict.is_malformed is (text not in every)
    for text in (puzzle.answer + ",", puzzle.answer + " ", puzzle.answer + "/", "," + puzzle.answer, "1,0,1,0,01"):
        assert KINDS[5].verify(puzzle.prompt, text).is_malformed


def test_bad_options_and_prompts_are_refused() -> None:
    for size in (0, 3, 6, 10, "5", True):
        with pytest.raises(ConfigError, match="5, 7 or 9"):
            Sat(variables=size)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'train', 'valid' or 'test'"):
        KINDS[5].generate(0, "dev", 1)  # type: ignore[arg-type]
    for prompt in (
        "",
        "ab",
        "aab",
        "a-ac",
        "abf",
        "abcd",
        "abc/",
        "/abc",
        "abc//abd",
        "a--bc",
        "abc abd",
        "ABC",
        "1,2",
    ):
        with pytest.raises(DataError, match="no clause"):
            KINDS[5].solve(prompt)
        with pytest.raises(DataError, match="no clause"):
            KINDS[5].verify(prompt, "0,0,0,0,0")
    assert KINDS[7].solve("abf") == "0,0,0,0,0,1,0"
