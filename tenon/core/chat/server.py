"""Answers of an OpenAI-compatible server, many at once."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from queue import SimpleQueue
from typing import Any

from tenon.core.chat.calls import Closed, Gate, NoAnswer, Server
from tenon.core.chat.config import ServerConfig
from tenon.core.chat.prompt import render
from tenon.core.chat.request import Completion, Failure, Request, Sampling
from tenon.core.chat.wire import chat_body, from_chat, from_text, sampling_body
from tenon.core.errors import BackendError
from tenon.core.seeds import derive

__all__ = ["ServerWriter"]


class ServerWriter:
    """A model behind an address."""

    def __init__(self, config: ServerConfig) -> None:
        """Prepare; nothing is sent before the first answer is asked for.

        Raises:
            MissingExtra: The `openai` client is not installed.
        """
        self._config, self._server = config, Server(config)
        self._schema_format, self._goes_on = config.schema_format, config.prefill == "text"
        # The server's name may be the path of a folder; where it lies changes no answer.
        name = config.model.rstrip("/").rpartition("/")[2] if config.model.startswith("/") else config.model
        self.name = f"{name} (server)"

    @property
    def prices(self) -> tuple[float, float] | None:
        """Prices of a million tokens read and written."""
        read, written = self._config.price_prompt, self._config.price_completion
        return None if read is None or written is None else (read, written)

    def identity(self) -> dict[str, str]:
        """Give the server's name for the model, and what of all requests can change answers; not the address."""
        extra = json.dumps(self._config.extra, sort_keys=True)
        return {"writer": self.name, "prefill": self._config.prefill, "extra": extra}

    @cached_property
    def _tokenizer(self) -> Any:
        from tenon.core.models.loading import load_tokenizer

        return load_tokenizer(self._config.tokenizer or "")

    def check(self, requests: Sequence[Request]) -> None:
        """Ask for one token of each; see `Writer.check`.

        Raises:
            BackendError: The key, the address or the model's name is wrong; the server does not go on from a prefill,
                or refuses a request.
            DataError: The chat template that writes out a prefill refuses a conversation, or there is none.
        """
        gate = Gate(self._config.requests_per_minute)
        if not self._goes_on and any(request.prefill for request in requests):
            self._check_prefill(gate)
        for request in requests:
            answer = self._answer(replace(request, sampling=Sampling(max_tokens=1), schema=None), 0, gate)
            if isinstance(answer, Failure):
                raise BackendError(_no_answer(self.name, answer.reason))

    def write(
        self, requests: Sequence[Request], *, seed: int, known: Collection[int] = frozenset()
    ) -> Iterator[tuple[int, Completion | Failure]]:
        """Answer in the order of arrival; see `Writer.write`.

        Raises:
            BackendError: The key, the address or the model's name is wrong; the server is gone; or it does not go on
                from a prefill.
        """
        known = set(known)
        waiting = deque((place, request) for place, request in enumerate(requests) if place not in known)
        gate = Gate(self._config.requests_per_minute)
        if not self._goes_on and any(request.prefill for _, request in waiting):
            self._check_prefill(gate)
        if self._config.prefill == "text" and any(request.prefill for _, request in waiting):
            _ = self._tokenizer  # here, and not in eight threads at once
        arrived: SimpleQueue[Any] = SimpleQueue()

        def work() -> None:
            try:
                while True:
                    place, request = waiting.popleft()
                    arrived.put((place, self._answer(request, seed, gate)))
            except (Closed, IndexError):  # the work is over, or nothing is left
                pass
            except BaseException as error:  # for the thread that waits for answers
                waiting.clear()
                gate.close()
                arrived.put(error)
            finally:
                arrived.put(None)

        # Daemons: who interrupts need not wait for a server that may never answer.
        count = min(self._config.concurrency, len(waiting))
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        fatal = None
        try:
            while count:  # after a fatal error too: what is under way is paid for
                result = arrived.get()
                if result is None:
                    count -= 1
                elif isinstance(result, BaseException):
                    fatal = fatal or result
                else:
                    yield result
        finally:
            waiting.clear()
            gate.close()
        if fatal is not None:
            raise fatal

    def _answer(self, request: Request, seed: int, gate: Gate) -> Completion | Failure:
        number = derive(seed, request.key) % 2**31
        try:
            if request.prefill and self._config.prefill == "text":
                return self._answer_text(request, number, gate)
            return self._answer_chat(request, number, gate)
        except NoAnswer as error:
            return Failure(reason=str(error))

    def _answer_chat(self, request: Request, number: int, gate: Gate) -> Completion:
        body = chat_body(request, number, self._schema_format)
        try:
            return self._server.call("chat", body, lambda found: from_chat(found, request, self.name), gate)
        except NoAnswer as error:
            if "response_format" in body and "response_format" in str(error):
                self._schema_format = "none"  # this server has none; the answer is checked all the same
                return self._answer_chat(request, number, gate)
            raise

    def _answer_text(self, request: Request, number: int, gate: Gate) -> Completion:
        text, tokenizer = render(self._tokenizer, request), self._tokenizer
        count = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        begin = tokenizer.bos_token
        if begin and text.startswith(begin) and len(tokenizer(text, verbose=False)["input_ids"]) > count:
            text = text[len(begin) :]  # the server's tokenizer puts one in front, as ours would
        body = sampling_body(request, number) | {"prompt": text}
        answer = self._server.call("text", body, lambda found: from_text(found, request, self.name), gate)
        if answer.prompt_tokens not in (None, count):
            raise BackendError(
                f"The server read {answer.prompt_tokens} tokens of a prompt that has {count} by the tokenizer of "
                f"{self._config.tokenizer!r}: it has another, or puts special tokens of its own around the text. Give "
                "the tokenizer that belongs to the model."
            )
        return answer

    def _check_prefill(self, gate: Gate) -> None:
        """Ask once with the last message closed and once with it open: where it stays open, the prompt is shorter."""
        messages = ({"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Once upon a time"})
        closed = Request(key="closed", messages=messages, sampling=Sampling(max_tokens=1))
        opened = replace(closed, messages=messages[:1], prefill=messages[1]["content"])
        seen, why = {}, ""
        for request in (closed, opened):
            body = chat_body(request, 0, "none")
            try:
                answer = self._server.call("chat", body, lambda found: from_chat(found, closed, self.name), gate)
                seen[request is opened] = answer.prompt_tokens
            except NoAnswer as error:
                why = f"{error}; " if request is opened else ""  # a template may refuse a closed one: then it can tell
        now, then = seen.get(True), seen.get(False)
        if now is not None and (then is None or now < then):
            self._goes_on = True
            return
        if not seen:
            raise BackendError(_no_answer(self.name, why))
        raise BackendError(
            f"{self.name} does not go on from the beginning of an answer ({why}prompt tokens with the message open: "
            f"{now}, closed: {then}). Give --server prefill=text --server tokenizer=NAME, with the name or folder of "
            "the model that it serves, so that the written-out prompt is sent to /completions; or use vLLM, which "
            "takes continue_final_message."
        )


def _no_answer(name: str, why: str) -> str:
    return f"{name} does not answer: {why.rstrip('.; ')}. Look at its address, its name for the model and its log."
