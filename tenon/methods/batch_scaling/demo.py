"""The tour's stop: a plan for a model of 1.3 B parameters, and a loss law fitted to the runs of Gadre et al."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenon.methods.batch_scaling import CARD

if TYPE_CHECKING:
    from tenon.core.report import Report
    from tenon.core.run import Run

__all__ = ["demo"]


def demo(run: Run) -> Report:
    """Plan and fit, in some seconds; imports no torch."""
    from tenon.methods.batch_scaling.fits.loss_fit import fit_loss_law
    from tenon.methods.batch_scaling.fits.show import show_loss_law
    from tenon.methods.batch_scaling.plans.planner import plan
    from tenon.methods.batch_scaling.plans.show import shipped_surface, show_plan
    from tenon.methods.batch_scaling.runs.readers import read_runs

    surface = shipped_surface()
    found = plan(params="1.3B", gpus="64xH100", surface=surface)
    show_plan(run, found, (), surface)

    runs = read_runs("gadre")
    c4 = runs.take([place for place, group in enumerate(runs.groups) if group == "c4_original"])
    fitted = fit_loss_law(c4, name="gadre-c4")
    show_loss_law(run, fitted)
    alpha, beta = fitted.params["alpha"], fitted.params["beta"]
    low, high = fitted.intervals["a"]
    run.note(
        f"{fitted.runs} runs of Gadre et al. on C4: the best model grows as C^{beta / (alpha + beta):.2f}, 95 % "
        f"interval {low:.2f} to {high:.2f}. Without its interval the fit would look surer than it is."
    )
    return run.collect(
        CARD.title,
        "A budget, and what every published law makes of it; where they disagree, and how far each is from the runs it "
        "was fitted to. Then a law of one's own: the loss of 34 real trainings, and how uncertain every constant is.",
        card=CARD,
    )
