"""Training on puzzles: a masked-diffusion model, or the autoregressive baseline of the same size on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tenon.core.progress import progress
from tenon.core.seeds import derive, seed_everything
from tenon.core.training.config import training_arguments
from tenon.core.training.rows import PassRows, whole_batch
from tenon.methods.mdm.config import PuzzleTraining
from tenon.methods.mdm.kinds import puzzles_of, row_length
from tenon.methods.mdm.layout import EOS, MASK, PAD, Rows, lay_out, puzzle_tokenizer
from tenon.methods.mdm.model import new_model
from tenon.methods.mdm.trainer import IGNORE, MDMTrainer
from tenon.tasks.puzzles.paths import turned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tenon.core.run import Run
    from tenon.tasks.puzzles import Puzzle, Puzzles

__all__ = ["train_on_puzzles"]


def train_on_puzzles(run: Run, config: PuzzleTraining, given: Sequence[Puzzle] | None = None) -> Path:
    """Train, or go on with it, and give the folder with model and tokenizer; what is finished is not done again.

    Args:
        run: Holds checkpoints, metrics and the model.
        config: All of it.
        given: Puzzles to learn from, as `load_puzzles` reads them; none: `config.rows` are generated.

    Raises:
        DataError: There are not that many of them.
    """
    from transformers import Trainer

    from tenon.core.training.loop import checkpoint_folder, save_model, train

    finished = run.path / "model"
    if run.stage_done("training"):
        return finished
    tokenizer, puzzles = puzzle_tokenizer(), puzzles_of(config.kind, config.size)
    length = row_length(puzzles)
    rows = _rows(tokenizer, given or _drawn(puzzles, config), config, length)
    seed_everything(derive(config.train.seed, "weights"))
    model = new_model(
        config.model,
        vocab_size=len(tokenizer),
        mask_token_id=MASK,
        positions=max(512, length),
        backbone=config.backbone,
        **config.changes,
    )
    arguments = training_arguments(config.train, checkpoint_folder(run))
    items = config.train.steps * config.train.batch_size * config.train.accumulation * arguments.world_size
    columns = {"input_ids": rows.ids, "labels": torch.where(rows.is_maskable, rows.ids, IGNORE)}
    reads = PassRows(columns, items=items, seed=config.train.seed)
    trained: Any = model if config.objective == "mdm" else _causal(model)
    trained.config.puzzle = {"kind": config.kind, "size": config.size, "objective": config.objective}  # for `eval`
    options: dict[str, Any] = {
        "model": trained,
        "args": arguments,
        "train_dataset": reads,
        "data_collator": whole_batch,
    }
    trainer = MDMTrainer(mdm=config.mdm, **options) if config.objective == "mdm" else Trainer(**options)
    train(trainer, run, label=f"training {config.objective} on {puzzles.name}")
    save_model(trainer, tokenizer, finished)
    run.finish_stage("training", tokens=items * length)
    return finished


def _drawn(puzzles: Puzzles, config: PuzzleTraining) -> list[Puzzle]:
    with progress(f"drawing puzzles of {puzzles.name}", config.rows) as advance:
        found = []
        for one in puzzles.generate(config.train.seed, "train", config.rows):
            found.append(one)
            advance()
        return found


def _rows(tokenizer: Any, drawn: Sequence[Puzzle], config: PuzzleTraining, length: int) -> Rows:
    is_backward = config.objective == "reverse_ar"
    answers = [turned(one.answer) if is_backward else one.answer for one in drawn]
    # What a baseline has behind its EOS teaches it nothing.
    return lay_out(
        tokenizer, [one.prompt for one in drawn], answers, length=length, learn_pad=config.objective == "mdm"
    )


def _causal(model: Any) -> Any:
    """Give the decoder of a masked-diffusion model as it would have been: the same weights, looking back alone."""
    decoder = model.decoder
    decoder.config.is_causal = True
    for module in decoder.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = True
    decoder.loss_type = "ForCausalLM"
    for config in (decoder.config, decoder.generation_config):
        config.eos_token_id, config.pad_token_id = EOS, PAD
    return decoder
