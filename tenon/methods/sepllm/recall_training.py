"""Training the small models of segment recall, one after the other, each resumable, each in a run of its own."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer

from tenon.core.models.loading import weights_hash
from tenon.core.run import Run
from tenon.core.seeds import derive, seed_everything
from tenon.core.training.config import training_arguments
from tenon.core.training.loop import checkpoint_folder, train
from tenon.core.training.packing import IGNORE, mask_labels
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.recall import RecallConfig, model_folder, rules, slug
from tenon.tasks.recall import BOS, PAD, draw_row

if TYPE_CHECKING:
    from tenon.methods.sepllm.config import SepConfig

__all__ = ["TrainingRows", "build_model", "train_models"]


class TrainingRows(Dataset[dict[str, list[int]]]):
    """Rows that ask for every pair they hold; row `i` is a function of `i`, and rows of one step are of one length."""

    def __init__(self, config: RecallConfig, index: int) -> None:
        self.config, self.index = config, index

    def __len__(self) -> int:
        return self.config.train.steps * self.config.train.batch_size

    def __getitem__(self, item: int) -> dict[str, list[int]]:
        """Give one row; only the answers are learnt."""
        seed, step = self.config.seed, item // self.config.train.batch_size
        draw = random.Random(derive(seed, "recall", "length", self.index, step))
        segments = draw.randint(*self.config.lengths(step))
        row = draw_row(self.config.task, seed, "train", self.index, item, segments=segments, questions=segments)
        spans = [(question.place, question.place + 1) for question in row.questions]
        return {"input_ids": list(row.ids), "labels": mask_labels(row.ids, spans)}

    @staticmethod
    def collate(rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Put rows together; what is padded stands after a row's end, where no token of it looks."""
        width = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, fill: int) -> torch.Tensor:
            return torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in rows])

        return {"input_ids": padded("input_ids", PAD), "labels": padded("labels", IGNORE)}


def build_model(config: RecallConfig, index: int) -> LlamaForCausalLM:
    """Give an untrained model; the weights are the same under every mask."""
    seed_everything(derive(config.train.seed, "recall", "weights", index))
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.task.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.task.most_tokens,
            initializer_range=config.initializer_range,
            tie_word_embeddings=True,
            bos_token_id=BOS,
            eos_token_id=None,
            pad_token_id=PAD,
        )
    )


def train_models(run: Run, config: RecallConfig) -> None:
    """Train what is not trained yet; `trained.jsonl` gets a row per model, and `models` a folder.

    The first model is trained under every mask before the second begins.
    """
    jobs = [(name, index) for index in range(config.models) for name in rules(config)]
    for name, index in run.track(jobs, "models", name="trained", key=lambda job: f"{slug(job[0])}/{job[1]}"):
        folder = model_folder(run.path / "models", name, index)
        loss = _train(run, config, name, index, folder)
        run.append("trained", {"key": f"{slug(name)}/{index}", "loss": loss, "weights": weights_hash(folder)})


def _train(run: Run, config: RecallConfig, name: str, index: int, folder: Path) -> float | None:
    """Train one model under its mask, or go on with it, and give the mean loss of the last steps."""
    rule, settings = rules(config)[name], replace(config.train, seed=config.train.seed + index)
    place = run.path / "trainings" / folder.name
    with Run.open(place, config=config, seed=settings.seed, identity={"mask": name, "model": str(index)}) as part:
        if not part.stage_done("training"):
            model = build_model(config, index)
            with apply_sepllm(model, None, rule):
                trainer = Trainer(
                    model=model,
                    args=training_arguments(settings, checkpoint_folder(part)),
                    train_dataset=TrainingRows(config, index),
                    data_collator=TrainingRows.collate,
                )
                train(trainer, part, label=f"training {index} under {name}")
            _export(model, rule, folder)
            part.finish_stage("training", steps=settings.steps)
        shutil.rmtree(checkpoint_folder(part), ignore_errors=True)  # twenty times as large as the model
        losses = part.metrics()
    return losses[-1]["loss"] if losses else None


def _export(model: Any, rule: SepConfig, folder: Path) -> None:
    """Write the model as it ships, its mask in its config: bfloat16, complete or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    copy = type(model)(model.config)  # the live model stays as it is
    copy.load_state_dict(model.state_dict())
    copy.config.use_cache = True  # training turns it off
    with apply_sepllm(copy, None, rule):
        copy.to(torch.bfloat16).save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
