"""A model in this process: exact prompts, exact ends, and randomness that belongs to the row."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tenon.core.chat import Completion, Failure, Request, Sampling, complete
from tenon.core.chat.local import LocalWriter, _Drawing
from tenon.core.chat.prompt import continuation, render, tool_calls
from tenon.core.errors import BackendError, ConfigError, DataError, RunConflict
from tenon.core.files import fingerprints
from tenon.core.models.loading import load_model, load_tokenizer
from tenon.core.models.tiny import tiny_model
from tenon.core.run import RECEIVED, VOLATILE, Run


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model("nano-lm", device="cpu")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer("nano-lm")


QUESTIONS = (
    "Tom has 3 apples and buys 4 more. How many apples does Tom have?",
    "Ann has 12 pens. She gives 5 to Bob and then buys 8 more. How many pens does Ann have now?",
    "Who?",
    "A box holds 6 eggs. How many eggs do 7 boxes hold? Write the answer as a number, please.",
)


def requests(count: int = 8, temperature: float = 0.9, **options: Any) -> list[Request]:
    sampling = Sampling(temperature=temperature, top_p=0.95, **{"max_tokens": 30} | options)
    return [
        Request(key=f"q{place}", messages=({"role": "user", "content": QUESTIONS[place % 4]},), sampling=sampling)
        for place in range(count)
    ]


def answers(writer: LocalWriter, asked: list[Request], seed: int = 0) -> list[Completion]:
    found = dict(writer.write(asked, seed=seed))
    assert all(isinstance(answer, Completion) for answer in found.values())
    return [found[place] for place in range(len(asked))]  # type: ignore[misc]


# What the model reads.


def test_the_prompt_has_one_begin_token_and_ends_with_the_prefill(model: Any, tokenizer: Any) -> None:
    asked = Request(key="a", messages=({"role": "user", "content": "Hi"},), prefill="Step 1: ")
    assert render(tokenizer, asked) == "<|begin|><|user|>Hi<|end|><|assistant|>Step 1: "
    (ids,) = LocalWriter(model, tokenizer)._tokenised([asked])
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(ids) == render(tokenizer, asked)
    assert answers(LocalWriter(model, tokenizer), [asked])[0].prompt_tokens == len(ids)


def test_greedy_answers_are_those_of_generate(model: Any, tokenizer: Any) -> None:
    asked = requests(4, temperature=0.0)
    for one, answer in zip(asked, answers(LocalWriter(model, tokenizer, batch_size=3), asked), strict=True):
        ids = tokenizer(render(tokenizer, one), add_special_tokens=False, return_tensors="pt")
        alone = model.generate(**ids, do_sample=False, max_new_tokens=30, pad_token_id=0)[0, ids.input_ids.shape[1] :]
        assert answer.text == tokenizer.decode(alone, skip_special_tokens=True)
        assert answer.completion_tokens == len(alone)
        assert answer.finish_reason == ("stop" if alone[-1] == tokenizer.eos_token_id else "length")


def test_the_model_goes_on_from_the_prefill(model: Any, tokenizer: Any) -> None:
    (plain,) = answers(LocalWriter(model, tokenizer), requests(1, temperature=0.0))
    (one,) = requests(1, temperature=0.0)
    cut_at = len("Step 1: Together")
    prefilled = Request(key="p", messages=one.messages, sampling=one.sampling, prefill=plain.text[:cut_at])
    assert answers(LocalWriter(model, tokenizer), [prefilled])[0].text == plain.text[cut_at:]


def test_a_blank_between_prefill_and_text_is_kept() -> None:
    """SentencePiece's decoders drop the first blank of a text."""
    core = Tokenizer(models.WordLevel({"<unk>": 0, "▁Step": 1, "▁one": 2, "▁two": 3}, unk_token="<unk>"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    assert tokenizer.decode([2, 3]) == "one two"
    assert continuation(tokenizer, [1], [2, 3]) == " one two"


def test_settings_of_the_checkpoint_do_not_change_the_answer(tokenizer: Any) -> None:
    asked, changed = requests(4, temperature=0.0), load_model("nano-lm", device="cpu")
    before = answers(LocalWriter(changed, tokenizer), asked)
    changed.generation_config.update(repetition_penalty=1.8, num_beams=2)
    assert answers(LocalWriter(changed, tokenizer), asked) == before


# Where it ends.


def test_a_stop_string_ends_its_row_alone_and_is_not_in_the_text(model: Any, tokenizer: Any) -> None:
    free = answers(LocalWriter(model, tokenizer), requests(4, temperature=0.0))
    asked = [
        Request(key=one.key, messages=one.messages, sampling=Sampling(max_tokens=30, stop=stop))
        for one, stop in zip(requests(4), [(" apples", "="), (), ("never",), ("\nAns",)], strict=True)
    ]
    stopped = answers(LocalWriter(model, tokenizer), asked)
    assert " apples" in free[0].text
    assert "=" in free[0].text
    place, stop = min((free[0].text.index(stop), stop) for stop in (" apples", "="))
    assert (stopped[0].text, stopped[0].stop_string) == (free[0].text[:place], stop)
    assert stopped[0].completion_tokens < free[0].completion_tokens
    assert stopped[1].text == free[1].text
    assert stopped[2].text == free[2].text
    assert stopped[3].text == free[3].text.split("\nAns")[0]


def test_finished_rows_do_not_keep_a_batch_alive(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    forward = model.forward

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal steps
        steps += 1
        return forward(*args, **options)

    monkeypatch.setattr(model, "forward", counted)
    found = answers(LocalWriter(model, tokenizer), requests(4, temperature=0.0, max_tokens=500, stop=("\n", "?", ".")))
    longest = max(answer.completion_tokens or 0 for answer in found)
    assert steps == longest < 100


def test_length_is_told_and_the_models_room_is_kept(model: Any, tokenizer: Any) -> None:
    long = Request(key="long", messages=({"role": "user", "content": "word " * 2025},))
    longer = Request(key="longer", messages=({"role": "user", "content": "word " * 2100},))
    (short,) = answers(LocalWriter(model, tokenizer), requests(1, max_tokens=3))
    assert (short.finish_reason, short.completion_tokens) == ("length", 3)
    found = dict(LocalWriter(model, tokenizer).write([long, longer], seed=0))
    room = found[0]
    assert isinstance(room, Completion)
    assert room.prompt_tokens + room.completion_tokens <= 2048 < room.prompt_tokens + long.sampling.max_tokens  # type: ignore[operator]
    assert isinstance(found[1], Failure)
    assert "tokens, and the model knows 2048 positions" in found[1].reason


# Whose randomness it is.


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_neither_neighbours_nor_order_nor_batch_size_change_a_text(tokenizer: Any, dtype: torch.dtype) -> None:
    model, asked = load_model("nano-lm", device="cpu", dtype=dtype), requests(6, max_tokens=16)
    texts = {
        size: [answer.text for answer in answers(LocalWriter(model, tokenizer, batch_size=size), asked)]
        for size in (1, 4, 6)
    }
    assert texts[1] == texts[4] == texts[6]
    backwards = answers(LocalWriter(model, tokenizer, batch_size=4), asked[::-1])
    assert [answer.text for answer in backwards] == texts[1][::-1]


def test_key_and_seed_change_it(model: Any, tokenizer: Any) -> None:
    writer = LocalWriter(model, tokenizer)
    same = [
        Request(key=f"k{n}", messages=requests(1)[0].messages, sampling=Sampling(temperature=1.5, max_tokens=20))
        for n in range(6)
    ]
    first = [answer.text for answer in answers(writer, same)]
    assert len(set(first)) == 6
    assert [answer.text for answer in answers(writer, same)] == first
    assert [answer.text for answer in answers(writer, same, seed=1)] != first


def test_the_first_token_follows_the_models_own_distribution(model: Any, tokenizer: Any) -> None:
    from scipy.stats import chisquare

    count = 600
    sampling = Sampling(temperature=1.5, top_p=0.9, max_tokens=1)
    asked = [replace(requests(1)[0], key=f"k{n}", prefill="Step 1:", sampling=sampling) for n in range(count)]
    texts = [answer.text for answer in answers(LocalWriter(model, tokenizer, batch_size=200), asked)]
    ids = tokenizer(render(tokenizer, asked[0]), add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        weights = (model(**ids).logits[0, -1].float() / 1.5).softmax(-1)
    ordered, order = weights.sort(descending=True)
    kept = order[: int((ordered.cumsum(0) - ordered < 0.9).sum())]
    expected: dict[str, float] = {}
    for token in kept.tolist():
        text = tokenizer.decode([token], skip_special_tokens=True)
        expected[text] = expected.get(text, 0.0) + float(weights[token] / weights[kept].sum()) * count
    assert set(texts) <= set(expected)
    common = [text for text, number in expected.items() if number >= 5]
    assert len(common) >= 3
    counts = [texts.count(text) for text in common] + [sum(text not in common for text in texts)]
    numbers = [expected[text] for text in common]
    rest = max(count - sum(numbers), 1e-9)
    assert chisquare(counts, [*numbers, rest]).pvalue > 1e-3


# Going on.


class _Killed(BaseException):
    pass


def test_a_run_that_goes_on_replays_whole_batches(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    asked, batches = requests(8), list[list[str]]()

    class Watched(LocalWriter):
        stop_in: tuple[int, int] | None = None

        def _answer(self, requests: Any, *args: Any) -> Any:
            batches.append([request.key for request in requests])
            return super()._answer(requests, *args)

        def write(self, *args: Any, **options: Any) -> Iterator[Any]:
            for number, pair in enumerate(super().write(*args, **options)):
                if number == self.stop_in:
                    raise _Killed
                yield pair

    def work(folder: str, stop_in: Any = None) -> None:
        with Run.open(tmp_path / folder, config={}) as run:
            writer = Watched(model, tokenizer, batch_size=3)
            writer.stop_in = stop_in
            complete(run, asked, writer)

    work("whole")
    whole = batches.copy()
    batches.clear()
    with pytest.raises(_Killed):
        work("cut", stop_in=4)  # inside the second batch
    assert len((tmp_path / "cut" / RECEIVED).read_text().splitlines()) == 4
    work("cut")
    assert batches == [*whole[:2], *whole[1:]]
    assert fingerprints(tmp_path / "cut", skip=VOLATILE) == fingerprints(tmp_path / "whole", skip=VOLATILE)


# What cannot work.


def test_a_name_has_its_hash_and_a_folder_no_path(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "mine")
    tokenizer.save_pretrained(tmp_path / "mine")
    named = LocalWriter(tmp_path / "mine")
    assert named.name.startswith("mine (")
    assert LocalWriter("nano-lm").name.startswith("nano-lm (")
    assert LocalWriter("nano-lm", batch_size=2).identity()["batch_size"] == "2"


def test_what_does_not_belong_together_is_named(model: Any, tmp_path: Path) -> None:
    tokenizer = load_tokenizer("nano-lm")
    with pytest.raises(ConfigError, match="no tokenizer; pass both"):
        LocalWriter(model)
    with pytest.raises(ConfigError, match="batch_size is 0"):
        LocalWriter("nano-lm", batch_size=0)
    tokenizer.add_tokens(["one too many"])
    with pytest.raises(DataError, match="has 4097 tokens and the model knows 4096"):
        answers(LocalWriter(model, tokenizer), requests(1))


def test_no_template_and_no_end_are_named(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load_tokenizer("nano-lm")
    tokenizer.chat_template = None
    with pytest.raises(DataError, match="has no chat template"):
        answers(LocalWriter(model, tokenizer), requests(1))
    tokenizer = load_tokenizer("nano-lm")
    tokenizer.eos_token = None
    monkeypatch.setattr(model.generation_config, "eos_token_id", None)
    with pytest.raises(DataError, match="has an end token"):
        answers(LocalWriter(model, tokenizer), requests(1))


def test_what_the_template_refuses_is_told_with_the_key(model: Any, tokenizer: Any) -> None:
    asked = Request(key="s", messages=({"role": "system", "content": "Be good."},))
    with pytest.raises(DataError, match="refuses request 's': nano-lm knows the roles user, assistant and tool"):
        answers(LocalWriter(model, tokenizer), [asked])


def test_too_little_memory_names_the_batch_size(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(model, "generate", full)
    with pytest.raises(BackendError, match=r"in a new folder with --batch-size 8 .*a run keeps both"):
        answers(LocalWriter(model, tokenizer), requests(1))
    with pytest.raises(BackendError, match=r"Allow fewer max_tokens, in a new folder"):
        answers(LocalWriter(model, tokenizer, batch_size=1), requests(1))


def test_a_run_keeps_the_batch_size_as_the_advice_says(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    with Run.open(tmp_path, config={}, identity=LocalWriter(model, tokenizer, batch_size=16).identity()):
        pass
    with pytest.raises(RunConflict, match="batch_size"):
        Run.open(tmp_path, config={}, identity=LocalWriter(model, tokenizer, batch_size=8).identity())


def test_a_template_is_checked_without_the_model(tokenizer: Any, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "generate", None)
    writer = LocalWriter(model, copy.deepcopy(tokenizer))
    writer.check(requests(2))
    writer.tokenizer.chat_template = "{{ raise_exception('no system message') }}"
    with pytest.raises(DataError, match=r"refuses request .*no system message"):
        writer.check(requests(2))


# Tools.

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize("mark", ["<|call|>", "<tool_call>\n"])
def test_calls_are_read_with_dict_arguments(mark: str) -> None:
    text = f'I add.{mark}{{"name": "add", "arguments": {{"a": 1}}}}{mark}{{"name": "no"}} rest'
    said, calls = tool_calls(text, "q")
    assert said == "I add."
    assert [call["function"] for call in calls] == [
        {"name": "add", "arguments": {"a": 1}},
        {"name": "no", "arguments": {}},
    ]
    assert len({call["id"] for call in calls}) == 2
    assert tool_calls(text, "q") == (said, calls)
    assert tool_calls(f"{mark}nothing", "q") == (f"{mark}nothing", ())


def test_nano_calls_a_tool_and_reads_its_result(model: Any, tokenizer: Any) -> None:
    tools = (
        {
            "type": "function",
            "function": {
                "name": "add",
                "description": "Add two numbers.",
                "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
            },
        },
    )
    question = {"role": "user", "content": "What is 12 + 30?"}
    asked = Request(key="t", messages=(question,), tools=tools, sampling=Sampling(max_tokens=60))
    (answer,) = answers(LocalWriter(model, tokenizer), [asked])
    assert "<|tools|>" in render(tokenizer, asked)
    assert (answer.text, answer.finish_reason) == ("", "tool_calls")
    (call,) = answer.tool_calls
    assert isinstance(call["function"]["arguments"], dict)
    result = {"role": "tool", "content": "42", "tool_call_id": call["id"]}
    turns = (question, {"role": "assistant", "content": "", "tool_calls": [call]}, result)
    (then,) = answers(LocalWriter(model, tokenizer), [replace(asked, key="u", messages=turns)])
    assert "42" in then.text


# How a text begins, and what is drawn after its first token.

HI = ({"role": "user", "content": "Hi"},)


@pytest.mark.parametrize("template", ["{{ bos_token }}", ""])
@pytest.mark.parametrize("puts_one", [True, False])
def test_an_answer_is_asked_for_after_one_begin_token(puts_one: bool, template: str) -> None:
    from tokenizers import processors

    core = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2, "user": 3, "Hi": 4}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if puts_one:
        core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    chat = template + "{% for message in messages %} {{ message.role }} {{ message.content }}{% endfor %}"
    special: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": chat}
    own = PreTrainedTokenizerFast(tokenizer_object=core, **special)
    model = tiny_model("llama")
    (answer,) = answers(LocalWriter(model, own), [replace(requests(1)[0], messages=HI)])
    (ids,) = LocalWriter(model, own)._tokenised([replace(requests(1)[0], messages=HI)])
    assert ids == [0] * bool(puts_one or template) + [3, 4]
    assert answer.prompt_tokens == len(ids)


def test_every_token_has_noise_of_its_own() -> None:
    """Of 4,000 rows with the same likelihoods at both places, first and second token are independent."""
    share, rows = torch.tensor([0.5, 0.3, 0.2]), 4000
    asked = [Request(key=str(one), messages=HI, sampling=Sampling(temperature=1.0)) for one in range(rows)]
    drawing = _Drawing(asked, width=2, steps=2, seed=0, device=torch.device("cpu"))
    logits = share.log().expand(rows, 3)
    first, second = (drawing(torch.zeros(rows, size), logits).argmax(-1) for size in (2, 3))
    found = torch.bincount(3 * first + second, minlength=9).view(3, 3) / rows
    assert float((found - share[:, None] * share).abs().max()) < 0.03  # four times the spread of the likeliest cell
    other = _Drawing(asked, width=2, steps=2, seed=1, device=torch.device("cpu"))
    assert not torch.equal(other(torch.zeros(rows, 2), logits).argmax(-1), first)
