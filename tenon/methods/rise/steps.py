"""Where the steps of a solution lie, and which end of a step is shown to an editor (sections 2.4 and 2.5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from tenon.methods.rise.config import PromptConfig

__all__ = ["OPENINGS", "Step", "split", "window"]

OPENINGS = {
    "step": re.compile(r"(?:\A|\r?\n)Step \d+:"),
    "line": re.compile(r"(?:\A|\r?\n)(?=[^\S\n]*\S)"),
    "blank": re.compile(r"(?:\A(?:[^\S\n]*\n)*|\r?\n[^\S\n]*\n)(?=[^\S\n]*\S)"),
    "sentence": re.compile(r"\A(?=\s*\S)|(?<=[.!?])(?=\s+\S)|(?<=\S)(?=[^\S\n]*\n\s*\S)"),
}
"""What opens a step, by splitter. A marker or a line break is no part of a step; of more line breaks all but the last
end the step before. The blank after a sentence begins the next one, as tokens do."""

_SENTENCE_END = re.compile(r"\n|\. ")


@dataclass(frozen=True)
class Step:
    """One step of a solution: `prefix + text + rest` is all of it."""

    number: int
    """From 1."""
    prefix: str
    """What stands before it, its opening included."""
    text: str
    """The step itself, up to the next opening."""
    rest: str
    """What follows."""
    is_last: bool
    """Whether the solution ends with it."""


def split(text: str, config: PromptConfig) -> list[Step]:
    r"""Give the steps of a solution, by the places of their openings.

    What stands before the first opening belongs to every prefix; words that lie in the prefill, which the model did
    not write, are no step. A text without an opening has no steps.

    Paper vs. code: the released code searches a step's opening once more, as text, and cuts wrongly where it repeats.

    >>> [step.text for step in split("Step 1: 2 + 3 = 5.\nStep 2: So 5.\nAnswer: 5", PromptConfig())]
    [' 2 + 3 = 5.', ' So 5.\nAnswer: 5']
    """
    opening = re.compile(config.pattern) if config.splitter == "pattern" else OPENINGS[config.splitter]
    found = [match.span() for match in opening.finditer(text)]
    given = len(config.prefill) if text.startswith(config.prefill) else 0
    spans = [(start, end) for (_, start), (end, _) in pairwise([*found, (len(text), len(text))])]
    spans = [(start, end) for start, end in spans if end > given or not text[start:end].strip()]
    return [
        Step(number, text[:start], text[start:end], text[end:], is_last=number == len(spans))
        for number, (start, end) in enumerate(spans, start=1)
    ]


def window(step: str, sentences: int | None) -> tuple[int, str] | None:
    r"""Give the end of a step that is shown and edited, and where in the step it begins.

    Sentences end at line breaks and at ". ", as in the released code; unlike there, the place is counted and not
    searched, so that a sentence that stands twice does no harm. Blanks around it are left out.

    Args:
        step: The step.
        sentences: How many at most, from the end; None is all.

    Returns:
        The place [characters] and the text; None where there are only blanks.

    >>> window(" A. B. C.\nD", 2)
    (7, 'C.\nD')
    """
    breaks = [0, *(match.end() for match in _SENTENCE_END.finditer(step)), len(step)]
    starts = [start for start, end in pairwise(breaks) if step[start:end].strip()]
    if not starts:
        return None
    shown = step[starts[max(0, len(starts) - sentences)] if sentences else 0 :]
    return len(step) - len(shown.lstrip()), shown.strip()
