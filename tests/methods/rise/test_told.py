"""What a training is told reaches trl and peft: the prompt, the rows, the loss, the adapters, the seed, the batch."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log1p
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.run import Run
from tenon.core.training.rows import step_order
from tenon.methods.rise.config import PromptConfig, Recipe, RISEConfig
from tenon.methods.rise.encode import encode_pairs
from tenon.methods.rise.reference import slow_logp
from tenon.methods.rise.rows import Pair
from tenon.methods.rise.trainer import _supervised, train_on_pairs, train_supervised
from tests.methods.rise.pairs import ROWS, TRAIN, batch_of, row, trainer_of

FULL = [
    Pair(prompt=f"{n} + {n}?", initial_reason_steps="", chosen=f"Step 1: {2 * n}.", rejected=f"Step 1: {n}7, or so.")
    for n in range(1, 5)
]
EDIT = Pair(
    prompt="2 + 3?", initial_reason_steps="Step 1:", chosen=" 2 + 3 = 5.", rejected=" 2 + 3 = 6.", pair_kind="edit",
    step=1, last_step=False,
)  # fmt: skip
ASKED = PromptConfig(system="Be kind.", instruction="Count well.")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("policy")
    tiny_model("llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def first_step(folder: Path, policy: str, train: Any, rows: int) -> dict[str, Any]:
    """The figures of one step over all rows, before any weight has moved."""
    steps = replace(TRAIN, steps=1, batch_size=rows)
    recipe = Recipe(prompt=ASKED, rise=RISEConfig(train=steps))
    with Run.open(folder, config=recipe) as run:
        train(run, policy, [*FULL, EDIT], recipe)
        return run.metrics()[0]


def by_hand(prompt: PromptConfig, pairs: list[Pair]) -> tuple[list[float], list[int]]:
    """Log-probability and length of the chosen sides, token by token."""
    rows = encode_pairs(tiny_tokenizer(), pairs, prompt, RISEConfig()).rows
    model = tiny_model("llama")
    return [slow_logp(model, one["prompt_ids"], one["chosen_ids"]) for one in rows], [
        len(one["chosen_ids"]) for one in rows
    ]


def test_pairs_are_asked_as_the_recipe_says(tmp_path: Path, policy: str) -> None:
    found = first_step(tmp_path, policy, train_on_pairs, 5)["nll"]
    expected, other = (
        sum(-one / size for one, size in zip(*by_hand(prompt, [*FULL, EDIT]), strict=True)) / 5
        for prompt in (ASKED, PromptConfig())
    )
    assert found == pytest.approx(expected, abs=1e-4)
    assert abs(expected - other) > 1e-2


def test_the_baseline_learns_the_right_solutions_and_nothing_else(tmp_path: Path, policy: str) -> None:
    one = {"prompt_ids": [5, 6], "chosen_ids": [7, 8, 2], "rejected_ids": [9]}
    assert _supervised(one) == {"input_ids": [5, 6, 7, 8, 2], "completion_mask": [0, 0, 1, 1, 1]}
    found = first_step(tmp_path, policy, train_supervised, 4)["loss"]
    logps, sizes = by_hand(ASKED, FULL)
    assert found == pytest.approx(-sum(logps) / sum(sizes), abs=1e-4)  # a mean over tokens, as trl has it


LOSSES = {
    "sigmoid": lambda margin: log1p(exp(-margin)),
    "robust": lambda margin: (0.9 * log1p(exp(-margin)) - 0.1 * log1p(exp(margin))) / 0.8,
    "hinge": lambda margin: max(0.0, 1 - margin),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_the_one_named(tmp_path: Path, loss: Any) -> None:
    rise = RISEConfig(
        beta=0.2, loss=loss, label_smoothing=0.1 * (loss == "robust"), nll_weight=0.0, precompute_reference=False,
        train=TRAIN,
    )  # fmt: skip
    trainer = trainer_of(tmp_path, rise, reference=tiny_model("llama", seed=1))
    trainer.model.train()
    for one in (0, 2, 4):
        found = float(trainer.compute_loss(trainer.model, batch_of(trainer, [one])).detach())
        figures: dict[str, float] = {}
        trainer.log(figures)
        assert found == pytest.approx(LOSSES[loss](figures["margins/full"]), abs=1e-5)
        assert abs(figures["margins/full"]) > 1e-3


def test_options_reach_trl_and_peft(tmp_path: Path) -> None:
    rise = RISEConfig(
        beta=0.3, loss="ipo", label_smoothing=0.2, lora_rank=3, lora_alpha=7, lora_targets=("q_proj",),
        precompute_reference=False, pairs_per_step=12, epochs=3, warmup_ratio=0.5,
        train=replace(TRAIN, batch_size=2),
    )  # fmt: skip
    trainer = trainer_of(tmp_path, rise)
    args: Any = trainer.args
    adapters = trainer.model.peft_config["default"]
    assert (args.beta, args.loss_type, args.label_smoothing) == (0.3, ["ipo"], 0.2)
    assert not args.precompute_ref_log_probs
    assert (adapters.r, adapters.lora_alpha, adapters.target_modules) == (3, 7, {"q_proj"})
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (2, 6)
    assert (args.max_steps, args.warmup_steps) == (2, 1)  # 3 x 8 / 12
    assert len(trainer.train_dataset) == 24


def test_dropout_is_off(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=128, n_embd=32, n_layer=2, n_head=4)
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0.1, 0.1, 0.1)
    trainer = trainer_of(tmp_path, RISEConfig(nll_weight=0.0, train=TRAIN), model=GPT2LMHeadModel(config))
    trainer.model.train()
    for one in range(len(ROWS)):
        loss = trainer.compute_loss(trainer.model, batch_of(trainer, [one]))
        assert float(loss.detach()) == pytest.approx(0.693147, abs=1e-6)


@pytest.mark.parametrize("share", [True, False])
def test_7_03_through_the_trainer(tmp_path: Path, share: bool) -> None:
    """What both sides begin with is scored alike, and the margin is that of what follows."""
    edits = [ROWS[one] for one in (1, 3, 7)]
    scores = []
    for model in (tiny_model("llama", seed=1), tiny_model("llama")):  # policy and reference
        trainer = trainer_of(tmp_path, RISEConfig(share_prefix=share, train=TRAIN), edits, model=model)
        assert trainer.is_shared == share
        batch = batch_of(trainer, list(range(len(edits))))
        text = {name: batch[name] for name in ("input_ids", "attention_mask")}
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        scores.append(trainer.score(trainer.model, **text, labels=labels, fused_lm_head=True).log_probs.detach())
    ratios_BT = scores[0] - scores[1]
    for place, one in enumerate(edits):
        begin = len(one["prompt_ids"]) - 1
        better, worse = ratios_BT[place, begin:], ratios_BT[place + len(edits), begin:]
        same = next(at for at, (a, b) in enumerate(zip(one["chosen_ids"], one["rejected_ids"], strict=False)) if a != b)
        assert float((better[:same] - worse[:same]).abs().max()) < 1e-5
        assert float((better[: same + 1] - worse[: same + 1]).abs().max()) > 1e-2
        whole, rest = (float(better[at:].sum() - worse[at:].sum()) for at in (0, same))
        assert whole == pytest.approx(rest, abs=1e-5)


def test_rows_come_in_the_order_of_the_seed(tmp_path: Path) -> None:
    rows = [row(one, chosen=1 + one % 5, rejected=2, prompt=1 + one % 3) for one in range(12)]
    lengths = [len(one["prompt_ids"]) + max(len(one["chosen_ids"]), 2) for one in rows]
    orders = []
    for seed in (0, 1):
        trainer = trainer_of(tmp_path, RISEConfig(train=replace(TRAIN, seed=seed)), rows)
        orders.append(list(trainer.train_dataset.indices))
        assert orders[-1] == step_order(lengths, steps=5, group=4, seed=seed)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("train", [train_on_pairs, train_supervised])
def test_passes_are_counted_over_all_processes(
    tmp_path: Path, policy: str, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(rise=RISEConfig(epochs=3, train=replace(TRAIN, batch_size=2)))
    monkeypatch.setattr("tenon.methods.rise.trainer.processes", lambda: 2)
    with Run.open(tmp_path, config=recipe) as run:
        assert train(run, policy, [*FULL, EDIT], recipe)["steps"] == 4  # 3 x 5 pairs / (2 x 2)
