"""received.jsonl: every answer of a run at the moment at which it arrives, in that order, and every failure."""

from __future__ import annotations

from tenon.core.chat.request import Completion, Failure, Request, Usage, usage
from tenon.core.files import plain
from tenon.core.rows import Lines
from tenon.core.run import RECEIVED, Run

__all__ = ["Journal"]


class Journal:
    """The answers that belong to one `<name>.jsonl`; the rows come from here, in the order of the requests.

    The file is volatile: which answer of a server is first depends on the weather.
    """

    def __init__(self, run: Run, name: str) -> None:
        """Read what earlier sessions received."""
        self._lines = Lines(run.path / RECEIVED)
        self._name = name
        self._answers: dict[tuple[str, str], Completion] = {}
        for record in self._lines:
            if record["name"] == name and "answer" in record:
                self._answers[record["key"], record["fingerprint"]] = Completion.from_row(record["answer"])

    def find(self, request: Request, mark: str) -> Completion | None:
        """Give the answer to a request, by its key and fingerprint."""
        return self._answers.get((request.key, mark))

    def add(self, request: Request, mark: str, answer: Completion | Failure) -> None:
        """Keep an answer; when this returns, no kill loses it."""
        record = {"name": self._name, "key": request.key, "fingerprint": mark}
        if isinstance(answer, Failure):
            self._lines.append(record | {"failure": answer.reason})
            return
        self._lines.append(record | {"answer": plain(answer, f"answer {request.key!r}")})
        self._answers[request.key, mark] = answer

    def usage(self, prices: tuple[float, float] | None) -> Usage:
        """Sum what all answers have cost, in this session and before."""
        return usage(self._answers.values(), prices)
