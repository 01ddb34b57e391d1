"""What all commands share: options that mean the same everywhere, and one way to hand out a result.

    @app.command()
    def stream(model: str, device: Device = "auto", sets: Sets = None, as_json: Json = False) -> None:
        ...
        emit(result, as_json=as_json)

The result goes to standard output, everything else to standard error, so that a command can stand in a pipe.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tenon.core.config import field_docs

__all__ = [
    "ConfigFile",
    "DType",
    "Device",
    "Json",
    "Out",
    "Preset",
    "Seed",
    "Sets",
    "emit",
    "given",
    "say",
    "settings_help",
    "with_seed",
]

ConfigFile = Annotated[Path | None, typer.Option("--config", help="Take options from this JSON or TOML file.")]
Device = Annotated[str, typer.Option("--device", help="Where to compute: auto, cpu, cuda, cuda:1, mps.")]
DType = Annotated[str, typer.Option("--dtype", help="Numbers of the model: auto, float32, bfloat16, float16.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on standard output, and nothing else there.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run; the same command again goes on where it stopped.")]
Preset = Annotated[str | None, typer.Option("--preset", help="Start from this named set of options.")]
Seed = Annotated[int | None, typer.Option("--seed", help="All randomness comes from this number; 0 unless set.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one option; may be given several times.")
]


def given(*, shortened: bool = False) -> str:
    """Give the command that this process was started with, as one would type it again; without passwords in addresses.

    >>> import unittest.mock
    >>> with unittest.mock.patch("sys.argv", ["tenon", "nano", "measure", "--books=/data/books", "--out", "/tmp/run"]):
    ...     given(shortened=True)
    'tenon nano measure --books=books'
    >>> with unittest.mock.patch("sys.argv", ["tenon", "rise", "sample", "m", "--base-url=http://me:secret@host/v1"]):
    ...     given()
    "tenon rise sample m '--base-url=http://***@host/v1'"

    Args:
        shortened: For results that are committed: paths by their last name alone, and without the options that only
            say where to write.
    """
    words, kept = (_USERINFO.sub("***@", word) for word in sys.argv[1:]), ["tenon"]
    for word in words:
        if shortened and word in ("--out", "--results"):
            next(words, None)
        elif shortened and not word.startswith(("--out=", "--results=")):
            head, equals, value = word.rpartition("=")
            kept.append(f"{head}{equals}{Path(value).name}" if Path(value).is_absolute() else word)
        elif not shortened:
            kept.append(word)
    return shlex.join(kept)


_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
"""Name and password in an address."""


def settings_help(default: Any, presets: Collection[str] = (), *parts: str) -> str:
    """List every option of a config for the end of a command's --help: name, value unless set, and its text.

    Args:
        default: A config; those inside it are listed with their name before a dot.
        presets: Names that --preset takes. From a mapping to configs of the default's class, an option's line also
            tells in which of them it is another: `temperature=0.2 (nano: 0.7)`.
        parts: List only these of its fields; none: all.
    """
    head = [f"Presets: {', '.join(presets)}."] if presets else []
    others = presets if isinstance(presets, Mapping) else {}
    return "\n\n".join([*head, "To --set, with what they are otherwise:", *_settings(default, others, "", parts)])


def _settings(config: Any, others: Mapping[str, Any], prefix: str, parts: Collection[str] = ()) -> Iterator[str]:
    cls: Any = type(config)
    texts, others = field_docs(cls), {name: other for name, other in others.items() if isinstance(other, cls)}
    for one in dataclasses.fields(config):
        if parts and one.name not in parts:
            continue
        value, name = getattr(config, one.name), f"{prefix}{one.name}"
        there = {preset: getattr(other, one.name) for preset, other in others.items()}
        if dataclasses.is_dataclass(value):
            yield from _settings(value, there, f"{name}.")
        else:
            told = "; ".join(f"{preset}: {_shown(other)}" for preset, other in there.items() if other != value)
            line = (
                f"  {name}={_shown(value)}{f' ({told})' if told else ''}  {' '.join(texts.get(one.name, '').split())}"
            )
            yield line.replace("[", "\\[")  # no markup


def _shown(value: Any) -> str:
    """Write a value as --set takes it; quoted where one would not see where a text ends."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    is_plain = not isinstance(value, Mapping) and str(value) == " ".join(str(value).split()) != ""
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False, default=str)


def with_seed(sets: Sequence[str] | None, seed: int | None, *names: str) -> list[str]:
    """Give what `--set` says, and `--seed` as the last word on it.

    Args:
        sets: Texts `key=value`.
        seed: What `--seed` says; None leaves the config's own.
        names: The config's fields that it sets; `seed` if none is given.

    >>> with_seed(["window=3"], 7)
    ['window=3', 'seed=7']
    """
    return [*(sets or ()), *(f"{name}={seed}" for name in names or ("seed",) if seed is not None)]


def say(message: str) -> None:
    """Tell the user something that is not the result."""
    print(message, file=sys.stderr, flush=True)


def emit(result: Mapping[str, Any], *, as_json: bool, text: str | None = None) -> None:
    """Print the result: one JSON object, or the text (by default one `name: value` line each).

    >>> emit({"perplexity": 12.5, "tokens": 300}, as_json=False)
    perplexity: 12.5
    tokens: 300
    >>> emit({"perplexity": 12.5}, as_json=True)
    {"perplexity": 12.5}
    """
    if as_json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str))
    elif text is not None:
        print(text)
    else:
        print("\n".join(f"{name}: {value}" for name, value in result.items()))
