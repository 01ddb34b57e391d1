"""The observation that began the paper: where attention goes, by kind of token (section 1 of the paper, figure 2).

Attention weights of a model as it is, without SepLLM, summed by what the key is: one of the first tokens, a separator,
or any other token, called a word. A kind's share of the weights says little by itself, since there are few separators
and many words, so its share of the visible pairs stands beside it, and `lift` is the ratio of the two.
"""

# No `from __future__ import annotations`: tests execute the shapes.

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tenon.core.models.attention import Switch
from tenon.methods.sepllm.separators import resolve_separators

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["KINDS", "attention_by_kind", "mean_lift", "observe", "show_attention"]

KINDS = ("first tokens", "separators", "words")
"""Kinds of keys, in the order in which they are shown."""


def attention_by_kind(
    weights: Float[Tensor, "batch heads seq seq"], is_sep: Bool[Tensor, "batch seq"], *, init: int
) -> dict[str, tuple[float, float]]:
    """Sum attention weights by kind of key; a token's attention to itself is left out.

    Args:
        weights: Rows add up to 1; nothing above the diagonal.
        is_sep: True where the token ends a segment.
        init: First tokens, which are a kind of their own, whatever they are [tokens].

    Returns:
        Per kind its share of the weights and its share of the visible pairs [both 0 to 1].
    """
    batch, _, seq, _ = weights.shape
    earlier = torch.ones(seq, seq, dtype=torch.bool, device=weights.device).tril(-1)
    first = (torch.arange(seq, device=weights.device) < init).expand(batch, seq)
    kinds = dict(zip(KINDS, (first, is_sep & ~first, ~is_sep & ~first), strict=True))
    mass = (weights.double() * earlier).sum((1, 2))  # per key [B, S]
    pairs = earlier.sum(0).double().expand(batch, seq)  # queries that see it
    return {
        name: (float(mass[kind].sum() / mass.sum()), float(pairs[kind].sum() / pairs.sum()))
        for name, kind in kinds.items()
    }


@torch.inference_mode()
def observe(
    model: Any, ids: Int[Tensor, "batch seq"], is_sep: Bool[Tensor, "batch seq"], *, init: int = 4
) -> list[dict[str, Any]]:
    """Say of every layer of an untouched model where its attention goes.

    Args:
        model: A causal language model in eval mode; unchanged afterwards.
        ids: Token ids, without padding.
        is_sep: Which of them are separators.
        init: First tokens [tokens].

    Returns:
        One row per layer and kind: `attention [%]`, `pairs [%]`, and `lift`, their ratio; None where there are no such
        pairs.
    """
    with Switch(model, "eager"):  # the only one that gives its weights
        layers = model(ids.to(model.device), output_attentions=True, use_cache=False).attentions
    rows = []
    for layer, weights in enumerate(layers):
        for kind, (mass, pairs) in attention_by_kind(weights.cpu(), is_sep.cpu(), init=init).items():
            lift = mass / pairs if pairs else None
            rows.append(
                {"layer": layer, "kind": kind, "attention [%]": 100 * mass, "pairs [%]": 100 * pairs, "lift": lift}
            )
    return rows


def show_attention(
    run: "Run", model: Any, tokenizer: Any, ids: Int[Tensor, "batch seq"], *, model_name: str, text: str
) -> list[dict[str, Any]]:
    """Observe a model and put picture, table and verdict into a run's report.

    Args:
        run: Whose report.
        model: As `observe`.
        tokenizer: Where its separators are looked up.
        ids: As `observe`.
        model_name: Stands beside every figure.
        text: What the text is, for the captions.

    Returns:
        The table's rows, one per kind of key: means over layers.
    """
    from tenon.methods.sepllm.pictures import draw_attention

    is_sep = resolve_separators(tokenizer, "paper", vocab_size=model.config.get_text_config().vocab_size)[ids]
    rows = observe(model, ids, is_sep)
    run.figure(
        "attention-by-kind",
        draw_attention(rows),
        f"Where {model_name}, as it is, attends to on {ids.numel()} tokens of {text}. Left: all attention to earlier "
        "tokens. Right: above the dotted line a separator draws more attention than a word does.",
        "Stacked bars of attention by kind of key, layer by layer; and a line of the ratio of separators to words.",
    )
    layers = len({row["layer"] for row in rows})
    table = [
        {
            "kind": kind,
            "attention [%]": sum(row["attention [%]"] for row in rows if row["kind"] == kind) / layers,
            "pairs [%]": sum(row["pairs [%]"] for row in rows if row["kind"] == kind) / layers,
            "lift": mean_lift(rows, kind),
        }
        for kind in KINDS
    ]
    run.table(
        "attention-by-kind",
        table,
        f"{model_name} on {text}, mean over layers: attention to earlier tokens by kind, and the share of pairs of "
        "query and key that this kind makes up. Lift: the ratio of the two, mean over layers.",
    )
    separators, words = mean_lift(rows, "separators"), mean_lift(rows, "words")
    if separators is not None and words:
        more = "more" if separators > words else "less"
        run.note(f"Attention: to {model_name} a separator is worth {separators / words:.2f} words, {more} than one.")
    return table


def mean_lift(rows: Sequence[dict[str, Any]], kind: str) -> float | None:
    """Give a kind's lift, mean over layers; None where it never occurs."""
    lifts = [row["lift"] for row in rows if row["kind"] == kind and row["lift"] is not None]
    return sum(lifts) / len(lifts) if lifts else None
