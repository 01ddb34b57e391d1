"""Trainings and answers of a comparison, for the kill test."""

from __future__ import annotations

from pathlib import Path

import torch

from tenon.core.run import Run
from tenon.methods.mdm.compare import compare_contenders
from tenon.methods.mdm.show_compare import show_comparison
from tests.methods.mdm.test_compare import SMALL

torch.set_num_threads(1)  # a forked child has none of its parent's threads


def compare_job(path: Path) -> None:
    """Train two contenders, let each answer, and show it, as `tenon mdm compare` does."""
    with Run.open(path, config=SMALL, command="compare job") as run:
        show_comparison(run, compare_contenders(run, SMALL, device="cpu"), SMALL)
        run.report("Comparison")
