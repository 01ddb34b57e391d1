"""The fit by which both environments divide: plain scipy, one start, a fixed amount of work."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize

EVALUATIONS = 2000


def reference_fit(runs: Any) -> float:
    """Minimise least squares of log losses from one start by Nelder-Mead, `EVALUATIONS` times the objective."""
    log_n, log_d, log_loss = np.log(np.asarray(runs, dtype=float)).T

    def objective(x: Any) -> float:
        a, b, e, alpha, beta = x
        predicted = np.logaddexp(np.logaddexp(a - alpha * log_n, b - beta * log_d), e)
        return float(np.square(predicted - log_loss).sum())

    options = {"maxfev": EVALUATIONS, "xatol": 0.0, "fatol": 0.0}
    found = minimize(objective, [6.0, 6.0, 0.5, 0.3, 0.3], method="Nelder-Mead", options=options)
    return float(found.fun)
