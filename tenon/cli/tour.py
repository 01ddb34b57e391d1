"""`tenon tour`: every method's demonstration, one after the other, on one page."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenon import __version__
from tenon.core.commandline import Json, emit, say
from tenon.core.errors import ConfigError, TenonError
from tenon.core.machine import machine_facts, versions
from tenon.methods import METHODS

if TYPE_CHECKING:
    from tenon.core.report import Report

__all__ = ["Stop", "tour"]


@dataclass(frozen=True, kw_only=True)
class Stop:
    """One stop of the tour; its run lies in the tour's folder under the method's name."""

    method: str
    """Name in `METHODS`."""
    tenon: str = __version__
    """The package's version: another one may show other figures."""


def tour(
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this method; may be given several times.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the tour; the same command again goes on.")] = Path(
        "runs/tour"
    ),
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what an earlier tour left in the folder.")] = False,
    as_json: Json = False,
) -> None:
    """Show what every method does, offline and on this machine, as one page.

    Example: tenon tour --only sepllm
    """
    names = choose(only or [])  # before the imports: a wrong name is told at once

    from tenon.core.files import write_atomic
    from tenon.core.report import render_html, to_json

    reports, failures, began = [], {}, time.perf_counter()
    for number, name in enumerate(names, start=1):
        say(f"[{number}/{len(names)}] {name}: {METHODS[name].help}")
        try:
            reports.append(visit(name, out / name, fresh=fresh))
        except TenonError as error:
            failures[name] = str(error)
            say(f"{name} failed: {error}")
    page = out / "report.html"
    if reports:
        about = {"machine": machine_facts(), "versions": versions()}
        write_atomic(page, render_html(reports, title="Tenon: the tour", facts=about))
        write_atomic(page.with_suffix(".json"), to_json(reports))
    say(f"{len(reports)} of {len(names)} stops in {time.perf_counter() - began:.0f} s.")
    result = {"page": str(page.resolve()) if reports else None, "stops": [report.title for report in reports]}
    emit(
        result | {"failed": failures}, as_json=as_json, text=f"The page is {page.resolve()}" if reports else "No page."
    )
    if failures:
        raise typer.Exit(1)


def choose(only: list[str]) -> list[str]:
    """Give the methods to visit, in the order of `METHODS`; a command's name (`batch-scaling`) is a method's too.

    Raises:
        ConfigError: A name is not a method's.
    """
    from tenon.core.values import nearest

    wanted = [name.replace("-", "_") for name in only]
    for name in wanted:
        if name not in METHODS:
            raise ConfigError(f"--only {name} is no method; {nearest(name, METHODS)}.")
    return [name for name in METHODS if not wanted or name in wanted]


def visit(name: str, folder: Path, *, fresh: bool) -> Report:
    """Run one method's demo in its own run; a demo that was done before is read back from there.

    Raises:
        RunConflict: The folder holds the stop of another version, or of other nano weights.
    """
    from tenon.core.models.loading import nano_names, weights_hash
    from tenon.core.run import Run

    identity = {model: weights_hash(model) for model in nano_names()}
    with Run.open(
        folder, config=Stop(method=name), command=f"tour --only {name}", identity=identity, fresh=fresh
    ) as run:
        return import_module(METHODS[name].path).demo(run)
