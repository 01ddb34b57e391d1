"""How to share a capacity between separators and nearest tokens: a small grid, measured on a text of your own.

The text must not be the one you report on: a choice made on it would flatter the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jaxtyping import Int
from torch import Tensor

from tenon.core.errors import ConfigError
from tenon.core.scoring.perplexity import perplexity
from tenon.methods.sepllm.config import SepConfig, single
from tenon.methods.sepllm.evaluate import streams_nll
from tenon.methods.sepllm.model import apply_sepllm

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["compare_sizes"]


def compare_sizes(
    run: Run,
    model: Any,
    tokenizer: Any,
    ids: Int[Tensor, "streams seq"],
    base: SepConfig,
    *,
    separators: Sequence[int] = (16, 32, 64, 96),
    local: Sequence[int] = (32, 64, 96, 128),
) -> list[dict[str, Any]]:
    """Score parallel streams for every pair of sizes that fits the capacity; best first.

    Args:
        run: Keeps one row per pair in `sizes.jsonl`.
        model: A causal language model, in eval mode, unchanged.
        tokenizer: Where its separators are looked up.
        ids: The streams, each opened by what the model expects.
        base: Gives capacity, first tokens and all else.
        separators: Separator capacities to try [tokens].
        local: Local windows to try [tokens].

    Raises:
        ConfigError: `base` has no capacity, or no pair fits it.
    """
    if base.capacity is None:
        raise ConfigError("SepConfig.capacity is None; sizes are chosen for a bounded cache, so give a capacity.")
    init, capacity = single(base.init, "init"), single(base.capacity, "capacity")
    pairs = [(s, w) for s in separators for w in local if init + s + w < capacity]
    if not pairs:
        raise ConfigError(f"No pair of sizes fits a capacity of {base.capacity}; raise it, or give smaller sizes.")
    for s, w in run.track(pairs, "sizes", name="sizes", key=lambda pair: f"{pair[0]}-{pair[1]}"):
        with apply_sepllm(model, tokenizer, replace(base, sep_capacity=s, local=w)) as applied:
            cache = applied.new_cache()
            found = perplexity(streams_nll(model, ids, cache).flatten())
        mean = cache.stats()["stored_mean"]
        run.append(
            "sizes",
            {"key": f"{s}-{w}", "separators": s, "local": w, "perplexity": found, "mean cache [tokens]": mean},
        )
    rows = [{name: value for name, value in row.items() if name != "key"} for row in run.rows("sizes")]
    return sorted(rows, key=lambda row: float(row["perplexity"]))
