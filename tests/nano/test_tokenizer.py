"""nano-lm's vocabulary: nothing is unwritable, digits and separators stand alone, chats have one form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenon.nano.tokenizer import SPECIAL, train_tokenizer
from tenon.nano.toolchats import tool_chat

TEXTS = [
    "Tom has 12 apples. He buys 305 more.\nHow many has he now?",
    "It was the best of times, it was the worst of times.\n\n",
] * 50
TOKENIZER = train_tokenizer(TEXTS, vocab_size=400)


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_every_text_comes_back(text: str) -> None:
    for special in SPECIAL:
        text = text.replace(special, "")
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert TOKENIZER.decode(ids) == text
    assert TOKENIZER.unk_token_id is None


def test_digits_are_single_and_separators_never_merge_with_letters() -> None:
    tokens = [
        TOKENIZER.decode([token]) for token in TOKENIZER("pays 305, or 12.\n\n", add_special_tokens=False)["input_ids"]
    ]
    assert [token for token in tokens if any(c.isdigit() for c in token)] == [" 3", "0", "5", " 1", "2"]
    for token in tokens:
        assert not (any(c in ".,\n" for c in token) and any(c.isalnum() for c in token))


def test_the_same_texts_give_the_same_tokenizer() -> None:
    assert train_tokenizer(TEXTS, vocab_size=400).get_vocab() == TOKENIZER.get_vocab()


def test_chat_template_writes_each_role() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    assert (
        TOKENIZER.apply_chat_template(messages, tokenize=False) == "<|begin|><|user|>Hi<|end|><|assistant|>Yes?<|end|>"
    )
    prompt = TOKENIZER.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == "<|begin|><|user|>Hi<|end|><|assistant|>"


def test_tool_chats_carry_calls_with_json_arguments() -> None:
    messages, tools = tool_chat(0, 1)
    text = TOKENIZER.apply_chat_template(messages, tools=tools, tokenize=False)
    assert text.startswith('<|begin|><|tools|>{"name": ')
    assert '<|call|>{"name": ' in text
    assert "<|tool|>" in text


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(Exception, match="roles user, assistant and tool"):
        TOKENIZER.apply_chat_template([{"role": "wizard", "content": "x"}], tokenize=False)


def test_calculator_chats_are_true() -> None:
    for index in range(200):
        messages, _ = tool_chat(5, index)
        for call, result in zip(messages[1::4], messages[2::4], strict=True):
            function = call["tool_calls"][0]["function"]
            if function["name"] == "calculator":
                left, sign, right = function["arguments"]["expression"].split()
                expected = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}[sign]
                assert int(result["content"]) == expected
