"""A run that is stopped in the middle of a write, twice, and run again leaves the bytes of a run that was not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.killing import EXPLAINED


def stops(folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.killing", "tests.core.kill_job:job", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"errors": done.stderr}


def test_a_kill_at_any_write_changes_nothing(tmp_path: Path) -> None:
    result = stops(tmp_path, "--points", "0")  # all of them: every write, sync and rename of the whole job
    assert len(result["points"]) == result["calls"] > 100
    for point in result["points"]:
        assert point["first"] == -signal.SIGKILL, point
        assert (point["ended"], point["differing"]) == (0, []), (point, result["errors"])
    assert sum(point["torn"] for point in result["points"]) >= 12  # at least each of the rows was torn once


@pytest.mark.parametrize(("disk", "points"), [("ENOSPC", 0), ("EROFS", 40)])
def test_a_disk_that_refuses_is_explained_and_loses_nothing(tmp_path: Path, disk: str, points: int) -> None:
    result = stops(tmp_path, "--points", str(points), "--by", disk)
    for point in result["points"]:
        assert point["first"] == EXPLAINED, (point, result["errors"])
        assert (point["ended"], point["differing"]) == (0, []), (point, result["errors"])
        if disk == "ENOSPC":  # a read-only disk keeps what was half-written when it became so
            assert point["halves"] == [], point


@pytest.mark.parametrize("broken", ["atomic_writes", "cutting_of_torn_lines", "rewinding", "keys"])
def test_the_kill_test_notices_a_broken_run(tmp_path: Path, broken: str) -> None:
    options = ("--points", "24", "--before", f"tests.core.kill_job:break_{broken}")
    result = stops(tmp_path, *options)
    assert any(point["ended"] != 0 or point["differing"] for point in result["points"])
