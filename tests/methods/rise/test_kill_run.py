"""Killed at exact points inside its writes, RISE's work goes on to the same bytes (section 9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.killing import assert_same_bytes, stopped_job

JOBS = "tests.methods.rise.kill_run"


def test_a_run_killed_inside_its_writes_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    assert_same_bytes(stopped_job(f"{JOBS}:run_job", tmp_path, "--points", "5"), 5)


@pytest.mark.slow
@pytest.mark.parametrize(("job", "points"), [("run_job", 40), ("compare_job", 20)])
def test_work_killed_at_many_points_of_every_stage_goes_on_to_the_same_bytes(
    tmp_path: Path, job: str, points: int
) -> None:
    assert_same_bytes(stopped_job(f"{JOBS}:{job}", tmp_path, "--points", str(points), "--seed", "1"), points)


@pytest.mark.slow
def test_the_test_notices_draws_that_differ_from_process_to_process(tmp_path: Path) -> None:
    found = stopped_job(f"{JOBS}:run_job", tmp_path, "--points", "8", "--before", f"{JOBS}:break_the_draws")
    assert any(point["differing"] for point in found["points"])
