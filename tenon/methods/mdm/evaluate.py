"""One model, many ways of writing: accuracy by order and number of steps, on the same unseen puzzles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenon.methods.mdm.answer import GROUPS, evaluate_puzzles, load_solver
from tenon.methods.mdm.config import DecodeConfig, EvalConfig

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.tasks.puzzles import Puzzles

__all__ = ["compare_decodings"]


def compare_decodings(
    run: Run, folder: str | Path, puzzles: Puzzles, objective: str, config: EvalConfig, *, device: str = "auto"
) -> dict[str, Any]:
    """Answer the same puzzles in every way that the config names; a baseline has one way, from left to right.

    Args:
        run: Keeps every answer.
        folder: The model.
        puzzles: What it is asked.
        objective: What it was trained for.
        config: How.
        device: Where.

    Returns:
        `decodings`: per way its options, accuracy, and forward passes per batch. `groups`: the accuracy by the kind's
        fact, with the first order at its most steps.
    """
    drawn = list(puzzles.generate(config.seed, "test", config.puzzles))
    ways = config.decodings() if objective == "mdm" else [DecodeConfig()]
    solver = load_solver(folder, puzzles, ways[0], objective=objective, device=device)
    first = replace(ways[0], steps=max(way.steps for way in ways)) if objective == "mdm" else ways[0]
    table: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    for way in ways:
        solver.decode = way
        name = _name(way) if objective == "mdm" else objective
        found = evaluate_puzzles(
            run,
            solver,
            puzzles,
            drawn,
            name=name,
            group=GROUPS[puzzles.name],
            batch_size=config.batch_size,
            seed=config.seed,
        )
        told: dict[str, Any] = {"order": way.order, "steps": way.steps, "revise": way.revise}
        told |= {"threshold": way.threshold} if config.thresholds else {}
        told |= {"block": way.block} if config.blocks else {}
        if objective != "mdm":
            told = {"order": "left to right", "steps": solver.answer_length, "revise": False}
        table.append(told | {key: value for key, value in found[0].items() if key != "group"})
        if way == first:
            groups = found[1:]
    return {"decodings": table, "groups": groups}


def _name(way: DecodeConfig) -> str:
    parts = [way.order, str(way.steps)]
    parts += [] if way.revise else ["once"]
    parts += [] if way.threshold is None else [f"above{way.threshold}"]
    parts += [] if way.block is None else [f"blocks{way.block}"]
    return "-".join(parts)
