"""The tour's stop: SepLLM on nano-lm, beside full attention and StreamingLLM at equal memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenon.methods.sepllm import CARD

if TYPE_CHECKING:
    from tenon.core.report import Report
    from tenon.core.run import Run

__all__ = ["demo"]

CHARACTERS = 120_000
"""Of Python's documentation: more than the streams need, and quick to tokenize."""


def demo(run: Run) -> Report:
    """Stream text and solve word problems on nano-lm under each kind of cache; about half a minute on two cores."""
    import torch

    from tenon.core.models.loading import load_model, load_tokenizer
    from tenon.methods.sepllm.evaluate import EvalConfig, evaluate_long, evaluate_problems, evaluate_streams
    from tenon.methods.sepllm.pictures import draw_long, draw_memory
    from tenon.tasks.text import python_docs

    config = EvalConfig()
    model, tokenizer = load_model("nano-lm"), load_tokenizer("nano-lm")
    ids = torch.tensor(tokenizer(python_docs()[:CHARACTERS], add_special_tokens=False, verbose=False)["input_ids"])

    text = evaluate_streams(run, model, tokenizer, ids, config)
    run.table(
        "text",
        text,
        f"nano-lm on {config.streams} stretches of Python's documentation, {config.stream_tokens} tokens each, within "
        "its trained context. The ratio of perplexities to SepLLM's has a 95 % interval, paired over stretches.",
    )
    long, curves = evaluate_long(run, model, tokenizer, ids, config)
    run.table(
        "long-stream",
        long,
        f"Perplexity of nano-lm by quarter of one stream of {config.long_tokens} tokens; its trained context is "
        f"{model.config.max_position_embeddings}. Bytes are those of the stored tensors.",
    )
    problems = evaluate_problems(run, model, tokenizer, config)
    run.table(
        "word-problems",
        problems,
        f"nano-lm on {config.problems} unseen word problems of 1 to 6 steps after {config.shots} solved ones. So few "
        "problems cannot rank close methods; the method's card has a thousand.",
    )
    run.figure(
        "long-stream",
        draw_long(curves, stretch=128, context=int(model.config.max_position_embeddings)),
        "nano-lm along one stream: full attention fails past the context it was trained on; a bounded cache with "
        "in-cache positions does not notice.",
        "Lines of negative log-likelihood over position for full attention in windows, full attention raw, SepLLM and "
        "StreamingLLM.",
    )
    run.figure(
        "memory",
        draw_memory(text, problems),
        "nano-lm: quality against what the cache holds on average. Bars are 95 % Wilson intervals.",
        "Two scatter plots: perplexity over mean cache size, and accuracy over mean cache size.",
    )
    return run.collect(
        CARD.title,
        "A small language model streams text it has never seen and solves word problems: with all keys and values, "
        "with SepLLM's, and with StreamingLLM's at the same memory.",
        card=CARD,
    )
