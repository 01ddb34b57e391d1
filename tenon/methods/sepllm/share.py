"""How much of full attention is left: visible pairs, and FLOPs under both conventions (sections 2.9 and 2.11 of the
specification).

The paper charges the vanilla model for the whole square of scores and leaves the vocabulary out. A causal kernel
computes half of that square, so the saving that a user sees is smaller; both figures are given, and neither is a time.
"""

# No `from __future__ import annotations`: tests execute the shapes.

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool

from tenon.core.models.counting import attention_shape, flops_per_token
from tenon.methods.sepllm.config import LayerRule, SepConfig

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["attention_map_pct", "flops_pct", "last_row_pct", "paper_shares", "visible_counts"]


def visible_counts(is_sep: Bool[torch.Tensor, "rows seq"], rule: LayerRule) -> torch.Tensor:
    """Count the keys that every query sees under eq. (1), without a mask of all pairs.

    Args:
        is_sep: True where the token ends a segment; all tokens are real.
        rule: Of the layer.

    Returns:
        Counts [rows, seq].

    >>> visible_counts(torch.tensor([[False, True, False, False]]), LayerRule(init=1, window=1)).tolist()
    [[1, 2, 3, 3]]
    """
    position = torch.arange(is_sep.shape[1], device=is_sep.device)
    if rule.window is None:
        return (position + 1).expand(is_sep.shape)
    kept = (is_sep & rule.separators) | (position < rule.init)
    before = torch.nn.functional.pad(kept.long().cumsum(1), (1, 0))[:, :-1]  # kept tokens left of each column
    left = (position - rule.window + 1).clamp(min=0)
    return (position + 1 - left) + before[:, left]


def attention_map_pct(is_sep: Bool[torch.Tensor, "rows seq"], rules: Sequence[LayerRule]) -> float:
    """Give the visible pairs of query and key as a share of all causal ones, mean over layers [%] (table 3)."""
    seq = is_sep.shape[1]
    pairs = {rule: int(visible_counts(is_sep, rule).sum()) for rule in set(rules)}
    return 100 * sum(pairs[rule] for rule in rules) / (len(rules) * len(is_sep) * seq * (seq + 1) / 2)


def last_row_pct(is_sep: Bool[torch.Tensor, "rows seq"], rules: Sequence[LayerRule]) -> float:
    """Give the keys that the last token sees as a share of all, mean over layers [%] (`r.KV` of tables 1, 15 to 17)."""
    last = {rule: int(visible_counts(is_sep, rule)[:, -1].sum()) for rule in set(rules)}
    return 100 * sum(last[rule] for rule in rules) / (len(rules) * is_sep.numel())


def flops_pct(
    config: "PreTrainedConfig",
    context: int,
    attention_map_pct: float,
    *,
    convention: str = "causal",
    include_head: bool = True,
) -> float:
    """Give a forward's FLOPs as a share of those of full attention [%].

    Args:
        config: The model's.
        context: Length of the text [tokens].
        attention_map_pct: Visible pairs over causal pairs [%].
        convention: `causal`: full attention is charged for the pairs that it sees. `paper`: for the whole square, so
            that SepLLM appears to save the upper half as well (table 3).
        include_head: Whether the projection to the vocabulary counts; the paper leaves it out.

    Raises:
        ValueError: `convention` is neither of the two.
    """
    if convention not in ("causal", "paper"):
        raise ValueError(f"convention is {convention!r}; it must be 'causal' or 'paper'.")
    counted: Literal["causal", "square"] = "causal" if convention == "causal" else "square"
    full = flops_per_token(config, context, convention=counted, include_head=include_head)
    shape = attention_shape(config)
    # One key of one query in one layer: a product with the query and one with the weight, 2 FLOPs per number each.
    per_key = 4 * config.num_hidden_layers * shape.num_heads * shape.head_dim
    causal_keys = (context + 1) / 2
    charged = causal_keys if convention == "causal" else context
    return 100 * (full - per_key * (charged - causal_keys * attention_map_pct / 100)) / full


def paper_shares(is_sep: Bool[torch.Tensor, "rows seq"]) -> list[dict[str, str | float]]:
    """Give what is left under the masks of the paper's table 3, for a text and a model of Pythia-160m's shape.

    Args:
        is_sep: The separators of rows of a text; the paper's are 2,048 tokens long.

    Returns:
        One row per mask: `attention map [%]`, and `FLOPs [%]` without the vocabulary's projection, by the paper's
        convention and by the causal one.
    """
    from transformers import GPTNeoXConfig

    shape = GPTNeoXConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    masks = {
        "StreamingLLM, n=64": SepConfig(separators="none", window=64),
        "StreamingLLM, n=128": SepConfig(separators="none", window=128),
        "SepLLM, n=64": SepConfig(window=64),
        "SepLLM, n=128": SepConfig(window=128),
        "SepLLM, n=64, first layer full": SepConfig(window=64, full_layers="head"),
        "SepLLM, n=64, first and last layer full": SepConfig(window=64, full_layers="head_tail"),
    }
    rows: list[dict[str, str | float]] = []
    for name, config in masks.items():
        marks = is_sep if config.has_separators else torch.zeros_like(is_sep)
        pairs = attention_map_pct(marks, config.rules(shape.num_hidden_layers))
        both = {
            title: flops_pct(shape, is_sep.shape[1], pairs, convention=convention, include_head=False)
            for title, convention in (("FLOPs, paper's way [%]", "paper"), ("FLOPs, causal [%]", "causal"))
        }
        rows.append({"mask": name, "attention map [%]": pairs, **both})
    return rows
