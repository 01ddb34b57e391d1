"""volatile.json: when, where and by what a run was worked on; everything that may differ between equal runs."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenon.core.config import differences
from tenon.core.errors import DataError
from tenon.core.files import json_bytes, plain, read_json, write_atomic
from tenon.core.machine import commit, machine_facts, versions

__all__ = ["Session"]


class Session:
    """One process's work on a run, added to the sessions before it."""

    def __init__(self, path: Path, *, command: str, options: Mapping[str, Any]) -> None:
        """Begin a session.

        Args:
            path: The file, `volatile.json`.
            command: The command that does the work.
            options: The whole config, with the fields that are no part of the run's identity.
        """
        self.notices: list[str] = []
        self._path = path
        self._clock = time.monotonic()
        self._facts: dict[str, Any] = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "outcome": "under way, or killed",
            "command": command,
            "options": plain(options, "options", nonfinite=lambda _, value: str(value)),
            "host": platform.node(),
            "pid": os.getpid(),
            "machine": machine_facts(),
            "versions": versions(),
            "commit": commit(),
            "notices": self.notices,
        }
        earlier = self._read()
        self._content = {
            "measured": earlier.get("measured", {}),
            "sessions": [*earlier.get("sessions", []), self._facts],
        }
        for before in earlier.get("sessions", [])[-1:]:
            for change in differences(before.get("versions", {}), self._facts["versions"]):
                self.notice(
                    f"This run was begun with another version ({change}); the rest may differ in its last digits."
                )
        self._write()

    def notice(self, text: str) -> None:
        """Tell the user now, on standard error, and whoever reads volatile.json later."""
        print(f"tenon: {text}", file=sys.stderr, flush=True)
        self.notices.append(text)
        self._write()

    def measured(self, name: str, facts: Mapping[str, Any]) -> None:
        """Keep times and the like; a later session's replace an earlier one's."""
        self._content["measured"][name] = plain(facts, name, nonfinite=lambda _, value: str(value))
        self._write()

    def measurements(self) -> dict[str, Any]:
        """Give what `measured` kept, in this session and before."""
        return dict(self._content["measured"])

    def end(self, outcome: str) -> None:
        """Note how the session went and how long it took."""
        self._facts |= {"outcome": outcome, "seconds": round(time.monotonic() - self._clock, 3)}
        self._write()

    def _read(self) -> dict[str, Any]:
        try:
            content = read_json(self._path)
        except (FileNotFoundError, DataError):  # nothing depends on this file, so a damaged one stops nobody
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self) -> None:
        write_atomic(self._path, json_bytes(self._content, indent=2))
