"""What becomes a pair, and where everything else went (sections 2.3 and 2.7; properties 7.4, 7.15, 7.16)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenon.core.errors import DataError
from tenon.core.run import Run
from tenon.methods.rise.config import PRESETS, PairConfig, PromptConfig, Recipe
from tenon.methods.rise.filters import FILTERS, KEPT
from tenon.methods.rise.pairs import ADVICE, USED, Pairs, build_pairs, choose, choose_all, export_pairs, save_pairs
from tenon.methods.rise.rows import Edit, Pair, Question, Solution, read_pairs

QUESTION = Question(id="q", prompt="How many?", answer="17", dataset="apples")


def solution(
    sample: int, correct: bool | None, *, finish: str = "stop", text: str | None = None, of: str = "q"
) -> Solution:
    text = f"Step 1: a{sample}\nStep 2: b{sample}" if text is None else text
    return Solution(
        key=f"{of}/{sample}", id=of, sample=sample, text=text, correct=correct, found=None, finish_reason=finish,
        writer="w",
    )  # fmt: skip


def edit(step: int, outcome: str = KEPT, *, sample: int = 0, of: str = "q", last: bool = False) -> Edit:
    return Edit(
        key=f"{of}/{sample}/{step}", id=of, sample=sample, step=step, last_step=last, prefix=f"Step {step}:",
        chosen=f" a{step}", offset=1, window=f"a{step}", kind="value", answer="x", rejected=f" x{step}", distance=1,
        outcome=outcome, writer="w",
    )  # fmt: skip


BOTH = [solution(0, True), solution(1, False)]


def recipe(**changes: Any) -> Recipe:
    return Recipe(pairs=replace(PairConfig(), **changes))


# What is chosen


@pytest.mark.parametrize(
    ("solutions", "changes", "outcome"),
    [
        (BOTH, {}, USED),
        ([], {}, "no solution"),
        ([solution(0, True), solution(1, True)], {}, "all right"),
        ([solution(0, True), solution(1, None)], {}, "all right"),
        ([solution(0, True)], {"need_both": False}, USED),
        ([solution(0, False)], {}, "all wrong"),
        ([solution(0, False)], {"need_both": False}, "all wrong"),
        ([solution(0, False, finish="length")], {}, "all cut"),
        ([solution(0, True, finish="length"), solution(1, False)], {}, "right ones are cut"),
        ([solution(0, True), solution(1, False, finish="length")], {}, "wrong ones are cut"),
        ([solution(0, True), solution(1, False, finish="length")], {"cut_rejected": True}, USED),
        ([solution(0, True, finish="length"), solution(1, False)], {"cut_rejected": True}, "right ones are cut"),
        ([solution(0, True, text="a mistake"), solution(1, False)], {}, "right ones correct themselves"),
        ([solution(0, True, text="a mistake"), solution(1, False)], {"phrases": False}, USED),
        ([solution(0, None), solution(1, None)], {}, "nobody could grade them"),
        ([solution(0, None), solution(1, False)], {}, "all wrong"),
    ],
)
def test_a_question_is_used_if_it_has_a_right_and_a_wrong_solution(
    solutions: list[Solution], changes: dict[str, Any], outcome: str
) -> None:
    choice = choose(QUESTION, solutions, replace(PairConfig(), **changes), 0)
    assert choice.outcome == outcome
    assert (choice.chosen is None) == (outcome != USED)
    assert outcome == USED or outcome in ADVICE


def test_what_could_not_be_graded_is_no_wrong_solution() -> None:
    """A checker that ran out of time says nothing; a right solution as y- would teach the opposite."""
    solutions = [solution(0, True), *(solution(sample, None) for sample in range(1, 5))]
    assert choose(QUESTION, solutions, PairConfig(), 0).outcome == "all right"
    with_wrong = [*solutions, solution(5, False)]
    assert {choose(QUESTION, with_wrong, PairConfig(), seed).rejected for seed in range(30)} == {5}


def test_both_are_drawn_uniformly_by_seed_and_question() -> None:
    solutions = [solution(sample, sample < 3) for sample in range(5)]
    choices = [choose(replace(QUESTION, id=str(n)), solutions, PairConfig(), 0) for n in range(3000)]
    right, wrong = Counter(one.chosen for one in choices), Counter(one.rejected for one in choices)
    assert all(abs(right[sample] / 3000 - 1 / 3) < 0.04 for sample in range(3)), right
    assert all(abs(wrong[sample] / 3000 - 1 / 2) < 0.04 for sample in (3, 4)), wrong
    assert choose(QUESTION, solutions, PairConfig(), 1) != choose(QUESTION, solutions, PairConfig(), 2)
    assert choose(QUESTION, solutions[::-1], PairConfig(), 1) == choose(QUESTION, solutions, PairConfig(), 1)


# What becomes a pair


def test_a_full_and_an_edited_pair_by_hand() -> None:
    made = build_pairs([QUESTION], BOTH, [edit(2, last=True)], recipe())
    assert made.rows == (
        Pair(
            prompt="How many?", initial_reason_steps="", chosen="Step 1: a0\nStep 2: b0",
            rejected="Step 1: a1\nStep 2: b1", answer="17", dataset="apples", pair_kind="full", source_id="q",
            sample_index=0,
        ),
        Pair(
            prompt="How many?", initial_reason_steps="Step 2:", chosen=" a2", rejected=" x2", answer="17",
            dataset="apples", step=2, last_step=True, pair_kind="edit", edit_type="value", edit_distance=1,
            source_id="q", sample_index=0,
        ),
    )  # fmt: skip
    assert made.counts == {
        "questions": {"paired": 1}, "edits": {"paired": 1}, "pairs": {"edit": 1, "full": 1},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, ["full", "edit"]),
        ({"edited": 0}, ["full"]),
        ({"full": False}, ["edit"]),
        ({"edited": 2}, ["full", "edit", "edit"]),
        ({"edited": 9}, ["full", "edit", "edit", "edit"]),
    ],
)
def test_the_ablations_are_options(changes: dict[str, Any], kinds: list[str]) -> None:
    made = build_pairs([QUESTION], BOTH, [edit(step) for step in (1, 2, 3)], recipe(**changes))
    assert [pair.pair_kind for pair in made.rows] == kinds
    missing = max(0, changes.get("edited", 1) - 3)
    assert made.counts["pairs"].get("edits missing", 0) == missing


def test_edited_pairs_are_drawn_uniformly_without_replacement() -> None:
    questions = [replace(QUESTION, id=str(n)) for n in range(2000)]
    solutions = [solution(s, s == 0, of=q.id) for q in questions for s in (0, 1)]
    edits = [edit(step, of=q.id) for q in questions for step in (1, 2, 3, 4)]
    made = build_pairs(questions, solutions, edits, recipe(edited=2, full=False))
    steps = [[pair.step for pair in made.rows[at : at + 2]] for at in range(0, 4000, 2)]
    assert all(a < b for a, b in steps)  # type: ignore[operator]
    drawn = Counter(map(tuple, steps))
    assert len(drawn) == 6
    assert all(abs(count / 2000 - 1 / 6) < 0.04 for count in drawn.values()), drawn


def test_without_a_wrong_solution_there_are_edited_pairs_if_wanted() -> None:
    made = build_pairs([QUESTION], [solution(0, True)], [edit(1)], recipe(need_both=False))
    assert [pair.pair_kind for pair in made.rows] == ["edit"]


def test_7_04_an_edit_that_changes_nothing_is_no_pair_whoever_kept_it() -> None:
    same = replace(edit(2), rejected=r"\boxed{a2} ")
    made = build_pairs([QUESTION], BOTH, [edit(1), same], recipe(edited=2))
    assert [pair.step for pair in made.rows] == [None, 1]
    assert made.counts["edits"] == {"no change": 1, "paired": 1}


def test_pairs_survive_their_file(tmp_path: Path) -> None:
    made = build_pairs([QUESTION], BOTH, [edit(1), edit(2, "no change")], recipe())
    with Run.open(tmp_path / "run", config={}) as run:
        save_pairs(run, made)
        save_pairs(run, made)  # a run that goes on
        assert run.stages()["pairs"] == made.counts
    assert tuple(read_pairs(tmp_path / "run" / "pairs.jsonl")) == made.rows
    record = json.loads((tmp_path / "run" / "pairs.jsonl").read_text().splitlines()[1])
    assert set(record) == {
        "key", "prompt", "initial_reason_steps", "chosen", "rejected", "answer", "dataset", "step", "last_step",
        "pair_kind", "edit_type", "edit_distance", "source_id", "sample_index", "schema",
    }  # fmt: skip


# Everything is counted


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Question], list[Solution], list[Edit], Recipe]:
    questions = [replace(QUESTION, id=str(n)) for n in range(draw(st.integers(1, 4)))]
    solutions, edits = [], []
    for question in questions:
        for sample in range(draw(st.integers(0, 4))):
            correct, finish = draw(st.sampled_from([True, False, None])), draw(st.sampled_from(["stop", "length"]))
            text = draw(st.sampled_from(["plain", "a mistake"]))
            solutions.append(solution(sample, correct, finish=finish, text=text, of=question.id))
            for step in range(1, draw(st.integers(0, 3)) + 1):
                outcome = draw(st.sampled_from([KEPT, *FILTERS[:3]]))
                edits.append(edit(step, outcome, sample=sample, of=question.id))
    full = draw(st.booleans())
    config = PairConfig(
        full=full, edited=draw(st.integers(0 if full else 1, 3)), need_both=draw(st.booleans()),
        phrases=draw(st.booleans()), cut_rejected=draw(st.booleans()),
    )  # fmt: skip
    return questions, solutions, edits, Recipe(pairs=config, seed=draw(st.integers(0, 3)))


def built(world: tuple[list[Question], list[Solution], list[Edit], Recipe]) -> Pairs | None:
    try:
        return build_pairs(*world)
    except DataError as error:
        if not str(error).startswith(("There is no pair.", "There is no edited pair")):
            raise
        return None


@settings(max_examples=300)
@given(world=worlds())
def test_7_16_every_question_and_every_edit_is_in_one_bucket(
    world: tuple[list[Question], list[Solution], list[Edit], Recipe],
) -> None:
    questions, solutions, edits, recipe = world
    made = built(world)
    choices = choose_all(questions, solutions, recipe)
    if made is None:
        return
    counts = made.counts
    assert sum(counts["questions"].values()) == len(questions)
    assert sum(counts["edits"].values()) == len(edits)
    assert counts["pairs"].get("full", 0) + counts["pairs"].get("edit", 0) == len(made.rows)
    assert counts["edits"].get("paired", 0) == counts["pairs"].get("edit", 0)
    assert counts["questions"].get("paired", 0) == len({pair.source_id for pair in made.rows})
    # each reason is that of the rows
    for name in ADVICE:
        if name != "no edit kept":
            assert counts["questions"].get(name, 0) == sum(one.outcome == name for one in choices)
    used = {(one.key, one.chosen) for one in choices if one.outcome == USED}
    for name in FILTERS:
        expected = sum(one.outcome == name and (one.id, one.sample) in used for one in edits)
        assert counts["edits"].get(name, 0) == expected
    wanted = recipe.pairs.edited * len(used)
    assert counts["pairs"].get("edit", 0) + counts["pairs"].get("edits missing", 0) == wanted
    assert all(pair.chosen != pair.rejected for pair in made.rows if pair.pair_kind == "edit")


@settings(max_examples=100)
@given(world=worlds(), order=st.randoms(use_true_random=False))
def test_7_15_the_order_of_rows_changes_nothing(
    world: tuple[list[Question], list[Solution], list[Edit], Recipe], order: Random
) -> None:
    questions, solutions, edits, recipe = world
    first = built(world)
    shuffled = solutions.copy(), edits.copy()
    for rows in shuffled:
        order.shuffle(rows)
    assert built((questions, *shuffled, recipe)) == first


def test_7_15_the_order_of_edits_changes_no_draw() -> None:
    edits = [edit(step) for step in range(1, 9)]
    for seed in range(5):
        one, other = (
            build_pairs([QUESTION], BOTH, rows, replace(recipe(), seed=seed)) for rows in (edits, edits[::-1])
        )
        assert one == other


def test_7_15_another_question_in_the_file_changes_no_draw() -> None:
    solutions = [solution(sample, sample < 3) for sample in range(5)]
    edits = [edit(step, sample=sample) for sample in range(3) for step in (1, 2, 3)]
    other = replace(QUESTION, id="other")
    more = [solution(sample, sample < 3, of="other") for sample in range(5)]
    alone = build_pairs([QUESTION], solutions, edits, recipe()).rows
    assert alone == build_pairs([other, QUESTION], [*more, *solutions], edits, recipe()).rows[1:]


# Errors


def test_no_pair_is_an_error_that_says_why_and_what_helps() -> None:
    questions = [QUESTION, replace(QUESTION, id="r"), replace(QUESTION, id="s")]
    solutions = [
        solution(0, True),
        solution(0, False, of="r"),
        *(replace(one, id="s", key=f"s/{one.sample}") for one in BOTH),
    ]
    edits = [edit(1, "no change", of="s"), edit(2, "edit distance", of="s")]
    with pytest.raises(DataError) as error:
        build_pairs(questions, solutions, edits, recipe(full=False))
    for part in (
        "1 all right (raise sample.temperature",
        "1 all wrong (",
        "1 no edit kept (",
        "1 edit distance, 1 no change",
    ):
        assert part in str(error.value)


def test_without_an_edited_pair_it_would_be_ordinary_dpo_and_is_refused_unless_wanted() -> None:
    dropped = [edit(1, "no closing fence"), edit(2, "no closing fence")]
    with pytest.raises(DataError) as error:
        build_pairs([QUESTION], BOTH, dropped, recipe())
    for part in (
        "There is no edited pair, and 1 of whole solutions alone are ordinary DPO",
        "2 no closing fence",
        "edit.editor",
        "--set pairs.edited=0",
    ):
        assert part in str(error.value)
    assert [pair.pair_kind for pair in build_pairs([QUESTION], BOTH, dropped, recipe(edited=0)).rows] == ["full"]


@pytest.mark.parametrize("what", ["solution", "edit"])
def test_rows_of_other_questions_and_doubled_ones_are_refused(what: str) -> None:
    strange: dict[str, Any] = {"solution": [solution(0, True, of="x")], "edit": [edit(1, of="x")]}
    twice: dict[str, Any] = {"solution": [BOTH[0], BOTH[0]], "edit": [edit(1), edit(1)]}
    for rows, words in ((strange, "not among the 1 questions"), (twice, "given twice")):
        given: dict[str, Any] = {"solution": BOTH, "edit": [edit(1)]} | {what: rows[what]}
        with pytest.raises(DataError, match=words):
            build_pairs([QUESTION], given["solution"], given["edit"], recipe())


# Presets and export


def test_the_presets_differ_where_paper_and_code_do() -> None:
    paper, code = PRESETS["paper"], PRESETS["released-code"]
    assert replace(code.edit, filters=replace(code.edit.filters, distance=True)) == paper.edit
    assert not code.edit.filters.distance
    assert replace(code.pairs, cut_rejected=False) == paper.pairs
    assert (code.prompt, code.sample) == (paper.prompt, paper.sample)
    assert (paper.sample.samples, paper.pairs.edited, paper.pairs.full) == (5, 1, True)


class _Tokenizer(SimpleNamespace):
    chat_template = "some"

    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        return "".join(f"<{one['role']}>{one['content']}" for one in messages) + "<assistant>"


def test_pairs_are_exported_only_where_eos_does_no_harm() -> None:
    made = build_pairs([QUESTION], BOTH, [edit(1), edit(2, last=True)], recipe(edited=2))
    rows, left_out = export_pairs(made.rows, _Tokenizer(), PromptConfig(instruction="Think."))
    asked = "<user>How many?\nThink.<assistant>"
    assert rows == [
        {"prompt": asked, "chosen": "Step 1: a0\nStep 2: b0", "rejected": "Step 1: a1\nStep 2: b1"},
        {"prompt": f"{asked}Step 2:", "chosen": " a2", "rejected": " x2"},
    ]
    assert left_out == 1  # the step that is not the last
    rows, left_out = export_pairs(made.rows, _Tokenizer(), PromptConfig(instruction="Think."), without_eos=True)
    assert (len(rows), left_out) == (3, 0)
