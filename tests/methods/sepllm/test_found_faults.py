"""Faults that a review found; each test was seen failing before its remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tenon.core.errors import ConfigError
from tenon.core.files import fingerprints
from tenon.core.run import VOLATILE, Run
from tenon.methods.sepllm import stream as streaming
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.stream import stream_perplexity

BOUNDED = SepConfig(init=2, sep_capacity=4, local=6, capacity=17, prefill="stream", positions="cache")


def test_a_stream_with_gradients_is_refused_and_never_silently_dense(tiny: Any, tokenizer: Any, text: Any) -> None:
    model = tiny("llama")
    with apply_sepllm(model, tokenizer, BOUNDED), pytest.raises(ConfigError, match="has no gradient"):
        model(text(60), use_cache=False)


def test_a_kill_before_an_old_snapshot_goes_leaves_no_other_files(
    tiny: Any, tokenizer: Any, text: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BLOCK", 40)
    model, ids = tiny("llama"), text(150)[0]
    with Run.open(tmp_path / "whole", config=BOUNDED) as run:
        stream_perplexity(model, tokenizer, BOUNDED, ids, run=run)

    unlink, calls = Path.unlink, 0

    def breaking(self: Path, *args: Any, **options: Any) -> None:
        nonlocal calls
        if self.name.startswith("cache-"):
            calls += 1
            if calls == 2:
                raise KeyboardInterrupt
        unlink(self, *args, **options)

    monkeypatch.setattr(Path, "unlink", breaking)
    with pytest.raises(KeyboardInterrupt), Run.open(tmp_path / "broken", config=BOUNDED) as run:
        stream_perplexity(model, tokenizer, BOUNDED, ids, run=run)
    monkeypatch.setattr(Path, "unlink", unlink)
    with Run.open(tmp_path / "broken", config=BOUNDED) as run:
        stream_perplexity(model, tokenizer, BOUNDED, ids, run=run)
    assert fingerprints(tmp_path / "broken", skip=VOLATILE) == fingerprints(tmp_path / "whole", skip=VOLATILE)


def test_statistics_follow_rows_that_are_repeated(tiny: Any, tokenizer: Any, text: Any, feed: Any) -> None:
    model, ids = tiny("llama"), text(40)
    with apply_sepllm(model, tokenizer, BOUNDED) as applied, torch.no_grad():
        cache = applied.new_cache()
        feed(model, ids[:, :25], cache)
        cache.batch_repeat_interleave(3)
        feed(model, ids[:, 25:].repeat(3, 1), cache)
    stats = cache.stats()
    assert stats["tokens_seen"] == 40
    assert stats["kv_time_avg_pct"] <= 100
