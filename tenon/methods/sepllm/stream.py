"""Score an endless text over a bounded cache: constant memory, many tokens per forward, and exactly as one by one.

Between two compressions the kept tokens do not change, so all tokens up to the next one go through a single forward
(the epochs of `apply_sepllm`): tens to hundreds of times fewer forwards than the released scorer, which feeds one
token at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tenon.core.errors import DataError
from tenon.core.files import write_atomic
from tenon.core.models.cache import cache_argument
from tenon.core.scoring.perplexity import perplexity
from tenon.methods.sepllm.cache import SepCache
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.snapshot import restore, snapshot

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tenon.core.run import Run

__all__ = ["StreamScore", "stream_perplexity"]

BLOCK = 4096
"""Tokens per row of a run, and so the most that a kill can cost [tokens]."""

DIGITS = 6
"""Decimals of a recorded NLL [nats]; what is far below the noise of float32 arithmetic is not written."""


@dataclass(frozen=True)
class StreamScore:
    """How well a text was predicted, and what the cache held meanwhile."""

    nll: Float[Tensor, " seq-1"]
    """Minus the log-probability of every token but the first [nats]."""
    stats: dict[str, float]
    """`SepCache.stats()` at the end."""

    @property
    def perplexity(self) -> float:
        """`exp` of the mean NLL."""
        return perplexity(self.nll)


def stream_perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    config: SepConfig,
    ids: Int[Tensor, " seq"],
    *,
    chunk: int = 512,
    run: Run | None = None,
) -> StreamScore:
    """Score one text as a stream: token `i + 1` is predicted from what the cache holds after token `i`.

    The text goes through the cache from its first token on, whatever `config.prefill` says about prompts. Chunks change
    the last bits of a float, nothing else.

    Args:
        model: A causal language model in eval mode; unchanged afterwards.
        tokenizer: Where separators are looked up; see `apply_sepllm`.
        config: The cache; StreamingLLM is one without separators. Without a capacity, separators are kept without
            bound.
        ids: The token ids of one text; a begin token, where the model expects one, stands first.
        chunk: Most tokens per forward, which bounds the memory of the logits [tokens].
        run: Keeps the NLL of every token (`stream.jsonl`, a row per 4,096) and a snapshot of the cache, so that a
            stream that was killed goes on; it ends with the rows of one that was not. A hybrid model's begins again.

    Raises:
        DataError: There are fewer than two tokens, one is not in the vocabulary, or `chunk` is below 1.
        ConfigError: As `apply_sepllm`.
    """
    if ids.dim() != 1 or len(ids) < 2:
        raise DataError(f"ids has shape {tuple(ids.shape)}; a stream is one text of two tokens or more.")
    known = model.config.get_text_config().vocab_size
    if ids.is_floating_point() or int(ids.min()) < 0 or int(ids.max()) >= known:
        raise DataError(
            f"ids has {ids.dtype} values from {ids.min().item()} to {ids.max().item()}; give token ids, "
            f"0 to {known - 1}."
        )
    if chunk < 1:
        raise DataError(f"chunk is {chunk}; it must be 1 token or more.")
    if config.capacity is not None and config.prefill != "stream":
        from dataclasses import replace

        config = replace(config, prefill="stream")
    with apply_sepllm(model, tokenizer, config) as applied:
        cache = applied.new_cache()
        blocks = range(0, len(ids) - 1, BLOCK)
        if run is None:
            parts = [_score(model, cache, ids[start : start + BLOCK + 1], chunk) for start in blocks]
            return StreamScore(torch.cat(parts), cache.stats())
        for start in _resumed(run, cache, blocks, model.device):
            wall, cpu = time.perf_counter(), time.process_time()
            nll = _score(model, cache, ids[start : start + BLOCK + 1], chunk)
            times = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
            run.measured(_key(start), tokens=len(nll), **times)
            if _is_whole(cache):  # before the row: a row that is there has its snapshot, and older ones are of no use
                write_atomic(run.path / _name(start), snapshot(cache))
            run.append("stream", {"key": _key(start), "nll": [round(value, DIGITS) for value in nll.tolist()]})
            (run.path / _name(start - BLOCK)).unlink(missing_ok=True)
        rows = run.rows("stream")
        stats = cache.stats()
    return StreamScore(torch.tensor([value for row in rows for value in row["nll"]], dtype=torch.float64), stats)


@torch.inference_mode()
def _score(model: Any, cache: SepCache, ids: Int[Tensor, " seq"], chunk: int) -> Float[Tensor, " seq-1"]:
    """Feed all tokens but the last, and score all but the first."""
    name, parts, start, last = cache_argument(model), [], 0, len(ids) - 1
    while start < last:
        size = cache.room(min(chunk, last - start), None)  # to the next compression: a whole epoch is one forward
        read, expected = ids[start : start + size], ids[start + 1 : start + size + 1]
        logits = model(read[None].to(model.device), use_cache=True, **{name: cache}).logits[0].float()
        nll = torch.nn.functional.cross_entropy(logits, expected.to(logits.device), reduction="none")
        parts.append(nll.double().cpu())
        start += size
    return torch.cat(parts)


def _resumed(run: Run, cache: SepCache, blocks: range, device: torch.device) -> Iterator[int]:
    """Go through the blocks that have no row yet, the cache being what it was after the last one that has."""
    done = len(run.rows("stream")) if _is_whole(cache) else 0
    last = _name(blocks[done - 1]) if done else ""
    for leftover in run.path.glob("cache-*.safetensors"):  # of a kill between a row and the end of its step
        if leftover.name != last:
            leftover.unlink()
    if done:
        restore(cache, (run.path / last).read_bytes(), device)
    yield from run.track(blocks[done:], "streaming")


def _is_whole(cache: SepCache) -> bool:
    """Say whether a snapshot holds all that a model keeps: a hybrid's other layers have states of transformers' own."""
    return len(cache.attention) == len(cache.layers)


def _key(start: int) -> str:
    return f"{start:012d}"


def _name(start: int) -> str:
    return f"cache-{_key(start)}.safetensors" if start >= 0 else "cache-none.safetensors"
