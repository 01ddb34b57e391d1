"""`tenon runs`: what past work lies where, how it ended, and how to get rid of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from tenon.core.commandline import Json, emit, say
from tenon.core.errors import DataError
from tenon.core.files import read_json
from tenon.core.folder import Lock, empty, is_being_deleted, is_run, is_written

__all__ = ["app", "examine", "find", "remove"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="List, show and remove the folders of past work.")

Folder = Annotated[Path, typer.Argument(help="Folder of one run.", show_default=False)]


@app.command("list")
def list_command(
    folder: Annotated[Path, typer.Argument(help="Where to look, folders below included.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs in a folder and below it.

    Example: tenon runs list runs
    """
    if not folder.is_dir():
        raise DataError(f"{folder.absolute()} is no folder; give the one that holds your runs, or do some work first.")
    found = [examine(path) for path in find(folder)]
    lines = [f"{one['state']:<12} {one['started']:<26} {one['path']}  ({one['command']})" for one in found]
    emit({"runs": found}, as_json=as_json, text="\n".join(lines) or f"No run in {folder}.")


@app.command("show")
def show_command(folder: Folder, as_json: Json = False) -> None:
    """Show one run: its state, settings, rows, stages, and where its page is.

    Example: tenon runs show runs/tour/sepllm
    """
    facts = examine(folder) | contents(folder)
    nested = {name: value for name, value in facts.items() if isinstance(value, dict)}
    lines = [f"{name}: {value}" for name, value in facts.items() if name not in nested]
    lines += [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in nested.items()]
    emit(facts, as_json=as_json, text="\n".join(lines))


@app.command("rm")
def rm_command(
    folder: Folder, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: Json = False
) -> None:
    """Remove one run with everything in it, if nothing is writing there.

    Example: tenon runs rm runs/tour/sepllm
    """
    facts = examine(folder)
    if not yes:
        typer.confirm(f"Remove {folder} ({facts['state']}, {facts['command']})?", abort=True, err=True)
    remove(folder)
    say(f"Removed {folder}.")
    emit({"removed": str(folder)}, as_json=as_json, text="")


def find(folder: Path) -> Iterator[Path]:
    """Give every run in a folder and below it, by name."""
    for config in sorted(folder.rglob("config.json")):
        if is_run(config.parent):
            yield config.parent


def examine(folder: Path) -> dict[str, Any]:
    """Say of one run how it stands: `running`, `finished`, `interrupted`, in which case the same command goes on, or
    `half deleted`.

    Raises:
        DataError: The folder is no run.
    """
    if not is_run(folder):
        raise DataError(f"{folder.absolute()} is no run: it has no config.json of ours. See: tenon runs list")
    session = _last_session(folder / "volatile.json")
    state = "finished" if session["outcome"] == "finished" else "interrupted"
    state = "half deleted" if is_being_deleted(folder) else "running" if is_written(folder) else state
    page = folder / "report.html"
    return {
        "path": str(folder),
        "state": state,
        "command": session["command"],
        "started": session["started"],
        "outcome": session["outcome"],
        "page": str(page) if page.exists() else None,
    }


def _last_session(file: Path) -> dict[str, str]:
    """Read who worked last; nothing depends on this file, so a damaged one only leaves that unknown."""
    unknown = {"outcome": "unknown: volatile.json is missing or damaged", "command": "unknown", "started": "unknown"}
    try:
        return unknown | read_json(file)["sessions"][-1]
    except (DataError, FileNotFoundError, LookupError, TypeError):
        return unknown


def contents(folder: Path) -> dict[str, Any]:
    """Give one run's settings, the number of rows in every file of rows, and its finished stages."""
    stages = folder / "stages.json"
    rows = {}
    for file in sorted(folder.glob("*.jsonl")):
        with file.open("rb") as lines:
            rows[file.stem] = sum(1 for _ in lines)
    return read_json(folder / "config.json") | {"rows": rows, "stages": read_json(stages) if stages.exists() else {}}


def remove(folder: Path) -> None:
    """Delete one run.

    Raises:
        DataError: The folder is no run.
        RunConflict: A live process writes there.
    """
    examine(folder)
    lock = Lock(folder / "lock")
    try:
        empty(folder)
        shutil.rmtree(folder)
    finally:
        lock.release()
