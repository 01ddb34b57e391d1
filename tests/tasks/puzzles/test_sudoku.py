"""Sudoku: one solution each, by a checker of another kind; splits that share no grid; verdicts with their reasons."""

from __future__ import annotations

import hashlib
import itertools
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.tasks.puzzles.puzzle import CHARACTERS, Puzzle, Puzzles, Split
from tenon.tasks.puzzles.sudoku import Sudoku, count_solutions, find_fault, split_of
from tenon.tasks.puzzles.sudoku_solver import board, dig, draw_grid, is_unique, narrow, place

SMALL, LARGE = Sudoku(box=2), Sudoku()
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
# The first row of the public file.
QUIZ = "004300209005009001070060043006002087190007400050083000600000105003508690042910300"
SOLUTION = "864371259325849761971265843436192587198657432257483916689734125713528694542916378"


def peers(size: int, cell: int) -> set[int]:
    """The other cells of a row, column and box, straight from the rules."""
    box, row, column = int(size**0.5), cell // size, cell % size
    found = set()
    for other in range(size * size):
        r, c = other // size, other % size
        if r == row or c == column or (r // box, c // box) == (row // box, column // box):
            found.add(other)
    return found - {cell}


PEERS = {size: [peers(size, cell) for cell in range(size * size)] for size in (4, 9)}


def slow_solutions(prompt: str) -> Iterator[str]:
    """Every solution: sets of digits, the cell with fewest first, no singles, no bits."""
    size = int(len(prompt) ** 0.5)
    near, grid = PEERS[size], [int(character) for character in prompt]
    if any(grid[cell] and grid[cell] == grid[other] for cell in range(len(grid)) for other in near[cell]):
        return

    def search() -> Iterator[str]:
        best: tuple[int, set[int]] | None = None
        for cell, digit in enumerate(grid):
            if not digit:
                left = set(range(1, size + 1)) - {grid[other] for other in near[cell]}
                if best is None or len(left) < len(best[1]):
                    best = cell, left
                if len(left) <= 1:
                    break
        if best is None:
            yield "".join(map(str, grid))
            return
        for digit in best[1]:
            grid[best[0]] = digit
            yield from search()
        grid[best[0]] = 0

    yield from search()


def slow_singles(prompt: str) -> bool:
    """Do naked and hidden singles alone fill the grid? One at a time, from the candidate lists of a person."""
    size = int(len(prompt) ** 0.5)
    box, near, grid = int(size**0.5), PEERS[size], [int(character) for character in prompt]
    units = [[i * size + j for j in range(size)] for i in range(size)]
    units += [[j * size + i for j in range(size)] for i in range(size)]
    units += [
        [r * size + c for r in range(top, top + box) for c in range(left, left + box)]
        for top in range(0, size, box)
        for left in range(0, size, box)
    ]
    while 0 in grid:
        left = {
            cell: set(range(1, size + 1)) - {grid[other] for other in near[cell]}
            for cell, digit in enumerate(grid)
            if not digit
        }
        found = {cell: min(digits) for cell, digits in left.items() if len(digits) == 1}
        for unit, digit in itertools.product(units, range(1, size + 1)):
            places = [cell for cell in unit if digit in left.get(cell, ())]
            if len(places) == 1:
                found[places[0]] = digit
        if not found:
            return False
        cell, digit = found.popitem()
        grid[cell] = digit
    return True


def digest(puzzles: list[Puzzle]) -> str:
    return hashlib.sha256("\n".join(repr(puzzle) for puzzle in puzzles).encode()).hexdigest()


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[int, Split], list[Puzzle]]:
    """Puzzles of both sizes and all splits."""
    kinds = {2: (SMALL, 150), 3: (LARGE, 80)}
    return {(box, split): list(kinds[box][0].generate(0, split, kinds[box][1])) for box in kinds for split in SPLITS}


# ---- generator (items 15 and 16 of section 7)


def test_every_puzzle_has_exactly_its_label_as_solution(drawn: dict[tuple[int, Split], list[Puzzle]]) -> None:
    for (box, _), puzzles in drawn.items():
        for puzzle in puzzles:
            assert list(itertools.islice(slow_solutions(puzzle.prompt), 2)) == [puzzle.answer]
            assert (len(puzzle.prompt), len(puzzle.answer)) == (SMALL if box == 2 else LARGE).longest
            assert not set(puzzle.prompt + puzzle.answer) - set(CHARACTERS)


def test_labels_pass_the_verifier_and_the_solver_finds_them(drawn: dict[tuple[int, Split], list[Puzzle]]) -> None:
    for (box, _), puzzles in drawn.items():
        kind: Puzzles = SMALL if box == 2 else LARGE
        for puzzle in puzzles[:40]:
            verdict = kind.verify(puzzle.prompt, puzzle.answer)
            assert (verdict.official, verdict.strict, verdict.reason) == (True, True, "")
            assert kind.solve(puzzle.prompt) == puzzle.answer


def test_facts(drawn: dict[tuple[int, Split], list[Puzzle]]) -> None:
    singles: Counter[bool] = Counter()
    for (box, _), puzzles in drawn.items():
        least, most = {2: (5, 7), 3: (32, 36)}[box]
        for puzzle in puzzles:
            givens = len(puzzle.prompt) - puzzle.prompt.count("0")
            assert puzzle.facts["size"] == box**2
            assert puzzle.facts["givens"] == givens
            assert least <= givens <= most
        assert {puzzle.facts["givens"] for puzzle in puzzles} == set(range(least, most + 1))
        for puzzle in puzzles[:30]:
            assert puzzle.facts["singles"] == slow_singles(puzzle.prompt)
    hard = Sudoku(givens=(24, 27))
    for puzzle in hard.generate(0, "test", 30):
        singles[puzzle.facts["singles"]] += 1
        assert puzzle.facts["singles"] == slow_singles(puzzle.prompt)
    assert min(singles[True], singles[False]) >= 5  # else the fact was not put to the test


def test_puzzles_and_keys_differ(drawn: dict[tuple[int, Split], list[Puzzle]]) -> None:
    puzzles = [puzzle for group in drawn.values() for puzzle in group]
    assert len({puzzle.key for puzzle in puzzles}) == len({puzzle.prompt for puzzle in puzzles}) == len(puzzles)


def test_no_grid_is_in_two_splits(drawn: dict[tuple[int, Split], list[Puzzle]]) -> None:
    """The split is a function of the solution alone, and a puzzle has one: so splits share no puzzle, for any seeds."""
    for (_, split), puzzles in drawn.items():
        assert {split_of(puzzle.answer) for puzzle in puzzles} == {split}
    for kind, count in ((SMALL, 150), (LARGE, 5)):
        for seed, split in itertools.product((1, 2), SPLITS):
            assert {split_of(puzzle.answer) for puzzle in kind.generate(seed, split, count)} == {split}


def test_the_288_small_grids_and_their_splits(drawn: dict[tuple[int, Split], list[Puzzle]]) -> None:
    grids = list(slow_solutions("0" * 16))
    assert len(set(grids)) == 288  # the known number
    assert count_solutions("0" * 16, most=1000) == 288
    assert Counter(map(split_of, grids)) == {"train": 230, "valid": 29, "test": 29}
    used = {puzzle.answer for puzzle in drawn[2, "test"]}
    assert used == {grid for grid in grids if split_of(grid) == "test"}  # 150 puzzles reach all 29


def test_large_grids_with_their_digits_exchanged_stay_in_their_split(
    drawn: dict[tuple[int, Split], list[Puzzle]],
) -> None:
    rng = random.Random(0)
    for split in SPLITS:
        for puzzle in drawn[3, split][:20]:
            other = puzzle.answer.translate(str.maketrans("123456789", "".join(rng.sample("123456789", 9))))
            assert split_of(other) == split


def test_same_seed_same_bytes() -> None:
    for kind, count in ((SMALL, 40), (LARGE, 6)):
        puzzles = list(kind.generate(7, "train", count))
        assert digest(puzzles) == digest(list(kind.generate(7, "train", count)))
        assert digest(puzzles[:5]) == digest(list(kind.generate(7, "train", 5)))  # fewer are the first of more
        assert puzzles[3] == kind.draw(7, "train", 3)
        assert digest(puzzles) != digest(list(kind.generate(8, "train", count)))


def test_same_bytes_in_another_process() -> None:
    code = (
        "from tenon.tasks.puzzles.sudoku import Sudoku; import hashlib\n"
        "puzzles = [*Sudoku(box=2).generate(0, 'test', 20), *Sudoku().generate(0, 'test', 4)]\n"
        "print(hashlib.sha256('\\n'.join(map(repr, puzzles)).encode()).hexdigest())"
    )
    here = digest([*SMALL.generate(0, "test", 20), *LARGE.generate(0, "test", 4)])
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here


def test_a_small_world_runs_out_without_repetition() -> None:
    kind = Sudoku(box=2, givens=(15, 15))  # 29 grids with one of 16 cells blank: 464 puzzles
    found: list[Puzzle] = []
    with pytest.raises(ConfigError, match="were repetitions; ask for fewer"):
        found.extend(kind.generate(0, "test", 465))  # extend keeps what came before the error
    assert 440 <= len({puzzle.prompt for puzzle in found}) == len(found) <= 464


# ---- grids and digging


def signature(grid: str) -> tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]:
    """What no symmetry changes: how pairs of parallel lines of a band permute into each other, as cycle lengths."""
    rows = [grid[i * 9 : i * 9 + 9] for i in range(9)]
    columns = [grid[i::9] for i in range(9)]

    def cycles(one: str, other: str) -> tuple[int, ...]:
        follow, lengths = dict(zip(one, other, strict=True)), []
        while follow:
            start = digit = next(iter(follow))
            length = 0
            while digit in follow:
                digit, length = follow.pop(digit), length + 1
            assert digit == start
            lengths.append(length)
        return tuple(sorted(lengths))

    def bands(lines: list[str]) -> tuple[tuple[tuple[int, ...], ...], ...]:
        pairs = itertools.combinations
        return tuple(sorted(tuple(sorted(cycles(*pair) for pair in pairs(lines[i : i + 3], 2))) for i in (0, 3, 6)))

    return tuple(sorted([bands(rows), bands(columns)]))


def test_grids_are_no_symmetry_copies_of_each_other() -> None:
    """Renaming digits, exchanging lines or bands, and turning keep the signature: where it differs, so do grids."""
    on, rng = board(3), random.Random(0)
    grids = [on.decode(draw_grid(on, rng)) for _ in range(200)]
    assert not any(find_fault(grid, grid) for grid in grids)
    assert len({signature(grid) for grid in grids}) >= 198
    for cell in range(81):
        assert {grid[cell] for grid in grids} == set("123456789")
    # The signature is what it says: a renamed, turned grid with two rows of a band exchanged has the same.
    grid = grids[0]
    turned = "".join(grid[i::9] for i in (1, 0, 2, 6, 7, 8, 3, 4, 5)).translate(str.maketrans("123456789", "312564897"))
    assert not find_fault(turned, turned)
    assert turned != grid
    assert signature(turned) == signature(grid)


def test_all_small_grids_are_drawn_about_equally_often() -> None:
    on, rng = board(2), random.Random(0)
    counts = Counter(draw_grid(on, rng) for _ in range(288 * 12))
    assert len(counts) == 288
    assert max(counts.values()) < 12 + 5 * 12**0.5  # five standard deviations of a count of mean 12


def test_the_same_diagonal_and_order_give_different_grids() -> None:
    class Fixed(random.Random):
        def sample(self, population: range, k: int) -> list[int]:  # type: ignore[override]
            return list(population)

    on = board(3)
    assert len({draw_grid(on, Fixed(seed)) for seed in range(20)}) == 20


@pytest.mark.parametrize("givens", [0, 34])
def test_digging_in_runs_equals_digging_cell_by_cell(givens: int) -> None:
    on, rng = board(3), random.Random(1)
    for _ in range(6):
        solution, order = draw_grid(on, rng), rng.sample(range(81), 81)
        left, text = solution, on.decode(solution)
        for cell in order:
            without = left & ~on.encode("0" * cell + text[cell] + "0" * (80 - cell))
            if left.bit_count() > givens and is_unique(on, without):
                left = without
        assert dig(on, solution, order, givens) == left
        assert left.bit_count() == 34 if givens else left.bit_count() < 30


# ---- solver


def test_counts_equal_those_of_the_slow_twin() -> None:
    """Too few givens (several solutions), changed givens (mostly none) and those of puzzles (one)."""
    rng, found = random.Random(2), Counter[int]()
    for kind, count in ((SMALL, 60), (LARGE, 25)):
        for puzzle in kind.generate(3, "train", count):
            cells = rng.sample(range(len(puzzle.prompt)), 3)
            fewer, changed = list(puzzle.prompt), list(puzzle.prompt)
            for cell in cells:
                fewer[cell] = "0"
                changed[cell] = str(rng.randint(1, kind.size))
            for prompt in (puzzle.prompt, "".join(fewer), "".join(changed)):
                slow = sum(1 for _ in itertools.islice(slow_solutions(prompt), 12))
                assert count_solutions(prompt, 12) == slow
                assert count_solutions(prompt) == min(slow, 2)
                found[min(slow, 2)] += 1
                assert (kind.solve(prompt) is None) == (slow != 1)
    assert min(found[0], found[1], found[2]) >= 20


def test_singles_strike_no_solution() -> None:
    on = board(2)
    for puzzle in SMALL.generate(4, "train", 30):
        prompt = "0" * 8 + puzzle.prompt[8:]
        left = narrow(on, place(on, on.encode(prompt)))
        for solution in slow_solutions(prompt):
            assert on.encode(solution) & ~left == 0


def test_two_singles_of_one_rule_are_a_contradiction() -> None:
    on = board(2)
    assert place(on, on.encode("11" + "0" * 14)) == 0
    # In the first row, 1 and 2 have the first cell alone. No rule ever runs out of candidates.
    candidates = on.everything & ~(0b1110 | 0b1110 << on.cells)
    assert narrow(on, candidates) == 0


def test_hard_and_impossible_puzzles() -> None:
    fewest = "000000010400000000020000000000050407008000300001090000300400200050100000000806000"
    searched = "800000000003600000070090200050007000000045700000100030001000068008500010090000400"
    for prompt in (fewest, searched):
        (answer,) = slow_solutions(prompt) if prompt == searched else [LARGE.solve(prompt)]
        assert answer is not None
        assert LARGE.solve(prompt) == answer
        assert not find_fault(prompt, answer)
    # Known to cost a search that branches on cells alone very long.
    impossible = "000005080000601043000000000010500000000106000300000005530000061000000004000000000"
    assert (LARGE.solve(impossible), count_solutions(impossible)) == (None, 0)
    assert count_solutions("11" + "0" * 79) == 0
    assert count_solutions("0" * 81, most=5) == 5
    assert LARGE.solve("0" * 81) is None
    assert LARGE.solve(QUIZ) == SOLUTION


# ---- verifier


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SOLUTION[:-1], "malformed: 80 characters instead of 81"),
        (SOLUTION + "1", "malformed: 82 characters instead of 81"),
        (SOLUTION + "\n", "malformed: 82 characters instead of 81"),
        ("", "malformed: 0 characters instead of 81"),
        ("8", "malformed: 1 character instead of 81"),
        (QUIZ, "malformed: '0' at row 1, column 1 is no digit from 1 to 9"),
        ("=" + SOLUTION[1:], "malformed: '=' at row 1, column 1 is no digit from 1 to 9"),
        (SOLUTION[:-1] + "８", "malformed: '８' at row 9, column 9 is no digit from 1 to 9"),  # noqa: RUF001
        (SOLUTION[:-1] + "²", "malformed: '²' at row 9, column 9 is no digit from 1 to 9"),
        (SOLUTION[:2] + "5" + SOLUTION[3:], "a given was changed at row 1, column 3"),
        ("3" + SOLUTION[1:], "row 1 has two 3s"),
        ("36" + SOLUTION[2:], "row 1 has two 3s"),
        # Exchanged within a row: rows stay right.
        ("68" + SOLUTION[2:], "column 1 has two 6s"),
    ],
)
def test_reasons(text: str, reason: str) -> None:
    verdict = LARGE.verify(QUIZ, text)
    assert (verdict.official, verdict.strict, verdict.reason) == (False, False, reason)
    assert verdict.is_malformed == reason.startswith("malformed")


def test_a_box_can_be_the_only_fault() -> None:
    assert SMALL.verify("0" * 16, "1234234134124123").reason == "box 1 (rows 1-2, columns 1-2) has two 2s"
    assert SMALL.verify("0" * 16, "1134" * 4).reason == "row 1 has two 1s"
    assert SMALL.verify("0" * 16, "1234" * 4).reason == "column 1 has four 1s"


def test_a_valid_grid_that_changes_a_given_is_wrong() -> None:
    other = SOLUTION.translate(str.maketrans("12", "21"))
    assert find_fault(other, other) == ""
    verdict = LARGE.verify(QUIZ, other)
    assert (verdict.official, verdict.strict) == (False, False)
    assert verdict.reason.startswith("a given was changed")


def test_with_several_solutions_each_is_strictly_right_and_none_officially() -> None:
    prompt = "1" + "0" * 15
    answers = list(slow_solutions(prompt))
    assert len(answers) == 72
    for answer in answers[:10]:
        verdict = SMALL.verify(prompt, answer)
        assert (verdict.official, verdict.strict, verdict.reason) == (False, True, "")


def test_strict_is_what_the_rules_say_and_nothing_raises() -> None:
    rng, right = random.Random(5), 0
    puzzles = list(SMALL.generate(5, "test", 20))
    for puzzle in puzzles:
        texts = ["".join(rng.choices(CHARACTERS, k=rng.randint(0, 20))) for _ in range(10)]
        texts += ["".join(rng.choices("1234", k=16)), puzzle.answer, rng.choice(puzzles).answer, "\x00" * 16, "é" * 16]
        changed = list(puzzle.answer)
        changed[rng.randrange(16)] = rng.choice("1234")
        for text in [*texts, "".join(changed)]:
            verdict = SMALL.verify(puzzle.prompt, text)
            assert verdict.strict == verdict.official == (text in slow_solutions(puzzle.prompt))
            assert (verdict.reason == "") == verdict.strict
            right += verdict.strict
    assert right >= 20


# ---- on the terminal


def test_render() -> None:
    lines = LARGE.render(QUIZ).splitlines()
    assert len(lines) == 13
    assert lines[:2] == ["+-------+-------+-------+", "| . . 4 | 3 . . | 2 . 9 |"]
    assert "!" not in LARGE.render(QUIZ, SOLUTION)
    assert LARGE.render(QUIZ, SOLUTION).splitlines()[1] == "| 8 6 4 | 3 7 1 | 2 5 9 |"
    # A changed given, then a digit that stands twice in a row, then what cannot be read.
    assert LARGE.render(QUIZ, "865" + SOLUTION[3:]).splitlines()[1] == "| 8 6 5!| 3 7 1 | 2 5!9 |"
    assert LARGE.render(QUIZ, "\x1b[" + SOLUTION[2:]).splitlines()[1] == "| ? ? 4 | 3 7 1 | 2 5 9 |"
    assert LARGE.render(QUIZ, SOLUTION[:80] + "34").splitlines()[-1] == "characters beyond the grid: 1"
    # Nothing was written: the givens are missing.
    assert SMALL.render("0002001004203000", "").splitlines()[1] == "| ? ? | ? ?!|"
    with pytest.raises(DataError, match="with box=2 it must have 16"):
        SMALL.render(QUIZ)


# ---- bad input


def test_prompts_that_are_none() -> None:
    for call in (LARGE.solve, count_solutions, lambda prompt: LARGE.verify(prompt, SOLUTION)):
        with pytest.raises(DataError, match="has 80 characters; it must have 81"):
            call(QUIZ[:-1])
        with pytest.raises(DataError, match=r"'\.' at row 1, column 1; it must be a digit from 1 to 9, or 0"):
            call("." + QUIZ[1:])
    with pytest.raises(DataError, match="with box=3 it must have 81"):
        LARGE.solve("0" * 16)
    with pytest.raises(DataError, match="'5' at row 1, column 1; it must be a digit from 1 to 4"):
        SMALL.verify("5" + "0" * 15, "1" * 16)
    with pytest.raises(DataError, match="no full Sudoku grid: malformed: '0'"):
        split_of(QUIZ)
    with pytest.raises(DataError, match="no full Sudoku grid: row 1 has two 6s"):
        split_of("66" + SOLUTION[2:])


def test_refused_options() -> None:
    with pytest.raises(ConfigError, match="box is 4"):
        Sudoku(box=4)
    for givens in ((16, 30), (30, 29), (30, 81), (30,)):
        with pytest.raises(ConfigError, match="both from 17 to 80"):
            Sudoku(givens=givens)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="both from 4 to 15"):
        Sudoku(box=2, givens=(3, 6))
    with pytest.raises(ConfigError, match="split is 'dev'"):
        LARGE.generate(0, "dev", 1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="split is 'dev'"):
        LARGE.draw(0, "dev", 1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="count is -1"):
        LARGE.generate(0, "test", -1)
    with pytest.raises(ConfigError, match="most is 0"):
        count_solutions(QUIZ, 0)
    assert list(LARGE.generate(0, "test", 0)) == []


def test_givens_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenon.tasks.puzzles.sudoku._MOST_GRIDS", 3)
    with pytest.raises(ConfigError, match="none of 3 grids could be dug down to 17 givens"):
        Sudoku(givens=(17, 17)).draw(0, "train", 0)
