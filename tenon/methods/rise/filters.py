r"""Which edits are kept (section 2.6): every filter by its name, in a fixed order, the first that objects is counted.

no closing fence      the answer does not end the edited step
empty edit            nothing is left of it
announces the error   it says "mistakenly", "incorrect", ...
unbalanced box        a \boxed{ is never closed
no change             nothing but blanks or a box is different
edit distance         too much or too little is different, boxes apart (eq. 1 of the paper)
equations still hold  all of them, so that the step is as right as before     (`verify`)
answer still right    the last step still ends in the gold answer             (`verify`)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tenon.methods.rise.config import FilterConfig
from tenon.methods.rise.equations import find_equations
from tenon.methods.rise.grading import Grader, graded

__all__ = [
    "FILTERS",
    "KEPT",
    "Filters",
    "Tokenize",
    "Verdict",
    "announces_error",
    "corrects_itself",
    "edit_distance",
    "is_no_change",
    "is_within",
    "unbox",
]

Tokenize: TypeAlias = Callable[[str], Sequence[Hashable]]

KEPT = "kept"
FILTERS = (
    "no closing fence",
    "empty edit",
    "announces the error",
    "unbalanced box",
    "no change",
    "edit distance",
    "equations still hold",
    "answer still right",
)
"""The reasons for which an edit is dropped, in order."""

_CORRECTING = (  # [code] of a right solution; case matters: "the correct answer" passes
    "a mistake", "misunderstanding", "misleading", "misinterpreted", "Let's correct", "let's correct", "The correct",
    "Let's reconsider", "let's reconsider", "python", "This is not correct", "this is not correct",
)  # fmt: skip
_ANNOUNCING = (  # [code] of an edit
    *(phrase for phrase in _CORRECTING if phrase != "misunderstanding"),
    "mistakenly", "Misleading", "incorrect", "wrong",
)  # fmt: skip
_EXEMPT = ("wrong", "correct")  # a question about what is wrong has such words in its right solutions

_BOX = re.compile(r"\\boxed\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_DELIMITERS = ((r"\\\(", r"\\\)"), (r"\\\[", r"\\\]"), (r"\$\$", r"\$\$"), (r"\$", r"\$"))
_DOLLARS = re.compile(r"(?<!\\)\$+")
_AROUND = [(re.compile(rf"(?<!\\){opening}\s*\Z"), re.compile(rf"\s*{closing}")) for opening, closing in _DELIMITERS]


def corrects_itself(question: str, solution: str) -> bool:
    """Does a solution correct itself, so that it is no model to follow? Phrase filter 1 of section 2.3."""
    return _has_phrase(question, solution, _CORRECTING)


def announces_error(question: str, edit: str) -> bool:
    """Does an edit say that something is wrong? Phrase filter 2 of section 2.6."""
    return _has_phrase(question, edit, _ANNOUNCING)


def _has_phrase(question: str, text: str, phrases: Sequence[str]) -> bool:
    return not any(word in question for word in _EXEMPT) and any(phrase in text for phrase in phrases)


def unbox(text: str) -> tuple[str, int]:
    r"""Take every `\boxed{...}` off, by matching braces, and keep what is in it.

    Delimiters of mathematics that enclose nothing but the box go with it; a dollar before it that ends other
    mathematics stays.

    Returns:
        The text, and how many boxes are never closed; these stay.

    >>> unbox(r"So \( \boxed{\frac{1}{2}} \), or $x = \boxed{0.5}$")
    ('So \\frac{1}{2}, or $x = 0.5$', 0)
    """
    place = unbalanced = 0
    while (box := _BOX.search(text, place)) is not None:
        closing = _closing_brace(text, box.end())
        if closing is None:
            unbalanced += 1
            place = box.end()
            continue
        before, content, after = text[: box.start()], text[box.end() : closing], text[closing + 1 :]
        for opening, ending in _AROUND:
            opened, ended = opening.search(before, place), ending.match(after)
            if opened and ended and ("$" not in opening.pattern or _opens(before, opened.start())):
                before, after = before[: opened.start()], after[ended.end() :]
                break
        place = len(before)  # what was in the box may hold others
        text = before + content + after
    return text, unbalanced


def _opens(text: str, place: int) -> bool:
    """Say whether the dollars at a place open mathematics, and do not end it."""
    is_open = False
    for match in _DOLLARS.finditer(text):
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        # one that stands like an opening one opens, too: that before it was money, as in "$5: $x$"
        is_open = not is_open or (before.isspace() and not after.isspace())
        if match.start() == place:
            return is_open
    return False  # one of a run of dollars


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for match in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    return None


def _without_blanks(text: str) -> str:
    return "".join(text.split())


def is_no_change(step: str, edited: str) -> bool:
    """Say whether two steps differ in nothing but blanks and boxes."""
    return _without_blanks(unbox(step)[0]) == _without_blanks(unbox(edited)[0])


def edit_distance(a: str, b: str, tokenize: Tokenize | None = None) -> tuple[int, float]:
    """Give the Levenshtein distance of two texts, and its share of the longer one.

    Args:
        a: A text.
        b: Another.
        tokenize: Gives the tokens that are counted; None counts characters.

    >>> edit_distance("12 - 5 = 7", "5 - 12 = 7"), edit_distance("12 - 5 = 7", "5 - 12 = 7", str.split)
    ((4, 0.4), (2, 0.4))
    """
    from rapidfuzz.distance import Levenshtein

    left, right = (tokenize(a), tokenize(b)) if tokenize else (a, b)
    distance = Levenshtein.distance(left, right)
    return distance, distance / max(len(left), len(right), 1)


def is_within(distance: int, ratio: float, config: FilterConfig) -> bool:
    """Say whether a distance is within the bounds; without `distance` in the config there are none."""
    if not config.distance:
        return True
    return (
        config.min_abs <= distance
        and (config.max_abs is None or distance <= config.max_abs)
        and (config.max_ratio is None or ratio <= config.max_ratio)
    )


@dataclass(frozen=True)
class Verdict:
    """What the filters say of an edit."""

    outcome: str
    """`kept`, or the filter that dropped it."""
    rejected: str | None = None
    """The whole step with the error; None: it was dropped before there was one."""
    distance: int | None = None
    """Of the two steps, both without boxes."""


@dataclass(frozen=True)
class Filters:
    """The filters of one recipe."""

    config: FilterConfig
    """Which are used, and how strict they are."""
    grade: Grader
    """Tells whether a last step still ends in the gold answer."""
    tokenize: Tokenize | None = None
    """Gives the tokens of the distance; None counts characters."""

    def is_near(self, step: str, offset: int, window: str, edited: str) -> bool:
        """Say whether the distance filter lets an edited window pass, for editors that look before they choose."""
        rejected, _ = unbox(_spliced(step, offset, window, edited))
        return is_within(*self._distance(step, rejected), self.config)

    def _distance(self, step: str, rejected: str) -> tuple[int, float]:
        return edit_distance(unbox(step)[0], rejected, self.tokenize)

    def judge(
        self, *, question: str, gold: str, step: str, offset: int, window: str, edited: str | None, is_last: bool
    ) -> Verdict:
        """Put an edited window in its place, once, and say whether the step is kept.

        The edited step loses its boxes. They are not the edit: the distance is that of the two steps without boxes, or
        a short last step would be too far from every edit.

        Args:
            question: What was asked.
            gold: Its answer.
            step: The right step.
            offset: Where the window begins in it [characters].
            window: What was shown.
            edited: What the editor made of it; None: it did not close the fence.
            is_last: Whether the solution ends with this step.
        """
        if edited is None:
            return Verdict("no closing fence")
        if not edited.strip():
            return Verdict("empty edit")
        if self.config.phrases and announces_error(question, edited):
            return Verdict("announces the error")
        whole = _spliced(step, offset, window, edited)
        rejected, unbalanced = unbox(whole)
        if unbalanced:
            return Verdict("unbalanced box")
        if is_no_change(step, rejected):
            return Verdict("no change", rejected)
        distance, ratio = self._distance(step, rejected)
        if not is_within(distance, ratio, self.config):
            return Verdict("edit distance", rejected, distance)
        if self.config.verify:
            equations = find_equations(whole)
            if equations and all(equation.holds for equation in equations):
                return Verdict("equations still hold", rejected, distance)
            if is_last and graded(self.grade, gold, whole).correct:
                return Verdict("answer still right", rejected, distance)
        return Verdict(KEPT, rejected, distance)


def _spliced(step: str, offset: int, window: str, edited: str) -> str:
    return step[:offset] + edited + step[offset + len(window) :]
