"""Slow twins of what the method computes in closed form or all at once; only tests import it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "allocation_by_search",
    "cell_optimum",
    "least_by_search",
    "loss_fit_by_grid",
    "loss_objective",
    "noise_by_hand",
    "noise_of_rows",
    "quadratic_by_sgd",
    "quadratic_by_steps",
    "row_gradients",
]


def least_by_search(
    function: Callable[[float], float], low: float, high: float, *, points: int = 81, rounds: int = 12
) -> float:
    """Find where a function of one positive number is least, by ever finer grids of its logarithm.

    Args:
        function: Has one minimum between `low` and `high`.
        low: Above 0.
        high: Above `low`.
        points: Of each grid.
        rounds: Grids; each spans two steps of the one before.
    """
    left, right = math.log(low), math.log(high)
    best = left
    for _ in range(rounds):
        step = (right - left) / (points - 1)
        best = min((left + step * place for place in range(points)), key=lambda at: function(math.exp(at)))
        left, right = best - step, best + step
    return math.exp(best)


def allocation_by_search(
    loss: Callable[[float, float], float], compute: float, *, flops_per_token_per_param: float = 6.0
) -> tuple[float, float]:
    """Find N and D of least loss at given compute by trying model sizes: the twin of `LossLaw.optimal`.

    Args:
        loss: Of N and D.
        compute: C = k N D [FLOPs].
        flops_per_token_per_param: k.
    """
    product = compute / flops_per_token_per_param
    params = least_by_search(lambda N: loss(N, product / N), 1.0, product, rounds=5)
    return params, product / params


# Gradient noise: every row's gradient by itself, in float64.


def row_gradients(model: Any, input_ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Give the gradient of every row's summed loss, one backward each, and how many targets it has.

    Returns:
        [rows, parameters] in float64, flat over all parameters that are trained, and [rows].
    """
    import torch  # here: the other twins do without

    exact = copy.deepcopy(model).double().train()
    parameters = [one for one in exact.parameters() if one.requires_grad]
    gradients, counts = [], []
    for ids, wanted in zip(input_ids, labels, strict=True):
        log_p = exact(input_ids=ids[None]).logits[0].log_softmax(-1)
        places = [place for place in range(len(ids) - 1) if wanted[place + 1] != -100]
        loss = sum((-log_p[place, wanted[place + 1]] for place in places), log_p.new_zeros(()))
        parts = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        gradients.append(torch.cat([one.reshape(-1) for one in parts]))
        counts.append(len(places))
    return torch.stack(gradients), torch.tensor(counts)


def noise_by_hand(
    model: Any, micro_batches: Sequence[tuple[Tensor, Tensor]], *, tokens: Sequence[int]
) -> tuple[float, float]:
    """Give |G|^2 and tr(Sigma) of one token from the first micro-batch and all of them, targets weighted alike.

    Args:
        model: Before the step.
        micro_batches: `input_ids` and `labels` of each.
        tokens: Tokens of each.
    """
    found = [row_gradients(model, ids, labels) for ids, labels in micro_batches]
    means = [gradients.sum(0) / counts.sum() for gradients, counts in found]
    sizes = [int(counts.sum()) for _, counts in found]
    whole: Any = sum(size * mean for size, mean in zip(sizes, means, strict=True))
    whole = whole / sum(sizes)
    per_target = sum(tokens) / sum(sizes)
    b, big = sizes[0] * per_target, sum(sizes) * per_target
    small_sq, big_sq = float((means[0] ** 2).sum()), float((whole**2).sum())
    return (big * big_sq - b * small_sq) / (big - b), (small_sq - big_sq) / (1 / b - 1 / big)


def noise_of_rows(gradients: Tensor) -> tuple[float, float]:
    """Give |G|^2 and tr(Sigma) of one row over a whole population of rows [rows, parameters], by their definitions."""
    mean = gradients.mean(0)
    return float((mean**2).sum()), float(((gradients - mean) ** 2).sum() / len(gradients))


def quadratic_by_steps(batch: float, lr: float, steps: int, dimensions: int) -> float:
    """Give the noisy quadratic's expected loss by its recursion, one step and one coordinate at a time."""
    loss = 0.0
    for place in range(1, dimensions + 1):
        curvature = noise = 1.0 / place
        square = 1.0
        for _ in range(steps):
            square = (1 - lr * curvature) ** 2 * square + lr**2 * noise / batch
        loss += 0.5 * curvature * square
    return loss


def quadratic_by_sgd(
    batch: int, lr: float, steps: int, dimensions: int, repeats: int, seed: int
) -> tuple[float, float]:
    """Train the noisy quadratic by SGD on drawn gradients, sample by sample; give mean loss and standard error."""
    import numpy

    rng = numpy.random.default_rng(seed)
    curvature = 1.0 / numpy.arange(1, dimensions + 1)
    theta = numpy.ones((repeats, dimensions))
    for _ in range(steps):
        # Every sample's gradient is h theta + noise of variance h; the batch takes their mean.
        noise = rng.normal(size=(batch, repeats, dimensions)).mean(axis=0) * numpy.sqrt(curvature)
        theta = theta - lr * (curvature * theta + noise)
    losses = 0.5 * (curvature * theta**2).sum(axis=1)
    return float(losses.mean()), float(losses.std(ddof=1) / math.sqrt(repeats))


def cell_optimum(runs: Sequence[tuple[float, float, float]], points: int = 5) -> tuple[float, float]:
    """Give the best batch and loss of a cell from (batch, lr, loss), every batch tuned: the twin of `find_cells`."""
    import numpy

    tuned = []
    for batch in sorted({run[0] for run in runs}):
        line = sorted((math.log(lr), loss) for b, lr, loss in runs if b == batch)
        least = min(range(len(line)), key=lambda i: line[i][1])
        three = numpy.array(line[least - 1 : least + 2])
        parabola = numpy.poly1d(numpy.polyfit(three[:, 0], three[:, 1], 2))
        tuned.append((math.log(batch), float(parabola(parabola.deriv().roots[0].real))))
    least = min(range(len(tuned)), key=lambda i: tuned[i][1])
    near = numpy.array(tuned[max(0, least - points // 2) : least + points // 2 + 1])
    parabola = numpy.poly1d(numpy.polyfit(near[:, 0], near[:, 1], 2))
    place = float(parabola.deriv().roots[0].real)
    return math.exp(place), float(parabola(place))


def loss_objective(
    constants: Sequence[float], runs: Sequence[tuple[float, float, float]], delta: float = 1e-3, asymmetry: float = 1.0
) -> float:
    """Give the summed Huber penalty of (E, A, B, alpha, beta) over runs (N, D, L), run by run, from its definition."""
    E, A, B, alpha, beta = constants
    total = 0.0
    for n, d, loss in runs:
        residual = math.log(E + A * n**-alpha + B * d**-beta) - math.log(loss)
        size = abs(residual)
        penalty = residual**2 / 2 if size <= delta else delta * (size - delta / 2)
        total += penalty * (asymmetry if residual > 0 else 1.0)
    return total


def loss_fit_by_grid(
    runs: Sequence[tuple[float, float, float]], every: int = 1, delta: float = 1e-3
) -> tuple[tuple[float, float, float, float, float], float]:
    """Fit E + A N^-alpha + B D^-beta from the 4,500 starts of Hoffmann et al., one after the other, with scipy's BFGS.

    Args:
        runs: (N, D, L).
        every: Take each so many-th start only.
        delta: Of Huber's penalty.

    Returns:
        (E, A, B, alpha, beta) of the best end, and the sum of its penalties.
    """
    import itertools

    import numpy
    from scipy.optimize import minimize

    log_n, log_d, log_loss = numpy.log(numpy.array(runs, dtype=float)).T

    def objective(theta: Any) -> tuple[float, Any]:
        a, b, e, alpha, beta = theta
        terms = numpy.stack([a - alpha * log_n, b - beta * log_d, numpy.full_like(log_n, e)])
        top = terms.max(axis=0)
        parts = numpy.exp(terms - top)
        residual = top + numpy.log(parts.sum(axis=0)) - log_loss
        size = numpy.abs(residual)
        cost = numpy.where(size <= delta, residual**2 / 2, delta * (size - delta / 2))
        slope = numpy.clip(residual, -delta, delta) * parts / parts.sum(axis=0)
        gradient = [slope[0].sum(), slope[1].sum(), slope[2].sum(), -(slope[0] @ log_n), -(slope[1] @ log_d)]
        # A thousandfold sum: as it stands, the default tolerances end the search where it began.
        return 1e3 * float(cost.sum()), 1e3 * numpy.array(gradient)

    powers, units, amplitudes = (0.0, 0.5, 1.0, 1.5, 2.0), (-1.0, -0.5, 0.0, 0.5, 1.0), range(0, 30, 5)
    starts = list(itertools.product(amplitudes, amplitudes, units, powers, powers))
    best = None
    for start in starts[::every]:
        found = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
        if best is None or found.fun < best.fun:
            best = found
    a, b, e, alpha, beta = (float(value) for value in best.x)  # type: ignore[union-attr]
    constants = (math.exp(e), math.exp(a), math.exp(b), alpha, beta)
    return constants, loss_objective(constants, runs, delta)
