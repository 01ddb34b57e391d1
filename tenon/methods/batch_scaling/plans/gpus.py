"""Accelerators: what their makers promise for dense bf16 matrix products, and their memory.

The data sheets' figures "with sparsity" are twice as large; no training reaches them, so they are not here. What a
training reaches of the promise is its MFU (model FLOPs utilisation), 0.3 to 0.5 for large models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tenon.core.errors import ConfigError
from tenon.core.values import nearest
from tenon.methods.batch_scaling.plans.units import count_of

__all__ = ["GPU", "GPUS", "gpu_of"]

GIB = 2**30


@dataclass(frozen=True)
class GPU:
    """An accelerator."""

    name: str
    """Its name."""
    peak_flops: float
    """Dense bf16 matrix products, accumulated in fp32 [FLOP/s]; fp16 where there is no bf16."""
    memory_bytes: float | None
    """Its memory [bytes]; None: not known."""


GPUS: dict[str, GPU] = {
    one.name: one
    for one in (  # [makers' data sheets]
        GPU("V100", 125e12, 32 * GIB),  # fp16: it has no bf16
        GPU("A10", 125e12, 24 * GIB),
        GPU("A100", 312e12, 80 * GIB),
        GPU("A100-40GB", 312e12, 40 * GIB),
        GPU("A6000", 154.8e12, 48 * GIB),
        GPU("L4", 121e12, 24 * GIB),
        GPU("L40S", 362e12, 48 * GIB),
        GPU("RTX3090", 71e12, 24 * GIB),
        GPU("RTX4090", 165e12, 24 * GIB),
        GPU("RTX5090", 209.5e12, 32 * GIB),
        GPU("H100", 989e12, 80 * GIB),  # SXM
        GPU("H100-PCIe", 756e12, 80 * GIB),
        GPU("H800", 989e12, 80 * GIB),
        GPU("H20", 148e12, 96 * GIB),
        GPU("H200", 989e12, 140 * GIB),
        GPU("B200", 2250e12, 180 * GIB),
        GPU("MI250X", 383e12, 128 * GIB),  # both dies
        GPU("MI300X", 1307e12, 192 * GIB),
        GPU("MI325X", 1307e12, 256 * GIB),
        GPU("TPUv4", 275e12, 32 * GIB),
        GPU("TPUv5e", 197e12, 16 * GIB),
        GPU("TPUv5p", 459e12, 95 * GIB),
        GPU("TPUv6e", 918e12, 32 * GIB),
    )
}
"""By name."""


def gpu_of(source: Any, name: str = "gpu (--gpu)") -> GPU:
    """Give an accelerator: one of `GPUS` by its name in any case, a `GPU`, or a peak such as 320e12 [FLOP/s].

    >>> gpu_of("h100").peak_flops
    989000000000000.0

    Args:
        source: The accelerator.
        name: What the user gave it as, for messages.

    Raises:
        ConfigError: There is none of that name.
    """
    if isinstance(source, GPU):
        return source
    plain = {_key(name): one for name, one in GPUS.items()}
    if isinstance(source, str) and _key(source) in plain:
        return plain[_key(source)]
    try:
        peak = count_of(source, "gpu")
    except ConfigError:
        raise ConfigError(
            f"{name}: no GPU is called {source!r}; {nearest(str(source), GPUS)}. For another, give its dense bf16 peak "
            "in FLOP/s, such as 320e12."
        ) from None
    if peak < 1e11:
        raise ConfigError(f"{name} is {source!r}; as a peak it must be in FLOP/s, such as 320e12 for 320 TFLOP/s.")
    return GPU(f"{peak:.3g} FLOP/s", peak, None)


def _key(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
