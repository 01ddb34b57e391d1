"""A job for the kill test: answers of a script and of a local model, some of them asked twice for their form."""

from __future__ import annotations

import os
from pathlib import Path

from tenon.core.chat import Completion, Request, Sampling, ScriptedWriter, complete
from tenon.core.chat.local import LocalWriter
from tenon.core.models.loading import load_model, load_tokenizer
from tenon.core.run import Run

NANO = LocalWriter(load_model("nano-lm", device="cpu"), load_tokenizer("nano-lm"), batch_size=2)


def ask(key: str, **options: object) -> Request:
    return Request(key=key, messages=({"role": "user", "content": key},), **options)  # type: ignore[arg-type]


def second_time(request: Request) -> str | Completion:
    return "[1]" if len(request.messages) > 1 or request.key == "b" else "no JSON"


def job(folder: Path) -> None:
    with Run.open(folder, config={}) as run:
        schema = {"type": "array"}
        complete(run, [ask(key, schema=schema) for key in "abc"], ScriptedWriter(second_time, "form"), name="forms")
        sampling = Sampling(temperature=3.0, max_tokens=4)
        complete(run, [ask("Why? " * length, sampling=sampling) for length in (1, 3, 2)], NANO)


def break_the_draws() -> None:
    """What a row draws is no function of its key."""
    from tenon.core.chat import local

    local.derive = lambda seed, key: os.getpid()  # type: ignore[assignment]
