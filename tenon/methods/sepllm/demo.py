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
    """Look at where attention goes, at what separators carry, and at text under each cache; under half a minute."""
    from tenon.core.models.loading import load_model, load_tokenizer
    from tenon.methods.sepllm.comparison import compare
    from tenon.methods.sepllm.contenders import EvalConfig
    from tenon.methods.sepllm.evaluate import needed_tokens, read_tokens
    from tenon.methods.sepllm.observe import show_attention
    from tenon.methods.sepllm.recall import RecallConfig, shipped_recall
    from tenon.methods.sepllm.recall_tables import show_recall
    from tenon.tasks.text import PYTHON_DOCS

    model, tokenizer = load_model("nano-lm"), load_tokenizer("nano-lm")
    config = EvalConfig(
        stream=replace(EvalConfig().stream, sep_capacity=32, local=32, capacity=128),
        streams=2,
        stream_tokens=256,
        long_tokens=4096,
        long_equal_capacity=False,  # it alone would take longer than all the rest
        problems=0,
    )
    ids = read_tokens(tokenizer, PYTHON_DOCS, needed_tokens(config))
    show_attention(run, model, tokenizer, ids[:1024].view(4, 256), model_name="nano-lm", text="Python's documentation")
    show_recall(run, shipped_recall(), RecallConfig(models=1, sequences=200))
    compare(run, model, tokenizer, ids, config, model_name="nano-lm", text="Python's documentation")
    run.note("A tour has time for a few stretches only; `tenon sepllm eval`, `examples` and `recall` measure more.")
    return run.collect(
        CARD.title,
        "Where a small language model's attention goes; what separators carry in models trained to use them; and text "
        "that the model has never seen: with all keys and values, with SepLLM's, and with StreamingLLM's.",
        card=CARD,
    )
