"""Batch-size scaling laws (arXiv 2412.01505, and all others): plan a training run, fit your own laws, measure."""

from __future__ import annotations

from tenon.core.front import on_demand
from tenon.core.report import Card
from tenon.methods.batch_scaling.config import (
    PRESETS,
    BatchFitConfig,
    CriticalFitConfig,
    LossFitConfig,
    SweepConfig,
    SweepModel,
)

__all__ = [
    "CARD",
    "PRESETS",
    "BatchFitConfig",
    "CriticalFitConfig",
    "GradientNoiseScaleCallback",
    "LossFitConfig",
    "SweepConfig",
    "SweepModel",
    "app",
    "demo",
    "fit_batch_law",
    "fit_critical",
    "fit_critical_law",
    "fit_critical_sweep",
    "fit_loss_law",
    "laws",
    "noise_scale",
    "plan",
    "read_runs",
]

CARD = Card(
    name="batch_scaling",
    title="Batch-size scaling laws",
    paper="Scaling Law for Language Models Training Considering Batch Size",
    arxiv="2412.01505",
    summary="Model size, tokens, batch and learning rate for a budget, by every published law and by your own runs.",
    shape="stages",
    when_to_use="Before a training budget is spent; after a small sweep; during a run whose batch may be too large.",
)

__getattr__ = on_demand(
    __name__,
    {
        "GradientNoiseScaleCallback": "probes.noise_callback",
        "app": "cli",
        "fit_batch_law": "fits.batch_fit",
        "fit_critical": "fits.critical_fit",
        "fit_critical_law": "fits.critical_law",
        "fit_critical_sweep": "fits.steps_to_loss",
        "fit_loss_law": "fits.loss_fit",
        "noise_scale": "probes.gradient_noise",
        "plan": "plans.planner",
        "read_runs": "runs.readers",
    },
)

# Now, because a later import of a submodule would take its name; both are light.
from tenon.methods.batch_scaling import laws  # noqa: E402 - it would be shadowed by a later import
from tenon.methods.batch_scaling.demo import demo  # noqa: E402 - it reads CARD
