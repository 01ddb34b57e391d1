"""Jobs for `tests.killing`: all of RISE in one run, and a comparison, with a scripted solver and a tiny model."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from tenon.core.run import Run
from tenon.methods.rise import compare
from tenon.methods.rise.cli_data import keep_recipe
from tenon.methods.rise.config import CompareConfig
from tenon.methods.rise.evaluate import questions_of, word_problems
from tenon.methods.rise.pipeline import run_recipe
from tenon.methods.rise.show import show_comparison
from tests.methods.rise.solver import RECIPE, Solver, save_policy

torch.set_num_threads(1)  # a forked child has none of its parent's threads

FOLDER = tempfile.TemporaryDirectory()  # until this process ends; its children leave without clearing away
POLICY = save_policy(Path(FOLDER.name))
EDITED = replace(RECIPE, edit=replace(RECIPE.edit, editor="llm"))
SMALL = CompareConfig(contenders=("base", "sft", "rise"), seeds=1, questions=4, problems=4, max_steps=2, recipe=RECIPE)


def run_job(path: Path) -> None:
    """Sample, edit by a model, pair, train and measure, as `tenon rise run` does."""
    problems = word_problems(0, "test", 3, max_steps=2)
    with Run.open(path, config=EDITED, command="run job", seed=EDITED.seed) as run:
        keep_recipe(run, EDITED)
        run_recipe(
            run,
            POLICY,
            Solver(),
            questions_of(word_problems(0, "train", 4, max_steps=2)),
            EDITED,
            unseen=questions_of(problems),
            problems=problems,
            device="cpu",
        )
        run.report("Run")


def compare_job(path: Path) -> None:
    """Train two contenders, let each answer, and show it, as `tenon rise compare` does."""
    compare.LocalWriter = Solver  # type: ignore[assignment, misc]  # in this process alone
    with Run.open(path, config=SMALL, command="compare job") as run:
        show_comparison(run, compare.compare_contenders(run, POLICY, SMALL, device="cpu"))
        run.report("Comparison")


def break_the_draws() -> None:
    """Let a seed differ from process to process, for the test of the test."""
    import os

    from tenon.methods.rise import edit

    derive = edit.derive
    edit.derive = lambda *names: derive(os.getpid(), *names)  # type: ignore[assignment]
