"""One call of a server, with patience.

What can pass (a refused connection, a time-out, a cut body, 429, 5xx) is tried again after a growing wait, or the one
that the server names; the first such fault is told. What cannot pass by itself (a wrong key, an unknown model, an
address where nobody ever answered, a server that is gone) is an error.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NoReturn, TypeVar
from urllib.parse import urlsplit

from tenon.core.chat.config import ServerConfig
from tenon.core.chat.wire import Malformed
from tenon.core.errors import BackendError, need

__all__ = ["Closed", "Gate", "NoAnswer", "Server"]

T = TypeVar("T")

LONGEST_WAIT_S = 600.0
"""Nobody waits longer between two tries, whatever the server asks for."""

LONGEST_CONNECTING_S = 10.0
"""A connection that is not made by then is not made."""
TRIES_TO_CONNECT = 3
"""An address at which there was never anybody is given up after so many."""

_FOR_ALL = {
    401: "does not accept the key of ${env}",
    403: "does not allow it with the key of ${env}",
    404: "knows no such model or address",
}
_PASSING = frozenset({408, 409, 425, 429})


class NoAnswer(Exception):
    """The server refused this request, or it was tried often enough; says why."""


class Closed(Exception):
    """The work is over; nothing more is sent."""


class _Again(Exception):
    """A fault that may pass."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _Unreached(_Again):
    """No connection was made."""


class Gate:
    """Lets threads send at their rate, and none while the server asks for a pause."""

    def __init__(self, per_minute: float | None) -> None:
        """Open."""
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._opens = 0.0
        self._lock, self._closed = threading.Lock(), threading.Event()
        self.given_up = 0
        """Requests given up since the last answer."""

    def enter(self) -> None:
        """Wait for one's turn.

        Raises:
            Closed: There is none any more.
        """
        while not self._closed.is_set():
            with self._lock:
                wait = self._opens - time.monotonic()
                if wait <= 0:
                    self._opens = time.monotonic() + self._interval
                    return
            self._closed.wait(wait)
        raise Closed

    def pause(self, seconds: float) -> None:
        """Let nobody through for a while."""
        with self._lock:
            self._opens = max(self._opens, time.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than the gate is there."""
        self._closed.wait(seconds)

    def close(self) -> None:
        """Let nobody through any more."""
        self._closed.set()


class Server:
    """An address and a key; no message of this class shows the key, or a password in the address."""

    def __init__(self, config: ServerConfig) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            MissingExtra: The `openai` client is not installed.
        """
        self._openai, self._config = need("openai", extra="chat"), config
        key = os.environ.get(config.api_key_env, "").strip()
        self._client = self._openai.OpenAI(
            base_url=config.base_url,
            api_key=key or "none",
            timeout=self._openai.Timeout(config.timeout_s, connect=min(config.timeout_s, LONGEST_CONNECTING_S)),
            max_retries=0,
        )
        self._has_answered = self._is_reached = False
        self._first_fault = threading.Lock()  # taken once, by whoever tells it
        parts = urlsplit(config.base_url)
        self._secrets = [secret for secret in (key, parts.password, parts.username) if secret]
        self._where = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    def call(self, kind: Literal["chat", "text"], body: dict[str, Any], read: Callable[[Any], T], gate: Gate) -> T:
        """Send a body until there is an answer that can be read.

        Args:
            kind: Which of the two addresses.
            body: The fields, without the model.
            read: Turns the answer's JSON into what is wanted, or raises `Malformed`.
            gate: Shared by all threads of the work.

        Raises:
            NoAnswer: The server refused this request, or all tries met faults.
            BackendError: No request would be answered.
            Closed: The work is over.
        """
        config = self._config
        body = {name: value for name, value in (body | config.extra).items() if value is not None}
        for attempt in range(config.retries + 1):
            gate.enter()
            try:
                answer = read(self._send(kind, body))
            except (_Again, Malformed) as fault:
                reason = f"it answered with {fault}" if isinstance(fault, Malformed) else str(fault)
                if isinstance(fault, _Unreached) and not self._is_reached and attempt + 1 == TRIES_TO_CONNECT:
                    raise BackendError(
                        f"{self._where} cannot be reached: {reason} ({TRIES_TO_CONNECT} tries). Look whether the "
                        "server runs, and at its address; what it answered before is kept: the same command goes on."
                    ) from None
                if attempt == config.retries:
                    break
                self._tell(f"{reason}; trying again (1 of {config.retries})")
                asked = fault.wait_s if isinstance(fault, _Again) else None
                if asked is not None:
                    gate.pause(min(asked, LONGEST_WAIT_S))
                else:  # spread, so that threads that failed together do not come back together
                    gate.sleep(min(config.backoff_s * 2**attempt, LONGEST_WAIT_S) * random.uniform(0.5, 1.0))
            else:
                gate.given_up, self._has_answered = 0, True
                return answer
        gate.given_up += 1
        if gate.given_up >= config.outage_after:
            raise BackendError(
                f"{self._where} left {gate.given_up} requests one after another without an answer; the last: {reason}. "
                "What it answered before is kept: the same command goes on when it is back."
            )
        raise NoAnswer(f"{reason} ({config.retries + 1} tries)")

    def _tell(self, text: str) -> None:
        """Say the first fault at once: the waits that follow are long. The others are told if they do not pass."""
        if self._first_fault.acquire(blocking=False):
            print(f"{self._where}: {text}", file=sys.stderr, flush=True)

    def _send(self, kind: str, body: dict[str, Any]) -> Any:
        openai = self._openai
        try:
            if kind == "chat":
                messages = body["messages"]
                chat = self._client.chat.completions.with_raw_response
                raw = chat.create(model=self._config.model, messages=messages, extra_body=body)
            else:
                text = self._client.completions.with_raw_response
                raw = text.create(model=self._config.model, prompt=body["prompt"], extra_body=body)
            self._is_reached, content = True, raw.http_response.content
        except openai.APIStatusError as error:
            self._is_reached = True
            self._judge(error.status_code, error.response.text, error.response.headers)
        except openai.APIConnectionError as error:  # time-outs too
            cause = error.__cause__ or error
            told = self._clean(f"{type(cause).__name__}: {cause}")
            if type(cause).__name__ in ("ConnectError", "ConnectTimeout"):
                raise _Unreached(f"no connection ({told})") from None
            if isinstance(error, openai.APITimeoutError):
                raise _Again(f"it was silent for {self._config.timeout_s:g} seconds") from None
            raise _Again(f"no whole answer came ({told})") from None
        try:
            return json.loads(content)
        except ValueError:
            shown = content[:80].decode(errors="replace")
            raise _Again(self._clean(f"it answered with what is no JSON: {shown!r}")) from None

    def _judge(self, status: int, text: str, headers: Any) -> NoReturn:
        """Say what an HTTP error means: for this request, for a while, or for all."""
        told = self._clean(f"HTTP {status}: {' '.join(text.split())[:300]}")
        if status in _PASSING or status >= 500:
            raise _Again(told, _asked_wait(headers))
        # `transformers serve` answers 400 for another model; once it has answered, a 400 is about one request.
        is_about_model = not self._has_answered and (self._config.model in text or "model_not_found" in text)
        if status in _FOR_ALL or is_about_model:
            what = _FOR_ALL.get(status, _FOR_ALL[404]).replace("{env}", self._config.api_key_env)
            raise BackendError(
                f"{self._where} {what} ({told}). Model asked for: {self._config.model!r}{self._offers()}. What was "
                "answered before is kept: the same command goes on when this is put right."
            )
        raise NoAnswer(told)

    def _offers(self) -> str:
        try:
            names = [model.id for model in self._client.with_options(timeout=10.0).models.list()]
        except (self._openai.OpenAIError, ValueError, AttributeError, TypeError):
            return ""
        return f"; it offers: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else ""

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return re.sub(r"\b(sk-|Bearer\s+)[\w.-]{6,}", r"\1***", text)


def _asked_wait(headers: Any) -> float | None:
    """Read Retry-After: seconds or a date; None where there is none, or none that can be read."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except ValueError:
                continue
        if seconds == seconds:  # no NaN
            return max(seconds, 0.0)
    return None
