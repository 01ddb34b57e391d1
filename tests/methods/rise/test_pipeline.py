"""All stages in one run: what each hands to the next, measured before and after, done once, refused before any work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenon.core.chat import ScriptedWriter
from tenon.core.errors import DataError
from tenon.core.models.loading import load_tokenizer
from tenon.core.run import Run
from tenon.methods.rise import pipeline
from tenon.methods.rise.config import FilterConfig, Recipe
from tenon.methods.rise.encode import tokens_of
from tenon.methods.rise.evaluate import questions_of, word_problems
from tenon.methods.rise.filters import edit_distance
from tenon.methods.rise.pipeline import run_recipe
from tenon.methods.rise.rows import read_pairs
from tests.methods.rise.solver import RECIPE, Solver, save_policy, solve

TRAINED = questions_of(word_problems(0, "train", 5, max_steps=2))
PROBLEMS = word_problems(0, "test", 3, max_steps=2)
UNSEEN = questions_of(PROBLEMS)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_policy(tmp_path_factory.mktemp("policy"))


def ran(path: Path, policy: str, recipe: Recipe = RECIPE, writer: Any = None, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"unseen": UNSEEN, "problems": PROBLEMS, "device": "cpu"} | options
    with Run.open(path, config=recipe, seed=recipe.seed) as run:
        return run_recipe(run, policy, writer or Solver(), TRAINED, recipe, **given)


def rows(path: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / f"{name}.jsonl").read_text().splitlines()]


def test_a_run_goes_from_questions_to_a_measured_model(
    tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = ran(tmp_path, policy)
    assert facts["sampling"]["solutions"] == 15
    assert facts["sampling"]["right"] == pytest.approx(2 / 3)  # the solver is right at samples 0 and 2
    assert facts["sampling"]["with both"] == 5
    assert facts["editing"]["kept"] >= 1
    pairs = read_pairs(tmp_path / "pairs.jsonl")
    assert facts["pairs"] == len(pairs) == facts["training"]["pairs"] == facts["training"]["rows"]
    assert {one.pair_kind for one in pairs} == {"full", "edit"}
    assert facts["training"]["steps"] == 2
    assert facts["accuracy"] == {"before": 1.0, "after": 0.0}  # the solver, and a random model of two steps
    assert {row["writer"] for row in rows(tmp_path, "before")} == {"scripted: solver"}
    assert {row["writer"].split()[0] for row in rows(tmp_path, "after")} == {"model"}
    assert [row["key"] for row in rows(tmp_path, "after")] == [one.id for one in UNSEEN]
    with Run.open(tmp_path, config=RECIPE) as run:
        assert list(run.stages()) == ["samples", "choices", "edits", "pairs", "training"]
        shown = run.collect("t")
    assert [one.name for one in shown.tables] == [  # first what came out of it
        "accuracy", "faults", "solutions", "attempts", "questions", "edits", "pairs", "training",
    ]  # fmt: skip
    assert [row["model"] for row in shown.tables[0].rows if row["steps"] == "all"] == ["before", "after"]
    assert {one.name for one in shown.figures} == {"training", "faults"}
    assert {one.name for one in shown.excerpts} == {"answers", "steps", "whole"}
    kinds = [one.pair_kind for one in read_pairs(tmp_path / "pairs.jsonl")]
    assert (facts["full"], facts["edited"]) == (kinds.count("full"), kinds.count("edit"))
    # The same command again asks nothing, trains nothing and finds the same.
    monkeypatch.setattr("tenon.core.training.loop.train", None)
    nobody = ScriptedWriter(lambda request: pytest.fail("asked again"), "solver")
    assert ran(tmp_path, policy, writer=nobody) == facts


def test_a_model_edits_with_its_name_in_every_row(tmp_path: Path, policy: str) -> None:
    recipe = replace(RECIPE, edit=replace(RECIPE.edit, editor="llm"))
    editor = ScriptedWriter(solve, "an editor")
    ran(tmp_path, policy, recipe, editor, unseen=())
    edits = rows(tmp_path, "edits")
    assert {row["writer"] for row in edits} == {"scripted: an editor"}
    assert {row["writer"] for row in rows(tmp_path, "edit_answers")} == {"scripted: an editor"}
    kept = [row for row in edits if row["outcome"] == "kept"]
    assert kept
    for row in kept:  # what the solver does: one more at the end of the window
        assert row["rejected"] != row["chosen"]
        assert row["answer"].startswith(row["window"][:5])
    assert not (tmp_path / "before.jsonl").exists()  # nothing was to be measured


@pytest.mark.parametrize(("pairs", "kinds"), [({"full": False}, {"edit"}), ({"edited": 0}, {"full"})])
def test_one_kind_of_pairs_is_enough(tmp_path: Path, policy: str, pairs: Any, kinds: set[str]) -> None:
    recipe = replace(RECIPE, pairs=replace(RECIPE.pairs, **pairs))
    facts = ran(tmp_path, policy, recipe, unseen=())
    assert {one.pair_kind for one in read_pairs(tmp_path / "pairs.jsonl")} == kinds
    assert "accuracy" not in facts
    assert facts["training"]["edit_rows"] == (facts["pairs"] if kinds == {"edit"} else 0)


def test_questions_that_are_trained_on_are_not_measured_on(tmp_path: Path, policy: str) -> None:
    same = replace(TRAINED[2], id="another name")
    nobody = ScriptedWriter(lambda request: pytest.fail("asked"), "solver")
    with pytest.raises(DataError, match="1 of 4 unseen questions are also trained on"):
        ran(tmp_path, policy, writer=nobody, unseen=[*UNSEEN, same])


def test_without_a_pair_nothing_is_trained_and_the_counts_are_told(
    tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "train_on_pairs", None)
    always = ScriptedWriter(lambda request: solve(replace(request, key=request.key.split("/")[0])), "right")
    with pytest.raises(DataError, match=r"There is no pair. Questions: 5 all right \(raise sample.temperature"):
        ran(tmp_path, policy, writer=always)
    assert not (tmp_path / "model").exists()


def test_the_distance_is_counted_in_the_policys_tokens(tmp_path: Path, policy: str) -> None:
    recipe = replace(RECIPE, edit=replace(RECIPE.edit, filters=FilterConfig(unit="token", max_abs=2, max_ratio=None)))
    ran(tmp_path, policy, recipe, unseen=())
    edits = [one for one in read_pairs(tmp_path / "pairs.jsonl") if one.pair_kind == "edit"]
    assert edits
    assert max(one.edit_distance or 0 for one in edits) <= 2
    tokens: Any = tokens_of("nano-lm", recipe)
    assert tokens is not None
    text = "Step 1: There are 7 + 35 = 42 guests."
    assert load_tokenizer("nano-lm").decode(list(tokens(text))) == text  # nothing in front of it
    # words are tokens, characters are not
    assert (
        edit_distance(text, text.replace("guests", "chairs"), tokens)[0]
        < edit_distance(text, text.replace("guests", "chairs"))[0]
    )
    assert tokens_of("no such model", RECIPE) is None
    with pytest.raises(DataError, match="cannot be loaded"):
        tokens_of(str(tmp_path / "none"), recipe)
