"""Killed at exact points inside its writes, RISE's work goes on to the same bytes (section 9)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def kills(folder: Path, job: str, *options: str) -> dict[str, Any]:
    name = f"tests.methods.rise.kill_run:{job}"
    command = [sys.executable, "-W", "ignore", "-m", "tests.killing", name, str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"errors": done.stderr}


def check(result: dict[str, Any], points: int) -> None:
    assert len(result["points"]) == points
    for point in result["points"]:
        assert point["first"] == -signal.SIGKILL, point
        assert (point["ended"], point["differing"]) == (0, []), (point, result["errors"])


def test_a_run_killed_inside_its_writes_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    check(kills(tmp_path, "run_job", "--points", "5"), 5)


@pytest.mark.slow
@pytest.mark.parametrize(("job", "points"), [("run_job", 40), ("compare_job", 20)])
def test_work_killed_at_many_points_of_every_stage_goes_on_to_the_same_bytes(
    tmp_path: Path, job: str, points: int
) -> None:
    check(kills(tmp_path, job, "--points", str(points), "--seed", "1"), points)


@pytest.mark.slow
def test_the_test_notices_draws_that_differ_from_process_to_process(tmp_path: Path) -> None:
    before = "tests.methods.rise.kill_run:break_the_draws"
    assert any(
        point["differing"] for point in kills(tmp_path, "run_job", "--points", "8", "--before", before)["points"]
    )
