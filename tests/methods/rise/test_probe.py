"""Margins of unseen steps: the sum of plain log-probabilities, token by token, on pairs made of true solutions."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
import torch

from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.methods.rise.config import PRESETS, EditConfig, FilterConfig, PairConfig, PromptConfig, Recipe
from tenon.methods.rise.equations import find_equations
from tenon.methods.rise.evaluate import word_problems
from tenon.methods.rise.probe import held_out_pairs, margins
from tenon.methods.rise.rows import Pair
from tests.methods.rise.pairs import in_double

RECIPE = PRESETS["nano"]
PROBLEMS = word_problems(0, "valid", 40, max_steps=4)


def pair(number: int, kind: str, *, last: bool = False) -> Pair:
    return Pair(
        prompt=f"What is {number} and {number}?",
        initial_reason_steps=f"Step 1: {number} it is.\nStep 2:",
        chosen=f" {number} + {number} = {2 * number}.",
        rejected=f" {number} + {number} = {2 * number + 1}" + "!" * (number % 3),
        pair_kind="edit",
        edit_type=kind,
        step=2,
        last_step=last,
        source_id=str(number),
    )


OTHER = replace(pair(130, "random"), rejected="So 7.")  # differs from its first token on
PAIRS = [
    pair(4, "value"),
    pair(25, "swap", last=True),
    pair(7, "value", last=True),
    OTHER,
    pair(9, "swap"),
]


def slow_margin(model: Any, one: Pair) -> float:
    """One forward pass per token of a completion, and nothing else."""
    tokenizer, told = tiny_tokenizer(), []
    prompt = f"<bos>user: {one.prompt}\nassistant: {one.initial_reason_steps}"
    for completion in (one.chosen, one.rejected):
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        total = 0.0
        ending = [tokenizer.eos_token_id] if one.last_step else []
        for token in tokenizer(completion, add_special_tokens=False)["input_ids"] + ending:
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0, -1]
            total += float(logits.log_softmax(-1)[token])
            ids = [*ids, token]
        told.append(total)
    return told[0] - told[1]


@pytest.mark.parametrize("arch", ["llama", "qwen2"])
def test_margins_are_sums_of_plain_log_probabilities(arch: str) -> None:
    model = in_double(tiny_model(arch))
    expected = {one.source_id: slow_margin(model, one) for one in PAIRS}
    assert min(map(abs, expected.values())) > 0.1  # or a sign or a token would not be missed
    rows = {row["kind"]: row for row in margins(model, tiny_tokenizer(), PAIRS, RECIPE)}
    assert list(rows) == ["value", "swap", "random", "all"]
    groups = {"value": ["4", "7"], "swap": ["25", "9"], "random": ["130"], "all": [one.source_id for one in PAIRS]}
    for kind, names in groups.items():
        found = [expected[name] for name in names]
        # margins of about 10 nats, of which the log-softmax is taken in float32
        assert rows[kind]["margin"] == pytest.approx(fmean(found), abs=2e-4), kind
        assert rows[kind]["preferred"] == fmean(one > 0 for one in found)
        assert rows[kind]["pairs"] == len(found)


def test_the_size_of_a_batch_does_not_matter() -> None:
    model = tiny_model("llama")
    one, two, all_of_them = (margins(model, tiny_tokenizer(), PAIRS, RECIPE, batch_size=size) for size in (1, 2, 32))
    for row, second, third in zip(one, two, all_of_them, strict=True):
        assert row["margin"] == pytest.approx(second["margin"], abs=1e-4)  # fp32, other padding
        assert row["margin"] == pytest.approx(third["margin"], abs=1e-4)
        assert row["preferred"] == second["preferred"] == third["preferred"]


def test_a_last_step_ends_only_if_it_does_in_training() -> None:
    without = replace(RECIPE, rise=replace(RECIPE.rise, eos_on_terminal=False))
    rows = [
        {row["kind"]: row["margin"] for row in margins(tiny_model("llama"), tiny_tokenizer(), [one], recipe)}
        for one in (PAIRS[1], PAIRS[4])
        for recipe in (RECIPE, without)
    ]
    assert rows[0] != rows[1]
    assert rows[2] == rows[3]


def test_a_kind_without_pairs_has_no_row() -> None:
    assert margins(tiny_model("llama"), tiny_tokenizer(), [], RECIPE) == []
    (one, total) = margins(tiny_model("llama"), tiny_tokenizer(), PAIRS[:1], RECIPE)
    assert (one["kind"], total["kind"], one["margin"]) == ("value", "all", total["margin"])


def test_held_out_pairs_are_one_true_step_per_problem_and_the_same_made_false() -> None:
    pairs = held_out_pairs(PROBLEMS, RECIPE)
    by_key = {problem.key: problem for problem in PROBLEMS}
    # Of some problems no edit is kept: a step that still ends in the right answer is none.
    assert len({one.source_id for one in pairs}) == len(pairs) > 0.75 * len(PROBLEMS)
    for one in pairs:
        problem = by_key[one.source_id]
        assert one.prompt == problem.question
        assert problem.solution.startswith(one.initial_reason_steps + one.chosen)
        assert all(equation.holds for equation in find_equations(one.chosen))
        assert not all(equation.holds for equation in find_equations(one.rejected))
        assert one.pair_kind == "edit"
    # of all places, not only the first step
    assert {one.step for one in pairs} == {1, 2, 3, 4}
    assert held_out_pairs(list(reversed(PROBLEMS)), RECIPE) == list(reversed(pairs))


def test_held_out_pairs_are_the_same_whatever_is_trained() -> None:
    """The same questions of the same kind for all contenders: whoever edits, and whatever else becomes a pair."""
    expected = held_out_pairs(PROBLEMS, RECIPE)
    for edit, pairs in (
        (replace(RECIPE.edit, editor="llm"), RECIPE.pairs),
        (replace(RECIPE.edit, editor="random"), RECIPE.pairs),
        (RECIPE.edit, PairConfig(full=True, edited=0)),
        (RECIPE.edit, PairConfig(edited=3)),
    ):
        assert held_out_pairs(PROBLEMS, replace(RECIPE, edit=edit, pairs=pairs)) == expected


def test_with_the_distance_in_tokens_the_tokenizer_counts_them() -> None:
    filters = FilterConfig(unit="token", max_abs=1, max_ratio=None)
    recipe = Recipe(prompt=PromptConfig(), edit=EditConfig(editor="rules", filters=filters))
    pairs = held_out_pairs(PROBLEMS, recipe, tokenize=str.split)
    assert {one.edit_distance for one in pairs} == {1}  # one word
