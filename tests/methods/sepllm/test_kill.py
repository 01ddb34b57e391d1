"""SepLLM's stages killed in the middle of their writes: run again, they leave the bytes of ones that were not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.killing import assert_same_bytes, stopped_job

JOBS = "tests.methods.sepllm.kill_job"


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
    assert_same_bytes(stopped_job(f"{JOBS}:{job}", tmp_path, "--points", str(points)), points)


def test_the_kill_test_notices_a_cache_that_is_not_restored(tmp_path: Path) -> None:
    before = "tests.methods.sepllm.kill_job:break_restoring"
    result = stopped_job(f"{JOBS}:stream_job", tmp_path, "--points", "8", "--before", before)
    assert any(point["differing"] for point in result["points"])
