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
    from tenon.methods.sepllm.comparison import compare
    from tenon.methods.sepllm.evaluate import EvalConfig
    from tenon.tasks.text import python_docs

    model, tokenizer = load_model("nano-lm"), load_tokenizer("nano-lm")
    ids = torch.tensor(tokenizer(python_docs()[:CHARACTERS], add_special_tokens=False, verbose=False)["input_ids"])
    compare(run, model, tokenizer, ids, EvalConfig(), model_name="nano-lm", text="Python's documentation")
    run.note("So few problems cannot rank close methods; the method's card has a thousand.")
    return run.collect(
        CARD.title,
        "A small language model streams text it has never seen and solves word problems: with all keys and values, "
        "with SepLLM's, and with StreamingLLM's at the same memory.",
        card=CARD,
    )
