"""Greedy answers to many prompts, in fixed batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tenon.core.errors import DataError

__all__ = ["greedy_texts"]


@torch.inference_mode()
def greedy_texts(
    model: Any, tokenizer: Any, prompts: Sequence[str], *, max_new_tokens: int, **generate_options: Any
) -> list[str]:
    """Continue each prompt greedily as one left-padded batch, and give the new text up to the end token.

    Args:
        model: Any causal language model with `generate`.
        tokenizer: Its tokenizer; the prompts already hold the special tokens.
        prompts: Texts to go on from. One call is one batch: batch composition can change the last bits of a float, so
            callers keep their batches fixed.
        max_new_tokens: Tokens after which an unfinished answer is cut.
        generate_options: Passed on to `generate` (a cache, for instance).

    Raises:
        DataError: A prompt leaves no room for the answer within the model's positions.
    """
    side, pad = tokenizer.padding_side, tokenizer.pad_token
    tokenizer.padding_side = "left"
    if pad is None:  # as in Llama 3 and Mistral; what stands in a masked place is never read
        tokenizer.pad_token = tokenizer.eos_token
    try:
        batch = tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
        pad_id = tokenizer.pad_token_id
    finally:
        tokenizer.padding_side, tokenizer.pad_token = side, pad
    batch.pop("token_type_ids", None)
    width = batch["input_ids"].shape[1]
    room = getattr(model.config, "max_position_embeddings", None)
    if room is not None and width + max_new_tokens > room:
        raise DataError(
            f"A prompt has {width} tokens and may be continued by {max_new_tokens}, "
            f"but the model knows {room} positions; "
            "give fewer examples, or allow a shorter answer."
        )
    ids = model.generate(
        **batch,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        pad_token_id=pad_id,
        use_cache=True,  # whatever the model's config says: without it every step reads the whole text
        **generate_options,
    )
    return list(tokenizer.batch_decode(ids[:, width:], skip_special_tokens=True))
