"""Compare what lives in two processes that take turns, each dividing by a baseline that both have.

The other process reads requests and writes answers, one JSON object a line, and sleeps in between. What slows the
machine slows a function and its own baseline alike, and what one environment's libraries cost is in both of its times;
so the quotient of the two quotients is about the functions.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tenon.core.errors import BackendError
from tenon.core.seeds import derive

RESAMPLES = 2000


class Peer:
    """Another Python, with libraries that cannot be imported here.

    Args:
        python: Its interpreter.
        worker: The script that it runs.
        environ: Its environment variables.
    """

    def __init__(self, python: Path, worker: Path, environ: Mapping[str, str]) -> None:
        self.name = worker.name
        self._process = subprocess.Popen(
            [str(python), str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(environ)
        )

    def ask(self, do: str, **arguments: Any) -> Any:
        """Let it do one thing, and wait for the answer.

        Raises:
            BackendError: It failed, or is gone; what it wrote to stderr stands above.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise BackendError(f"{self.name} ended (exit status {self._process.wait()}) when asked to {do}.")
        answer = json.loads(line)
        if "error" in answer:
            raise BackendError(f"{self.name} failed when asked to {do}:\n{answer['error']}")
        return answer["answer"]

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # it reads the end of its input, and ends
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def quotient(times: Sequence[float], base: Sequence[float]) -> list[float]:
    """Divide, round by round."""
    return [one / other for one, other in zip(times, base, strict=True)]


def summary(ratios: Sequence[float], *labels: str) -> dict[str, float]:
    """Give the median over rounds and its 95 % bootstrap interval, as `tenon.core.bench` does."""
    draw = random.Random(derive(0, *labels))
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    low, high = medians[round(0.025 * (RESAMPLES - 1))], medians[round(0.975 * (RESAMPLES - 1))]
    return {"ratio": statistics.median(ratios), "low": low, "high": high}
