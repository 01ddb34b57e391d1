"""Who stays (properties 7.13 and 7.14): the batched schedule against lists that are shuffled about in Python."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from tenon.methods.sepllm.config import LayerRule, SepConfig
from tenon.methods.sepllm.reference import simulate
from tenon.methods.sepllm.schedule import Schedule, schedule

SETTINGS = {
    "plain": SepConfig(init=4, sep_capacity=6, local=8, capacity=24, prefill="stream"),
    "tight": SepConfig(init=1, sep_capacity=3, local=2, capacity=7, prefill="stream"),
    "latest separators only": SepConfig(
        init=2, sep_capacity=5, local=4, capacity=16, prefill="stream", accumulate=False
    ),
    "growing": SepConfig(init=2, sep_capacity=3, local=4, capacity=12, prefill="stream", cap_separators=False),
    "no initial tokens": SepConfig(init=0, sep_capacity=4, local=5, capacity=15, prefill="stream"),
}


def patterns(steps: int) -> list[list[bool]]:
    """Ten ways in which separators can fall: none, all, regular, rare, random, in bursts, at the start, late."""
    rng = random.Random(0)
    bits = [[False] * steps, [True] * steps]
    bits += [[i % every == every - 1 for i in range(steps)] for every in (2, 7, 31)]
    bits += [[rng.random() < share for _ in range(steps)] for share in (0.05, 0.115, 0.4)]
    bits += [[i // 50 % 2 == 0 and i % 2 == 0 for i in range(steps)], [i < 20 or i > steps // 2 for i in range(steps)]]
    return bits


def rule(config: SepConfig) -> LayerRule:
    return config.rule()


def step(state: Schedule, is_sep: torch.Tensor, is_real: torch.Tensor | None = None) -> None:
    state.commit(state.plan(is_sep, is_real), is_real)


def stored(state: Schedule, row: int) -> list[int]:
    return state.slots.position[row, : state.slots.length[row]].tolist()


LONG = [(name, evict, 5000) for name in SETTINGS for evict in ("after", "before")]


@pytest.mark.parametrize(
    ("name", "evict", "steps"),
    [
        *((name, evict, 400) for name, evict, _ in LONG),
        LONG[0],
        *(pytest.param(*case, marks=pytest.mark.slow) for case in LONG[1:]),
    ],
)
def test_7_13_kept_tokens_equal_the_simulator(name: str, evict: str, steps: int) -> None:
    config = replace(SETTINGS[name], evict=evict)
    rows = patterns(steps)
    expected = [simulate(bits, config) for bits in rows]
    state = schedule(rule(config), len(rows), torch.device("cpu"))
    bits = torch.tensor(rows)
    sizes = []
    for token in range(steps):
        step(state, bits[:, token : token + 1])
        if token < 400 or token % 50 == 49:  # comparing takes longer than the step: a fault that lasts is found
            for row, steps_of_row in enumerate(expected):
                assert stored(state, row) == steps_of_row[token].kept
        sizes.append(max(state.slots.length))
    if config.cap_separators:
        assert config.capacity is not None
        assert max(sizes) <= config.capacity


def test_7_13_mean_size_in_the_steady_state() -> None:
    config = SETTINGS["plain"]
    state = schedule(rule(config), 1, torch.device("cpu"))
    sizes = []
    for _ in range(300):
        step(state, torch.tensor([[True]]))
        sizes.append(state.slots.length[0])
    steady = sizes[100:289]  # whole periods of c + 1 - (a + s + w) = 7 tokens
    assert sum(steady) / len(steady) == pytest.approx((4 + 6 + 8 + 24) / 2, abs=0.5)
    assert (min(steady), max(steady)) == (18, 24)


@pytest.mark.parametrize("evict", ["after", "before"])
def test_7_13_epochs_of_many_tokens_end_the_same(evict: str) -> None:
    config = replace(SETTINGS["plain"], evict=evict)
    for bits in patterns(500)[5:8]:
        state, start, forwards = schedule(rule(config), 1, torch.device("cpu")), 0, 0
        expected = simulate(bits, config)
        while start < len(bits):
            size = state.room(len(bits) - start, None)
            step(state, torch.tensor([bits[start : start + size]]))
            start, forwards = start + size, forwards + 1
            assert stored(state, 0) == expected[start - 1].kept
        assert forwards < 500 / 3


def test_7_14_the_last_separators_stay_in_order_and_nothing_twice() -> None:
    config = SETTINGS["plain"]
    bits = patterns(600)[6]
    state = schedule(rule(config), 1, torch.device("cpu"))
    for token, is_sep in enumerate(bits):
        step(state, torch.tensor([[is_sep]]))
        kept = stored(state, 0)
        assert kept == sorted(set(kept))
        assert kept[:4] == list(range(min(4, token + 1)))
    num_sep = int(state.num_sep[0])  # type: ignore[attr-defined]
    oldest_past = kept[4 + num_sep]
    gone = [token for token in range(4, oldest_past) if bits[token]]
    assert kept[4 : 4 + num_sep] == gone[-6:]


@pytest.mark.parametrize("name", ["plain", "growing"])
@pytest.mark.parametrize("evict", ["after", "before"])
def test_7_15_padded_rows_keep_what_they_keep_alone(name: str, evict: str) -> None:
    config = replace(SETTINGS[name], evict=evict)
    rows = [bits[: 90 - 13 * index] for index, bits in enumerate(patterns(90)[4:8])]
    padded = torch.tensor([[False] * (90 - len(bits)) + bits for bits in rows])
    is_real = torch.tensor([[False] * (90 - len(bits)) + [True] * len(bits) for bits in rows])
    state, start = schedule(rule(config), len(rows), torch.device("cpu")), 0
    while start < 90:
        size = state.room(min(11, 90 - start), is_real[:, start:])
        cut = slice(start, start + size)
        step(state, padded[:, cut], None if is_real[:, cut].all() else is_real[:, cut])
        start += size
    for row, bits in enumerate(rows):
        assert stored(state, row) == simulate(bits, config)[-1].kept


@pytest.mark.parametrize("prompt", [1, 9, 40])
@pytest.mark.parametrize("chunk", [1, 5])
def test_the_unbounded_cache_holds_exactly_what_is_visible(prompt: int, chunk: int) -> None:
    config = SepConfig(init=3, window=7)
    rows = patterns(80)[4:9]
    state, start = schedule(rule(config), len(rows), torch.device("cpu")), 0
    bits = torch.tensor(rows)
    expected = [simulate(row, config) for row in rows]
    while start < 80:
        size = min(prompt if start == 0 else chunk, 80 - start)
        step(state, bits[:, start : start + size])
        start += size
        for row, steps in enumerate(expected):
            assert sorted(stored(state, row)) == steps[start - 1].kept


def test_a_plan_that_is_not_committed_has_not_happened() -> None:
    state = schedule(rule(SETTINGS["tight"]), 1, torch.device("cpu"))
    for _ in range(7):
        step(state, torch.tensor([[True]]))
    before = (stored(state, 0), state.columns, int(state.num_sep[0]))  # type: ignore[attr-defined]
    state.plan(torch.tensor([[True]]), None)
    assert (stored(state, 0), state.columns, int(state.num_sep[0])) == before  # type: ignore[attr-defined]
