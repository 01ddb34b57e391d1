"""Seam to transformers' attention registry: our own attention under a new name, switched on and off exactly.

Nothing is replaced: `register` refuses a name that is taken, and a `Switch` changes one private string in the model's
configs, which it puts back. A name registered here has no mask function, so the model hands every layer
`attention_mask=None`, and the attention function does its own masking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
import transformers
from packaging.version import Version
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tenon.core.errors import UnsupportedModelError, UnsupportedVersion

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["OLDEST", "AttentionFunction", "Switch", "check_transformers", "register", "sdpa"]

OLDEST = "5.17"
"""The oldest transformers whose models hand what we add to their attention and caches."""

_FIELD = "_attn_implementation_internal"
"""Where transformers keeps the name without the checks of its setter; the only private name we touch."""

AttentionFunction = Callable[..., tuple[torch.Tensor, torch.Tensor | None]]
"""`fn(module, query, key, value, attention_mask, *, scaling, dropout, **kwargs) -> (output[B, Q, H, D], weights or
None)`."""


def check_transformers(version: str = transformers.__version__) -> None:
    """Refuse a transformers in which our attention might never be called, and a model run as if nothing had been done.

    Raises:
        UnsupportedVersion: It is older than `OLDEST`.
    """
    if Version(version) < Version(OLDEST):
        raise UnsupportedVersion(
            f"transformers {version} is installed, but {OLDEST} or newer is needed: pip install -U transformers."
        )


def register(name: str, function: AttentionFunction) -> None:
    """Make `function` known to transformers under a new name; doing it again with the same function changes nothing.

    Raises:
        ValueError: The name already stands for another function.
        UnsupportedVersion: As `check_transformers`.
    """
    check_transformers()
    known = ALL_ATTENTION_FUNCTIONS.get(name)
    if known is not None and known is not function:
        raise ValueError(f"transformers already knows an attention function {name!r}; choose another name.")
    AttentionInterface.register(name, function)


def sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    scaling: float | None,
    dropout: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attend through torch's fused kernels, exactly as transformers' own `sdpa` does (grouped key/value heads
    included).

    Args:
        module: The attention module; its `num_key_value_groups` is read.
        query: [batch, heads, queries, head_dim].
        key: [batch, kv_heads, keys, head_dim].
        value: [batch, kv_heads, keys, head_dim].
        mask: Broadcastable to [batch, heads, queries, keys]: True or 0 where attention is allowed. None is causal, and
            for a single query everything.
        scaling: Factor on the scores; None is 1 / sqrt(head_dim).
        dropout: Share of attention weights dropped.

    Returns:
        The output [batch, queries, heads, head_dim], and None for the weights.
    """
    function = ALL_ATTENTION_FUNCTIONS["sdpa"]
    output, weights = function(module, query, key, value, mask, scaling=scaling, dropout=dropout)
    return output, weights


class Switch:
    """Make a model use the attention registered under `name`, until `off` or the end of a `with` block.

    Args:
        model: Any transformers model that looks its attention up by name.
        name: A name given to `register`.

    Raises:
        UnsupportedModelError: The model's code does not use the attention registry.
    """

    def __init__(self, model: PreTrainedModel, name: str) -> None:
        modules = [module for module in model.modules() if hasattr(module, "config")]
        configs: dict[int, Any] = {id(module.config): module.config for module in modules}
        configs = {key: config for key, config in configs.items() if hasattr(config, _FIELD)}
        self.name = name
        self._own = [(config, getattr(config, _FIELD)) for config in configs.values()]
        model.set_attn_implementation(name)  # with transformers' own checks
        if model.config._attn_implementation != name:
            self.off()
            raise UnsupportedModelError(
                f"{type(model).__name__} does not look its attention up in transformers' registry, so nothing can be "
                "put in its place; use a model of transformers' own code."
            )
        self._switched = [(config, getattr(config, _FIELD)) for config, _ in self._own]

    @property
    def is_on(self) -> bool:
        """Whether the model still uses it, and nobody has set another attention meanwhile."""
        return all(getattr(config, _FIELD) == name for config, name in self._switched)

    def off(self) -> None:
        """Give every config the name it had; doing it again changes nothing."""
        for config, name in self._own:
            setattr(config, _FIELD, name)

    @contextmanager
    def handed_over(self) -> Iterator[None]:
        """Let the model use its own attention, and its own masks, inside a `with` block."""
        self.off()
        try:
            yield
        finally:
            for config, name in self._switched:
                setattr(config, _FIELD, name)

    def __enter__(self) -> Switch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.off()
