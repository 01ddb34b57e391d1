"""Runs of a known loss law, made without the code that fits, and the tables that others published."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[3].parent / "shared/data/scaling"
TRUTH = {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37}
SIZES = tuple(1e7 * 10 ** (i / 3) for i in range(7))
RATIOS = (3.0, 10.0, 30.0, 100.0, 300.0)


def law(n: float, d: float, *, E: float, A: float, B: float, alpha: float, beta: float) -> float:
    """E + A / N^alpha + B / D^beta, one run at a time."""
    return E + A / n**alpha + B / d**beta


def runs_of(
    truth: dict[str, float] = TRUTH, *, noise: float = 0.0, seed: int = 0, sizes: Any = SIZES, ratios: Any = RATIOS
) -> list[dict[str, Any]]:
    """Runs of every size at every D/N, with lognormal noise."""
    rng = random.Random(seed)
    rows = []
    for n in sizes:
        for ratio in ratios:
            d = n * ratio
            rows.append(
                {"n_params": n, "tokens": d, "loss": law(n, d, **truth) * 2.718281828459045 ** rng.gauss(0, noise)}
            )
    return rows


def epoch_runs() -> list[dict[str, Any]]:
    """The 245 runs of Epoch's reconstruction; skips where they are not."""
    path = SHARED / "chinchilla_epoch.csv"
    if not path.is_file():
        pytest.skip(f"needs {path}, which we may not ship")
    with open(path, encoding="utf-8") as lines:
        return [
            {
                "id": f"line {place}",
                "n_params": float(row["Model Size"]),
                "tokens": float(row["Training FLOP"]) / (6 * float(row["Model Size"])),
                "flops": float(row["Training FLOP"]),
                "loss": float(row["loss"]),
            }
            for place, row in enumerate(csv.DictReader(lines), 2)
        ]


def gadre_runs() -> list[dict[str, Any]]:
    """The 104 runs that we ship, grouped by data set; parameters with embeddings."""
    import tenon.methods.batch_scaling as here

    with open(Path(here.__file__).parent / "data/gadre_2024.csv", encoding="utf-8") as lines:
        return [
            {
                "id": row["name"],
                "group": row["dataset"],
                "n_params": float(row["params"]),
                "tokens": float(row["tokens"]),
                "loss": float(row["c4_val_loss"]),
            }
            for row in csv.DictReader(lines)
        ]
