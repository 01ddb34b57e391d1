"""The `chinchilla` package, in its own environment: answers `bench/batch_scaling.py`. Imports nothing of Tenon's."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
import traceback
from functools import partial
from importlib.metadata import version
from typing import Any

ANSWERS = os.fdopen(os.dup(1), "w")  # stdout is for answers alone; whatever libraries print goes to stderr
os.dup2(2, 1)

# Below, since they print while they are imported: E402 is silenced for that.
import numpy as np  # noqa: E402
from chinchilla import Chinchilla  # noqa: E402
from chinchilla._metrics import log_huber  # noqa: E402
from reference_fit import reference_fit  # noqa: E402

AXES = {
    "E": np.linspace(1.0, 2.0, 5),
    "a": np.linspace(1.0, 10.0, 5),
    "b": np.linspace(1.0, 10.0, 5),
    "alpha": np.linspace(0.1, 0.7, 5),
    "beta": np.linspace(0.1, 0.7, 5),
}
"""The grid of the package's own example for language models, with 5 values an axis (3,125 starts)."""


class Worker:
    """What can be asked, one method each."""

    def start(self) -> dict[str, str]:
        """Say what this environment is."""
        names = ("chinchilla", "numpy", "scipy", "pandas")
        return {"python": platform.python_version(), **{name: version(name) for name in names}}

    def baseline(self, runs: list[list[float]]) -> float:
        """Time the fit that both environments have [s]."""
        began = time.perf_counter()
        reference_fit(np.array(runs))
        return time.perf_counter() - began

    def fit(self, runs: list[list[float]], values: int, delta: float) -> dict[str, Any]:
        """Fit once, on all cores, with `values` starts an axis; its drawing is left out of the time."""
        grid = {name: axis[np.linspace(0, 4, values).round().astype(int)] for name, axis in AXES.items()}
        with tempfile.TemporaryDirectory() as folder:
            law = Chinchilla(folder, param_grid=grid, loss_fn=partial(log_huber, delta=delta), log_level=50)
            for params, tokens, loss in runs:
                law.database.append(N=params, D=tokens, loss=loss)
            law.visualizer.optim = lambda *_, **__: None
            began = time.perf_counter()
            law.fit()
            seconds = time.perf_counter() - began
            return {"seconds": seconds, "starts": values**5, "params": law.get_params()}


def main() -> None:
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"answer": getattr(worker, request.pop("do"))(**request)}
        except Exception:  # whatever it is, it is the answer: the other process tells it
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()
