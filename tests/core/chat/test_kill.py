"""Stopped at any write, `complete` goes on to the bytes of a run that was not stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def kills(folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.killing", "tests.core.chat.kill_job:job", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"errors": done.stderr}


def test_a_kill_at_any_write_changes_nothing(tmp_path: Path) -> None:
    result = kills(tmp_path, "--points", "20")
    for point in result["points"]:
        assert point["first"] == -signal.SIGKILL, point
        assert (point["ended"], point["differing"]) == (0, []), (point, result["errors"])
    assert any(point["torn"] for point in result["points"])


@pytest.mark.slow
def test_a_kill_at_every_write_changes_nothing(tmp_path: Path) -> None:
    result = kills(tmp_path, "--points", "0")
    assert all((point["ended"], point["differing"]) == (0, []) for point in result["points"]), result


def test_the_test_notices_draws_that_differ_from_process_to_process(tmp_path: Path) -> None:
    result = kills(tmp_path, "--points", "12", "--before", "tests.core.chat.kill_job:break_the_draws")
    assert any(point["differing"] for point in result["points"])
