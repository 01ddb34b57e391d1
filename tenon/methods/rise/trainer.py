"""Training on pairs: DPO over edited steps and whole solutions at once, and an NLL on the chosen side (section 2.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from tenon.core.errors import DataError, UnsupportedModelError
from tenon.core.models.loading import load_model, load_tokenizer
from tenon.core.ranks import processes
from tenon.core.training.adapters import lora_config
from tenon.core.training.loop import checkpoint_folder, save_model, train
from tenon.core.training.preference import (
    METRICS,
    PreferenceTrainer,
    Scored,
    SupervisedTrainer,
    dpo_arguments,
    sft_arguments,
)
from tenon.methods.rise.config import PromptConfig, Recipe, RISEConfig
from tenon.methods.rise.encode import DROPS, Encoded, check_tokenizer, encode_pairs
from tenon.methods.rise.objective import further_loss, is_learnt, sequence_nll
from tenon.methods.rise.rows import Pair
from tenon.methods.rise.shared import check_shareable, shared_score

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["FIGURES", "RISETrainer", "train_on_pairs", "train_supervised"]

FIGURES = ("margins/full", "margins/edit", "accuracies/full", "accuracies/edit", "nll")
"""Figures beside trl's: the margin of rewards and the share of pairs in which it is positive, by kind; and the
chosen sides' negative log-likelihood per token [nats]."""


class RISETrainer(PreferenceTrainer):
    """Train a policy on pairs. The reference is the policy as it is now, without the adapters it may get.

    Args:
        model: A causal language model.
        rise: The objective and its optimiser.
        tokenizer: Its tokenizer.
        rows: Pairs, their records, pairs rendered already (see `encode.rendered`), or rows that are encoded.
        folder: Where checkpoints go.
        prompt: How a question is asked.
        held_out: Further rows, for `evaluate`.
        reference: Another reference.
        reference_file: Where the reference's numbers are kept for a restart; see `PreferenceTrainer`.

    Raises:
        DataError: A row is no pair, none can be used (the message says why), or the tokenizer lacks what is needed.
        ConfigError: `lora_targets` name no layer.
    """

    def __init__(
        self,
        model: Any,
        rise: RISEConfig,
        tokenizer: Any,
        rows: Iterable[Any],
        folder: Path,
        *,
        prompt: PromptConfig | None = None,
        held_out: Iterable[Any] | None = None,
        reference: Any = None,
        reference_file: Path | None = None,
    ) -> None:
        self.rise = rise
        self.notices = check_tokenizer(tokenizer, model.get_input_embeddings().num_embeddings, rise)
        """What the user should know."""
        asked = prompt or PromptConfig()
        self.encoded = usable(encode_rows(tokenizer, rows, asked, rise))
        """The rows, and what was left out."""
        tested = None if held_out is None else usable(encode_rows(tokenizer, held_out, asked, rise)).rows
        self.is_shared = rise.share_prefix and not rise.train.compile  # which would begin anew at every batch
        """Whether both sides of a pair are read at once."""
        if self.is_shared:
            try:
                check_shareable(model, max(_length(row) for row in [*self.encoded.rows, *(tested or [])]))
            except UnsupportedModelError as error:  # it costs time and changes nothing
                self.is_shared = False
                self.notices.append(str(error))
        arguments = dpo_arguments(
            rise.scheduled(len(self.encoded.rows), processes()),
            folder,
            beta=rise.beta,
            loss=rise.loss,
            label_smoothing=rise.label_smoothing,
            precompute_reference=rise.precompute_reference,
        )
        super().__init__(
            model,
            arguments,
            tokenizer,
            self.encoded.rows,
            held_out=tested,
            reference=reference,
            adapters=_adapters(model, rise),
            reference_file=reference_file,
        )

    def score(self, model: Any, **text: Any) -> Any:
        """Read both sides of a pair at once, where that may be."""
        if not self.is_shared:
            return super().score(model, **text)
        return shared_score(model, self.accelerator.unwrap_model(model), **text)

    def further_loss(self, scored: Scored) -> Tensor | float:
        """Give the NLL term, and tally the figures of each kind of pair."""
        rise, is_edit = self.rise, scored.extras["is_edit"].bool()
        chosen = scored.chosen.sum(dim=1)
        ratios = chosen - scored.ref_chosen, scored.rejected.sum(dim=1) - scored.ref_rejected
        margins = rise.beta * (ratios[0] - ratios[1]).detach()
        for kind, where in (("full", ~is_edit), ("edit", is_edit)):
            self.tally(f"margins/{kind}", margins, where)
            self.tally(f"accuracies/{kind}", (margins > 0).to(margins.dtype), where)
        nll = sequence_nll(scored.chosen, scored.chosen_mask)
        self.tally("nll", nll)
        if not rise.nll_weight:
            return 0.0
        learnt = is_learnt(is_edit, chosen, scored.ref_chosen, on=rise.nll_on, gate=rise.nll_gate)
        return further_loss(nll, learnt, weight=rise.nll_weight)


def _length(row: Mapping[str, Any]) -> int:
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))


def encode_rows(tokenizer: Any, rows: Iterable[Any], prompt: PromptConfig, rise: RISEConfig) -> Encoded:
    """Encode rows, unless that was done."""
    found = list(rows)
    if found and all(isinstance(row, Mapping) and "prompt_ids" in row for row in found):
        return Encoded([{"is_edit": 0} | row for row in found], {}, 0, 0)
    return encode_pairs(tokenizer, found, prompt, rise)


def usable(encoded: Encoded) -> Encoded:
    """Give the rows back if there are any.

    Raises:
        DataError: There are none; the message says what was left out, and why.
    """
    if not encoded.rows:
        why = "; ".join(f"{count} because {DROPS[name]} ({name})" for name, count in encoded.dropped.items())
        raise DataError(f"No pair is left to train on: {why or 'there were none'}. See max_length and the tokenizer.")
    return encoded


def train_on_pairs(
    run: Run, model_name: str | Path, pairs: Iterable[Pair | Mapping[str, Any]], recipe: Recipe
) -> dict[str, Any]:
    """Train a model on pairs, or go on with it, and give what came out; what is finished is not done again.

    Args:
        run: Holds checkpoints, metrics, the reference's numbers, the `model` and the `adapter` if there is one.
        model_name: A causal language model, by the names of `load_model`.
        pairs: What it is trained on.
        recipe: How questions are asked, and how it is trained.

    Returns:
        `pairs` given, `rows` used, of which `edit_rows`, `dropped` by reason, `cut_prompts`, `cut_completions`,
        `steps`, `parameters`, and how many are `trained`.

    Raises:
        DataError: As `RISETrainer`; or there is no such model.
    """
    if run.stage_done("training"):
        return run.stages()["training"]
    tokenizer, model = _loaded(model_name, recipe.rise)
    given = list(pairs)
    trainer = RISETrainer(
        model,
        recipe.rise,
        tokenizer,
        given,
        checkpoint_folder(run),
        prompt=recipe.prompt,
        reference_file=run.path / "reference.safetensors",
    )
    for notice in trainer.notices:
        run.note(notice)
    facts = _facts(trainer, len(given), trainer.encoded)
    train(trainer, run, label="training on pairs", metrics=(*METRICS, *FIGURES))
    return _saved(run, trainer, tokenizer, recipe.rise, facts)


def train_supervised(
    run: Run, model_name: str | Path, pairs: Iterable[Pair | Mapping[str, Any]], recipe: Recipe
) -> dict[str, Any]:
    """Train on the right solutions alone, for as many steps as `train_on_pairs` would: the baseline without pairs.

    Args, results and errors are those of `train_on_pairs`; only full pairs have solutions, so only these are `rows`.
    """
    if run.stage_done("training"):
        return run.stages()["training"]
    rise = recipe.rise
    tokenizer, model = _loaded(model_name, rise)
    check_tokenizer(tokenizer, model.get_input_embeddings().num_embeddings, rise)
    given = list(pairs)
    encoded = usable(encode_rows(tokenizer, given, recipe.prompt, rise))
    solutions = [row for row in encoded.rows if not row["is_edit"]]
    if not solutions:
        raise DataError(f"None of {len(encoded.rows)} pairs is of whole solutions; supervised training needs some.")
    arguments = sft_arguments(rise.scheduled(len(encoded.rows), processes()), checkpoint_folder(run))
    trainer = SupervisedTrainer(
        model, arguments, tokenizer, [_supervised(row) for row in solutions], adapters=_adapters(model, rise)
    )
    facts = _facts(trainer, len(given), encoded) | {"rows": len(solutions), "edit_rows": 0}
    train(trainer, run, label="training on solutions")
    return _saved(run, trainer, tokenizer, rise, facts)


def _loaded(name: str | Path, rise: RISEConfig) -> tuple[Any, Any]:
    return load_tokenizer(name), load_model(name, dtype=rise.dtype, device="cpu")  # the trainer moves it


def _adapters(model: Any, rise: RISEConfig) -> Any:
    if not rise.lora_rank:
        return None
    return lora_config(model, rank=rise.lora_rank, alpha=rise.lora_alpha, targets=rise.lora_targets)


def _supervised(row: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    prompt, chosen = row["prompt_ids"], row["chosen_ids"]
    return {"input_ids": [*prompt, *chosen], "completion_mask": [0] * len(prompt) + [1] * len(chosen)}


def _facts(trainer: Any, given: int, encoded: Encoded) -> dict[str, Any]:
    weights = list(trainer.model.parameters())
    return {
        "pairs": given,
        "rows": len(encoded.rows),
        "edit_rows": sum(row["is_edit"] for row in encoded.rows),
        "dropped": encoded.dropped,
        "cut_prompts": encoded.cut_prompts,
        "cut_completions": encoded.cut_completions,
        "steps": trainer.args.max_steps,
        "parameters": sum(weight.numel() for weight in weights),
        "trained": sum(weight.numel() for weight in weights if weight.requires_grad),
    }


def _saved(run: Run, trainer: Any, tokenizer: Any, rise: RISEConfig, facts: dict[str, Any]) -> dict[str, Any]:
    """Save the model, with its adapters merged and beside it, and finish the stage."""
    if rise.lora_rank:
        save_model(trainer, tokenizer, run.path / "adapter")
        trainer.model = trainer.accelerator.unwrap_model(trainer.model).merge_and_unload()
    save_model(trainer, tokenizer, run.path / "model")
    run.finish_stage("training", **facts)
    return facts
