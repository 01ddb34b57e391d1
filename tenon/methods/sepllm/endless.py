"""What a long stream shows: whether the likelihood holds out, and whether late tokens cost what early ones did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenon.core.scoring.perplexity import perplexity
from tenon.methods.sepllm.stream import StreamScore

__all__ = ["pace", "summary"]

TENTHS = 10


def summary(score: StreamScore) -> dict[str, Any]:
    """Give perplexity, by quarter too, tokens per forward, and what the cache held (`SepCache.stats`)."""
    quarters = {f"quarter_{number}": perplexity(part) for number, part in enumerate(score.nll.chunk(4), start=1)}
    forwards = {"tokens_per_forward": len(score.nll) / max(1, score.stats["forwards"])}
    return {"perplexity": score.perplexity, **quarters, **forwards, **score.stats}


def pace(measurements: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Compare the time of a token late in the stream with that of an early one, by the clock and by processor time.

    The first tenth fills caches, of the machine too, so the second stands for the beginning.

    Args:
        measurements: Of every block of the stream, by its key, `tokens`, `seconds` and `cpu_seconds`.

    Returns:
        Microseconds per token over all (`wall_us`, `cpu_us`), of the second and of the last tenth (`..._early`,
        `..._late`), and the ratio of late to early (`..._ratio`); nothing where there are fewer than ten blocks.

    >>> blocks = {f"{n:03}": {"tokens": 8, "seconds": 1.0 + (n == 19), "cpu_seconds": 1.0} for n in range(20)}
    >>> pace(blocks)["wall_ratio"], pace(blocks)["cpu_ratio"]
    (1.5, 1.0)
    """
    blocks = [measurements[key] for key in sorted(measurements)]
    size = len(blocks) // TENTHS
    found: dict[str, float] = {}
    if size == 0:
        return found
    for name, clock in (("wall", "seconds"), ("cpu", "cpu_seconds")):
        whole, early, late = (
            1e6 * sum(block[clock] for block in part) / sum(block["tokens"] for block in part)
            for part in (blocks, blocks[size : 2 * size], blocks[-size:])
        )
        found |= {f"{name}_us": whole, f"{name}_us_early": early, f"{name}_us_late": late}
        found[f"{name}_ratio"] = late / early
    return found
