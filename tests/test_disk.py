"""A disk that is really full, and one that is really read-only: a small file system of the test's own.

What happens at each single write is in `core/test_run_kill.py`; here the whole command meets the real thing once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

IN_A_NAMESPACE = ("unshare", "--mount", "--map-root-user")
"""The mount is seen by this process and its children alone, and goes with them; no rights are needed for it."""

SCRIPT = """
command="$PYTHON -m tenon sepllm stream --tokens 300 --out $DISK/run"
mount -t tmpfs -o size=64k tmpfs "$DISK" || exit 77
$command > full.out 2> full.err; echo $? > full.code
find "$DISK" -type f > full.files
mount -o remount,ro "$DISK"
$command > readonly.out 2> readonly.err; echo $? > readonly.code
mount -o remount,rw,size=16m "$DISK"
$command > roomy.out 2> roomy.err; echo $? > roomy.code
find "$DISK" -type f > roomy.files
"""


def can_mount(folder: Path) -> bool:
    try:
        mount = [*IN_A_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", str(folder)]
        return subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_a_full_disk_and_a_read_only_one_end_in_one_message_and_the_work_goes_on_after(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not can_mount(disk):
        pytest.skip("this machine does not let a test mount a file system of its own")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHON": sys.executable, "DISK": str(disk)}
    done = subprocess.run([*IN_A_NAMESPACE, "sh", "-c", SCRIPT], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0

    def text(name: str) -> str:
        return (tmp_path / name).read_text()

    for name, told in (("full", "No space left on device"), ("readonly", "Read-only file system")):
        assert text(f"{name}.code").strip() == "2", text(f"{name}.err")
        assert f"Error: {told} at {disk}" in text(f"{name}.err")
        assert "choose another folder with --out" in text(f"{name}.err")
        assert "Traceback" not in text(f"{name}.err")
        assert text(f"{name}.out") == ""
    assert ".writing" not in text("full.files")
    assert text("roomy.code").strip() == "0", text("roomy.err")
    assert f"{disk}/run/report.html" in text("roomy.files")
