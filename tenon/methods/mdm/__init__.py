"""MDM (arXiv 2410.14157): masked diffusion that plans, easy tokens first; with its puzzles and its baselines."""

from __future__ import annotations

from tenon.core.front import on_demand
from tenon.core.report import Card
from tenon.methods.mdm.config import PRESETS, DecodeConfig, MDMConfig

__all__ = [
    "CARD",
    "PRESETS",
    "DecodeConfig",
    "MDMConfig",
    "MDMForMaskedDiffusion",
    "MDMTrainer",
    "app",
    "demo",
    "diffusion_loss",
    "sample",
]

CARD = Card(
    name="mdm",
    title="MDM",
    paper="Beyond Autoregression: Discrete Diffusion for Complex Reasoning and Planning",
    arxiv="2410.14157",
    summary="Models that plan: all of an answer at once, what is easy first; trained with a weight on what is hard.",
    shape="train",
    when_to_use="Answers whose first token depends on the last: puzzles, plans, structured output of a known length.",
)

__getattr__ = on_demand(
    __name__,
    {
        "MDMForMaskedDiffusion": "model",
        "MDMTrainer": "trainer",
        "app": "cli",
        "diffusion_loss": "objective",
        "sample": "sampler",
    },
)

# Now, because a later import of the submodule `demo` would take this name; it is light.
from tenon.methods.mdm.demo import demo  # noqa: E402 - it reads CARD
