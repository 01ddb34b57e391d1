"""The slow, obvious twins: one row, one place at a time, as section 2 of the specification says it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tenon.core.noise import gumbel, streams, uniform
from tenon.methods.mdm.config import DecodeConfig, MDMConfig

__all__ = ["slow_loss", "slow_sample"]


def slow_loss(logits: Tensor, ids: Tensor, is_masked: Tensor, time: Tensor, config: MDMConfig) -> float:
    """Give the loss of a batch, normalised by its masked tokens."""
    total, count = 0.0, 0
    for row in range(len(ids)):
        for place in range(ids.shape[1]):
            if not is_masked[row, place]:
                continue
            u = -float(logits[row, place].double().log_softmax(-1)[ids[row, place]])
            t, steps = float(time[row]), config.steps
            weight = {"linear": 1 - t + (1 / steps if steps else 0), "elbo": 1 / t, "none": 1.0}[config.time_weight]
            if config.loss_scale == "official" and steps:
                weight *= {"linear": steps, "elbo": 1 / steps, "none": 1}[config.time_weight]
            total += weight * config.token_alpha * (1 - math.exp(-u)) ** config.token_beta * u
            count += 1
    return total / count if count else 0.0


def slow_sample(
    model: Callable[[Tensor], Tensor],
    ids: list[int],
    maskable: list[bool],
    config: DecodeConfig,
    *,
    mask_id: int,
    key: int = 0,
    history: list[list[int]] | None = None,
) -> list[int]:
    """Write one row; `history` is filled with the text after each step."""
    places = [place for place, is_one in enumerate(maskable) if is_one]
    text = [mask_id if is_one else token for token, is_one in zip(ids, maskable, strict=True)]
    size = config.block or len(places) or 1
    blocks = [places[start : start + size] for start in range(0, len(places), size)] or [[]]
    if config.threshold is None:
        left = config.steps
        for number, block in enumerate(blocks):
            own = (number + 1) * config.steps // len(blocks) - number * config.steps // len(blocks)
            for still in reversed(range(own)):
                left -= 1
                _step(model, text, block, config, mask_id, key, left, still, own)
                if history is not None:
                    history.append(list(text))
        return text
    for left in reversed(range(config.steps)):
        unfinished = [block for block in blocks if any(text[place] == mask_id for place in block)]
        if unfinished:
            block = unfinished[0] if left else [place for block in unfinished for place in block]
            _step(model, text, block, config, mask_id, key, left, left, config.steps)
    return text


def _step(
    model: Callable[[Tensor], Tensor],
    text: list[int],
    places: list[int],
    config: DecodeConfig,
    mask_id: int,
    key: int,
    left: int,
    own_left: int,
    own: int,
) -> None:
    """Write the places of a block in the step that has `left` after it, `own_left` of the block's `own`."""
    logits = model(torch.tensor([text]))[0].float()
    score, best, likely = {}, {}, {}
    for place in places:
        logp = logits[place].clone()
        if config.suppress:
            logp[mask_id] = -math.inf
        logp = logp.log_softmax(-1)
        best[place], likely[place] = int(logp.argmax()), math.exp(float(logp.max()))
        ordered = sorted(logp.exp().tolist(), reverse=True)
        score[place] = {
            "topk": float(logp.max()),
            "random": 0.0,
            "margin": ordered[0] - ordered[1],
            "entropy": sum(p * math.log(p) for p in ordered if p > 0),
        }[config.order]
    still = [place for place in places if text[place] == mask_id]
    opened = places if config.revise and config.order != "random" else still
    for place in opened:
        text[place] = best[place]
    if own_left == 0:
        return
    rate, count = own_left / own, len(places) * own_left // own
    if config.schedule == "cosine":
        rate = math.cos((own - own_left) / own * math.pi / 2)
        count = math.floor(len(places) * rate)
    stream = streams(torch.tensor([key]), 0, config.steps)[left]
    noise = gumbel(stream, len(text))[0]
    certainty = {place: score[place] + config.noise * rate * float(noise[place]) for place in places}
    if config.order == "random":
        draws = uniform(stream, len(text))[0]
        again = [place for place in still if float(draws[place]) >= 1 / (own_left + 1)]
    elif config.threshold is None:
        again = sorted(opened, key=lambda place: (certainty[place], place))[:count]
    else:
        unsure = [place for place in opened if likely[place] <= config.threshold]
        again = sorted(unsure, key=lambda place: (certainty[place], place))[: len(still) - 1]
    for place in again:
        text[place] = mask_id
