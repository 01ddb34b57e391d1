"""Weight decay that goes with batch, learning rate and tokens (Bergsma et al. 2025, "Power Lines", arXiv 2505.13738).

AdamW averages its updates over about 1/(lr x weight decay) steps; as a share of all D / B steps that is

    tau = B / (lr x weight_decay x D)

whose best value falls with the tokens per parameter. So the best weight decay is linear in the batch.
"""

from __future__ import annotations

from typing import Any

from tenon.methods.batch_scaling.laws.law import plain, positive

__all__ = ["timescale", "weight_decay"]


def timescale(params: Any, tokens: Any) -> Any:
    """Give the best AdamW timescale tau, as a share of the training: 1.084 (D/N)^-0.527.

    Args:
        params: N; a number or an array.
        tokens: D; broadcasts with N.

    Raises:
        ConfigError: A value is no positive, finite number.
    """
    return plain(1.084 * (positive(tokens, "tokens") / positive(params, "params")) ** -0.527)


def weight_decay(batch: Any, learning_rate: Any, params: Any, tokens: Any) -> Any:
    """Give the best weight decay: B / (lr D tau).

    >>> round(weight_decay(5e5, 1e-3, 1e9, 2e10), 4)
    0.1118

    Args:
        batch: B [tokens per step]; all four broadcast.
        learning_rate: The peak, of AdamW's product lr x weight decay.
        params: N.
        tokens: D.

    Raises:
        ConfigError: A value is no positive, finite number.
    """
    B, rate = positive(batch, "batch"), positive(learning_rate, "learning_rate")
    return plain(B / (rate * positive(tokens, "tokens") * timescale(params, tokens)))
