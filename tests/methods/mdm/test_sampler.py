"""Writing: the published schedule exactly, ties broken, prompts kept, rows as they are alone, and the slow twin."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tenon.core.errors import ConfigError, DataError
from tenon.methods.mdm.config import DecodeConfig
from tenon.methods.mdm.reference import slow_sample
from tenon.methods.mdm.sampler import _least, masked_after, sample

MASK, VOCAB = 2, 11
EXACT = DecodeConfig(noise=0.0)
ORDERS = ("topk", "margin", "entropy", "random")


def stub(seed: int = 0) -> Callable[[Tensor], Tensor]:
    """A model that looks at the whole text: its logits are a hash of every token with every place."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(VOCAB, 16, generator=generator)
    places = torch.randn(64, 16, generator=generator)
    out = torch.randn(16, VOCAB, generator=generator)

    def logits(ids: Tensor) -> Tensor:
        states = tokens[ids] + places[: ids.shape[1]]
        # In the order of the row, so that a row's sum is the same in any batch.
        whole = torch.stack([row.double().sum(0) for row in states])[:, None].float()
        return torch.tanh(states + 0.3 * whole) @ out * 2

    return logits


def ragged(rows: int = 4, seq: int = 18) -> tuple[Tensor, Tensor]:
    """Prompts of different lengths before places to be written."""
    ids = torch.randint(3, VOCAB, (rows, seq), generator=torch.Generator().manual_seed(5))
    is_maskable = torch.arange(seq) >= torch.arange(3, 3 + 2 * rows, 2)[:, None]
    return ids, is_maskable


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_7_09_masked_counts_are_floors(schedule: Any) -> None:
    import math

    counts = torch.arange(1, 331)
    for steps in (1, 2, 7, 20, 100):
        config = DecodeConfig(steps=steps, schedule=schedule)
        for left in range(steps):
            found = masked_after(counts, left, config).tolist()
            if schedule == "linear":
                assert found == [n * left // steps for n in range(1, 331)]
            else:
                rate = math.cos((steps - left) / steps * math.pi / 2)
                assert found == [math.floor(n * rate) if left else 0 for n in range(1, 331)]
    published = [77, 73, 69, 65, 61, 57, 53, 49, 45, 41, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0]
    linear = DecodeConfig(steps=20)
    assert [int(masked_after(torch.tensor([82]), left, linear)) for left in reversed(range(20))] == published


@pytest.mark.parametrize(("noise", "revise"), list(itertools.product((0.0, 0.5), (True, False))))
def test_7_09_that_many_are_masked_after_each_step(noise: float, revise: bool) -> None:
    ids, is_maskable = ragged()
    config = DecodeConfig(steps=7, noise=noise, revise=revise)
    found = sample(stub(), ids, is_maskable, config, mask_id=MASK, keep_history=True)
    assert len(found.history) == 7
    for step, text in enumerate(found.history, 1):
        expected = masked_after(is_maskable.sum(1), 7 - step, config)
        assert torch.equal((text == MASK).sum(1), expected)


def test_7_10_of_equal_scores_the_first_stay_masked() -> None:
    certainty = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    found = _least(certainty, torch.tensor([2, 3]))
    assert found.tolist() == [[True, True, False, False], [True, True, False, True]]
    flat = sample(
        lambda ids: torch.zeros(*ids.shape, VOCAB),
        torch.zeros(1, 8, dtype=torch.long),
        torch.ones(1, 8, dtype=torch.bool),
        replace(EXACT, steps=4),
        mask_id=MASK,
        keep_history=True,
    )
    assert [(text == MASK).sum().item() for text in flat.history] == [6, 4, 2, 0]
    assert flat.history[0][0].tolist() == [MASK] * 6 + [0, 0]


@pytest.mark.parametrize(
    ("order", "steps", "noise", "revise"), list(itertools.product(ORDERS, (1, 3, 20, 40), (0.0, 0.5), (True, False)))
)
def test_7_11_prompts_are_kept_and_no_mask_is_left(order: Any, steps: int, noise: float, revise: bool) -> None:
    ids, is_maskable = ragged()
    config = DecodeConfig(order=order, steps=steps, noise=noise, revise=revise)
    found = sample(stub(), ids, is_maskable, config, mask_id=MASK)
    assert torch.equal(found.sequences[~is_maskable], ids[~is_maskable])
    assert not (found.sequences == MASK).any()


@pytest.mark.parametrize("order", ORDERS)
def test_7_11_a_row_is_written_as_it_is_alone(order: Any) -> None:
    ids, is_maskable = ragged()
    config = DecodeConfig(order=order, steps=6)
    whole = sample(stub(), ids, is_maskable, config, mask_id=MASK).sequences
    for row in range(len(ids)):
        alone = sample(stub(), ids[[row]], is_maskable[[row]], config, mask_id=MASK, keys=torch.tensor([row])).sequences
        assert torch.equal(alone[0], whole[row])


def test_noise_and_seed_change_the_order_alone() -> None:
    ids, is_maskable = ragged()
    config = replace(EXACT, steps=6, noise=5.0)
    texts = [
        sample(stub(), ids, is_maskable, config, mask_id=MASK, seed=seed, keep_history=True).history[0]
        for seed in (0, 1)
    ]
    assert not torch.equal(texts[0] == MASK, texts[1] == MASK)
    both = (texts[0] != MASK) & (texts[1] != MASK)
    assert torch.equal(texts[0][both], texts[1][both])  # the tokens are the most probable ones in either


def test_7_12_one_step_writes_the_most_probable_of_the_fully_masked_text() -> None:
    ids, is_maskable = ragged()
    found = sample(stub(), ids, is_maskable, replace(EXACT, steps=1), mask_id=MASK)
    logits = stub()(ids.masked_fill(is_maskable, MASK))
    logits[..., MASK] = -torch.inf
    assert torch.equal(found.sequences[is_maskable], logits.argmax(-1)[is_maskable])
    assert found.forwards == 1


def test_7_12_with_more_steps_than_tokens_each_step_writes_one() -> None:
    ids, is_maskable = ragged(rows=1)
    count = int(is_maskable.sum())
    config = replace(EXACT, steps=count, revise=False)
    found = sample(stub(), ids, is_maskable, config, mask_id=MASK, keep_history=True)
    assert [int((text == MASK).sum()) for text in found.history] == list(range(count - 1, -1, -1))
    # Twice as many steps: those that write nothing are not computed, and the outcome is the same.
    longer = sample(stub(), ids, is_maskable, replace(config, steps=2 * count), mask_id=MASK)
    assert longer.forwards == count
    assert torch.equal(longer.sequences, found.sequences)


@pytest.mark.parametrize(
    ("order", "schedule", "noise", "revise", "steps"),
    [
        *itertools.product(("topk", "margin", "entropy"), ("linear", "cosine"), (0.0, 0.5), (True, False), (5, 20)),
        *itertools.product(("random",), ("linear",), (0.5,), (True,), (1, 5, 20)),
    ],
)
def test_7_13_it_is_the_published_loop(order: Any, schedule: Any, noise: float, revise: bool, steps: int) -> None:
    ids, is_maskable = ragged()
    config = DecodeConfig(order=order, schedule=schedule, noise=noise, revise=revise, steps=steps)
    found = sample(stub(), ids, is_maskable, config, mask_id=MASK).sequences
    for row in range(len(ids)):
        slow = slow_sample(stub(), ids[row].tolist(), is_maskable[row].tolist(), config, mask_id=MASK, key=row)
        assert found[row].tolist() == slow


def test_7_13_revising_changes_what_is_written_and_committing_does_not() -> None:
    ids, is_maskable = ragged()

    def changes(revise: bool) -> int:
        config = replace(EXACT, steps=9, revise=revise)
        texts = sample(stub(), ids, is_maskable, config, mask_id=MASK, keep_history=True).history
        return sum(int(((before != MASK) & (before != after)).sum()) for before, after in itertools.pairwise(texts))

    assert changes(revise=False) == 0
    assert changes(revise=True) > 0


@pytest.mark.parametrize("order", ORDERS)
def test_7_14_an_oracle_is_always_right(order: Any) -> None:
    truth = torch.randint(3, VOCAB, (4, 18), generator=torch.Generator().manual_seed(8))
    _, is_maskable = ragged()
    oracle = torch.nn.functional.one_hot(truth, VOCAB).float() * 30
    for steps in (1, 4, 30):
        config = DecodeConfig(order=order, steps=steps)
        assert torch.equal(sample(lambda _: oracle, truth, is_maskable, config, mask_id=MASK).sequences, truth)


def test_forbidden_tokens_are_not_written_and_the_rest_is_renormalised() -> None:
    logits = torch.zeros(1, 2, VOCAB)
    logits[0, :, MASK] = 9.0
    logits[0, 0, 5] = 8.0
    logits[0, 1, 6] = 0.5
    ids, every = torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool)
    found = sample(lambda _: logits, ids, every, replace(EXACT, steps=1), mask_id=MASK, forbidden=[6])
    assert found.sequences.tolist() == [[5, 0]]
    assert float(found.scores[0, 0]) > -0.01  # sure, once MASK is out of the way
    parity = sample(lambda _: logits, ids, every, replace(EXACT, steps=1, suppress=False), mask_id=MASK)
    assert parity.sequences.tolist() == [[MASK, MASK]]  # as the released code may


def test_bad_input() -> None:
    with pytest.raises(ConfigError, match="steps"):
        DecodeConfig(steps=0)
    with pytest.raises(DataError, match="equal shapes"):
        sample(stub(), torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 4, dtype=torch.bool), mask_id=MASK)
