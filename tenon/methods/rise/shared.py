"""Both sides of a pair in one row: what they share is read once (section 8). The same numbers, in less time.

    chosen    p p p p a b c          row         p p p a | b' c   | b' d
    rejected  p p p p a b d          positions   0 1 2 3 ...      the branches go on at the same places

A row is a trunk and two branches; a branch sees the trunk and itself. The last token that both sides share stands at
the head of either branch, because it predicts two different tokens. Only places that predict a completion's token go
through the head. Their log-probabilities are put back where trl expects them: [2 x pairs, seq - 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tenon.core.errors import UnsupportedModelError
from tenon.core.training.packing import IGNORE

__all__ = ["Packing", "check_shareable", "pack", "shared_score"]

TRUNK, PADDING = 0, -1
"""Segments of a row; the branches are 1 and 2."""


@dataclass(frozen=True)
class Packing:
    """Pairs, each in one row; all tensors on the CPU."""

    input_ids: Int[Tensor, "pairs row"]
    """Tokens: trunk, chosen branch, rejected branch, padding; without the last of each side, which predicts nothing."""
    position_ids: Int[Tensor, "pairs row"]
    """Where a token stands in its own side."""
    segment: Int[Tensor, "pairs row"]
    """Which part of the row it belongs to."""
    scored: Int[Tensor, " scored"]
    """Places that predict a completion's token, counted over all rows."""
    labels: Int[Tensor, " scored"]
    """What they predict."""
    source: Int[Tensor, " targets"]
    """For every completion token of both sides, chosen sides first: which of `scored` predicts it."""
    is_target: Bool[Tensor, "sides seq"]
    """Where these stand in trl's layout, of sequences without their first token."""

    def attention(self) -> Bool[Tensor, "pairs 1 row row"]:
        """Say which keys a query sees: earlier ones of the trunk and of its own segment; padding sees itself."""
        size = self.segment.shape[1]
        query, key = self.segment[:, :, None], self.segment[:, None, :]
        is_seen = torch.ones(size, size, dtype=torch.bool).tril() & ((key == TRUNK) | (key == query))
        return is_seen[:, None]


def pack(input_ids: Int[Tensor, "sides seq"], labels: Int[Tensor, "sides seq"]) -> Packing:
    """Lay out pairs.

    Args:
        input_ids: Chosen sides, then rejected ones, padded on the right.
        labels: The same, -100 outside the completion.
    """
    ids, is_target = input_ids.cpu(), (labels.cpu() != IGNORE)[:, 1:]
    pairs, count = len(ids) // 2, 0
    rows: list[list[Tensor]] = []
    scored: list[Tensor] = []
    predicted: list[Tensor] = []
    source: tuple[list[Tensor], list[Tensor]] = [], []
    for pair in range(pairs):
        chosen, rejected = (ids[side, : int(is_target[side].nonzero()[-1]) + 2] for side in (pair, pair + pairs))
        start, trunk = int(is_target[pair].nonzero()[0]), _shared(chosen, rejected) - 1
        parts = [chosen[:trunk], chosen[trunk:-1], rejected[trunk:-1]]
        places = [torch.arange(trunk), *(trunk + torch.arange(len(part)) for part in parts[1:])]
        segment = torch.arange(3).repeat_interleave(torch.tensor([len(part) for part in parts]))
        rows.append([torch.cat(parts), torch.cat(places), segment])
        # The chosen side stands in a row from its first to its last token; of the rejected one, the branch is new.
        scored.append(torch.cat([torch.arange(start, len(chosen) - 1), len(chosen) - 1 + torch.arange(len(parts[2]))]))
        predicted.append(torch.cat([chosen[start + 1 :], rejected[trunk + 1 :]]))
        numbers = count + torch.arange(len(predicted[-1]))
        count, own = count + len(numbers), len(chosen) - 1 - start
        source[0].append(numbers[:own])
        source[1].append(torch.cat([numbers[: trunk - start], numbers[own:]]))
    row_ids, positions, segments = (
        torch.nn.utils.rnn.pad_sequence([row[part] for row in rows], batch_first=True, padding_value=fill)
        for part, fill in ((0, 0), (1, 0), (2, PADDING))
    )
    return Packing(
        input_ids=row_ids,
        position_ids=positions,
        segment=segments,
        scored=torch.cat([pair * row_ids.shape[1] + places for pair, places in enumerate(scored)]),
        labels=torch.cat(predicted),
        source=torch.cat([*source[0], *source[1]]),
        is_target=is_target,
    )


def _shared(chosen: Tensor, rejected: Tensor) -> int:
    """Count the tokens with which both sides begin."""
    size = min(len(chosen), len(rejected))
    differs = (chosen[:size] != rejected[:size]).nonzero()
    return int(differs[0]) if len(differs) else size


def shared_score(model: Any, inner: Any, *, input_ids: Tensor, labels: Tensor, **options: Any) -> Any:
    """Give what trl's model gives for pairs, each read as one row.

    Args:
        model: What is asked, in whatever wrapper trains it, with trl's head.
        inner: The same without its wrapper.
        input_ids: Chosen sides, then rejected ones.
        labels: -100 outside the completion.
        options: For the model; the mask of the unshared text is not needed.
    """
    del options["attention_mask"]
    packing, device = pack(input_ids, labels), input_ids.device
    causal = getattr(inner, "get_base_model", lambda: inner)()  # without adapters' wrapper
    with _only(causal.base_model, packing.scored.to(device)):
        outputs = model(
            input_ids=packing.input_ids.to(device),
            position_ids=packing.position_ids.to(device),
            attention_mask=_mask(packing, causal).to(device),
            shift_labels=packing.labels[None].to(device),
            labels=None,
            **options,
        )
    source, is_target = packing.source.to(device), packing.is_target.to(device)
    spread = {
        name: value.new_zeros(is_target.shape).masked_scatter(is_target, value[0, source])
        for name, value in outputs.items()
        if value.dim() == 2
    }
    return type(outputs)(**spread)


@contextmanager
def _only(backbone: Any, places: Tensor) -> Iterator[None]:
    """Let a backbone give the states of these places alone, as one row, so that the head scores no others."""

    def compact(_: Any, __: Any, output: Any) -> Any:
        output["last_hidden_state"] = output.last_hidden_state.flatten(0, 1)[places][None]
        return output

    handle = backbone.register_forward_hook(compact)
    try:
        yield
    finally:
        handle.remove()


def _mask(packing: Packing, causal: Any) -> Tensor:
    is_seen = packing.attention()
    if causal.config._attn_implementation == "sdpa":
        return is_seen
    return torch.zeros(is_seen.shape, dtype=causal.dtype).masked_fill(~is_seen, torch.finfo(causal.dtype).min)


@torch.no_grad()
def check_shareable(model: Any, longest: int) -> None:
    """Refuse a model that would give other numbers for shared rows: first by its config, then by trying.

    Args:
        model: A causal language model, without wrapper.
        longest: Tokens of the longest side.

    Raises:
        UnsupportedModelError: It would.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    attention = model.config._attn_implementation
    if getattr(config, "router_aux_loss_coef", 0) and hasattr(config, "output_router_logits"):
        _refuse(model, "its experts are balanced over the tokens of each side")
    if kinds - {"full_attention", "sliding_attention"}:
        _refuse(model, f"it has layers that are no full attention ({', '.join(sorted(kinds))})")
    if window is not None and window < longest:
        _refuse(model, f"its attention slides over {window} tokens, and the longest row has {longest}")
    if attention not in ("sdpa", "eager"):
        _refuse(model, f"its attention is {attention!r}, which takes no mask of one's own; load it with 'sdpa'")
    ids = torch.arange(2, 26).view(2, 12) % model.get_input_embeddings().num_embeddings
    ids[1, :5] = ids[0, :5]
    labels = ids.clone()
    labels[:, :4] = IGNORE
    packing = pack(ids, labels)
    was_training = model.training
    model.eval()
    try:
        whole = model(input_ids=ids.to(model.device)).logits[:, :-1].cpu()
        row = model(
            input_ids=packing.input_ids.to(model.device),
            position_ids=packing.position_ids.to(model.device),
            attention_mask=_mask(packing, model).to(model.device),
            use_cache=False,
        ).logits.cpu()
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        _refuse(model, f"it takes no positions and mask of one's own ({error})", error)
    finally:
        model.train(was_training)
    found, expected = row.flatten(0, 1)[packing.scored][packing.source], whole[packing.is_target]
    off = float((found - expected).abs().max())
    rounding = min(64 * torch.finfo(model.dtype).eps, 0.03)  # of bfloat16's 8 bits, through all layers
    if not off <= rounding * float(expected.abs().max().clamp(min=1)):
        _refuse(model, f"its logits are off by {off:.2g}")


def _refuse(model: Any, why: str, error: Exception | None = None) -> None:
    raise UnsupportedModelError(
        f"A {model.config.model_type} model cannot read both sides of a pair in one row: {why}. "
        "With share_prefix=false each side is read on its own."
    ) from error
