"""The whole comparison as one page: measured by `evaluate`, drawn by `pictures`; the tour and the command share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jaxtyping import Int
from torch import Tensor

from tenon.methods.sepllm.evaluate import EvalConfig, evaluate_long, evaluate_problems, evaluate_streams
from tenon.methods.sepllm.pictures import draw_long, draw_memory

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["compare"]


def compare(
    run: Run, model: Any, tokenizer: Any, ids: Int[Tensor, " text"], config: EvalConfig, *, model_name: str, text: str
) -> dict[str, list[dict[str, Any]]]:
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
        The rows of each table by name: `streams`, `long`, and `problems` unless left out.
    """
    context = int(model.config.max_position_embeddings)
    figures = {"streams": evaluate_streams(run, model, tokenizer, ids, config)}
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
        f"context is {context}. Bytes are those of the stored tensors.",
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
    return figures
