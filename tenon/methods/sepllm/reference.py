"""The slow twins: loops that read like the paper, lists for caches, one token at a time, keys kept un-rotated.

Nothing here is used by the fast path, and nothing of the fast path is used here except the config.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tenon.core.models.roles import roles_of
from tenon.methods.sepllm.config import LayerRule, SepConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Step", "mask_by_loops", "reference_logits", "simulate"]


def mask_by_loops(
    is_sep: Sequence[bool], *, init: int, window: int, document: Sequence[int] | None = None
) -> list[list[bool]]:
    """Equation 1, word by word: `mask[i][j]`; with `document`, of texts that lie side by side in one row."""
    mask = []
    for i in range(len(is_sep)):
        row = []
        for j in range(len(is_sep)):
            first = 0 if document is None else list(document).index(document[j])
            sees = j <= i and (j - first < init or is_sep[j] or i - j <= window - 1)
            row.append(sees and (document is None or document[i] == document[j]))
        mask.append(row)
    return mask


@dataclass(frozen=True)
class Step:
    """What one token does."""

    seen: list[int]
    """Tokens its query attends to, in the order in which the cache holds them; itself among them."""
    at: list[int]
    """The position of each of them as the query sees it."""
    kept: list[int]
    """What the cache holds afterwards."""


@dataclass
class _FourParts:
    """The four caches of section 3.3, as lists of token indices."""

    init: list[int] = field(default_factory=list)
    seps: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)

    @property
    def all(self) -> list[int]:
        return self.init + self.seps + self.rest

    def append(self, token: int, rule: LayerRule) -> None:
        (self.init if len(self.init) < rule.init else self.rest).append(token)

    def compress(self, is_sep: Sequence[bool], rule: LayerRule, sep_capacity: int) -> None:
        assert rule.local is not None
        past, local = self.rest[: -rule.local], self.rest[-rule.local :]
        self.seps = (self.seps if rule.accumulate else []) + [token for token in past if is_sep[token]]
        if rule.cap_separators:
            self.seps = self.seps[max(0, len(self.seps) - sep_capacity) :]
        self.rest = local


def simulate(is_sep: Sequence[bool], config: SepConfig, *, prompt: int = 0, layer: int = 0) -> list[Step]:
    """Say for every token what it sees and what is kept after it.

    Args:
        is_sep: Whether each token of the row is a separator.
        config: The options.
        prompt: Tokens that come first and at once, read as `config.prefill` says (`stream`: like all others).
        layer: Whose rule is followed.
    """
    rule = config.rule(layer)
    if rule.capacity is None:
        return _simulate_window(is_sep, rule, prompt)
    parts, steps, grown = _FourParts(), [], 0
    prompt = 0 if rule.prefill == "stream" else prompt

    def compress() -> None:
        nonlocal grown
        assert rule.sep_capacity is not None
        parts.compress(is_sep, rule, rule.sep_capacity)
        if not rule.cap_separators:
            grown = max(grown, len(parts.seps) - rule.sep_capacity)

    for token in range(len(is_sep)):
        capacity = rule.capacity + grown
        stored = len(parts.all)
        parts.append(token, rule)
        if token < prompt:
            seen = _prompt_sees(token, is_sep, rule)
            if token == prompt - 1:
                if rule.prefill == "sparse" and rule.window is not None:
                    old = [t for t in parts.rest if t <= token - rule.window]
                    parts.seps = [t for t in old if is_sep[t]]
                    parts.rest = [t for t in parts.rest if t > token - rule.window]
                if rule.evict == "after" and len(parts.all) > capacity:
                    compress()
            steps.append(Step(seen, seen, parts.all))
            continue
        if rule.evict == "before" and stored + 1 >= capacity:
            compress()
        seen = parts.all
        if rule.evict == "after" and len(seen) > capacity:
            compress()
        at = list(range(len(seen))) if config.positions == "cache" else seen
        steps.append(Step(seen, at, parts.all))
    return steps


def _simulate_window(is_sep: Sequence[bool], rule: LayerRule, prompt: int) -> list[Step]:
    steps = []
    for token in range(len(is_sep)):
        window = rule.window or len(is_sep)
        kept = [j for j in range(token + 1) if j < rule.init or is_sep[j] or token - j <= window - 1]
        seen = list(range(token + 1)) if token < prompt and rule.prefill == "dense" else kept
        steps.append(Step(seen, seen, kept))
    return steps


def _prompt_sees(token: int, is_sep: Sequence[bool], rule: LayerRule) -> list[int]:
    if rule.prefill == "dense" or rule.window is None:
        return list(range(token + 1))
    return [j for j in range(token + 1) if j < rule.init or is_sep[j] or token - j <= rule.window - 1]


@torch.no_grad()
def reference_logits(model: PreTrainedModel, ids: Sequence[int], steps: Sequence[Step]) -> Tensor:
    """Run a Llama-type model token by token, each query attending to exactly the tokens of its step.

    Keys are kept as the projection gives them and are rotated anew for every query, to the positions of its step.

    Args:
        model: Llama, Qwen2, Qwen3, Mistral or any other model with that block (separate projections, gated MLP).
        ids: Token ids of one row.
        steps: One per token, as `simulate` gives them.

    Returns:
        Logits [tokens, vocabulary].
    """
    roles = roles_of(model)
    rotary: Any = model.get_submodule(roles.rotary)
    layers: Any = model.get_submodule(roles.layers)
    keys: list[list[Tensor]] = [[] for _ in layers]
    values: list[list[Tensor]] = [[] for _ in layers]
    logits: list[Tensor] = []
    for token, step in zip(ids, steps, strict=True):
        hidden = model.get_submodule(roles.embedding)(torch.tensor([token]))[0]
        query_at = step.at[step.seen.index(len(logits))]
        for index, layer in enumerate(layers):
            part = layer.get_submodule
            attention = part(roles.attention)
            normed = part(roles.attention_norm)(hidden)
            query, key, value = (
                part(name)(normed).view(-1, attention.head_dim) for name in (roles.query, roles.key, roles.value)
            )
            if roles.query_norm is not None:
                query, key = part(roles.query_norm)(query), part(roles.key_norm)(key)
            keys[index].append(key)
            values[index].append(value)
            query = _rotated(query, query_at, rotary)
            seen_keys = torch.stack(
                [_rotated(keys[index][j], at, rotary) for j, at in zip(step.seen, step.at, strict=True)]
            )
            seen_values = torch.stack([values[index][j] for j in step.seen])
            heads = []
            for head in range(query.shape[0]):
                group = head // attention.num_key_value_groups
                scores = seen_keys[:, group] @ query[head] * attention.scaling
                heads.append(torch.softmax(scores, 0) @ seen_values[:, group])
            hidden = hidden + part(roles.output)(torch.cat(heads))
            hidden = hidden + part(roles.mlp)(part(roles.mlp_norm)(hidden))
        logits.append(model.get_submodule(roles.head)(model.get_submodule(roles.final_norm)(hidden)))
    return torch.stack(logits)


def _rotated(vectors: Tensor, position: int, rotary: Any) -> Tensor:
    """Rotate [heads, head_dim] to a position: pairs (x_f, x_{f + half}) by the angle position * inv_freq_f."""
    wide = vectors.to(torch.promote_types(vectors.dtype, torch.float32))  # as models do: half precision is no angle
    angle = position * rotary.inv_freq.to(wide.dtype)
    cos, sin = angle.cos() * rotary.attention_scaling, angle.sin() * rotary.attention_scaling
    half = len(angle)
    first, second = wide[:, :half], wide[:, half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=1).to(vectors.dtype)
