"""The slow, obvious twins: one pair, one token at a time, in float64, as section 2 of the specification says it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["slow_dpo", "slow_logp", "slow_rise"]


def slow_logp(model: Any, prompt: Sequence[int], completion: Sequence[int]) -> float:
    """Give `log p(c | p)`: the sum over the completion's tokens, each asked for on its own."""
    total, text = 0.0, list(prompt)
    for token in completion:
        with torch.no_grad():
            logits = model(torch.tensor([text])).logits[0, -1].double()
        total += float(logits.log_softmax(-1)[token])
        text.append(token)
    return total


def slow_dpo(chosen_ratio: float, rejected_ratio: float, beta: float) -> float:
    """Give `- log sigmoid( beta * (chosen_ratio - rejected_ratio) )`, of log-ratios `log p - log p_ref`."""
    return math.log1p(math.exp(-beta * (chosen_ratio - rejected_ratio)))


def slow_rise(
    policy: Any,
    reference: Any,
    rows: Sequence[dict[str, Any]],
    *,
    beta: float,
    nll_weight: float,
    nll_on: str = "all",
    nll_gate: str = "none",
) -> float:
    """Give the loss of rows of token ids."""
    total = 0.0
    for row in rows:
        chosen = slow_logp(policy, row["prompt_ids"], row["chosen_ids"])
        rejected = slow_logp(policy, row["prompt_ids"], row["rejected_ids"])
        ref_chosen = slow_logp(reference, row["prompt_ids"], row["chosen_ids"])
        ref_rejected = slow_logp(reference, row["prompt_ids"], row["rejected_ids"])
        total += slow_dpo(chosen - ref_chosen, rejected - ref_rejected, beta)
        kind = "edit" if row["is_edit"] else "full"
        if nll_on in ("all", kind) and (nll_gate == "none" or chosen < ref_chosen):
            total += nll_weight * -chosen / len(row["chosen_ids"])
    return total / len(rows)
