"""The objective: cross-entropy at masked tokens, weighed by sequence and by token (eq. 8; section 2.5).

    loss = sum over masked n of  w(t) * v(n) * u(n)  /  normaliser
    u(n) = -log p(x_n | x_t),   v(n) = alpha * (1 - exp(-u(n)))^beta,   w(t) from how much is masked

The gradient flows through `v`, as in the released code; the paper does not say.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tenon.methods.mdm.config import MDMConfig

__all__ = ["diffusion_loss", "masked_loss", "time_weight", "token_weight"]


def time_weight(time: Float[Tensor, " rows"], config: MDMConfig) -> Float[Tensor, " rows"]:
    """Give the weight of each sequence.

    With T steps and `t = (i + 1) / T`: linear `1 - i / T` (official: `T - i`), elbo `T / (i + 1)` (official:
    `1 / (i + 1)`). Continuous time: `1 - t` and `1 / t`.
    """
    if config.time_weight == "none":
        return torch.ones_like(time)
    steps = config.steps
    if config.time_weight == "linear":
        weight = 1 - time if steps is None else 1 - time + 1 / steps
        return weight * steps if config.loss_scale == "official" and steps is not None else weight
    weight = 1 / time
    return weight / steps if config.loss_scale == "official" and steps is not None else weight


def token_weight(nats: Float[Tensor, " tokens"], config: MDMConfig) -> Float[Tensor, " tokens"]:
    """Give the weight of each token by its own loss `u`: `alpha * (1 - exp(-u))^beta`, finite with its gradient.

    Args:
        nats: Losses, 0 or more [nats].
        config: Gives alpha and beta.
    """
    # 1 - exp(-u) without cancellation; at u = 0 the power's derivative is infinite for beta < 1, times a zero.
    difficulty = (-torch.expm1(-nats)).clamp(min=torch.finfo(nats.dtype).tiny)
    return config.token_alpha * difficulty**config.token_beta


def masked_loss(
    logits: Float[Tensor, "tokens vocab"],
    targets: Int[Tensor, " tokens"],
    time: Float[Tensor, " tokens"],
    config: MDMConfig,
    *,
    normaliser: Tensor | float,
) -> Float[Tensor, ""]:
    """Give the loss over masked tokens alone, where only their logits were computed.

    Args:
        logits: Of the masked tokens, aligned with them.
        targets: What stood there.
        time: Each token's row's time.
        config: The weights.
        normaliser: What the weighed sum is divided by; nothing masked gives 0, with zero gradients.
    """
    nats = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    weighed = time_weight(time, config) * token_weight(nats, config) * nats
    if isinstance(normaliser, Tensor):
        return weighed.sum() / normaliser.clamp(min=1)
    return weighed.sum() / max(normaliser, 1)


def diffusion_loss(
    logits: Float[Tensor, "rows seq vocab"],
    ids: Int[Tensor, "rows seq"],
    is_masked: Bool[Tensor, "rows seq"],
    time: Float[Tensor, " rows"],
    config: MDMConfig,
    *,
    is_maskable: Bool[Tensor, "rows seq"] | None = None,
    normaliser: Tensor | float | None = None,
) -> Float[Tensor, ""]:
    """Give the loss of a batch.

    Args:
        logits: Aligned with the tokens they predict: shifted already, where the model shifts.
        ids: The whole text.
        is_masked: What the model did not see.
        time: Of each row.
        config: Weights and normaliser.
        is_maskable: What could have been masked; needed for `loss_norm="maskable"`.
        normaliser: What to divide by instead, such as a count over all processes and accumulated batches. The one of
            the released code is the number of masked tokens of the batch at hand, and so not independent of how a batch
            is cut.

    Raises:
        ConfigError: `loss_norm` is `maskable`, and neither `is_maskable` nor a normaliser was given.
    """
    from tenon.core.errors import ConfigError

    if normaliser is None:
        if config.loss_norm == "maskable":
            if is_maskable is None:
                raise ConfigError("MDMConfig.loss_norm is 'maskable'; pass is_maskable, or a normaliser.")
            normaliser = is_maskable.sum()
        else:
            normaliser = is_masked.sum() if config.loss_norm == "masked" else float(len(ids))
    rows = is_masked.nonzero()[:, 0]
    return masked_loss(logits[is_masked], ids[is_masked], time[rows], config, normaliser=normaliser)
