"""Rows of puzzles: the published vocabulary and layout, and nothing cut or replaced in silence."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tenon.core.errors import DataError
from tenon.methods.mdm.layout import EOS, MASK, PAD, SEP, answers_of, lay_out, puzzle_tokenizer
from tenon.tasks.puzzles.puzzle import CHARACTERS


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return puzzle_tokenizer()


def test_the_published_vocabulary(tokenizer: Any) -> None:
    assert len(tokenizer) == 31
    ids = tokenizer(CHARACTERS, add_special_tokens=False)["input_ids"]
    assert ids == list(range(5, 31))
    assert tokenizer.decode(ids) == CHARACTERS
    specials = (tokenizer.pad_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id, tokenizer.eos_token_id)
    assert specials == (PAD, SEP, MASK, EOS)


def test_a_row_is_prompt_sep_answer_eos_and_padding(tokenizer: Any) -> None:
    rows = lay_out(tokenizer, ["12", "1"], ["3", "45"], length=7)
    assert rows.ids.tolist() == [[6, 7, SEP, 8, EOS, PAD, PAD], [6, SEP, 9, 10, EOS, PAD, PAD]]
    assert rows.is_maskable.int().tolist() == [[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1]]  # padding is learnt
    known = lay_out(tokenizer, ["12", "1"], ["3", "45"], length=7, learn_pad=False)
    assert known.is_maskable.int().tolist() == [[0, 0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0, 0]]
    asked = lay_out(tokenizer, ["12", "1"], None, length=7)
    assert torch.equal(asked.is_maskable, rows.is_maskable)  # the place does not tell how long an answer is
    assert answers_of(tokenizer, rows.ids, rows.is_maskable) == ["3", "45"]


def test_an_answer_ends_at_its_first_eos(tokenizer: Any) -> None:
    ids = torch.tensor([[6, SEP, 8, EOS, 9, PAD], [6, SEP, 8, 9, 10, 11]])
    is_maskable = torch.arange(6).expand(2, -1) > 1
    assert answers_of(tokenizer, ids, is_maskable) == ["3", "3456"]
    assert answers_of(tokenizer, ids, is_maskable, cut=False) == ["34", "3456"]  # as the released code reads it


@pytest.mark.parametrize(
    ("prompts", "answers", "message"),
    [
        (["12345", "1"], ["123", "2"], r"1 rows have more than 7 tokens with SEP and EOS \(rows 1\)"),
        (["1 2"], ["3"], "characters outside the vocabulary"),
        (["1[MASK]2"], ["3"], "hold MASK, SEP or PAD inside"),
        (["1", "2"], ["3", ""], r"have no answer \(rows 2\)"),
    ],
)
def test_9_faulty_rows_are_named(tokenizer: Any, prompts: list[str], answers: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        lay_out(tokenizer, prompts, answers, length=7)


def test_9_without_answers_their_end_must_have_been_learnt(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="where an answer ends"):
        lay_out(tokenizer, ["1"], None, length=5, learn_pad=False)
