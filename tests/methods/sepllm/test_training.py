"""Training under the mask: the options travel with the model, and what is trained is what is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer

from tenon.core.errors import ConfigError, DataError
from tenon.core.models.tiny import tiny_model
from tenon.core.training.config import TrainConfig, training_arguments
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.mask import sep_mask
from tenon.methods.sepllm.model import apply_sepllm

CONFIG = SepConfig(window=6, separators=(".", ","), full_layers=(1,))


def trained(folder: Path, text: Any, tokenizer: Any, **changes: Any) -> Any:
    """Train a tiny model for six steps under the mask."""
    model = tiny_model("llama")
    rows = [{"input_ids": ids, "labels": ids} for ids in text(48, rows=12)]
    settings = replace(
        TrainConfig(steps=6, batch_size=2, learning_rate=1e-3, save_every=100, log_every=1, device="cpu"), **changes
    )
    with apply_sepllm(model, tokenizer, CONFIG):
        trainer = Trainer(model=model, args=training_arguments(settings, folder / "checkpoints"), train_dataset=rows)
        trainer.train()
        model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
    return model, [row["loss"] for row in trainer.state.log_history if "loss" in row]


def test_the_options_come_back_with_the_model(tmp_path: Path, text: Any, tokenizer: Any) -> None:
    model, losses = trained(tmp_path, text, tokenizer)
    assert losses[-1] < losses[0]
    assert not hasattr(model.config, "sepllm")  # only while it is applied
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    reader = AutoTokenizer.from_pretrained(tmp_path / "model")
    ids = text(40, seed=3)
    with apply_sepllm(model, tokenizer, CONFIG), torch.no_grad():
        expected = model(ids).logits
    with apply_sepllm(loaded, reader) as applied, torch.no_grad():
        assert applied.config == CONFIG
        assert torch.equal(loaded(ids).logits, expected)
    assert loaded.config.sepllm["window"] == 6  # still what it was saved with


def test_what_is_trained_is_the_loss_under_the_mask(text: Any, tokenizer: Any) -> None:
    """Two layers, both under eq. (1): the gradient equals that of an explicit additive mask."""
    model, ids = tiny_model("llama"), text(48, rows=2)
    grads = []
    for explicit in (False, True):
        model.zero_grad()
        with apply_sepllm(model, tokenizer, SepConfig(window=6)) as applied:
            mask = sep_mask(applied.separators[ids], init=3, window=6)
            if not explicit:
                model(ids, labels=ids).loss.backward()
        if explicit:
            additive = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)[:, None]
            model(ids, attention_mask=additive, labels=ids).loss.backward()
        grads.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]))
    assert (grads[0] - grads[1]).abs().max() < 1e-5 * grads[1].abs().max()


@pytest.mark.parametrize("kernel", ["dense", "compact"])
@pytest.mark.parametrize("interval", [None, 4])
def test_packed_documents_are_documents_alone(kernel: Any, interval: Any, text: Any, tokenizer: Any, off: Any) -> None:
    """A row of two documents gives what each gives in a row of its own, when told so; else the border is crossed."""
    model, ids = tiny_model("llama"), text(70)
    positions = torch.cat([torch.arange(31), torch.arange(39)])[None]
    rule = SepConfig(window=6, interval=interval, kernel=kernel, full_layers=(1,), respect_documents=True)
    with torch.no_grad(), apply_sepllm(model, tokenizer, rule):
        packed = model(ids, position_ids=positions, use_cache=False).logits
        alone = torch.cat([model(part, use_cache=False).logits for part in (ids[:, :31], ids[:, 31:])], 1)
        assert off(packed, alone) < 1e-5
        with pytest.raises(DataError, match="a cache holds one text"):
            model(ids, position_ids=positions, use_cache=True)
    with torch.no_grad(), apply_sepllm(model, tokenizer, replace(rule, respect_documents=False)):
        crossed = model(ids, position_ids=positions, use_cache=False).logits
    assert off(crossed[:, :31], alone[:, :31]) < 1e-5
    assert off(crossed[:, 31:], alone[:, 31:]) > 1e-3


def test_packed_documents_train(text: Any, tokenizer: Any) -> None:
    model, ids = tiny_model("llama"), text(70, rows=2)
    positions = torch.cat([torch.arange(31), torch.arange(39)])[None].expand(2, -1)
    with apply_sepllm(model, tokenizer, SepConfig(window=6, respect_documents=True)):
        loss = model(ids, position_ids=positions, labels=ids, use_cache=False).loss
        loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)


def test_7_19_gradient_checkpointing_and_no_grad_give_the_same_loss(text: Any, tokenizer: Any) -> None:
    model, ids = tiny_model("llama"), text(200, rows=2)  # long enough for the compact kernel to gather
    found = []
    with apply_sepllm(model, tokenizer, CONFIG):
        model.train()
        for checkpointing in (False, True):
            if checkpointing:
                # Its name since 5.2x; the older one still works, and warns.
                getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
            model.zero_grad()
            loss = model(ids, labels=ids).loss
            loss.backward()
            grads = torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
            found.append((loss.detach(), grads.clone()))
        with torch.no_grad():
            found.append((model(ids, labels=ids).loss, found[0][1]))
    for loss, grads in found[1:]:
        torch.testing.assert_close(loss, found[0][0], atol=1e-6, rtol=0)
        torch.testing.assert_close(grads, found[0][1], atol=1e-6, rtol=0)


ALONE = SepConfig(separators="none", init=0, window=1)
"""Every token sees itself alone."""


@pytest.mark.parametrize("kernel", ["dense", "compact"])
@pytest.mark.parametrize(("dtype", "within"), [(torch.bfloat16, 2e-2), (torch.float16, 5e-3)], ids=str)
@pytest.mark.parametrize("config", [ALONE, SepConfig(window=6)], ids=["one key", "eq. 1"])
def test_7_21_autocast_has_no_nan_and_the_loss_of_float32(
    config: SepConfig, dtype: torch.dtype, within: float, text: Any, tokenizer: Any, kernel: Any
) -> None:
    model, ids = tiny_model("llama"), text(200, rows=2)
    padding = torch.ones_like(ids)
    padding[0, :20] = 0
    labels = ids.masked_fill(padding == 0, -100)
    with apply_sepllm(model, tokenizer, replace(config, kernel=kernel)):
        with torch.no_grad():
            expected = model(ids, attention_mask=padding, labels=labels).loss
        with torch.autocast("cpu", dtype):
            loss = model(ids, attention_mask=padding, labels=labels).loss
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=within)
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)


@pytest.mark.parametrize("kernel", ["dense", "compact"])
def test_7_21_a_pad_sees_itself_alone(kernel: Any, text: Any, tokenizer: Any, off: Any) -> None:
    """So no row of scores is empty; nobody reads what comes of it, but it must be no NaN."""
    model, ids = tiny_model("llama"), text(100, rows=2)
    padding = torch.ones_like(ids)
    padding[0, :20] = 0
    with apply_sepllm(model, tokenizer, SepConfig(window=6, kernel=kernel)), torch.no_grad():
        found = model(ids, attention_mask=padding, use_cache=False).logits
    with apply_sepllm(model, tokenizer, replace(ALONE, kernel="dense")), torch.no_grad():
        alone = model(ids, use_cache=False).logits
    assert off(found[0, :20], alone[0, :20]) < 1e-5
    assert off(found[1, :20], alone[1, :20]) > 1e-2  # real tokens see more


def test_9_a_model_that_was_not_saved_under_sepllm_says_so(tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match="was not saved under SepLLM"):
        apply_sepllm(tiny_model("llama"), tokenizer)


def test_9_another_tokenizer_than_the_saved_one_is_noticed(tmp_path: Path, text: Any, tokenizer: Any) -> None:
    trained(tmp_path, text, tokenizer, steps=1)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    loaded.config.sepllm["separator_hash"] = "of another tokenizer"
    with pytest.raises(DataError, match="load the tokenizer that was saved with the model"):
        apply_sepllm(loaded, tokenizer)
