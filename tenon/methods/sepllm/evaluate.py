"""SepLLM and its `contenders` on text, on one model and at equal memory: parallel stretches, and one long stream.

Bytes are those of the stored tensors. Means are taken over the steps that were made; full attention, which is the
untouched model with the cache of transformers, holds 1, 2, ... tokens, so its mean is half of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tenon.core.errors import DataError
from tenon.core.models.cache import cache_argument, cache_bytes, default_cache
from tenon.core.scoring.intervals import paired_interval
from tenon.core.scoring.perplexity import perplexity, stream_nll, window_nll
from tenon.core.seeds import derive
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.contenders import FULL, SEP, STRM, EvalConfig, stream_contenders
from tenon.methods.sepllm.model import apply_sepllm
from tenon.tasks.text import PYTHON_DOCS, Document, read_documents

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["cut_streams", "evaluate_long", "evaluate_streams", "needed_tokens", "read_tokens", "streams_nll"]

WINDOWS, RAW = f"{FULL}, in windows", f"{FULL}, raw"
"""Full attention on a text longer than its context, as it must be used, and as it fails."""

CHARACTERS_PER_TOKEN = 6
"""More than any English text needs [characters]."""


def needed_tokens(config: EvalConfig) -> int:
    """Give the length of text that a comparison reads [tokens]."""
    return max(config.streams * config.stream_tokens, config.long_tokens)


def read_tokens(tokenizer: Any, source: str, count: int) -> Int[Tensor, " text"]:
    """Read `count` tokens of a source, an equal stretch from the middle of each document where all are long enough.

    A source of one document gives its beginning; one of several is spread, so that no author weighs more than another,
    and longer documents stand in for what short ones lack.

    Raises:
        DataError: The source has fewer tokens.
    """
    documents = list(read_documents(source))
    if source == PYTHON_DOCS:  # hundreds of short topics: one text
        documents = [Document(PYTHON_DOCS, "\n\n".join(document.text for document in documents))]
    parts: dict[int, list[int]] = {}
    for index in sorted(range(len(documents)), key=lambda index: len(documents[index].text)):
        text, left = documents[index].text, count - sum(map(len, parts.values()))
        share = -(-left // (len(documents) - len(parts)))
        characters = share * CHARACTERS_PER_TOKEN
        start = 0 if len(documents) == 1 else max(0, (len(text) - characters) // 2)
        ids = tokenizer(text[start : start + characters], add_special_tokens=False, verbose=False)["input_ids"]
        parts[index] = list(ids[:share])
    found = [token for index in sorted(parts) for token in parts[index]]
    if len(found) < count:
        raise DataError(
            f"{source} has {len(found)} tokens, but {count} are asked for; give a longer text, or ask for fewer or "
            "shorter streams."
        )
    return torch.tensor(found[:count])


def cut_streams(tokenizer: Any, ids: Int[Tensor, " text"], config: EvalConfig) -> Int[Tensor, "streams seq"]:
    """Cut a text into parallel streams, each opened by the begin token where the model has one.

    Raises:
        DataError: The text is too short.
    """
    count, size = config.streams, config.stream_tokens
    if len(ids) < count * size:
        raise DataError(
            f"The text has {len(ids)} tokens; {count} streams of {size} need {count * size}. Give a longer one."
        )
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    stretches = ids[: len(ids) // count * count].view(count, -1)[:, : size - len(begin)]
    return torch.cat([torch.tensor(begin).expand(count, -1).long(), stretches], 1)


@torch.inference_mode()
def streams_nll(
    model: Any, ids: Int[Tensor, "streams seq"], cache: Any, *, chunk: int = 256
) -> Float[Tensor, "streams seq-1"]:
    """Score parallel streams over one batched cache: `nll[b, i]` is that of token `ids[b, i + 1]` [nats]."""
    parts = []
    for start in range(0, ids.shape[1] - 1, chunk):
        read = ids[:, start : min(start + chunk, ids.shape[1] - 1)].to(model.device)
        logits = model(read, use_cache=True, **{cache_argument(model): cache}).logits
        expected = ids[:, start + 1 : start + 1 + read.shape[1]].to(model.device)
        parts.append(
            torch.nn.functional.cross_entropy(logits.transpose(1, 2).float(), expected, reduction="none").cpu()
        )
    return torch.cat(parts, 1).double()


def evaluate_streams(
    run: Run, model: Any, tokenizer: Any, ids: Int[Tensor, " text"], config: EvalConfig
) -> list[dict[str, Any]]:
    """Score stretches of a text as parallel streams under every contender.

    Args:
        run: Keeps one row per contender in `streams.jsonl`; those are not measured again.
        model: A causal language model, in eval mode, unchanged.
        tokenizer: Where its separators are looked up.
        ids: The text, long enough for all stretches.
        config: What to measure.

    Returns:
        One row per contender: perplexity, its ratio to SepLLM's with a 95 % interval (paired over streams), mean
        tokens in the cache, and bytes per stream at the end.

    Raises:
        DataError: The text is too short.
    """
    count, size = config.streams, config.stream_tokens
    batch = cut_streams(tokenizer, ids, config)
    rules: dict[str, SepConfig | None] = {FULL: None, **stream_contenders(config.stream)}
    for name, rule in run.track(rules.items(), "text", name="streams", key=lambda item: item[0]):
        nll, mean, held = _under(rule, model, tokenizer, lambda cache: streams_nll(model, batch, cache))
        mean = size / 2 if mean is None else mean  # 1 ... size - 1 tokens
        run.append("streams", {"key": name, "nll": nll.mean(1).tolist(), "mean": mean, "bytes": held / count})
    rows = {row["key"]: row for row in run.rows("streams")}
    ours = rows[SEP]["nll"]
    table = []
    for name in rules:
        row = rows[name]
        difference = paired_interval(row["nll"], ours, seed=derive(config.seed, "streams", name))
        table.append(
            {
                "method": name,
                "perplexity": _exp_mean(row["nll"]),
                "ratio to SepLLM": _exp(difference.difference),
                "low": _exp(difference.low),
                "high": _exp(difference.high),
                "mean cache [tokens]": row["mean"],
                "cache at the end [KiB]": row["bytes"] / 1024,
            }
        )
    return table


def _under(
    rule: SepConfig | None, model: Any, tokenizer: Any, score: Callable[[Any], Tensor]
) -> tuple[Tensor, float | None, int]:
    """Score with a cache under a rule, or with the model's own under none; also its mean tokens and its bytes now."""
    if rule is None:
        cache = default_cache(model)
        return score(cache), None, cache_bytes(cache)
    with apply_sepllm(model, tokenizer, rule) as applied:
        kept = applied.new_cache()
        return score(kept), kept.stats()["stored_mean"], kept.bytes()


def evaluate_long(
    run: Run, model: Any, tokenizer: Any, ids: Int[Tensor, " text"], config: EvalConfig
) -> tuple[list[dict[str, Any]], Mapping[str, list[float]]]:
    """Score one long stream, past the trained context, by quarters.

    Full attention appears twice: in windows of the trained length that move by half of it, as such a model must be
    used, and raw, as one ever growing stream, to show how that fails.

    Returns:
        One row per contender with the perplexity of each quarter, and per contender the NLL of all tokens in order,
        averaged over stretches of 128, for a picture.
    """
    context = int(model.config.max_position_embeddings)
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    stream = torch.cat([torch.tensor(begin).long(), ids[: config.long_tokens - len(begin)]])
    rules: dict[str, SepConfig | None] = {RAW: None, **stream_contenders(config.stream)}
    if not config.long_equal_capacity:
        del rules[STRM]
    for name in run.track([WINDOWS, *rules], "long stream", name="long", key=str):
        held: int | None = None
        if name == WINDOWS:
            nll = window_nll(model, stream, context=context, stride=context // 2)
        else:
            nll, _, held = _under(rules[name], model, tokenizer, lambda cache: stream_nll(model, stream, cache=cache))
        run.append("long", {"key": name, "nll": [round(value, 6) for value in nll.tolist()], "bytes": held})
    table, curves = [], {}
    for row in run.rows("long"):
        nll = torch.tensor(row["nll"], dtype=torch.float64)
        quarters = {f"quarter {index}": perplexity(part) for index, part in enumerate(nll.chunk(4), start=1)}
        held = None if row["bytes"] is None else row["bytes"] / 1024
        table.append({"method": row["key"], **quarters, "cache at the end [KiB]": held})
        curves[row["key"]] = [float(part.mean()) for part in nll.split(128)]
    return table, curves


def _exp(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float64).exp())


def _exp_mean(values: list[float]) -> float:
    return perplexity(torch.tensor(values, dtype=torch.float64))
