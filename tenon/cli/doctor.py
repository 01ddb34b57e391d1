"""`tenon doctor`: what this machine has, and what to type for what it lacks."""

from __future__ import annotations

import re
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from tenon.core.commandline import Json, emit
from tenon.core.machine import machine_facts, versions

__all__ = ["doctor", "examine"]


def doctor(as_json: Json = False) -> None:
    """Look at this machine: versions, device, memory, extras, nano weights, write access.

    Example: tenon doctor
    """
    found = examine(Path.cwd())
    lines = []
    for topic, facts in found.items():
        lines += [topic, *(f"  {name:<13} {fact}" for name, fact in facts.items())]
    emit(found, as_json=as_json, text="\n".join(lines))


def examine(folder: Path) -> dict[str, dict[str, Any]]:
    """Gather the facts by topic; `folder` is where runs would be written."""
    return {
        "versions": versions(),
        "machine": machine_facts() | _devices(),
        "extras": _extras(),
        "nano": _nano(),
        "here": {"folder": str(folder), "writable": _writable(folder)},
    }


def _devices() -> dict[str, str]:
    import torch

    cards = {}
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        cards[f"cuda:{index}"] = f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if torch.backends.mps.is_available():
        cards["mps"] = "Apple GPU"
    return cards or {"device": "cpu only: torch sees no GPU"}


def _extras() -> dict[str, str]:
    """Say for every extra of the installed package whether its libraries are there."""
    try:
        requirements = distribution("tenon").requires or []
    except PackageNotFoundError:
        return {"unknown": "tenon runs from its folder; pip install -e . makes its extras known"}
    missing: dict[str, list[str]] = {}
    for requirement in requirements:
        if match := re.match(r"""([\w.-]+).*\bextra == ['"](\w+)['"]""", requirement):
            library, extra = match.groups()
            missing.setdefault(extra, []).extend([] if _is_installed(library) else [library])
    return {
        extra: f"missing {', '.join(absent)}: pip install 'tenon[{extra}]'" if absent else "present"
        for extra, absent in missing.items()
    }


def _is_installed(library: str) -> bool:
    try:
        distribution(library)
    except PackageNotFoundError:
        return False
    return True


def _nano() -> dict[str, str]:
    from tenon.core.models.loading import nano_names, weights_hash

    found = {name: f"present, weights {weights_hash(name)[:12]}" for name in nano_names()}
    return found or {"nano-lm": "MISSING: install tenon again"}


def _writable(folder: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder):  # file modes prove nothing: root, read-only mounts, full disks
            return "yes"
    except OSError as error:
        return f"NO ({error.strerror}): go to another folder, or give --out"
