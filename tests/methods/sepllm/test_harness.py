"""lm-evaluation-harness under SepLLM, offline, on our own word problems: its answers are those of the model itself."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tenon.core.errors import ConfigError, DataError, MissingExtra
from tenon.core.models.cache import cache_argument
from tenon.core.models.loading import load_model, load_tokenizer
from tenon.core.run import Run
from tenon.core.scoring.generation import greedy_texts
from tenon.methods.sepllm import harness
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.contenders import FULL, SEP, STRM, STRM_MEAN
from tenon.methods.sepllm.harness import HarnessConfig, check_tasks, evaluate_task, evaluate_tasks
from tenon.methods.sepllm.harness_keys import Keys, equal_window
from tenon.methods.sepllm.mask import sep_mask
from tenon.methods.sepllm.model import apply_sepllm
from tenon.tasks.math import generate_problems
from tenon.tasks.math.accuracy import chat_prompt, score_answers

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library says while it is imported is not ours
        import lm_eval.evaluator
        from lm_eval.models.huggingface import HFLM
except ImportError:
    HFLM = None

needs_harness = pytest.mark.skipif(HFLM is None, reason="needs lm-evaluation-harness: pip install 'tenon[eval]'")

STOPS = ["\n\n", "Question:"]
TOKENS = 20
CONFIG = HarnessConfig(sep=SepConfig(init=2, window=24), batch_size=3)


@pytest.fixture(autouse=True)
def _no_machine_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness describes the machine after every evaluation, which takes a second and starts processes."""
    if HFLM is not None:
        monkeypatch.setattr(lm_eval.evaluator, "add_env_info", lambda results: None)


def rows(split: str, count: int) -> list[dict[str, Any]]:
    """Word problems with few steps, so that they are short; the choices are the answer and two numbers beside it."""
    return [
        {
            "question": problem.question,
            "solution": problem.solution,
            "choices": [f" {int(problem.answer) + more}" for more in (0, 1, 10)],
        }
        for problem in generate_problems(3, split, 30)  # type: ignore[arg-type]
        if problem.num_steps <= 2
    ][:count]


def data(**_: Any) -> Any:
    from datasets import Dataset

    return {"valid": Dataset.from_list(rows("valid", 3)), "test": Dataset.from_list(rows("test", 4))}


SHARED = {
    "custom_dataset": data,
    "test_split": "test",
    "fewshot_split": "valid",
    "doc_to_text": "Question: {{question}}\n",
    "target_delimiter": "",
    "num_fewshot": 1,
    "metadata": {"version": 1},
}
SOLVE = SHARED | {
    "task": "solve",
    "output_type": "generate_until",
    "doc_to_target": "{{solution}}",
    "generation_kwargs": {"until": STOPS, "max_gen_toks": TOKENS, "do_sample": False},
    "filter_list": [
        {
            "name": "final-number",
            "filter": [{"function": "regex", "regex_pattern": r"Answer: (\d+)"}, {"function": "take_first"}],
        }
    ],
    "metric_list": [
        {
            "metric": "exact_match",
            "aggregation": "mean",
            "higher_is_better": True,
            "regexes_to_ignore": ["(?s).*Answer: "],
        }
    ],
}
CHOOSE = SHARED | {
    "task": "choose",
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": 0,
}


def responses(found: dict[str, Any], task: str) -> list[Any]:
    """The raw responses of every example: texts, or pairs of log-likelihood and whether it is the greedy choice."""
    return [sample["resps"] for sample in found["samples"][task]]


def plain(model: Any, tokenizer: Any, spec: dict[str, Any]) -> dict[str, Any]:
    """What the harness finds without us."""
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=CONFIG.batch_size)
    manager = check_tasks([spec])
    return lm_eval.evaluator.simple_evaluate(lm, tasks=[spec], task_manager=manager)


def state(model: Any, tokenizer: Any) -> Any:
    """What must be as before: weights, config, patches, and the tokenizer's settings."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return (
        weights,
        model.config.to_dict(),
        "forward" in vars(model.model),
        model.training,
        (tokenizer.padding_side, tokenizer.pad_token, len(tokenizer)),
    )


@pytest.fixture
def unpatched(tiny: Any, tokenizer: Any) -> Iterator[None]:
    before = state(tiny("llama"), tokenizer)
    yield
    after = state(tiny("llama"), tokenizer)
    assert after[1:] == before[1:]
    assert not after[2]
    assert all(torch.equal(after[0][name], value) for name, value in before[0].items())


@needs_harness
@pytest.mark.parametrize("spec", [SOLVE, CHOOSE], ids=["generated", "scored"])
@pytest.mark.usefixtures("unpatched")
def test_a_window_longer_than_the_text_changes_nothing(spec: Any, tiny: Any, tokenizer: Any) -> None:
    model = tiny("llama")
    expected = plain(model, tokenizer, spec)
    found, keys = evaluate_task(model, tokenizer, SepConfig(window=2048), spec, CONFIG)
    assert responses(found, spec["task"]) == responses(expected, spec["task"])
    assert found["results"] == expected["results"]
    assert keys.row()["share of keys [%]"] == 100
    narrow, keys = evaluate_task(model, tokenizer, CONFIG.sep, spec, CONFIG)
    assert responses(narrow, spec["task"]) != responses(expected, spec["task"])
    assert keys.row()["share of keys [%]"] < 100


BOUNDED = SepConfig(init=2, sep_capacity=6, local=16, capacity=40, prefill="stream", positions="cache")


@needs_harness
@pytest.mark.parametrize("rule", [CONFIG.sep, BOUNDED, replace(BOUNDED, prefill="dense", positions="absolute")])
@pytest.mark.parametrize("arch", ["llama", "gpt_neox"])
def test_it_generates_what_the_model_generates(rule: SepConfig, arch: str, tiny: Any, tokenizer: Any) -> None:
    model = tiny(arch)
    found, keys = evaluate_task(model, tokenizer, rule, SOLVE, CONFIG)
    samples = found["samples"]["solve"]
    assert len(samples) == 4
    steps = stored = seen = 0
    for sample in samples:  # each alone: the harness batched them, left-padded
        prompt = sample["arguments"][0][0]
        assert prompt.count("Question:") == 2  # one solved example
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        with apply_sepllm(model, tokenizer, rule) as applied:
            cache = applied.new_cache()
            options: dict[str, Any] = {"max_new_tokens": TOKENS, "do_sample": False, cache_argument(model): cache}
            new = model.generate(ids, **options)
        text = tokenizer.decode(new[0, ids.shape[1] :], skip_special_tokens=True)
        for stop in STOPS:
            text = text.split(stop)[0]
        assert sample["resps"] == [[text]]
        assert cache.stats()["tokens_stored"] < cache.stats()["tokens_seen"]
        steps, stored, seen = steps + cache.usage.steps, stored + cache.usage.stored, seen + cache.usage.seen
    # The cache was a SepCache, and its sums are those of every row up to its own end.
    assert (keys.steps, keys.stored, keys.seen) == (steps, stored, seen)
    assert keys.attended < keys.seen


@needs_harness
@pytest.mark.parametrize("rule", [CONFIG.sep, replace(CONFIG.sep, full_layers="head"), SepConfig(interval=5, window=9)])
def test_it_scores_what_the_masked_forward_scores(rule: SepConfig, tiny: Any, tokenizer: Any) -> None:
    model = tiny("llama")
    found, keys = evaluate_task(model, tokenizer, rule, CHOOSE, CONFIG)
    total = seen = 0
    for sample in found["samples"]["choose"]:
        for (prompt, choice), [(value, is_greedy)] in zip(sample["arguments"], sample["resps"], strict=True):
            ids = tokenizer(prompt + choice, return_tensors="pt")["input_ids"]
            size = len(tokenizer(choice, add_special_tokens=False)["input_ids"])
            with apply_sepllm(model, tokenizer, rule) as applied, torch.no_grad():
                logits = model(ids[:, :-1], use_cache=False).logits[0].log_softmax(-1)
                bits = applied.separators[ids[:, :-1]]
            by_hand = logits[-size:].gather(1, ids[0, -size:, None])
            assert value == pytest.approx(float(by_hand.sum()), abs=1e-4)
            assert is_greedy == bool((logits[-size:].argmax(-1) == ids[0, -size:]).all())
            length = ids.shape[1] - 1
            if rule.interval:
                position = torch.arange(length)[None] - rule.init
                bits = (position >= 0) & (position % rule.interval == rule.interval - 1)
            masked = int(sep_mask(bits, init=rule.init, window=rule.window).sum())
            triangle = length * (length + 1) // 2
            total += masked + (triangle if rule.full_layers == "head" else masked)  # two layers
            seen += 2 * triangle
    assert (keys.pairs, keys.causal_pairs) == (total, seen)
    assert keys.row()["share of keys [%]"] == pytest.approx(100 * total / seen)
    assert keys.row()["mean cache [tokens]"] is None


@needs_harness
def test_a_row_that_met_its_stop_counts_no_longer(tiny: Any, tokenizer: Any) -> None:
    """The harness feeds a row until the last one of its batch has ended; what follows an end is not an answer."""
    model, prompts = tiny("llama"), ["One, two. Three", "Four. Five, six, seven; eight."]
    with apply_sepllm(model, tokenizer, SepConfig(window=500)) as applied:
        lm = harness.harness_lm(applied, tokenizer, batch_size=2, keys=(keys := Keys()))
        ids, real = lm.tok_batch_encode(prompts)
        free = lm._model_generate(ids, ids.shape[1] + 9, [], attention_mask=real)[:, ids.shape[1] :]
        assert keys.steps == 2 * 2 * (1 + 8)  # layers, rows, the prompt and what was fed after it
        stop = tokenizer.decode(free[0, 2])
        assert stop not in tokenizer.decode([*free[0, :2], *free[1]])  # else another token must be the stop
        keys.steps = 0
        same = lm._model_generate(ids, ids.shape[1] + 9, [stop], attention_mask=real)[:, ids.shape[1] :]
        assert torch.equal(same, free)
        assert keys.steps == 2 * ((1 + 2) + (1 + 8))


@needs_harness
def test_a_request_that_is_cut_is_counted(tiny: Any, tokenizer: Any) -> None:
    model = tiny("llama", max_position_embeddings=200)
    for spec, cut in ((SOLVE, 4), (CHOOSE, 12)):
        _, keys = evaluate_task(model, tokenizer, CONFIG.sep, spec, CONFIG)
        assert keys.cut == cut
        assert max(keys.lengths, default=200) == 200


@needs_harness
@pytest.mark.parametrize("sep", [CONFIG.sep, replace(BOUNDED, prefill="dense", positions="absolute")])
def test_one_table_of_all_contenders_and_a_killed_run_goes_on(
    sep: SepConfig, tiny: Any, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, config = tiny("llama"), replace(CONFIG, sep=sep, limit=3)
    calls, evaluate = 0, harness.evaluate_task

    def counting(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return evaluate(*args, **options)

    monkeypatch.setattr(harness, "evaluate_task", counting)
    specs = [CHOOSE, SOLVE]
    with pytest.raises(KeyboardInterrupt), Run.open(tmp_path / "run", config=config) as run:
        evaluate_tasks(run, model, tokenizer, config, specs=specs)
    with Run.open(tmp_path / "run", config=config) as run:
        table = evaluate_tasks(run, model, tokenizer, config, specs=specs)
        counts = {row["key"]: row["keys"] for row in run.rows("harness")}
    assert calls == 6 + 3
    with Run.open(tmp_path / "whole", config=config) as run:
        assert evaluate_tasks(run, model, tokenizer, config, specs=specs) == table
    assert (tmp_path / "run/harness.jsonl").read_bytes() == (tmp_path / "whole/harness.jsonl").read_bytes()

    metrics = [("choose", "acc"), ("choose", "acc_norm"), ("solve", "exact_match, final-number")]
    assert [(row["task"], row["metric"], row["method"]) for row in table] == [
        (*metric, name) for metric in metrics for name in (FULL, SEP, STRM, STRM_MEAN)
    ]
    assert {row["examples"] for row in table} == {3}
    share = {(row["task"], row["method"]): row["share of keys [%]"] for row in table}
    for task in ("choose", "solve"):
        assert share[task, FULL] == 100
        if sep.capacity is None:
            assert share[task, STRM] < share[task, SEP] < 100
            assert share[task, STRM_MEAN] == pytest.approx(share[task, SEP], rel=0.05)
    assert counts[f"solve: {SEP}"]["stored"] < counts[f"solve: {FULL}"]["stored"]


@needs_harness
def test_few_shot_number_limit_and_seed_reach_the_harness(tiny: Any, tokenizer: Any) -> None:
    spec = {name: value for name, value in CHOOSE.items() if name != "num_fewshot"}
    prompts = []
    for seed in (None, 1, 1, 5):
        config = replace(CONFIG, num_fewshot=2, limit=2, seed=seed)
        found, _ = evaluate_task(tiny("llama"), tokenizer, config.sep, spec, config)
        prompts.append([sample["arguments"][0][0] for sample in found["samples"]["choose"]])
    assert [prompt.count("Question:") for prompt in prompts[0]] == [3, 3]
    assert prompts[1] == prompts[2]
    assert len({tuple(each) for each in prompts}) > 1


@needs_harness
def test_nano_lm_solves_word_problems_in_its_own_chat_format() -> None:
    """Real answers, so that the metric is not always 0: what the harness counts as right is right."""
    model, tokenizer = load_model("nano-lm"), load_tokenizer("nano-lm")
    spec = SOLVE | {
        "doc_to_text": "{{question}}",
        "generation_kwargs": {"until": ["<|end|>"], "max_gen_toks": 80, "do_sample": False},
    }
    config, rule = replace(CONFIG, batch_size=4, chat=True), SepConfig(init=4, window=64)
    found, keys = evaluate_task(model, tokenizer, rule, spec, config)
    problems = {split: list(generate_problems(3, split, 30)) for split in ("valid", "test")}
    asked = {problem.question: problem for problem in problems["test"]}
    right = 0
    for sample in found["samples"]["solve"]:
        problem, prompt, text = asked[sample["doc"]["question"]], sample["arguments"][0][0], sample["resps"][0][0]
        assert prompt in [chat_prompt(tokenizer, problem, [shot]) for shot in problems["valid"]]
        with apply_sepllm(model, tokenizer, rule):
            assert greedy_texts(model, tokenizer, [prompt], max_new_tokens=80) == [text]
        right += next(score_answers([problem], [text]))["correct"]
    assert 4 * found["results"]["solve"]["exact_match,final-number"] == right > 0
    assert 0 < keys.attended < keys.seen


@needs_harness
def test_unknown_tasks_and_data_that_are_not_there_are_said(tiny: Any, tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No task is named"):
        check_tasks([])
    spec = CHOOSE | {"custom_dataset": None, "dataset_path": "json"}
    spec["dataset_kwargs"] = {"data_files": str(tmp_path / "no.jsonl")}
    with pytest.raises(DataError, match="The data of task 'choose' cannot be loaded"):
        evaluate_task(tiny("llama"), tokenizer, CONFIG.sep, spec, CONFIG)
    assert "forward" not in vars(tiny("llama").model)


@needs_harness
@pytest.mark.slow
def test_names_are_looked_up_in_the_harness() -> None:
    with pytest.raises(ConfigError, match="'gsm8k_cott' is neither a task"):
        check_tasks(["gsm8k_cott"])
    assert "gsm8k_cot" in check_tasks(["gsm8k_cot"]).all_tasks


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch, tiny: Any, tokenizer: Any) -> None:
    for name in ("lm_eval", "lm_eval.models.huggingface"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"pip install 'tenon\[eval\]'"):
        check_tasks(["gsm8k_cot"])
    with pytest.raises(MissingExtra, match=r"pip install 'tenon\[eval\]'"):
        evaluate_task(tiny("llama"), tokenizer, CONFIG.sep, CHOOSE, CONFIG)
    with apply_sepllm(tiny("llama"), tokenizer, CONFIG.sep) as applied, pytest.raises(MissingExtra, match="eval"):
        harness.harness_lm(applied, tokenizer, batch_size=1, keys=Keys())


def test_settings_out_of_range_are_refused() -> None:
    for field in ("limit", "batch_size"):
        with pytest.raises(ConfigError, match=f"HarnessConfig.{field} is 0"):
            HarnessConfig(**{field: 0})
    assert json.loads(json.dumps(Keys().row()))["share of keys [%]"] is None


def test_the_equal_window_has_as_many_pairs() -> None:
    lengths = [[30, 2], [50, 3]]
    none = [torch.zeros(1, tokens, dtype=torch.bool) for tokens, count in lengths for _ in range(count)]
    for window in (1, 7, 20, 45):
        pairs = sum(int(sep_mask(each, init=3, window=window).sum()) for each in none)
        kept = {"steps": 0, "pairs": 4 * pairs, "causal_pairs": 4 * (2 * 465 + 3 * 1275), "lengths": lengths}
        assert equal_window(3, kept) == window
