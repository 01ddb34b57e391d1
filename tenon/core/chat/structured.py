"""Answers that must be JSON of a given form: read, checked, and asked for again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from tenon.core.chat.request import Completion, Request
from tenon.core.errors import DataError, need

__all__ = ["Unfit", "ask_again", "check_schema", "fitted"]

_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL)


class Unfit(Exception):
    """An answer is no JSON, or does not fit its schema; says why."""


def check_schema(request: Request) -> None:
    """Check that a request's schema is one.

    Raises:
        DataError: It is no JSON schema.
        MissingExtra: `jsonschema` is not installed.
    """
    schemas = need("jsonschema", extra="chat")
    try:
        schemas.validators.validator_for(request.schema).check_schema(request.schema)
    except schemas.SchemaError as error:
        raise DataError(f"The schema of request {request.key!r} is no JSON schema: {error.message}.") from error


def fitted(text: str, schema: Mapping[str, Any]) -> Any:
    """Read an answer as JSON and check it. A code fence around it is no mistake.

    Raises:
        Unfit: It is no JSON, or does not fit the schema.
    """
    schemas = need("jsonschema", extra="chat")
    fence = _FENCED.fullmatch(text)
    try:
        value = json.loads(fence[1] if fence else text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Unfit(f"it is no JSON ({error})") from error
    fault = schemas.exceptions.best_match(schemas.validators.validator_for(schema)(schema).iter_errors(value))
    if fault is not None:
        told, value = fault.message, repr(fault.instance)
        if told.startswith(value):  # as JSON: the model is told it, too
            told = json.dumps(fault.instance, ensure_ascii=False) + told.removeprefix(value)
        raise Unfit(f"at {fault.json_path}: {told}")
    return value


def ask_again(request: Request, answer: Completion, why: Unfit, key: str) -> Request:
    """Give the request that shows the model its answer and what was wrong with it.

    Args:
        request: The attempt before.
        answer: What it gave.
        why: What is wrong.
        key: The new request's; it gives the randomness of this attempt.
    """
    told = (
        f"This answer cannot be used: {why}. Answer again, with nothing but JSON that fits this schema:\n"
        f"{json.dumps(request.schema)}"
    )
    more = ({"role": "assistant", "content": request.prefill + answer.text}, {"role": "user", "content": told})
    return replace(request, key=key, messages=(*request.messages, *more))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
