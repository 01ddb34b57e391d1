"""The root of `tenon`: it knows every command by name and help line, and imports one only when it is called."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from tenon import __version__
from tenon.methods import METHODS

__all__ = ["explain", "main", "root"]

COMMANDS = {
    "tour": ("tenon.cli.tour:tour", "Show what every method does, offline, as one page."),
    "runs": ("tenon.cli.runs:app", "List, show and remove the folders of past work."),
    "doctor": ("tenon.cli.doctor:doctor", "Look at this machine: versions, device, memory, extras."),
    "nano": ("tenon.nano.cli:app", "The small models that ship inside: cards, training recipes."),
}
"""The house's own commands: name -> (where the Typer app or the function is, help line)."""

DISK_REFUSES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
PATH_IS_WRONG = {
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip
"""What the system says of the user's disk and paths; other errors of the system are our own mistakes."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Example: tenon tour",
)


def _show_version(on: bool) -> None:
    if on:
        print(f"tenon {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show an error's traceback; may stand anywhere.")] = False,
) -> None:
    """Ten research methods that fit onto the models people already have."""


class Later(TyperGroup):
    """Stands in the list of commands for an app or a function that is imported when it is called."""

    def __init__(self, name: str, source: str, help_line: str, panel: str) -> None:
        super().__init__(name=name, help=help_line, rich_help_panel=panel)
        self.source = source

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Import what was called and let it read the arguments."""
        module, attribute = self.source.split(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            command: Any = get_group(found)
        else:
            single = typer.Typer(add_completion=False)
            single.command()(found)
            command = get_command(single)
        return command.make_context(info_name, args, parent=parent, **extra)


def root() -> TyperGroup:
    """The whole command tree, with its methods not yet imported."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for name, entry in METHODS.items():
        command = name.replace("_", "-")
        group.add_command(Later(command, f"{entry.path}:app", entry.help, "Methods"))
    for name, (source, help_line) in COMMANDS.items():
        group.add_command(Later(name, source, help_line, "House"))
    return group


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `tenon` and exit: 0 done, 1 something did not hold, 2 the user can put it right, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    if not sys.stderr.isatty():  # bars of transformers and the hub client; ours become plain lines by themselves
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        root().main([word for word in arguments if word != "--debug"], prog_name="tenon")
    except SystemExit as stop:
        if stop.code == 130:
            print("Interrupted. What is done is kept: the same command goes on from there.", file=sys.stderr)
        raise
    except Exception as error:
        message = explain(error)
        if debug or message is None:
            raise
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True, soft_wrap=True).print(Text.assemble(("Error: ", "bold red"), message))
        sys.exit(2)


def explain(error: BaseException) -> str | None:
    """Say what came, what is needed and what to do, for an error that is not our mistake; None for one that is."""
    from tenon.core.errors import TenonError

    if isinstance(error, TenonError):
        return str(error)
    if isinstance(error, OSError) and error.errno in DISK_REFUSES | PATH_IS_WRONG:
        place = f" at {error.filename}" if error.filename else ""
        if error.errno in PATH_IS_WRONG:
            return f"{error.strerror}{place}. Give another path, or the right to use this one."
        return f"{error.strerror}{place}. Make room or leave to write there, or choose another folder with --out."
    # safetensors and torch report a full disk as errors of their own.
    text = str(error)
    if "No space left on device" in text or "PytorchStreamWriter failed writing" in text:
        return f"The disk is full ({text.splitlines()[0]}). Make room, or choose another folder with --out."
    # torch reports an exhausted device as its own class and an exhausted host as a bare RuntimeError.
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        came = text or "MemoryError"
        return f"The memory is not enough ({came}). Take a smaller batch, context or --dtype, or another --device."
    return None
