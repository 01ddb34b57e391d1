"""OpenAI's JSON: what a request becomes, and what an answer is read from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tenon.core.chat.prompt import call_id, tool_calls
from tenon.core.chat.request import Completion, FinishReason, Request, cut

__all__ = ["Malformed", "chat_body", "from_chat", "from_text", "sampling_body"]

MOST_STOPS = 4
"""So many stop strings OpenAI takes; `cut` looks for the others when the answer is there."""

_REASONS: dict[object, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refusal",
}


class Malformed(Exception):
    """A body is not what the protocol says; says why."""


def sampling_body(request: Request, seed: int) -> dict[str, Any]:
    """Give the fields that chat and text requests share."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": seed,
    }
    return body | ({"stop": list(sampling.stop[:MOST_STOPS])} if sampling.stop else {})


def chat_body(request: Request, seed: int, schema_format: str) -> dict[str, Any]:
    """Give the body of a chat request; a prefill becomes a last message that is to be continued, as vLLM reads it."""
    body = sampling_body(request, seed) | {"messages": [_sent(message) for message in request.messages]}
    if request.prefill:
        body["messages"].append({"role": "assistant", "content": request.prefill})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    if request.tools:
        body["tools"] = list(request.tools)
    if request.schema is not None and schema_format == "json_schema":
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.schema},
        }
    elif request.schema is not None and schema_format == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


def _sent(message: Mapping[str, Any]) -> dict[str, Any]:
    """Write the arguments of tool calls as text, as the protocol wants them."""
    if not message.get("tool_calls"):
        return dict(message)
    calls = []
    for call in message["tool_calls"]:
        arguments = call["function"]["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        calls.append({"type": "function", **call, "function": {**call["function"], "arguments": text}})
    return {**message, "tool_calls": calls}


def from_chat(body: Any, request: Request, writer: str) -> Completion:
    """Read the answer to a chat request.

    Raises:
        Malformed: It has no answer in it.
    """
    choice = _choice(body)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise Malformed("a choice without a message")
    calls = _received(message.get("tool_calls") or (), request.key)
    refusal, text = message.get("refusal"), message.get("content") or ""
    answer = _completion(body, choice, text if refusal is None else refusal, request, writer, calls)
    return answer if refusal is None else replace(answer, finish_reason="refusal")


def from_text(body: Any, request: Request, writer: str) -> Completion:
    """Read the answer to a text request.

    Raises:
        Malformed: It has no answer in it.
    """
    choice = _choice(body)
    text = choice.get("text")
    if not isinstance(text, str):
        raise Malformed("a choice without a text")
    said, calls = tool_calls(text, request.key) if request.tools else (text, ())
    answer = _completion(body, choice, said, request, writer, calls)
    return replace(answer, finish_reason="tool_calls") if calls else answer


def _choice(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise Malformed(f"a body that is no object but {json.dumps(body)[:80]}")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise Malformed(f"a body without choices: {json.dumps(body)[:200]}")
    return choices[0]


def _completion(
    body: Mapping[str, Any],
    choice: Mapping[str, Any],
    text: Any,
    request: Request,
    writer: str,
    calls: Sequence[dict[str, Any]],
) -> Completion:
    if not isinstance(text, str):
        raise Malformed(f"a content that is no text but {json.dumps(text)[:80]}")
    reason = _REASONS.get(choice.get("finish_reason"))
    if reason is None:
        raise Malformed(f"the finish_reason {choice.get('finish_reason')!r}")
    whole, matched = cut(text, request.sampling.stop)
    if matched is None and reason == "stop" and choice.get("stop_reason") in request.sampling.stop:
        matched = choice["stop_reason"]  # vLLM tells what it has cut off
    usage = body.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    return Completion(
        text=whole,
        finish_reason="stop" if matched is not None else reason,
        writer=writer,
        stop_string=matched,
        tool_calls=tuple(calls),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def _received(calls: Sequence[Any], key: str) -> list[dict[str, Any]]:
    """Read tool calls: dict arguments, and ids of our own, so that equal answers are equal rows."""
    found = []
    for number, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise Malformed(f"a tool call without a name: {json.dumps(call)[:80]}")
        arguments = function.get("arguments") or "{}"
        try:
            read = json.loads(arguments) if isinstance(arguments, str) else arguments
        except ValueError:
            read = None
        kept = read if isinstance(read, dict) else arguments  # what the model got wrong is not ours to repair
        function = {"name": function["name"], "arguments": kept}
        found.append({"id": call_id(key, number), "type": "function", "function": function})
    return found


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
