"""The likelihood of a text, token by token: over windows of the trained length, or as one stream over a cache.

Every token but the first is scored exactly once. Negative log-likelihoods (NLL) are in nats and come as float64, one
per token, so that any sum over them (per document, per position) is exact enough and a figure leads back to its tokens.
"""

# No `from __future__ import annotations`: tests execute the shapes.

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from tenon.core.errors import ConfigError, DataError
from tenon.core.models.cache import cache_argument, default_cache

__all__ = ["bits_per_byte", "perplexity", "stream_nll", "window_nll"]


def window_nll(
    model: Any, ids: Int[Tensor, " seq"], *, context: int, stride: int, batch_size: int = 8
) -> Float[Tensor, " seq-1"]:
    """Score a text in overlapping windows, each a forward of its own, as a model with a trained length must be used.

    With 9 tokens, `context=4` and `stride=2` (`.` is read only, letters are scored by the token before):

        ids          a  b  c  d  e  f  g  h  i
        window 0    [a  b  c  d] e                  scores b c d e   with 1 2 3 4 tokens before them
        window 1          [c  d  e  f] g            scores f g       with 3 4
        window 2                [e  f  g  h] i      scores h i       with 3 4

    A window reads `context` tokens and predicts the token after each. Window 0 scores all of them; a later one starts
    `stride` tokens on and scores its last `stride` targets, those no earlier one scored, each with
    `context - stride + 1` to `context` tokens before it. The last window is moved back to be full, and scores only
    what is left.

    Args:
        model: A causal language model, in eval mode.
        ids: The token ids of one text. Where a model expects a begin token, put it first: it is read, not scored.
        context: Tokens that a window reads [tokens].
        stride: Tokens from one window to the next [tokens]; at most `context`. Small is slow and close to the true
            likelihood; `context` is fast, and harsh on the tokens at the start of each window.
        batch_size: Windows per forward. Other sizes may change the last bits of a float.

    Returns:
        `nll[i]`: minus the log-probability of `ids[i + 1]` [nats], on the CPU.

    Raises:
        ConfigError: `context` or `stride` is out of range, or `context` is longer than the model's positions.
        DataError: `ids` has fewer than two tokens, or a token outside the vocabulary.
    """
    _check(model, ids)
    known = getattr(model.config, "max_position_embeddings", None)
    if not 1 <= stride <= context:
        raise ConfigError(f"stride is {stride} and context {context}; they must satisfy 1 <= stride <= context.")
    if known is not None and context > known:
        raise ConfigError(
            f"context is {context}, but the model knows {known} positions; give at most that. "
            "(stream_nll shows what happens beyond them.)"
        )
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be 1 or more.")
    windows = list(_windows(len(ids) - 1, context, stride))
    width = min(context, len(ids) - 1)
    nll = torch.full((len(ids) - 1,), torch.nan, dtype=torch.float64)
    # Window 0 goes alone: it scores all its targets, the others a few, and logits beyond those would only fill memory.
    batches = [windows[:1], *(windows[i : i + batch_size] for i in range(1, len(windows), batch_size))]
    with torch.inference_mode():
        for batch in batches:
            rows = torch.stack([ids[start : start + width] for start, _ in batch])
            keep = max(num_new for _, num_new in batch)
            logits = model(rows.to(model.device), use_cache=False, logits_to_keep=keep).logits
            for (start, num_new), row in zip(batch, logits, strict=True):
                end = start + width  # one past the last scored entry of nll
                nll[end - num_new : end] = _nll(row[keep - num_new :], ids[end - num_new + 1 : end + 1])
    return nll


def _windows(num_targets: int, context: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yield the start of each window and how many of its last targets are new; these partition all targets."""
    done = 0
    for start in range(0, num_targets, stride):
        end = min(start + context, num_targets)
        yield max(0, end - context), end - done
        done = end
        if done == num_targets:
            return


def stream_nll(
    model: Any, ids: Int[Tensor, " seq"], *, chunk: int = 512, cache: Any | None = None
) -> Float[Tensor, " seq-1"]:
    """Score a text as one endless stream over a KV cache: token `i` is predicted from all tokens before it.

    With the default cache this is full attention at ever growing positions, also far past the trained length: memory
    grows with the text, and the likelihood collapses where the model no longer knows the positions. That failure is
    what streaming methods are compared with. Chunks change the speed and the last bits of a float, nothing else.

    Args:
        model: A causal language model, in eval mode.
        ids: The token ids of one text; a begin token, where the model expects one, stands first.
        chunk: Tokens per forward [tokens].
        cache: The cache to use and fill; None makes the one that transformers makes by itself.

    Returns:
        `nll[i]`: minus the log-probability of `ids[i + 1]` [nats], on the CPU.

    Raises:
        ConfigError: `chunk` is smaller than 1.
        DataError: `ids` has fewer than two tokens, or a token outside the vocabulary.
    """
    _check(model, ids)
    if chunk < 1:
        raise ConfigError(f"chunk is {chunk}; it must be 1 token or more.")
    if cache is None:
        cache = default_cache(model)
    inputs, targets = ids[:-1], ids[1:]
    parts = []
    with torch.inference_mode():
        for read, expected in zip(inputs.split(chunk), targets.split(chunk), strict=True):
            output = model(read[None].to(model.device), use_cache=True, **{cache_argument(model): cache})
            parts.append(_nll(output.logits[0], expected))
    return torch.cat(parts)


def _nll(logits: Float[Tensor, "scored vocab"], targets: Int[Tensor, " scored"]) -> Float[Tensor, " scored"]:
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return F.cross_entropy(wide, targets.to(wide.device), reduction="none").double().cpu()


def _check(model: Any, ids: Tensor) -> None:
    if ids.dim() != 1 or len(ids) < 2:
        raise DataError(
            f"ids has shape {tuple(ids.shape)}; it must be one text of two tokens or more, without a batch."
        )
    largest, size = int(ids.max()), model.config.vocab_size
    if largest >= size or int(ids.min()) < 0:
        raise DataError(
            f"ids run from {int(ids.min())} to {largest}, but the model has {size} embeddings; "
            "was the text read with another model's tokenizer?"
        )


def perplexity(nll: Float[Tensor, " scored"]) -> float:
    """Give `exp` of the mean NLL. Comparable only between models that share a tokenizer; else use `bits_per_byte`.

    >>> perplexity(torch.tensor([0.0, 0.0, 0.0]))
    1.0
    """
    return math.exp(nll.double().mean().item())


def bits_per_byte(nll: Float[Tensor, " scored"] | float, num_bytes: int) -> float:
    """Give the bits that the model needs per byte of text: comparable between all tokenizers, and with compressors.

    Args:
        nll: The NLL of every scored token, or their sum [nats].
        num_bytes: UTF-8 bytes of the text whose tokens were scored (the first token's bytes count only if a begin token
            stood before it).

    >>> bits_per_byte(8 * math.log(2.0), 4)
    2.0
    """
    if num_bytes < 1:
        raise DataError(f"num_bytes is {num_bytes}; a rate needs 1 byte or more.")
    return float(torch.as_tensor(nll, dtype=torch.float64).sum()) / (math.log(2) * num_bytes)
