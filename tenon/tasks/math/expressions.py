"""Compare expressions with math-verify, in a process of its own.

math-verify stops a long computation by a signal alarm. That works only in the main thread, and not inside one long
integer operation: `9^{9^{9}}` is nine characters and never ends. So one worker process does the work (there the main
thread is free), and a worker that does not answer in time is killed and started anew. Any thread may call.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue

from tenon.core.errors import BackendError

__all__ = ["same_expression"]

_START_SECONDS = 120.0  # importing sympy on a busy machine
_ANSWER_SECONDS = 15.0  # the worker's own alarms (5 s for each of three calls) come first
_WORKER = Path(__file__).with_name("expressions_worker.py")


class _Worker:
    """One worker process and the thread that reads what it says."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],  # -P: this folder's file names must not shadow modules
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.lines: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        if self.next_line(_START_SECONDS) != "ready":
            self.close()
            raise BackendError("the math-verify worker did not start; try `python -c 'import math_verify'`.")

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self.lines.put(line.strip())
        self.lines.put("")  # the process ended

    def next_line(self, seconds: float) -> str | None:
        try:
            return self.lines.get(timeout=seconds)
        except Empty:
            return None

    def ask(self, a: str, b: str) -> bool | None:
        """True or False, or None when time ran out, and the worker may be of no use any more."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps([a, b]) + "\n")
            self.process.stdin.flush()
        except OSError:
            return None
        line = self.next_line(_ANSWER_SECONDS)
        return json.loads(line) if line else None

    def close(self) -> None:
        if self.owner != os.getpid():  # a forked copy: the process is not ours to end
            return
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # unsent bytes to a process that is gone
            self.process.stdin.close()


_lock = threading.Lock()
_worker: _Worker | None = None


def same_expression(a: str, b: str) -> bool | None:
    """Are two LaTeX or plain expressions mathematically equal? False when either cannot be read, None out of time.

    Raises:
        BackendError: the worker process does not start.
    """
    global _worker
    with _lock:
        if _worker is None or _worker.owner != os.getpid() or _worker.process.poll() is not None:
            _stop()
            _worker = _Worker()
        verdict = _worker.ask(a, b)
        if verdict is None:
            _stop()
        return verdict


def _stop() -> None:
    global _worker
    if _worker is not None:
        _worker.close()
        _worker = None


atexit.register(_stop)
