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
    quarters = {f"quarter {number}": perplexity(part) for number, part in enumerate(score.nll.chunk(4), start=1)}
    forwards = {"tokens_per_forward": len(score.nll) / max(1, score.stats["forwards"])}
    return {"perplexity": score.perplexity, **quarters, **forwards, **score.stats}


def pace(measurements: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Compare the time of a token late in the stream with that of an early one, by the clock and by processor time.

    The first tenth fills caches, of the machine too, so the second stands for the beginning.

    Args:
        measurements: Of every block of the stream, by its key, `tokens`, `seconds` and `cpu_seconds`.

    Returns:
        Microseconds per token over all, of the second and of the last tenth, and the ratio of the two; nothing where
        there are fewer than ten blocks.

    >>> blocks = {f"{n:03}": {"tokens": 8, "seconds": 1.0 + (n == 19), "cpu_seconds": 1.0} for n in range(20)}
    >>> pace(blocks)["seconds, last over second tenth"], pace(blocks)["cpu_seconds, last over second tenth"]
    (1.5, 1.0)
    """
    blocks = [measurements[key] for key in sorted(measurements)]
    size = len(blocks) // TENTHS
    found: dict[str, float] = {}
    if size == 0:
        return {}
    parts = {"all": blocks, "second tenth": blocks[size : 2 * size], "last tenth": blocks[-size:]}
    for clock in ("seconds", "cpu_seconds"):
        times = {
            name: sum(block[clock] for block in part) / sum(block["tokens"] for block in part)
            for name, part in parts.items()
        }
        found |= {f"{clock} per million tokens, {name}": 1e6 * time for name, time in times.items()}
        found[f"{clock}, last over second tenth"] = times["last tenth"] / times["second tenth"]
    return found
