"""Perplexity: windows against a slow loop, streams against one long forward, and the arithmetic of the figures."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from beartype import beartype
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import jaxtyped
from transformers import DynamicCache

from tenon.core.errors import ConfigError, DataError
from tenon.core.models.tiny import tiny_model
from tenon.core.scoring import perplexity as module
from tenon.core.scoring.perplexity import _windows, bits_per_byte, perplexity

# float32 logits of size ~5 through two layers; other batch shapes sum in another order
TOLERANCE = {"rtol": 0, "atol": 2e-5}


def checked(function: Any) -> Any:
    """Execute the shapes of a signature."""
    return jaxtyped(function, typechecker=beartype)


window_nll, stream_nll = checked(module.window_nll), checked(module.stream_nll)
_nll = checked(module._nll)


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def ids() -> torch.Tensor:
    return torch.randint(3, 128, (33,), generator=torch.Generator().manual_seed(0))


def nll_of_last(model: Any, ids: torch.Tensor) -> float:
    """The slow twin: minus the log-probability of the last token given all before it, one forward."""
    with torch.inference_mode():
        logits = model(ids[None, :-1]).logits[0, -1].double()
    return -logits.log_softmax(-1)[ids[-1]].item()


def slow_window_nll(model: Any, ids: torch.Tensor, context: int, stride: int) -> list[float]:
    """Reads the docstring literally: for each token, how far its window reaches back, then one forward for it alone."""
    last_start = max(0, len(ids) - 1 - context)
    nll = []
    for target in range(1, len(ids)):
        start = 0
        while start + context < target:  # the first window that predicts this token scores it
            start += stride
        nll.append(nll_of_last(model, ids[min(start, last_start) : target + 1]))
    return nll


@pytest.mark.parametrize(
    ("context", "stride"),
    [(8, 8), (8, 4), (8, 3), (8, 1), (1, 1), (32, 16), (31, 31), (40, 7)],  # 32 targets: even, uneven, one window
)
def test_windows_equal_the_slow_loop(model: Any, ids: torch.Tensor, context: int, stride: int) -> None:
    expected = torch.tensor(slow_window_nll(model, ids, context, stride), dtype=torch.float64)
    torch.testing.assert_close(window_nll(model, ids, context=context, stride=stride), expected, **TOLERANCE)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batches_change_nothing(model: Any, ids: torch.Tensor, batch_size: int) -> None:
    expected = window_nll(model, ids, context=8, stride=3)
    found = window_nll(model, ids, context=8, stride=3, batch_size=batch_size)
    torch.testing.assert_close(found, expected, **TOLERANCE)


@given(num_targets=st.integers(1, 60), context=st.integers(1, 20), data=st.data())
def test_windows_partition_the_targets_with_enough_before_each(num_targets: int, context: int, data: Any) -> None:
    stride = data.draw(st.integers(1, context))
    scored = []
    for number, (start, num_new) in enumerate(_windows(num_targets, context, stride)):
        end = min(start + context, num_targets)
        assert 0 <= start <= end - num_new
        assert num_new <= (context if number == 0 else stride)
        for target in range(
            end - num_new, end
        ):  # entry `target` of nll is token target + 1, which has this many before:
            before = target + 1 - start
            assert min(target + 1, context - stride + 1) <= before <= context
            scored.append(target)
    assert scored == list(range(num_targets))


def test_the_drawing_in_the_docstring() -> None:
    assert list(_windows(8, context=4, stride=2)) == [(0, 4), (2, 2), (4, 2)]
    assert list(_windows(7, context=4, stride=2)) == [(0, 4), (2, 2), (3, 1)]  # the last one moved back


def test_a_float64_model_is_scored_in_float64(ids: torch.Tensor) -> None:
    exact = tiny_model("llama").double()
    expected = torch.tensor(slow_window_nll(exact, ids, 8, 4), dtype=torch.float64)
    found = window_nll(exact, ids, context=8, stride=4)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("arch", ["llama", "gpt_neox", "mistral"])
@pytest.mark.parametrize("chunk", [1, 5, 32, 1000])
def test_a_stream_equals_one_long_forward(arch: str, chunk: int, ids: torch.Tensor) -> None:
    model = tiny_model(arch)
    with torch.inference_mode():
        logits = model(ids[None]).logits[0, :-1].double()
    expected = -logits.log_softmax(-1).gather(1, ids[1:, None])[:, 0]
    torch.testing.assert_close(stream_nll(model, ids, chunk=chunk), expected, **TOLERANCE)


def test_a_stream_goes_past_the_trained_length_and_fills_the_given_cache(ids: torch.Tensor) -> None:
    model = tiny_model("llama", max_position_embeddings=16)
    cache = DynamicCache(config=model.config)
    nll = stream_nll(model, ids, chunk=8, cache=cache)
    assert torch.isfinite(nll).all()
    assert cache.get_seq_length() == len(ids) - 1  # the last token is scored, never read
    assert nll[-1].item() == pytest.approx(nll_of_last(model, ids), abs=2e-5)


def test_stream_and_single_window_agree(model: Any, ids: torch.Tensor) -> None:
    torch.testing.assert_close(
        stream_nll(model, ids, chunk=7), window_nll(model, ids, context=64, stride=64), **TOLERANCE
    )


def test_half_precision_logits_are_widened_before_the_softmax() -> None:
    logits = torch.tensor([[8.0, 0.0], [0.0, 8.0]], dtype=torch.float16)
    expected = math.log1p(math.exp(-8.0))  # 3.354e-4
    assert _nll(logits, torch.tensor([0, 1])).tolist() == pytest.approx(
        [expected] * 2, rel=1e-4
    )  # float16 would give 0


def test_figures() -> None:
    nll = torch.tensor([1.0, 2.0, 3.0])
    assert perplexity(nll) == math.exp(2.0)
    assert bits_per_byte(nll, 6) == bits_per_byte(6.0, 6) == pytest.approx(1 / math.log(2), rel=1e-15)
    assert bits_per_byte(torch.tensor([1e9, 1.0]), 1) * math.log(2) == pytest.approx(1e9 + 1, rel=1e-12)  # not float32
    assert bits_per_byte(1e9 + 1.0, 1) * math.log(2) == pytest.approx(1e9 + 1, rel=1e-12)


def test_bad_input(model: Any, ids: torch.Tensor) -> None:
    for context, stride in [(4, 0), (4, 5), (0, 0)]:
        with pytest.raises(ConfigError, match="1 <= stride <= context"):
            module.window_nll(model, ids, context=context, stride=stride)
    with pytest.raises(ConfigError, match="context is 4096, but the model knows 2048 positions"):
        module.window_nll(model, ids, context=4096, stride=1)
    with pytest.raises(ConfigError, match="batch_size is 0"):
        module.window_nll(model, ids, context=4, stride=1, batch_size=0)
    with pytest.raises(ConfigError, match="chunk is 0"):
        module.stream_nll(model, ids, chunk=0)
    for score in (module.stream_nll, lambda m, i: module.window_nll(m, i, context=4, stride=4)):
        with pytest.raises(DataError, match=r"shape \(1, 33\)"):
            score(model, ids[None])
        with pytest.raises(DataError, match=r"shape \(1,\)"):
            score(model, ids[:1])
        with pytest.raises(DataError, match=r"to 500, but the model has 128 embeddings.*another model's tokenizer"):
            score(model, torch.tensor([3, 500]))
    with pytest.raises(DataError, match="num_bytes is 0"):
        bits_per_byte(1.0, 0)
