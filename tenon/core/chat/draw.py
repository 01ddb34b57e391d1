"""Drawing a token as the place of a maximum, so that the randomness belongs to the row (the Gumbel-max trick)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["drawing_scores", "nucleus"]


def drawing_scores(
    logits: Float[Tensor, "rows vocab"],
    temperature: Float[Tensor, " rows"],
    top_p: Float[Tensor, " rows"],
    noise: Float[Tensor, "rows vocab"],
) -> Float[Tensor, "rows vocab"]:
    """Give scores whose argmax is a draw from softmax(logits / temperature), cut to its nucleus.

    Args:
        logits: What the model says.
        temperature: Of each row; at 0 the logits are given back, so that the argmax is the likeliest token.
        top_p: Share of the probability that is drawn from, of each row.
        noise: Independent Gumbel(0, 1) numbers.
    """
    is_drawn = (temperature > 0)[:, None]
    scaled = logits.float() / torch.where(is_drawn, temperature[:, None], 1.0)
    return torch.where(is_drawn, nucleus(scaled, top_p) + noise, scaled)


def nucleus(logits: Float[Tensor, "rows vocab"], top_p: Float[Tensor, " rows"]) -> Float[Tensor, "rows vocab"]:
    """Set to -inf what is not among the likeliest tokens that together reach `top_p` (Holtzman et al. 2020).

    The likeliest token stays, and so does the one with which `top_p` is reached.

    >>> nucleus(torch.tensor([[0.5, 0.3, 0.2]]).log(), torch.tensor([0.6])).exp()
    tensor([[0.5000, 0.3000, 0.0000]])
    """
    if bool((top_p >= 1).all()):
        return logits
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probability = ordered.softmax(-1)
    before = probability.cumsum(-1) - probability
    is_out = before >= torch.where(top_p < 1, top_p, 2.0)[:, None]  # at 1 no rounded sum may cut the tail
    return logits.masked_fill(is_out.scatter(-1, order, is_out), -torch.inf)
