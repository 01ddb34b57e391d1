"""Killed at exact points inside its writes, each command's work goes on to the same bytes (section 9)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("job", ["kill_finetune:finetune_job", "kill_compare:compare_job"])
def test_work_killed_inside_its_writes_goes_on_to_the_same_bytes(tmp_path: Path, job: str) -> None:
    name = f"tests.methods.mdm.{job}"
    command = [sys.executable, "-W", "ignore", "-m", "tests.killing", name, str(tmp_path), "--points", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    points = json.loads(done.stdout)["points"]
    assert len(points) == 20
    for point in points:
        assert point["first"] == -signal.SIGKILL, point
        assert (point["ended"], point["differing"]) == (0, []), (point, done.stderr)
