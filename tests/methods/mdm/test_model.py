"""A decoder that sees everything: published sizes, no causal attention left anywhere, the shift, saving and loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tenon.core.errors import ConfigError, DataError, UnsupportedModelError
from tenon.core.models.tiny import ARCHITECTURES, tiny_model
from tenon.methods.mdm.model import MDMForMaskedDiffusion, check_bidirectional, new_model

IDS = torch.randint(5, 31, (2, 14), generator=torch.Generator().manual_seed(0))


def small(**changes: Any) -> MDMForMaskedDiffusion:
    fields = {"n_layer": 2, "n_embd": 32, "n_head": 4} | changes
    return new_model("tiny", vocab_size=31, mask_token_id=2, positions=32, **fields).eval()


@pytest.mark.parametrize(("size", "count"), [("tiny", 5_532_672), ("base", 85_473_024), ("small", 85_473_024)])
def test_the_published_sizes(size: str, count: int) -> None:
    model = new_model(size, vocab_size=31, mask_token_id=2)
    assert sum(weight.numel() for weight in model.parameters()) == count
    assert model.config.backbone.resid_pdrop == model.config.backbone.attn_pdrop == 0.1


def test_a_llama_of_a_published_size_has_about_as_many_weights() -> None:
    model = new_model("tiny", vocab_size=31, mask_token_id=2, backbone="llama")
    assert model.config.backbone.model_type == "llama"
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(5_532_672, rel=0.06)
    assert model.config.backbone.attention_dropout == 0.0
    dropped = new_model("tiny", vocab_size=31, mask_token_id=2, backbone="llama", attn_pdrop=0.2, n_layer=1)
    assert (dropped.config.backbone.attention_dropout, dropped.config.backbone.num_hidden_layers) == (0.2, 1)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gpt2"])
@pytest.mark.parametrize("is_training", [False, True])
@torch.no_grad()
def test_7_08_every_token_sees_the_last_one(architecture: str, attention: str, is_training: bool) -> None:
    if architecture == "gpt2":
        dropout: Any = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        causal: Any = GPT2LMHeadModel(GPT2Config(vocab_size=31, n_embd=32, n_layer=2, n_head=4, **dropout)).eval()
    else:
        causal = tiny_model(architecture).eval()
    causal.set_attn_implementation(attention)
    other = IDS.clone()
    other[:, -1] = 5 + (other[:, -1] - 4) % 26
    before = causal(IDS).logits
    assert torch.equal(before[:, :-1], causal(other).logits[:, :-1])  # it was causal, exactly
    model = MDMForMaskedDiffusion.from_causal(causal, mask_token_id=2).train(is_training)
    moved = (model(IDS).logits - model(other).logits).abs().amax((0, 2))
    assert bool((moved > 1e-4).all())


@torch.no_grad()
def test_7_08_predictions_are_shifted_by_one() -> None:
    model = small()
    shifted = model(IDS).logits
    model.config.shift_logits = False
    plain = model(IDS).logits
    torch.testing.assert_close(shifted[:, 1:], plain[:, :-1])
    torch.testing.assert_close(shifted[:, 0], plain[:, 0])


@torch.no_grad()
def test_logits_at_chosen_places_are_those_of_all_places() -> None:
    model, chosen = small(), torch.rand(IDS.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    chosen[:, :2] = True  # the first place has no state before it
    for model.config.shift_logits in (True, False):
        places = chosen.flatten().nonzero()[:, 0]
        torch.testing.assert_close(model(IDS, at=places).logits, model(IDS).logits[chosen])
        assert model(IDS, at=places[:0]).logits.shape == (0, 31)


@torch.no_grad()
def test_7_08_a_model_that_stays_causal_is_refused() -> None:
    model: Any = small()
    model.config.backbone.is_causal = True
    for module in model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = True
    with pytest.raises(UnsupportedModelError, match=r"is causal.*'sdpa', is_causal=True"):
        check_bidirectional(model)


@torch.no_grad()
def test_7_18_a_saved_model_comes_back(tmp_path: Path) -> None:
    model = small()
    model.save_pretrained(tmp_path)
    loaded = MDMForMaskedDiffusion.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded(IDS).logits, model(IDS).logits)
    assert loaded.config.shift_logits
    assert loaded.config.mask_token_id == 2
    check_bidirectional(loaded)  # what was not saved with it must come back, too
    size = sum(weight.numel() * 4 for weight in model.parameters())
    assert (tmp_path / "model.safetensors").stat().st_size < size + 20_000  # tied weights once


def test_bad_input() -> None:
    with pytest.raises(ConfigError, match="no size 'huge'"):
        new_model("huge", vocab_size=31, mask_token_id=2)
    with pytest.raises(DataError, match="resize_token_embeddings"):
        MDMForMaskedDiffusion.from_causal(tiny_model("llama"), mask_token_id=10**6)
