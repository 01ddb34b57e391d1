"""Equations are read from text with their places; what is not understood gives none."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from random import Random

import pytest

from tenon.methods.rise.equations import find_equations


def read(text: str) -> list[tuple[str, str, bool]]:
    def whole(side):  # type: ignore[no-untyped-def]
        return "".join(token.text for token in side.tokens)

    return [(whole(one.left), whole(one.right), one.holds) for one in find_equations(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mia buys 3 * 4 = 12 apples.", [("3*4", "12", True)]),
        ("She has 12 + 5 = 18 apples.", [("12+5", "18", False)]),
        ("3 * 4 + 2 = 12 + 2 = 15", [("3*4+2", "12+2", True), ("12+2", "15", False)]),
        (r"$3 \times 4 = 12$, so \(12 \div 5 = 2.4\).", [(r"3\times4", "12", True), (r"12\div5", "2.4", True)]),
        ("\\[\n12 − 5 = 7\n\\]", [("12−5", "7", True)]),
        (r"12 + 5 = \boxed{17}.", [("12+5", r"\boxed{17}", True)]),
        (r"\frac{1}{2} + \dfrac{1}{4} = \frac{3}{4}", [(r"\frac{1}{2}+\dfrac{1}{4}", r"\frac{3}{4}", True)]),
        (r"\left(2+3\right)\cdot 4=20", [(r"(2+3)\cdot4", "20", True)]),
        ("(3 + 4 = 7)", [("3+4", "7", True)]),
        ("f so (10 - 4) / 2 = 3.", [("(10-4)/2", "3", True)]),
        ("$5 + $6 = $11", [("5+6", "11", True)]),
        ("1,250.50 × 2 = 2,501", [("1,250.50×2", "2,501", True)]),
        ("3 x 4 = 12 and 3x4=13", [("3x4", "12", True), ("3x4", "13", False)]),
        ("48/2=<<48/2=24>>24", [("48/2", "24", True)]),
        ("-3 + 5 = 2", [("-3+5", "2", True)]),
        ("10 / 3 = 3.33, 10 / 3 = 3.34", [("10/3", "3.33", True), ("10/3", "3.34", False)]),  # rounded, and not
        ("10 / 4 = 2, 10 / 4 = 3, 10 / 4 = 4", [("10/4", "2", True), ("10/4", "3", True), ("10/4", "4", False)]),
        (r"\frac{100}{3} = 33, 100 / 3 = 34", [(r"\frac{100}{3}", "33", True), ("100/3", "34", False)]),
        ("33 + 0.4 = 33", [("33+0.4", "33", False)]),  # nothing is rounded without a division
        ("8 / 2 = 5", [("8/2", "5", False)]),  # it comes out
        ("2 + 3 = 5\n= 6", [("2+3", "5", True)]),  # a line is a line
        ("Of a total of 3 * 4 = 13 half are 7 - 1 = 6.", [("3*4", "13", False), ("7-1", "6", True)]),
        ("So 12 = 3 * 5, and 12 = 3 * 4 = 13", [("12", "3*5", False), ("3*4", "13", False)]),
        ("10:\n12 = 7", [("12", "7", False)]),
    ],
)
def test_equations_by_hand(text: str, expected: list[tuple[str, str, bool]]) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "y - 3 = 4", "y -3 = 4", "2x = 4", "x + 1 = 3", "3^2 = 9", "2^3 + 1 = 9", "5! = 120", "5 / 0 = 3", "3 + 4 == 7",
        "3 + 4 <= 7", "12 + 5 = 17x", "12 + 5 = 17%", r"12 + 5 = 17\%", "12 + 5 = 3^2", "3 apples * 4 = 12", "f(3) = 3",
        r"12 \text{ apples} + 3 = 15", r"\sqrt{4} = 2", "sqrt(4) = 2", "3(4) = 12", "3 + = 7", "= 3", "3 + 4 =", "",
        "((((3 = 3))", "3 + (4 = 7", "apples - 3 = 4", "20% of 50 = 10", r"20\% of 50 + 5 = 15", "half of 12 = 6",
        "half of $12 = $6", "Twice 5 = 10", "the sum of 3 and 4 = 7", "the sum of 3 and -4 = -1", "log 100 = 2",
        "half of 3 * 4 = 6", "3 plus 4 * 2 = 11", "log (10 * 10) = 2", "the ratio 3:4 = 0.75", "Divide 12 by 4 = 3",
        "gcd(12, 8) = 4", "3 + 4 = (8", "log(10 * 10) = 2", r"half of \frac{1}{2} = 0.25",
    ],
)  # fmt: skip
def test_what_is_not_understood_gives_no_equation(text: str) -> None:
    assert [one for one in read(text) if "+" in one[0] or "*" in one[0] or not one[2]] == []


def test_places_are_those_of_the_text() -> None:
    text = r"So $1,250 \times 2 = \boxed{2,500}$."
    (equation,) = find_equations(text)
    for token in (*equation.left.tokens, *equation.right.tokens):
        assert text[token.start : token.end] == token.text
    assert [token.text for token in equation.left.numbers] == ["1,250", "2"]
    assert [token.operator for token in equation.left.operators] == ["*"]


@dataclass
class Tree:
    """An expression as a person writes it, with its value by construction: the twin of the reader."""

    text: str
    value: Fraction
    is_sum: bool = False
    is_product: bool = False


def grow(random: Random, depth: int) -> Tree:
    if depth == 0 or random.random() < 0.2:
        kind = random.randrange(3)
        if kind == 0:
            number = random.randint(1, 9_999_999)
            return Tree(f"{number:,}", Fraction(number))
        if kind == 1:
            cents = random.randint(1, 99_999)
            return Tree(f"{cents // 100}.{cents % 100:02d}", Fraction(cents, 100))
        number = random.randint(1, 99)
        return Tree(str(number), Fraction(number))
    left, right = grow(random, depth - 1), grow(random, depth - 1)
    operator = random.choice("+-*/f")
    if operator == "f" and right.value:
        return Tree(rf"\frac{{{left.text}}}{{{right.text}}}", left.value / right.value)
    opening, closing = random.choice([("(", ")"), (r"\left(", r"\right)")])

    def inner(tree: Tree, in_brackets: bool) -> str:
        return f"{opening}{tree.text}{closing}" if in_brackets else tree.text

    if operator in "+-" or (operator in "/f" and not right.value):
        sign = random.choice(["+"] if operator == "+" else ["-", "−"]) if operator in "+-" else "+"
        text = f"{left.text} {sign} {inner(right, right.is_sum)}"
        return Tree(text, left.value + right.value if sign == "+" else left.value - right.value, is_sum=True)
    sign = random.choice(["*", "×", r"\times", r"\cdot"] if operator == "*" else ["/", "÷", r"\div"])
    text = f"{inner(left, left.is_sum)} {sign} {inner(right, right.is_sum or right.is_product)}"
    value = left.value * right.value if operator == "*" else left.value / right.value
    return Tree(text, value, is_product=True)


def test_values_of_random_expressions_are_those_of_their_making() -> None:
    random = Random(0)
    for _ in range(500):
        left, right = grow(random, 3), grow(random, 2)
        (equation,) = find_equations(f"So we have {left.text} = {right.text}, that is it.")
        assert (equation.left.value, equation.right.value) == (left.value, right.value), (left, right)


def test_deep_and_long_sides_end() -> None:
    assert find_equations("(" * 100_000 + "1" + ")" * 100_000 + " = 1") == []
    assert find_equations("1 + " * 100_000 + "1 = 1") == []
    assert find_equations("9" * 100_000 + " = 1") == []
