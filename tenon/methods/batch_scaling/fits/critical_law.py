"""A law of the critical batch, B_crit = k D^x, from the critical batches of a sweep; D is E_min, the fewest tokens.

Losses of one model size rest on the same trainings, so a size counts as one observation: intervals are a jackknife over
sizes. Power Lines (Bergsma et al. 2025) and Zhang et al. (2024) have laws of this form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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

TOGETHER = 0.5
"""Correlation of ln N and ln E_min from which on a law of one of them alone holds some of the other's [ours]."""


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
        `law.critical_batch(D=...)` [tokens]; `residuals` has a row per size and loss, and `estimator["sensitivity"]`
        the exponents by other choices: within sizes, with N beside D, without what is extrapolated, other thresholds.

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

    used = _clear(sweep)
    left_out = [Dropped(f"N={one.N:.4g} loss {one.target:.4g}", why) for one in sweep.found if (why := _unclear(one))]
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
    sensitivity = _sensitivity(sweep, used, config)
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
            n_kind=table.counted,
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
        warnings=(*doubts, *_doubts(used, sensitivity)),
        identified=is_identified,
        residuals=tuple(rows),
        estimator=asdict(config)
        | {"sizes": len(sizes), "intervals": "jackknife over model sizes, Student's t", "sensitivity": sensitivity},
        data_sha256=table.sha256(),
        source=table.source,
    )


def _clear(sweep: CriticalSweep) -> list[CriticalAt]:
    return [one for one in sweep.found if not _unclear(one)]


def _sensitivity(
    sweep: CriticalSweep, used: Sequence[CriticalAt], config: CriticalFitConfig
) -> dict[str, dict[str, float | int]]:
    """Fit the exponents by other choices: how much of them is a choice."""
    told: dict[str, dict[str, float | int]] = {"all": _exponents(used)}
    if len({one.N for one in used}) > 1:
        told["within sizes"] = _exponents(used, within=True)
        told["with N"] = _exponents(used, with_n=True)
    if inside := [one for one in used if "extrapolated" not in one.fit.remarks]:
        told["none extrapolated"] = _exponents(inside)
    for name, values in (("gap", (3.0, 12.0)), ("more_tokens", (1.02, 1.3))):
        for value in values:
            try:
                other = _clear(fit_critical_sweep(sweep.runs, config, **{name: value}))
            except DataError:
                continue
            told[f"{name} {value:g}"] = _exponents(other)
    return {name: one for name, one in told.items() if one}


def _exponents(used: Sequence[CriticalAt], *, within: bool = False, with_n: bool = False) -> dict[str, float | int]:
    """Give x, and y of N if asked for, by least squares; empty where they are not determined."""
    import numpy

    size, tokens, batch = numpy.log([(one.N, one.fit.e_min, one.fit.critical_batch) for one in used]).T.reshape(3, -1)
    columns = [tokens, *([size] if with_n else [])]
    if within:  # every size has a level of its own
        columns += [(size == one).astype(float) for one in sorted(set(size))]
    else:
        columns.append(numpy.ones_like(tokens))
    design = numpy.stack(columns, axis=1)
    if len(used) < FEWEST or numpy.linalg.matrix_rank(design) < design.shape[1]:
        return {}
    found = numpy.linalg.lstsq(design, batch, rcond=None)[0]
    told: dict[str, float | int] = {"batches": len(used), "sizes": len(set(size)), "x": float(found[0])}
    return told | ({"y": float(found[1])} if with_n else {})


def _doubts(used: Sequence[CriticalAt], sensitivity: Mapping[str, Mapping[str, float | int]]) -> Iterator[str]:
    """Say what makes the exponent doubtful."""
    import numpy

    beyond = sum("extrapolated" in one.fit.remarks for one in used)
    if beyond:
        without = sensitivity.get("none extrapolated")
        rest = f"without them x is {without['x']:.2f}" if without else "too few are left without them"
        yield f"{beyond} of {len(used)} critical batches are outside the batches tried; {rest}"
    if inner := sensitivity.get("within sizes"):
        size, tokens = numpy.log([(one.N, one.fit.e_min) for one in used]).T
        together = float(numpy.corrcoef(size, tokens)[0, 1])
        if together > TOGETHER:
            told = (
                f"larger models have more tokens here (correlation {together:.2f}): x holds some of the growth with N"
            )
            yield f"{told}; within sizes it is {inner['x']:.2f}"


def _unclear(one: CriticalAt) -> str:
    """Say why a critical batch is too uncertain to be fitted; empty: it is not."""
    if not one.fit.is_identified:
        return ", ".join(one.fit.remarks)
    low, high = one.fit.intervals.get("critical_batch", (0.0, math.inf))
    if high <= facts.WIDEST * low:
        return ""
    wide = "" if low == 0 else f" ({low:.3g} to {high:.3g})"
    return f"its critical batch, {one.fit.critical_batch:.3g}, is not known to a factor of {facts.WIDEST:g}{wide}"
