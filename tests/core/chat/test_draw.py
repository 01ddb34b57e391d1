"""Drawing by a maximum gives the distribution that it should."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from tenon.core.chat.draw import drawing_scores, nucleus
from tenon.core.noise import gumbel, streams

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -30.0])
DRAWS = 20_000


def draws(temperature: float, top_p: float, seed: int = 0) -> torch.Tensor:
    noise = gumbel(streams(torch.arange(DRAWS), seed, 1)[0], len(LOGITS))
    options = [torch.full((DRAWS,), value) for value in (temperature, top_p)]
    return drawing_scores(LOGITS.expand(DRAWS, -1), *options, noise).argmax(-1)


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 2.5])
def test_draws_follow_the_softmax(temperature: float) -> None:
    expected = (LOGITS / temperature).softmax(0).double() * DRAWS
    counts = torch.bincount(draws(temperature, 1.0), minlength=len(LOGITS)).double()
    is_common = expected >= 5
    assert counts[~is_common].sum() <= 20
    kept = expected[is_common]
    assert chisquare(counts[is_common], kept * counts[is_common].sum() / kept.sum()).pvalue > 1e-3


def test_draws_follow_the_nucleus() -> None:
    """softmax: 0.58, 0.21, 0.13, 0.08, ...; 0.8 is reached with the third."""
    weights = LOGITS.softmax(0).double()
    assert weights[:2].sum() < 0.8 < weights[:3].sum()
    counts = torch.bincount(draws(1.0, 0.8), minlength=len(LOGITS)).double()
    assert counts[3:].sum() == 0
    assert chisquare(counts[:3], weights[:3] / weights[:3].sum() * DRAWS).pvalue > 1e-3


def test_zero_temperature_is_the_likeliest_whatever_the_noise() -> None:
    assert (draws(0.0, 0.5) == 0).all()


def test_rows_keep_their_own_settings() -> None:
    logits, noise = LOGITS.expand(3, -1), torch.zeros(3, 6)
    noise[:, 4] = 100.0
    temperature, top_p = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([1.0, 1.0, 0.8])
    assert drawing_scores(logits, temperature, top_p, noise).argmax(-1).tolist() == [0, 4, 0]


def test_a_nucleus_holds_the_likeliest_and_at_one_everything() -> None:
    logits = torch.randn(50, 300, generator=torch.Generator().manual_seed(0)) * 4
    assert (nucleus(logits, torch.full((50,), 1e-9)).isfinite().sum(-1) == 1).all()
    mixed = torch.tensor([1.0, 0.9]).repeat(25)
    kept = nucleus(logits, mixed)
    assert torch.equal(kept[::2], logits[::2])
    mass = logits.softmax(-1).where(kept.isfinite(), 0).sum(-1)[1::2]
    assert (mass >= 0.9 - 1e-6).all()
    least = logits.softmax(-1).where(kept.isfinite(), 1).min(-1).values[1::2]
    assert (mass - least < 0.9).all()  # without its least likely token it would fall short


def test_it_is_the_nucleus_of_transformers() -> None:
    from transformers import TopPLogitsWarper

    logits = torch.randn(40, 200, generator=torch.Generator().manual_seed(1)) * 3
    for top_p in (0.1, 0.5, 0.95):
        theirs = TopPLogitsWarper(top_p)(torch.zeros(40, 1, dtype=torch.long), logits)
        assert torch.equal(nucleus(logits, torch.full((40,), top_p)).isfinite(), theirs.isfinite())
