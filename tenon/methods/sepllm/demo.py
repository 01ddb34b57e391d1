"""The tour's stop: SepLLM on nano-lm, beside full attention and StreamingLLM at equal memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tenon.methods.sepllm import CARD

if TYPE_CHECKING:
    from tenon.core.report import Report
    from tenon.core.run import Run

__all__ = ["demo"]


def demo(run: Run) -> Report:
    """Stream text and solve word problems on nano-lm under each kind of cache; about half a minute on two cores."""
    from tenon.core.models.loading import load_model, load_tokenizer
    from tenon.methods.sepllm.comparison import compare
    from tenon.methods.sepllm.contenders import EvalConfig
    from tenon.methods.sepllm.evaluate import needed_tokens, read_tokens
    from tenon.tasks.text import PYTHON_DOCS

    model, tokenizer = load_model("nano-lm"), load_tokenizer("nano-lm")
    config = EvalConfig(
        stream=replace(EvalConfig().stream, sep_capacity=32, local=32, capacity=128),
        streams=2,
        stream_tokens=256,
        long_tokens=4096,
        long_equal_capacity=False,  # it alone would take longer than all the rest
        problems=6,
        batch_size=6,
        max_new_tokens=80,
    )
    ids = read_tokens(tokenizer, PYTHON_DOCS, needed_tokens(config))
    compare(run, model, tokenizer, ids, config, model_name="nano-lm", text="Python's documentation")
    run.note("A tour has time for a few stretches and problems only; `tenon sepllm eval` measures more.")
    return run.collect(
        CARD.title,
        "A small language model streams text it has never seen and solves word problems: with all keys and values, "
        "with SepLLM's, and with StreamingLLM's at the same memory.",
        card=CARD,
    )
