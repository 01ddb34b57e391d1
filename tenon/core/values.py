"""Plain values, from a file or typed on a command line, as the types that a dataclass declares."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tenon.core.errors import ConfigError

__all__ = ["Typed", "build", "conform", "hints", "nearest"]


class Typed(str):
    """A value as it was typed on the command line: what it means depends on the field's type."""


class _Mismatch(Exception):
    """The value does not fit the type; whoever knows the field's name makes the message."""


def build(cls: Any, mapping: Any, where: str) -> Any:
    """Build the dataclass `cls` from plain values, checking every name and type.

    Args:
        cls: A dataclass whose fields are bool, int, float, str, Path, None, `Literal`, unions, `tuple[...]`,
            `dict[str, ...]`, `Any`, or dataclasses of these.
        mapping: Field names to values. `Typed` text is parsed by the field's type; everything else is checked, and
            accepted when nothing is lost: an integral float for an int, a list for a tuple, text for a `Path`.
        where: How messages name the object.

    Raises:
        ConfigError: An unknown or missing field, a value that does not fit, or a refusal by the class's own checks.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where} is {_came(mapping)}; it must be a table of {cls.__name__}'s fields.")
    kinds = hints(cls)
    for key in mapping:
        if key not in kinds:
            raise ConfigError(f"{where} has no field {key!r}; {nearest(str(key), kinds)}.")
    values = {}
    for field in dataclasses.fields(cls):
        name = f"{where}.{field.name}"
        if field.name in mapping:
            value = mapping[field.name]
            try:
                values[field.name] = _fit(kinds[field.name], value, name)
            except _Mismatch:
                raise ConfigError(f"{name} is {_came(value)}; it must be {_describe(kinds[field.name])}.") from None
        elif field.init and field.default is field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{name} is missing and has no default; it must be {_describe(kinds[field.name])}.")
    return cls(**values)


def conform(config: Any) -> None:
    """Check the types of a config that was made in Python as those of a file are; for use first in `__post_init__`.

    A list where a tuple is declared, or `4.0` where an integer is, is put in its declared form.

    Raises:
        ConfigError: A value that does not fit.
    """
    cls: Any = type(config)
    for name, kind in hints(cls).items():
        value = getattr(config, name)
        try:
            fitted = _fit(kind, value, f"{cls.__name__}.{name}")
        except _Mismatch:
            came, needed = _came(value), _describe(kind)
            raise ConfigError(f"{cls.__name__}.{name} is {came}; it must be {needed}.") from None
        if fitted is not value:
            object.__setattr__(config, name, fitted)


@cache
def hints(cls: Any) -> dict[str, Any]:
    """Give the resolved type of every field that the constructor takes."""
    resolved = typing.get_type_hints(cls)
    return {field.name: resolved[field.name] for field in dataclasses.fields(cls) if field.init}


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, and which there are.

    >>> nearest("windw", ["init", "window"])
    "did you mean 'window'? (known: init, window)"
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    listed = f"known: {', '.join(names) or 'none'}"
    return f"did you mean {close[0]!r}? ({listed})" if close else listed


def _fit(kind: Any, value: Any, where: str) -> Any:
    text = value.strip() if isinstance(value, Typed) else None
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    match origin or kind:
        case typing.Union | types.UnionType:
            return _fit_union(args, value, where)
        case origin if origin is Literal:
            return _fit_literal(args, value, text)
        case origin if origin is tuple:
            return _fit_tuple(args, value if text is None else _items(text), where)
        case origin if origin in (dict, Mapping):
            content = value if text is None else _json(text)
            if isinstance(content, Mapping):
                return {str(key): _fit(args[1] if args else Any, item, where) for key, item in content.items()}
        case scalar if scalar in (bool, int, float, str, Path, type(None), Any):
            return _fit_scalar(scalar, value, text)
        case type() as table if dataclasses.is_dataclass(table):
            return value if isinstance(value, table) else build(table, value if text is None else _json(text), where)
    raise _Mismatch


def _fit_scalar(kind: Any, value: Any, text: str | None) -> Any:
    if kind is Any:
        return value if text is None else text
    if kind is bool and (text or "").lower() in _BOOLEANS:
        return _BOOLEANS[str(text).lower()]
    if kind is type(None) and text in ("none", "None", "null"):
        return None
    if kind is Path and isinstance(value, str | Path):
        return Path(text or value)
    if kind in (int, float):
        return _fit_number(kind, value if text is None else _parse_number(text))
    if not isinstance(value, kind):
        raise _Mismatch
    return value if text is None else text


_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _parse_number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise _Mismatch from None


def _fit_number(kind: type, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Mismatch
    if kind is int and isinstance(value, float) and not value.is_integer():
        raise _Mismatch
    return typing.cast(int | float, kind(value))


def _fit_literal(choices: tuple[Any, ...], value: Any, text: str | None) -> Any:
    for choice in choices:
        if (choice == value and type(choice) is type(value)) if text is None else str(choice) == text:
            return choice
    raise _Mismatch


def _fit_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    tables = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    if isinstance(value, Mapping) and len(tables) == 1:
        return _fit(tables[0], value, where)  # so that the message speaks of this table's own fields
    if type(value) in kinds:
        return value
    # Any typed text would do for a `str` or path, so None is asked first: `none` means None. An int before a float.
    for kind in sorted(kinds, key=lambda kind: (kind is not type(None), kind in (str, Path), kind is float)):
        try:
            return _fit(kind, value, where)
        except (_Mismatch, ConfigError):
            continue
    raise _Mismatch


def _fit_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _Mismatch
    if not kinds or kinds[-1] is Ellipsis:
        kinds = (kinds[0] if kinds else Any,) * len(value)
    if len(kinds) != len(value):
        raise _Mismatch
    return tuple(_fit(kind, item, where) for kind, item in zip(kinds, value, strict=True))


def _items(text: str) -> Any:
    """Split a tuple typed on the command line: JSON when it starts with a bracket, else at the commas."""
    if text.startswith("["):
        return _json(text)
    return [Typed(part) for part in text.split(",") if part.strip()]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise _Mismatch from None


def _describe(kind: Any) -> str:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_describe, args))
    if origin is Literal:
        return f"one of {', '.join(map(repr, args))}" if len(args) > 1 else repr(args[0])
    if origin is tuple and args[-1] is not Ellipsis:
        return f"a list of {len(args)} ({', '.join(map(_describe, args))})"
    if origin is tuple:
        return f"a list (each item {_describe(args[0])})"
    words = {bool: "true or false", int: "an integer", float: "a number", str: "text", Path: "a path"}
    words |= {type(None): "none", tuple: "a list"}
    return words.get(kind) or ("a table" if origin or kind is dict else f"a table of {kind.__name__}'s fields")


def _came(value: Any) -> str:
    return repr(str(value)) if isinstance(value, Typed) else repr(value)
