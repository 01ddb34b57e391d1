"""Whose folder is it: one live writer, one piece of work, and never files that are none of ours."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenon.core.config import differences
from tenon.core.errors import BackendError, DataError, RunConflict
from tenon.core.files import TEMPORARY, json_bytes, read_json, write_atomic

__all__ = ["Lock", "claim", "empty", "is_being_deleted", "is_run", "is_written"]

_BEING_DELETED = {"being deleted": True}


def claim(
    path: Path,
    settings: dict[str, Any],
    *,
    complete: Callable[[dict[str, Any]], dict[str, Any]] = lambda stored: stored,
    fresh: bool = False,
) -> Lock:
    """Take a folder for the work that `settings` describe.

    Args:
        path: The folder; made when absent.
        settings: `{"config": ..., "seed": ..., "identity": ...}`, kept in config.json.
        complete: Given the config of the run in the folder, adds the settings that did not exist when it was begun; if
            then it is the same, config.json has them from then on.
        fresh: Delete the run in this folder, with everything in it.

    Raises:
        RunConflict: Another live process writes here; the run has other settings; or the folder holds files and is no
            run.
    """
    _refuse_foreign(path)
    path.mkdir(parents=True, exist_ok=True)
    lock, file = Lock(path / "lock"), path / "config.json"
    try:
        if file.exists():
            before = read_json(file)
            if fresh or is_being_deleted(path):
                empty(path)
            elif before != settings:
                before |= {"config": complete(before["config"])}
                if before != settings:
                    raise RunConflict(_conflict(path, before, settings))
                write_atomic(file, json_bytes(settings, indent=2))
        if not file.exists():
            write_atomic(file, json_bytes(settings, indent=2))
    except BaseException:
        lock.release()
        raise
    return lock


class Lock:
    """The right to write in a folder, held by one live process at a time.

    The kernel drops it when the process ends in whatever way, so that no stale lock survives a kill. Uses `flock`
    (Linux, macOS); on a network file system it is as good as that system's `flock`.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RunConflict: Another live process holds it; the message names its pid.
            BackendError: The file system knows no locks.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise RunConflict(
                f"{path.parent} is being written by process {pid}; "
                "wait until it has finished, stop it, or use another folder."
            ) from error
        except OSError as error:  # some network file systems know no locks
            os.close(self._file)
            raise BackendError(
                f"{path.parent} cannot be locked ({error.strerror}), so two writers could spoil each other's work; "
                "use a folder on a local disk."
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back; more than once is harmless."""
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._file = -1


def is_written(path: Path) -> bool:
    """Say whether a live process writes in the folder; changes nothing there."""
    try:
        file = os.open(path / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def is_run(path: Path) -> bool:
    """Say whether a folder is a run, or one that is being deleted; other programs have a config.json, too."""
    if not (path / "config.json").is_file():
        return False
    try:
        content = read_json(path / "config.json")
    except DataError:
        return False
    return is_being_deleted(path) or (isinstance(content, dict) and content.keys() == {"config", "seed", "identity"})


def is_being_deleted(path: Path) -> bool:
    """Say whether the deletion of this run was begun, and perhaps killed."""
    file = path / "config.json"
    return file.is_file() and file.read_bytes() == json_bytes(_BEING_DELETED)


def _refuse_foreign(path: Path) -> None:
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise RunConflict(f"{place} is a file; a run needs a folder.")
    if path.is_dir() and not is_run(path):
        foreign = sorted(one.name for one in path.iterdir() if one.name != "lock" and not one.name.endswith(TEMPORARY))
        if foreign:
            raise RunConflict(
                f"{path} holds files and is no run ({', '.join(foreign[:5])}); use a new or empty folder."
            )


def _conflict(path: Path, before: dict[str, Any], settings: dict[str, Any]) -> str:
    def flat(one: dict[str, Any]) -> dict[str, Any]:
        return {**one.get("config", {}), "seed": one.get("seed"), "identity": one.get("identity", {})}

    changes = "\n".join(f"  {change}" for change in differences(flat(before), flat(settings)))
    return (
        f"The run in {path} was begun with other settings:\n{changes}\n"
        f"Give the old settings to continue it, use another folder, or delete it: tenon runs rm {path}"
    )


def empty(path: Path) -> None:
    """Delete all of a run but its lock, which the caller holds.

    The marker makes a deletion that is killed go on at the next opening, and not look like a run of its own.
    """
    write_atomic(path / "config.json", json_bytes(_BEING_DELETED))
    for one in path.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        elif one.name not in ("lock", "config.json"):
            one.unlink()
    (path / "config.json").unlink()
