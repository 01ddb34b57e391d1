"""Training: the objective at masked tokens alone, cut batches, a killed run, and held-out noise that stays the same."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments

from tenon.core.errors import UnsupportedModelError
from tenon.core.training.config import TrainConfig, training_arguments
from tenon.methods.mdm.config import MDMConfig
from tenon.methods.mdm.model import MDMForMaskedDiffusion, new_model
from tenon.methods.mdm.objective import diffusion_loss
from tenon.methods.mdm.process import masked_input
from tenon.methods.mdm.trainer import IGNORE, MDMTrainer, noised

TRAIN = TrainConfig(steps=4, batch_size=8, learning_rate=1e-2, log_every=1, save_every=2, device="cpu")


class Texts(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Eight-token rows whose last five are to be written; optionally with noise of their own."""

    def __init__(self, rows: int, *, fixed: bool = False) -> None:
        generator = torch.Generator().manual_seed(0)
        self.ids = torch.randint(5, 31, (rows, 8), generator=generator)
        self.labels = self.ids.masked_fill(torch.arange(8) < 3, IGNORE)
        noise = noised({"labels": self.labels}, MDMConfig(), generator=generator)
        self.noise = {name: noise[name] for name in ("time", "is_masked")} if fixed else {}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        row = {"input_ids": self.ids[item], "labels": self.labels[item]}
        return row | {name: value[item] for name, value in self.noise.items()}


def small() -> MDMForMaskedDiffusion:
    torch.manual_seed(0)
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return new_model("tiny", vocab_size=31, mask_token_id=2, positions=8, n_layer=2, n_embd=32, n_head=4, **dropout)


def arguments(path: Path, **changes: Any) -> TrainingArguments:
    from dataclasses import replace

    return training_arguments(replace(TRAIN, **changes), path)


def test_the_loss_is_the_objective(tmp_path: Path) -> None:
    model, config = small(), MDMConfig()
    trainer = MDMTrainer(model=model, args=arguments(tmp_path), train_dataset=Texts(8), mdm=config)
    rows = Texts(8, fixed=True)
    batch = {name: torch.stack([rows[item][name] for item in range(8)]) for name in rows[0]}
    found = trainer.compute_loss(model, batch)
    logits = model(masked_input(batch["input_ids"], batch["is_masked"], 2)).logits
    expected = diffusion_loss(logits, batch["input_ids"], batch["is_masked"], batch["time"], config)
    torch.testing.assert_close(found, expected)
    nothing = trainer.compute_loss(model, batch | {"is_masked": batch["is_masked"] & False})
    assert float(nothing.detach()) == 0
    assert trainer.empty_batches == 1


@pytest.mark.parametrize("norm", ["masked", "maskable", "batch"])
def test_7_17_accumulated_batches_train_as_one(tmp_path: Path, norm: Any) -> None:
    weights = []
    for cut in ({"batch_size": 8}, {"batch_size": 2, "accumulation": 4}):
        model = small()
        trainer = MDMTrainer(
            model=model, args=arguments(tmp_path / str(cut), steps=1, **cut), train_dataset=Texts(8, fixed=True),
            mdm=MDMConfig(loss_norm=norm),
        )  # fmt: skip
        trainer.train()
        weights.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    before = torch.cat([weight.detach().flatten() for weight in small().parameters()])
    assert float((weights[0] - before).abs().max()) > 1e-3
    torch.testing.assert_close(weights[1], weights[0], atol=2e-5, rtol=0)


def test_7_18_a_resumed_training_draws_the_noise_that_was_to_come(tmp_path: Path) -> None:
    def trained(path: Path, resume: bool | str = False) -> tuple[dict[str, torch.Tensor], list[float]]:
        model = small()
        trainer = MDMTrainer(model=model, args=arguments(path), train_dataset=Texts(64))
        trainer.train(resume_from_checkpoint=resume)
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        return model.state_dict(), losses

    whole, losses = trained(tmp_path)
    again, after = trained(tmp_path, str(tmp_path / "checkpoint-2"))
    assert after[-2:] == losses[-2:]
    for name, weight in whole.items():
        assert torch.equal(weight, again[name]), name


def test_7_07_every_step_and_accumulated_batch_has_noise_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[torch.Tensor] = []
    compute = MDMTrainer.compute_loss

    def watching(self: Any, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        masks.append(inputs["is_masked"])
        return compute(self, model, inputs, *args, **options)

    monkeypatch.setattr(MDMTrainer, "compute_loss", watching)
    args = arguments(tmp_path, steps=3, accumulation=2, batch_size=4)
    MDMTrainer(model=small(), args=args, train_dataset=Texts(24)).train()
    assert len(masks) == 6
    assert not [1 for one, other in itertools.combinations(masks, 2) if torch.equal(one, other)]


def test_held_out_noise_is_the_same_at_every_evaluation(tmp_path: Path) -> None:
    trainer = MDMTrainer(model=small(), args=arguments(tmp_path), train_dataset=Texts(8), eval_dataset=Texts(16))
    losses = [trainer.evaluate()["eval_loss"] for _ in range(2)]
    assert losses[0] == losses[1] > 0


def test_a_causal_model_is_refused(tmp_path: Path) -> None:
    model: Any = small()
    model.config.backbone.is_causal = True
    for module in model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = True
    with pytest.raises(UnsupportedModelError, match="is causal"):
        MDMTrainer(model=model, args=arguments(tmp_path), train_dataset=Texts(8))


def test_it_learns(tmp_path: Path) -> None:
    """Rows that repeat their prompt: a causal look at the answer's left cannot be what teaches it."""
    rows = Texts(32)
    rows.ids[:, 3:6] = rows.ids[:, :3]
    rows.ids[:, 6:] = 5
    rows.labels = rows.ids.masked_fill(torch.arange(8) < 3, IGNORE)
    trainer = MDMTrainer(
        model=small(), args=arguments(tmp_path, steps=60, batch_size=32, save_every=60), train_dataset=rows,
        mdm=MDMConfig(token_alpha=1.0, token_beta=0.0, time_weight="none"),
    )  # fmt: skip
    assert isinstance(trainer, Trainer)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert losses[-1] < 0.5 * losses[0]
