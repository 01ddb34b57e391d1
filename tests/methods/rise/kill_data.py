"""A job for `tests.killing`: questions to pairs, with a scripted model that solves and edits."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from tenon.core.chat import Request, ScriptedWriter
from tenon.core.run import Run
from tenon.methods.rise.config import PRESETS, PairConfig, Recipe, SampleConfig
from tenon.methods.rise.edit import inject_errors
from tenon.methods.rise.pairs import build_pairs, save_pairs
from tenon.methods.rise.rows import Question
from tenon.methods.rise.sample import sample_solutions
from tenon.tasks.math import Problem, generate_problems

RECIPE = replace(PRESETS["paper"], sample=SampleConfig(samples=3), pairs=PairConfig(edited=2))
PROBLEMS = list(generate_problems(0, "train", 4, steps=3))
QUESTIONS = [Question(id=problem.key, prompt=problem.question, answer=problem.answer) for problem in PROBLEMS]


def solve_and_edit(request: Request) -> str:
    """Be right at every second sample; as an editor, add one to the last number."""
    name, number = request.key.rsplit("/", 1)
    by_key: dict[str, Problem] = {problem.key: problem for problem in PROBLEMS}
    if name in by_key:
        solution = by_key[name].solution.removeprefix("Step 1: ")
        answer = by_key[name].answer
        return solution if int(number) % 2 == 0 else solution.removesuffix(answer) + str(int(answer) + 1)
    shown = re.search(r"Current step:\n```\n(.*?)\n```", str(request.messages[-1]["content"]), re.DOTALL)
    assert shown is not None
    return re.sub(r"(\d+)(\D*)$", lambda found: str(int(found[1]) + 1) + found[2], shown[1]) + "\n```\nDone."


WRITER = ScriptedWriter(solve_and_edit, "solves and edits")


def make_pairs(path: Path, recipe: Recipe = RECIPE) -> None:
    with Run.open(path, config=recipe, seed=recipe.seed) as run:
        solutions = sample_solutions(run, QUESTIONS, WRITER, recipe)
        edits = inject_errors(run, QUESTIONS, solutions, recipe, writer=WRITER)
        save_pairs(run, build_pairs(QUESTIONS, solutions, edits, recipe))


def job(path: Path) -> None:
    make_pairs(path)
