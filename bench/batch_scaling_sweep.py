"""Time the two engines of a sweep: R trainings side by side, and the same R by `transformers.Trainer`, one by one.

    python bench/batch_scaling_sweep.py --out bench/results/batch_scaling_sweep.json
    python bench/batch_scaling_sweep.py --device cuda --replicas 16 --tokens 2097152 --batches 4096 65536

Whole trainings as a sweep does them: fresh weights, steps, the measurement on held-out text. Engines take turns
(`tenon.core.bench`), on the standard library's sources as bytes. `difference` is the largest between the held-out
losses that both reach, over all learning rates; the specification asks for 1e-4.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenon.core.bench import compare
from tenon.core.models.counting import flops_per_token
from tenon.core.results import write_results
from tenon.methods.batch_scaling.config import SweepConfig, SweepModel
from tenon.methods.batch_scaling.sweeps.data import SweepData, load_sweep_data
from tenon.methods.batch_scaling.sweeps.grid import Cell
from tenon.methods.batch_scaling.sweeps.model import llama_config, parameter_counts, usual_ffn
from tenon.methods.batch_scaling.sweeps.train import train_pairs

ENGINES = ("trainer", "stacked")
SIZES = {
    f"h{hidden}l{layers}": SweepModel(hidden=hidden, layers=layers, heads=hidden // 32, ffn=usual_ffn(hidden))
    for hidden, layers in ((32, 2), (64, 2), (128, 4), (256, 6))
}


def measure(args: argparse.Namespace, data: SweepData, size: str, batch: int) -> list[dict[str, Any]]:
    """Time both engines on one cell; one row for each."""
    cell = Cell(SIZES[size], args.tokens, batch)
    last = max(1, args.replicas - 1)
    rates = [1e-3 * 8 ** (index / last) for index in range(args.replicas)]  # none so high that training is chaotic
    config = SweepConfig(
        models=(cell.shape,), tokens=(args.tokens,), batch_tokens=(batch,), learning_rates=tuple(rates),
        precision=args.precision, device="cpu" if args.device == "cpu" else "auto",
    )  # fmt: skip
    losses: dict[str, list[float]] = {}

    def train(engine: Any) -> None:
        outcomes = train_pairs(replace(config, engine=engine), data, cell, [(rate, 0) for rate in rates])
        losses[engine] = [one.loss for one in outcomes]

    functions = {engine: lambda engine=engine: train(engine) for engine in ENGINES}
    timed = compare(functions, baseline="trainer", warmup=1, repeats=args.rounds)
    llama = llama_config(cell.shape, vocabulary=data.vocabulary, seq_len=config.seq_len)
    work = args.replicas * 3 * flops_per_token(llama, config.seq_len) * cell.steps * batch
    difference = max(abs(one - other) for one, other in zip(losses["trainer"], losses["stacked"], strict=True))
    return [
        {"model": size, "parameters": parameter_counts(llama)["non_embedding"], "batch": batch, "steps": cell.steps,
         "replicas": args.replicas, "engine": engine, "runs/min": 60 * args.replicas / one.median,
         "GFLOP/s": work / one.median / 1e9, "times as fast": 1 / one.ratio, "low": 1 / one.ratio_high,
         "high": 1 / one.ratio_low, "difference": difference}
        for engine, one in timed.timings.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "batch_scaling_sweep.json")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["h32l2", "h64l2", "h128l4"])
    parser.add_argument("--batches", nargs="+", type=int, default=[512, 4096], help="tokens of a batch")
    parser.add_argument("--tokens", type=int, default=16384, help="tokens of a training")
    parser.add_argument("--replicas", type=int, default=5, help="trainings side by side")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    data = load_sweep_data(SweepConfig(tokens=(args.tokens,), batch_tokens=(min(args.batches),), held_out_tokens=8192))
    rows = []
    for size in args.sizes:
        for batch in args.batches:
            for row in measure(args, data, size, batch):
                told = (f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}"
                        for key, value in row.items())  # fmt: skip
                print(*told, sep="; ", flush=True)
                rows.append(row)
    shown = {name: value for name, value in vars(args).items() if value != parser.get_default(name) and name != "out"}
    words = [
        f"--{name} {' '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in shown.items()
    ]
    command = " ".join(["python bench/batch_scaling_sweep.py", *words])
    write_results(args.out, command=command, seed=0, weights="random", text=data.sha256, engines=rows)


if __name__ == "__main__":
    main()
