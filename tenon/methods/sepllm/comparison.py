"""The whole comparison as one page: measured by `evaluate`, drawn by `pictures`; the tour and the command share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxtyping import Int
from torch import Tensor

from tenon.methods.sepllm.contenders import SEP, STRM_MEAN, EvalConfig
from tenon.methods.sepllm.evaluate import evaluate_long, evaluate_streams
from tenon.methods.sepllm.pictures import draw_long, draw_memory
from tenon.methods.sepllm.problems import evaluate_problems

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["compare", "verdicts"]


def compare(
    run: Run, model: Any, tokenizer: Any, ids: Int[Tensor, " text"], config: EvalConfig, *, model_name: str, text: str
) -> dict[str, Any]:
    """Measure text, one long stream and word problems under every contender, and show them in the run's report.

    Args:
        run: Keeps what is measured, so that a killed comparison goes on.
        model: A causal language model, in eval mode, unchanged; with no problems it needs no chat template.
        tokenizer: Its tokenizer.
        ids: The text.
        config: How much of what; `problems=0` leaves the word problems out.
        model_name: Stands beside every figure.
        text: What the text is, for the captions.

    Returns:
        The rows of each table by name: `streams`, `long`, and `problems` unless left out; and the `verdicts`, which
        also stand on the page as notes.
    """
    context = int(model.config.max_position_embeddings)
    figures: dict[str, Any] = {"streams": evaluate_streams(run, model, tokenizer, ids, config)}
    run.table(
        "text",
        figures["streams"],
        f"{model_name} on {config.streams} stretches of {text}, {config.stream_tokens} tokens each. The ratio of "
        "perplexities to SepLLM's has a 95 % interval, paired over stretches.",
    )
    figures["long"], curves = evaluate_long(run, model, tokenizer, ids, config)
    run.table(
        "long-stream",
        figures["long"],
        f"Perplexity of {model_name} by quarter of one stream of {config.long_tokens} tokens of {text}; its trained "
        f"context is {context}. Bytes are those of the stored tensors; windows keep none.",
    )
    run.figure(
        "long-stream",
        draw_long(curves, stretch=128, context=context),
        f"{model_name} along one stream of {text}. Raw full attention goes past the context it was trained on; a "
        "bounded cache with in-cache positions never does.",
        "Lines of negative log-likelihood over position for full attention in windows, full attention raw, SepLLM and "
        "StreamingLLM.",
    )
    if config.problems:
        figures["problems"] = evaluate_problems(run, model, tokenizer, config)
        run.table(
            "word-problems",
            figures["problems"],
            f"{model_name} on {config.problems} unseen word problems of 1 to 6 steps after {config.shots} solved ones; "
            "differences are paired over problems, p is McNemar's.",
        )
    run.figure(
        "memory",
        draw_memory(figures["streams"], figures.get("problems", [])),
        f"{model_name}: quality against what the cache holds on average. Bars are 95 % Wilson intervals.",
        "Scatter plots: perplexity over mean cache size, and accuracy over mean cache size.",
    )
    figures["verdicts"] = verdicts(figures["streams"], figures.get("problems", []))
    for verdict in figures["verdicts"]:
        run.note(verdict)
    return figures


def verdicts(text: Sequence[Mapping[str, Any]], problems: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what the comparison tells of separators: SepLLM against nearer tokens in their place, at the same memory.

    Where the interval of the difference holds none at all, the comparison is called uninformative, not a tie.

    >>> print(verdicts([{"method": STRM_MEAN, "low": 1.01, "high": 1.04, "ratio to SepLLM": 1.02}], [])[0][:60])
    Text: SepLLM is better than StreamingLLM at equal mean cache
    """
    rows = {row["method"]: row for row in text}
    found = []
    if (control := rows.get(STRM_MEAN)) is not None:
        span = f"{control['low']:.3f} to {control['high']:.3f}"
        figure = f"ratio of perplexities {control['ratio to SepLLM']:.3f}, 95 % interval {span}"
        found.append("Text: " + _verdict(control["low"] > 1, control["high"] < 1, figure))
    rows = {row["method"]: row for row in problems}
    if (control := rows.get(STRM_MEAN)) is not None:
        low, mean, high = (0.0 - control[name] for name in ("difference high", "minus SepLLM", "difference low"))
        figure = (
            f"difference of accuracies {mean:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, "
            f"{rows[SEP]['problems']} problems"
        )
        found.append("Word problems: " + _verdict(low > 0, high < 0, figure))
    return found


def _verdict(is_better: bool, is_worse: bool, figure: str) -> str:
    if not is_better and not is_worse:
        return f"uninformative. {SEP} and StreamingLLM at equal mean cache cannot be told apart ({figure})."
    return f"{SEP} is {'better' if is_better else 'worse'} than StreamingLLM at equal mean cache ({figure})."
