"""The trainings of one cell, by either engine: what every one of them is told, and which text it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tenon.core.seeds import derive
from tenon.core.training.config import TrainConfig
from tenon.methods.batch_scaling.config import SweepConfig
from tenon.methods.batch_scaling.sweeps.data import SweepData, row_order
from tenon.methods.batch_scaling.sweeps.grid import Cell
from tenon.methods.batch_scaling.sweeps.model import fresh_model, llama_config

if TYPE_CHECKING:
    from tenon.core.progress import Advance
    from tenon.methods.batch_scaling.sweeps.stacked import Outcome

__all__ = ["Pair", "passes_of", "train_pairs"]

Pair = tuple[float, int]
"""Learning rate and seed."""


def train_pairs(
    config: SweepConfig, data: SweepData, cell: Cell, pairs: Sequence[Pair], advance: Advance | None = None
) -> Iterator[Outcome]:
    """Train a cell at these learning rates and seeds; give the outcomes in their order, each as soon as it is there.

    Trainings of one seed begin with the same weights and read the same rows, whatever their learning rate.
    """
    import torch

    llama = llama_config(cell.shape, vocabulary=data.vocabulary, seq_len=config.seq_len)
    roots = {seed: derive(config.seed, "training", seed) for _, seed in pairs}
    trains = [train_config(config, cell, lr, roots[seed]) for lr, seed in pairs]
    items = trains[0].steps * trains[0].batch_size * trains[0].accumulation
    orders = {seed: row_order(data, items=items, seed=root) for seed, root in roots.items()}
    if config.engine == "stacked":
        from tenon.methods.batch_scaling.sweeps.stacked import train_stacked

        fresh = {seed: fresh_model(llama, seed=root) for seed, root in roots.items()}
        models, order = [fresh[seed] for _, seed in pairs], torch.stack([orders[seed] for _, seed in pairs])
        yield from train_stacked(models, trains, data.rows, order, data.held_out, advance=advance)
        return
    from tenon.methods.batch_scaling.sweeps.trainer import train_alone

    for (_, seed), train in zip(pairs, trains, strict=True):
        model = fresh_model(llama, seed=roots[seed])
        noise = config.noise_scale and train.accumulation > 1
        yield train_alone(model, train, data.rows, orders[seed], data.held_out, noise_scale=noise)
        if advance is not None:
            advance(cell.steps * cell.batch_tokens)


def passes_of(config: SweepConfig, batch_tokens: int) -> int:
    """Say in how many passes a batch is computed: one, or, for the noise scale, as many of 2 to 8 as divide its rows.

    The noise scale is the difference between micro-batches and the whole, so a batch in one pass has none.
    """
    rows = batch_tokens // config.seq_len
    return next(parts for parts in range(8, 0, -1) if rows % parts == 0) if config.noise_scale else 1


def train_config(config: SweepConfig, cell: Cell, lr: float, seed: int) -> TrainConfig:
    """Say what one training is told."""
    rows, passes = cell.batch_tokens // config.seq_len, passes_of(config, cell.batch_tokens)
    return TrainConfig(
        steps=cell.steps,
        batch_size=rows // passes,
        accumulation=passes,
        learning_rate=lr,
        schedule="cosine",
        warmup_steps=round(config.warmup * cell.steps),
        min_lr_ratio=config.min_lr_ratio,
        weight_decay=config.weight_decay,
        adam_beta2=config.adam_beta2,
        max_grad_norm=config.max_grad_norm,
        precision=config.precision,
        device=config.device,
        seed=seed % 2**32,  # NumPy's limit, which Trainer passes it on to
    )
