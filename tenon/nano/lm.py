"""The recipe of nano-lm: `tenon nano train lm` runs it from nothing to a folder that ships.

Three stages, each resumable: the tokenizer, the training, the export in bfloat16. What comes out is measured by
`measure.py`, in a stage of its own, so that a figure can be made again without training.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError, require
from tenon.core.seeds import derive, seed_everything
from tenon.core.training import TrainConfig
from tenon.nano.mixture import Mixture, MixtureConfig, Phase, StepRows, split_books, split_gsm8k
from tenon.tasks.math import generate_problems

if TYPE_CHECKING:
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from tenon.core.run import Run

__all__ = ["NAME", "PRESETS", "VERSION", "LMConfig", "build_model", "describe_training", "train_lm"]

NAME, VERSION = "nano-lm", "nano-lm-2"


@dataclass(frozen=True, kw_only=True)
class LMConfig:
    """Shape, reading and training of nano-lm."""

    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    """What it reads."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=1100))
    """How it is trained."""
    vocab_size: int = 4096
    """Entries of the tokenizer."""
    hidden_size: int = 256
    """Width of the residual stream."""
    intermediate_size: int = 704
    """Width of the feed-forward layers."""
    layers: int = 8
    """Transformer blocks."""
    heads: int = 8
    """Query heads."""
    kv_heads: int = 4
    """Key and value heads."""
    start: str = field(default="", metadata={"identity": False})
    """Model to go on from, with its tokenizer: a folder or a name; empty trains from nothing. A run is bound to the
    hash of its weights, wherever they lie."""
    tokenizer_characters: int = 12_000_000
    """Characters the tokenizer is learnt from; books and problems in the shares of the first phase."""

    def __post_init__(self) -> None:
        if self.train.steps != self.mixture.steps:
            raise ConfigError(
                f"LMConfig.train.steps is {self.train.steps}, but the phases have {self.mixture.steps} steps in all."
            )
        if (self.train.batch_size, self.train.accumulation) != (1, 1):
            raise ConfigError(
                f"LMConfig.train has batch_size={self.train.batch_size}, accumulation={self.train.accumulation}; both "
                "must be 1, because one item of the reading is the whole batch of a step: set mixture.step_tokens."
            )
        require(self.hidden_size % self.heads == 0, self, "heads", f"a divisor of hidden_size ({self.hidden_size})")
        require(self.heads % self.kv_heads == 0, self, "kv_heads", f"a divisor of heads ({self.heads})")


def _recipe(
    phases: tuple[Phase, ...], train: TrainConfig, step_tokens: int = 4096, seed: int = 0, **shape: Any
) -> LMConfig:
    mixture = MixtureConfig(phases=phases, step_tokens=step_tokens, seed=seed)
    return LMConfig(mixture=mixture, train=replace(train, steps=mixture.steps), **shape)


PRESETS = {
    # Two CPU cores, about 90 minutes: few tokens, so small steps and a high rate. A broad beginning, then mostly easy
    # problems until numbers are copied and sums are learnt, then everything, and long rows at the end.
    "cpu": _recipe(
        (
            Phase(steps=260, families="easy", most_steps=2),
            Phase(steps=260, families="easy", most_steps=3),
            Phase(steps=80),
            Phase(
                steps=300, families="easy", most_steps=3, learn="answers",
                problems=0.88, books=0.08, gsm8k=0.02, tools=0.02,
            ),
            Phase(steps=250, most_steps=4, learn="answers", problems=0.8, books=0.14, gsm8k=0.03, tools=0.03),
            Phase(steps=150, learn="answers"),
            Phase(steps=100, learn="answers", context=2048),
        ),
        TrainConfig(
            batch_size=1, learning_rate=2e-3, warmup_steps=60, schedule="wsd", min_lr_ratio=0.05, save_every=100,
            device="cpu",
        ),
    ),
    # A second reading, of about two hours, that goes on from what `cpu` made (`--set start=FOLDER`). By then stories
    # are turned into the right sums, and the sums come out wrong: so arithmetic first, then stories, then everything.
    "cpu-second": _recipe(
        (
            Phase(
                steps=350, families="easy", most_steps=3, learn="answers",
                sums=0.35, problems=0.53, books=0.08, gsm8k=0.02, tools=0.02,
            ),
            Phase(
                steps=500, most_steps=4, learn="answers",
                sums=0.2, problems=0.66, books=0.1, gsm8k=0.02, tools=0.02,
            ),
            Phase(steps=900, learn="answers", sums=0.05, problems=0.73, books=0.17, gsm8k=0.03, tools=0.02),
            Phase(steps=450, learn="answers"),
            Phase(steps=100, learn="answers", context=2048),
        ),
        TrainConfig(
            batch_size=1, learning_rate=2e-3, warmup_steps=60, schedule="wsd", min_lr_ratio=0.05, save_every=100,
            device="cpu",
        ),
        seed=1,
        start="runs/nano-lm/model",
    ),
    # One data-centre GPU: 1.3 G tokens; not run yet.
    "gpu": _recipe(
        (
            Phase(steps=1500, families="easy", most_steps=3),
            Phase(steps=4500),
            Phase(steps=2500, learn="answers"),
            Phase(steps=1500, learn="answers", context=2048),
        ),
        TrainConfig(
            batch_size=1, learning_rate=2e-3, warmup_steps=300, schedule="wsd", min_lr_ratio=0.05, precision="bf16",
            save_every=1000,
        ),
        step_tokens=131_072,
    ),
    # The whole recipe in a minute or two, on a model too small to know anything: for the tests.
    "mini": _recipe(
        (Phase(steps=12, context=128, families="easy"), Phase(steps=8, context=256, learn="answers")),
        TrainConfig(batch_size=1, learning_rate=2e-3, warmup_steps=2, save_every=8, log_every=2, device="cpu"),
        step_tokens=512,
        vocab_size=512, hidden_size=64, intermediate_size=128, layers=2, heads=4, kv_heads=2,
        tokenizer_characters=200_000,
    ),
}  # fmt: skip


def model_config(config: LMConfig, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Give the Llama architecture of the recipe: tied embeddings, grouped-query attention, RoPE."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.hidden_size // config.heads,
        max_position_embeddings=config.mixture.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_model(config: LMConfig, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Give the model to train: untrained, the same seed giving the same weights, or `config.start` in float32."""
    from transformers import LlamaForCausalLM

    from tenon.core.models.loading import load_model

    seed_everything(derive(config.train.seed, "weights"))
    if config.start:
        return load_model(config.start, dtype="float32", device="cpu").train()
    return LlamaForCausalLM(model_config(config, tokenizer))


def train_lm(run: Run, config: LMConfig, *, books: Path, gsm8k: Path) -> Path:
    """Run the recipe, or what is left of it, and give the folder with the finished model.

    Args:
        run: Holds tokenizer, checkpoints, metrics and the finished model.
        config: The recipe; one of `PRESETS`, or your own.
        books: A folder with `train.jsonl.xz`, or any file `tasks.text` reads: one book a row.
        gsm8k: GSM8K's `train.jsonl`.
    """
    from transformers import Trainer

    from tenon.core.training.config import training_arguments
    from tenon.core.training.loop import checkpoint_folder, train

    reading, _ = split_books(books)
    exercises, _ = split_gsm8k(gsm8k)
    texts = [book.text for book in reading], [row.question + row.solution for row in exercises]
    tokenizer = _tokenizer(run, config, *texts)
    finished = run.path / "model"
    if run.stage_done("training"):
        return finished
    mixture = Mixture(config.mixture, tokenizer, books=reading, gsm8k=exercises)
    items = config.train.steps
    trainer = Trainer(
        model=build_model(config, tokenizer),
        args=training_arguments(config.train, checkpoint_folder(run)),
        train_dataset=StepRows(mixture, items=items),
        data_collator=StepRows.collate,
    )
    train(trainer, run, label=f"training {NAME}")
    _export(trainer.model, tokenizer, finished)
    run.finish_stage("training", tokens=items * config.mixture.step_tokens)
    return finished


def describe_training(run: Run, config: LMConfig) -> list[dict[str, Any]]:
    """Give one row per phase of a finished training: what was read, and the mean loss of its last 50 steps."""
    metrics = run.metrics()
    rows, first = [], 0
    for phase in config.mixture.phases:
        last = first + phase.steps
        losses = [line["loss"] for line in metrics if max(first, last - 50) < line["step"] <= last]
        rows.append(
            {
                "steps": f"{first + 1} to {last}",
                "tokens": phase.steps * config.mixture.step_tokens,
                "row": phase.context,
                "problems [%]": round(100 * phase.problems),
                "sums [%]": round(100 * phase.sums),
                "books [%]": round(100 * phase.books),
                "families": phase.families,
                "steps of a problem": f"up to {phase.most_steps}",
                "learnt in problems": phase.learn,
                "loss at the end": sum(losses) / max(1, len(losses)),
            }
        )
        first = last
    return rows


def _tokenizer(run: Run, config: LMConfig, books: list[str], exercises: list[str]) -> PreTrainedTokenizerFast:
    """Load the tokenizer of this run: of the model it goes on from, else learnt first if it is not there."""
    from transformers import PreTrainedTokenizerFast

    if config.start:
        return PreTrainedTokenizerFast.from_pretrained(config.start)
    from tenon.nano.tokenizer import train_tokenizer

    folder = run.path / "tokenizer"
    if not run.stage_done("tokenizer"):
        shutil.rmtree(folder, ignore_errors=True)
        tokenizer = train_tokenizer(_tokenizer_texts(config, books, exercises), vocab_size=config.vocab_size)
        tokenizer.save_pretrained(folder)
        run.finish_stage("tokenizer", entries=len(tokenizer))
    return PreTrainedTokenizerFast.from_pretrained(folder)


def _tokenizer_texts(config: LMConfig, books: list[str], exercises: list[str]) -> Any:
    """Give texts in about the shares of the mixture: a stretch of every book, generated problems, exercises."""
    stretch = max(1, int(config.tokenizer_characters * config.mixture.phases[0].books) // len(books))
    rng = random.Random(derive(config.mixture.seed, "tokenizer"))
    for text in books:
        start = rng.randrange(max(1, len(text) - stretch))
        yield text[start : start + stretch]
    left = config.tokenizer_characters * config.mixture.phases[0].problems
    for problem in generate_problems(derive(config.mixture.seed, "tokenizer"), "train", 10**9):
        yield problem.question + "\n" + problem.solution
        left -= len(problem.question) + len(problem.solution)
        if left < 0:
            break
    yield from exercises[: int(len(exercises) * min(1, config.tokenizer_characters / 12_000_000))]


def _export(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model as it ships: bfloat16, safetensors, tokenizer beside it; complete or not at all."""
    import torch
    from transformers import GenerationConfig

    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    # The export must not turn the live model to bfloat16: a copy does.
    copy = type(model)(model.config)
    copy.load_state_dict(model.state_dict())
    # Training turns the cache off in both configs, and without it generation reads the whole text at every step.
    copy.config.use_cache = True
    copy.generation_config = GenerationConfig.from_model_config(copy.config)
    copy.to(torch.bfloat16).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
