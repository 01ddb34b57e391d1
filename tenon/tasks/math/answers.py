"""Find the final answer in a text, and say whether two answers are the same.

Two extractions, two scores: `extract_answer` takes an answer that is marked as such, `extract_last_number` whatever
number comes last. Report which one a figure used.
"""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["compare_answers", "extract_answer", "extract_last_number", "is_correct", "parse_number", "same_answer"]

_MARKED = re.compile(r"^[ \t]*Answer:[ \t]*(?P<answer>\S.*)$|####[ \t]*(?P<gsm8k>\S.*)$", re.MULTILINE)
_BOXED = re.compile(r"\\boxed\s*\{")
_NUMBER = re.compile(r"(?P<whole>[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?)(?P<rest>(?:\.\d+)?)(?:/(?P<under>\d+))?")
_NUMBER_IN_TEXT = re.compile(r"(?<![\w.])-?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d])")
_MAX_LENGTH = 500  # characters; no answer of GSM8K or MATH comes near it, and a parser's time grows with it


def extract_answer(text: str) -> str | None:
    r"""Give the last complete answer that the text marks: `Answer: 17`, `#### 17` or `\boxed{17}`; None without one.

    An `Answer:` must begin its line; a box must be closed.

    >>> extract_answer("Step 1: 2 + 3 = 5.\nAnswer: 5"), extract_answer(r"so \boxed{\frac{1}{2}}."), extract_answer("5")
    ('5', '\\frac{1}{2}', None)
    """
    found = [(m.start(), m["answer"] or m["gsm8k"]) for m in _MARKED.finditer(text)]
    for opening in _BOXED.finditer(text):
        content = _up_to_closing_brace(text, opening.end())
        if content is not None and content.strip():
            found.append((opening.start(), content))
    if not found:
        return None
    return max(found)[1].strip()


def _up_to_closing_brace(text: str, start: int) -> str | None:
    depth, escaped = 1, False
    for position in range(start, len(text)):
        char = text[position]
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in "{}":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return text[start:position]
    return None


def extract_last_number(text: str) -> str | None:
    """Give the last number of the text, marked or not; None without one. The lenient extraction.

    >>> extract_last_number("It costs $1,250.50 in all."), extract_last_number("none")
    ('$1,250.50', None)
    """
    numbers = _NUMBER_IN_TEXT.findall(text)
    return numbers[-1] if numbers else None


def is_correct(prediction_text: str, reference: str) -> bool:
    """Does the text mark an answer, and is it the same as the reference (a bare answer)?"""
    answer = extract_answer(prediction_text)
    return answer is not None and same_answer(answer, reference)


def same_answer(a: str, b: str) -> bool:
    r"""Are two answers equal? Numbers are compared exactly, everything else as mathematics, by math-verify.

    Answers above 500 characters are equal only when they are the same text; those that take too long are not equal.

    >>> same_answer("1,000", "$1000"), same_answer("17.0", "17"), same_answer("17", "18")
    (True, True, False)
    """
    return bool(compare_answers(a, b))


def compare_answers(a: str, b: str) -> bool | None:
    """Compare as `same_answer` does, the reference answer first; None where time ran out, so that nobody knows."""
    a, b = a.strip(), b.strip()
    if a == b:
        return True
    left, right = parse_number(a), parse_number(b)
    if left is not None and right is not None:
        return left == right
    if not a or not b or max(len(a), len(b)) > _MAX_LENGTH:
        return False
    from tenon.tasks.math.expressions import same_expression

    return same_expression(a, b)


def parse_number(text: str) -> Fraction | None:
    r"""Read a plain number exactly: sign, thousands commas, decimals, a simple fraction, a dollar sign, a final period.

    >>> parse_number("-1,250.5"), parse_number("3/4"), parse_number(r"\$17."), parse_number("1,00"), parse_number("x")
    (Fraction(-2501, 2), Fraction(3, 4), Fraction(17, 1), None, None)
    """
    if len(text) > _MAX_LENGTH:
        return None
    plain = text.strip().removesuffix(".").replace("\\$", "$").strip("$ ")
    if plain.startswith("-$"):
        plain = "-" + plain[2:]
    match = _NUMBER.fullmatch(plain)
    if match is None or not any(char.isdigit() for char in match["whole"] + match["rest"]) or not plain.isascii():
        return None
    under = int(match["under"] or 1)
    whole = match["whole"].replace(",", "")
    return Fraction(whole + match["rest"]) / under if under else None
