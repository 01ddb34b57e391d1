"""Streams: epochs equal single tokens (7.10), a killed stream goes on bit for bit (7.17), memory stays constant."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tenon.core.errors import DataError
from tenon.core.files import fingerprints
from tenon.core.models.tiny import ARCHITECTURES, tiny_model
from tenon.core.run import VOLATILE, Run
from tenon.core.scoring.perplexity import stream_nll, window_nll
from tenon.methods.sepllm import stream as streaming
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.snapshot import restore, snapshot
from tenon.methods.sepllm.stream import stream_perplexity

STREAM = SepConfig(init=2, sep_capacity=4, local=6, capacity=24, positions="cache")
LLM = SepConfig(separators="none", init=2, sep_capacity=0, local=12, capacity=14, positions="cache")


@pytest.mark.parametrize("config", [STREAM, LLM, SepConfig(init=2, window=8)], ids=["Sep", "StreamingLLM", "eq. 1"])
def test_7_10_epochs_score_what_single_tokens_score(config: SepConfig, tiny: Any, tokenizer: Any, text: Any) -> None:
    ids = text(120)[0]
    epochs = stream_perplexity(tiny("llama"), tokenizer, config, ids)
    single = stream_perplexity(tiny("llama"), tokenizer, config, ids, chunk=1)
    torch.testing.assert_close(epochs.nll, single.nll, atol=1e-4, rtol=0)  # fp32
    assert epochs.perplexity == pytest.approx(math.exp(float(epochs.nll.mean())))


def test_few_forwards_and_constant_memory(tiny: Any, tokenizer: Any, text: Any) -> None:
    model, forwards = tiny("llama"), []
    hook = model.model.layers[0].register_forward_pre_hook(lambda *_: forwards.append(1))
    scores = [stream_perplexity(model, tokenizer, STREAM, text(length)[0]) for length in (200, 600)]
    hook.remove()
    # A period is 24 + 1 - (2 + 4 + 6) = 13 tokens; the first separators come one by one.
    assert len(forwards) < 800 / 11
    assert scores[0].stats["kv_bytes_peak"] == scores[1].stats["kv_bytes_now"] == 2 * 2 * 2 * 16 * 4 * 25
    assert scores[1].stats["stored_mean"] == pytest.approx((2 + 4 + 6 + 24) / 2, abs=1)


def test_a_cache_that_never_fills_is_full_attention(tiny: Any, tokenizer: Any, text: Any) -> None:
    model, ids = tiny("qwen3"), text(100)[0]
    roomy = SepConfig(sep_capacity=10, local=10, capacity=1000, positions="cache")
    found = stream_perplexity(model, tokenizer, roomy, ids).nll
    torch.testing.assert_close(found, stream_nll(model, ids), atol=1e-4, rtol=0)  # fp32, other chunks
    torch.testing.assert_close(found, window_nll(model, ids, context=100, stride=100), atol=1e-4, rtol=0)


GROWING = replace(STREAM, sep_capacity=1, capacity=14, cap_separators=False)


@pytest.mark.parametrize("pads", [0, 9])
@pytest.mark.parametrize(
    "config",
    [
        STREAM,
        replace(STREAM, accumulate=False),
        replace(STREAM, evict="before"),
        GROWING,
        replace(GROWING, evict="before", prefill="stream"),
        SepConfig(init=2, window=8, full_layers="head"),
    ],
    ids=["Sep", "latest only", "before", "growing", "growing, before", "eq. 1"],
)
def test_7_17_a_saved_cache_goes_on_bit_for_bit(
    config: SepConfig, pads: int, tiny: Any, tokenizer: Any, text: Any, feed: Any
) -> None:
    saved_goes_on(tiny("llama"), config, pads, tokenizer, text, feed)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_7_17_a_saved_cache_of_every_architecture(arch: str, tiny: Any, tokenizer: Any, text: Any, feed: Any) -> None:
    saved_goes_on(tiny(arch), STREAM, 0, tokenizer, text, feed)


def test_7_17_heads_of_another_size_than_their_share(tokenizer: Any, text: Any, feed: Any) -> None:
    saved_goes_on(tiny_model("llama", head_dim=24), STREAM, 9, tokenizer, text, feed)  # not 64 / 4


def saved_goes_on(model: Any, config: SepConfig, pads: int, tokenizer: Any, text: Any, feed: Any) -> None:
    """Assert that a cache saved after 50 tokens and the same cache, never saved, go on alike for 40 more."""
    ids = text(90, rows=2)
    real = torch.ones_like(ids)
    real[1, :pads] = 0
    with apply_sepllm(model, tokenizer, config) as applied:
        cache, other = applied.new_cache(), applied.new_cache()
        feed(model, ids[:, :50], cache, sizes=(20, 1), attention_mask=real)
        if not config.cap_separators:
            assert min(next(iter(cache.schedules.values())).overflow) > 0  # what grew must be saved as well
        restore(other, snapshot(cache), torch.device("cpu"))
        assert torch.equal(feed(model, ids[:, 50:], cache), feed(model, ids[:, 50:], other))
        assert cache.stats() == other.stats()  # the memory, too
        for rule, state in cache.schedules.items():
            assert other.schedules[rule].compressions == state.compressions


def test_9_a_snapshot_of_another_config_is_refused(tiny: Any, tokenizer: Any) -> None:
    with apply_sepllm(tiny("llama"), tokenizer, STREAM) as applied:
        content = snapshot(applied.new_cache())
    with apply_sepllm(tiny("llama"), tokenizer, LLM) as applied, pytest.raises(DataError, match="another SepConfig"):
        restore(applied.new_cache(), content, torch.device("cpu"))


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_9_a_stopped_stream_ends_with_the_files_of_an_unbroken_one(
    stop: int, tiny: Any, tokenizer: Any, text: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BLOCK", 40)
    model, ids = tiny("llama"), text(150)[0]

    def go(name: str) -> Any:
        with Run.open(tmp_path / name, config=STREAM) as run:
            return stream_perplexity(model, tokenizer, STREAM, ids, run=run)

    whole = go("whole")
    appended, append = 0, Run.append

    def breaking(self: Run, name: str, row: Any) -> bool:
        nonlocal appended
        appended += 1
        if appended == stop:
            raise KeyboardInterrupt
        return append(self, name, row)

    monkeypatch.setattr(Run, "append", breaking)
    with pytest.raises(KeyboardInterrupt):
        go("broken")
    monkeypatch.setattr(Run, "append", append)
    again = go("broken")
    assert torch.equal(again.nll, whole.nll)
    assert again.stats["stored_mean"] == whole.stats["stored_mean"]
    assert go("broken").stats["tokens_seen"] == 149  # finished: nothing is fed again
    files = [
        {name: value for name, value in fingerprints(tmp_path / each).items() if name not in VOLATILE}
        for each in ("whole", "broken")
    ]
    assert files[0] == files[1]


def test_9_streams_that_are_none(tiny: Any, tokenizer: Any, text: Any) -> None:
    with pytest.raises(DataError, match=r"shape \(1, 9\); a stream is one text"):
        stream_perplexity(tiny("llama"), tokenizer, STREAM, text(9))
    with pytest.raises(DataError, match="two tokens or more"):
        stream_perplexity(tiny("llama"), tokenizer, STREAM, text(1)[0])
    with pytest.raises(DataError, match="chunk is 0"):
        stream_perplexity(tiny("llama"), tokenizer, STREAM, text(9)[0], chunk=0)
