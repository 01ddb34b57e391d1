"""Frozen dataclasses from a preset, a file and `--set key=value`; written out, compared, and explained.

The sources are laid over each other, later over earlier: the fields' defaults, the preset, the file, the sets.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import textwrap
import tomllib
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tenon.core.errors import ConfigError
from tenon.core.values import Typed, build, hints, nearest

__all__ = ["completed", "differences", "field_docs", "from_dict", "identity", "load", "to_dict"]

T = TypeVar("T")

NOT_IDENTITY = frozenset({"device", "workers", "output"})
"""Fields of these names say where and how fast the work is done; they never change its result."""


def to_dict(cfg: Any) -> dict[str, Any]:
    """Give a config as a dict that JSON can hold: tuples become lists, paths become text."""
    return {field.name: _plain(getattr(cfg, field.name)) for field in dataclasses.fields(cfg)}


def identity(cfg: Any) -> dict[str, Any]:
    """Give `to_dict(cfg)` without the fields that cannot change a result.

    These are the fields named in `NOT_IDENTITY`, and those declared with `field(metadata={"identity": False})`.
    """
    kept = {}
    for field in dataclasses.fields(cfg):
        if field.name not in NOT_IDENTITY and field.metadata.get("identity", True):
            value = getattr(cfg, field.name)
            kept[field.name] = identity(value) if dataclasses.is_dataclass(value) else _plain(value)
    return kept


def completed(stored: Mapping[str, Any], cfg: Any) -> dict[str, Any]:
    """Give the stored identity of a config with the fields that it lacks and that have their default in `cfg`.

    Such fields were added since; one that `cfg` sets to something else stays absent, and so differs.
    """
    full, settings = dict(stored), identity(cfg)
    for field in dataclasses.fields(cfg):
        name, value, factory = field.name, getattr(cfg, field.name), field.default_factory
        if name in stored:
            if dataclasses.is_dataclass(value) and isinstance(stored[name], Mapping):
                full[name] = completed(stored[name], value)
        elif name in settings and value == (field.default if factory is dataclasses.MISSING else factory()):
            full[name] = settings[name]
    return full


def from_dict(cls: type[T], mapping: Mapping[str, Any]) -> T:
    """Build a config from plain values, as `to_dict`, JSON and TOML give them; the inverse of `to_dict`.

    Raises:
        ConfigError: A field is unknown (the nearest name is told) or missing, a value has the wrong type, or the
            class's own checks refuse it.
    """
    return typing.cast(T, build(cls, mapping, cls.__name__))


def load(
    cls: type[T],
    *,
    presets: Mapping[str, T] | None = None,
    preset: str | None = None,
    file: Path | None = None,
    sets: Sequence[str] = (),
) -> T:
    """Build a config as the command line does.

    Args:
        cls: The config's dataclass.
        presets: The method's `PRESETS`.
        preset: The name of one of them; None starts from the fields' defaults.
        file: A TOML or JSON file (`.json`) that holds some of the fields, or all.
        sets: `key=value` texts. The key of a nested field is dotted (`sep.window=3`). The value is read by the field's
            type: `none`, `true`, `1e9`; `a,b` or `["a", "b"]` for a tuple; JSON for a dict.

    Raises:
        ConfigError: As `from_dict`; also for an unknown preset, an unreadable file, a text without `=`.
    """
    values: dict[str, Any] = {}
    if preset is not None:
        known = presets or {}
        if preset not in known:
            raise ConfigError(f"There is no preset {preset!r} of {cls.__name__}; {nearest(preset, known)}.")
        values = to_dict(known[preset])
    if file is not None:
        values = _overlay(cls, values, _read(Path(file)), str(file))
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text!r} has no '='; write --set key=value.")
        change: Any = Typed(value)
        for part in reversed(key.strip().split(".")):
            change = {part: change}
        values = _overlay(cls, values, change, f"--set {text}")
    return from_dict(cls, values)


@cache
def field_docs(cls: Any) -> dict[str, str]:
    """Give the docstring that stands under each field, as one line; inherited fields included.

    The command line, the docs and the tests read an option's text from here. A field without a docstring is absent, and
    so is every field of a class whose source is not at hand.
    """
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(typing.cast(type, base)))
        except (OSError, TypeError):
            continue
        for field, below in itertools.pairwise(typing.cast(ast.ClassDef, ast.parse(source).body[0]).body):
            match field, below:
                case (ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text)))):
                    docs[name] = " ".join(text.split())
    return docs


def differences(old: Mapping[str, Any], new: Mapping[str, Any], *, prefix: str = "") -> list[str]:
    """Say which values differ, one text each; values in nested dicts by dotted name.

    >>> differences({"window": 256, "sep": {"init": 3}}, {"window": 128, "sep": {"init": 3}})
    ['window: 256 -> 128']
    """
    changes = []
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes += differences(before, after, prefix=f"{prefix}{key}.")
        elif before != after or type(before) is not type(after):
            changes.append(f"{prefix}{key}: {_show(before)} -> {_show(after)}")
    return changes


_ABSENT = object()


def _show(value: Any) -> str:
    text = "(absent)" if value is _ABSENT else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _read(file: Path) -> dict[str, Any]:
    language = "JSON" if file.suffix == ".json" else "TOML"
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if language == "JSON" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"Config file {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"Config file {file} is not valid {language}: {error}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"Config file {file} holds a {type(content).__name__}; it must hold a table of fields.")
    return content


def _overlay(cls: Any, below: Mapping[str, Any], above: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Lay `above` over `below`: tables of a known dataclass field by field, everything else as a whole."""
    kinds, merged = hints(cls), dict(below)
    for key, value in above.items():
        if key not in kinds:
            inner = _inside(cls, str(key))
            meant = f"did you mean {' or '.join(map(repr, inner))}? (known: {', '.join(kinds)})" if inner else None
            raise ConfigError(f"{source}: {cls.__name__} has no field {key!r}; {meant or nearest(str(key), kinds)}.")
        tables = [kind for kind in (kinds[key], *typing.get_args(kinds[key])) if dataclasses.is_dataclass(kind)]
        if isinstance(value, Mapping) and len(tables) == 1:
            lower = merged[key] if isinstance(merged.get(key), Mapping) else _default(cls, key)
            merged[key] = _overlay(tables[0], lower, value, source)
        else:
            merged[key] = value
    return merged


def _inside(cls: Any, name: str) -> list[str]:
    """Give the dotted names of the fields called `name` in the configs inside a config."""
    found: list[str] = []
    for outer, kind in hints(cls).items():
        tables: list[Any] = [one for one in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(one)]
        for table in tables:
            here = [name] if name in hints(table) else []
            found += [f"{outer}.{inner}" for inner in (*here, *_inside(table, name))]
    return found


def _default(cls: Any, name: str) -> dict[str, Any]:
    """Give a nested field's default as a dict, so that setting one of its values keeps the others."""
    field = next(field for field in dataclasses.fields(cls) if field.name == name)
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    return to_dict(value) if dataclasses.is_dataclass(value) else {}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
