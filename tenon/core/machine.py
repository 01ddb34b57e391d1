"""Facts about the machine and the versions: what a figure was measured on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

__all__ = ["commit", "machine_facts", "versions"]

PACKAGES = ("tenon", "torch", "transformers", "tokenizers", "numpy")


@cache
def machine_facts() -> dict[str, str]:
    """Describe the hardware and the system; the same in every process on one machine, and without its name."""
    facts = {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
    }
    return facts | ({"gpu": gpu} if (gpu := _gpu()) else {})


@cache
def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages on which results depend; imports none of them."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name == "tenon":  # run from a checkout that is not installed
                from tenon import __version__

                found[name] = __version__
    return found


@cache
def commit() -> str | None:
    """Give the git commit of the checkout this package runs from, `-dirty` when files differ; None when installed."""
    package = Path(__file__).resolve().parent.parent
    if not (package.parent / ".git").exists():
        return None
    git = ("git", "--no-optional-locks", "-C", str(package))  # looking must not disturb a commit under way
    head = _output(*git, "rev-parse", "--short=12", "HEAD")
    changes = _output(*git, "status", "--porcelain", "--", ".")
    return f"{head}-dirty" if head and changes else head


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or "unknown"


def _gpu() -> str | None:
    # Asked of the driver, not of torch, so that a process that never loads torch reports the same.
    names = (_output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader") or "").splitlines()
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names)) or None


def _output(program: str, *arguments: str) -> str | None:
    if shutil.which(program) is None:
        return None
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
