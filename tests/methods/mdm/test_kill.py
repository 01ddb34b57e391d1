"""Killed at exact points inside its writes, each command's work goes on to the same bytes (section 9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.killing import assert_same_bytes, stopped_job


@pytest.mark.slow
@pytest.mark.parametrize("job", ["kill_finetune:finetune_job", "kill_compare:compare_job"])
def test_work_killed_inside_its_writes_goes_on_to_the_same_bytes(tmp_path: Path, job: str) -> None:
    assert_same_bytes(stopped_job(f"tests.methods.mdm.{job}", tmp_path, "--points", "20"), 20)
