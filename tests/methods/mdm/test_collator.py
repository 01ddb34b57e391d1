"""Prompts and responses as batches: written-out tensors for every way of padding, and nothing cut in silence."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tenon.core.errors import ConfigError, DataError
from tenon.core.models.tiny import tiny_tokenizer
from tenon.core.training.rows import PassRows
from tenon.methods.mdm.collator import DataCollatorForMaskedDiffusion, by_length, encode_rows, prompt_ids
from tenon.methods.mdm.layout import EOS, PAD, SEP, puzzle_tokenizer

X = -100
ROWS = [{"prompt": "12", "response": "3"}, {"prompt": "1", "response": "456"}]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return puzzle_tokenizer()


@pytest.fixture(scope="module")
def speaker() -> Any:
    """A tokenizer with BOS, a chat template and no SEP."""
    made = tiny_tokenizer()
    made.add_special_tokens({"mask_token": "<|mask|>"})
    return made


def batch(tokenizer: Any, policy: Any, length: int | None, rows: Any = ROWS) -> dict[str, list[list[int]]]:
    made = DataCollatorForMaskedDiffusion(tokenizer, policy, length)(rows)
    return {name: column.tolist() for name, column in made.items()}


def test_padding_that_is_learnt_is_a_target_and_seen(tokenizer: Any) -> None:
    made = batch(tokenizer, "learn", 7)
    assert made["input_ids"] == [[6, 7, SEP, 8, EOS, PAD, PAD], [6, SEP, 9, 10, 11, EOS, PAD]]
    assert made["labels"] == [[X, X, X, 8, EOS, PAD, PAD], [X, X, 9, 10, 11, EOS, PAD]]
    assert made["attention_mask"] == [[1] * 7] * 2


def test_eos_to_the_end_is_a_target_and_seen(tokenizer: Any) -> None:
    made = batch(tokenizer, "eos_fill", 7)
    assert made["input_ids"] == [[6, 7, SEP, 8, EOS, EOS, EOS], [6, SEP, 9, 10, 11, EOS, EOS]]
    assert made["labels"] == [[X, X, X, 8, EOS, EOS, EOS], [X, X, 9, 10, 11, EOS, EOS]]
    assert made["attention_mask"] == [[1] * 7] * 2


@pytest.mark.parametrize("length", [None, 9])
def test_padding_that_is_ignored_is_neither(tokenizer: Any, length: int | None) -> None:
    made = batch(tokenizer, "ignore", length)
    assert made["input_ids"] == [[6, 7, SEP, 8, EOS, PAD], [6, SEP, 9, 10, 11, EOS]]  # no longer than the longest
    assert made["labels"] == [[X, X, X, 8, EOS, X], [X, X, 9, 10, 11, EOS]]
    assert made["attention_mask"] == [[1, 1, 1, 1, 1, 0], [1] * 6]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "1", "completion": "45"},
        {"input": "1", "output": "45"},
        {"prompt": "1", "response": "45", "key": "other columns do not matter"},
    ],
)
def test_columns_of_others_are_read(tokenizer: Any, row: Any) -> None:
    (found,) = encode_rows(tokenizer, [row])
    assert found == {"input_ids": [6, SEP, 9, 10, EOS], "labels": [X, X, 9, 10, EOS]}


def test_a_chat_goes_through_the_template(speaker: Any) -> None:
    said = [("user", "hi"), ("assistant", "yo"), ("user", "a"), ("assistant", "bc")]
    messages = [{"role": role, "content": content} for role, content in said]
    for row in ({"messages": messages}, {"prompt": messages[:3], "completion": messages[3:]}):
        (found,) = encode_rows(speaker, [row])
        learnt = [token for token in found["labels"] if token != X]
        given = [token for token, label in zip(found["input_ids"], found["labels"], strict=True) if label == X]
        assert speaker.decode(given) == "<bos>user: hi\nassistant: yo\nuser: a\nassistant: "
        assert speaker.decode(learnt) == "bc\n<eos>"  # earlier answers are given
    with pytest.raises(DataError, match="Row 0: the last message must be the assistant's"):
        encode_rows(speaker, [{"messages": messages[:3]}])
    broken = tiny_tokenizer()
    broken.add_special_tokens({"mask_token": "<|mask|>"})
    broken.chat_template = (
        "{% for message in messages %}{{ message.content }}{% endfor %}{% if add_generation_prompt %}?{% endif %}"
    )
    with pytest.raises(DataError, match="where the response begins is not known"):
        encode_rows(broken, [{"messages": messages}])
    broken.chat_template = None
    with pytest.raises(DataError, match="no chat template"):
        encode_rows(broken, [{"messages": messages}])


def test_a_prompt_begins_as_the_tokenizer_begins_a_text(speaker: Any, tokenizer: Any) -> None:
    assert speaker.convert_ids_to_tokens(prompt_ids(speaker, "ab")) == ["<bos>", "a", "b"]
    assert prompt_ids(tokenizer, "1[SEP]") == [6, SEP]  # not twice


def test_encoded_rows_are_padded_as_text_is(tokenizer: Any) -> None:
    encoded = encode_rows(tokenizer, ROWS)
    assert batch(tokenizer, "learn", 7, encoded) == batch(tokenizer, "learn", 7)


@pytest.mark.parametrize("policy", ["learn", "eos_fill", "ignore"])
def test_9_rows_with_nothing_to_write_are_left_out_and_counted(tokenizer: Any, policy: Any) -> None:
    collator = DataCollatorForMaskedDiffusion(tokenizer, policy, 7)
    made = collator([ROWS[0], {"prompt": "12", "response": ""}])
    assert torch.equal(made["labels"], collator(ROWS[:1])["labels"])
    assert collator.skipped == 1
    nothing = collator([{"prompt": "12", "response": ""}])
    assert collator.skipped == 2
    assert bool((nothing["labels"] == X).all())  # a loss of 0
    assert bool(nothing["attention_mask"].any(1).all())  # and no softmax over nothing


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, {"prompt": "123", "response": "456"}], r"1 rows have more than 7 tokens with EOS \(rows 3\)"),
        ([ROWS[0], {"prompt": "1[MASK]", "response": "2"}], r"hold \[MASK\], which is MASK, \(rows 2\)"),
        ([{"prompt": "1", "response": "[MASK]"}], r"hold \[MASK\], which is MASK, \(rows 1\)"),
        ([{"prompt": "1 2", "response": "3"}], r"outside the vocabulary \(rows 1\)"),
        ([{"prompt": "1", "answer": 3}], r"Row 0 has prompt \(str\), answer \(int\); it must have texts prompt"),
        ([{"prompt": "1", "response": 3}], r"response \(int\)"),
    ],
)
def test_9_faulty_rows_are_named(tokenizer: Any, rows: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        DataCollatorForMaskedDiffusion(tokenizer, "learn", 7)(rows)
    if "more than" in message:
        with pytest.raises(DataError, match="A row has 8 tokens, but max_length is 7"):
            DataCollatorForMaskedDiffusion(tokenizer, "ignore", 7)(encode_rows(tokenizer, rows))


def test_9_what_a_tokenizer_lacks_is_told() -> None:
    bare = tiny_tokenizer()
    with pytest.raises(DataError, match=r"no mask token; add one: .*resize_token_embeddings"):
        DataCollatorForMaskedDiffusion(bare, "ignore")
    bare.add_special_tokens({"mask_token": "<|mask|>"})
    with pytest.raises(ConfigError, match="max_length is none"):
        DataCollatorForMaskedDiffusion(bare, "learn")
    bare.pad_token = None
    with pytest.raises(DataError, match="no padding token to learn"):
        DataCollatorForMaskedDiffusion(bare, "learn", 8)
    assert DataCollatorForMaskedDiffusion(bare, "ignore").fill == bare.eos_token_id  # any will do: nobody sees it
    bare.eos_token = None
    with pytest.raises(DataError, match="no EOS"):
        DataCollatorForMaskedDiffusion(bare, "ignore")


def test_rows_of_like_length_come_together_and_none_is_lost() -> None:
    lengths = torch.randint(1, 200, (300,), generator=torch.Generator().manual_seed(0))
    order = PassRows({"row": torch.arange(300)}, items=8 * 120, seed=0).order
    found = by_length(order, lengths, group=8, seed=0)
    for start in range(0, len(order), 400):  # within windows of 50 groups
        assert found[start : start + 400].sort().values.tolist() == order[start : start + 400].sort().values.tolist()

    def padding(order: torch.Tensor) -> int:
        groups = lengths[order].view(-1, 8)
        return int((groups.amax(1, keepdim=True) - groups).sum())

    assert padding(found) < 0.1 * padding(order)
    means = lengths[found].view(-1, 8).float().mean(1)
    assert not torch.equal(means[:50], means[:50].sort().values)  # long ones are not all at the end
    assert torch.equal(found, by_length(order, lengths, group=8, seed=0))
    assert not torch.equal(found, by_length(order, lengths, group=8, seed=1))
    # What comes first does not depend on how long the training is: a function of seed and step.
    assert torch.equal(by_length(order[:400], lengths, group=8, seed=0), found[:400])
