"""The comparison: every contender measured in the same way, at the memory that its name claims, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tenon.core.errors import DataError
from tenon.core.models.cache import cache_argument
from tenon.core.run import Run
from tenon.methods.sepllm import problems as word_problems
from tenon.methods.sepllm.comparison import verdicts
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.contenders import FULL, SEP, STRM, STRM_MEAN, EvalConfig
from tenon.methods.sepllm.evaluate import RAW, WINDOWS, evaluate_long, evaluate_streams, streams_nll
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.problems import evaluate_problems
from tenon.nano.tokenizer import train_tokenizer
from tenon.tasks.math import generate_problems

TEXT = "\n".join(problem.question + " " + problem.solution for problem in generate_problems(4, "train", 120))
TOKENIZER = train_tokenizer([TEXT], vocab_size=400)
IDS = torch.tensor(TOKENIZER(TEXT, add_special_tokens=False, verbose=False)["input_ids"])
CONFIG = EvalConfig(
    stream=SepConfig(init=2, sep_capacity=12, local=12, capacity=48, prefill="stream", positions="cache"),
    window=24,
    init=2,
    streams=3,
    stream_tokens=200,
    long_tokens=700,
    problems=6,
    shots=1,
    max_new_tokens=8,
    batch_size=4,
)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=TOKENIZER.eos_token_id,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(shape).eval()


def test_streams_are_measured_at_the_memory_their_names_claim(model: Any, tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", config=CONFIG) as run:
        rows = {row["method"]: row for row in evaluate_streams(run, model, TOKENIZER, IDS, CONFIG)}
    assert list(rows) == [FULL, SEP, STRM, STRM_MEAN]
    capacity = CONFIG.stream.capacity
    assert capacity is not None
    mean = {name: row["mean cache [tokens]"] for name, row in rows.items()}
    # Full attention keeps all: 1 to 199 tokens, the last one is not fed.
    assert mean[FULL] == pytest.approx(100, abs=1)
    assert mean[STRM] <= capacity
    assert mean[SEP] == pytest.approx(mean[STRM_MEAN], rel=0.1)
    assert mean[SEP] < mean[STRM] < mean[FULL]
    # A key and a value of two heads of eight in two layers, four bytes each; one slot of room beyond the capacity.
    assert rows[SEP]["cache at the end [KiB]"] * 1024 <= (capacity + 1) * 2 * 2 * 8 * 2 * 4
    assert rows[SEP]["ratio to SepLLM"] == 1
    # Full attention is measured on the untouched model's own cache: 199 tokens, and no room to spare.
    assert rows[FULL]["cache at the end [KiB]"] * 1024 == 199 * 2 * 2 * 8 * 2 * 4


def test_what_is_fed_to_a_row_after_its_answer_counts_for_nothing(model: Any) -> None:
    with apply_sepllm(model, TOKENIZER, SepConfig(window=500)) as applied, torch.inference_mode():
        cache = applied.new_cache()
        model(IDS[:20].view(2, 10), use_cache=True, **{cache_argument(model): cache})
        cache.live = [True, False]
        model(IDS[20:22].view(2, 1), use_cache=True, **{cache_argument(model): cache})
        # A prompt of ten tokens in each row, then one token of the first alone: over two layers.
        assert (cache.usage.steps, cache.usage.stored) == (2 * 3, 2 * (10 + 10 + 11))


def test_verdicts_call_a_difference_that_may_be_none_uninformative() -> None:
    control = {"method": STRM_MEAN, "ratio to SepLLM": 1.02, "low": 1.01, "high": 1.03}
    assert "is better than" in verdicts([control], [])[0]
    assert "is worse than" in verdicts([control | {"low": 0.9, "high": 0.99}], [])[0]
    assert "uninformative" in verdicts([control | {"low": 0.99}], [])[0]
    solved = {"minus SepLLM": -0.1, "difference low": -0.2, "difference high": -0.05}
    rows = [{"method": SEP, "problems": 40}, {"method": STRM_MEAN, **solved}]
    assert "is better than" in verdicts([], rows)[0]
    rows = [{"method": SEP, "problems": 40}, {"method": STRM_MEAN, **solved, "difference high": 0.0}]
    assert "uninformative" in verdicts([], rows)[0]


def test_parallel_streams_equal_single_ones(model: Any) -> None:
    batch = torch.stack([IDS[:150], IDS[300:450]])
    with apply_sepllm(model, TOKENIZER, CONFIG.stream) as applied:
        together = streams_nll(model, batch, applied.new_cache(), chunk=64)
        alone = torch.cat([streams_nll(model, row[None], applied.new_cache(), chunk=40) for row in batch])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)  # fp32, other batch and chunks


def test_the_long_stream_shows_full_attention_twice(model: Any, tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", config=CONFIG) as run:
        table, curves = evaluate_long(run, model, TOKENIZER, IDS, CONFIG)
    assert [row["method"] for row in table] == [WINDOWS, RAW, SEP, STRM, STRM_MEAN]
    assert all(len(values) == 6 for values in curves.values())  # 699 scored tokens in stretches of 128
    assert all({"quarter 1", "quarter 4"} <= row.keys() for row in table)


def test_problems_go_on_after_an_interruption(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run.open(tmp_path / "whole", config=CONFIG) as run:
        whole = evaluate_problems(run, model, TOKENIZER, CONFIG)
    assert [row["method"] for row in whole] == [FULL, SEP, STRM, STRM_MEAN]
    assert all(row["problems"] == CONFIG.problems for row in whole)
    assert whole[1]["mean cache [tokens]"] < whole[0]["mean cache [tokens]"]

    calls, greedy = 0, word_problems.greedy_texts

    def breaking(*args: Any, **options: Any) -> list[str]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return greedy(*args, **options)

    monkeypatch.setattr(word_problems, "greedy_texts", breaking)
    with pytest.raises(KeyboardInterrupt), Run.open(tmp_path / "broken", config=CONFIG) as run:
        evaluate_problems(run, model, TOKENIZER, CONFIG)
    calls = 10
    with Run.open(tmp_path / "broken", config=CONFIG) as run:
        assert evaluate_problems(run, model, TOKENIZER, CONFIG) == whole
    assert calls == 10 + 5  # two batches for each of four, of which three were done


def test_a_text_that_is_too_short_is_refused(model: Any, tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", config=CONFIG) as run, pytest.raises(DataError, match="3 streams of 200 need 600"):
        evaluate_streams(run, model, TOKENIZER, IDS[:500], CONFIG)
