"""A job for `tests.killing`: a sweep of tiny models, in which learning rates are added."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import torch

from tenon.core.run import Run
from tenon.methods.batch_scaling.config import SweepConfig, SweepModel
from tenon.methods.batch_scaling.sweeps import train as sweep_train
from tenon.methods.batch_scaling.sweeps.data import SweepData, load_sweep_data
from tenon.methods.batch_scaling.sweeps.grid import Cell
from tenon.methods.batch_scaling.sweeps.sweep import run_sweep

TINY = SweepConfig(
    models=(SweepModel(hidden=16, layers=1, heads=2, ffn=32),),
    tokens=(512, 1024),
    batch_tokens=(128, 256),
    learning_rates=(1e-3, 4e-3),
    extend=1,
    seeds=(0, 1),
    source="python-docs",
    seq_len=16,
    held_out_tokens=512,
    device="cpu",
)


def sweep(path: Path, config: SweepConfig = TINY) -> None:
    data = load_sweep_data(config)
    with Run.open(path, config=config, seed=config.seed, identity={"text": data.sha256}) as run:
        run_sweep(run, config, data)


def job(path: Path) -> None:
    sweep(path)


def warm_up() -> None:
    """Train once before the job's children are forked, so that what this imports is not imported in each of them."""
    data = SweepData(rows=torch.zeros(32, 16), held_out=torch.zeros(1, 16), vocabulary=256, sha256="")
    list(sweep_train.train_pairs(TINY, data, Cell(TINY.models[0], 512, 128), [(1e-3, 0)]))


def break_the_seeds() -> None:
    """Let weights depend on how many models this process has made before."""
    warm_up()
    made = count()
    true_model = sweep_train.fresh_model
    sweep_train.fresh_model = lambda config, seed: true_model(config, seed=seed + next(made))
