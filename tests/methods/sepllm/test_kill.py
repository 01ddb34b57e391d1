"""SepLLM's stages killed in the middle of their writes: run again, they leave the bytes of ones that were not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def stops(folder: Path, job: str, *options: str) -> dict[str, Any]:
    name = f"tests.methods.sepllm.kill_job:{job}"
    command = [sys.executable, "-W", "ignore", "-m", "tests.killing", name, str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"errors": done.stderr}


@pytest.mark.parametrize(
    ("job", "points"),
    [
        ("stream_job", 20),
        ("comparison_job", 4),
        pytest.param("comparison_job", 20, marks=pytest.mark.slow),
        pytest.param("training_job", 20, marks=pytest.mark.slow),
        pytest.param("ablation_job", 20, marks=pytest.mark.slow),
        pytest.param("examples_job", 20, marks=pytest.mark.slow),
        pytest.param("recall_job", 20, marks=pytest.mark.slow),
    ],
)
def test_a_killed_stage_goes_on_to_the_same_bytes(tmp_path: Path, job: str, points: int) -> None:
    result = stops(tmp_path, job, "--points", str(points))
    assert len(result["points"]) == points
    for point in result["points"]:
        assert point["first"] == -signal.SIGKILL, point
        assert (point["ended"], point["differing"]) == (0, []), (point, result["errors"])


def test_the_kill_test_notices_a_cache_that_is_not_restored(tmp_path: Path) -> None:
    before = "tests.methods.sepllm.kill_job:break_restoring"
    result = stops(tmp_path, "stream_job", "--points", "8", "--before", before)
    assert any(point["differing"] for point in result["points"])
