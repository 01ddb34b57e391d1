"""Both sides of a pair in one row: the same numbers and gradients, fewer tokens, refused where it would be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM, MixtralConfig, MixtralForCausalLM

from tenon.core.errors import UnsupportedModelError
from tenon.core.models.tiny import ARCHITECTURES, tiny_model
from tenon.methods.rise.config import RISEConfig
from tenon.methods.rise.shared import PADDING, check_shareable, pack
from tests.methods.rise.pairs import ROWS, TRAIN, batch_of, count_in_double, in_double, logged, row, trainer_of, weights

RISE = RISEConfig(train=TRAIN)


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from count_in_double(monkeypatch)


def found_in(folder: Path, model: Any, *, share: bool, precompute: bool, rows: Any = ROWS) -> tuple[Any, Any, Any]:
    """Loss, gradients and figures of a batch, by a policy that has left its reference."""
    rise = replace(RISE, share_prefix=share, precompute_reference=precompute)
    trainer = trainer_of(folder, rise, rows, model=model)
    with torch.no_grad():
        for number, weight in enumerate(model.parameters()):
            weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    assert trainer.is_shared == share
    loss = trainer.compute_loss(trainer.model, batch_of(trainer, list(range(len(rows)))))
    loss.backward()
    figures: dict[str, float] = {}
    trainer.log(figures)
    return loss.detach(), [weight.grad for weight in model.parameters()], figures


@pytest.mark.parametrize("precompute", [True, False])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gpt2"])
@pytest.mark.usefixtures("double")
def test_losses_and_gradients_are_those_of_each_side_alone(tmp_path: Path, architecture: str, precompute: bool) -> None:
    expected, found = (
        found_in(tmp_path, in_double(model_of(architecture)), share=share, precompute=precompute)
        for share in (False, True)
    )
    assert float(found[0]) == pytest.approx(float(expected[0]), abs=1e-10)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert float((ours - theirs).abs().max()) < 1e-10 * max(1.0, float(theirs.abs().max()))
    assert found[2].keys() == expected[2].keys()
    for name, value in expected[2].items():
        assert found[2][name] == pytest.approx(value, abs=1e-6), name  # trl's figures


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_in_single_precision_too(tmp_path: Path, attention: str) -> None:
    expected, found = (
        found_in(tmp_path, tiny_model("llama", attn_implementation=attention), share=share, precompute=True)
        for share in (False, True)
    )
    assert float(found[0]) == pytest.approx(float(expected[0]), abs=1e-5)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        assert float((ours - theirs).abs().max()) < 1e-5 * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("lora", [0, 4])
@pytest.mark.parametrize("precompute", [True, False])
@pytest.mark.parametrize("train", [TRAIN, replace(TRAIN, batch_size=1, accumulation=4, gradient_checkpointing=True)])
def test_a_training_is_the_same(tmp_path: Path, train: Any, precompute: bool, lora: int) -> None:
    rise = replace(RISE, train=train, precompute_reference=precompute, lora_rank=lora)
    whole, shared = (trainer_of(tmp_path, replace(rise, share_prefix=share)) for share in (False, True))
    start = weights(whole.model)
    for one in (whole, shared):
        one.train()
    assert logged(shared) == pytest.approx(logged(whole), abs=2e-5)
    moved = (weights(whole.model) - start).norm()
    assert float((weights(shared.model) - weights(whole.model)).norm() / moved) < 1e-3  # AdamW magnifies the smallest
    assert logged(whole)[-1] < logged(whole)[0]


def test_what_is_laid_out() -> None:
    ids = torch.tensor(
        [[11, 12, 13, 14, 15, 16], [21, 22, 23, 0, 0, 0], [11, 12, 13, 14, 17, 0], [21, 29, 28, 27, 0, 0]]
    )
    labels = ids.clone()
    labels[[0, 2], :2] = -100  # two tokens of prompt; then 13, 14 are common
    labels[[1, 3], :1] = -100
    labels[ids == 0] = -100
    packing = pack(ids, labels)
    assert packing.input_ids.tolist() == [
        [11, 12, 13, 14, 15, 14],  # trunk 11 12 13; 14 predicts 15 here and 17 there; 16 and 17 predict nothing
        [21, 22, 21, 29, 28, 0],  # no trunk
    ]
    assert packing.position_ids.tolist() == [[0, 1, 2, 3, 4, 3], [0, 1, 0, 1, 2, 0]]
    assert packing.segment.tolist() == [[0, 0, 0, 1, 1, 2], [1, 1, 2, 2, 2, PADDING]]
    assert packing.labels[packing.source].tolist() == [13, 14, 15, 16, 22, 23, 13, 14, 17, 29, 28, 27]
    assert len(packing.labels) == 10  # 13 and 14 are predicted once
    assert packing.attention()[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 0, 0, 1],
    ]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(1, 4), min_size=1, max_size=4),
            st.lists(st.integers(1, 4), min_size=1, max_size=5),
            st.lists(st.integers(1, 4), min_size=1, max_size=5),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_every_token_is_predicted_from_its_own_past(pairs: list[tuple[list[int], list[int], list[int]]]) -> None:
    sides = [(p, c) for p, c, _ in pairs] + [(p, r) for p, _, r in pairs]
    width = max(len(p) + len(side) for p, side in sides)
    ids = torch.tensor([p + side + [0] * (width - len(p) - len(side)) for p, side in sides])
    labels = torch.tensor([[-100] * len(p) + side + [-100] * (width - len(p) - len(side)) for p, side in sides])
    packing = pack(ids, labels)
    size = packing.input_ids.shape[1]
    target = 0
    for p, side in sides:
        for number, token in enumerate(side):
            pair, place = divmod(int(packing.scored[packing.source[target]]), size)
            seen = packing.attention()[pair, 0, place].nonzero()[:, 0]
            order = packing.position_ids[pair, seen].argsort()
            assert packing.position_ids[pair, seen][order].tolist() == list(range(len(p) + number))
            assert packing.input_ids[pair, seen][order].tolist() == p + side[:number]
            assert int(packing.labels[packing.source[target]]) == token
            target += 1
    assert target == len(packing.source) == int(packing.is_target.sum())
    assert size <= 2 * width


def test_the_head_and_the_body_see_fewer_tokens(tmp_path: Path) -> None:
    rows = [row(one, chosen=20, rejected=20, shared=5, prompt=100, is_edit=True) for one in range(4)]
    body: list[int] = []
    for share in (False, True):
        trainer = trainer_of(tmp_path, replace(RISE, share_prefix=share), rows)
        batch, sizes = batch_of(trainer, [0, 1, 2, 3]), list[int]()
        trainer.model.model.layers[0].register_forward_hook(
            lambda _, args, __, sizes=sizes: sizes.append(args[0].shape[0] * args[0].shape[1])
        )
        trainer.compute_loss(trainer.model, batch)
        body += sizes
    assert body == [4 * 2 * 120, 4 * (104 + 15 + 15)]
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    assert len(pack(batch["input_ids"], labels).labels) == 4 * (
        5 + 15 + 15
    )  # the head: completions, common tokens once


# Where it would be wrong.


def model_of(architecture: str) -> Any:
    if architecture in (*ARCHITECTURES, "lfm2"):
        return tiny_model(architecture)
    torch.manual_seed(0)
    if architecture == "gpt2":
        options: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        return GPT2LMHeadModel(GPT2Config(vocab_size=128, n_embd=32, n_layer=2, n_head=4, **options)).eval()
    if architecture == "mixtral":
        sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
        sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4}
        return MixtralForCausalLM(MixtralConfig(vocab_size=128, **sizes)).eval()
    return MambaForCausalLM(MambaConfig(vocab_size=128, hidden_size=32, num_hidden_layers=2, state_size=4)).eval()


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gpt2"])
def test_models_of_full_attention_are_taken(architecture: str) -> None:
    model = model_of(architecture)
    check_shareable(model, 2000)
    assert not model.training


def test_others_are_refused_and_trained_without(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="slides over 8 tokens, and the longest row has 14"):
        check_shareable(tiny_model("mistral", sliding_window=8), 14)
    check_shareable(tiny_model("mistral", sliding_window=14), 14)
    with pytest.raises(UnsupportedModelError, match="layers that are no full attention"):
        check_shareable(model_of("lfm2"), 14)
    with pytest.raises(UnsupportedModelError, match="experts are balanced"):
        check_shareable(model_of("mixtral"), 14)
    with pytest.raises(UnsupportedModelError, match="mamba model cannot read both sides"):
        check_shareable(model_of("mamba"), 14)
    experts = trainer_of(tmp_path, RISE, model=model_of("mixtral"))
    experts.train()
    assert logged(experts)[-1] < logged(experts)[0]
    trainer = trainer_of(tmp_path, RISE, model=tiny_model("mistral", sliding_window=8))
    assert not trainer.is_shared
    assert "slides over 8 tokens" in trainer.notices[0]
    trainer.train()
    alone = trainer_of(tmp_path, replace(RISE, share_prefix=False), model=tiny_model("mistral", sliding_window=8))
    alone.train()
    assert logged(trainer) == logged(alone)


@pytest.mark.parametrize("sides", [{"chosen": 2, "rejected": 9}, {"chosen": 9, "rejected": 2}])
@pytest.mark.parametrize("is_held_out", [False, True])
def test_the_window_is_compared_with_the_longest_side(tmp_path: Path, sides: Any, is_held_out: bool) -> None:
    long, short = row(0, prompt=5, **sides), row(1, chosen=2, rejected=2, prompt=5)
    rows = {"rows": [short], "held_out": [long, short]} if is_held_out else {"rows": [short, long]}
    for window, is_shared in ((14, True), (13, False)):
        trainer = trainer_of(tmp_path, RISE, model=tiny_model("mistral", sliding_window=window), **rows)
        assert trainer.is_shared == is_shared
        assert ["slides over 13 tokens, and the longest row has 14" in one for one in trainer.notices] == (
            [] if is_shared else [True]
        )


def test_a_model_that_ignores_positions_is_found_by_trying() -> None:
    model = tiny_model("llama")
    forward = model.forward
    model.forward = lambda *args, position_ids=None, **options: forward(*args, **options)  # type: ignore[method-assign]
    with pytest.raises(UnsupportedModelError, match="its logits are off by"):
        check_shareable(model, 14)
