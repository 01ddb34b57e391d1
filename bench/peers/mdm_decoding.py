"""Other ways of writing an answer with the same model, each written as its authors write it; what ours is timed beside.

They take the forward as a function, so that only what is around it differs; none prints or decodes on its way, though
the released code does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from tenon.core.models.cache import cache_argument

Predict = Callable[[Tensor], Tensor]


@torch.no_grad()
def published_loop(
    predict: Predict, ids: Tensor, is_maskable: Tensor, *, steps: int, noise: float, mask_id: int, never: Sequence[int]
) -> Tensor:
    """Write as algorithm 2 of the paper does in its released code: everything anew at each step, then rows are sorted.

    Log-probabilities of every place, prompts among them, whose scores are then set to a number that sorts last; the
    least certain places are those below the score at the cut. Equal scores at the cut are both left written.
    """
    text = ids.masked_fill(is_maskable, mask_id)
    for left in range(steps - 1, -1, -1):
        logits = predict(text)
        for token in never:
            logits[:, :, token] = -torch.inf
        score, best = logits.float().log_softmax(-1).max(-1)
        written = text.masked_scatter(is_maskable, best[is_maskable])
        if left == 0:
            break
        rate = left / steps
        count = (is_maskable.sum(1, keepdim=True) * rate).long()
        score = score.masked_fill(~is_maskable, 1000.0)
        if noise:
            gumbel = -torch.log(-torch.log(torch.rand_like(score) + 1e-8) + 1e-8)
            score = score + noise * rate * gumbel
        cut = score.sort(-1).values.gather(1, count)
        text = written.masked_fill(score < cut, mask_id)
    return written


@torch.no_grad()
def row_by_row(
    predict: Predict, ids: Tensor, is_maskable: Tensor, *, steps: int, mask_id: int, never: Sequence[int]
) -> Tensor:
    """Write as the samplers of LLaDA and dllm do: what is written stays, and each row picks its surest places itself.

    How many are written at each step is laid out before, row by row too; here by our schedule, so that the texts can be
    compared.
    """
    text = ids.masked_fill(is_maskable, mask_id)
    plan = torch.zeros(len(ids), steps, dtype=torch.long, device=ids.device)
    for row, total in enumerate(is_maskable.sum(1).tolist()):
        still = [total * left // steps for left in range(steps, -1, -1)]
        plan[row] = torch.tensor([before - after for before, after in pairwise(still)])
    for step in range(steps):
        is_masked = text == mask_id
        logits = predict(text)
        for token in never:
            logits[:, :, token] = -torch.inf
        best = logits.argmax(-1)
        sure = logits.softmax(-1).gather(-1, best[..., None])[..., 0]
        sure = torch.where(is_masked, sure, -torch.inf)
        is_chosen = torch.zeros_like(is_masked)
        for row in range(len(text)):
            places = sure[row].topk(int(plan[row, step])).indices
            is_chosen[row, places] = True
        text[is_chosen] = best[is_chosen]
    return text


@torch.inference_mode()
def left_to_right(model: Any, prompts: Tensor, *, new: int) -> Tensor:
    """Write with an autoregressive model and its cache: greedy, without what `generate` does around each token."""
    name, cache = cache_argument(model), DynamicCache(config=model.config)
    token, found = prompts, []
    for _ in range(new):
        logits = model(token, use_cache=True, logits_to_keep=1, **{name: cache}).logits
        token = logits[:, -1:].argmax(-1)
        found.append(token)
    return torch.cat(found, 1)
