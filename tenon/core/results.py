"""Results that are committed: figures with all that is needed to make them again.

A card prints no number that does not stand in such a file (`tenon.core.cards`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenon.core.files import json_bytes, plain, write_atomic
from tenon.core.machine import commit, machine_facts, versions

__all__ = ["write_results"]


def write_results(path: Path, *, command: str, seed: int, weights: str, **content: Any) -> Path:
    """Write one results file: provenance first, then what was measured.

    Args:
        path: The file, beside the card that prints it.
        command: The command that makes these figures again.
        seed: Its seed.
        weights: Hash of the model's weights, so that a retraining cannot stand behind old figures.
        content: What was measured: rows of tables, single values, the config.

    Raises:
        DataError: A value has no JSON form.
    """
    hardware = machine_facts()
    record = {
        "command": command,
        "commit": commit(),
        "seed": seed,
        "weights": weights,
        "hardware": ", ".join(hardware[name] for name in ("gpu", "cpu", "cores", "memory") if name in hardware),
        "versions": versions(),
        **content,
    }
    write_atomic(path, json_bytes(plain(record, path.name)))
    return path
