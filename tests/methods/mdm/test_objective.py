"""The loss: its published values, its identities with the likelihood, its gradient where naive code gives NaN."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tenon.core.errors import ConfigError
from tenon.methods.mdm.config import MDMConfig
from tenon.methods.mdm.objective import diffusion_loss, masked_loss, time_weight, token_weight
from tenon.methods.mdm.process import draw_masked, draw_time
from tenon.methods.mdm.reference import slow_loss

PLAIN = MDMConfig(time_weight="none", token_alpha=1.0, token_beta=0.0)
ELBO = replace(PLAIN, time_weight="elbo")


def batch(rows: int = 5, seq: int = 12, vocab: int = 7, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, seq, vocab, generator=generator)
    ids = torch.randint(vocab, (rows, seq), generator=generator)
    time = draw_time(rows, MDMConfig(), generator=generator)
    is_masked = draw_masked(torch.arange(seq).expand(rows, -1) >= 4, time, generator=generator)
    return logits, ids, is_masked, time


def test_7_01_without_weights_it_is_the_mean_cross_entropy_of_masked_tokens() -> None:
    logits, ids, is_masked, time = batch()
    expected = torch.nn.functional.cross_entropy(logits[is_masked], ids[is_masked])
    torch.testing.assert_close(diffusion_loss(logits, ids, is_masked, time, PLAIN), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("beta", "values", "gradients"),
    [
        (1.0, (0.002379, 0.158030, 0.712660), (0.046412, 0.25, 0.274894)),
        (2.0, (0.000226, 0.099894, 0.677178), (0.006569, 0.216166, 0.296689)),
    ],
)
def test_7_02_the_weight_of_a_token(beta: float, values: tuple[float, ...], gradients: tuple[float, ...]) -> None:
    nats = torch.tensor([0.1, 1.0, 3.0], requires_grad=True)
    loss = token_weight(nats, MDMConfig(token_beta=beta)) * nats
    loss.sum().backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(values), atol=1e-6, rtol=0)
    assert nats.grad is not None
    torch.testing.assert_close(nats.grad, torch.tensor(gradients), atol=1e-6, rtol=0)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
def test_7_03_the_gradient_is_finite(beta: float) -> None:
    nats = torch.tensor([0.0, 1e-30, 1e-8, 50.0], requires_grad=True)
    (token_weight(nats, MDMConfig(token_beta=beta)) * nats).sum().backward()
    assert nats.grad is not None
    assert nats.grad.isfinite().all()
    # At u = 0 the derivative of alpha (1 - e^-u)^beta u is 0, but for beta = 0, where the loss is alpha u.
    assert float(nats.grad[0]) == pytest.approx(0.25 if beta == 0 else 0.0, abs=1e-6)


@pytest.mark.parametrize("norm", ["masked", "maskable", "batch"])
def test_7_03_a_batch_without_a_masked_token_gives_zero_and_zero_gradients(norm: str) -> None:
    logits, ids, is_masked, time = batch()
    logits.requires_grad_()
    config = MDMConfig(loss_norm=norm)  # type: ignore[arg-type]  # a parameter of the test
    loss = diffusion_loss(logits, ids, is_masked & False, time, config, is_maskable=is_masked & False)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_7_04_a_uniform_model_pays_n_log_v() -> None:
    steps, maskable, vocab = 20, 30, 9
    expected = maskable * math.log(vocab)
    masked = [maskable * (t / steps) for t in range(1, steps + 1)]
    assert sum(count / t for t, count in enumerate(masked, 1)) * math.log(vocab) == pytest.approx(expected)
    rows = 20_000
    generator = torch.Generator().manual_seed(1)
    time = draw_time(rows, ELBO, generator=generator)
    is_masked = draw_masked(torch.ones(rows, maskable, dtype=torch.bool), time, generator=generator)
    each = time_weight(time, ELBO) * is_masked.sum(1) * math.log(vocab)
    error = float(each.std()) / rows**0.5
    assert abs(float(each.mean()) - expected) < 4 * error
    # The same through the loss itself, normalised by rows.
    logits, ids = torch.zeros(200, maskable, vocab), torch.zeros(200, maskable, dtype=torch.long)
    found = diffusion_loss(logits, ids, is_masked[:200], time[:200], replace(ELBO, loss_norm="batch"))
    assert float(found) == pytest.approx(float(each[:200].mean()), rel=1e-5)


def subset_weight(count: int, total: int, steps: int) -> float:
    """W(m) of property 5: how much the bound weighs one set of `count` masked tokens among `total`."""
    return sum((1 / t) * (t / steps) ** count * (1 - t / steps) ** (total - count) for t in range(1, steps + 1))


def test_7_05_subset_weights_of_the_bound() -> None:
    found = [subset_weight(count, 3, 20) for count in (1, 2, 3)]
    assert found == pytest.approx([0.30875, 0.16625, 0.35875])
    limit = [subset_weight(count, 3, 20_000) for count in (1, 2, 3)]
    assert limit == pytest.approx([1 / 3, 1 / 6, 1 / 3], abs=1e-3)
    for steps, total in itertools.product((1, 2, 20), (1, 3, 5)):
        whole = sum(m * math.comb(total, m) * subset_weight(m, total, steps) for m in range(1, total + 1))
        assert whole == pytest.approx(total)


def joint(places: int, vocab: int) -> torch.Tensor:
    """An explicit distribution over all texts."""
    logits = torch.randn([vocab] * places, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return logits.flatten().softmax(0).view([vocab] * places)


def conditional_nats(table: torch.Tensor, text: tuple[int, ...], masked: tuple[int, ...]) -> list[float]:
    """-log p(x_n | what is not masked) for every masked place, from the table."""
    seen = table[tuple(slice(None) if place in masked else text[place] for place in range(len(text)))]
    seen = seen / seen.sum()
    found = []
    for axis, place in enumerate(masked):
        others = tuple(one for one in range(len(masked)) if one != axis)
        marginal = seen.sum(others) if others else seen
        found.append(-math.log(float(marginal[text[place]])))
    return found


def subsets(places: int) -> list[tuple[int, ...]]:
    return [one for size in range(1, places + 1) for one in itertools.combinations(range(places), size)]


def test_7_05_the_enumerated_bound_is_the_elbo_mode_of_the_loss() -> None:
    """Sum over all times and all masks, each with its probability, through `masked_loss` itself."""
    places, vocab, steps = 3, 3, 20
    table, text = joint(places, vocab), (2, 0, 1)
    expected = sum(
        subset_weight(len(masked), places, steps) * sum(conditional_nats(table, text, masked))
        for masked in subsets(places)
    )
    found = 0.0
    for index, masked in itertools.product(range(steps), subsets(places)):
        t = (index + 1) / steps
        chance = t ** len(masked) * (1 - t) ** (places - len(masked)) / steps
        if not chance:
            continue
        logits = torch.zeros(len(masked), vocab)
        targets = torch.tensor([text[place] for place in masked])
        for row, nats in enumerate(conditional_nats(table, text, masked)):
            p = math.exp(-nats)
            logits[row] = math.log((1 - p) / (vocab - 1))
            logits[row, targets[row]] = math.log(p)
        loss = masked_loss(logits, targets, torch.full((len(masked),), t), ELBO, normaliser=1.0)
        found += chance * float(loss)
    assert found == pytest.approx(expected, rel=1e-5)


def test_7_06_with_true_conditionals_the_bound_is_the_likelihood() -> None:
    """In continuous time, through `masked_loss`: the integrand is a cubic, so two nodes of Gauss-Legendre are exact."""
    places, vocab = 4, 3
    table, config = joint(places, vocab), replace(ELBO, steps=None)
    times, weights = ((node + 1) / 2 for node in np.polynomial.legendre.leggauss(2)[0]), (0.5, 0.5)
    grid = list(zip(times, weights, strict=True))
    for text in itertools.product(range(vocab), repeat=places):
        bound = by_sets = 0.0
        for masked in subsets(places):
            nats = conditional_nats(table, text, masked)
            by_sets += sum(nats) / (len(masked) * math.comb(places, len(masked)))
            logits = torch.tensor(
                [[-one, math.log(-math.expm1(-one))] for one in nats]
            )  # the right token, and the rest
            targets = torch.zeros(len(masked), dtype=torch.long)
            for t, weight in grid:
                chance = t ** len(masked) * (1 - t) ** (places - len(masked))
                time = torch.full((len(masked),), float(t))
                bound += weight * chance * float(masked_loss(logits, targets, time, config, normaliser=1.0))
        assert by_sets == pytest.approx(-math.log(float(table[text])), abs=1e-6)
        assert bound == pytest.approx(by_sets, rel=1e-5)


@pytest.mark.parametrize("weight", ["linear", "elbo", "none"])
@pytest.mark.parametrize(("steps", "scale"), [(20, "normalised"), (20, "official"), (None, "normalised")])
def test_it_is_the_slow_sum(weight: str, steps: int | None, scale: str) -> None:
    config = MDMConfig(time_weight=weight, steps=steps, loss_scale=scale, token_beta=1.5)  # type: ignore[arg-type]  # of the test
    logits, ids, is_masked, time = batch()
    found = float(diffusion_loss(logits, ids, is_masked, time, config))
    assert found == pytest.approx(slow_loss(logits, ids, is_masked, time, config), rel=1e-5)


def test_official_scales() -> None:
    time = torch.tensor([1 / 20, 0.5, 1.0])
    official = MDMConfig(loss_scale="official")
    torch.testing.assert_close(time_weight(time, official), torch.tensor([20.0, 11.0, 1.0]))  # T - i
    elbo = replace(official, time_weight="elbo")
    torch.testing.assert_close(time_weight(time, elbo), torch.tensor([1.0, 0.1, 0.05]))  # 1 / (i + 1)


def test_7_17_the_gradient_does_not_depend_on_how_a_batch_is_cut_once_its_normaliser_is_given() -> None:
    logits, ids, is_masked, time = batch(rows=8)
    config, total = MDMConfig(), is_masked.sum()

    def gradient(cuts: list[slice]) -> torch.Tensor:
        leaf = logits.clone().requires_grad_()
        for cut in cuts:
            diffusion_loss(leaf[cut], ids[cut], is_masked[cut], time[cut], config, normaliser=total).backward()
        assert leaf.grad is not None
        return leaf.grad

    whole, parts = gradient([slice(None)]), gradient([slice(0, 3), slice(3, 4), slice(4, 8)])
    torch.testing.assert_close(parts, whole, atol=1e-7, rtol=1e-5)


def test_bad_options() -> None:
    with pytest.raises(ConfigError, match="steps is none"):
        MDMConfig(loss_scale="official", steps=None)
    with pytest.raises(ConfigError, match="steps"):
        MDMConfig(steps=0)
    logits, ids, is_masked, time = batch()
    with pytest.raises(ConfigError, match="pass is_maskable"):
        diffusion_loss(logits, ids, is_masked, time, MDMConfig(loss_norm="maskable"))
