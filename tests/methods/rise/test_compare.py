"""Contenders: the same samples, as many steps, the same questions; means over seeds; shared and resumed work."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenon.core.config import to_dict
from tenon.core.errors import ConfigError, RunConflict
from tenon.core.files import fingerprints, read_json
from tenon.core.run import VOLATILE, Run
from tenon.core.scoring.student import t_quantile
from tenon.methods.rise import compare
from tenon.methods.rise.compare import compare_contenders, summary, train_contender, training_named
from tenon.methods.rise.config import CONTENDERS, PRESETS, CompareConfig
from tenon.methods.rise.rows import Pair
from tests.methods.rise.solver import RECIPE, Solver, save_policy

SMALL = CompareConfig(
    contenders=("base", "sft", "full", "rise", "random"), seeds=2, questions=6, problems=6, max_steps=2, recipe=RECIPE
)
SHORT = replace(SMALL, contenders=("base", "rise"), seeds=1)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(autouse=True)
def _solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "LocalWriter", Solver)


def compared(path: Path, policy: str, config: CompareConfig = SMALL, **options: Any) -> dict[str, list[Any]]:
    with Run.open(path, config=config) as run:
        return compare_contenders(run, policy, config, device="cpu", **options)


# The summary, from rows made by hand.


def row(name: str, seed: int, accuracy: float, **other: Any) -> dict[str, Any]:
    return {
        "key": f"{name}-{seed}",
        "contender": name,
        "seed": seed,
        "questions": 100,
        "accuracy": {"1": accuracy, "2": accuracy, "all": accuracy},
        "faults": {"arithmetic": 1 - accuracy, "cut": 0.0},
        "margins": {"value": {"margin": accuracy, "preferred": 0.5}, "all": {"margin": accuracy, "preferred": 0.5}},
    } | other


def of(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (found,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found


def test_means_have_t_intervals_over_seeds() -> None:
    rows = [row("rise", seed, accuracy) for seed, accuracy in enumerate((0.2, 0.5, 0.8))]
    tables = summary(rows)
    half = 4.302653 * 0.3 / 3**0.5  # Student's t with 2 degrees of freedom; the spread is 0.3
    assert t_quantile(2) == pytest.approx(4.302653, abs=1e-6)
    found = of(tables["contenders"], contender="rise")
    # 0.5 -+ 0.745 ends where rates end
    assert (found["accuracy"], found["low"], found["high"], found["seeds"]) == (pytest.approx(0.5), 0.0, 1.0, 3)
    margin = of(tables["margins"], kind="value")
    assert [margin[name] for name in ("margin", "low", "high")] == pytest.approx([0.5, 0.5 - half, 0.5 + half])
    near = summary([row("rise", seed, accuracy) for seed, accuracy in enumerate((0.4, 0.5, 0.6))])["contenders"][0]
    assert near["high"] - near["accuracy"] == pytest.approx(4.302653 * 0.1 / 3**0.5)


def test_an_interval_is_never_narrower_than_the_draw_of_the_questions() -> None:
    tables = summary([row("rise", seed, 0.5) for seed in range(3)])  # no spread at all
    total = of(tables["contenders"], contender="rise")
    assert total["high"] - total["accuracy"] == pytest.approx(1.96 * (0.25 / 100) ** 0.5)
    by_steps = of(tables["steps"], steps=2)
    assert by_steps["accuracy"] - by_steps["low"] == pytest.approx(1.96 * (0.25 / 50) ** 0.5)  # half of the questions
    fault = of(tables["faults"], fault="arithmetic")
    assert fault["rate"] - fault["low"] == pytest.approx(1.96 * (0.25 / 100) ** 0.5)
    assert of(tables["faults"], fault="cut")["low"] == of(tables["faults"], fault="cut")["high"] == 0


def test_leads_over_full_pairs_are_paired_by_seed() -> None:
    full = [row("full", seed, accuracy) for seed, accuracy in enumerate((0.3, 0.5, 0.7))]
    rise = [row("rise", seed, accuracy) for seed, accuracy in enumerate((0.32, 0.54, 0.76))]  # +2, +4, +6 points
    tables = summary([row("base", 0, 0.9), *reversed(rise), *full])
    lead = of(tables["contenders"], contender="rise")
    half = 4.302653 * 0.02 / 3**0.5
    found = [lead[name] for name in ("over full", "over full, low", "over full, high")]
    assert found == pytest.approx([0.04, 0.04 - half, 0.04 + half])
    for name in ("full", "base"):  # its own lead is none; what has no seeds has no pairs
        assert "over full" not in of(tables["contenders"], contender=name)
    # a seed that one of them lacks is left out
    fewer = of(summary([*rise, *full[:2]])["contenders"], contender="rise")
    assert fewer["over full"] == pytest.approx(0.03)
    assert fewer["accuracy"] == pytest.approx(0.54)
    assert "over full" not in of(summary(rise)["contenders"], contender="rise")


def test_a_lead_is_no_surer_than_the_questions_that_the_seeds_share() -> None:
    right = {f"full-{seed}": [False] * 50 + [True] * 50 for seed in range(3)}
    right |= {f"rise-{seed}": [True] * 10 + [False] * 40 + [True] * 50 for seed in range(3)}  # the same ten each time
    rows = [row("full", seed, 0.5) for seed in range(3)] + [row("rise", seed, 0.6) for seed in range(3)]
    alone, drawn = (of(summary(rows, known)["contenders"], contender="rise") for known in (None, right))
    assert alone["over full, low"] == pytest.approx(0.1)  # no spread over seeds
    half = 1.96 * (0.09 * 100 / 99 / 100) ** 0.5  # ten of a hundred differ, by one
    ends = [drawn["over full, low"], drawn["over full, high"]]
    assert ends == pytest.approx([0.1 - half, 0.1 + half])


def test_leads_over_no_training_are_over_the_one_model_that_has_no_seeds() -> None:
    rise = [row("rise", seed, accuracy) for seed, accuracy in enumerate((0.5, 0.6, 0.7))]
    lead = of(summary([row("base", 0, 0.4), *rise])["contenders"], contender="rise")
    assert lead["over base"] == pytest.approx(0.2)
    assert lead["over base, high"] == pytest.approx(0.2 + 4.302653 * 0.1 / 3**0.5)


def test_one_seed_has_no_spread_but_the_draw_of_the_questions() -> None:
    tables = summary([row("full", 0, 0.5), row("rise", 0, 0.6)])
    lead = of(tables["contenders"], contender="rise")
    assert (lead["over full"], lead["over full, low"], lead["over full, high"]) == (pytest.approx(0.1), None, None)
    assert lead["high"] == pytest.approx(0.6 + 1.96 * (0.24 / 100) ** 0.5)
    assert (of(tables["margins"], contender="rise", kind="all")["low"]) is None


# Trainings


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, policy: str) -> tuple[Path, dict[str, Any], list[Any]]:
    """A whole comparison, and what its trainings were given."""
    seen: list[Any] = []

    def watched(train: Any) -> Any:
        def training(run: Run, model: str, pairs: list[Pair], recipe: Any) -> Any:
            seen.append((run.path.name, train.__name__, model, pairs, recipe))
            return train(run, model, pairs, recipe)

        return training

    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "LocalWriter", Solver)
        for name in ("train_on_pairs", "train_supervised"):
            patch.setattr(compare, name, watched(getattr(compare, name)))
        tables = compared(folder, policy)
    return folder, tables, seen


def given(whole: Any, name: str) -> list[Pair]:
    (pairs,) = [pairs for folder, _, _, pairs, _ in whole[2] if folder == name]
    return list(pairs)


def test_every_contender_starts_from_the_same_weights_for_as_many_steps(whole: Any, policy: str) -> None:
    folder, _, seen = whole
    names = [f"{name}-{seed}" for seed in (0, 1) for name in ("sft", "full", "rise", "random")]
    assert [one[0] for one in seen] == names
    assert {one[2] for one in seen} == {policy}
    assert [one[0] for one in seen if one[1] == "train_supervised"] == ["sft-0", "sft-1"]
    facts = [read_json(folder / "trainings" / name / "stages.json")["training"] for name in names]
    assert {one["steps"] for one in facts} == {2}
    settings = [one[4].rise for one in seen]
    assert {replace(one, train=replace(one.train, seed=0)) for one in settings} == {RECIPE.rise}
    assert [one.train.seed for one in settings] == [0] * 4 + [1] * 4


def test_contenders_learn_from_the_same_samples(whole: Any) -> None:
    folder, *_ = whole
    right = {
        row["text"]
        for seed in (0, 1)
        for row in map(json.loads, (folder / f"seed-{seed}" / "samples.jsonl").read_text().splitlines())
        if row["correct"]
    }
    for seed in (0, 1):
        kinds = {name: given(whole, f"{name}-{seed}") for name in ("sft", "full", "rise", "random")}
        assert kinds["sft"] == kinds["full"]
        assert {one.pair_kind for one in kinds["full"]} == {"full"}
        assert {one.chosen for one in kinds["sft"]} <= right
        assert not {one.rejected for one in kinds["sft"]} & right
        assert [one for one in kinds["rise"] if one.pair_kind == "full"] == kinds["full"]
        assert [one for one in kinds["random"] if one.pair_kind == "full"] == kinds["full"]
        edits = {name: [one for one in kinds[name] if one.pair_kind == "edit"] for name in ("rise", "random")}
        assert {one.edit_type for one in edits["random"]} == {"random"}
        assert "random" not in {one.edit_type for one in edits["rise"]}
        assert edits["rise"]
        # of the same solutions
        assert {(one.source_id, one.sample_index) for one in edits["random"] + edits["rise"]} == {
            (one.source_id, one.sample_index) for one in kinds["full"]
        }
    seeds = [{one.source_id for one in given(whole, f"full-{seed}")} for seed in (0, 1)]
    assert not seeds[0] & seeds[1]  # every repetition has questions of its own


def test_all_are_asked_the_same_unseen_questions(whole: Any) -> None:
    folder, tables, _ = whole
    asked = {
        name: [json.loads(line)["key"] for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("base-0", "full-0", "full-1", "rise-0", "random-1")
    }
    assert all(keys == asked["base-0"] for keys in asked.values())
    assert {key.split("-")[2] for key in asked["base-0"]} == {"test"}
    assert not (folder / "base-1.jsonl").exists()  # greedy answers of an untrained model have no seed
    assert [(row["contender"], row["seed"]) for row in tables["models"]][:5] == [
        ("base", 0), ("sft", 0), ("full", 0), ("rise", 0), ("random", 0),
    ]  # fmt: skip
    assert len({row["weights"] for row in tables["models"]}) == 9
    assert {row["contender"] for row in tables["margins"]} == set(SMALL.contenders)


def test_the_random_control_differs_from_the_method_in_its_edits_alone() -> None:
    recipe = PRESETS["nano"]
    ours, control = (CONTENDERS[name].recipe(recipe) for name in ("rise", "random"))
    assert ours == recipe
    assert replace(control, edit=recipe.edit) == recipe
    assert control.edit.editor == "random"
    assert not control.edit.filters.verify
    assert CONTENDERS["no-nll"].recipe(recipe).rise == replace(recipe.rise, nll_weight=0.0)


def test_what_is_finished_is_taken_as_it_is(
    tmp_path: Path, whole: Any, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, tables, _ = whole
    for name in ("train_on_pairs", "train_supervised", "sample_solutions", "inject_errors"):
        monkeypatch.setattr(compare, name, None)
    assert compared(tmp_path / "again", policy, trainings=folder) == tables
    assert compared(folder, policy) == tables
    other = replace(SMALL, recipe=replace(RECIPE, rise=replace(RECIPE.rise, beta=0.1)))
    with pytest.raises(RunConflict, match="beta"):
        compared(tmp_path / "other", policy, other, trainings=folder)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, policy: str) -> tuple[Path, dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "LocalWriter", Solver)
        folder = tmp_path_factory.mktemp("short")
        return folder, compared(folder, policy, SHORT)


@pytest.mark.parametrize("stop_at", [3, 24, 68])  # in answers of the base, in samples, in answers of the trained one
def test_a_comparison_that_was_stopped_ends_the_same(
    tmp_path: Path, policy: str, short: Any, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, written = Run.append, 0

    def breaking(self: Run, name: str, row: Any) -> bool:
        nonlocal written
        written += 1
        if written == stop_at:
            raise KeyboardInterrupt
        return append(self, name, row)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "append", breaking)
        with pytest.raises(KeyboardInterrupt):
            compared(tmp_path / "stopped", policy, SHORT)
    assert compared(tmp_path / "stopped", policy, SHORT) == short[1]
    kept = [fingerprints(one, skip=VOLATILE) for one in (short[0], tmp_path / "stopped")]
    assert kept[0] == kept[1]


SHARE = """
import sys
from tenon.methods.rise import compare
from tenon.methods.rise.cli import app
from tests.methods.rise.solver import Solver

compare.LocalWriter = Solver
app(sys.argv[1:])
"""


def test_two_processes_share_the_work(tmp_path: Path, whole: Any, policy: str) -> None:
    folder, tables, _ = whole
    config, shared = replace(SMALL, contenders=("rise",)), tmp_path / "shared"
    (tmp_path / "settings.json").write_text(json.dumps(to_dict(config)))
    words = ["compare", policy, "--config", str(tmp_path / "settings.json"), "--trainings", str(shared)]
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                SHARE,
                *words,
                "--device",
                "cpu",
                "--json",
                "--only",
                f"rise-{seed}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in (0, 1)
    ]
    for seed, process in enumerate(processes):
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert json.loads(out) == {"trained": [f"rise-{seed}"]}
    found = compared(tmp_path / "run", policy, config, trainings=shared)
    assert found["models"] == [row for row in tables["models"] if row["contender"] == "rise"]
    for seed in (0, 1):
        name = f"trainings/rise-{seed}"
        assert fingerprints(shared / name, skip=VOLATILE) == fingerprints(folder / name, skip=VOLATILE)


def test_bad_input(tmp_path: Path, policy: str) -> None:
    assert training_named("no-nll-12") == ("no-nll", 12)
    for wrong in ("rise", "rise-", "rise-x", "base-0", "dpo-0", "0", "rise--1"):
        with pytest.raises(ConfigError, match="names no training; give a contender and a seed"):
            training_named(wrong)
    passes = replace(SMALL, recipe=replace(RECIPE, rise=replace(RECIPE.rise, epochs=2.0)))
    with pytest.raises(ConfigError, match=r"different numbers of steps. Set recipe.rise.epochs=none"):
        train_contender(tmp_path / "home", policy, "rise", 0, passes, batch_size=1, device="cpu")
    assert not (tmp_path / "home").exists()
    with pytest.raises(ConfigError, match="'dpo' is not among them"):
        CompareConfig(contenders=("dpo",))
    with pytest.raises(ConfigError, match="without repetition"):
        CompareConfig(contenders=("rise", "rise"))
    with Run.open(tmp_path / "seed-0", config={}), pytest.raises(RunConflict, match="is being written by process"):
        train_contender(tmp_path, policy, "rise", 0, SMALL, batch_size=1, device="cpu")
