"""What RISE adds to DPO: a negative log-likelihood on the chosen side (section 2.8).

    L = L_dpo + lambda * mean over rows of  g * ( - 1/|c+| * sum_t log p(c+_t | p, c+_<t) )

DPO itself, over both kinds of pairs at once, is trl's. Rows that are switched off count as 0 and stay in the mean, so
that the loss does not depend on how a step is cut into batches.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["further_loss", "is_learnt", "sequence_nll"]


def sequence_nll(logps: Float[Tensor, "rows seq"], mask: Int[Tensor, "rows seq"]) -> Float[Tensor, " rows"]:
    """Give the negative log-likelihood per token of each completion [nats].

    Args:
        logps: Of every token.
        mask: 1 where a token belongs to the completion; a row without any gives 0.
    """
    return -(logps * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def is_learnt(
    is_edit: Bool[Tensor, " rows"],
    chosen: Float[Tensor, " rows"],
    ref_chosen: Float[Tensor, " rows"],
    *,
    on: Literal["all", "full", "edit"],
    gate: Literal["none", "below_ref"],
) -> Bool[Tensor, " rows"]:
    """Say which rows have the term; see `RISEConfig.nll_on` and `nll_gate`.

    Args:
        is_edit: Where a step is compared.
        chosen: Log-probability of the chosen side under the policy [nats].
        ref_chosen: The same under the reference.
        on: Kinds of pairs that have it.
        gate: `below_ref`: only where the policy finds the chosen side less likely than the reference does.
    """
    kinds = {"all": torch.ones_like(is_edit), "full": ~is_edit, "edit": is_edit}[on]
    return kinds if gate == "none" else kinds & (chosen.detach() < ref_chosen)


def further_loss(nll: Float[Tensor, " rows"], learnt: Bool[Tensor, " rows"], *, weight: float) -> Float[Tensor, ""]:
    """Give the weighed term, a mean over all rows.

    >>> float(further_loss(torch.tensor([2.0, 4.0]), torch.tensor([True, False]), weight=0.5))
    0.5
    """
    return weight * (nll * learnt).mean()
