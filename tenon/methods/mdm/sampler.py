"""Writing an answer: all of it at once, again and again, and each time the least certain tokens are masked anew.

Algorithm 2 of the paper with the details of its code (section 2.7 of the specification): tokens are always the most
probable ones, only the order is noisy; with `revise` every token is predicted anew at every step. No loop over rows,
and nothing waits for the device between two steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tenon.core.errors import DataError
from tenon.methods.mdm.config import DecodeConfig
from tenon.methods.mdm.noise import gumbel, uniform

__all__ = ["Sampled", "masked_after", "sample"]

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


def masked_after(maskable: Int[Tensor, " rows"], left: int, config: DecodeConfig) -> Int[Tensor, " rows"]:
    """Give how many tokens of each row stay masked when `left` steps are still to come.

    Linear: `floor(n * left / steps)` in integers, since a product of floats may fall on the wrong side of a whole
    number.
    """
    if config.schedule == "linear":
        return maskable * left // config.steps
    rate = math.cos((config.steps - left) / config.steps * math.pi / 2)
    return (maskable.double() * rate).floor().long() if left else torch.zeros_like(maskable)


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
        DataError: A row of `ids` and of `is_maskable` differ in shape.
    """
    config = config or DecodeConfig()
    if ids.shape != is_maskable.shape:
        raise DataError(
            f"ids are {tuple(ids.shape)}, but is_maskable is {tuple(is_maskable.shape)}; give equal shapes."
        )
    keys = torch.arange(len(ids), device=ids.device) if keys is None else keys.to(ids.device)
    keys = keys ^ seed
    banned = torch.tensor(sorted({mask_id, *forbidden}) if config.suppress else [], dtype=torch.long, device=ids.device)
    maskable = is_maskable.sum(1)
    counts = sorted(set(maskable.tolist()))  # the one wait: from here on all sizes are known
    text, is_masked = ids.masked_fill(is_maskable, mask_id), is_maskable
    scores = torch.zeros(ids.shape, device=ids.device)
    history, forwards = [], 0
    for left in reversed(range(config.steps)):
        if _reveals_nothing(counts, left, config):
            if keep_history:
                history.append(text)
            continue
        scores, found = _best(model(text), banned, config.order)
        forwards += 1
        is_open = is_maskable if config.revise and config.order != "random" else is_masked
        written = torch.where(is_open, found, text)
        if left == 0:
            is_masked = torch.zeros_like(is_masked)
        elif config.order == "random":
            is_masked = is_masked & (uniform(keys, left, ids.shape[1]) >= 1 / (left + 1))
        else:
            certainty = scores
            if config.noise:
                certainty = scores + config.noise * _rate(left, config) * gumbel(keys, left, ids.shape[1])
            is_masked = _least(certainty.masked_fill(~is_open, math.inf), masked_after(maskable, left, config))
        text = written.masked_fill(is_masked, mask_id)
        if keep_history:
            history.append(text)
    return Sampled(text, scores, forwards, tuple(history))


def _reveals_nothing(counts: Sequence[int], left: int, config: DecodeConfig) -> bool:
    """Say whether a step would leave every row as it is: then its forward is saved, with the same outcome."""
    if config.revise or config.order == "random":
        return False
    now = torch.tensor(counts)
    before = now if left + 1 == config.steps else masked_after(now, left + 1, config)
    return bool((before == masked_after(now, left, config)).all())


def _rate(left: int, config: DecodeConfig) -> float:
    share = left / config.steps
    return share if config.schedule == "linear" else math.cos((1 - share) * math.pi / 2)


def _best(logits: Tensor, banned: Tensor, order: str) -> tuple[Tensor, Tensor]:
    """Give how sure the model is of its best token at every place, and that token; in float32, so that few tie."""
    logits = logits.float()
    if len(banned):  # before the softmax: the others' probabilities then sum to 1
        logits = logits.index_fill(-1, banned, -math.inf)
    logp = logits.log_softmax(-1)
    best, found = logp.max(-1)
    if order == "margin":
        two = logp.topk(2, -1).values.exp()
        return two[..., 0] - two[..., 1], found
    if order == "entropy":
        return (logp.exp() * logp.masked_fill(logp == -math.inf, 0)).sum(-1), found
    return best, found


def _least(certainty: Float[Tensor, "rows seq"], count: Int[Tensor, " rows"]) -> Bool[Tensor, "rows seq"]:
    """Mark the `count` least certain places of each row; of equal ones the first."""
    rank = certainty.argsort(dim=1, stable=True).argsort(dim=1)
    return rank < count[:, None]
