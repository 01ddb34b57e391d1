"""What is asked, what comes back, and who may answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

from tenon.core.errors import DataError, require
from tenon.core.files import plain

__all__ = ["Completion", "Failure", "Request", "Sampling", "Usage", "Writer", "cut", "fingerprint", "usage"]

FinishReason = Literal["stop", "length", "tool_calls", "refusal", "failed"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the tokens of an answer are chosen, and where it ends."""

    temperature: float = 0.0
    """Logits are divided by this before a token is drawn; 0 takes the likeliest token."""
    top_p: float = 1.0
    """Only the likeliest tokens that together have this probability are drawn from; 1 keeps all."""
    max_tokens: int = 2048
    """Tokens after which an unfinished answer is cut; less where the model has no room for as many."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these texts."""

    def __post_init__(self) -> None:
        require(self.temperature >= 0, self, "temperature", "0 or more")
        require(0 < self.top_p <= 1, self, "top_p", "above 0 and at most 1")
        require(self.max_tokens >= 1, self, "max_tokens", "1 or more")
        require(all(self.stop), self, "stop", "texts that are not empty: an empty one would end every answer at once")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question to a model."""

    key: str
    """Names the row, and with the seed the randomness; unique among the requests of one call."""
    messages: tuple[Mapping[str, Any], ...]
    """The conversation in OpenAI's form; tool calls have dict arguments."""
    prefill: str = ""
    """Beginning of the assistant's turn; the model goes on from it, and it is no part of the answer's text."""
    sampling: Sampling = field(default_factory=Sampling)
    """How tokens are chosen."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Tools that the model may call, in OpenAI's form."""
    schema: Mapping[str, Any] | None = None
    """JSON schema that the answer (with the prefill before it) must fit; see `Completion.value`. A server is told it;
    a local model first sees it when an answer did not fit, so let the messages say what form is wanted."""

    def __post_init__(self) -> None:
        require(bool(self.key), self, "key", "text that is not empty")
        is_list = isinstance(self.messages, Sequence) and not isinstance(self.messages, str | bytes)
        require(is_list and len(self.messages) > 0, self, "messages", "a list of one message or more")
        for number, message in enumerate(self.messages):
            if not _is_message(message):
                raise DataError(
                    f"Message {number} of request {self.key!r} is {str(message)[:80]}; it must be a dict with a role, "
                    "and with content or tool_calls."
                )


def _is_message(message: Any) -> bool:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        return False
    return message.get("content") is not None or bool(message.get("tool_calls"))


@dataclass(frozen=True, kw_only=True)
class Completion:
    """An answer."""

    text: str
    """What the model wrote after the prefill, without the stop string."""
    finish_reason: FinishReason
    """`stop`: the model or a stop string ended it; `length`: it was cut; `failed`: none came, and that was allowed."""
    writer: str
    """Who wrote it."""
    stop_string: str | None = None
    """The stop string that ended it; None where the end token did, or a server does not tell."""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """Calls in OpenAI's form, with dict arguments; with text where the model wrote no JSON object. Nobody has looked
    whether the tools exist: see `unknown_calls`."""
    value: Any = None
    """The parsed answer of a request with a schema."""
    prompt_tokens: int | None = None
    """Tokens read, over all attempts; None where a server does not tell."""
    completion_tokens: int | None = None
    """Tokens written, over all attempts; None where a server does not tell."""
    attempts: int = 1
    """How often it was asked for until it fitted its schema."""
    failure: str = ""
    """Why there is no answer."""

    def message(self, prefill: str = "") -> dict[str, Any]:
        """Give the assistant's turn for the messages of the next request.

        Args:
            prefill: That of the request, with which the turn began.
        """
        turn = {"role": "assistant", "content": prefill + self.text}
        return turn | ({"tool_calls": list(self.tool_calls)} if self.tool_calls else {})

    def unknown_calls(self, tools: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Give the calls of tools that are not among these, the request's; a model may make them up."""
        names = {tool["function"]["name"] for tool in tools}
        return [call for call in self.tool_calls if call["function"]["name"] not in names]

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Completion:
        """Read what `plain` wrote."""
        known = {one.name: row[one.name] for one in fields(cls)}
        return cls(**(known | {"tool_calls": tuple(row["tool_calls"])}))


@dataclass(frozen=True, kw_only=True)
class Failure:
    """No answer to one request, after all that could be tried."""

    reason: str
    """What came instead."""


class Writer(Protocol):
    """Whoever answers requests."""

    @property
    def name(self) -> str:
        """What stands in every row: the model and the hash of its weights, or the server's name for the model."""

    @property
    def prices(self) -> tuple[float, float] | None:
        """Money for a million tokens read and a million written; None where it is not told."""

    def identity(self) -> dict[str, str]:
        """Give what can change the answers, for `Run.open`."""

    def check(self, requests: Sequence[Request]) -> None:
        """Find out what would keep requests from being answered, before a run is begun, which keeps its settings.

        Args:
            requests: A few that stand for all; one of each form.

        Raises:
            BackendError: The server is not there, or lacks what they need.
            DataError: The model's chat template refuses them.
        """

    def write(
        self, requests: Sequence[Request], *, seed: int, known: Collection[int] = frozenset()
    ) -> Iterator[tuple[int, Completion | Failure]]:
        """Answer, in whatever order the answers are ready.

        Args:
            requests: All requests of the call, so that batches are the same whatever is known already.
            seed: Root of the randomness; with a request's key it gives that request's.
            known: Places of requests whose answers are at hand. A writer leaves them out, or answers them once more
                where they share a batch with others.

        Raises:
            BackendError: Going on makes no sense: no request would be answered.
        """


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What answers have cost."""

    answers: int
    """Answers received, those that did not fit their schema included."""
    prompt_tokens: int
    """Tokens read."""
    completion_tokens: int
    """Tokens written."""
    untold: int
    """Answers whose tokens the server did not tell; they are missing from the sums."""
    cost: float | None
    """In the currency of the prices; None without prices."""


def usage(answers: Iterable[Completion], prices: tuple[float, float] | None = None) -> Usage:
    """Sum the tokens of answers, and what they cost.

    >>> answer = Completion(text="4", finish_reason="stop", writer="x", prompt_tokens=1000, completion_tokens=500)
    >>> usage([answer, answer], prices=(1.0, 4.0)).cost
    0.006

    Args:
        answers: The answers.
        prices: For a million tokens read, and for a million written.
    """
    count = untold = read = written = 0
    for answer in answers:
        count += answer.attempts
        untold += answer.prompt_tokens is None or answer.completion_tokens is None
        read += answer.prompt_tokens or 0
        written += answer.completion_tokens or 0
    cost = None if prices is None else (read * prices[0] + written * prices[1]) / 1e6
    return Usage(answers=count, prompt_tokens=read, completion_tokens=written, untold=untold, cost=cost)


def fingerprint(request: Request, writer: str) -> str:
    """Give 32 hex digits that stand for all of a request but its key, and for who answers it."""
    asked = {one.name: getattr(request, one.name) for one in fields(request) if one.name != "key"}
    text = json.dumps(plain(asked | {"writer": writer}, f"request {request.key!r}"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cut(text: str, stop: Sequence[str]) -> tuple[str, str | None]:
    """Cut a text before the first stop string, and tell which it was; of two at one place, the longer.

    >>> cut("1 + 1 = 2\\n```\\nand", ("```", "and"))
    ('1 + 1 = 2\\n', '```')
    """
    found = [(text.index(one), -len(one), one) for one in stop if one in text]
    if not found:
        return text, None
    place, _, which = min(found)
    return text[:place], which
