"""Separators from vocabularies of every kind: byte level, SentencePiece with byte fallback, words; merged tokens."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from tenon.core.config import load
from tenon.core.errors import ConfigError
from tenon.methods.sepllm.config import SeparatorSet, SepConfig
from tenon.methods.sepllm.separators import ID_LISTS, STRINGS, density, resolve_separators, token_texts


class Vocabulary:
    """As much of a tokenizer as is read."""

    def __init__(self, tokens: list[str], special: tuple[int, ...] = ()) -> None:
        self.tokens, self.all_special_ids = tokens, list(special)

    def __len__(self) -> int:
        return len(self.tokens)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.tokens[index] for index in ids]


BYTES = Vocabulary(["<s>", "a", ".", "Ġ.", ".Ċ", ".ĊĊ", "Ċ", "Ġ", ',"', "Ġthe", "ã", "ãĢĤ", '"', "ĊĠĊ", ";", "ĉ"], (0,))
PIECES = Vocabulary(["<s>", "▁", "▁.", ".", "<0x0A>", "<0x0D>", "<0xE3>", "▁the", "a,", "..."], (0,))


def chosen(vocabulary: Any, separators: Any = "paper", match: Any = "exact", extra: tuple[int, ...] = ()) -> list[str]:
    table = resolve_separators(vocabulary, separators, vocab_size=len(vocabulary), match=match, extra_ids=extra)
    return [vocabulary.tokens[index] for index in table.nonzero()[:, 0].tolist()]


def test_byte_level_text_is_read_byte_by_byte() -> None:
    assert token_texts(BYTES)[:9] == [None, "a", ".", " .", ".\n", ".\n\n", "\n", " ", ',"']  # type: ignore[arg-type]
    assert token_texts(BYTES)[10:12] == [None, "。"]  # type: ignore[arg-type]  # part of a character, and a whole one


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("exact", [".", "Ċ", "Ġ", ";", "ĉ"]),
        ("space", [".", "Ġ.", "Ċ", "Ġ", ";", "ĉ"]),
        ("contains", [".", "Ġ.", ".Ċ", ".ĊĊ", "Ċ", "Ġ", "ĊĠĊ", ";", "ĉ"]),
    ],
)
def test_merged_tokens_by_policy(match: str, expected: list[str]) -> None:
    assert chosen(BYTES, match=match) == expected


def test_quotes_count_only_when_asked_for() -> None:
    assert ',"' not in chosen(BYTES, match="contains")
    assert ',"' in chosen(BYTES, (",", '"'), match="contains")


def test_byte_fallback_and_leading_blanks_of_sentencepiece() -> None:
    assert chosen(PIECES) == ["▁", ".", "<0x0A>"]
    assert chosen(PIECES, match="space") == ["▁", "▁.", ".", "<0x0A>"]
    assert chosen(PIECES, match="contains") == ["▁", "▁.", ".", "<0x0A>", "a,", "..."]


def test_special_tokens_count_by_id_alone() -> None:
    assert chosen(PIECES, ("<s>", "."), match="contains") == ["▁.", ".", "..."]
    assert chosen(PIECES, (".",), extra=(0,)) == ["<s>", "."]


def test_other_scripts() -> None:
    assert "ãĢĤ" in chosen(BYTES, "multilingual")
    assert "ãĢĤ" not in chosen(BYTES)


def test_the_real_tokenizer_of_the_tiny_models(tokenizer: Any) -> None:
    table = resolve_separators(tokenizer, "paper", vocab_size=130)
    assert len(table) == 130  # models pad their vocabulary
    assert tokenizer.convert_ids_to_tokens(table.nonzero()[:, 0].tolist()) == [
        "\t",
        "\n",
        " ",
        "!",
        ",",
        ".",
        ":",
        ";",
        "?",
    ]


def test_nano_tokenizer_finds_its_marks() -> None:
    from tenon.nano.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["One, two. Three;\n\nfour: five!  Six?"] * 4, vocab_size=300)
    table = resolve_separators(tokenizer, "paper", vocab_size=len(tokenizer))
    ids = tokenizer("One, two.\n\nThree", add_special_tokens=False)["input_ids"]
    texts = [tokenizer.decode([index]) for index in ids if table[index]]
    assert "".join(texts).count(".") == 1
    assert "".join(texts).count(",") == 1
    assert "".join(texts).count("\n") == 2


@pytest.mark.parametrize("name", ID_LISTS)
def test_published_lists_are_taken_as_they_are(name: str) -> None:
    table = resolve_separators(None, name, vocab_size=130_000)
    assert sorted(ID_LISTS[name]) == table.nonzero()[:, 0].tolist()
    assert len(set(ID_LISTS[name])) == len(ID_LISTS[name])


def test_every_named_set_is_an_option_and_the_reverse() -> None:
    assert set(get_args(SeparatorSet)) == {*STRINGS, *ID_LISTS}
    named = [load(SepConfig, sets=[f"separators={name}"]).separators for name in ("llama3-mask", "none")]
    assert named == ["llama3-mask", "none"]
    assert load(SepConfig, sets=['separators=[".", ","]']).separators == (".", ",")


def test_none_is_legal_and_empty() -> None:
    assert not resolve_separators(None, "none", vocab_size=10).any()


@pytest.mark.parametrize(
    ("separators", "tokenizer", "message"),
    [
        (("§",), PIECES, "No token of Vocabulary matches"),
        ("llama3-mask", None, "13 is outside the vocabulary of 10 tokens"),
        ("papers", PIECES, "no set of separators 'papers'; the sets are paper, four"),
        ("paper", None, "give the tokenizer"),
    ],
)
def test_9_separators_that_lead_nowhere(separators: Any, tokenizer: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_separators(tokenizer, separators, vocab_size=10)


def test_9_density_warns_where_it_makes_no_sense() -> None:
    table = torch.tensor([True, False, False, False])
    assert density(table, torch.tensor([0, 1, 2, 3])) == 0.25
    with pytest.warns(UserWarning, match=r"0\.0% of the first 3 tokens"):
        assert density(table, torch.tensor([1, 2, 3])) == 0
    with pytest.warns(UserWarning, match="100"):
        density(table, torch.tensor([0, 0]))
    assert density(torch.zeros(4, dtype=torch.bool), torch.tensor([1])) == 0  # StreamingLLM: nothing to warn of
