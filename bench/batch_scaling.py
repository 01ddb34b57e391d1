"""Time the fit of a loss law, 200 bootstraps included, against the `chinchilla` package and against a grid of starts.

    python bench/batch_scaling.py --make-env
    python bench/batch_scaling.py --runs chinchilla_epoch.csv

The first makes the package's environment under `runs/`, once. Without `--runs` the shipped runs of Gadre et al. (C4)
are fitted. Two processes take turns on the same runs, each divided by one plain scipy fit that both do; theirs uses all
cores, ours one. The objectives that are compared are one function of the laws that came out: the sum of Huber's
penalty of log residuals. A fit of theirs takes minutes at 5 values an axis (its example's grid is wider); it gives no
intervals, so that its one fit stands against our fit with its 200 refits.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from peers.reference_fit import reference_fit
from peers.turns import Peer, quotient, summary
from rich.console import Console
from rich.table import Table

from tenon.core.errors import BackendError
from tenon.core.results import write_results
from tenon.methods.batch_scaling import LossFitConfig, fit_loss_law, read_runs
from tenon.methods.batch_scaling.runs.table import RunTable

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / "runs" / "peer-chinchilla"
REQUIREMENTS = HERE / "peers" / "chinchilla.txt"
NAMES = ("E", "A", "B", "alpha", "beta")


def penalty(params: dict[str, float], runs: np.ndarray, delta: float) -> float:
    """Give the sum of Huber's penalty of log residuals: the same function for whoever fitted."""
    n, d, loss = runs.T
    predicted = params["E"] + params["A"] * n ** -params["alpha"] + params["B"] * d ** -params["beta"]
    off = np.abs(np.log(predicted) - np.log(loss))
    return float(np.where(off <= delta, off**2 / 2, delta * (off - delta / 2)).sum())


def timed(function: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    found = function()
    return time.perf_counter() - began, found


def the_runs(args: argparse.Namespace) -> tuple[RunTable, RunTable]:
    """Give the runs, and those that are left when the outlier rule has been applied: both sides fit the latter."""
    table = read_runs("gadre" if args.runs is None else args.runs)
    if args.runs is None:
        table = table.keep([group == "c4_original" for group in table.groups], "another data set")
    worst = np.argsort(-table["loss"], kind="stable")[: args.drop_top]
    return table, table.keep(~np.isin(np.arange(len(table)), worst), "of the highest losses")


def compare(args: argparse.Namespace, peer: Peer) -> dict[str, Any]:
    _, table = the_runs(args)
    runs = np.stack([table["n_params"], table["tokens"], table["loss"]], axis=1)
    config = LossFitConfig(bootstrap=args.bootstrap, delta=args.delta)
    grid = LossFitConfig(bootstrap=0, delta=args.delta, starts="grid")
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", "our base", "chinchilla", "their base")}
    ours, theirs = None, None
    for _ in range(args.rounds):
        seconds["our base"].append(timed(lambda: reference_fit(runs))[0])
        took, ours = timed(lambda: fit_loss_law(table, config))
        seconds["ours"].append(took)
        seconds["their base"].append(peer.ask("baseline", runs=runs.tolist()))
        theirs = peer.ask("fit", runs=runs.tolist(), values=args.values, delta=args.delta)
        seconds["chinchilla"].append(theirs["seconds"])
        print(f"ours {took:.2f} s, chinchilla {theirs['seconds']:.1f} s", file=sys.stderr)
    grid_seconds, by_grid = timed(lambda: fit_loss_law(table, grid)) if args.grid else (None, None)
    assert ours is not None
    assert theirs is not None
    laws = {
        f"Tenon, with {args.bootstrap} refits": (seconds["ours"], dict(ours.params), 1),
        f"chinchilla, {theirs['starts']:,} starts": (seconds["chinchilla"], theirs["params"], os.cpu_count()),
    }
    if by_grid is not None:
        laws["Tenon, starts=grid"] = ([grid_seconds], dict(by_grid.params), 1)
    rows = [
        {"fit": name, "cores": cores, "seconds": float(np.median(times))}
        | {"objective": penalty(params, runs, args.delta)}
        | {one: params[one] for one in NAMES}
        for name, (times, params, cores) in laws.items()
    ]
    ratio = quotient(
        quotient(seconds["chinchilla"], seconds["their base"]), quotient(seconds["ours"], seconds["our base"])
    )
    faster = summary(ratio, "fit")
    return {
        "runs": len(table),
        "source": "gadre, c4_original" if args.runs is None else args.runs.name,
        "fits": rows,
        "times_faster": faster,
        "objective_ratio": rows[1]["objective"] / rows[0]["objective"],
        "seconds": seconds,
    }


def plan_seconds(rounds: int) -> list[float]:
    """Time the whole command, from the shell's view: start, imports, every law, the text."""
    command = [sys.executable, "-m", "tenon", "batch-scaling", "plan", "--params", "1.3B", "--gpus", "64xH100"]
    return [timed(lambda: subprocess.run(command, check=True, capture_output=True))[0] for _ in range(rounds)]


def make_environment() -> None:
    if not _python().exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    subprocess.run([str(_python()), "-m", "pip", "-q", "install", "-r", str(REQUIREMENTS)], check=True)


def _python() -> Path:
    return ENVIRONMENT / "bin" / "python"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--make-env", action="store_true", help="make the peer's environment under runs/, and stop")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "batch_scaling.json")
    parser.add_argument("--runs", type=Path, help="a table of runs; without it the shipped one")
    parser.add_argument("--drop-top", type=int, default=0, help="runs of the highest loss that nobody fits")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--values", type=int, default=5, choices=(3, 5), help="the peer's starts per axis")
    parser.add_argument("--delta", type=float, default=1e-3)
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--grid", action="store_true", help="also time our fit from the 4,500 published starts")
    args = parser.parse_args()
    if args.make_env:
        make_environment()
        return
    if not _python().exists():
        parser.exit(2, f"There is no {ENVIRONMENT}; make it, once: python bench/batch_scaling.py --make-env\n")
    try:
        with Peer(_python(), HERE / "peers" / "chinchilla_worker.py", os.environ) as peer:
            environment = peer.ask("start")
            found = compare(args, peer) | {"chinchilla environment": environment}
        seconds = plan_seconds(1 + args.rounds)[1:]  # the first fills the disk's cache
        found["plan"] = [
            {"command": "plan --params 1.3B", "median [s]": float(np.median(seconds)), "max [s]": max(seconds)}
        ]
    except BackendError as error:
        parser.exit(2, f"{error}\n")
    show(found)
    told = "" if args.runs is None else f" --runs {args.runs.name} --drop-top {args.drop_top}"
    command = f"python bench/batch_scaling.py{told} --rounds {args.rounds} --values {args.values}"
    command += " --grid" if args.grid else ""
    write_results(args.out, command=command, seed=0, weights="none: no model", **found)


def show(found: dict[str, Any]) -> None:
    table = Table(*found["fits"][0])
    for row in found["fits"]:
        table.add_row(*(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.values()))
    console = Console(width=150)
    console.print(table)
    one = found["times_faster"]
    console.print(f"Times faster: {one['ratio']:.0f} ({one['low']:.0f} to {one['high']:.0f})")


if __name__ == "__main__":
    main()
