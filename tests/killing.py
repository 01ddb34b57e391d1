"""Kill a job in the middle of its writes, run it again, and compare every file with an uninterrupted run's.

    python -m tests.killing tests.core.kill_job:job FOLDER --points 20 --seed 0

The job is a function of a folder, and works through a `Run`. It runs in forked children, so that what it imports is
loaded once. A child counts its calls of `os.write`, `os.fsync` and `os.replace`; at the k-th it writes half of the
data, where there is data, and sends itself SIGKILL: the points are exact, the same every time. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenon.core.files import fingerprints
from tenon.core.machine import commit, machine_facts, versions
from tenon.core.report import render_html
from tenon.core.run import VOLATILE

Job = Callable[[Path], None]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", help="module:function")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--points", type=int, default=20, help="how many points, spread at random; 0 is all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--before", help="module:function that is called first, e.g. to break something on purpose")
    args = parser.parse_args()
    if args.before:
        _named(args.before)()
    print(json.dumps(kill_everywhere(_named(args.job), args.folder, points=args.points, seed=args.seed)))


def kill_everywhere(job: Job, folder: Path, *, points: int, seed: int) -> dict[str, Any]:
    """Kill the job at `points` places, twice each, then let it finish.

    Returns:
        `calls`: how many places there are. `points`: for each place its number, whether the child died there, how the
        last child ended (0 is well), the files that differ, and how many torn lines were cut.
    """
    machine_facts(), versions(), commit(), render_html([], title="")  # load and ask once, not in every child
    calls = _calls_of(job, folder / "uninterrupted")
    expected = fingerprints(folder / "uninterrupted", skip=VOLATILE)
    draw = random.Random(seed)
    places = range(1, calls + 1) if points == 0 else sorted(draw.sample(range(1, calls + 1), points))
    results = []
    for place in places:
        killed = folder / f"killed-{place}"
        died = _child(job, killed, kill_at=place) == -signal.SIGKILL
        _child(job, killed, kill_at=draw.randint(1, calls))  # it may end before: there is less left to do
        ended = _child(job, killed)
        found = fingerprints(killed, skip=VOLATILE)
        differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        sessions = json.loads((killed / "volatile.json").read_text())["sessions"]
        torn = sum("torn" in notice for session in sessions for notice in session["notices"])
        results.append({"place": place, "died": died, "ended": ended, "differing": differing, "torn": torn})
    return {"calls": calls, "points": results}


def _calls_of(job: Job, folder: Path) -> int:
    counter = folder.with_name("calls")
    assert _child(job, folder, count_to=counter) == 0, "the uninterrupted job failed"
    return int(counter.read_text())


def _child(job: Job, folder: Path, *, kill_at: int | None = None, count_to: Path | None = None) -> int:
    """Run the job in a forked child and give its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            calls = _count_and_kill(kill_at)
            job(folder)
            if count_to is not None:
                count_to.write_text(str(calls()))
            code = 0
        except BaseException as error:
            print(f"{folder.name}: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _count_and_kill(kill_at: int | None) -> Callable[[], int]:
    count, write, replace = 0, os.write, os.replace

    def is_last() -> bool:
        nonlocal count
        count += 1
        return count == kill_at

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def counted_write(file: int, data: bytes) -> int:
        if is_last():
            write(file, data[: len(data) // 2])
            die()
        return write(file, data)

    def counted_fsync(file: int) -> None:
        if is_last():
            die()
        # No fsync: what is written survives the process without it, and the test need not wait for the disk.

    def counted_replace(old: Path, new: Path) -> None:
        if is_last():
            die()
        replace(old, new)

    os.write, os.fsync, os.replace = counted_write, counted_fsync, counted_replace  # type: ignore[assignment]
    return lambda: count


def _named(text: str) -> Callable[..., Any]:
    module, _, function = text.partition(":")
    return getattr(importlib.import_module(module), function)


if __name__ == "__main__":
    main()
