"""Contenders side by side: each trained from the same weights on the same puzzles, and asked the same unseen ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tenon.core.commandline import given as typed
from tenon.core.ranks import is_main
from tenon.core.run import Run
from tenon.core.scoring.student import t_interval
from tenon.methods.mdm.answer import GROUPS, evaluate_puzzles, load_solver
from tenon.methods.mdm.config import CONTENDERS, CompareConfig
from tenon.methods.mdm.kinds import puzzles_of
from tenon.methods.mdm.train import train_on_puzzles

if TYPE_CHECKING:
    from tenon.tasks.puzzles import Puzzle, Puzzles

__all__ = ["compare_contenders", "summary"]


def compare_contenders(
    run: Run,
    config: CompareConfig,
    *,
    given: tuple[list[Puzzle] | None, dict[str, str]] = (None, {}),
    trainings: Path | None = None,
    device: str = "auto",
) -> Any:
    """Train all contenders, each in a run of its own, and count what each solves.

    Args:
        run: Keeps the answers.
        config: Contenders, seeds, what they share.
        given: Puzzles to learn from, and by what a training on them is told apart, as `read_given` gives both.
        trainings: Folder of the trainings; none: below the run. Those that are finished are taken as they are, so that
            they may be made before, side by side: `tenon mdm train --as NAME --seed N --out <trainings>/<NAME>-<N>`.
        device: Where answers are written.

    Returns:
        `trainings`: one row per training and group of puzzles; `contenders`: see `summary`. None on other processes
        than the first.
    """
    puzzles, found = puzzles_of(config.training.kind, config.training.size), []
    for name, (contender, training) in config.trainings().items():
        opened = Run.open(
            (trainings or run.path / "trainings") / name,
            config=training,
            command=typed(),
            seed=training.train.seed,
            identity=given[1],
        )
        with opened as own:
            folder = train_on_puzzles(own, training, given[0])
        if is_main():
            rows = _answered(run, config, puzzles, name, contender, folder, device=device)
            found += [{"contender": contender, "seed": training.train.seed, **row} for row in rows]
    return {"trainings": found, "contenders": summary(found)} if is_main() else None


def _answered(
    run: Run, config: CompareConfig, puzzles: Puzzles, name: str, contender: str, folder: Path, *, device: str
) -> list[dict[str, Any]]:
    """Ask one trained model; the puzzles and the noise are the same for all."""
    chosen = CONTENDERS[contender]
    solver = load_solver(
        folder, puzzles, replace(config.decode, **chosen.decode), objective=chosen.objective, device=device
    )
    return evaluate_puzzles(
        run,
        solver,
        puzzles,
        list(puzzles.generate(0, "test", config.puzzles)),
        name=name,
        group=GROUPS[puzzles.name],
        batch_size=config.batch_size,
    )


def summary(trainings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give one row per contender and group: the mean over seeds with its interval, and how far it is behind the first.

    `behind` is the first contender's rate less this one's, paired by seed. Intervals are t-intervals over seeds, and at
    least as wide as the draw of the puzzles alone makes them (few seeds may agree by chance); a single seed has none.
    """
    first = trainings[0]["contender"]
    by_name: dict[tuple[str, Any], dict[int, Mapping[str, Any]]] = {}
    for row in trainings:
        by_name.setdefault((row["contender"], row["group"]), {})[row["seed"]] = row
    table = []
    for (name, group), rows in by_name.items():
        rates, puzzles = (
            {seed: float(row["strict"]) for seed, row in rows.items()},
            next(iter(rows.values()))["puzzles"],
        )
        mean = fmean(rates.values())
        low, high = _interval(list(rates.values()), _spread(mean, puzzles))
        told = {"contender": name, "group": group, "seeds": len(rows), "puzzles": puzzles, "strict": mean}
        told |= {"low": low and max(low, 0.0), "high": high and min(high, 1.0)}
        told["official"] = fmean(float(row["official"]) for row in rows.values())
        if name != first:
            ours = {seed: float(row["strict"]) for seed, row in by_name[first, group].items()}
            leads = [ours[seed] - rate for seed, rate in rates.items()]
            told["behind"] = fmean(leads)
            spread = math.hypot(_spread(mean, puzzles), _spread(fmean(ours.values()), puzzles))
            told["behind low"], told["behind high"] = _interval(leads, spread)
        table.append(told)
    return table


def _spread(rate: float, puzzles: int) -> float:
    """Give half of the 95 % interval that the draw of the puzzles makes."""
    return 1.96 * math.sqrt(rate * (1 - rate) / puzzles)


def _interval(values: Sequence[float], least: float) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    mean, low, high = t_interval(values)
    return min(low, mean - least), max(high, mean + least)
