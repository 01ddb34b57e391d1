"""Answers from a script, for tests and rehearsals; the rows say so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from tenon.core.chat.request import Completion, Failure, Request, cut
from tenon.core.errors import DataError

__all__ = ["ScriptedWriter"]

Script = Callable[[Request], str | Completion | Failure] | Mapping[str, str]


class ScriptedWriter:
    """A writer that is no model. It is used only where somebody writes its name, and its name stands in every row."""

    prices = None

    def __init__(self, script: Script, label: str) -> None:
        """Write by a function of the request, or by a dict from its key to the text.

        Args:
            script: What is answered; stop strings end a text as they do for a model.
            label: Names the script in the rows, after "scripted: ".
        """
        self.name = f"scripted: {label}"
        self._script = script

    def identity(self) -> dict[str, str]:
        """Give the name."""
        return {"writer": self.name}

    def check(self, requests: Sequence[Request]) -> None:
        """Find nothing."""

    def write(
        self, requests: Sequence[Request], *, seed: int, known: Collection[int] = frozenset()
    ) -> Iterator[tuple[int, Completion | Failure]]:
        """Answer in order; see `Writer.write`.

        Raises:
            DataError: The dict has no text for a request.
        """
        for place, request in enumerate(requests):
            if place not in known:
                yield place, self._answer(request)

    def _answer(self, request: Request) -> Completion | Failure:
        if callable(self._script):
            answer = self._script(request)
        elif request.key in self._script:
            answer = self._script[request.key]
        else:
            raise DataError(f"The script {self.name!r} has no text for the request {request.key!r}; add one.")
        if not isinstance(answer, str):
            return answer
        text, stop = cut(answer, request.sampling.stop)
        return Completion(text=text, finish_reason="stop", stop_string=stop, writer=self.name)
