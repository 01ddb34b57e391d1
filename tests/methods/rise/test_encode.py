"""Token ids of pairs: where completions begin, EOS only where a solution ends, what is cut, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tenon.core.chat.local import LocalWriter
from tenon.core.chat.request import Request
from tenon.core.errors import DataError
from tenon.core.models.loading import load_tokenizer
from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.methods.rise.config import PromptConfig, RISEConfig
from tenon.methods.rise.encode import DROPS, check_tokenizer, encode_pairs
from tenon.methods.rise.rows import Pair

PROMPT, RISE = PromptConfig(), RISEConfig()
FULL = Pair(
    prompt="Tom has 12 apples and eats 5. How many are left?",
    initial_reason_steps="",
    chosen="Step 1: 12 - 5 = 7 apples.\nAnswer: 7",
    rejected="Step 1: 12 - 5 = 8 apples.\nAnswer: 8",
)
EDIT = replace(
    FULL,
    pair_kind="edit",
    initial_reason_steps="Step 1:",
    chosen=" 12 - 5 = 7 apples.",
    rejected=" 12 - 5 = 6 apples.",
    step=1,
    last_step=False,
)
LAST = replace(EDIT, last_step=True)
TEMPLATE = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}[assistant] "


def sentencepiece(template: str, *, adds_bos: bool = True) -> Any:
    """Pieces with their blank in front, as sentencepiece makes them: a blank belongs to the word after it."""
    letters = "▁ \n" + "".join(map(chr, range(33, 127)))
    words = ["▁Step", "▁apples", "▁12", "▁5", "▁7", "=", "▁=", "▁-", "Step", "12", "▁Tom"]
    special = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    pieces = [*special, *((letter, -9.0) for letter in letters), *((word, -5.0) for word in words)]
    core = Tokenizer(models.Unigram(list(dict(pieces).items()), unk_id=0))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Metaspace(prepend_scheme="first")
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", chat_template=template
    )


def merging(*merges: tuple[str, str]) -> Any:
    """One character is a token, but for these merges, which know no border between prompt and completion."""
    letters = ["<eos>", *(chr(code) for code in (10, *range(32, 127)))]
    tokens = [*letters, *(left + right for left, right in merges)]
    core = Tokenizer(models.BPE({token: place for place, token in enumerate(tokens)}, list(merges)))
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<eos>", chat_template=TEMPLATE)


TOKENIZERS = {
    "nano": lambda: load_tokenizer("nano-lm"),  # byte-level; BOS in the template and before a text
    "tiny": tiny_tokenizer,  # BOS in the template and before a text
    "sentencepiece": lambda: sentencepiece(TEMPLATE),  # BOS before a text alone
    "sentencepiece with BOS in the template": lambda: sentencepiece("{{ bos_token }}" + TEMPLATE),
    "sentencepiece without BOS": lambda: sentencepiece(TEMPLATE, adds_bos=False),
    "no BOS at all": merging,
}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return TOKENIZERS[request.param]()


def row_of(tokenizer: Any, pair: Any, rise: RISEConfig = RISE, prompt: PromptConfig = PROMPT) -> dict[str, Any]:
    encoded = encode_pairs(tokenizer, [pair], prompt, rise)
    assert encoded.dropped == {}
    (row,) = encoded.rows
    return row


def text_of(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def dropped(tokenizer: Any, pair: Any, rise: RISEConfig = RISE) -> dict[str, int]:
    encoded = encode_pairs(tokenizer, [pair], PROMPT, rise)
    assert len(encoded.rows) + sum(encoded.dropped.values()) == 1
    return encoded.dropped


def test_7_07_eos_ends_solutions_alone(tokenizer: Any) -> None:
    eos = tokenizer.eos_token_id
    for pair, ends in ((FULL, True), (EDIT, False), (LAST, True)):
        row = row_of(tokenizer, pair)
        for side in (row["chosen_ids"], row["rejected_ids"]):
            assert side.count(eos) == ends
            assert (side[-1] == eos) == ends
        assert row["is_edit"] == (pair is not FULL)
    for pair in (FULL, EDIT, LAST):  # the released code has none
        row = row_of(tokenizer, pair, replace(RISE, eos_on_terminal=False))
        assert eos not in row["chosen_ids"] + row["rejected_ids"]


def test_7_07_there_is_one_bos_where_the_tokenizer_puts_one(tokenizer: Any) -> None:
    puts_one = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    for pair in (FULL, EDIT):
        row = row_of(tokenizer, pair)
        whole = row["prompt_ids"] + row["chosen_ids"]
        assert whole.count(tokenizer.bos_token_id) == puts_one
        assert (whole[0] == tokenizer.bos_token_id) == puts_one


def test_7_09_prompts_are_one_and_tokens_give_back_the_text(tokenizer: Any) -> None:
    for pair in (FULL, EDIT):
        row = row_of(tokenizer, pair, replace(RISE, eos_on_terminal=False))
        for side, text in ((row["chosen_ids"], pair.chosen), (row["rejected_ids"], pair.rejected)):
            whole = row["prompt_ids"] + side
            decoded = text_of(tokenizer, whole)
            assert decoded.endswith(pair.initial_reason_steps + text)
            assert pair.prompt in decoded
            assert tokenizer(decoded, add_special_tokens=False)["input_ids"] == whole


def test_7_09_the_prompt_asks_as_the_model_is_asked() -> None:
    asked = PromptConfig(system="Be kind.", instruction="Step by step.")
    row = row_of(tiny_tokenizer(), EDIT, prompt=asked)
    text = "<bos>system: Be kind.\nuser: " + EDIT.prompt + "\nStep by step.\nassistant: Step 1:"
    assert text_of(tiny_tokenizer(), row["prompt_ids"]) == text
    assert text_of(tiny_tokenizer(), row["chosen_ids"]) == EDIT.chosen
    row = row_of(tiny_tokenizer(), FULL, prompt=asked)  # a whole solution has its first "Step 1:" in itself
    assert text_of(tiny_tokenizer(), row["prompt_ids"]) == text.removesuffix("Step 1:")
    for side, whole in (("chosen_ids", FULL.chosen), ("rejected_ids", FULL.rejected)):
        assert text_of(tiny_tokenizer(), row[side]) == f"{whole}<eos>"


def test_a_row_begins_as_what_was_sampled(tokenizer: Any) -> None:
    request = Request(key="q", messages=PROMPT.messages(FULL.prompt))
    (sampled,) = LocalWriter(tiny_model("llama"), tokenizer)._tokenised([request])
    row = row_of(tokenizer, FULL)["prompt_ids"]
    assert row == sampled[: len(row)]
    assert len(sampled) - len(row) <= 1  # the template's last blank may be the first word's


def test_a_token_that_merges_with_the_completion_goes_to_it() -> None:
    one = merging((":", " "))  # ":" and the blank that begins the step
    row = row_of(one, EDIT)
    assert text_of(one, row["prompt_ids"]).endswith("Step 1")
    assert text_of(one, row["chosen_ids"]) == ":" + EDIT.chosen
    assert text_of(one, row["rejected_ids"]) == ":" + EDIT.rejected


@pytest.mark.parametrize(("merged", "other"), [("chosen", "rejected"), ("rejected", "chosen")])
def test_if_one_side_merges_the_other_begins_at_the_same_place(merged: str, other: str) -> None:
    one = merging((":", "x"))
    sides: Any = {merged: "x is 7", other: "y is 7"}
    row = row_of(one, replace(EDIT, **sides))
    assert text_of(one, row["prompt_ids"]).endswith("Step 1")
    assert one.convert_ids_to_tokens(row[f"{merged}_ids"])[:1] == [":x"]
    assert one.convert_ids_to_tokens(row[f"{other}_ids"])[:2] == [":", "y"]


def test_more_than_one_token_that_merges_is_a_reason() -> None:
    one = merging(("1", ":"), ("1:", "7"))
    assert text_of(one, row_of(one, EDIT)["prompt_ids"]).endswith("Step 1:")
    two = merging(("c", "d"), ("b", "cd"))  # "b" and "c" end the prompt, "bcd" is one token
    pair = replace(EDIT, initial_reason_steps="abc", chosen="d", rejected="e")
    assert dropped(two, pair) == {"boundary": 1}


def test_what_would_teach_something_else_is_left_out_under_its_reason() -> None:
    one = tiny_tokenizer()
    cases = {
        "special_inside": replace(EDIT, chosen=" 12<eos> apples"),
        "unknown": replace(EDIT, chosen=" 12 \u4e00"),
        "empty": replace(EDIT, chosen=""),
        "equal": replace(EDIT, chosen=EDIT.rejected),
        "too_long": replace(EDIT, chosen="a" * 1000),
    }
    for reason, pair in cases.items():
        assert dropped(one, pair) == {reason: 1}
    assert dropped(one, replace(EDIT, prompt="What is <bos>?")) == {"special_inside": 1}
    for reason, pair in cases.items():  # the other side alone
        assert dropped(one, replace(pair, chosen=pair.rejected, rejected=pair.chosen)) == {reason: 1}
    encoded = encode_pairs(one, [*cases.values(), FULL, EDIT, *cases.values()], PROMPT, RISE)
    assert encoded.dropped == dict.fromkeys(cases, 2)
    assert [row["is_edit"] for row in encoded.rows] == [0, 1]
    assert set(cases) | {"boundary", "round_trip"} == set(DROPS)


def test_text_that_a_tokenizer_changes_is_left_out() -> None:
    from tokenizers import normalizers

    one = merging()
    one.backend_tokenizer.normalizer = normalizers.Replace("  ", " ")
    assert dropped(one, replace(EDIT, chosen=" 12  - 5 = 7")) == {}  # comes back as it is read: only blanks are lost
    one.backend_tokenizer.normalizer = normalizers.Replace("7", "77")
    for chosen, rejected in ((" = 7", " = 6"), (" = 6", " = 7")):  # either side
        assert dropped(one, replace(EDIT, chosen=chosen, rejected=rejected)) == {"round_trip": 1}


def test_blanks_around_special_tokens_of_the_prompt_do_no_harm() -> None:
    """The first Llamas put a blank behind each special token, and one more when that is read again."""
    from tokenizers import normalizers

    one = sentencepiece("{{ bos_token }}" + TEMPLATE)
    core = one.backend_tokenizer
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    row = row_of(one, EDIT)
    again = one(text_of(one, row["prompt_ids"]), add_special_tokens=False)["input_ids"]
    assert again != row["prompt_ids"]
    assert text_of(one, row["chosen_ids"]) == EDIT.chosen


@pytest.mark.parametrize("has_eos", [True, False])
def test_7_10_prompts_lose_their_beginning_and_completions_nothing(has_eos: bool) -> None:
    one = tiny_tokenizer()
    whole = row_of(one, FULL)
    size = len(whole["chosen_ids"])
    length = size + 21 - (not has_eos)
    rise = replace(RISE, max_length=length, max_prompt_length=20, eos_on_terminal=has_eos)
    row = row_of(one, FULL, rise)
    assert row["prompt_ids"] == whole["prompt_ids"][-20:]
    for name in ("chosen_ids", "rejected_ids"):
        assert row[name] == (whole[name] if has_eos else whole[name][:-1])
        assert len(row["prompt_ids"]) + len(row[name]) <= length
    encoded = encode_pairs(one, [FULL, EDIT], PROMPT, rise)
    assert (encoded.cut_prompts, encoded.cut_completions) == (2, 0)
    fits = len(whole["prompt_ids"]) + size
    assert row_of(one, FULL, replace(RISE, max_length=fits, max_prompt_length=20)) == whole
    short = row_of(one, FULL, replace(RISE, max_length=fits - 1, max_prompt_length=20))
    assert short["prompt_ids"] == whole["prompt_ids"][-20:]
    assert dropped(one, FULL, replace(rise, max_length=length - 2)) == {"too_long": 1}


def test_7_10_completions_are_cut_where_the_released_code_cuts_them() -> None:
    one = tiny_tokenizer()
    whole = row_of(one, FULL)
    rise = replace(RISE, max_length=50, max_prompt_length=20, cut_completion=True)
    row = row_of(one, FULL, rise)
    assert row["prompt_ids"] == whole["prompt_ids"][-20:]
    assert row["chosen_ids"] == whole["chosen_ids"][:30]
    assert one.eos_token_id not in row["chosen_ids"]
    encoded = encode_pairs(one, [FULL, LAST], PROMPT, rise)
    assert (encoded.cut_prompts, encoded.cut_completions) == (2, 1)  # the step fits
    assert dropped(one, FULL, replace(rise, max_length=32, max_prompt_length=20)) == {
        "equal": 1
    }  # the cut took what differed


def test_completions_are_cut_to_what_a_whole_prompt_would_leave() -> None:
    """max_length - max_prompt_length, though this prompt is shorter, as trl 0.9.6 does."""
    one = tiny_tokenizer()
    whole = row_of(one, FULL)
    size = len(whole["prompt_ids"])
    row = row_of(one, FULL, replace(RISE, max_length=size + 35, max_prompt_length=size + 10, cut_completion=True))
    assert row["prompt_ids"] == whole["prompt_ids"]
    assert len(whole["chosen_ids"]) > 35
    assert row["chosen_ids"] == whole["chosen_ids"][:25]
    assert row["rejected_ids"] == whole["rejected_ids"][:25]


@settings(max_examples=60, deadline=None)
@given(
    st.text("ab:= 1\n", min_size=1, max_size=12),
    st.text("ab:= 1\n", min_size=1, max_size=12),
    st.text("ab:= 1\n", max_size=12),
    st.booleans(),
    st.sampled_from([(6, 3), (12, 6), (40, 20), (90, 60)]),
)
def test_7_16_every_pair_is_a_row_or_a_reason(
    chosen: str, rejected: str, steps: str, is_last: bool, lengths: tuple[int, int]
) -> None:
    pair = replace(EDIT, initial_reason_steps=steps, chosen=chosen, rejected=rejected, last_step=is_last)
    rise = replace(RISE, max_length=lengths[0], max_prompt_length=lengths[1], cut_completion=is_last)
    for one in (ALL[name] for name in TOKENIZERS):
        encoded = encode_pairs(one, [pair, FULL, pair], PROMPT, rise)
        assert len(encoded.rows) + sum(encoded.dropped.values()) == 3
        for row in encoded.rows:
            longest = max(len(row["chosen_ids"]), len(row["rejected_ids"]))
            assert len(row["prompt_ids"]) + longest <= lengths[0]
            assert row["chosen_ids"] != row["rejected_ids"]
            eos = (row["chosen_ids"] + row["rejected_ids"]).count(one.eos_token_id)
            assert eos <= 2 * (is_last or not row["is_edit"])


ALL = {name: make() for name, make in TOKENIZERS.items()}


def test_records_and_rendered_texts_are_taken_too() -> None:
    one = tiny_tokenizer()
    expected = row_of(one, EDIT)
    assert row_of(one, EDIT.row()) == expected
    old = {"prompt": EDIT.prompt, "initial_reason_steps": "Step 1:", "chosen": EDIT.chosen, "rejected": EDIT.rejected}
    assert row_of(one, old) == expected  # Step-DPO's, without pair_kind
    text = one.apply_chat_template(PROMPT.messages(EDIT.prompt), tokenize=False, add_generation_prompt=True)
    done = {"prompt": f"{text}Step 1:", "chosen": EDIT.chosen, "rejected": EDIT.rejected, "is_terminal": False}
    assert row_of(one, done) == expected
    ended = row_of(one, done | {"is_terminal": True})
    assert ended["chosen_ids"] == [*expected["chosen_ids"], one.eos_token_id]
    assert row_of(one, done | {"prompt": done["prompt"].removeprefix("<bos>")}) == expected  # one BOS either way
    with pytest.raises(DataError, match="'chosen'"):
        encode_pairs(one, [{"prompt": "a", "rejected": "b"}], PROMPT, RISE)


def test_tokenizers_that_cannot_serve_are_refused() -> None:
    one = tiny_tokenizer()
    assert check_tokenizer(one, 128, RISE) == []
    with pytest.raises(DataError, match="has 128 tokens and the model knows 100"):
        check_tokenizer(one, 100, RISE)
    one.pad_token = one.eos_token
    assert "pads with EOS" in check_tokenizer(one, 128, RISE)[0]
    one.eos_token = None
    with pytest.raises(DataError, match="no EOS, which ends a solution"):
        check_tokenizer(one, 128, RISE)
    assert check_tokenizer(one, 128, replace(RISE, eos_on_terminal=False)) == []
    one.chat_template = None
    with pytest.raises(DataError, match="no chat template"):
        encode_pairs(one, [FULL], PROMPT, RISE)
