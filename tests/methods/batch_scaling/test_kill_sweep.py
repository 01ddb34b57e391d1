"""7.17: killed at exact points inside its writes, a sweep goes on to the same table, without a row twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.killing import assert_same_bytes, stopped_job


def kills(folder: Path, *options: str, before: str = "warm_up") -> dict[str, Any]:
    here = "tests.methods.batch_scaling.kill_sweep"
    return stopped_job(f"{here}:job", folder, *options, "--before", f"{here}:{before}")


def test_a_sweep_killed_inside_its_writes_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    assert_same_bytes(kills(tmp_path, "--points", "2"), 2)
    rows = [json.loads(line) for line in (tmp_path / "uninterrupted/runs.jsonl").read_text().splitlines()]
    assert len({row["key"] for row in rows}) == len(rows) > 12  # 3 cells x 2 rates x 2 seeds, and rates were added


@pytest.mark.slow
def test_a_sweep_killed_at_many_points_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    assert_same_bytes(kills(tmp_path, "--points", "40", "--seed", "1"), 40)


@pytest.mark.slow
def test_the_test_notices_weights_that_depend_on_what_went_before(tmp_path: Path) -> None:
    found = kills(tmp_path, "--points", "8", before="break_the_seeds")
    assert any(point["differing"] for point in found["points"])
