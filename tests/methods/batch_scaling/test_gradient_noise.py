"""The noise scale's equations: known answers, the bias that must be seen, what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.methods.batch_scaling.probes.gradient_noise import (
    NoiseScale,
    RankStep,
    noise_scale,
    pair_of_step,
    two_batch,
)

SMALL, BIG = 4, 64


def drawn(pairs: int, *, ratio: float, dims: int = 50, seed: int = 0) -> tuple[Any, Any]:
    """Squared norms of means of i.i.d. N(G, Sigma), |G|^2 = 1, tr(Sigma) = ratio, unequal variances.

    The small batch is a part of the big one, as in a training.
    """
    rng = numpy.random.default_rng(seed)
    true = numpy.full(dims, dims**-0.5)
    spread = numpy.linspace(1, 3, dims)
    spread *= math.sqrt(ratio / (spread**2).sum())
    part = true + spread * rng.standard_normal((pairs, dims)) / math.sqrt(SMALL)
    rest = true + spread * rng.standard_normal((pairs, dims)) / math.sqrt(BIG - SMALL)
    whole = (SMALL * part + (BIG - SMALL) * rest) / BIG
    return (part**2).sum(1), (whole**2).sum(1)


@pytest.mark.parametrize("ratio", [2.0, 20.0])
def test_property_7_10_known_noise_is_found(ratio: float) -> None:
    first, second = drawn(20_000, ratio=ratio)
    g2s, _ = two_batch(first, second, SMALL, BIG)
    assert g2s.std() / math.sqrt(len(g2s)) < 0.015  # so that 5 % is a fair question
    found = noise_scale(first, second, small=SMALL, big=BIG, unit_tokens=128, bootstrap=200)
    assert found.b_simple == pytest.approx(128 * ratio, rel=0.05)
    assert found.g2 == pytest.approx(1, rel=0.05)
    assert found.s == pytest.approx(128 * ratio, rel=0.05)
    assert found.interval is not None
    low, high = found.interval
    assert high is not None
    assert low < 128 * ratio < high < 1.1 * low
    assert not found.warnings


def test_property_7_10_the_mean_of_ratios_is_biased_and_ours_is_not_that() -> None:
    first, second = drawn(20_000, ratio=40.0)
    g2s, ss = two_batch(first, second, SMALL, BIG)
    wrong = float((ss / g2s).mean())
    assert abs(wrong / 40 - 1) > 0.2
    found = noise_scale(first, second, small=SMALL, big=BIG, bootstrap=0)
    assert found.b_simple == pytest.approx(40, rel=0.05)
    moving = NoiseScale(decay=0.9999)
    for g2, s in zip(g2s, ss, strict=True):
        moving.update(g2, s)
    assert moving.b_simple == pytest.approx(40, rel=0.05)


def test_two_batch_inverts_the_two_equations_exactly() -> None:
    for g2, s in ((1.0, 2.0), (0.3, 70.0)):
        found = two_batch(g2 + s / 3, g2 + s / 17, 3, 17)
        assert found == pytest.approx((g2, s), rel=1e-12)


def test_moving_averages_begin_without_bias_and_follow_what_drifts() -> None:
    moving = NoiseScale(decay=0.9)
    assert (moving.g2, moving.s, moving.b_simple) == (None, None, None)
    moving.update(2.0, 6.0)
    assert moving.g2 == pytest.approx(2)
    assert moving.s == pytest.approx(6)
    moving.update(4.0, 6.0)
    assert moving.g2 == pytest.approx((0.9 * 2 + 4) / 1.9)
    for _ in range(200):
        moving.update(1.0, 10.0)
    assert moving.b_simple == pytest.approx(10, rel=1e-6)
    other = NoiseScale(decay=0.9)
    other.restore(moving.state())
    other.update(5.0, 1.0)
    moving.update(5.0, 1.0)
    assert other.b_simple == moving.b_simple
    with pytest.raises(ConfigError, match="decay is 1"):
        NoiseScale(decay=1)


def test_what_is_not_resolved_is_no_batch() -> None:
    lost = noise_scale([10.0, 10.0, 9.0] * 2, [0.1, 0.2, 0.1] * 2, small=1, big=64, bootstrap=100)
    assert lost.g2 < 0
    assert lost.b_simple is None
    assert lost.interval is not None
    assert lost.interval[0] > 100  # what can be said: it is no smaller than this
    assert lost.interval[1] is None
    assert "not resolved yet" in lost.warnings[0]
    assert noise_scale([10.0] * 6, [0.1] * 6, small=1, big=64).interval is None
    still = noise_scale([1.0, 1.0], [1.1, 1.2], small=1, big=64, bootstrap=0)
    assert still.s < 0
    assert still.b_simple is None
    assert "tr(Sigma)" in still.warnings[0]
    moving = NoiseScale()
    moving.update(-1.0, 3.0)
    assert moving.b_simple is None


def test_a_wide_interval_is_called_wide_and_one_without_end_open() -> None:
    first, second = drawn(30, ratio=2000.0, seed=1)
    found = noise_scale(first, second, small=SMALL, big=BIG)
    assert found.warnings
    assert found.interval is None or found.interval[1] is None or found.interval[1] > 10 * found.interval[0]


def test_fewer_than_six_pairs_are_too_few_for_an_interval() -> None:
    """Their whole range misses the middle too often; of such intervals a fifth and more miss the truth."""
    one = noise_scale([3.0], [2.0], small=1, big=2)
    assert one.b_simple == pytest.approx(2)
    assert one.interval is None
    assert one.warnings[0] == "1 pair is too few for an interval of 95 %. Measure 6 or more."
    for pairs in (2, 5, 6):
        found = noise_scale(*drawn(pairs, ratio=10.0), small=SMALL, big=BIG)
        assert (found.interval is None) == (pairs < 6)
        assert any("too few for an interval" in one for one in found.warnings) == (pairs < 6)
    assert noise_scale(*drawn(6, ratio=10.0), small=SMALL, big=BIG, level=0.99).interval is None
    assert noise_scale(*drawn(2, ratio=10.0), small=SMALL, big=BIG, level=0.5).interval is not None


def test_the_interval_covers_and_is_reproducible() -> None:
    covered = 0
    for seed in range(60):
        first, second = drawn(300, ratio=10.0, seed=seed)
        found = noise_scale(first, second, small=SMALL, big=BIG, bootstrap=200)
        assert found.interval is not None
        covered += found.interval[0] < 10 < (found.interval[1] or math.inf)
    assert 51 <= covered <= 60
    assert noise_scale(first, second, small=SMALL, big=BIG) == noise_scale(first, second, small=SMALL, big=BIG)


@pytest.mark.parametrize(("small", "big"), [(4, 4), (8, 4), (0, 4), ([1, 4], [4, 4])])
def test_two_sizes_are_needed(small: Any, big: Any) -> None:
    with pytest.raises(ConfigError, match="two sizes"):
        noise_scale([2.0, 2.0], [1.0, 1.0], small=numpy.asarray(small), big=numpy.asarray(big))


def test_bad_norms_are_refused_by_number() -> None:
    with pytest.raises(DataError, match="pair 2 is nan"):
        noise_scale([2.0, math.nan], [1.0, 1.0], small=1, big=2)
    with pytest.raises(DataError, match="big squared norm of pair 1 is -1"):
        noise_scale([2.0], [-1.0], small=1, big=2)
    with pytest.raises(DataError, match="2 small and 1 big"):
        noise_scale([2.0, 1.0], [1.0], small=1, big=2)
    with pytest.raises(ConfigError, match="level is 2"):
        noise_scale([2.0], [1.0], small=1, big=2, level=2)


def rank_steps(counts: list[list[int]], *, mode: str, seed: int = 0) -> tuple[list[RankStep], list[Any], Any]:
    """What ranks see of one step whose every target has a gradient of its own, and the true mean gradients."""
    rng = numpy.random.default_rng(seed)
    grads = [[rng.standard_normal((n, 5)) + 1 for n in rank] for rank in counts]
    total, processes = sum(map(sum, counts)), len(counts)
    left = []
    for rank in grads:
        own = sum(map(len, rank))
        scale = {"shared": processes / total, "own": 1 / own}.get(mode)
        left.append([g.sum(0) * scale if scale else g.mean(0) / len(rank) for g in rank])
    big = sum(sum(rank) for rank in left) / processes
    steps = [
        RankStep(
            float((parts[0] ** 2).sum()), float((big**2).sum()), len(rank[0]), sum(map(len, rank)),
            sum(1 / len(g) for g in rank), len(rank), 2.0 * sum(map(len, rank)),
        )
        for rank, parts in zip(grads, left, strict=True)
    ]  # fmt: skip
    return steps, [rank[0].mean(0) for rank in grads], big


@pytest.mark.parametrize("mode", ["shared", "own", "means"])
@pytest.mark.parametrize("counts", [[[3, 7, 2]], [[4, 4], [4, 4]], [[3, 5], [6, 2]]])
def test_divisions_are_undone(mode: str, counts: list[list[int]]) -> None:
    steps, firsts, big = rank_steps(counts, mode=mode)
    pair = pair_of_step(steps, is_weighted=mode != "means", is_shared=mode == "shared", accumulated=True)
    assert pair is not None
    assert pair.small_sq == pytest.approx(numpy.mean([(g**2).sum() for g in firsts]), rel=1e-12)
    assert pair.big_sq == pytest.approx((big**2).sum(), rel=1e-12)
    assert pair.small == pytest.approx(2 * len(counts) / sum(1 / rank[0] for rank in counts))
    # The variance of the big mean, if a target's is 1: the sum of its squared weights.
    weights = {
        "shared": [1 / sum(map(sum, counts)) for rank in counts for n in rank for _ in range(n)],
        "own": [1 / (len(counts) * sum(rank)) for rank in counts for n in rank for _ in range(n)],
        "means": [1 / (len(counts) * len(rank) * n) for rank in counts for n in rank for _ in range(n)],
    }[mode]
    assert pair.big == pytest.approx(2 / sum(weight**2 for weight in weights))


def test_a_step_without_two_sizes_or_with_no_numbers_gives_no_pair() -> None:
    one = RankStep(1.0, 1.0, 8, 8, 1 / 8, 1, 8)
    options: dict[str, bool] = {"is_weighted": True, "is_shared": True, "accumulated": True}
    assert pair_of_step([one], **options) is None
    assert pair_of_step([one, one], **options) is not None
    assert pair_of_step([one._replace(big_sq=math.inf), one], **options) is None
    assert pair_of_step([one._replace(small_sq=math.nan), one], **options) is None
    assert pair_of_step([one._replace(first=0), one], **options) is None
