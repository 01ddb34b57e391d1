"""Who is masked: the prompt never, every other token with its row's probability."""

from __future__ import annotations

import torch
from scipy import stats

from tenon.core.noise import gumbel, streams, uniform
from tenon.methods.mdm.config import MDMConfig
from tenon.methods.mdm.process import draw_masked, draw_time, masked_input

IS_MASKABLE = torch.arange(10) >= 4


def test_7_07_prompts_are_never_masked_and_time_1_masks_all_the_rest() -> None:
    is_maskable = IS_MASKABLE.expand(500, -1)
    assert not draw_masked(is_maskable, torch.rand(500).clamp(min=0.1))[:, :4].any()
    torch.testing.assert_close(draw_masked(is_maskable, torch.ones(500)), is_maskable)
    ids = torch.arange(10).expand(500, -1)
    assert (masked_input(ids, is_maskable, 99)[:, 4:] == 99).all()


def test_7_07_each_token_is_masked_with_the_probability_of_its_row() -> None:
    draws = 100_000
    generator = torch.Generator().manual_seed(0)
    for t in (0.05, 0.5, 0.95):
        is_masked = draw_masked(IS_MASKABLE.expand(draws, -1), torch.full((draws,), t), generator=generator)
        for count in is_masked[:, 4:].sum(0).tolist():
            assert stats.chisquare([count, draws - count], [draws * t, draws * (1 - t)]).pvalue > 1e-4
        both = float((is_masked[:, 4] & is_masked[:, 5]).float().mean())  # by itself, not in fixed numbers
        assert abs(both - t * t) < 4 * (t * t * (1 - t * t) / draws) ** 0.5


def test_7_07_rows_and_calls_differ_and_a_generator_repeats_them() -> None:
    is_maskable, time = torch.ones(4, 40, dtype=torch.bool), torch.full((4,), 0.5)
    first = draw_masked(is_maskable, time, generator=torch.Generator().manual_seed(1))
    assert torch.equal(first, draw_masked(is_maskable, time, generator=torch.Generator().manual_seed(1)))
    assert len({tuple(row) for row in first.tolist()}) == 4
    assert not torch.equal(first, draw_masked(is_maskable, time))


def test_times_are_those_of_the_steps() -> None:
    time = draw_time(40_000, MDMConfig(steps=4))
    values, counts = time.unique(return_counts=True)
    torch.testing.assert_close(values, torch.tensor([0.25, 0.5, 0.75, 1.0]))
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4
    continuous = draw_time(10_000, MDMConfig(steps=None, time_eps=0.01))
    assert 0.01 <= float(continuous.min()) < 0.02
    assert 0.98 < float(continuous.max()) <= 1


def test_noise_is_uniform_independent_and_keyed_by_seed_row_and_step() -> None:
    keys = torch.arange(300)
    drawn = streams(keys, 0, 5)
    found = uniform(drawn[3], 200)
    assert 0 < float(found.min()) < float(found.max()) < 1
    assert stats.kstest(found.flatten().numpy(), "uniform").pvalue > 1e-3
    others = [drawn[4], streams(keys + 300, 0, 5)[3], streams(keys, 1, 5)[3], streams(keys + 1, 0, 5)[3]]
    for other in (*(uniform(one, 200) for one in others), found.roll(1, 1)):
        assert abs(float(torch.corrcoef(torch.stack([found.flatten(), other.flatten()]))[0, 1])) < 0.02
    # Another seed gives no row the numbers of another row of this one.
    assert not set(streams(keys, 0, 1)[0].tolist()) & set(streams(keys, 1, 1)[0].tolist())
    assert torch.equal(uniform(streams(torch.tensor([7]), 0, 9)[3], 100)[0], found[7, :100])
    assert stats.kstest(gumbel(drawn[1], 200).flatten().numpy(), "gumbel_r").pvalue > 1e-3


def test_the_largest_draw_is_below_one() -> None:
    """At 1 Gumbel noise would be infinite."""
    last = torch.tensor((1 << 23) - 1).float() + 0.5
    assert float(last * 2.0**-23) < 1
