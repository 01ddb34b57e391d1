"""The tour's stop: a plan for a model of 1.3 B parameters, and a loss law fitted to the runs of Gadre et al."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenon.core.report import Report
    from tenon.core.run import Run

__all__ = ["demo"]


def demo(run: Run) -> Report:
    """Plan and fit, under half a minute."""
    raise NotImplementedError
