"""Countdown: published labels, the rules of the game against the released metric, what errors are charged to."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.tasks.puzzles.countdown import HELD_OUT, TRAINING, Countdown, analyse, split_of_problem
from tenon.tasks.puzzles.countdown_search import combine, first_codes, first_solution, reachable, replay
from tenon.tasks.puzzles.puzzle import CHARACTERS, Split

PUBLISHED = {
    "58,11,80,83,81": "80-58=22,22/11=2,83-2=81",
    "66,67,94,13,81": "67-66=1,94-13=81,1*81=81",
    "36,56,44,27,81": "36*27=972,56-44=12,972/12=81",
    "14,14,60,99,39": "14-14=0,99-60=39,0+39=39",
    "45,54,81,66,81": "45*81=3645,54*66=3564,3645-3564=81",
    "86,28,13,31,96": "86+28=114,31-13=18,114-18=96",
}
"""Rows of the published four-number test file."""
CD4 = Countdown(numbers=4)
PROMPT = "58,11,80,83,81"
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def search(target: int, numbers: list[int], steps: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """The slow twin: the depth-first search as it is told, nothing remembered and nothing cut."""
    if len(numbers) == 1:
        return steps if numbers[0] == target else None
    for i, j in itertools.combinations(range(len(numbers)), 2):
        a, b = numbers[i], numbers[j]
        rest = [number for index, number in enumerate(numbers) if index not in (i, j)]
        moves = [(a + b, f"{a}+{b}"), (a * b, f"{a}*{b}")]
        if a <= b:
            moves.append((b - a, f"{b}-{a}"))
            if a != 0 and b % a == 0:
                moves.append((b // a, f"{b}/{a}"))
        else:
            moves.append((a - b, f"{a}-{b}"))
            if b != 0 and a % b == 0:
                moves.append((a // b, f"{a}/{b}"))
        for value, left in moves:
            found = search(target, [*rest, value], (*steps, f"{left}={value}"))
            if found is not None:
                return found
    return None


def test_published_labels_come_out_exactly() -> None:
    for prompt, answer in PUBLISHED.items():
        assert CD4.solve(prompt) == answer
        assert CD4.verify(prompt, answer).strict
        *numbers, target = map(int, prompt.split(","))
        (code,) = first_codes(np.array([numbers]), np.array([target]))
        assert ",".join(replay(numbers, target, int(code))) == answer


def test_the_held_out_targets_are_those_of_the_seed() -> None:
    targets = list(range(10, 101))
    random.Random(4).shuffle(targets)
    assert sorted(targets[:9]) == list(HELD_OUT) == [14, 39, 41, 57, 62, 81, 87, 89, 96]
    assert sorted(targets[9:]) == list(TRAINING)


@pytest.mark.parametrize(("size", "count", "highest"), [(3, 400, 99), (3, 200, 6), (4, 60, 99), (4, 60, 8), (5, 6, 99)])
def test_the_batch_search_and_the_single_search_equal_the_slow_twin(size: int, count: int, highest: int) -> None:
    rng = random.Random(size * highest)
    numbers = [[rng.randint(0, highest) for _ in range(size)] for _ in range(count)]
    targets = [rng.randint(10, 100) if highest == 99 else rng.randint(1, 30) for _ in range(count)]
    codes = first_codes(np.array(numbers), np.array(targets)).tolist()
    solved = 0
    for row, target, code in zip(numbers, targets, codes, strict=True):
        expected = search(target, row)
        solved += expected is not None
        assert first_solution(row, target) == (None if expected is None else list(expected))
        assert reachable(row, target) is (expected is not None)
        assert (None if code < 0 else tuple(replay(row, target, code))) == expected
    assert 0 < solved < count


def test_pairs_combine_in_the_order_of_the_search() -> None:
    assert [value for _, value in combine(12, 3)] == [15, 36, 9, 4]
    assert combine(0, 7) == [("0+7=7", 7), ("0*7=0", 0), ("7-0=7", 7)]  # no division by or of zero
    assert combine(7, 0) == [("7+0=7", 7), ("7*0=0", 0), ("7-0=7", 7)]
    assert combine(5, 5)[2:] == [("5-5=0", 0), ("5/5=1", 1)]
    assert combine(1, 7)[2:] == [("7-1=6", 6), ("7/1=7", 7)]
    assert combine(7, 2)[2:] == [("7-2=5", 5)]


@pytest.mark.parametrize("size", [3, 4, 5])
@pytest.mark.parametrize("split", SPLITS)
def test_what_is_drawn_is_a_puzzle_of_its_split(size: int, split: Split) -> None:
    kind = Countdown(numbers=size)  # type: ignore[arg-type]  # mypy sees int
    targets = set()
    for puzzle in kind.generate(0, split, 40):
        *numbers, target = map(int, puzzle.prompt.split(","))
        assert len(numbers) == size
        assert all(1 <= number <= 99 for number in numbers)
        assert split_of_problem(tuple(numbers), target) == split
        assert kind.verify(puzzle.prompt, puzzle.answer).strict
        assert kind.verify(puzzle.prompt, puzzle.answer).official
        if size < 5:  # the slow twin's speed
            assert search(target, numbers) == tuple(puzzle.answer.split(","))
        assert puzzle.facts == {"numbers": size, "target": target, "held_out": split == "test"}
        targets.add(target)
    assert targets <= set(HELD_OUT) if split == "test" else targets <= set(TRAINING)


def test_splits_share_no_problem_even_with_its_numbers_in_another_order() -> None:
    """Small numbers, so that problems would meet if anything let them; and across kinds, the game of 24 included."""
    seen: dict[tuple[object, ...], Split] = {}
    kinds = [Countdown(numbers=3, largest=9, target=target) for target in (None, 24, 14)]
    met = 0
    for kind, split in itertools.product(kinds, SPLITS):
        if kind.target == 14 and split != "test":
            continue
        for puzzle in kind.generate(0, split, 15 if kind.target else 150):
            *numbers, target = puzzle.prompt.split(",")
            problem = (tuple(sorted(numbers)), target)
            met += problem in seen
            assert seen.setdefault(problem, split) == split
    assert met > 20  # equal problems do come, always in one split


def test_targets_and_numbers_are_spread_evenly() -> None:
    puzzles = list(Countdown(numbers=3).generate(3, "train", 4000))
    targets = Counter(puzzle.facts["target"] for puzzle in puzzles)
    assert set(targets) == set(TRAINING)
    assert max(targets.values()) < 1.7 * len(puzzles) / len(TRAINING)  # 5 standard errors of 49 +- 7
    first = Counter(int(puzzle.prompt.split(",")[0]) for puzzle in puzzles)
    assert set(first) == set(range(1, 100))


def test_the_share_of_solvable_draws_is_the_known_one() -> None:
    rng = np.random.default_rng(0)
    for size, share, rows in ((3, 0.036, 20_000), (4, 0.13, 4000), (5, 0.56, 400)):
        codes = first_codes(rng.integers(1, 100, (rows, size)), rng.integers(10, 101, rows))
        error = (share * (1 - share) / rows) ** 0.5
        assert (codes >= 0).mean() == pytest.approx(share, abs=4 * error + 0.005)  # the share is known to two digits


def test_lengths_fit_the_published_cut_offs() -> None:
    """Prompt, SEP, answer and EOS. Exhaustion of every solution of three numbers gives the longest answer."""
    tokens = {size: sum(Countdown(numbers=size).longest) + 2 for size in (3, 4, 5)}  # type: ignore[arg-type]  # mypy sees int
    assert tokens == {3: 36, 4: 52, 5: 72}
    for size, cutoff, new_tokens in ((3, 37, 24), (5, 74, 54)):
        assert tokens[size] <= cutoff
        assert Countdown(numbers=size).longest[1] + 1 <= new_tokens  # type: ignore[arg-type]  # mypy sees int
    assert tokens[4] <= 64
    assert CD4.longest[1] + 1 == 36 > 32  # the published number of new tokens cuts labels off
    longest = 0
    values: dict[int, int] = {}  # what two numbers make, and the longest equation that makes it
    for a, b in itertools.combinations_with_replacement(range(1, 100), 2):
        for equation, value in combine(a, b):
            values[value] = max(values.get(value, 0), len(equation))
    for value, length in values.items():
        for c in range(1, 100):
            longest = max([longest, *(length + 1 + len(text) for text, made in combine(value, c) if 10 <= made <= 100)])
    assert longest == Countdown(numbers=3).longest[1]
    lengths = [len(puzzle.answer) for puzzle in CD4.generate(0, "train", 1500)]
    assert 33 <= max(lengths) + 1 <= 36
    assert np.mean(np.array(lengths) + 1 >= 33) == pytest.approx(0.027, abs=0.02)  # 2.7 % of 3,000 measured


def test_the_game_of_24_has_cards_and_one_target() -> None:
    puzzles = list(Countdown(target=24).generate(0, "test", 60))
    for puzzle in puzzles:
        *cards, target = map(int, puzzle.prompt.split(","))
        assert (len(cards), target) == (4, 24)
        assert all(1 <= card <= 13 for card in cards)
        assert not puzzle.facts["held_out"]
    assert puzzles[0].key == "countdown4to24-0-test-0"


HOLES = {
    "80+1=81": "1 equations, not 3",  # the released metric's hole: which numbers are used is not looked at
    "83-2=81": "1 equations, not 3",
    "58+11=69,80+1=81,81*1=81": "80+1=81: 1 is not there",
    "80-58=22,22/11=2,83-58=25,25+56=81": "4 equations, not 3",
    "83-80=3,83-3=80,80+1=81": "83-3=80: 83 is not there",  # used twice
    "80-58=22,83-22=61,61+20=81": "61+20=81: 20 is not there",  # 11 unused
    "80-58=22,22/11=2,22/11=2,83-2=81": "4 equations, not 3",
}
WRONG = {
    "80-58=22,22/11=2,83-2=80": "83-2=80: false",
    "80-58=22,22/11=2,83-3=81": "83-3=81: 3 is not there",
    "80-58=22,22/11=2,83+2=85": "makes 85, not 81",
    "58-80=-22,83-11=72,72+9=81": "58-80=-22: negative or broken",
    "58-80=22,22/11=2,83-2=81": "58-80=22: negative or broken",
    "80/58=1,83-1=82,82-11=71": "80/58=1: negative or broken",
    "80-58=-22,22/11=2,83-2=81": "80-58=-22: false",
    "11-11=0,58/0=0,83-2=81": "11-11=0: 11 is not there",
}
UNREADABLE = (
    "",
    ",",
    "81",
    "80-58=22,22/11=2,83-2=81,",
    "80-58=22,22/11=2,83-2=81/81",
    "80-58=22,22/11=2,83-2=81a",
    "80-58=22,22/11=2, 83-2=81",
    "80-58=22,22/11=2,83-2=81\n",
    "80-58=22,22/11=2,083-2=81",
    "80-58=22,22/11=2,83--2=81",
    "80-58=22,22/11=2,83-2==81",
    "80-58=22=22,22/11=2,83-2=81",
    "80-58-11=11,83-2=81",
    "80-58=22,22/11=2,٨٣-2=81",  # digits that \d would match
    "9" * 5000 + "-58=22,22/11=2,83-2=81",
    "__import__('os')",
)


def test_strict_rejects_what_the_released_metric_lets_pass() -> None:
    for text, reason in HOLES.items():
        verdict = CD4.verify(PROMPT, text)
        assert (verdict.strict, verdict.reason, verdict.official) == (False, reason, True), text


def test_both_reject_wrong_answers() -> None:
    for text, reason in WRONG.items():
        verdict = CD4.verify(PROMPT, text)
        assert (verdict.strict, verdict.reason) == (False, reason), text
    for text in ("80-58=22,22/11=2,83-2=80", "80-58=22,22/11=2,83+2=85", "58-80=22,22/11=2,83-2=81"):
        assert not CD4.verify(PROMPT, text).official
    for text in UNREADABLE:
        verdict = CD4.verify(PROMPT, text)
        assert (verdict.strict, verdict.is_malformed) == (False, True), text


def test_a_zero_may_be_made_and_used_but_not_divided_by() -> None:
    assert CD4.verify("14,14,60,99,39", "14-14=0,99-60=39,39-0=39").strict
    assert CD4.verify("14,14,60,99,39", "14-14=0,60/0=0,0+99=39").reason == "60/0=0: negative or broken"
    assert not CD4.verify("14,14,60,99,39", "14-14=0,60/0=0,0+39=39").official


def test_other_solutions_are_as_right() -> None:
    assert CD4.solve("7,4,8,10,39") == "8-7=1,4*10=40,40-1=39"
    assert CD4.verify("7,4,8,10,39", "10*4=40,8-7=1,40-1=39").strict
    assert CD4.verify("7,4,8,10,39", "4*10=40,8-7=1,40-1=39").strict


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("100-19=81", True),
        ("100-20+1=81", True),  # a chain; the release evaluates it
        ("1+8*10=81", True),  # with precedence
        ("162/2=81", True),  # a float that equals
        ("5-8=-3,84-3=81", True),  # negative steps pass
        ("7/2=3.5,100-19=81", True),  # broken steps pass
        ("7/2=3,100-19=81", False),
        ("100-19=81.0", False),  # equal as numbers, but the text is not the target
        ("100-19=81,", False),
        ("9/0=0,100-19=81", False),
        ("81=81", False),  # no `int op int`
        ("9**2=81", False),
        ("1+2**3+72=81", False),  # the release evaluates powers; we do not
        ("(80+1)=81", False),
        ("+".join(["1"] * 81) + "=81", False),  # too long a chain for us
        ("1" * 400 + "/1=81", False),
    ],
)
def test_the_official_verifier_is_the_released_metric(text: str, is_right: bool) -> None:
    assert CD4.verify(PROMPT, text).official is is_right


def charged(text: str, prompt: str = PROMPT) -> list[str]:
    """One word per equation: what it is charged with."""
    names = ("malformed", "usage", "calculation", "planning", "was_lost")
    return ["+".join(name for name in names if getattr(one, name)) for one in analyse(prompt, text)]


def test_errors_are_charged_to_the_equation_that_made_them() -> None:
    assert charged("80-58=22,22/11=2,83-2=81") == ["", "", ""]
    # Went wrong in planning, then falsified the end: the regretful compromise.
    assert charged("58+11=69,80-69=11,83-11=81") == ["planning", "planning+was_lost", "calculation+planning+was_lost"]
    # The plan was right, the arithmetic was not; from then on it counts what is written.
    assert charged("80-58=22,22/11=3,83-3=80") == ["", "calculation", "planning+was_lost"]
    assert charged("80-58=22,22/11=2,83-2=80") == ["", "", "calculation"]
    assert charged("80-58=22,22/11=2,83-1=82") == ["", "", "usage+planning"]
    assert charged("58-80=-22,83-11=72") == ["planning", "planning+was_lost"]  # negative, but as calculated
    assert charged("80/58=1") == ["calculation+planning"]
    assert charged("80-58=22,junk,83-2=81") == ["", "malformed"]
    assert charged("80-58=22,22/11=2,83-2=81,81*1=81,81*1=81") == ["", "", "", "usage"]  # ends with the first too many


def test_labels_have_no_errors_and_reachability_is_the_slow_twins() -> None:
    for size in (3, 4, 5):
        for puzzle in Countdown(numbers=size).generate(1, "valid", 20):  # type: ignore[arg-type]  # mypy sees int
            assert charged(puzzle.answer, puzzle.prompt) == [""] * (size - 1)
    rng = random.Random(0)
    for _ in range(100):
        numbers = [rng.randint(0, 20) for _ in range(3)]
        (equation, value), target = rng.choice(combine(*numbers[:2])), rng.randint(1, 40)
        (one,) = analyse(",".join(map(str, [*numbers, target])), equation)
        assert one.was_lost is (search(target, numbers) is None)
        assert one.planning is (search(target, [numbers[2], value]) is None)


def mutate(text: str, alphabet: Sequence[str], rng: random.Random) -> str:
    letters = list(text)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(letters) + 1)
        match rng.randrange(3):
            case 0:
                letters.insert(place, rng.choice(alphabet))
            case 1:
                letters[place : place + 1] = [rng.choice(alphabet)]
            case _:
                letters[place : place + rng.randint(1, 4)] = []
    return "".join(letters)


def test_whatever_is_written_gets_a_verdict() -> None:
    rng = random.Random(0)
    alphabet = [*CHARACTERS, *"=,+-*/123", " ", "\n", ".", "²", "٣", "x", "\0"]
    right = 0
    for _ in range(4000):
        prompt, answer = rng.choice(list(PUBLISHED.items()))
        text = mutate(answer, alphabet, rng) if rng.random() < 0.8 else "".join(rng.choices(alphabet, k=40))
        verdict = CD4.verify(prompt, text)
        assert verdict.strict is not bool(verdict.reason)
        analyse(prompt, text)
        if verdict.strict:
            right += 1
            assert verdict.official
            assert not any(charged(text, prompt))
    assert right < 100


def test_bad_options_and_prompts_are_refused() -> None:
    for options in ({"numbers": 2}, {"numbers": 6}, {"numbers": "4"}, {"target": 9}, {"target": 101}, {"target": 24.0}):
        with pytest.raises(ConfigError, match="it must be"):
            Countdown(**options)  # type: ignore[arg-type]  # refused at run time, too
    for largest in (0, 1, 100):
        with pytest.raises(ConfigError, match="2 to 99"):
            Countdown(largest=largest)
    with pytest.raises(ConfigError, match="held out"):
        Countdown(target=81).generate(0, "train", 1)
    with pytest.raises(ConfigError, match="'train', 'valid' or 'test'"):
        CD4.generate(0, "dev", 1)  # type: ignore[arg-type]  # refused at run time, too
    with pytest.raises(ConfigError, match="count is -1"):
        CD4.generate(0, "train", -1)
    with pytest.raises(DataError, match="no problem with a solution"):
        list(Countdown(numbers=3, target=97, largest=2).generate(0, "train", 1))
    for prompt in (
        "",
        "1,2",
        "1,2,3,4",
        "1,2,3,4,5,6",
        "1,2,3,4,x",
        "1,2,3,4,0",
        "1,2,3,-4,5",
        "1, 2,3,4,5",
        "1,2,3,4,٣",
    ):
        with pytest.raises(DataError):
            CD4.solve(prompt)
        with pytest.raises(DataError):
            CD4.verify(prompt, "1+1=2")
    for prompt in ("1,2,3", "1,2,3,4,5,6,7", "junk"):
        with pytest.raises(DataError):
            analyse(prompt, "1+1=2")


def test_problems_without_a_solution_have_none() -> None:
    assert CD4.solve("1,1,1,1,97") is None
    assert not CD4.verify("1,1,1,1,97", "1+1=2,1+1=2,2+2=4").strict
