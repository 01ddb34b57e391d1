"""Move rotated keys to other positions: rotations compose, R(p') k = R(p' - p) R(p) k.

A cache with in-cache positions stores keys already rotated. When a compression moves a key from slot p to slot p', it
is turned by the difference once, instead of rotating the whole cache at every token.
"""

# No `from __future__ import annotations`: tests execute the shapes.

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["rerotate"]


def rerotate(
    keys: Float[Tensor, "batch heads keys dim"],
    shift: Int[Tensor, "batch keys"],
    inv_freq: Float[Tensor, " half"],
) -> Float[Tensor, "batch heads keys dim"]:
    """Turn rotary keys by `shift` positions.

    The angles come from the model's own frequencies (Llama 3 and linear scaling included) and are computed in float32;
    YaRN's factor on cos and sin is already in the keys and is not applied again.

    Args:
        keys: Keys rotated to some position; the first `2 * half` of `dim` are rotary, in two halves (GPT-NeoX, Llama).
        shift: New position minus old one, per key [tokens].
        inv_freq: The model's rotary frequencies [radians / token].

    Returns:
        The keys at their new positions, in their own dtype.
    """
    half, precise = inv_freq.numel(), torch.promote_types(keys.dtype, torch.float32)
    angle_B1KF = (shift[..., None].to(precise) * inv_freq.to(keys.device, precise))[:, None]
    cos, sin = angle_B1KF.cos(), angle_B1KF.sin()
    first, second = keys[..., :half].to(precise), keys[..., half : 2 * half].to(precise)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(keys.dtype)
    return torch.cat([turned, keys[..., 2 * half :]], dim=-1) if 2 * half < keys.shape[-1] else turned
