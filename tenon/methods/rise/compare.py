"""The method beside its baselines: the same samples, the same number of optimiser steps, the same unseen questions.

seed-<n>/              samples, edits and pairs of a repetition
trainings/<name>-<n>/  a training of a contender, from the same weights
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from tenon.core.chat.local import LocalWriter
from tenon.core.commandline import given
from tenon.core.config import identity
from tenon.core.errors import ConfigError
from tenon.core.files import read_json
from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
from tenon.core.run import Run
from tenon.core.scoring.student import t_interval
from tenon.core.seeds import derive
from tenon.methods.rise.config import CONTENDERS, CompareConfig, Contender, EvalConfig, Recipe
from tenon.methods.rise.edit import inject_errors
from tenon.methods.rise.encode import tokens_of
from tenon.methods.rise.evaluate import Answer, evaluate, figures, questions_of, word_problems
from tenon.methods.rise.pairs import build_pairs
from tenon.methods.rise.probe import held_out_pairs, margins
from tenon.methods.rise.sample import sample_solutions
from tenon.methods.rise.trainer import train_on_pairs, train_supervised

if TYPE_CHECKING:
    from tenon.methods.rise.rows import Pair

__all__ = ["check_equal_steps", "compare_contenders", "summary", "train_contender", "training_named"]

PROBES = 400
"""Unseen problems of whose true solutions a step is edited, to measure margins on."""


def compare_contenders(
    run: Run,
    model: str,
    config: CompareConfig,
    *,
    trainings: Path | None = None,
    batch_size: int = 64,
    device: str = "auto",
) -> dict[str, list[dict[str, Any]]]:
    """Sample, edit, train and ask, contender by contender and seed by seed.

    Args:
        run: Keeps the answers.
        model: What is trained, by the names of `load_model`.
        config: Contenders, seeds, recipe.
        trainings: Folder of samples and trainings; None: the run's own. What is finished there is taken as it is, so
            that several processes may share the work.
        batch_size: Questions answered together.
        device: Where answers are written.

    Returns:
        `models`: a row per trained model; `contenders`, `steps`, `faults`, `margins`: see `summary`.
    """
    problems = word_problems(0, config.split, config.problems, max_steps=config.max_steps)
    asked = EvalConfig(prompt=config.recipe.prompt, max_tokens=config.recipe.sample.max_tokens)
    probes = held_out_pairs(problems[:PROBES], config.recipe, tokenize=tokens_of(model, config.recipe))
    tokenizer, right, learnt = load_tokenizer(model), {}, {}
    home = trainings or run.path
    for seed in range(config.seeds):
        for name in config.contenders:
            contender = CONTENDERS[name]
            if contender.objective == "none" and seed:
                continue  # greedy answers of an untrained model have no seed
            trained = model
            if contender.objective != "none":
                trained = str(train_contender(home, model, name, seed, config, batch_size=batch_size, device=device))
                learnt[f"{name}-{seed}"] = int(read_json(Path(trained).with_name("stages.json"))["training"]["rows"])
            loaded = load_model(trained, device=device)
            writer = LocalWriter(loaded, tokenizer, batch_size=batch_size)
            answers = evaluate(run, writer, questions_of(problems), asked, problems=problems, name=f"{name}-{seed}")
            key = f"{name}-{seed}"
            right[key] = [bool(answer.correct) for answer in answers]
            if not run.done("models", key):
                scored = margins(loaded, tokenizer, probes, config.recipe)
                row = {"key": key, "contender": name, "seed": seed, "weights": weights_hash(trained)}
                run.append("models", row | _measured(answers, scored))
    found = run.rows("models")
    return {"models": found, **summary(found, right, learnt)}


def train_contender(
    home: Path, model: str, name: str, seed: int, config: CompareConfig, *, batch_size: int, device: str
) -> Path:
    """Train one contender of one repetition, or go on with it, and give the folder of its model.

    Raises:
        ConfigError: See `check_equal_steps`.
        RunConflict: Another process is making the same samples, edits or training.
    """
    check_equal_steps(config)
    contender = CONTENDERS[name]
    recipe = contender.recipe(replace(config.recipe, seed=seed))
    recipe = replace(recipe, rise=replace(recipe.rise, train=replace(recipe.rise.train, seed=seed)))
    weights = {"weights": weights_hash(model)}
    settings = {"contender": name, "questions": config.questions, "max_steps": config.max_steps}
    settings |= {"recipe": identity(recipe)}
    with Run.open(
        home / "trainings" / f"{name}-{seed}", config=settings, command=given(), seed=seed, identity=weights
    ) as own:
        if not own.stage_done("training"):
            pairs = _pairs(home, model, contender, recipe, seed, config, batch_size=batch_size, device=device)
            train = train_supervised if contender.objective == "sft" else train_on_pairs
            train(own, model, pairs, recipe)
        return own.path / "model"


def check_equal_steps(config: CompareConfig) -> None:
    """Refuse a recipe that counts passes over the pairs, of which contenders have different numbers.

    Raises:
        ConfigError: It does.
    """
    if config.recipe.rise.epochs is not None:
        raise ConfigError(
            f"recipe.rise.epochs is {config.recipe.rise.epochs}, and contenders have different numbers of pairs: they "
            "would be trained for different numbers of steps. Set recipe.rise.epochs=none and recipe.rise.train.steps."
        )


def training_named(text: str) -> tuple[str, int]:
    """Read the name of a training, `<contender>-<seed>`.

    >>> training_named("no-nll-3")
    ('no-nll', 3)

    Raises:
        ConfigError: It names no contender that is trained, or no seed.
    """
    trained = [name for name, one in CONTENDERS.items() if one.objective != "none"]
    name, _, seed = text.rpartition("-")
    if name not in trained or not seed.isdecimal():
        raise ConfigError(
            f"{text!r} names no training; give a contender and a seed, e.g. rise-0. Contenders: {', '.join(trained)}."
        )
    return name, int(seed)


def _pairs(
    home: Path,
    model: str,
    contender: Contender,
    recipe: Recipe,
    seed: int,
    config: CompareConfig,
    *,
    batch_size: int,
    device: str,
) -> list[Pair]:
    """Give the pairs of a contender; solutions are sampled and edited once per seed and editor."""
    problems = word_problems(derive(seed, "questions"), "train", config.questions, max_steps=config.max_steps)
    questions, writer = questions_of(problems), LocalWriter(model, batch_size=batch_size, device=device)
    sampled = {"prompt": identity(recipe.prompt), "sample": identity(recipe.sample), "questions": config.questions}
    sampled |= {"max_steps": config.max_steps}
    with Run.open(home / f"seed-{seed}", config=sampled, command=given(), seed=seed, identity=writer.identity()) as own:
        solutions = sample_solutions(own, questions, writer, recipe)
    shared = replace(recipe, pairs=config.recipe.pairs)  # edits do not depend on who learns from them
    edited = sampled | {"edit": identity(recipe.edit), "pairs": identity(shared.pairs)}
    place = home / f"seed-{seed}-{recipe.edit.editor}"
    with Run.open(place, config=edited, command=given(), seed=seed, identity=writer.identity()) as own:
        edits = inject_errors(own, questions, solutions, shared, writer=writer, tokenize=tokens_of(model, recipe))
    return list(build_pairs(questions, solutions, edits, recipe).rows)


def _measured(answers: Sequence[Answer], scored: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give all figures of a model, in one row."""
    counted = figures(answers)
    return {
        "accuracy": {str(row["steps"]): row["accuracy"] for row in counted["accuracy"]},
        "faults": {row["fault"]: row["rate"] for row in counted["faults"]},
        "margins": {row["kind"]: {"margin": row["margin"], "preferred": row["preferred"]} for row in scored},
        "questions": len(answers),
    }


def summary(
    models: Sequence[Mapping[str, Any]],
    right: Mapping[str, Sequence[bool]] | None = None,
    learnt: Mapping[str, int] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Give `contenders`, `steps`, `faults` and `margins`: means over seeds with their intervals.

    `contenders` also has the lead over `full` (ordinary DPO) and over `base` (no training), paired by seed and by
    question. Intervals are t-intervals over seeds, never narrower than the draw of the questions alone makes them; what
    has no seeds has that alone, and a lead of one seed has none.

    Args:
        models: A row per trained model.
        right: By the key of a model which questions it answered rightly; without it leads have the seeds' spread alone.
        learnt: By the key of a model how many different rows it was trained on.
    """
    by_name: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in models:
        by_name.setdefault(row["contender"], {})[row["seed"]] = row
    tables: dict[str, list[dict[str, Any]]] = {"contenders": [], "steps": [], "faults": [], "margins": []}
    for name, rows in by_name.items():
        asked, first = next(iter(rows.values()))["questions"], next(iter(rows.values()))
        told = {"contender": name, "seeds": len(rows), "questions": asked}
        counts = [learnt[row["key"]] for row in rows.values() if learnt and row["key"] in learnt]
        told |= {"rows": fmean(counts)} if counts else {}
        told |= _mean("accuracy", [row["accuracy"]["all"] for row in rows.values()], asked)
        for other in ("full", "base"):
            if other in by_name and name not in (other, "base"):
                told |= _lead(rows, by_name[other], other, right or {})
        tables["contenders"].append(told)
        numbers = [steps for steps in first["accuracy"] if steps != "all"]
        for steps in numbers:
            values = [row["accuracy"][steps] for row in rows.values()]
            tables["steps"].append(
                {"contender": name, "steps": int(steps), **_mean("accuracy", values, asked // len(numbers))}
            )
        for fault in first["faults"]:
            values = [row["faults"][fault] for row in rows.values()]
            tables["faults"].append({"contender": name, "fault": fault, **_mean("rate", values, asked)})
        for kind in first["margins"]:
            mean, low, high = _over_seeds([row["margins"][kind]["margin"] for row in rows.values()])
            share = fmean(row["margins"][kind]["preferred"] for row in rows.values())
            tables["margins"].append(
                {"contender": name, "kind": kind, "margin": mean, "low": low, "high": high, "preferred": share}
            )
    return tables


def _lead(
    rows: Mapping[int, Mapping[str, Any]],
    others: Mapping[int, Mapping[str, Any]],
    name: str,
    right: Mapping[str, Sequence[bool]],
) -> dict[str, float | None]:
    """Give the mean lead of one contender over another and its interval; a model without seeds is every seed's."""
    pairs = [(row, others[0] if name == "base" else others.get(seed)) for seed, row in rows.items()]
    shared = [(row, other) for row, other in pairs if other is not None]
    if not shared:
        return {}
    mean, low, high = _over_seeds([row["accuracy"]["all"] - other["accuracy"]["all"] for row, other in shared])
    if low is not None and high is not None and all(one["key"] in right for pair in shared for one in pair):
        sides = [(right[row["key"]], right[other["key"]]) for row, other in shared]
        leads = [fmean(ours[at] - theirs[at] for ours, theirs in sides) for at in range(len(sides[0][0]))]
        drawn = 1.96 * stdev(leads) / math.sqrt(len(leads))  # the seeds answer the same questions
        low, high = min(low, mean - drawn), max(high, mean + drawn)
    return {f"over {name}": mean, f"over {name}, low": low, f"over {name}, high": high}


def _mean(name: str, rates: Sequence[float], questions: int) -> dict[str, Any]:
    """Give the mean of rates and its interval, at least as wide as the draw of the questions makes it."""
    mean, low, high = _over_seeds(rates)
    drawn = 1.96 * math.sqrt(mean * (1 - mean) / questions)
    low, high = min(mean - drawn, mean if low is None else low), max(mean + drawn, mean if high is None else high)
    return {name: mean, "low": max(low, 0.0), "high": min(high, 1.0)}


def _over_seeds(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    return t_interval(values) if len(values) > 1 else (fmean(values), None, None)
