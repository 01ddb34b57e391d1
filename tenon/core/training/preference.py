"""Seam to trl: preference and supervised training over rows of token ids, with further loss terms of a method's own.

Left to itself, trl ends every text with EOS, cuts rows at their end, drops some unseen, reads the reference anew from
the disk and keeps its numbers in a cache of the machine. Here a row is token ids and leaves as it came, and the
reference is the model as it was handed over. The losses and their figures are trl's.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from jaxtyping import Float, Int
from packaging.specifiers import SpecifierSet
from torch import Tensor
from transformers import PrinterCallback

from tenon.core.errors import DataError, UnsupportedVersion
from tenon.core.files import write_atomic
from tenon.core.training.config import TrainConfig, training_options
from tenon.core.training.packing import IGNORE
from tenon.core.training.rows import step_order

SUPPORTED = ">=1.16,<2"


def check_trl(version: str) -> None:
    """Refuse a trl whose inner workings we do not know.

    Raises:
        UnsupportedVersion: It is none of `SUPPORTED`.
    """
    if not SpecifierSet(SUPPORTED).contains(version, prereleases=True):
        raise UnsupportedVersion(
            f"trl {version} is installed; training needs trl{SUPPORTED}: pip install 'trl{SUPPORTED}'."
        )


check_trl(trl.__version__)  # before anything in it is looked for

from trl.trainer.dpo_config import DPOConfig  # noqa: E402 - after the check
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer  # noqa: E402 - after the check
from trl.trainer.sft_config import SFTConfig  # noqa: E402 - after the check
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer  # noqa: E402 - after the check

__all__ = [
    "METRICS",
    "PreferenceTrainer",
    "Scored",
    "SupervisedTrainer",
    "check_trl",
    "dpo_arguments",
    "sft_arguments",
]

METRICS = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
)
"""Figures of trl's that a run keeps: those that a resumed training gives again, which its count of tokens is not."""

IDS = ("prompt_ids", "chosen_ids", "rejected_ids")
REFERENCE = ("ref_chosen_logps", "ref_rejected_logps")
TEXT = ("input_ids", "attention_mask", "completion_mask")


def dpo_arguments(
    train: TrainConfig,
    folder: Path,
    *,
    beta: float,
    loss: str = "sigmoid",
    label_smoothing: float = 0.0,
    precompute_reference: bool = True,
) -> Any:
    """Turn a config into trl's `DPOConfig`, under the rules of `training_arguments`.

    Args:
        train: Optimiser, schedule, batch.
        folder: Where checkpoints go, and nothing else.
        beta: Strength of the pull towards the reference.
        loss: One of trl's losses.
        label_smoothing: For those of them that know it.
        precompute_reference: Ask the reference once, before training, and keep no second model in memory.
    """
    return DPOConfig(
        **training_options(train, folder),
        beta=beta,
        loss_type=[loss],
        label_smoothing=label_smoothing,
        precompute_ref_log_probs=precompute_reference,
        max_length=None,  # rows are cut by whoever encodes them, and not at their end
        prediction_loss_only=True,
    )


def sft_arguments(train: TrainConfig, folder: Path) -> Any:
    """Turn a config into trl's `SFTConfig`, under the rules of `training_arguments`; the loss is a mean over tokens."""
    return SFTConfig(
        **training_options(train, folder),
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        prediction_loss_only=True,
    )


@dataclass(frozen=True)
class Scored:
    """A batch of pairs as policy and reference see it; see `PreferenceTrainer.further_loss`."""

    chosen: Float[Tensor, "pairs seq"]
    """Log-probability of every token but the first under the policy; 0 outside the completion [nats]."""
    rejected: Float[Tensor, "pairs seq"]
    """The same for the other side."""
    chosen_mask: Int[Tensor, "pairs seq"]
    """1 where a token belongs to the completion."""
    rejected_mask: Int[Tensor, "pairs seq"]
    """The same for the other side."""
    ref_chosen: Float[Tensor, " pairs"]
    """Log-probability of the whole completion under the reference [nats]."""
    ref_rejected: Float[Tensor, " pairs"]
    """The same for the other side."""
    extras: Mapping[str, Tensor]
    """The rows' further columns."""


class PreferenceCollator(DataCollatorForPreference):
    """trl's collator, which cuts nothing here, with every further column of the rows as a tensor."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Pad rows on the right: first all chosen sides, then all rejected ones."""
        extras = [name for name in examples[0] if name not in (*IDS, *REFERENCE)]
        more = {name: torch.tensor([example[name] for example in examples]) for name in extras}
        return super().torch_call(examples) | more


class _Quiet:
    """What trl's trainers do beside training, and ours do not."""

    model: Any
    _metrics: Any

    def _send_telemetry(self) -> None: ...

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Leave out the count of tokens, which begins at 0 again when a training goes on."""
        self._metrics["train" if self.model.training else "eval"].pop("num_tokens", None)
        super().log(logs, start_time)  # type: ignore[misc]  # of the trainer that this is mixed into

    def create_model_card(self, *args: Any, **options: Any) -> None:
        """Write none: a checkpoint is no model to be published."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset  # rows are token ids already


class PreferenceTrainer(_Quiet, DPOTrainer):
    """Train on pairs of token ids; a method adds loss terms in `further_loss`.

    Args:
        model: The policy. The reference is what it is now.
        args: As `dpo_arguments` gives them.
        tokenizer: Goes into the checkpoints; it is not changed.
        rows: `prompt_ids`, `chosen_ids`, `rejected_ids`, and columns of numbers for `further_loss`.
        order: Which row comes when; none: `step_order`.
        held_out: Rows for `evaluate`.
        reference: Another reference than the model as it is now.
        adapters: A peft config; then adapters are trained, and the reference is the model without them.
        reference_file: Where the reference's numbers are kept for a restart, and found by one. Whoever gives it sees
            that it belongs to these rows and this model, as a `Run` does.

    Raises:
        DataError: There are no rows, one has an empty side, or the file belongs to other rows.
    """

    train_dataset: Any

    def __init__(
        self,
        model: Any,
        args: Any,
        tokenizer: Any,
        rows: Sequence[Mapping[str, Any]],
        *,
        order: Sequence[int] | None = None,
        held_out: Sequence[Mapping[str, Any]] | None = None,
        reference: Any = None,
        adapters: Any = None,
        reference_file: Path | None = None,
    ) -> None:
        self._reference_file = reference_file
        self._tallies: dict[str, dict[str, Tensor]] = {"train": {}, "eval": {}}
        # Asked for no reference, trl would read the model's checkpoint again. Only where the model itself can be asked
        # beforehand is no copy needed; FSDP has not cut it up by then, so it might not fit.
        is_sharded = bool(args.fsdp) or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
        if reference is None and adapters is None and (is_sharded or not args.precompute_ref_log_probs):
            reference = copy.deepcopy(model).requires_grad_(False).eval()
        with _older_names():
            super().__init__(
                model=model,
                ref_model=reference,
                args=args,
                data_collator=PreferenceCollator(pad_token_id=_pad(tokenizer)),
                train_dataset=_pairs(rows),
                eval_dataset=None if held_out is None else _pairs(held_out),
                processing_class=copy.deepcopy(tokenizer),  # trl may set its padding
                peft_config=adapters,
            )
        if args.precompute_ref_log_probs:
            self.ref_model = None  # it has said all that it will be asked
        self.precompute_ref_logps = True  # in every batch its numbers come from us, even if only just before
        self.train_dataset = _ordered(self.train_dataset, _lengths(self.train_dataset), order, args)
        self.remove_callback(PrinterCallback)  # standard output belongs to the result

    def score(self, model: Any, **text: Any) -> Any:
        """Give trl's output for texts: log-probabilities and figures at every token but the first, 0 without a label.

        Policy and reference are both asked here, so that a faster way need only replace this.

        Args:
            model: What is asked, in whatever wrapper trains it.
            text: `input_ids`, `attention_mask` and `labels` [2 x pairs, seq], chosen sides first, -100 outside the
                completion; and options for the model.
        """
        return model(**text)

    def further_loss(self, scored: Scored) -> Tensor | float:
        """Give what is added to trl's loss: a mean over the pairs of the batch, so that it does not matter how a step
        is cut into batches.
        """
        return 0.0

    def tally(self, name: str, values: Tensor, where: Tensor | None = None) -> None:
        """Add to a figure that is logged as a mean over all rows (where `where` holds) since the last log.

        All processes call it, in the same order.
        """
        mask = torch.ones_like(values) if where is None else where.to(values.dtype)
        found = torch.stack([(values.detach() * mask).sum(), mask.sum()])
        tallies = self._tallies["train" if self.model.training else "eval"]
        tallies[name] = tallies.get(name, 0) + self.accelerator.reduce(found)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Give trl's loss, with the method's own terms, of one forward pass."""
        batch = {name: inputs[name] for name in (*TEXT, *REFERENCE) if name in inputs}
        if REFERENCE[0] not in batch:
            batch |= zip(REFERENCE, self.compute_ref_log_probs(self.ref_model or self.model, batch), strict=True)
        outputs: list[Any] = []

        def asked(**text: Any) -> Any:  # trl only calls it, and we want to see the answer
            outputs.append(self.score(model, **text))
            return outputs[0]

        loss = super().compute_loss(asked, batch)
        chosen, rejected = outputs[0].log_probs.chunk(2)
        chosen_mask, rejected_mask = batch["completion_mask"][:, 1:].chunk(2)
        ref_chosen, ref_rejected = (batch[name] for name in REFERENCE)
        extras = {name: value for name, value in inputs.items() if name not in batch}
        loss = loss + self.further_loss(
            Scored(chosen, rejected, chosen_mask, rejected_mask, ref_chosen, ref_rejected, extras)
        )
        return (loss, outputs[0]) if return_outputs else loss

    def compute_ref_log_probs(self, model: Any, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Ask the reference for the log-probabilities of both sides [pairs]."""
        batch = {name: inputs[name] for name in TEXT}
        with _older_names():
            found: tuple[Tensor, Tensor] = super().compute_ref_log_probs(partial(self.score, model), batch)
        return found

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the tallied figures."""
        mode = "train" if self.model.training else "eval"
        for name, (total, count) in self._tallies[mode].items():
            if count:
                logs[name if mode == "train" else f"eval_{name}"] = float(total / count)
        self._tallies[mode] = {}
        super().log(logs, start_time)

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """Give the rows with the reference's numbers; trl would keep these in a cache of the machine."""
        from safetensors.torch import load, save

        kept = self._reference_file if name == "train" else None
        if kept is not None and kept.exists():
            found = load(kept.read_bytes())["logps"]
        else:
            found = self._ask_reference(dataset, batch_size)
            if kept is not None and self.is_world_process_zero():
                write_atomic(kept, save({"logps": found}))
        if len(found) != len(dataset):
            raise DataError(f"{kept} has the reference of {len(found)} pairs, not of {len(dataset)}; delete it.")
        for column, values in zip(REFERENCE, found.T, strict=True):
            dataset = dataset.add_column(column, values.contiguous().numpy())
        return dataset

    def _ask_reference(self, dataset: Dataset, batch_size: int) -> Float[Tensor, "pairs 2"]:
        """Ask for all rows, those of like length together, each process for its share of the batches."""
        order = sorted(range(len(dataset)), key=_lengths(dataset).__getitem__)
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        found = torch.zeros(len(dataset), 2, device=self.accelerator.device)
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        model = self.ref_model or self.model
        for start in range(0, len(batches), processes):  # all go on to the end, since a sharded model needs them all
            rows = batches[min(start + rank, len(batches) - 1)]
            batch = self.data_collator([dataset[row] for row in rows])
            logps = self.compute_ref_log_probs(model, {name: batch[name].to(found.device) for name in TEXT})
            if start + rank < len(batches):
                found[rows] = torch.stack(logps, dim=1).to(found.dtype)
        reduced: Tensor = self.accelerator.reduce(found)
        return reduced.cpu()


class SupervisedTrainer(_Quiet, SFTTrainer):
    """Train on rows of token ids with labels.

    Args:
        model: What is trained.
        args: As `sft_arguments` gives them.
        tokenizer: Goes into the checkpoints; it is not changed.
        rows: `input_ids` with `labels`, -100 where nothing is learnt, or with `completion_mask`, 0 there.
        order: Which row comes when; none: `step_order`.
        adapters: A peft config; then adapters are trained.

    Raises:
        DataError: There are no rows, or one has neither labels nor a mask.
    """

    def __init__(
        self,
        model: Any,
        args: Any,
        tokenizer: Any,
        rows: Sequence[Mapping[str, Any]],
        *,
        order: Sequence[int] | None = None,
        adapters: Any = None,
    ) -> None:
        dataset = Dataset.from_list([_labelled(row) for row in _some(rows)])
        with _older_names():
            super().__init__(
                model=model,
                args=args,
                data_collator=DataCollatorForLanguageModeling(pad_token_id=_pad(tokenizer)),
                train_dataset=dataset,
                processing_class=copy.deepcopy(tokenizer),
                peft_config=adapters,
            )
        lengths = [len(ids) for ids in dataset["input_ids"]]
        self.train_dataset = _ordered(dataset, lengths, order, args)
        self.remove_callback(PrinterCallback)


@contextmanager
def _older_names() -> Iterator[None]:
    """Leave out the warnings about names that trl and peft still ask transformers for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _ordered(dataset: Dataset, lengths: Sequence[int], order: Sequence[int] | None, args: Any) -> Any:
    """Give the rows as training reads them; all that comes of it is a function of the seed."""
    group = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    if order is None:
        order = step_order(lengths, steps=args.max_steps, group=group, seed=args.seed)
    return torch.utils.data.Subset(dataset, order)


def _pad(tokenizer: Any) -> int:
    """Give an id to fill rows with; masks say what is padding, so any token will do."""
    known = (one for one in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if one is not None)
    return int(next(known))


def _some(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    found = list(rows)
    if not found:
        raise DataError("There are no rows to train on; give at least one.")
    return found


def _pairs(rows: Iterable[Mapping[str, Any]]) -> Dataset:
    found = _some(rows)
    for number, row in enumerate(found):
        if empty := [name for name in IDS if not row.get(name)]:
            raise DataError(
                f"Row {number} has no {', '.join(empty)}; a pair needs token ids in all of {', '.join(IDS)}."
            )
    return Dataset.from_list([dict(row) for row in found])


def _lengths(dataset: Dataset) -> list[int]:
    prompts, chosen, rejected = (dataset[name] for name in IDS)
    return [len(p) + max(len(c), len(r)) for p, c, r in zip(prompts, chosen, rejected, strict=True)]


def _labelled(row: Mapping[str, Any]) -> dict[str, list[int]]:
    ids = list(row["input_ids"])
    if "labels" in row:
        return {"input_ids": ids, "labels": list(row["labels"])}
    if "completion_mask" not in row:
        raise DataError(f"A row has {', '.join(row)}; it needs input_ids with labels, or with completion_mask.")
    mask = row["completion_mask"]
    return {"input_ids": ids, "labels": [id if one else IGNORE for id, one in zip(ids, mask, strict=True)]}
