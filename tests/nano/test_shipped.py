"""The weights that ship: small enough, what the card says, and the ones its figures were made on."""

from __future__ import annotations

import json
from pathlib import Path

import torch

import tenon
from tenon.core import cards
from tenon.core.models.counting import parameters_by_kind
from tenon.core.models.loading import load_model, load_tokenizer, nano_names, weights_hash
from tenon.methods.sepllm.recall import shipped_hash
from tenon.nano.lm import PRESETS, model_config
from tenon.tasks.text import python_docs

FOLDER = Path(tenon.__file__).parent / "nano" / "nano-lm"


def test_it_fits_the_package() -> None:
    assert sum(file.stat().st_size for file in FOLDER.rglob("*")) < 16_000_000
    assert not [file for file in FOLDER.rglob("*") if file.suffix in (".bin", ".pt", ".pth", ".pkl")]


def test_it_is_the_architecture_of_the_recipe() -> None:
    model, tokenizer = load_model("nano-lm"), load_tokenizer("nano-lm")
    recipe = model_config(PRESETS["cpu"], tokenizer)
    for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                 "num_key_value_heads", "head_dim", "max_position_embeddings", "tie_word_embeddings"):  # fmt: skip
        assert getattr(model.config, name) == getattr(recipe, name), name
    assert sum(parameters_by_kind(model).values()) == 6_951_168
    assert model.config.use_cache
    assert model.generation_config.use_cache


def test_its_figures_were_made_on_these_weights() -> None:
    """So were those of the methods, but where models were trained for them."""
    shipped = weights_hash("nano-lm")
    others = {shipped_hash(), "none: trained from scratch", "none: no model"}
    others |= {weights_hash(name) for name in nano_names() if name.startswith("nano-sudoku")}
    methods = sorted(FOLDER.parents[1].glob("methods/*/results/*.json"))
    assert methods
    for file in (FOLDER / "training.json", FOLDER / "results.json"):
        assert json.loads(file.read_text())["weights"] == shipped, file
    for file in methods:
        if file.name in ("recall-seeds.json", "trained.json", "path-k6-orders.json"):  # on models that are not kept
            continue
        if file.name == "sudoku-9x9-gpu.json":  # on nano-sudoku/9x9 before it was rounded to float16
            continue
        assert json.loads(file.read_text())["weights"] in {shipped, *others}, file


def test_the_card_shows_measured_numbers_only() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert cards.render(FOLDER / "README.md") == text
    assert cards.typed_numbers(text) == []


def test_it_has_learnt_english() -> None:
    """A uniform guess costs ln 4096 = 8.3 nats; Python's documentation is far from what it has read."""
    model, tokenizer = load_model("nano-lm"), load_tokenizer("nano-lm")
    ids = torch.tensor([tokenizer(python_docs()[:4000])["input_ids"]])
    with torch.inference_mode():
        loss = float(model(ids, labels=ids).loss)
    assert loss < 6.5
