"""A law of the critical batch, B_crit = k D^x, from the critical batches of a sweep; D is E_min, the fewest tokens.

Losses of one model size rest on the same trainings, so a size counts as one observation: intervals are a jackknife over
sizes. Power Lines (Bergsma et al. 2025) and Zhang et al. (2024) have laws of this form.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.config import BatchFitConfig, CriticalFitConfig
from tenon.methods.batch_scaling.fits import batch_facts as facts
from tenon.methods.batch_scaling.fits.law_card import FittedLaw
from tenon.methods.batch_scaling.fits.power_fit import fit_power
from tenon.methods.batch_scaling.fits.steps_to_loss import CriticalAt, CriticalSweep, fit_critical_sweep
from tenon.methods.batch_scaling.laws.law import Domain, Law
from tenon.methods.batch_scaling.runs.table import Dropped

__all__ = ["critical_law", "fit_critical_law"]

FEWEST = 3
"""Critical batches for two constants."""


def fit_critical_law(
    runs: Any, config: CriticalFitConfig | None = None, *, name: str = "fitted-critical", **changes: Any
) -> FittedLaw:
    """Find the critical batches of a sweep, and fit their power of the tokens.

    Args:
        runs: As in `fit_critical_sweep`.
        config: Which losses.
        name: Of the law.
        changes: Fields of the config that are to be others.

    Returns:
        `law.critical_batch(D=...)` [tokens]; `residuals` has a row per size and loss.

    Raises:
        DataError: As `fit_critical_sweep` and `critical_law`.
    """
    config = replace(config or CriticalFitConfig(), **changes)
    return critical_law(fit_critical_sweep(runs, config), config, name=name)


def critical_law(sweep: CriticalSweep, config: CriticalFitConfig, *, name: str = "fitted-critical") -> FittedLaw:
    """Fit k and x to critical batches.

    Args:
        sweep: The critical batches.
        config: For the level of the intervals.
        name: Of the law.

    Raises:
        DataError: Fewer than three critical batches are known to a factor of ten, or their tokens are all the same.
    """
    import numpy

    used, left_out = [], []
    for one in sweep.found:
        if reason := _unclear(one):
            left_out.append(Dropped(f"N={one.N:.4g} loss {one.target:.4g}", reason))
        else:
            used.append(one)
    tokens = numpy.log([one.fit.e_min for one in used])
    if len(used) < FEWEST or numpy.ptp(tokens) < math.log(1.1):
        lines = "".join(f"\n  {one.id}: {one.reason}" for one in left_out)
        raise DataError(
            f"{len(used)} of {len(sweep.found)} critical batches are known to a factor of {facts.WIDEST:g}; a law of "
            f"them needs {FEWEST}, at different tokens. Train more batches and numbers of tokens.{lines}"
        )
    measured = numpy.log([one.fit.critical_batch for one in used])
    sizes = sorted({one.N for one in used})
    place = numpy.array([sizes.index(one.N) for one in used])
    fit = fit_power({"D": tokens}, ("D",), measured, place, None, config.level)
    doubts, is_identified = facts.power_doubts(
        [("critical_batch", ("k", "x"), fit)], 0, BatchFitConfig(bootstrap=0, level=config.level)
    )
    rows = []
    for one in used:
        value = float(fit.power(D=one.fit.e_min))
        rows.append(one.row() | {"law": value, "residual": math.log(value / one.fit.critical_batch)})
    table = sweep.runs
    return FittedLaw(
        law=Law(
            name=name,
            title="Critical batch of a sweep",
            equation=facts.equation("critical_batch", fit.power),
            source=table.source,
            tag="fitted",
            formulas={"critical_batch": fit.power},
            n_kind=table.n_kind or "non_embedding",  # type: ignore[arg-type]  # one of NKind, as readers check
            domain=Domain(
                N=facts.ends(sizes),
                D=facts.ends([one.fit.e_min for one in used]),
                B=facts.ends([one.fit.critical_batch for one in used]),
            ),
            caveat="D is the fewest tokens to a loss, E_min; of this sweep's data, schedule and optimiser.",
        ),
        params=dict(zip(("k", "x"), (fit.power.coefficient or 0.0, *fit.power.exponents.values()), strict=True)),
        intervals=dict(zip(("k", "x"), fit.intervals, strict=False)),  # both or none
        objective=sum(row["residual"] ** 2 for row in rows),
        runs=len(used),
        dropped=(*table.dropped, *sweep.left_out, *left_out),
        warnings=doubts,
        identified=is_identified,
        residuals=tuple(rows),
        estimator=asdict(config) | {"sizes": len(sizes), "intervals": "jackknife over model sizes, Student's t"},
        data_sha256=table.sha256(),
        source=table.source,
    )


def _unclear(one: CriticalAt) -> str:
    """Say why a critical batch is too uncertain to be fitted; empty: it is not."""
    low, high = one.fit.intervals.get("critical_batch", (0.0, math.inf))
    if high <= facts.WIDEST * low:
        return ""
    wide = "" if low == 0 else f" ({low:.3g} to {high:.3g})"
    return f"its critical batch, {one.fit.critical_batch:.3g}, is not known to a factor of {facts.WIDEST:g}{wide}"
