"""`complete`: requests in, answers out; nothing is asked twice, and equal work gives equal files."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from tenon.core.chat.journal import Journal
from tenon.core.chat.request import Completion, Failure, Request, Writer, fingerprint, usage
from tenon.core.chat.structured import Unfit, ask_again, check_schema, fitted
from tenon.core.errors import BackendError, DataError
from tenon.core.files import plain
from tenon.core.progress import Advance, progress
from tenon.core.ranks import is_main
from tenon.core.run import Run
from tenon.core.seeds import derive

__all__ = ["complete"]


def complete(
    run: Run,
    requests: Iterable[Request],
    writer: Writer,
    *,
    name: str = "completions",
    label: str = "writing",
    attempts: int = 3,
    max_failed: int = 0,
) -> list[Completion]:
    """Answer all requests, and add a row for each to `<name>.jsonl` in their order.

    An answer is on the disk (received.jsonl) the moment it arrives, so that a killed job asks and pays for it once;
    nothing is asked whose row stands there. What it has cost is in `run.measurements()["answers: <name>"]`.

    Args:
        run: Where the rows stand; its seed and `name` give the randomness.
        requests: What is asked.
        writer: Who answers.
        name: The file.
        label: What the progress bar says.
        attempts: How often at most an answer is asked for that must fit a schema; every one is counted and paid.
        max_failed: So many requests may end without an answer; their rows say `failed`. More are an error.

    Returns:
        The answers, in the order of the requests.

    Raises:
        DataError: Two requests have one key; or a row stands under a key that answers another request, or is another
            writer's.
        BackendError: Answers are missing. Those that came are kept, and the same command asks for the rest.
    """
    asked = list(requests)
    marks = [fingerprint(request, writer.name) for request in asked]
    if twice := [key for key, count in Counter(request.key for request in asked).items() if count > 1]:
        raise DataError(f"{len(twice)} keys name two requests, {twice[0]!r} first; give every request its own.")
    work = _Work(run, asked, marks, writer, name)
    if len(work.done) < len(asked):
        if not is_main():
            raise BackendError(
                f"{len(asked) - len(work.done)} answers of {name!r} are missing, and only one process may ask for "
                "them; make them without torchrun first."
            )
        with progress(label, len(asked)) as advance:
            work.finish(advance, attempts, max_failed)
    return [work.done[place] for place in range(len(asked))]


class _Work:
    """The state of one call."""

    def __init__(self, run: Run, asked: Sequence[Request], marks: Sequence[str], writer: Writer, name: str) -> None:
        self.done: dict[int, Completion] = {}
        """Final answers by the place of their request."""
        self._run, self._asked, self._marks, self._writer, self._name = run, asked, marks, writer, name
        self._failed: dict[int, Failure] = {}
        self._unfit: dict[int, list[Completion]] = {}
        """Answers that did not fit, by the place of their request."""
        self._next = 0
        """The first request whose row may be missing."""
        rows = {row["key"]: row for row in run.rows(name)}
        for place, request in enumerate(asked):
            if row := rows.get(request.key):
                self._check(row, request, marks[place])
                self.done[place] = Completion.from_row(row)

    def _check(self, row: dict[str, Any], request: Request, mark: str) -> None:
        if row.get("fingerprint") != mark:
            theirs, ours = row.get("writer"), self._writer.name
            what = f"by {theirs!r}, not {ours!r}" if theirs != ours else "with another text, sampling, tools or schema"
            raise DataError(
                f"{self._name} already answers a request {request.key!r} {what}. "
                "Give the changed request another key, or begin again in another folder."
            )

    def finish(self, advance: Advance, attempts: int, max_failed: int) -> None:
        """Ask until every request has its answer."""
        for schema in {id(one.schema): one for one in self._asked if one.schema is not None}.values():
            check_schema(schema)
        begun = time.monotonic()
        self._advance = advance
        advance(len(self.done))
        self._journal = Journal(self._run, self._name)
        seed = derive(self._run.seed, "answers", self._name)
        turn = dict(enumerate(self._asked))
        try:
            for attempt in range(1, attempts + 1):
                turn = self._ask(turn, seed, attempt, is_last=attempt == attempts)
        finally:
            facts = dataclasses.asdict(self._journal.usage(self._writer.prices))
            seconds = round(time.monotonic() - begun, 3)
            self._run.measured(f"answers: {self._name}", **facts, failed=len(self._failed), seconds=seconds)
        if len(self._failed) > max_failed:
            self._refuse(max_failed)
        for place, failure in self._failed.items():
            none = Completion(
                text="",
                finish_reason="failed",
                writer=self._writer.name,
                prompt_tokens=0,
                completion_tokens=0,
                failure=failure.reason,
            )
            self.done[place] = self._summed(place, none, attempts=0)
        self._append_rows()

    def _ask(self, turn: dict[int, Request], seed: int, attempt: int, *, is_last: bool) -> dict[int, Request]:
        """Ask once for the answers to `turn`, by place, and give what must be asked again.

        Requests whose answers are known stay in the list that the writer sees: its batches are made from all of it.
        """
        if not turn:
            return {}
        places, requests = list(turn), list(turn.values())
        marks = [fingerprint(request, self._writer.name) for request in requests]
        again: dict[int, Request] = {}

        def take(index: int, answer: Completion | Failure) -> None:
            place = places[index]
            if isinstance(answer, Failure):
                self._failed[place] = answer
                return
            try:
                answer = self._fitted(place, answer)
            except Unfit as why:
                self._unfit.setdefault(place, []).append(answer)
                if is_last:
                    self._failed[place] = Failure(reason=f"{attempt} answers did not fit the schema; the last: {why}")
                else:
                    key = f"{self._asked[place].key} (attempt {attempt + 1})"
                    again[place] = ask_again(requests[index], answer, why, key)
                return
            if place not in self.done:
                self.done[place] = answer
                self._advance()
                self._append_rows()

        known = {index for index, place in enumerate(places) if place in self.done}
        for index, request in enumerate(requests):
            if (answer := self._journal.find(request, marks[index])) is not None:
                known.add(index)
                take(index, answer)
        if len(known) < len(requests):
            for index, result in self._writer.write(requests, seed=seed, known=known):
                if index not in known:
                    self._journal.add(requests[index], marks[index], result)
                    take(index, result)
        return dict(sorted(again.items()))  # by place: the order of arrival differs from session to session

    def _fitted(self, place: int, answer: Completion) -> Completion:
        request = self._asked[place]
        if request.schema is None:
            return answer
        value = fitted(request.prefill + answer.text, request.schema)
        return dataclasses.replace(self._summed(place, answer, attempts=1), value=value)

    def _summed(self, place: int, answer: Completion, *, attempts: int) -> Completion:
        """Add what the attempts before have cost."""
        earlier = self._unfit.get(place, [])
        if not earlier:
            return dataclasses.replace(answer, attempts=attempts)
        spent = usage([*earlier, answer] if attempts else earlier)
        return dataclasses.replace(
            answer,
            attempts=attempts + len(earlier),
            prompt_tokens=None if spent.untold else spent.prompt_tokens,
            completion_tokens=None if spent.untold else spent.completion_tokens,
        )

    def _append_rows(self) -> None:
        """Write rows as far as all answers before them are there."""
        while (answer := self.done.get(self._next)) is not None:
            mark = {"key": self._asked[self._next].key, "fingerprint": self._marks[self._next]}
            self._run.append(self._name, mark | plain(answer, f"answer {mark['key']!r}"))
            self._next += 1

    def _refuse(self, max_failed: int) -> NoReturn:
        place, failure = min(self._failed.items())
        unfit = len(self._failed.keys() & self._unfit.keys())
        forms = f", but not for the {unfit} that came and did not fit" if unfit else ""
        allowed = f", and {max_failed} may be" if max_failed else ""
        raise BackendError(
            f"{len(self._failed)} of {len(self._asked)} answers of {self._name!r} are missing{allowed}; the first, "
            f"{self._asked[place].key!r}: {failure.reason.rstrip('.')}. The other answers are kept: the same command "
            f"asks for the missing ones alone{forms}. To go on without them allow so many to fail: "
            f"--max-failed {len(self._failed)} (max_failed={len(self._failed)})."
        )
