"""`tenon doctor`: what this machine has, and what to type for what it lacks."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import tenon
from tenon.core.commandline import Json, emit

__all__ = ["doctor", "examine"]

SHOWN = ("torch", "transformers", "accelerate", "tokenizers", "datasets", "numpy")
"""Libraries whose versions decide most questions."""


def doctor(as_json: Json = False) -> None:
    """Look at this machine: versions, device, memory, extras, nano weights, write access.

    Example: tenon doctor
    """
    found = examine(Path.cwd())
    lines = []
    for topic, facts in found.items():
        lines.append(topic)
        lines += [f"  {name:<14} {value}" for name, value in facts.items()]
    emit(found, as_json=as_json, text="\n".join(lines))


def examine(folder: Path) -> dict[str, dict[str, Any]]:
    """Gather the facts by topic; `folder` is where runs would be written."""
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    machine: dict[str, Any] = {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "memory": f"{_total_memory_bytes() / 2**30:.1f} GiB",
        "device": ", ".join(devices) or ("Apple GPU (mps)" if torch.backends.mps.is_available() else "CPU only"),
    }
    for index in range(len(devices)):
        free, total = torch.cuda.mem_get_info(index)
        machine[f"GPU {index} memory"] = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    writable = os.access(folder, os.W_OK)
    return {
        "versions": {
            "tenon": version("tenon") if _installed("tenon") else "not installed (run from its folder)",
            "python": sys.version.split()[0],
            **{name: version(name) if _installed(name) else "MISSING: pip install tenon" for name in SHOWN},
        },
        "machine": machine,
        "extras": {name: _extra(name, libraries) for name, libraries in _extras().items()},
        "nano": _nano(),
        "here": {"folder": folder, "writable": "yes" if writable else "NO: go to a folder that is, or use --out"},
    }


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _extras() -> dict[str, list[str]]:
    """The extras and their libraries, as the installed package declares them."""
    if not _installed("tenon"):
        return {}
    extras: dict[str, list[str]] = {}
    for requirement in distribution("tenon").requires or ():
        if match := re.match(r"([\w.-]+).*extra == ['\"](\w+)['\"]", requirement):
            extras.setdefault(match[2], []).append(match[1])
    return extras


def _extra(name: str, libraries: list[str]) -> str:
    missing = [library for library in libraries if not _installed(library)]
    return "present" if not missing else f"missing {', '.join(missing)}: pip install 'tenon[{name}]'"


def _nano() -> dict[str, str]:
    facts = {}
    for config in sorted(Path(tenon.__file__).parent.glob("nano/*/config.json")):
        folder = config.parent
        weights = list(folder.glob("*.safetensors"))
        size = sum(path.stat().st_size for path in weights) / 1e6
        facts[folder.name] = f"present ({size:.1f} MB)" if weights else "MISSING its weights: install tenon again"
    return facts or {"nano-lm": "MISSING: install tenon again, or make it: tenon nano train lm"}


def _total_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
