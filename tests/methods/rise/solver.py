"""A scripted model for whole runs: it solves generated word problems, every second time wrongly, and edits steps.

It stands where a model that was trained to solve problems would; what is trained is a tiny model with real tokens.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenon.core.chat import Request, ScriptedWriter
from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.training.config import TrainConfig
from tenon.methods.rise.config import PRESETS, Recipe, SampleConfig
from tenon.tasks.math import Problem, generate_problem

KEY = re.compile(r"math-(\d+)-(\w+)-(\d+)-steps=(\d+)(?:/(\d+))?")
EDITING = re.compile(r"Current step:\n```\n(.*?)\n```", re.DOTALL)

TRAIN = TrainConfig(
    steps=2, batch_size=4, learning_rate=1e-3, weight_decay=0.0, log_every=1, save_every=2, device="cpu"
)
RECIPE: Recipe = replace(
    PRESETS["nano"],
    sample=SampleConfig(samples=3, temperature=0.7, max_tokens=24),
    rise=replace(PRESETS["nano"].rise, max_length=1536, max_prompt_length=1024, train=TRAIN),
)


def problem_of(key: str) -> tuple[Problem, int]:
    """The problem of a request's key, and the number of the sample."""
    match = KEY.match(key)
    assert match is not None, key
    seed, split, index, steps, sample = match.groups()
    return generate_problem(int(seed), split, int(index), steps=int(steps)), int(sample or 0)  # type: ignore[arg-type]


def changed(text: str) -> str:
    """Add one to the last number."""
    return re.sub(r"(\d+)(\D*)$", lambda found: str(int(found[1]) + 1) + found[2], text)


def solve(request: Request) -> str:
    """Be right at even samples; as an editor, add one to the last number of the step."""
    text = str(request.messages[-1]["content"])
    if shown := EDITING.search(text):
        return changed(shown[1]) + "\n```\nDone."
    problem, sample = problem_of(request.key)
    solution = problem.solution if sample % 2 == 0 else changed(problem.solution)
    assert solution.startswith("Step 1:")
    return solution.removeprefix(request.prefill) if request.prefill else solution


class Solver(ScriptedWriter):
    """Takes the arguments of a local writer, for code that makes its own."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(solve, "solver")


def save_policy(folder: Path, arch: str = "llama") -> str:
    """Save a tiny model and its tokenizer, and give the folder as text."""
    tiny_model(arch).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)
