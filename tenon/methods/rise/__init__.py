"""RISE (arXiv 2410.06638): subtle errors injected into a model's own right solutions, and DPO on them."""

from __future__ import annotations

from tenon.core.front import on_demand
from tenon.core.report import Card
from tenon.methods.rise.config import PRESETS, Recipe, RISEConfig

__all__ = ["CARD", "PRESETS", "RISEConfig", "RISETrainer", "Recipe", "app", "build_pairs", "demo", "inject_errors"]

CARD = Card(
    name="rise",
    title="RISE",
    paper="Subtle Errors in Reasoning: Preference Learning via Error-injected Self-editing",
    arxiv="2410.06638",
    summary="Preference pairs whose sides differ in one injected error, and a model that learns to tell them apart.",
    shape="stages",
    when_to_use="A model that slips in step 3; questions with answers that can be checked; no teacher.",
)

__getattr__ = on_demand(
    __name__,
    {"RISETrainer": "trainer", "app": "cli", "build_pairs": "pairs", "inject_errors": "edit"},
)

# Now, because a later import of the submodule `demo` would take this name; it is light.
from tenon.methods.rise.demo import demo  # noqa: E402 - it reads CARD
