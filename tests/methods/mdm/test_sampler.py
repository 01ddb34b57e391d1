"""Writing: the published schedule exactly, ties broken, prompts kept, rows as they are alone, and the slow twin; the
same of the approximate ways, a threshold and blocks; filling in anywhere."""

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
from tenon.methods.mdm.sampler import _least, fixed_at, infill, masked_after, sample, turns

MASK, VOCAB = 2, 11
EXACT = DecodeConfig(noise=0.0)
ORDERS = ("topk", "margin", "entropy", "random")
APPROXIMATE: tuple[dict[str, Any], ...] = (
    {"block": 4},
    {"block": 4, "schedule": "cosine", "order": "margin"},
    {"block": 5, "order": "random"},
    {"threshold": 0.5},
    {"threshold": 0.3, "order": "entropy"},
    {"threshold": 0.5, "block": 4, "order": "margin"},
)
"""Rows of `ragged` have 9 to 15 tokens to be written: 2 to 4 blocks, the last one shorter."""


def stub(seed: int = 0, scale: float = 2.0) -> Callable[[Tensor], Tensor]:
    """A model that looks at the whole text: its logits are a hash of every token with every place."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(VOCAB, 16, generator=generator)
    places = torch.randn(64, 16, generator=generator)
    out = torch.randn(16, VOCAB, generator=generator)

    def logits(ids: Tensor) -> Tensor:
        states = tokens[ids] + places[: ids.shape[1]]
        # In the order of the row, so that a row's sum is the same in any batch.
        whole = torch.stack([row.double().sum(0) for row in states])[:, None].float()
        return torch.tanh(states + 0.3 * whole) @ out * scale

    return logits


def ragged(rows: int = 4, seq: int = 18) -> tuple[Tensor, Tensor]:
    """Prompts of different lengths before places to be written."""
    ids = torch.randint(3, VOCAB, (rows, seq), generator=torch.Generator().manual_seed(5))
    is_maskable = torch.arange(seq) >= torch.arange(3, 3 + 2 * rows, 2)[:, None]
    return ids, is_maskable


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_7_09_masked_counts_are_floors(schedule: Any) -> None:
    import math

    for steps in (1, 2, 7, 20, 100):
        for left in range(steps):
            found = [masked_after(n, left, steps, schedule) for n in range(1, 331)]
            if schedule == "linear":
                assert found == [n * left // steps for n in range(1, 331)]
            else:
                rate = math.cos((steps - left) / steps * math.pi / 2)
                assert found == [math.floor(n * rate) if left else 0 for n in range(1, 331)]
    published = [77, 73, 69, 65, 61, 57, 53, 49, 45, 41, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0]
    assert [masked_after(82, left, 20, "linear") for left in reversed(range(20))] == published


@pytest.mark.parametrize(("noise", "revise"), list(itertools.product((0.0, 0.5), (True, False))))
def test_7_09_that_many_are_masked_after_each_step(noise: float, revise: bool) -> None:
    ids, is_maskable = ragged()
    config = DecodeConfig(steps=7, noise=noise, revise=revise)
    found = sample(stub(), ids, is_maskable, config, mask_id=MASK, keep_history=True)
    assert len(found.history) == 7
    for step, text in enumerate(found.history, 1):
        expected = [masked_after(n, 7 - step, 7, "linear") for n in is_maskable.sum(1).tolist()]
        assert (text == MASK).sum(1).tolist() == expected


def test_7_10_of_equal_scores_the_first_stay_masked() -> None:
    certainty = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    found = _least(certainty, torch.tensor([[2], [3]]))
    assert found.tolist() == [[True, True, False, False], [True, True, False, True]]
    many = _least(torch.zeros(1, 3000), torch.tensor([[700]]))  # short rows are sorted in another, stable way
    assert many[0].nonzero()[:, 0].tolist() == list(range(700))
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


@pytest.mark.parametrize("options", APPROXIMATE)
@pytest.mark.parametrize(("steps", "noise", "revise"), list(itertools.product((4, 7, 40), (0.0, 0.5), (True, False))))
def test_7_11_approximate_ways_keep_prompts_and_leave_no_mask(
    options: dict[str, Any], steps: int, noise: float, revise: bool
) -> None:
    ids, is_maskable = ragged()
    config = DecodeConfig(steps=steps, noise=noise, revise=revise, **options)
    found = sample(stub(scale=0.5), ids, is_maskable, config, mask_id=MASK)
    assert torch.equal(found.sequences[~is_maskable], ids[~is_maskable])
    assert not (found.sequences == MASK).any()


@pytest.mark.parametrize("options", APPROXIMATE)
@pytest.mark.parametrize(("steps", "noise", "revise"), list(itertools.product((5, 20), (0.0, 0.5), (True, False))))
def test_7_11_approximate_ways_write_a_row_as_it_is_alone_and_as_the_slow_twin(
    options: dict[str, Any], steps: int, noise: float, revise: bool
) -> None:
    ids, is_maskable = ragged()
    config = DecodeConfig(steps=steps, noise=noise, revise=revise, **options)
    whole = sample(stub(scale=0.5), ids, is_maskable, config, mask_id=MASK).sequences
    for row in range(len(ids)):
        alone = sample(
            stub(scale=0.5), ids[[row]], is_maskable[[row]], config, mask_id=MASK, keys=torch.tensor([row])
        ).sequences
        slow = slow_sample(stub(scale=0.5), ids[row].tolist(), is_maskable[row].tolist(), config, mask_id=MASK, key=row)
        assert whole[row].tolist() == alone[0].tolist() == slow


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
    found = sample(stub(), ids, is_maskable, config, mask_id=MASK, keep_history=True)
    for row in range(len(ids)):
        steps_of: list[list[int]] = []
        given = (ids[row].tolist(), is_maskable[row].tolist(), config)
        slow = slow_sample(stub(), *given, mask_id=MASK, key=row, history=steps_of)
        assert found.sequences[row].tolist() == slow
        assert [text[row].tolist() for text in found.history] == steps_of


def test_7_13_revising_changes_what_is_written_and_committing_does_not() -> None:
    ids, is_maskable = ragged()

    def changes(revise: bool) -> int:
        config = replace(EXACT, steps=9, revise=revise)
        texts = sample(stub(), ids, is_maskable, config, mask_id=MASK, keep_history=True).history
        return sum(int(((before != MASK) & (before != after)).sum()) for before, after in itertools.pairwise(texts))

    assert changes(revise=False) == 0
    assert changes(revise=True) > 0


@pytest.mark.parametrize("revise", [True, False])
def test_blocks_are_written_from_left_to_right_in_their_shares_of_the_steps(revise: bool) -> None:
    ids, is_maskable = ragged()
    config = replace(EXACT, steps=11, block=4, revise=revise)
    history = sample(stub(), ids, is_maskable, config, mask_id=MASK, keep_history=True).history
    assert len(history) == 11
    for row in range(len(ids)):
        places = is_maskable[row].nonzero()[:, 0].tolist()
        parts = [places[start : start + 4] for start in range(0, len(places), 4)]
        for number, part in enumerate(parts):
            first, end = number * 11 // len(parts), (number + 1) * 11 // len(parts)
            masked = [int((text[row, part] == MASK).sum()) for text in history]
            own = [masked_after(len(part), left, end - first, "linear") for left in reversed(range(end - first))]
            assert masked == [len(part)] * first + own + [0] * (11 - end)
            final = history[end - 1][row, part]
            assert all(torch.equal(text[row, part], final) for text in history[end:])  # later blocks revise it no more


@pytest.mark.parametrize("order", ORDERS)
def test_one_block_is_none_and_blocks_of_one_token_go_from_left_to_right(order: Any) -> None:
    ids, is_maskable = ragged()
    config = DecodeConfig(order=order, steps=15)
    whole = sample(stub(), ids, is_maskable, config, mask_id=MASK)
    one = sample(stub(), ids, is_maskable, replace(config, block=15), mask_id=MASK)
    assert torch.equal(one.sequences, whole.sequences)
    text = ids.masked_fill(is_maskable, MASK)
    for place in range(ids.shape[1]):  # what an autoregressive loop would do
        logits = stub()(text)
        logits[..., MASK] = -torch.inf
        text = text.where(~is_maskable | (torch.arange(18) != place), logits.argmax(-1))
    single = sample(stub(), ids, is_maskable, replace(config, block=1, revise=False), mask_id=MASK)
    assert torch.equal(single.sequences, text)


@pytest.mark.parametrize(("order", "tau"), list(itertools.product(("topk", "margin"), (0.4, 0.7, 1.0))))
def test_a_threshold_writes_all_above_it_and_one_at_least_and_then_stops(order: Any, tau: float) -> None:
    ids, is_maskable = ragged()
    asked: list[Tensor] = []

    def model(text: Tensor) -> Tensor:
        asked.append(text)
        return stub(scale=0.5)(text)

    config = replace(EXACT, steps=40, order=order, threshold=tau, revise=False)
    found = sample(model, ids, is_maskable, config, mask_id=MASK, keep_history=True)
    assert found.forwards == len(asked) == len(found.history) <= 15  # as many as the longest row has tokens
    assert (found.forwards == 15) == (tau == 1.0)
    singles = 0
    for before, after in zip(asked, found.history, strict=True):
        logits = stub(scale=0.5)(before)
        logits[..., MASK] = -torch.inf
        is_sure = logits.softmax(-1).amax(-1) > tau
        was, now = before == MASK, after == MASK
        assert not (now & is_sure).any()
        unfinished = was.any(1)
        assert ((was & ~now).sum(1) >= 1)[unfinished].all()
        lone = (was & ~now & ~is_sure).sum(1)
        assert (lone <= ~(was & is_sure).any(1)).all()  # one that is not sure only where none is
        singles += int(lone.sum())
    assert singles > 0


def test_a_threshold_revises_and_its_last_step_writes_what_is_left() -> None:
    ids, is_maskable = ragged()
    for tau in (0.4, 0.7):
        config = replace(EXACT, steps=6, threshold=tau)
        texts = sample(stub(scale=0.5), ids, is_maskable, config, mask_id=MASK, keep_history=True).history
        counts = torch.stack([(text == MASK).sum(1) for text in texts])
        assert ((counts[1:] < counts[:-1]) | (counts[1:] == 0)).all()  # written tokens are never fewer
        assert (counts[-1] == 0).all()
    changed = [((a != MASK) & (a != b)).any() for a, b in itertools.pairwise(texts)]
    assert any(changed)
    # A row that is done is let alone, whatever the others still do.
    for before, after in itertools.pairwise(texts):
        done = ~(before == MASK).any(1)
        assert torch.equal(before[done], after[done])


def test_infill_writes_where_mask_is_and_nowhere_else() -> None:
    ids = torch.randint(3, VOCAB, (3, 18), generator=torch.Generator().manual_seed(5))
    is_masked = torch.rand(3, 18, generator=torch.Generator().manual_seed(6)) < 0.4
    is_masked[1] = False  # a row without any
    text = ids.masked_fill(is_masked, MASK)
    found = infill(stub(), text, EXACT, mask_id=MASK)
    assert torch.equal(found.sequences[~is_masked], ids[~is_masked])
    assert not (found.sequences == MASK).any()
    assert torch.equal(found.sequences, sample(stub(), ids, is_masked, EXACT, mask_id=MASK).sequences)
    with pytest.raises(DataError, match=r"is MASK \(2\)"):
        infill(stub(), ids, mask_id=MASK)


def test_a_token_is_fixed_when_it_changes_no_more() -> None:
    ids, is_maskable = ragged()
    history = sample(stub(), ids, is_maskable, replace(EXACT, steps=9), mask_id=MASK, keep_history=True).history
    found = fixed_at(history, is_maskable)
    for row, place in itertools.product(range(4), range(18)):
        values = [int(text[row, place]) for text in history]
        step = next(step for step in range(9) if set(values[step:]) == {values[-1]}) + 1
        assert found[row, place] == (step if is_maskable[row, place] else 0)


@pytest.mark.parametrize("order", ORDERS)
def test_7_14_an_oracle_is_always_right(order: Any) -> None:
    truth = torch.randint(3, VOCAB, (4, 18), generator=torch.Generator().manual_seed(8))
    _, is_maskable = ragged()
    oracle = torch.nn.functional.one_hot(truth, VOCAB).float() * 30
    for steps in (1, 4, 30):
        config = DecodeConfig(order=order, steps=steps)
        assert torch.equal(sample(lambda _: oracle, truth, is_maskable, config, mask_id=MASK).sequences, truth)
    for options in APPROXIMATE:
        config = DecodeConfig(**options)
        assert torch.equal(sample(lambda _: oracle, truth, is_maskable, config, mask_id=MASK).sequences, truth)
    sure = sample(lambda _: oracle, truth, is_maskable, DecodeConfig(threshold=0.9), mask_id=MASK)
    assert sure.forwards == 1


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
    for options, message in (
        ({"block": 0}, "block is 0; it must be 1 or more"),
        ({"threshold": 0.0}, "above 0 and at most 1"),
        ({"threshold": 1.5}, "above 0 and at most 1"),
        ({"threshold": 0.9, "order": "random"}, "another with a threshold"),
    ):
        with pytest.raises(ConfigError, match=message):
            DecodeConfig(**options)
    with pytest.raises(DataError, match=r"15 tokens are 4 blocks of 4, but DecodeConfig\.steps is 3"):
        turns(15, DecodeConfig(steps=3, block=4))
    assert len(turns(15, DecodeConfig(steps=3, block=4, threshold=0.5))) == 3
    with pytest.raises(DataError, match="equal shapes"):
        sample(stub(), torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 4, dtype=torch.bool), mask_id=MASK)
