"""SepLLM beside what it must be compared with, on one model and at equal memory: long text, and word problems.

Every contender is a `SepConfig` and goes through the same code, so that only the rule differs:

- *full attention*: a window as long as the text, so nothing is dropped;
- *SepLLM*;
- *StreamingLLM, equal capacity*: no separators, first and nearest tokens, the cache always full (arXiv 2309.17453);
- *StreamingLLM, equal mean*: compressed at the same moments to the same size as SepLLM, with nearer tokens in the place
  of separators: the same memory at every step.

The figures are measured: bytes are those of the stored tensors, means are taken over the steps that were made.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tenon.core.errors import DataError, require
from tenon.core.models.cache import cache_argument
from tenon.core.scoring.generation import greedy_texts
from tenon.core.scoring.intervals import mcnemar_p, paired_interval, wilson_interval
from tenon.core.scoring.perplexity import perplexity, stream_nll, window_nll
from tenon.core.seeds import derive
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.model import apply_sepllm
from tenon.tasks.math import generate_problems
from tenon.tasks.math.accuracy import chat_prompt, solve
from tenon.tasks.text import PYTHON_DOCS, Document, read_documents

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = [
    "EvalConfig",
    "cut_streams",
    "evaluate_long",
    "evaluate_problems",
    "evaluate_streams",
    "needed_tokens",
    "problem_contenders",
    "read_tokens",
    "stream_contenders",
    "streams_nll",
]

CHARACTERS_PER_TOKEN = 6
"""More than any English text needs [characters]."""

FULL, SEP, STRM, STRM_MEAN = "full attention", "SepLLM", "StreamingLLM, equal capacity", "StreamingLLM, equal mean"
"""The contenders, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """How much is measured, and with which cache."""

    stream: SepConfig = field(
        default_factory=lambda: SepConfig(
            init=4, sep_capacity=64, local=64, capacity=256, prefill="stream", positions="cache"
        )
    )
    """The bounded cache for text."""
    window: int = 128
    """Nearest tokens seen in word problems, where separators are kept without bound [tokens]."""
    init: int = 4
    """First tokens kept in word problems [tokens]."""
    streams: int = 8
    """Parallel stretches of the text, each a stream of its own."""
    stream_tokens: int = 1024
    """Tokens of each; within the trained context, so that full attention is at its best [tokens]."""
    long_tokens: int = 6144
    """Tokens of one long stream, past the trained context [tokens]."""
    problems: int = 24
    """Unseen word problems; 0 leaves them out."""
    shots: int = 2
    """Solved examples before each."""
    max_new_tokens: int = 200
    """Longest answer [tokens]."""
    batch_size: int = 24
    """Problems answered together."""
    seed: int = 0
    """Names the draw of problems and of the bootstrap."""

    def __post_init__(self) -> None:
        require(self.stream.capacity is not None, self, "stream", "a SepConfig with a capacity")
        require(self.streams >= 2, self, "streams", "2 or more: an interval needs several")
        require(self.stream_tokens >= 2, self, "stream_tokens", "2 or more")


def stream_contenders(sep: SepConfig) -> dict[str, SepConfig]:
    """Give the caches to compare on text with this one.

    >>> {name: (c.local, c.capacity) for name, c in stream_contenders(EvalConfig().stream).items()}
    {'SepLLM': (64, 256), 'StreamingLLM, equal capacity': (252, 256), 'StreamingLLM, equal mean': (128, 256)}
    """
    assert sep.capacity is not None
    assert sep.local is not None
    assert sep.sep_capacity is not None
    bare = functools.partial(replace, sep, separators="none", separator_ids=(), sep_capacity=0)
    return {
        SEP: sep,
        STRM: bare(local=sep.capacity - sep.init),
        STRM_MEAN: bare(local=sep.local + sep.sep_capacity),
    }


def problem_contenders(window: int, init: int, length: int, mean: float | None = None) -> dict[str, SepConfig]:
    """Give the rules to compare on word problems.

    Args:
        window: SepLLM's window [tokens].
        init: First tokens kept [tokens].
        length: As long as any text [tokens].
        mean: Tokens that SepLLM was measured to keep; None while that is not known, and there is no equal mean.
    """
    rules = {
        FULL: SepConfig(init=init, window=length),
        SEP: SepConfig(init=init, window=window),
        STRM: SepConfig(init=init, window=window, separators="none"),
    }
    if mean is not None:
        rules[STRM_MEAN] = SepConfig(init=init, window=max(1, round(mean) - init), separators="none")
    return rules


def needed_tokens(config: EvalConfig) -> int:
    """Give the length of text that a comparison reads [tokens]."""
    return max(config.streams * config.stream_tokens, config.long_tokens)


def read_tokens(tokenizer: Any, source: str, count: int) -> Int[Tensor, " text"]:
    """Read `count` tokens of a source, an equal stretch from the middle of each document where all are long enough.

    A source of one document gives its beginning; one of several is spread, so that no author weighs more than another.
    """
    documents = list(read_documents(source))
    if source == PYTHON_DOCS:  # hundreds of short topics: one text
        documents = [Document(PYTHON_DOCS, "\n\n".join(document.text for document in documents))]
    share = -(-count // len(documents))
    ids: list[int] = []
    for document in documents:
        characters = share * CHARACTERS_PER_TOKEN
        start = 0 if len(documents) == 1 else max(0, (len(document.text) - characters) // 2)
        stretch = document.text[start : start + characters]
        ids += tokenizer(stretch, add_special_tokens=False, verbose=False)["input_ids"][:share]
    return torch.tensor(ids[:count])


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
    rules = {FULL: SepConfig(window=size), **stream_contenders(config.stream)}
    for name, rule in run.track(rules.items(), "text", name="streams", key=lambda item: item[0]):
        with apply_sepllm(model, tokenizer, rule) as applied:
            cache = applied.new_cache()
            nll = streams_nll(model, batch, cache)
            stats = cache.stats()
        run.append(
            "streams",
            {
                "key": name,
                "nll": nll.mean(1).tolist(),
                # An unbounded cache counts a chunk as one step; fed one by one, full attention holds 1 ... size - 1.
                "mean": stats["stored_mean"] if rule.capacity is not None else size / 2,
                "bytes": stats["kv_bytes_now"] / count,
            },
        )
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
    contenders = stream_contenders(config.stream)
    names = [f"{FULL}, in windows", f"{FULL}, raw", SEP, STRM_MEAN]
    for name in run.track(names, "long stream", name="long", key=str):
        if name in contenders:
            with apply_sepllm(model, tokenizer, contenders[name]) as applied:
                cache = applied.new_cache()
                nll = stream_nll(model, stream, cache=cache)
            size = cache.stats()["kv_bytes_now"]
        elif name.endswith("raw"):
            with apply_sepllm(model, tokenizer, SepConfig(window=len(stream))) as applied, warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # positions beyond the trained ones are what is shown here
                cache = applied.new_cache()
                nll = stream_nll(model, stream, cache=cache)
            size = cache.stats()["kv_bytes_now"]
        else:
            nll, size = window_nll(model, stream, context=context, stride=context // 2), None
        run.append("long", {"key": name, "nll": [round(value, 6) for value in nll.tolist()], "bytes": size})
    table, curves = [], {}
    for row in run.rows("long"):
        nll = torch.tensor(row["nll"], dtype=torch.float64)
        quarters = {f"quarter {index}": perplexity(part) for index, part in enumerate(nll.chunk(4), start=1)}
        held = "-" if row["bytes"] is None else row["bytes"] / 1024
        table.append({"method": row["key"], **quarters, "cache at the end [KiB]": held})
        curves[row["key"]] = [float(part.mean()) for part in nll.split(128)]
    return table, curves


def evaluate_problems(run: Run, model: Any, tokenizer: Any, config: EvalConfig) -> list[dict[str, Any]]:
    """Solve unseen word problems after a few solved ones, greedily, under every contender.

    The examples differ from problem to problem and belong to another split. StreamingLLM at equal mean gets the window
    that keeps as many tokens as SepLLM was measured to keep.

    Returns:
        One row per contender: accuracy with its Wilson interval, the difference to SepLLM paired over problems (with
        McNemar's exact p), mean tokens in the cache, and the share of all keys that were attended to.
    """
    problems = list(generate_problems(derive(config.seed, "sepllm"), "test", config.problems))
    prompts = [
        chat_prompt(
            tokenizer, problem, list(generate_problems(derive(config.seed, "shots", index), "valid", config.shots))
        )
        for index, problem in enumerate(problems)
    ]
    length = int(model.config.max_position_embeddings)
    for name in (FULL, SEP, STRM, STRM_MEAN):
        mean = None if name != STRM_MEAN else (run.load_json(f"usage-{_slug(SEP)}") or {})["stored_mean"]
        rule = problem_contenders(config.window, config.init, length, mean)[name]
        if run.load_json(f"usage-{_slug(name)}") is not None:
            continue
        usage: list[dict[str, float]] = []
        with apply_sepllm(model, tokenizer, rule) as applied:

            def answer(texts: Any, applied: Any = applied, usage: Any = usage) -> list[str]:
                cache = applied.new_cache()
                answers = greedy_texts(
                    model, tokenizer, texts, max_new_tokens=config.max_new_tokens, **{cache_argument(model): cache}
                )
                usage.append(cache.stats())
                return answers

            for batch in solve(problems, prompts, answer, batch_size=config.batch_size):
                for row in batch:
                    if not run.done(f"problems-{_slug(name)}", row["key"]):
                        run.append(f"problems-{_slug(name)}", row)
        names = ("stored_mean", "kv_time_avg_pct")
        run.save_json(f"usage-{_slug(name)}", {each: sum(use[each] for use in usage) / len(usage) for each in names})
    return _problem_table(run, config)


def _problem_table(run: Run, config: EvalConfig) -> list[dict[str, Any]]:
    correct = {
        name: [row["correct"] for row in run.rows(f"problems-{_slug(name)}")] for name in (FULL, SEP, STRM, STRM_MEAN)
    }
    table = []
    for name, marks in correct.items():
        usage = run.load_json(f"usage-{_slug(name)}")
        low, high = wilson_interval(sum(marks), len(marks))
        difference = paired_interval(
            [float(mark) for mark in marks],
            [float(mark) for mark in correct[SEP]],
            seed=derive(config.seed, "problems", name),
        )
        table.append(
            {
                "method": name,
                "problems": len(marks),
                "accuracy": sum(marks) / len(marks),
                "low": low,
                "high": high,
                "minus SepLLM": difference.difference,
                "difference low": difference.low,
                "difference high": difference.high,
                "p": mcnemar_p(marks, correct[SEP]),
                "mean cache [tokens]": usage["stored_mean"],
                "share of keys [%]": usage["kv_time_avg_pct"],
            }
        )
    return table


def _slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-").lower()


def _exp(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float64).exp())


def _exp_mean(values: list[float]) -> float:
    return perplexity(torch.tensor(values, dtype=torch.float64))
