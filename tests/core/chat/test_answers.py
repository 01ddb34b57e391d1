"""`complete`: what is drawn hangs on the run's seed, and an answer on all of its request."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest

from tenon.core.chat import Completion, Failure, Request, Sampling, ScriptedWriter, complete
from tenon.core.chat.local import LocalWriter
from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.run import RECEIVED, Run


def ask(key: str, text: str) -> Request:
    return Request(key=key, messages=({"role": "user", "content": text},), sampling=Sampling(temperature=1.0))


class Second(ScriptedWriter):
    """Answers the second request, and is stopped before the first."""

    def write(
        self, requests: Sequence[Request], *, seed: int, known: Collection[int] = frozenset()
    ) -> Iterator[tuple[int, Completion | Failure]]:
        yield 1, self._answer(requests[1])
        raise KeyboardInterrupt


def echo(request: Request) -> str:
    return str(request.messages[-1]["content"]).upper()


def test_another_seed_or_name_draws_otherwise(tmp_path: Path) -> None:
    asked = [Request(key="q", messages=ask("q", "Hi").messages, sampling=Sampling(temperature=1.0, max_tokens=12))]
    writer = LocalWriter(tiny_model("llama"), tiny_tokenizer())
    found = []
    for folder, seed, name in (("a", 0, "x"), ("b", 1, "x"), ("c", 0, "y"), ("d", 0, "x")):
        with Run.open(tmp_path / folder, config={}, seed=seed) as run:
            found += [answer.text for answer in complete(run, asked, writer, name=name)]
    first, other_seed, other_name, again = found
    assert first == again
    assert len({first, other_seed, other_name}) == 3


def test_what_was_received_for_another_prompt_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Run.open(tmp_path, config={}) as run:
        complete(run, [ask("a", "one"), ask("b", "two")], Second(echo, "script"))
    kept = [json.loads(line) for line in (tmp_path / RECEIVED).read_text().splitlines()]
    assert [(line["key"], line["answer"]["text"]) for line in kept] == [("b", "TWO")]  # and no row is written yet
    with Run.open(tmp_path, config={}) as run:
        assert run.rows("completions") == []
        answers = complete(run, [ask("a", "one"), ask("b", "three")], ScriptedWriter(echo, "script"))
    assert [answer.text for answer in answers] == ["ONE", "THREE"]
