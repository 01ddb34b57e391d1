"""Models side by side are what they are alone: losses, gradients, and whole trainings by Trainer (section 8)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from tenon.core.errors import UnsupportedModelError
from tenon.core.models.tiny import tiny_model
from tenon.core.training.config import TrainConfig
from tenon.methods.batch_scaling.config import SweepModel
from tenon.methods.batch_scaling.sweeps import stacked
from tenon.methods.batch_scaling.sweeps.model import fresh_model, llama_config
from tenon.methods.batch_scaling.sweeps.stacked import Outcome, StackedModel, train_stacked
from tenon.methods.batch_scaling.sweeps.trainer import train_alone

CONFIG = llama_config(SweepModel(hidden=16, layers=2, heads=2, ffn=32), vocabulary=64, seq_len=16)
TRAIN = TrainConfig(
    steps=12, batch_size=8, learning_rate=4e-3, warmup_steps=3, weight_decay=2.0, max_grad_norm=0.3, device="cpu"
)
"""Weight decay and clipping are strong, so that forgetting either shows."""
RATES = (2e-3, 1e-2)


def text() -> torch.Tensor:
    """A text with something to learn: each id follows from the one before, but for some noise."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.empty(200, 16, dtype=torch.long)
    rows[:, 0] = torch.randint(64, (200,), generator=draw)
    for place in range(1, 16):
        rows[:, place] = (5 * rows[:, place - 1] + 3 + torch.randint(3, (200,), generator=draw)) % 64
    return rows


ROWS, HELD_OUT = text().split((150, 50))


def order(seed: int) -> torch.Tensor:
    return torch.randperm(150, generator=torch.Generator().manual_seed(seed))[: TRAIN.steps * TRAIN.batch_size]


def side_by_side(trains: list[TrainConfig], seeds: list[int]) -> list[Outcome]:
    models = [fresh_model(CONFIG, seed=seed) for seed in seeds]
    return train_stacked(models, trains, ROWS, torch.stack([order(seed) for seed in seeds]), HELD_OUT)


def llamas() -> list[Any]:
    """Models of which no weight is neutral, norms included, with fewer key/value heads than query heads."""
    return [tiny_model("llama", seed=seed) for seed in range(3)]


def test_losses_and_gradients_are_those_of_each_model_alone() -> None:
    models = llamas()
    stack = StackedModel(models)
    ids = torch.randint(4, 128, (3, 5, 12))
    losses = stack.losses(ids)
    losses.sum().backward()
    for replica, model in enumerate(models):
        alone = model(input_ids=ids[replica], labels=ids[replica]).loss
        alone.backward()
        assert losses[replica].item() == pytest.approx(alone.item(), abs=2e-6)  # fp32, sums in another order
        views = stack.parameters_of(replica)
        assert views.keys() == dict(model.named_parameters()).keys()
        for name, one in model.named_parameters():
            torch.testing.assert_close(views[name].data, one.data, rtol=0, atol=0)
            torch.testing.assert_close(views[name].grad, one.grad, rtol=1e-4, atol=1e-5)


def test_an_optimizer_that_changes_a_view_changes_the_stack_and_no_other_replica() -> None:
    stack = StackedModel(llamas())
    before = {name: one.detach().clone() for name, one in stack.module.named_parameters()}
    with torch.no_grad():
        for view in stack.parameters_of(1).values():
            view.add_(1.0)
    for name, one in stack.module.named_parameters():
        assert torch.equal(one[0], before[name][0])
        assert torch.equal(one[2], before[name][2])
        assert not torch.equal(one[1], before[name][1])


def test_trainings_side_by_side_end_as_trainers_own() -> None:
    """Section 8: to 1e-4, same seeds, fp32, same data order."""
    seeds, rates = [0, 0, 1], [*RATES, RATES[1]]
    trains = [replace(TRAIN, learning_rate=rate) for rate in rates]
    found = side_by_side(trains, seeds)
    losses = {round(one.loss, 3) for one in found}
    assert len(losses) == 3  # the three trainings differ, so equality below means something
    for one, train, seed in zip(found, trains, seeds, strict=True):
        alone = train_alone(fresh_model(CONFIG, seed=seed), train, ROWS, order(seed), HELD_OUT)
        assert one.loss == pytest.approx(alone.loss, abs=1e-4)
        assert one.train_loss == pytest.approx(alone.train_loss, abs=1e-4)
        assert one.loss < math.log(64) - 0.05  # it learned


def test_a_batch_in_parts_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    trains = [replace(TRAIN, learning_rate=rate) for rate in RATES]
    whole = side_by_side(trains, [0, 1])
    monkeypatch.setattr(stacked, "rows_at_once", lambda *_: 3)  # 8 rows: parts of 3, 3 and 2
    for one, other in zip(whole, side_by_side(trains, [0, 1]), strict=True):
        assert (one.loss, one.train_loss) == pytest.approx((other.loss, other.train_loss), abs=1e-5)


def test_a_replica_that_diverges_disturbs_no_other() -> None:
    calm = [replace(TRAIN, learning_rate=rate) for rate in (RATES[0], RATES[1])]
    wild = [calm[0], replace(TRAIN, learning_rate=1e30), calm[1]]
    first, lost, last = side_by_side(wild, [0, 0, 0])
    assert not math.isfinite(lost.loss)
    for one, other in zip((first, last), side_by_side(calm, [0, 0]), strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-5)


def test_bfloat16_is_autocast_as_in_trainer() -> None:
    train = replace(TRAIN, precision="bf16")
    (found,) = side_by_side([train], [0])
    alone = train_alone(fresh_model(CONFIG, seed=0), train, ROWS, order(0), HELD_OUT)
    assert found.loss == pytest.approx(alone.loss, abs=5e-3)  # 8 bits of mantissa
    assert found.loss != side_by_side([TRAIN], [0])[0].loss


@pytest.mark.parametrize(("arch", "why"), [("gemma", "tied"), ("gpt_neox", "belongs to no linear layer without bias")])
def test_what_cannot_be_stacked_is_refused(arch: str, why: str) -> None:
    with pytest.raises(UnsupportedModelError, match=why):
        StackedModel([tiny_model(arch)])


def test_the_models_given_stay_as_they_are() -> None:
    model = fresh_model(CONFIG, seed=0)
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    train_stacked([model], [TRAIN], ROWS, order(0)[None], HELD_OUT)
    for name, one in model.named_parameters():
        assert torch.equal(one, before[name])
