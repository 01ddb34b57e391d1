"""The family of errors that users see. A message says what came, what is needed, and what to do."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = [
    "BackendError",
    "ConfigError",
    "DataError",
    "MissingExtra",
    "RunConflict",
    "TenonError",
    "UnsupportedModelError",
    "UnsupportedVersion",
    "need",
    "require",
]


class TenonError(Exception):
    """Something the user can put right. Our own mistakes are `AssertionError`s."""


class ConfigError(TenonError, ValueError):
    """An option is unknown, of the wrong type, or out of range."""


class DataError(TenonError, ValueError):
    """A file, row or tensor from outside is not what it must be."""


class UnsupportedModelError(TenonError, NotImplementedError):
    """The model's architecture has no known roles for what was asked."""


class BackendError(TenonError, RuntimeError):
    """A server, compiler or device did not do its part."""


class RunConflict(TenonError, RuntimeError):
    """The run folder belongs to other work: another config, or another live writer."""


class MissingExtra(TenonError, ImportError):
    """An optional library is not installed."""


class UnsupportedVersion(TenonError, ImportError):
    """A library is installed in a version that we do not work with."""


def require(ok: bool, obj: object, field: str, need: str) -> None:
    """Check one field of a config; for use in `__post_init__`.

    Args:
        ok: Whether the value is acceptable.
        obj: The config, whose class and value the message shows.
        field: The field's name.
        need: How the sentence "it must be ..." ends; may go on after a colon with the reason.

    Raises:
        ConfigError: `ok` is false.

    >>> from types import SimpleNamespace
    >>> require(False, SimpleNamespace(window=0), "window", "1 or more: it counts the query itself")
    Traceback (most recent call last):
    ...
    tenon.core.errors.ConfigError: SimpleNamespace.window is 0; it must be 1 or more: it counts the query itself.
    """
    if not ok:
        raise ConfigError(f"{type(obj).__name__}.{field} is {getattr(obj, field)!r}; it must be {need.rstrip('.')}.")


def need(module: str, *, extra: str) -> ModuleType:
    """Import an optional library at the place where it is used.

    Raises:
        MissingExtra: The import failed; the message names the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{module!r} cannot be imported ({error}); it comes with an extra: pip install 'tenon[{extra}]'.",
            name=module,
        ) from error
