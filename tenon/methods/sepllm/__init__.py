"""SepLLM (arXiv 2412.12094): keep initial, separator and neighbouring tokens; half the KV cache, endless streams."""

from __future__ import annotations

from tenon.core.front import on_demand
from tenon.core.report import Card
from tenon.methods.sepllm.config import PRESETS, SepConfig

__all__ = [
    "CARD",
    "PRESETS",
    "SepCache",
    "SepConfig",
    "app",
    "apply_sepllm",
    "demo",
    "resolve_separators",
    "sep_mask",
    "stream_perplexity",
]

CARD = Card(
    name="sepllm",
    title="SepLLM",
    paper="SepLLM: Accelerate Large Language Models by Compressing One Segment into One Separator",
    arxiv="2412.12094",
    summary="Half the KV cache or less, and endless streams: keep first tokens, separators and nearest tokens.",
    shape="apply",
    when_to_use="Long prompts, long chats or endless streams on any Llama, Qwen or Mistral model, without training.",
)

__getattr__ = on_demand(
    __name__,
    {
        "SepCache": "cache",
        "app": "cli",
        "apply_sepllm": "model",
        "resolve_separators": "separators",
        "sep_mask": "mask",
        "stream_perplexity": "stream",
    },
)

# Now, because a later import of the submodule `demo` would take this name; it is light.
from tenon.methods.sepllm.demo import demo  # noqa: E402 - it reads CARD
