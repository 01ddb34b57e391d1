"""The run of a process that only helps: it sees the folder and writes nothing.

Under torchrun every process goes through the same lines. Rank 0 has the run; for the others `Run.open` gives one of
these, so that the code of a training need not ask at every line who it is.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tenon.core import config as configs
from tenon.core.files import plain
from tenon.core.run import Run

__all__ = ["Onlooker"]


class Onlooker(Run):
    """A run that is read as it was found, and whose changes are remembered by nobody."""

    def _begin(self, path: Path, config: Any, command: str, seed: int, identity: dict[str, str], fresh: bool) -> None:
        is_dataclass = dataclasses.is_dataclass(config)
        self.path, self.seed = path, seed
        self.config = plain(configs.identity(config) if is_dataclass else config, "config")
        self._mutex, self._is_open, self._rows = threading.RLock(), True, {}
        # What rank 0 deletes before it begins must not look finished here.
        self._stages = {} if fresh else self._read("stages") or {}

    def close(self, outcome: str = "finished") -> None:
        """Nothing was taken, so nothing is given back."""

    @property
    def notices(self) -> list[str]:
        """None: rank 0 tells them."""
        return []

    def append(self, name: str, row: Mapping[str, Any]) -> bool:
        """Leave it to rank 0."""
        return False

    def log(self, *, step: int, **numbers: float | None) -> None:
        """Leave it to rank 0."""

    def metrics(self) -> list[dict[str, Any]]:
        """None: rank 0 keeps them."""
        return []

    def rewind(self, step: int) -> int:
        """Leave it to rank 0."""
        return 0

    def finish_stage(self, name: str, **facts: Any) -> None:
        """Remember it in this process alone."""
        self._stages = self._stages | {name: plain(facts, f"stage {name!r}")}

    def save_json(self, name: str, value: Any) -> None:
        """Leave it to rank 0."""

    def measured(self, name: str, **facts: Any) -> None:
        """Leave it to rank 0."""

    def measurements(self) -> dict[str, Any]:
        """None: rank 0 keeps them."""
        return {}

    def table(self, *args: Any, **options: Any) -> None:
        """Leave it to rank 0."""

    def figure(self, *args: Any, **options: Any) -> None:
        """Leave it to rank 0."""

    def excerpts(self, *args: Any, **options: Any) -> None:
        """Leave it to rank 0."""

    def note(self, text: str) -> None:
        """Leave it to rank 0."""

    def report(self, *args: Any, **options: Any) -> Path:
        """Give the place of the page that rank 0 writes."""
        return self.path / "report.html"
