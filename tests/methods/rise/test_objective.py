"""What RISE adds to DPO, and DPO's own known values (section 7)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tenon.core.models.tiny import tiny_model
from tenon.methods.rise.config import RISEConfig
from tenon.methods.rise.objective import further_loss, is_learnt, sequence_nll
from tenon.methods.rise.reference import slow_dpo, slow_logp, slow_rise
from tests.methods.rise.pairs import ROWS, TRAIN, batch_of, count_in_double, in_double, row, trainer_of

LN2 = math.log(2)
RISE = RISEConfig(nll_weight=0.0, train=TRAIN)


def loss_of(trainer: Any, rows: list[int]) -> torch.Tensor:
    found: torch.Tensor = trainer.compute_loss(trainer.model, batch_of(trainer, rows))
    return found


def moved() -> Any:
    """A policy that has left its reference."""
    model = tiny_model("llama")
    with torch.no_grad():
        for number, weight in enumerate(model.parameters()):
            weight += 0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    return model


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("precompute", [True, False])
def test_7_01_at_the_start_every_pair_has_ln_2(tmp_path: Path, share: bool, precompute: bool) -> None:
    trainer = trainer_of(tmp_path, replace(RISE, share_prefix=share, precompute_reference=precompute))
    trainer.model.train()
    # Sums of float32 log-probabilities in another grouping: how they round differs between processors.
    for one in range(len(ROWS)):
        assert float(loss_of(trainer, [one]).detach()) == pytest.approx(LN2, abs=5e-6)
    figures: dict[str, float] = {}
    trainer.log(figures)
    for name in ("rewards/chosen", "rewards/rejected", "rewards/margins", "margins/full", "margins/edit"):
        assert figures[name] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("beta", "expected"), [(0.4, 0.437488), (0.1, 0.620957)])
def test_7_02_known_values(tmp_path: Path, beta: float, expected: float) -> None:
    assert slow_dpo(0.5, -1.0, beta) == pytest.approx(expected, abs=1e-6)
    trainer = trainer_of(tmp_path, replace(RISE, beta=beta), [row(0, chosen=2, rejected=2)])
    answer = {name: torch.zeros(2, 7) for name in ("entropy", "mean_logits")} | {"is_top1": torch.zeros(2, 7).bool()}
    logps = torch.zeros(2, 7)
    logps[0, 5:] = torch.tensor([-0.25, -0.25])
    logps[1, 5:] = torch.tensor([-1.5, -0.5])
    trainer.score = lambda *_, **__: SimpleNamespace(log_probs=logps, **answer)  # type: ignore[method-assign]
    batch = batch_of(trainer, [0]) | {
        "ref_chosen_logps": torch.tensor([-1.0]),
        "ref_rejected_logps": torch.tensor([-1.0]),
    }
    assert float(trainer.compute_loss(trainer.model, batch)) == pytest.approx(expected, abs=1e-6)


def test_7_03_what_both_sides_begin_with_does_not_count() -> None:
    policy, reference = moved(), tiny_model("llama")
    for one in (1, 3, 7):
        prompt, chosen, rejected = (ROWS[one][name] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
        first = next(place for place, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b)

        def margin(prompt: list[int], chosen: list[int], rejected: list[int]) -> float:
            sides = (
                slow_logp(policy, prompt, side) - slow_logp(reference, prompt, side) for side in (chosen, rejected)
            )
            better, worse = sides
            return better - worse

        whole = margin(prompt, chosen, rejected)
        assert margin(prompt + chosen[:first], chosen[first:], rejected[first:]) == pytest.approx(whole, abs=1e-5)
        assert abs(whole) > 1e-2


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from count_in_double(monkeypatch)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("share", [True, False])
def test_7_04_equal_sides_teach_nothing(tmp_path: Path, share: bool) -> None:
    rise, same = replace(RISE, share_prefix=share), row(0, chosen=4, rejected=4)

    def gradient(rows: Any) -> tuple[float, float]:
        reference = in_double(moved())
        trainer = trainer_of(tmp_path, rise, rows, model=in_double(tiny_model("llama")), reference=reference)
        loss = loss_of(trainer, [0])
        loss.backward()
        found = [weight.grad.flatten() for weight in trainer.model.parameters() if weight.grad is not None]
        return float(loss.detach()), float(torch.cat(found).norm())

    loss, norm = gradient([same | {"rejected_ids": same["chosen_ids"]}])
    assert loss == pytest.approx(LN2, abs=1e-6)
    assert norm < 1e-8
    assert gradient([same])[1] > 1e-2


def test_7_18_gradients_cancel_until_the_sides_differ(tmp_path: Path) -> None:
    shared = 3
    trainer = trainer_of(tmp_path, RISE, [row(0, chosen=6, rejected=6, shared=shared, is_edit=True)], reference=moved())
    seen: list[torch.Tensor] = []

    def score(
        model: Any, *, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, **_: Any
    ) -> Any:
        logits = model(input_ids, attention_mask=attention_mask).logits.detach().requires_grad_()
        seen.append(logits)
        mask = labels[:, 1:] != -100
        logps = logits[:, :-1].log_softmax(-1).gather(2, input_ids[:, 1:, None])[..., 0] * mask
        zeros = torch.zeros_like(logps).detach()
        return SimpleNamespace(log_probs=logps, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())

    batch = batch_of(trainer, [0])
    trainer.score = score  # type: ignore[method-assign]
    trainer.compute_loss(trainer.model, batch).backward()
    (logits,) = seen
    assert logits.grad is not None
    both = logits.grad.sum(dim=0)  # of the two rows
    start = len(ROWS[0]["prompt_ids"]) - 1  # the place that predicts the first token of the completion
    for place in range(start, start + shared):
        assert float(both[place].abs().max()) < 1e-6
        assert float(logits.grad[0, place].abs().max()) > 1e-3
    assert float(both[start + shared].abs().max()) > 1e-3


# The further term.


@pytest.mark.parametrize("gate", ["none", "below_ref"])
@pytest.mark.parametrize("on", ["all", "full", "edit"])
@pytest.mark.parametrize("share", [True, False])
def test_the_whole_loss_is_the_slow_one(tmp_path: Path, share: bool, on: Any, gate: Any) -> None:
    rise = RISEConfig(nll_weight=0.7, nll_on=on, nll_gate=gate, share_prefix=share, train=TRAIN)
    policy, reference = moved(), tiny_model("llama")
    expected = slow_rise(policy, reference, ROWS, beta=0.4, nll_weight=0.7, nll_on=on, nll_gate=gate)
    trainer = trainer_of(tmp_path, rise, model=copy.deepcopy(policy), reference=reference)
    whole = float(loss_of(trainer, list(range(8))).detach())
    assert whole == pytest.approx(expected, abs=2e-5)  # fp32 against fp64, sums of about 50
    # Rows that are switched off stay in the mean, so it does not matter how a batch is cut.
    parts = [float(loss_of(trainer, rows).detach()) for rows in ([0, 1], [2, 3], [4, 5], [6, 7])]
    assert sum(parts) / 4 == pytest.approx(whole, abs=2e-5)


def test_the_gate_is_open_where_the_chosen_side_has_lost() -> None:
    is_edit = torch.tensor([False, True, False, True])
    chosen, reference = torch.tensor([-3.0, -3.0, -1.0, -1.0]), torch.full((4,), -2.0)
    cases: dict[tuple[Any, Any], list[bool]] = {
        ("all", "none"): [True, True, True, True],
        ("full", "none"): [True, False, True, False],
        ("edit", "none"): [False, True, False, True],
        ("all", "below_ref"): [True, True, False, False],
        ("full", "below_ref"): [True, False, False, False],
        ("edit", "below_ref"): [False, True, False, False],
    }
    for (on, gate), expected in cases.items():
        assert is_learnt(is_edit, chosen, reference, on=on, gate=gate).tolist() == expected


def test_the_nll_is_a_mean_of_means() -> None:
    logps = torch.tensor([[-1.0, -2.0, -9.0], [-5.0, -9.0, -9.0]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    nll = sequence_nll(logps, mask)
    assert nll.tolist() == [1.5, 5.0]
    assert float(further_loss(nll, torch.tensor([True, True]), weight=1.0)) == 3.25  # over tokens it would be 8/3
    assert float(further_loss(nll, torch.tensor([True, False]), weight=2.0)) == 1.5  # 2 * (1.5 + 0) / 2


def test_the_gate_lets_no_gradient_through_itself(tmp_path: Path) -> None:
    chosen = torch.tensor([-3.0], requires_grad=True)
    learnt = is_learnt(torch.tensor([True]), chosen, torch.tensor([-2.0]), on="all", gate="below_ref")
    further_loss(-chosen / 2, learnt, weight=1.0).backward()
    assert chosen.grad is not None
    assert chosen.grad.tolist() == [-0.5]
