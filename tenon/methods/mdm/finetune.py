"""A trained autoregressive model trained on by masked diffusion, with prompts and responses of one's own.

Adapters (LoRA, by peft) or all weights; what is saved is one model without adapters, and the adapters beside it. The
state before a token predicts it, as the model has learnt (`shift_logits`), but now every token sees every other.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tenon.core.errors import ConfigError, DataError, UnsupportedModelError, need
from tenon.core.files import read_records
from tenon.core.models.loading import load_model, load_tokenizer
from tenon.core.seeds import derive, seed_everything
from tenon.core.training.adapters import lora_config
from tenon.core.training.config import training_arguments
from tenon.core.training.rows import PassRows
from tenon.methods.mdm.collator import DataCollatorForMaskedDiffusion, by_length, encode_rows
from tenon.methods.mdm.config import FinetuneConfig
from tenon.methods.mdm.model import MDMForMaskedDiffusion
from tenon.methods.mdm.trainer import IGNORE, MDMTrainer

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = [
    "Prepared",
    "add_adapters",
    "add_mask",
    "diffusion_model",
    "finetune",
    "prepare",
    "read_rows",
    "split_rows",
]

NEW_MASK = "<|mask|>"
"""MASK of a tokenizer that has none."""

Encoded = dict[str, list[int]]


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Read rows of a `.jsonl` file, one object a line, or of a `.csv` file with a header; its values stay text.

    Raises:
        DataError: There is no such file, it has no rows, or a line is no object.
    """
    file = Path(path)
    if not file.is_file() or file.suffix not in (".jsonl", ".csv"):
        raise DataError(f"{file} is no .jsonl or .csv file; give one with columns prompt and response.")
    if file.suffix == ".csv":
        with open(file, encoding="utf-8-sig", newline="") as lines:  # what a spreadsheet writes, too
            rows: list[dict[str, Any]] = list(csv.DictReader(lines))
    else:
        rows = [row for _, row in read_records(file)]
    if not rows:
        raise DataError(f"{file} has no rows; give one with columns prompt and response.")
    return rows


def split_rows(encoded: Sequence[Encoded], share: float, seed: int) -> tuple[list[Encoded], list[Encoded]]:
    """Give the rows to train on, and those held out; rows of one prompt stay together.

    Args:
        encoded: As `encode_rows` gives them.
        share: Of the different prompts that is held out, rounded up.
        seed: Names the draw.

    Raises:
        DataError: Nothing is left to train on.
    """
    prompts = [
        tuple(token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label == IGNORE)
        for row in encoded
    ]
    drawn = sorted(set(prompts), key=lambda prompt: derive(seed, "held out", prompt))
    held_out = set(drawn[: -int(-share * len(drawn) // 1)])
    parts: tuple[list[Encoded], list[Encoded]] = ([], [])
    for row, prompt in zip(encoded, prompts, strict=True):
        parts[prompt in held_out].append(row)
    if not parts[0]:
        raise DataError(
            f"{len(encoded)} rows have {len(drawn)} different prompts; none is left to train on. Give more."
        )
    return parts


def add_mask(model: Any, tokenizer: Any, token: str | None = None) -> bool:
    """Give model and tokenizer a MASK, and say whether its embedding is new.

    Args:
        model: Gets a row more where its vocabulary has none to spare.
        tokenizer: Changed in place.
        token: See `FinetuneConfig.mask_token`.
    """
    if token is None and tokenizer.mask_token_id is not None:
        return False
    name = token or NEW_MASK
    is_new = name not in tokenizer.get_vocab()
    tokenizer.add_special_tokens({"mask_token": name})
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    return is_new


def diffusion_model(decoder: Any, mask_token_id: int, *, has_padding: bool = False) -> MDMForMaskedDiffusion:
    """Make a masked-diffusion model of a causal one, which is changed in place, or refuse it.

    Args:
        decoder: As `load_model` gives it.
        mask_token_id: Id of MASK.
        has_padding: Whether its rows will have padding that is not to be seen; then that is tried, too.

    Raises:
        UnsupportedModelError: It cannot be made to look ahead, or it sees padding.
    """
    try:
        model = MDMForMaskedDiffusion.from_causal(decoder, mask_token_id=mask_token_id)
    except (AttributeError, TypeError) as error:
        raise UnsupportedModelError(
            f"A {decoder.config.model_type} model has not the parts of a decoder ({error}); use another, such as a "
            "Llama, Qwen, Mistral, Gemma, Phi or GPT-2."
        ) from error
    if has_padding and _sees_padding(model):
        raise UnsupportedModelError(
            f"A {decoder.config.model_type} model sees padding where it is told not to; set mdm.pad_policy=eos_fill, "
            "or use another model."
        )
    return model


@torch.no_grad()
def _sees_padding(model: Any, length: int = 6) -> bool:
    was_training = model.training
    model.eval()
    ids = torch.arange(2, 2 + 2 * length, device=model.device)[None] % model.config.vocab_size
    is_seen = (torch.arange(2 * length, device=model.device) < length).long()[None]
    other = torch.where(is_seen == 1, ids, ids.flip(1))
    logits = [model(one, attention_mask=is_seen).logits[:, :length] for one in (ids, other)]
    model.train(was_training)
    return not torch.equal(*logits)


def add_adapters(model: Any, config: FinetuneConfig) -> Any:
    """Put LoRA adapters beside a model's layers; they and MASK's embedding alone are trained.

    Args:
        model: A masked-diffusion model.
        config: Rank, alpha and layers.

    Raises:
        MissingExtra: peft is not installed.
        ConfigError: No layer has such a name.
    """
    peft = need("peft", extra="finetune")
    lora = lora_config(
        model,
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        targets=config.lora_targets,
        may_have_head=True,
        trainable_token_indices=[model.config.mask_token_id],
        task_type=None,  # peft knows none that looks ahead
    )
    with warnings.catch_warnings():  # of an older name that peft asks transformers for
        warnings.simplefilter("ignore", FutureWarning)
        return peft.get_peft_model(model, lora)


@dataclass
class Prepared:
    """A model and the rows it is to be trained on, all of them checked."""

    model: Any
    """A masked-diffusion model, in its adapters if there are to be any."""
    tokenizer: Any
    """With MASK."""
    learnt: list[Encoded]
    """Rows to train on."""
    held_out: list[Encoded]
    """Rows to score."""
    skipped: int
    """Rows with nothing to write, which are left out."""
    max_length: int
    """No row is longer [tokens]."""


def prepare(backbone: str, rows: Sequence[Mapping[str, Any]], config: FinetuneConfig) -> Prepared:
    """Load a model, make it one of masked diffusion, and encode the rows.

    Args:
        backbone: A causal language model, by the names of `load_model`.
        rows: See `collator`.
        config: All of it.

    Raises:
        ConfigError: `max_length` is more than the model knows.
        DataError: A row is faulty, or too long, or all are empty.
        UnsupportedModelError: The model cannot be made to look ahead.
        MissingExtra: peft is needed and not installed.
    """
    seed, pad_policy = config.train.seed, config.mdm.pad_policy
    tokenizer, decoder = load_tokenizer(backbone), load_model(backbone, dtype=config.dtype, device="cpu")
    known = getattr(decoder.config, "max_position_embeddings", None)
    if known is not None and known < (config.max_length or 0):
        raise ConfigError(
            f"FinetuneConfig.max_length is {config.max_length}, but the model knows {known} positions; set fewer."
        )
    seed_everything(derive(seed, "weights"))
    add_mask(decoder, tokenizer, config.mask_token)
    encoded = encode_rows(tokenizer, rows, max_length=config.max_length or known)
    kept = [row for row in encoded if any(label != IGNORE for label in row["labels"])]
    learnt, held_out = split_rows(kept, config.held_out, seed)
    max_length = config.max_length or max(len(row["input_ids"]) for row in kept)
    model: Any = diffusion_model(decoder, tokenizer.mask_token_id, has_padding=pad_policy == "ignore")
    is_chat = "messages" in rows[0] or isinstance(rows[0].get("prompt"), list)
    model.config.finetuned = {"pad_policy": pad_policy, "max_length": max_length, "is_chat": is_chat}  # for `complete`
    if config.lora_rank:
        model = add_adapters(model, config)
    return Prepared(model, tokenizer, learnt, held_out, len(encoded) - len(kept), max_length)


def finetune(run: Run, prepared: Prepared, config: FinetuneConfig) -> dict[str, Any]:
    """Train, or go on with it, and give what came out; what is finished is not done again.

    Args:
        run: Holds checkpoints, metrics, the `model`, which `MDMForMaskedDiffusion.from_pretrained` loads, and the
            `adapter`.
        prepared: As `prepare` gives it for this config.
        config: All of it.

    Returns:
        `rows`, `held_out_rows`, `skipped_rows`, `max_length`, `parameters`, those `trained`, and the held-out rows'
        loss before and after (none without such rows).
    """
    from transformers import PrinterCallback

    from tenon.core.training.loop import checkpoint_folder, save_model, train

    if run.stage_done("training"):
        return run.stages()["training"]
    model, tokenizer = prepared.model, prepared.tokenizer
    arguments = training_arguments(config.train, checkpoint_folder(run))
    arguments.per_device_eval_batch_size = config.train.batch_size
    trainer = MDMTrainer(
        mdm=config.mdm,
        model=model,
        args=arguments,
        data_collator=DataCollatorForMaskedDiffusion(tokenizer, config.mdm.pad_policy, prepared.max_length),
        train_dataset=_ordered(prepared.learnt, config, arguments.world_size),
        eval_dataset=prepared.held_out,
    )
    trainer.remove_callback(PrinterCallback)  # standard output belongs to the result
    facts: dict[str, Any] = {
        "rows": len(prepared.learnt),
        "held_out_rows": len(prepared.held_out),
        "skipped_rows": prepared.skipped,
        "max_length": prepared.max_length,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "trained": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
    }
    if not run.stage_done("untrained"):
        run.finish_stage("untrained", loss=_held_out_loss(trainer))
    seed_everything(derive(config.train.seed, "training"))  # dropout is the same whether or not rows were scored before
    train(trainer, run, label="fine-tuning")
    facts |= {"loss_before": run.stages()["untrained"]["loss"], "loss_after": _held_out_loss(trainer)}
    if config.lora_rank:
        save_model(trainer, tokenizer, run.path / "adapter")
        trainer.model = trainer.accelerator.unwrap_model(model).merge_and_unload()
    save_model(trainer, tokenizer, run.path / "model")
    run.finish_stage("training", **facts)
    return facts


def _ordered(encoded: Sequence[Encoded], config: FinetuneConfig, world_size: int) -> torch.utils.data.Dataset[Encoded]:
    """Give the rows in the order of the training, of like length together where padding is not learnt."""
    group = config.train.batch_size * config.train.accumulation * world_size
    items, seed = config.train.steps * group, config.train.seed
    order = PassRows({"row": torch.arange(len(encoded))}, items=items, seed=seed).order
    if config.mdm.pad_policy == "ignore":
        lengths = torch.tensor([len(row["input_ids"]) for row in encoded])
        order = by_length(order, lengths, group=group, seed=seed)
    return torch.utils.data.Subset(encoded, order.tolist())  # type: ignore[arg-type]  # its stub wants a torch data set; any sequence is one


def _held_out_loss(trainer: MDMTrainer) -> float | None:
    held_out: Any = trainer.eval_dataset  # its stub allows what has no length
    return float(trainer.evaluate()["eval_loss"]) if len(held_out) else None
