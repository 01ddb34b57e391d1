"""The predefined subtle errors, when each is offered, and how a model is asked for one (section 2.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from tenon.methods.rise.config import ERROR_KINDS, ErrorKind

__all__ = ["ERRORS", "EditPrompt", "Error", "candidates", "draw_kind", "edit_prompt", "parse_edit"]

_DIGITS = re.compile(r"\d+")
_FENCE = re.compile(r"`{3,}")


@dataclass(frozen=True)
class Error:
    """One kind of subtle error."""

    operation: Literal["REPLACE", "SWAP", "DELETE"]
    """The paper's operation."""
    fits: Callable[[int, bool], bool]
    """Is it offered, given how many runs of digits a text has, and whether it has an equals sign?"""
    request: str
    """What is asked for, in our own words."""


ERRORS: Mapping[ErrorKind, Error] = {
    "multi_value": Error(
        "REPLACE",
        lambda numbers, _: numbers >= 2,
        "Change one value, or several values that belong together, so that the calculation becomes wrong.",
    ),
    "value": Error(
        "REPLACE",
        lambda numbers, _: numbers == 1,
        "Change the one number so that the calculation becomes wrong.",
    ),
    "wrong_sub": Error(
        "REPLACE",
        lambda _, equals: equals,
        "Change one value or one symbol so that something wrong is put in its place in a calculation.",
    ),
    "del_term": Error("DELETE", lambda _, equals: equals, "Leave out one term of a calculation."),
    "symbol": Error("REPLACE", lambda _, equals: equals, "Change one arithmetic operator of a calculation."),
    "swap": Error("SWAP", lambda _, equals: equals, "Exchange two terms of a calculation with each other."),
    "words": Error(
        "REPLACE",
        lambda numbers, equals: numbers == 0 and not equals,  # [code] the paper has no such error
        "Change words that belong together so that the question is misread.",
    ),
}
"""Table 2.5 of the specification."""


def candidates(text: str, kinds: Sequence[ErrorKind] = ERROR_KINDS) -> tuple[ErrorKind, ...]:
    """Give the kinds of error that are offered for a text, in the table's order.

    >>> candidates("3 + 4 = 7"), candidates("So 7 it is"), candidates("So it is")
    (('multi_value', 'wrong_sub', 'del_term', 'symbol', 'swap'), ('value',), ('words',))
    """
    numbers, equals = len(_DIGITS.findall(text)), "=" in text
    return tuple(kind for kind, error in ERRORS.items() if kind in kinds and error.fits(numbers, equals))


def draw_kind(text: str, kinds: Sequence[ErrorKind], random: Random) -> ErrorKind | None:
    """Draw one of the kinds that are offered for a text, uniformly; None where there is none."""
    offered = candidates(text, kinds)
    return random.choice(offered) if offered else None


@dataclass(frozen=True)
class EditPrompt:
    """How a model is asked to edit a step."""

    user: str
    """The message."""
    prefill: str
    """Beginning of its answer: a label and an opening fence."""
    fence: str
    """What closes the edited step: the answer ends here."""


def edit_prompt(kind: ErrorKind, question: str, prefix: str, window: str) -> EditPrompt:
    """Ask for an error of a kind: three fenced blocks, the request, and the beginning of the answer.

    A fence is longer than all runs of backticks within the blocks, so that code in a step closes nothing.
    """
    longest = max((len(run) for run in _FENCE.findall("\n".join([question, prefix, window]))), default=2)
    fence = "`" * (longest + 1)
    blocks = [
        f"{label}:\n{fence}\n{text}\n{fence}"
        for label, text in (
            ("Question", question.strip()),
            ("Answer so far", prefix.strip()),
            ("Current step", window),
        )
    ]
    request = (
        f"{ERRORS[kind].request} Edit the current step only, change as little as possible, and keep its other words as "
        f"they are. Do not mention that an error was made. Put the edited step between two lines of {fence}."
    )
    return EditPrompt("\n\n".join([*blocks, request]), f"The edited current step:\n{fence}\n", fence)


def parse_edit(answer: str, fence: str) -> str | None:
    r"""Give the edited text of an answer, up to the first closing fence; None without one.

    >>> parse_edit("3 + 4 = 8\n```\nI changed 7 to 8.", "```"), parse_edit("3 + 4 = 8", "```")
    ('3 + 4 = 8', None)
    """
    text, closing, _ = answer.partition(fence)
    return text.strip() if closing else None
