"""From a conversation to the tokens that a model reads, and from the tokens that it wrote to text and tool calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tenon.core.chat.request import Request
from tenon.core.errors import DataError

__all__ = ["begun", "call_id", "continuation", "render", "tool_calls"]

CALL_MARKS = ("<tool_call>", "<|call|>")
"""What stands before the JSON of a call in the answers of Qwen, Hermes and others, and of nano-lm."""


def render(tokenizer: Any, request: Request) -> str:
    """Write a conversation in the model's chat template, up to the end of the prefill, special tokens included.

    Raises:
        DataError: The tokenizer has no chat template, or the template refuses the conversation.
    """
    from jinja2 import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        raise DataError(
            f"The tokenizer {tokenizer.name_or_path!r} has no chat template, so nobody knows how the model reads a "
            "conversation. Use an instruct model, or set tokenizer.chat_template."
        )
    try:
        text = tokenizer.apply_chat_template(
            [dict(message) for message in request.messages],
            tools=[dict(tool) for tool in request.tools] or None,
            tokenize=False,
            add_generation_prompt=True,
        )
    except TemplateError as error:
        raise DataError(f"The model's chat template refuses request {request.key!r}: {error}.") from error
    return text + request.prefill


def begun(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """Give the tokens of a rendered text as the model reads them: with one BOS where this tokenizer puts one before a
    text, whether the template writes it or not. A text that is sampled from, and one that is trained on, begin alike.
    """
    bos = tokenizer.bos_token_id
    puts_one = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
    return [bos, *ids] if puts_one and list(ids[:1]) != [bos] else list(ids)


def continuation(tokenizer: Any, prompt: Sequence[int], written: Sequence[int], *, special: bool = False) -> str:
    """Give the text of written tokens as it stands after the prompt's.

    Some tokenizers drop a blank at the beginning of a text, which belongs between a prefill and what follows it.
    """
    end = list(prompt[-8:])
    options = {"skip_special_tokens": not special, "clean_up_tokenization_spaces": False}
    before, whole = tokenizer.decode(end, **options), tokenizer.decode(end + list(written), **options)
    if whole.startswith(before):
        return str(whole[len(before) :])
    return str(tokenizer.decode(list(written), **options))


def tool_calls(text: str, key: str) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Part an answer into what is said and the calls in it, each a JSON object behind one of `CALL_MARKS`.

    >>> tool_calls('Wait.<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>', "q")[1][0]["function"]
    {'name': 'add', 'arguments': {'a': 1}}

    Args:
        text: The answer, special tokens included.
        key: The request's key, from which the calls' ids come.

    Returns:
        The text before the first call, and the calls in OpenAI's form with dict arguments. A call that is no such JSON
        stays in the text.
    """
    decoder, calls, said, place = json.JSONDecoder(), list[dict[str, Any]](), text, 0
    while found := [(at, mark) for mark in CALL_MARKS if (at := text.find(mark, place)) >= 0]:
        at, mark = min(found)
        body = text[at + len(mark) :].lstrip()
        place = at + len(mark)
        try:
            call, _ = decoder.raw_decode(body)
        except ValueError:
            continue
        if isinstance(call, Mapping) and isinstance(call.get("name"), str):
            said = said if calls else text[:at]
            function = {"name": call["name"], "arguments": call.get("arguments", {})}
            calls.append({"id": call_id(key, len(calls)), "type": "function", "function": function})
    return said, tuple(calls)


def call_id(key: str, number: int) -> str:
    """Name a call: the same in every run, and of nine letters and digits, which is what Mistral's templates want."""
    return hashlib.sha256(json.dumps([key, number]).encode()).hexdigest()[:9]
