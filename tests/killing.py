"""Stop a job in the middle of its writes, run it again, and compare every file with an uninterrupted run's.

    python -m tests.killing tests.core.kill_job:job FOLDER --points 20 --seed 0 --by kill

The job is a function of a folder, and works through a `Run`. It runs in forked children, so that what it imports is
loaded once. A child counts its calls of `os.write`, `os.fsync` and `os.replace`; at the k-th it writes half of the
data, where there is data, and then is stopped: the points are exact, the same every time. Prints one JSON object.

`--by` says what stops it: `kill` (SIGKILL), `ENOSPC` (that call fails, and from then on every write: the disk is full)
or `EROFS` (that call fails, and from then on all that would change the disk: it was mounted read-only).
"""

from __future__ import annotations

import argparse
import errno
import importlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenon.cli.app import explain
from tenon.core.files import TEMPORARY, fingerprints
from tenon.core.machine import commit, machine_facts, versions
from tenon.core.report import render_html
from tenon.core.run import VOLATILE

Job = Callable[[Path], None]

EXPLAINED = 3
"""Exit code of a child that ended with an error for which the command line has a message."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", help="module:function")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--points", type=int, default=20, help="how many points, spread at random; 0 is all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by", choices=("kill", "ENOSPC", "EROFS"), default="kill", help="what stops the job")
    parser.add_argument("--before", help="module:function that is called first, e.g. to break something on purpose")
    args = parser.parse_args()
    if args.before:
        _named(args.before)()
    print(json.dumps(stop_everywhere(_named(args.job), args.folder, points=args.points, seed=args.seed, by=args.by)))


def stop_everywhere(job: Job, folder: Path, *, points: int, seed: int, by: str = "kill") -> dict[str, Any]:
    """Stop the job at `points` places, twice each, then let it finish.

    Returns:
        `calls`: how many places there are. `points`: for each place its number, how the child that was stopped there
        ended, how the last one ended (0 is well), the files that differ, the files half-written that the first stop
        left, and how many torn lines were cut.
    """
    machine_facts(), versions(), commit(), render_html([], title="")  # load and ask once, not in every child
    calls = _calls_of(job, folder / "uninterrupted")
    expected = fingerprints(folder / "uninterrupted", skip=VOLATILE)
    draw = random.Random(seed)
    places = range(1, calls + 1) if points == 0 else sorted(draw.sample(range(1, calls + 1), points))
    results = []
    for place in places:
        stopped = folder / f"stopped-{place}"
        first = _child(job, stopped, stop_at=place, by=by)
        halves = [path.name for path in stopped.rglob("*") if path.is_file() and _is_half_written(path)]
        _child(job, stopped, stop_at=draw.randint(1, calls), by=by)  # it may end before: there is less left to do
        ended = _child(job, stopped)
        found = fingerprints(stopped, skip=VOLATILE)
        differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        sessions = json.loads((stopped / "volatile.json").read_text())["sessions"]
        torn = sum("torn" in notice for session in sessions for notice in session["notices"])
        results.append(
            {"place": place, "first": first, "ended": ended, "differing": differing, "halves": halves, "torn": torn}
        )
    return {"calls": calls, "points": results}


def stopped_job(job: str, folder: Path, *options: str) -> dict[str, Any]:
    """For tests: run this file as a command in its own process; give its result, with what it wrote to stderr."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.killing", job, str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"errors": done.stderr}


def assert_same_bytes(result: dict[str, Any], points: int) -> None:
    """For tests: each point was reached by a kill, and the last run left the files of the uninterrupted one."""
    assert len(result["points"]) == points
    for point in result["points"]:
        assert point["first"] == -signal.SIGKILL, point
        assert (point["ended"], point["differing"]) == (0, []), (point, result["errors"])


def _is_half_written(path: Path) -> bool:
    content = path.read_bytes()
    is_torn = path.suffix == ".jsonl" and content != b"" and not content.endswith(b"\n")
    return is_torn or path.name.endswith(TEMPORARY)


def _calls_of(job: Job, folder: Path) -> int:
    counter = folder.with_name("calls")
    assert _child(job, folder, count_to=counter) == 0, "the uninterrupted job failed"
    return int(counter.read_text())


def _child(
    job: Job, folder: Path, *, stop_at: int | None = None, by: str = "kill", count_to: Path | None = None
) -> int:
    """Run the job in a forked child and give its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if (torch := sys.modules.get("torch")) is not None:
                torch.set_num_threads(1)  # makes the pool anew after the fork: now, and not in two threads at once
            calls = _count_and_stop(stop_at, by)
            job(folder)
            if count_to is not None:
                count_to.write_text(str(calls()))
            code = 0
        except BaseException as error:
            code = EXPLAINED if explain(error) else 1
            print(f"{folder.name}: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _count_and_stop(stop_at: int | None, by: str) -> Callable[[], int]:
    count, write, replace, opened, unlink, truncate = 0, os.write, os.replace, os.open, os.unlink, os.truncate

    def is_last() -> bool:
        nonlocal count
        count += 1
        return count == stop_at

    def is_refused() -> bool:
        return by != "kill" and stop_at is not None and count >= stop_at

    def stop() -> None:
        if by == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, by)
        raise OSError(number, os.strerror(number))

    def counted_write(file: int, data: bytes) -> int:
        if is_last():
            write(file, data[: len(data) // 2])
            stop()
        if is_refused():
            stop()
        return write(file, data)

    def counted_fsync(file: int) -> None:
        if is_last():
            stop()
        # No fsync: what is written survives the process without it, and the test need not wait for the disk.

    def counted_replace(old: Path, new: Path) -> None:
        if is_last() or (by == "EROFS" and is_refused()):
            stop()
        replace(old, new)

    def changing(function: Callable[..., Any]) -> Callable[..., Any]:
        """A call that a full disk allows and a read-only one does not."""

        def call(*args: Any, **options: Any) -> Any:
            only_reads = function is opened and not args[1] & (os.O_WRONLY | os.O_RDWR)
            if by == "EROFS" and is_refused() and not only_reads:
                stop()
            return function(*args, **options)

        return call

    os.write, os.fsync, os.replace = counted_write, counted_fsync, counted_replace  # type: ignore[assignment]
    os.open, os.unlink, os.truncate = changing(opened), changing(unlink), changing(truncate)
    return lambda: count


def _named(text: str) -> Callable[..., Any]:
    module, _, function = text.partition(":")
    return getattr(importlib.import_module(module), function)


if __name__ == "__main__":
    main()
