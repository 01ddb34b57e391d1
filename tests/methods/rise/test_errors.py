"""The table of errors, and how a model is asked for one (section 2.5, property 7.11)."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random

import pytest

from tenon.methods.rise.config import ERROR_KINDS
from tenon.methods.rise.errors import ERRORS, candidates, draw_kind, edit_prompt, parse_edit

WITH_EQUALS = ("wrong_sub", "del_term", "symbol", "swap")
TABLE = {  # runs of digits, equals sign: what is offered
    (0, False): ("words",),
    (1, False): ("value",),
    (2, False): ("multi_value",),
    (3, False): ("multi_value",),
    (0, True): WITH_EQUALS,
    (1, True): ("value", *WITH_EQUALS),
    (2, True): ("multi_value", *WITH_EQUALS),
    (3, True): ("multi_value", *WITH_EQUALS),
}


@pytest.mark.parametrize(("numbers", "equals"), list(product(range(4), (False, True))))
def test_7_11_what_is_offered_is_the_table(numbers: int, equals: bool) -> None:
    text = " and ".join(["x" * equals + "=" * equals + " we see", *(str(17 + n) for n in range(numbers))])
    assert candidates(text) == TABLE[numbers, equals]


def test_7_11_digits_are_counted_in_runs() -> None:
    assert candidates("117") == ("value",)
    assert candidates("1.5") == ("multi_value",)  # [code]: two runs


def test_7_11_each_of_five_is_drawn_as_often_as_the_others() -> None:
    random = Random(0)
    drawn = Counter(draw_kind("12 + 5 = 17", ERROR_KINDS, random) for _ in range(10_000))
    assert set(drawn) == {"multi_value", *WITH_EQUALS}
    assert all(abs(count / 10_000 - 0.2) < 0.015 for count in drawn.values()), drawn


def test_only_wanted_kinds_are_drawn() -> None:
    assert candidates("12 + 5 = 17", ("swap", "words", "del_term")) == ("del_term", "swap")
    assert draw_kind("12 + 5 = 17", ("words",), Random(0)) is None


def test_every_kind_has_its_operation() -> None:
    assert tuple(ERRORS) == ERROR_KINDS
    assert {kind: error.operation for kind, error in ERRORS.items() if error.operation != "REPLACE"} == {
        "del_term": "DELETE",
        "swap": "SWAP",
    }
    assert len({error.request for error in ERRORS.values()}) == len(ERRORS)


def test_an_edit_is_asked_for_in_three_fenced_blocks_and_the_answer_is_begun() -> None:
    prompt = edit_prompt("swap", "How many?", "So.\nStep 1:", "12 - 5 = 7")
    blocks, request = prompt.user.rsplit("\n\n", 1)
    assert blocks.split("```")[1::2] == ["\nHow many?\n", "\nSo.\nStep 1:\n", "\n12 - 5 = 7\n"]
    assert request.startswith(ERRORS["swap"].request)
    assert "Do not mention that an error was made." in request
    assert prompt.prefill.endswith(":\n```\n")
    assert prompt.fence == "```"


@pytest.mark.parametrize("place", range(3))
def test_fences_of_the_texts_close_nothing(place: int) -> None:
    texts = ["q", "p", "w"]
    texts[place] = "````\ncode\n````"
    prompt = edit_prompt("value", *texts)
    assert prompt.fence == "`````"
    assert prompt.user.count(f"\n{prompt.fence}\n") == 6
    assert parse_edit(f"{texts[place]}\n{prompt.fence}", prompt.fence) == texts[place]


@pytest.mark.parametrize(
    ("answer", "edited"),
    [
        ("a = 8\n```", "a = 8"),
        (" a = 8 ```\nIn this step I changed 7.\n```", "a = 8"),
        ("```", ""),
        ("a = 8", None),
        ("", None),
        ("a = 8``", None),
    ],
)
def test_an_edit_goes_up_to_the_first_closing_fence(answer: str, edited: str | None) -> None:
    assert parse_edit(answer, "```") == edited
