"""Names of a package that are imported when first asked for: they need torch, or are for the command line alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["on_demand"]


def on_demand(package: str, home: Mapping[str, str]) -> Callable[[str], Any]:
    """Give a package's `__getattr__` (PEP 562).

    >>> get = on_demand("tenon.core", {"Run": "run"})
    >>> get("Run").__name__
    'Run'

    Args:
        package: Its `__name__`.
        home: The submodule in which each name stands.
    """

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return get
