"""Attention by kind of key: sums that can be done by hand, and a model that is left as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tenon.methods.sepllm.observe import KINDS, attention_by_kind, mean_lift, observe


def test_by_hand() -> None:
    weights = torch.tensor(
        [
            [1.0, 0.0, 0.0, 0.0],
            [0.5, 0.5, 0.0, 0.0],
            [0.2, 0.6, 0.2, 0.0],
            [0.1, 0.7, 0.1, 0.1],
        ]
    )[None, None]
    found = attention_by_kind(weights, torch.tensor([[False, True, False, False]]), init=1)
    # Without the diagonal: 0.8 on the first token, 1.3 on the separator, 0.1 on the word; 3, 2 and 1 pairs.
    assert found["first tokens"] == pytest.approx((0.8 / 2.2, 3 / 6))
    assert found["separators"] == pytest.approx((1.3 / 2.2, 2 / 6))
    assert found["words"] == pytest.approx((0.1 / 2.2, 1 / 6))


def test_uniform_attention_has_no_lift() -> None:
    size = 40
    weights = torch.ones(size, size).tril()
    weights = (weights / size).expand(2, 3, size, size)  # every earlier key gets the same, however many there are
    found = attention_by_kind(weights, torch.rand(2, size) < 0.2, init=3)
    for mass, pairs in found.values():
        assert mass == pytest.approx(pairs)


def test_a_model_is_observed_and_left_as_it_was(tiny: Any, text: Any) -> None:
    model, ids = tiny("llama"), text(30, rows=2)
    before = model(ids).logits
    is_sep = torch.rand(2, 30) < 0.2
    rows = observe(model, ids, is_sep, init=2)
    assert [(row["layer"], row["kind"]) for row in rows] == [(layer, kind) for layer in (0, 1) for kind in KINDS]
    for layer in (0, 1):
        mine = [row for row in rows if row["layer"] == layer]
        assert sum(row["attention [%]"] for row in mine) == pytest.approx(100)
        assert sum(row["pairs [%]"] for row in mine) == pytest.approx(100)
    assert torch.equal(model(ids).logits, before)
    none = observe(model, ids, torch.zeros(2, 30, dtype=torch.bool))
    assert mean_lift(none, "separators") is None
