"""The loss as a function of model size, steps and batch: L = E + A N^-alpha + F S^-beta + G B^-gamma, S = D / B.

Splitting the tokens into steps and batch gives, without a further fit, the best batch at given data and what a user of
2412.01505 asks first: how size, steps and batch grow with compute when all three are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tenon.core.errors import DataError
from tenon.core.seeds import numpy_rng
from tenon.methods.batch_scaling.fits.cells import Cell, clean_runs, find_cells
from tenon.methods.batch_scaling.fits.law_card import FittedLaw
from tenon.methods.batch_scaling.laws.law import Domain, PowerLaw, Quantity
from tenon.methods.batch_scaling.laws.loss import ThreeTermLoss
from tenon.methods.batch_scaling.runs.table import Dropped

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["NAMES", "doubts", "fit_constants", "fit_surface", "frontier", "refit", "surface_points"]

NAMES = ("E", "A", "alpha", "F", "beta", "G", "gamma")
GRID = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0)
"""Exponents of the start: every combination is solved for its amplitudes, which are linear."""
POLISHED = 6
EXPONENTS = (0.005, 3.0)
"""Bounds of an exponent: a term outside is a constant, or is felt by the smallest runs alone."""
REACH = 25.0
"""Bound of the log amplitudes, counted at the middle of the runs."""
FEW_SIZES = 8
"""With fewer model sizes E and alpha trade against each other: StepLaw's five do not tell them apart."""


class Surface(NamedTuple):
    """Points of the surface: the best run of every batch of every cell, all (n,)."""

    N: ndarray
    S: ndarray
    B: ndarray
    loss: ndarray
    cell: ndarray
    """Which cell, counted from 0."""


def fit_surface(
    runs: Any,
    *,
    name: str = "surface",
    delta: float = 1e-3,
    bootstrap: int = 200,
    level: float = 0.95,
    seed: int = 0,
    keep_edges: bool = True,
) -> FittedLaw:
    """Fit the three-term law to the best run of every batch, by Huber's penalty of log residuals.

    Args:
        runs: As in `find_cells`: a sweep over sizes, tokens, batches and learning rates.
        name: Of the law.
        delta: Where the penalty turns linear [log loss].
        bootstrap: Refits to resampled cells; 0 gives no intervals.
        level: Of the intervals.
        seed: Of the bootstrap.
        keep_edges: Use batches whose best learning rate stands at an edge, too. Their losses are a little too high, but
            without them the smallest and largest batches are missing, which the batch term needs.

    Raises:
        DataError: Too few points, or only one value of N, S or B.
    """
    import numpy

    table = clean_runs(runs)
    cells = find_cells(table)
    points = surface_points(cells, keep_edges=keep_edges)
    constants, objective = fit_constants(points, delta=delta)
    law = ThreeTermLoss(
        name=name,
        title="Three-term law fitted to a sweep",
        equation="L = {E:.4g} + {A:.4g} N^-{alpha:.4g} + {F:.4g} (D/B)^-{beta:.4g} + {G:.4g} B^-{gamma:.4g}".format(
            **constants
        ),
        source=table.source,
        tag="fitted",
        n_kind=table.counted,
        domain=_domain(points),
        **constants,  # type: ignore[arg-type]
    )
    params = constants | _best_batch(constants)
    refits, failures = refit(points, constants, count=bootstrap, seed=seed, delta=delta)
    intervals, covariance = {}, None
    if len(refits) > 1:
        replicates = numpy.array([[*one.values(), *_best_batch(one).values()] for one in refits])
        ends = numpy.percentile(replicates, [50 * (1 - level), 50 * (1 + level)], axis=0)
        intervals = {one: (float(low), float(high)) for one, low, high in zip(params, *ends, strict=True)}
        covariance = numpy.cov(replicates, rowvar=False).tolist()
    fitted = _value(points, constants)
    residuals = numpy.log(fitted) - numpy.log(points.loss)
    edges = [(cell, one) for cell in cells for one in cell.batches if one.is_edge]
    dropped = () if keep_edges else tuple(Dropped(f"{cell.id} B={one.batch:.4g}", one.advice) for cell, one in edges)
    told, identified = doubts(points, params, intervals, len(edges) if keep_edges else 0)
    return FittedLaw(
        law=law,
        params=params,
        intervals=intervals,
        covariance=covariance,
        objective=objective,
        runs=len(points.loss),
        dropped=(*table.dropped, *dropped),
        warnings=tuple(told),
        identified=identified,
        residuals=tuple(
            {"N": float(n), "D": float(s * b), "B": float(b), "loss": float(y), "law": float(f), "residual": float(r)}
            for n, s, b, y, f, r in zip(points.N, points.S, points.B, points.loss, fitted, residuals, strict=True)
        ),
        estimator={
            "form": "three_term", "objective": "huber", "delta": delta, "keep_edges": keep_edges, "level": level,
            "rms_log_residual": float(numpy.sqrt((residuals**2).mean())), "lr_edges": len(edges),
        },
        bootstrap={"n": len(refits), "seed": seed, "over": "cells", "failures": failures} if refits else {},
        data_sha256=table.sha256(),
        source=table.source,
    )  # fmt: skip


def surface_points(cells: Sequence[Cell], *, keep_edges: bool = True) -> Surface:
    """Take the best run of every batch, as it was trained: no parabola adds its own error.

    Raises:
        DataError: Fewer than 8 points, or only one value of N, S or B.
    """
    import numpy

    rows = [
        (cell.N, cell.D / one.batch, one.batch, one.least[1], place)
        for place, cell in enumerate(cells)
        for one in cell.batches
        if keep_edges or not one.is_edge
    ]
    points = numpy.array(rows, dtype=float).reshape(-1, 5)
    single = [name for name, column in zip("NSB", points.T, strict=False) if len(numpy.unique(column)) < 2]
    if len(rows) < 8 or single:
        raise DataError(
            f"The sweep has {len(rows)} batches with a best learning rate"
            f"{' and only one value of ' + ', '.join(single) if single else ''}; the three-term law has 7 constants "
            "and takes 8 points or more, over several model sizes, numbers of steps and batches."
        )
    n, s, b, y, cell = points.T
    return Surface(n, s, b, y, cell.astype(int))


def fit_constants(
    points: Surface, *, delta: float = 1e-3, start: dict[str, float] | None = None
) -> tuple[dict[str, float], float]:
    """Fit the constants by `NAMES`; give them and the objective, the sum of the penalties.

    Args:
        points: The surface.
        delta: Of Huber's penalty.
        start: Constants to start from; None: variable projection on a grid of exponents.
    """
    theta, value = _solve(points, None if start is None else _inner(points, start)[None], delta)
    return _constants(points, theta), value


def refit(
    points: Surface, constants: dict[str, float], *, count: int, seed: int, delta: float = 1e-3
) -> tuple[list[dict[str, float]], int]:
    """Fit to resampled cells, each time from the fit itself; give the constants, and how many refits failed."""
    import numpy

    if not count:
        return [], 0
    cells = int(points.cell.max()) + 1
    drawn = numpy_rng(seed, "surface").integers(0, cells, (count, cells))
    weights = numpy.stack([numpy.bincount(one, minlength=cells) for one in drawn])[:, points.cell].astype(float)
    starts = numpy.repeat(_inner(points, constants)[None], count, axis=0)
    found = _minimise(points, starts, delta, weights)
    kept = [_constants(points, theta) for theta in found.theta[found.converged]]
    return kept, count - len(kept)


def frontier(constants: dict[str, float], flops_per_token: float = 6.0) -> dict[Quantity, PowerLaw]:
    """Give N, S and B of least loss at compute C = 6 N S B, as powers of C whose exponents add up to 1.

    At the optimum alpha A N^-alpha = beta F S^-beta = gamma G B^-gamma = m, because N, S and B cost alike in ln C. So
    each is a power of m, and C fixes m.
    """
    import numpy

    pairs: dict[Quantity, tuple[str, str]] = {"params": ("A", "alpha"), "steps": ("F", "beta"), "batch": ("G", "gamma")}
    inverse = {quantity: 1 / constants[power] for quantity, (_, power) in pairs.items()}
    logs = {quantity: numpy.log(constants[a] * constants[p]) * inverse[quantity] for quantity, (a, p) in pairs.items()}
    total = sum(inverse.values())
    # ln C = ln 6 + sum(logs) - total ln m
    level = (numpy.log(flops_per_token) + sum(logs.values())) / total
    return {
        quantity: PowerLaw(
            coefficient=float(numpy.exp(logs[quantity] - inverse[quantity] * level)),
            exponents={"C": inverse[quantity] / total},
        )
        for quantity in pairs
    }


def _best_batch(constants: dict[str, float]) -> dict[str, float]:
    """Give k and x of the best batch at given tokens, k D^x."""
    beta, gamma = constants["beta"], constants["gamma"]
    k = (constants["G"] * gamma / (constants["F"] * beta)) ** (1 / (beta + gamma))
    return {"k": float(k), "x": float(beta / (beta + gamma))}


def _value(points: Surface, c: dict[str, float]) -> ndarray:
    return (
        c["E"]
        + c["A"] * points.N ** -c["alpha"]
        + c["F"] * points.S ** -c["beta"]
        + c["G"] * points.B ** -c["gamma"]
    )  # fmt: skip


def _middle(points: Surface) -> ndarray:
    import numpy

    return numpy.array([numpy.log(one).mean() for one in (points.N, points.S, points.B)])


def _solve(
    points: Surface, starts: ndarray | None, delta: float, weights: ndarray | None = None
) -> tuple[ndarray, float]:
    """Give the best of the starts: theta = (ln E, ln a, ln f, ln g, alpha, beta, gamma), amplitudes at the middle."""
    found = _minimise(points, _starts(points) if starts is None else starts, delta, weights)
    best = int(found.value.argmin())
    return found.theta[best], float(found.value[best])


def _minimise(points: Surface, starts: ndarray, delta: float, weights: ndarray | None) -> Any:
    import numpy

    from tenon.methods.batch_scaling.fits.newton import minimise
    from tenon.methods.batch_scaling.fits.objective import LogSumExp, Penalty

    logs = numpy.log([points.N, points.S, points.B]) - _middle(points)[:, None]
    designs = numpy.zeros((4, len(points.loss), 7))
    for term in range(4):
        designs[term, :, term] = 1.0
        if term:
            designs[term, :, 3 + term] = -logs[term - 1]
    lower = numpy.array([-REACH] * 4 + [EXPONENTS[0]] * 3)
    upper = numpy.array([REACH] * 4 + [EXPONENTS[1]] * 3)
    every = numpy.ones((1, len(points.loss))) if weights is None else weights
    model = LogSumExp(designs)
    return minimise(model, starts, numpy.log(points.loss), every, Penalty(delta), (lower, upper))


def _starts(points: Surface) -> ndarray:
    import itertools

    import numpy
    from scipy.optimize import nnls

    logs = numpy.log([points.N, points.S, points.B]) - _middle(points)[:, None]
    powers = {(axis, p): numpy.exp(-p * logs[axis]) / points.loss for axis in range(3) for p in GRID}
    ones = numpy.ones(len(points.loss))
    ranked = []
    for exponents in itertools.product(GRID, repeat=3):
        design = numpy.stack([1 / points.loss, *(powers[axis, p] for axis, p in enumerate(exponents))], axis=1)
        # The Gram matrix has the same solution and is 4 x 4, whatever the number of points.
        try:
            amplitudes = numpy.linalg.solve(design.T @ design, design.T @ ones)
        except numpy.linalg.LinAlgError:
            continue
        if (amplitudes <= 0).any():
            amplitudes = numpy.maximum(nnls(design, ones)[0], 1e-6)
        misfit = float(((design @ amplitudes - 1) ** 2).sum())
        ranked.append((misfit, (*numpy.log(amplitudes), *exponents)))
    ranked.sort()
    return numpy.array([theta for _, theta in ranked[:POLISHED]])


def _constants(points: Surface, theta: ndarray) -> dict[str, float]:
    import numpy

    e, *amplitudes, alpha, beta, gamma = theta
    powers = (alpha, beta, gamma)
    A, F, G = (numpy.exp(a + p * m) for a, p, m in zip(amplitudes, powers, _middle(points), strict=True))
    values = (numpy.exp(e), A, alpha, F, beta, G, gamma)
    return {name: float(value) for name, value in zip(NAMES, values, strict=True)}


def _inner(points: Surface, constants: dict[str, float]) -> ndarray:
    import numpy

    powers = [constants[name] for name in ("alpha", "beta", "gamma")]
    logs = numpy.log([constants[name] for name in ("A", "F", "G")]) - numpy.multiply(powers, _middle(points))
    return numpy.array([numpy.log(constants["E"]), *logs, *powers])


def _domain(points: Surface) -> Domain:
    def ends(values: ndarray) -> tuple[float, float]:
        return float(values.min()), float(values.max())

    tokens = points.S * points.B
    return Domain(
        N=ends(points.N), D=ends(tokens), B=ends(points.B), C=ends(6 * points.N * tokens), L=ends(points.loss)
    )


def doubts(points: Surface, params: dict[str, float], intervals: dict[str, Any], edges: int) -> tuple[list[str], bool]:
    """Say what makes the law doubtful, and whether the runs pin it down at all."""
    import numpy

    told = []
    if params["E"] < 1e-3 * points.loss.min():
        told.append("E went to 0: the irreducible loss is not identified by these runs")
    for name in ("alpha", "beta", "gamma"):
        if not 1.01 * EXPONENTS[0] < params[name] < 0.99 * EXPONENTS[1]:
            told.append(f"{name} stopped at its bound {params[name]:.3g}: its term is not identified")
    for name, (low, high) in intervals.items():
        # Amplitudes and k are values at N, S, B, D or C = 1, far outside of any run.
        if name not in ("A", "F", "G") and not name.startswith("k") and high > 10 * max(low, 1e-12):
            told.append(f"the interval of {name} is wider than a factor of ten ({low:.3g} to {high:.3g})")
    identified = not told
    if (sizes := len(numpy.unique(points.N))) < FEW_SIZES:
        told.append(
            f"E and alpha rest on {sizes} model sizes and trade against each other: rely on the batch's exponent, not "
            "on E"
        )
    if edges:
        told.append(
            f"{edges} of {len(points.loss)} batches have their best learning rate at an edge; their losses are upper "
            "bounds"
        )
    return told, identified
