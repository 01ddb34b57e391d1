"""What a model remembers of SepLLM: its options in the model's own config, so that `save_pretrained` takes them along.

A model that was trained under the mask must be used under it. `apply_sepllm(model, tokenizer)` without a config applies
what is found there. Beside the options stands a hash of the separating token ids, so that another tokenizer, for which
the same strings are other ids, is noticed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from jaxtyping import Bool
from torch import Tensor

from tenon.core.config import from_dict, identity
from tenon.core.errors import ConfigError, DataError
from tenon.methods.sepllm.config import SepConfig

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["check", "forget", "recall", "remember"]

FIELD = "sepllm"
"""The name in the model's config."""
HASH = "separator_hash"


def remember(
    model_config: PreTrainedConfig, config: SepConfig, separators: Bool[Tensor, " vocab"]
) -> dict[str, Any] | None:
    """Write the options and the hash of the separators into a model's config; give what stood there."""
    before = getattr(model_config, FIELD, None)
    setattr(model_config, FIELD, identity(config) | {HASH: _hash(separators)})
    return before


def forget(model_config: PreTrainedConfig, before: dict[str, Any] | None) -> None:
    """Put back what `remember` found."""
    if before is None:
        delattr(model_config, FIELD)
    else:
        setattr(model_config, FIELD, before)


def recall(model_config: PreTrainedConfig) -> SepConfig:
    """Give the options that a model was saved with.

    Raises:
        ConfigError: It was saved with none, or with ones that this version does not know.
    """
    found = getattr(model_config, FIELD, None)
    if found is None:
        raise ConfigError(
            "This model was not saved under SepLLM, so its config says nothing of it; give apply_sepllm a SepConfig."
        )
    return from_dict(SepConfig, {name: value for name, value in found.items() if name != HASH})


def check(model_config: PreTrainedConfig, config: SepConfig, separators: Bool[Tensor, " vocab"]) -> None:
    """Notice that a model was saved with the same options, but for other token ids.

    Raises:
        DataError: The tokenizer separates at other ids than the one of the saved model.
    """
    found = getattr(model_config, FIELD, None)
    if found is None or {**found, HASH: None} != {**identity(config), HASH: None} or found[HASH] == _hash(separators):
        return
    raise DataError(
        "The model was saved with the same separators, but this tokenizer gives them other token ids; load the "
        "tokenizer that was saved with the model."
    )


def _hash(separators: Tensor) -> str:
    ids = separators.nonzero()[:, 0].tolist()
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]
