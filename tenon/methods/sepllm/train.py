"""Training under the mask: a fresh model, or one that is there already, through `transformers.Trainer`.

Nothing here knows of ranks, precisions or devices: the mask lives in the model's forward, and all else is Trainer's.
The options are saved with the model, and `apply_sepllm(model, tokenizer)` finds them there.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from tenon.core.errors import DataError, require
from tenon.core.seeds import derive, seed_everything
from tenon.core.training.config import TrainConfig, training_arguments
from tenon.core.training.packing import pack
from tenon.core.training.rows import PassRows, whole_batch
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.model import apply_sepllm
from tenon.tasks.text import read_documents, stream_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tenon.core.run import Run

__all__ = ["TRAIN_PRESETS", "Shape", "TrainSettings", "fresh_model", "pack_text", "train_under_mask"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The architecture of a fresh model."""

    architecture: Literal["llama", "gpt_neox"] = "llama"
    """Llama, or GPT-NeoX as Pythia has it: parallel residual, a quarter of each head rotated."""
    layers: int = 4
    """Transformer blocks."""
    hidden: int = 128
    """Width of the residual stream."""
    intermediate: int = 352
    """Width of the feed-forward layers."""
    heads: int = 4
    """Query heads."""
    kv_heads: int | None = None
    """Key and value heads; none: as many as query heads (GPT-NeoX knows nothing else)."""
    tied: bool = True
    """Whether the output layer is the embedding."""

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "intermediate", "heads"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.hidden % self.heads == 0, self, "heads", f"a divisor of hidden ({self.hidden})")
        if self.kv_heads is not None:
            require(
                self.kv_heads >= 1 and self.heads % self.kv_heads == 0,
                self,
                "kv_heads",
                f"a divisor of heads ({self.heads})",
            )
            is_possible = self.architecture == "llama" or self.kv_heads == self.heads
            require(is_possible, self, "kv_heads", "none for gpt_neox, which has one pair of key and value per head")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What is trained, under which mask, on rows of what length."""

    sep: SepConfig = field(default_factory=lambda: SepConfig(window=64))
    """The mask; `--set sep.window=none` is full attention."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Optimiser, schedule, batch."""
    shape: Shape = field(default_factory=Shape)
    """A fresh model's architecture; of no meaning where a model is given."""
    row: int = 512
    """Tokens of a training row, and the longest text that a fresh model knows [tokens]."""
    valid_tokens: int = 65_536
    """Held-out text that is scored at the end, if one is given [tokens]."""

    def __post_init__(self) -> None:
        require(self.row >= 2, self, "row", "2 or more")
        require(self.valid_tokens >= self.row, self, "valid_tokens", f"as long as one row ({self.row}) at least")
        require(self.sep.prefill != "stream", self.sep, "prefill", "'sparse' in training: a cache has no gradient")

    @property
    def rows(self) -> int:
        """Rows that one device reads in all."""
        return self.train.steps * self.train.batch_size * self.train.accumulation


def fresh_model(shape: Shape, tokenizer: PreTrainedTokenizerBase, *, context: int, seed: int) -> PreTrainedModel:
    """Build an untrained model for a tokenizer; the same seed gives the same weights.

    Args:
        shape: Its architecture.
        tokenizer: Gives the size of the vocabulary and the special tokens.
        context: Positions that the model's config names [tokens].
        seed: Seed of the training.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    fields: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "max_position_embeddings": context,
        "tie_word_embeddings": shape.tied,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if shape.architecture == "llama":
        fields["num_key_value_heads"] = shape.kv_heads or shape.heads
    config = AutoConfig.for_model(shape.architecture, **fields)
    seed_everything(derive(seed, "weights"))
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model


def pack_text(
    tokenizer: PreTrainedTokenizerBase, source: str | Path, *, row: int, most: int
) -> Int[Tensor, "rows seq"]:
    """Lay the documents of a source end to end, each opened by the tokenizer's own special tokens, and cut rows.

    Reads no more than `most` rows need, so that a source may be endless. Attention crosses the borders of documents, as
    in the paper.

    Raises:
        DataError: The source has less than one row.
    """
    packed = pack(stream_ids(tokenizer, read_documents(source), limit=row * most), length=row)
    rows = list(itertools.islice(packed, most))
    if not rows:
        raise DataError(
            f"{source} has fewer than {row} tokens, which is one row; give more text, or set a shorter row."
        )
    return torch.tensor(rows)


def train_under_mask(
    run: Run,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Int[Tensor, "rows seq"],
    settings: TrainSettings,
    *,
    label: str = "training under the mask",
) -> Path:
    """Train, or train on, and give the folder with model, tokenizer and options; what is finished is not done again.

    Args:
        run: Holds checkpoints, metrics and the finished model.
        model: Any causal language model that `apply_sepllm` knows, in float32; it is trained in place.
        tokenizer: Its tokenizer, where separators are looked up.
        rows: The text; rows are read in an order drawn from the seed, again and again if the steps need more.
        settings: Mask, optimiser and batch.
        label: What the progress says.
    """
    from transformers import Trainer

    from tenon.core.training.loop import checkpoint_folder, save_model, train

    finished = run.path / "model"
    if run.stage_done("training"):
        return finished
    arguments = training_arguments(settings.train, checkpoint_folder(run))
    items = settings.rows * arguments.world_size
    configs: list[Any] = [model.config, model.generation_config]
    caching = [getattr(config, "use_cache", None) for config in configs]
    with apply_sepllm(model.train(), tokenizer, settings.sep):
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=PassRows({"input_ids": rows, "labels": rows}, items=items, seed=settings.train.seed),
            data_collator=whole_batch,
        )
        train(trainer, run, label=label)
        # Training turns the cache off in both configs, and without it generation reads the whole text at every step.
        for config, value in zip(configs, caching, strict=True):
            if value is not None:
                config.use_cache = value
        save_model(trainer, tokenizer, finished)
    run.finish_stage("training", tokens=items * rows.shape[1])
    return finished


def _paper(sep: SepConfig, shape: Shape, steps: int = 143_000, **train: Any) -> TrainSettings:
    """Give a training of the paper; 'same rest' of section 4.3."""
    optimiser = TrainConfig(
        steps=steps,  # [paper] 143k
        batch_size=32, accumulation=32,  # [paper] 1,024 rows a step; [ours] how one device splits them
        learning_rate=6e-4, min_lr_ratio=0.1, schedule="cosine",  # [paper] 6e-4 to 6e-5
        warmup_steps=steps // 100,  # [paper] 1 %
        weight_decay=0.1, adam_beta1=0.9, adam_beta2=0.95, max_grad_norm=1.0,  # [paper]; eps 1e-8 is Trainer's own
        precision="fp16",  # [paper]
        log_every=100, save_every=1000,  # [ours]
    )  # fmt: skip
    return TrainSettings(sep=sep, shape=shape, train=replace(optimiser, **train), row=2048)  # [paper] rows of 2,048


_MASK = SepConfig(
    separators="neox-mask",  # [code] the literal ids of the nine strings
    match="exact",  # [code] single ids
    init=3,  # [paper]
    window=64,  # [paper]
)
_PYTHIA_160M = Shape(
    architecture="gpt_neox", layers=12, hidden=768, intermediate=3072, heads=12, tied=False,  # [paper] Pythia-160m
)  # fmt: skip


TRAIN_PRESETS: dict[str, TrainSettings] = {
    # From scratch, section 4.3: Pythia-160m on the Pile; needs `--tokenizer EleutherAI/pythia-160m-deduped`.
    "paper-160m-n64": _paper(_MASK, _PYTHIA_160M),  # [paper] n=64
    "paper-160m-n128": _paper(replace(_MASK, window=128), _PYTHIA_160M),  # [paper] n=128
    "paper-160m-n256": _paper(replace(_MASK, window=256), _PYTHIA_160M),  # [paper] n=256
    "paper-160m-n64-h": _paper(replace(_MASK, full_layers="head"), _PYTHIA_160M),  # [paper] H
    "paper-160m-n64-ht": _paper(replace(_MASK, full_layers="head_tail"), _PYTHIA_160M),  # [paper] H/T
    "paper-160m-n64-hmt": _paper(replace(_MASK, full_layers="head_mid_tail"), _PYTHIA_160M),  # [paper] HMT
    # Post-training, section 4.4, "larger lr": `--model` Pythia-1.4B-deduped at step 93,000, then the whole cosine
    # again, warm-up from zero included. How many steps that were is not published; 50,000 were left of 143,000.
    "paper-1.4b-post-n64": _paper(_MASK, Shape(), 50_000, learning_rate=2e-4),  # [code] 2e-4 to 2e-5, [ours] steps
    "paper-1.4b-post-n128": _paper(
        replace(_MASK, window=128), Shape(), 50_000, learning_rate=2e-4,  # [paper] n=128, [code], [ours] steps
    ),
    # A small Llama with nano-lm's tokenizer: minutes on one core.
    "small": TrainSettings(
        sep=SepConfig(window=64),  # [ours]
        train=TrainConfig(
            steps=500, batch_size=8, learning_rate=2e-3, warmup_steps=30, precision="bf16", save_every=100,  # [ours]
            device="cpu",  # [ours]
        ),
    ),
    # nano-lm trained on for minutes: `--model nano-lm --text runs/nano-reading.jsonl`, which `tenon nano read` writes.
    "nano-post": TrainSettings(
        sep=SepConfig(init=4, window=32),  # [ours] solved examples have left it
        train=TrainConfig(
            steps=300, batch_size=4, learning_rate=5e-4, warmup_steps=20, precision="bf16", save_every=100,  # [ours]
            device="cpu",  # [ours]
        ),
        row=1024,  # [ours] the rows of that reading
    ),
}  # fmt: skip
