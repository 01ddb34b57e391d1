"""Writing an answer: all of it at once, again and again, and each time the least certain tokens are masked anew.

Algorithm 2 of the paper with the details of its code (section 2.7 of the specification): tokens are always the most
probable ones, only the order is noisy; with `revise` every token is predicted anew at every step. No loop over rows,
and nothing waits for the device between two steps; only with a `threshold` each one does, to see if all is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tenon.core.errors import DataError
from tenon.core.noise import gumbel, streams, uniform
from tenon.methods.mdm.config import DecodeConfig

__all__ = ["Sampled", "Turn", "fixed_at", "infill", "masked_after", "sample", "turns"]

Logits = Callable[[Tensor], Tensor]
"""Gives [rows, seq, vocab] for ids [rows, seq], aligned with the tokens they predict."""


@dataclass(frozen=True)
class Sampled:
    """What was written, and how."""

    sequences: Int[Tensor, "rows seq"]
    """Prompt and answer; no MASK is left."""
    scores: Float[Tensor, "rows seq"]
    """How sure the model was of each token in its last forward (log-probability, lead or negative entropy)."""
    forwards: int
    """Passes through the model."""
    history: tuple[Int[Tensor, "rows seq"], ...] = ()
    """The text after each step, MASK where it was masked; only if it was asked for."""


class Turn(NamedTuple):
    """What one step does to a row."""

    block: int
    """The block that it writes."""
    left: int
    """Steps that this block has after it."""
    rate: float
    """How much of the block stays masked [share], before it is cut to whole tokens; also the scale of the noise."""
    masked: int
    """Tokens of the block that stay masked."""
    written: int
    """By how many they are fewer than before."""


def masked_after(tokens: int, left: int, steps: int, schedule: str) -> int:
    """Give how many tokens stay masked when `left` of `steps` steps are still to come.

    Linear: `floor(tokens * left / steps)` in integers, since a product of floats may fall on the wrong side of a whole
    number.

    >>> [masked_after(82, left, 20, "linear") for left in (19, 18, 1, 0)]
    [77, 73, 4, 0]
    """
    return tokens * left // steps if schedule == "linear" else math.floor(tokens * _rate(left, steps, schedule))


def turns(tokens: int, config: DecodeConfig) -> list[Turn]:
    """Give what every step does to a row of which so many tokens are to be written.

    Of S steps, block `b` of B has those from `floor(b S / B)` on, until the next one's begin. With a threshold the row
    is one block here, since nobody knows beforehand when a block will be written.

    Raises:
        DataError: There are more blocks than steps.
    """
    size = max(tokens, 1) if config.block is None or config.threshold is not None else config.block
    blocks = max(-(-tokens // size), 1)
    if blocks > config.steps:
        raise DataError(
            f"{tokens} tokens are {blocks} blocks of {size}, but DecodeConfig.steps is {config.steps}; give a step to "
            "every block at least, or make the blocks larger."
        )
    made = []
    for block in range(blocks):
        steps = (block + 1) * config.steps // blocks - block * config.steps // blocks
        before = own = min(size, tokens - block * size)
        for left in reversed(range(steps)):
            masked = masked_after(own, left, steps, config.schedule)
            made.append(Turn(block, left, _rate(left, steps, config.schedule), masked, before - masked))
            before = masked
    return made


@torch.inference_mode()
def sample(
    model: Logits,
    ids: Int[Tensor, "rows seq"],
    is_maskable: Bool[Tensor, "rows seq"],
    config: DecodeConfig | None = None,
    *,
    mask_id: int,
    forbidden: Sequence[int] = (),
    keys: Int[Tensor, " rows"] | None = None,
    seed: int = 0,
    keep_history: bool = False,
) -> Sampled:
    """Write what is to be written in every row.

    Args:
        model: Gives logits aligned with the tokens they predict; `MDMForMaskedDiffusion.predict`.
        ids: Prompts; what stands at places to be written does not matter.
        is_maskable: Those places.
        config: Steps, order, noise.
        mask_id: Id of MASK.
        forbidden: Ids that are never written, besides MASK (if `config.suppress`).
        keys: Name each row's noise, so that a row is written alike in any batch; the row's index if none are given.
        seed: Seed of the noise.
        keep_history: Keep the text after each step.

    Raises:
        DataError: A row of `ids` and of `is_maskable` differ in shape, or has more blocks than there are steps.
    """
    config = config or DecodeConfig()
    if ids.shape != is_maskable.shape:
        raise DataError(
            f"ids are {tuple(ids.shape)}, but is_maskable is {tuple(is_maskable.shape)}; give equal shapes."
        )
    keys = torch.arange(len(ids), device=ids.device) if keys is None else keys.to(ids.device)
    noise = streams(keys, seed, config.steps)
    banned = torch.tensor(sorted({mask_id, *forbidden}) if config.suppress else [], dtype=torch.long, device=ids.device)
    counts, which = is_maskable.sum(1).unique(return_inverse=True)
    plans = [turns(count, config) for count in counts.tolist()]  # waits here alone: from here on all sizes are known

    def planned(name: str) -> Tensor:
        table = [[getattr(turn, name) for turn in plan] for plan in plans]
        return torch.tensor(table, device=ids.device).reshape(-1, config.steps)[which].T[:, :, None]

    blocks, lefts, masked, rates = map(planned, ("block", "left", "masked", "rate"))
    block_of = (is_maskable.cumsum(1) - 1) // (config.block or ids.shape[1])
    is_committed = not config.revise or config.order == "random"
    can_skip = not config.revise and config.order != "random" and config.threshold is None
    text, is_masked = ids.masked_fill(is_maskable, mask_id), is_maskable
    scores = torch.zeros(ids.shape, device=ids.device)
    history, forwards = [], 0
    for step, left in enumerate(reversed(range(config.steps))):
        if can_skip and not any(plan[step].written for plan in plans):  # the text would stay as it is
            if keep_history:
                history.append(text)
            continue
        if config.threshold is None:
            block = blocks[step]
        elif is_masked.any():  # a wait
            block = block_of.masked_fill(~is_masked, ids.shape[1]).amin(1, keepdim=True)  # the first unfinished one
        else:
            break
        scores, found, best = _best(model(text), banned, config.order)
        forwards += 1
        is_turn = is_maskable & (block_of == block)
        if config.threshold is not None and left == 0:
            is_turn = is_maskable & (block_of >= block)
        is_open = is_turn & is_masked if is_committed else is_turn
        certainty = scores
        if config.noise and config.order != "random":
            certainty = scores + config.noise * rates[step] * gumbel(noise[left], ids.shape[1])
        if config.order == "random":
            again = is_open & (uniform(noise[left], ids.shape[1]) >= 1 / (lefts[step] + 1))
        elif config.threshold is None:
            again = _least(certainty.masked_fill(~is_open, math.inf), masked[step])
        else:
            is_low = is_open & (best <= math.log(config.threshold))
            at_most = (is_turn & is_masked).sum(1, keepdim=True) - 1 if left else torch.zeros_like(block)
            again = _least(certainty.masked_fill(~is_low, math.inf), is_low.sum(1, keepdim=True).minimum(at_most))
        is_masked = again | (is_masked & ~is_turn)
        text = torch.where(is_open, found, text).masked_fill(is_masked, mask_id)
        if keep_history:
            history.append(text)
    return Sampled(text, scores, forwards, tuple(history))


def infill(
    model: Logits, ids: Int[Tensor, "rows seq"], config: DecodeConfig | None = None, *, mask_id: int, **options: Any
) -> Sampled:
    """Fill in a text wherever it has MASK, and leave all else as it is; arguments as in `sample`.

    Raises:
        DataError: There is no MASK.
    """
    is_masked = ids == mask_id
    if not is_masked.any():
        raise DataError(f"No token of ids is MASK ({mask_id}), so there is nothing to fill in; put it where text is.")
    return sample(model, ids, is_masked, config, mask_id=mask_id, **options)


def fixed_at(
    history: Sequence[Int[Tensor, "rows seq"]], is_maskable: Bool[Tensor, "rows seq"]
) -> Int[Tensor, "rows seq"]:
    """Give the step, counted from 1, since which every written token is what it is in the end; 0 for the others.

    Args:
        history: The text after each step (`Sampled.history`).
        is_maskable: What was written.

    >>> fixed_at([torch.tensor([[7, 2, 5]]), torch.tensor([[7, 3, 2]]), torch.tensor([[7, 3, 5]])],
    ...          torch.tensor([[False, True, True]])).tolist()
    [[0, 2, 3]]
    """
    is_final = torch.stack([text == history[-1] for text in history])
    return (len(history) + 1 - is_final.flip(0).long().cumprod(0).sum(0)) * is_maskable


def _rate(left: int, steps: int, schedule: str) -> float:
    if not left:
        return 0.0
    return left / steps if schedule == "linear" else math.cos((steps - left) / steps * math.pi / 2)


def _best(logits: Tensor, banned: Tensor, order: str) -> tuple[Tensor, Tensor, Tensor]:
    """Give how sure the model is of its best token at every place, that token, and its log-probability.

    All in float32, so that few tie.
    """
    logits = logits.float()
    if len(banned):  # before the softmax: the others' probabilities then sum to 1
        logits = logits.index_fill(-1, banned, -math.inf)
    logp = logits.log_softmax(-1)
    best, found = logp.max(-1)
    if order == "margin":
        two = logp.topk(2, -1).values.exp()
        return two[..., 0] - two[..., 1], found, best
    if order == "entropy":
        return (logp.exp() * logp.masked_fill(logp == -math.inf, 0)).sum(-1), found, best
    return best, found, best


def _least(certainty: Float[Tensor, "rows seq"], count: Int[Tensor, "rows 1"]) -> Bool[Tensor, "rows seq"]:
    """Mark the `count` least certain places of each row; of equal ones the first."""
    rank = certainty.argsort(dim=1, stable=True).argsort(dim=1)
    return rank < count
