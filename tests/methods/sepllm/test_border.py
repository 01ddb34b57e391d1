"""What comes from outside and is not what it must be: told in words, and before anything is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError
from tenon.core.models.cache import cache_argument
from tenon.core.models.loading import load_tokenizer
from tenon.core.models.tiny import tiny_model
from tenon.core.run import Run
from tenon.methods.sepllm.cli import app
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.separators import resolve_separators
from tenon.methods.sepllm.stream import stream_perplexity
from tenon.methods.sepllm.train import TrainSettings

WINDOW = SepConfig(window=8, separators="none", separator_ids=(7,))
STREAM = SepConfig(
    init=2, sep_capacity=2, local=8, capacity=17, separators="none", separator_ids=(7,), prefill="stream",
    positions="cache",
)  # fmt: skip
IDS = torch.randint(3, 60, (1, 30), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> Any:
    return tiny_model("llama").eval()


@torch.no_grad()
def test_another_attention_set_while_it_is_applied_is_noticed(model: Any) -> None:
    with apply_sepllm(model, None, WINDOW):
        model.set_attn_implementation("eager")
        with pytest.raises(ConfigError, match=r"'eager' after apply_sepllm.*choose it before"):
            model(IDS)


@torch.no_grad()
def test_a_wrapper_put_on_later_stays_and_sepllm_is_off(model: Any) -> None:
    before = model(IDS).logits
    applied = apply_sepllm(model, None, WINDOW)
    own, calls = model.model.forward, []

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return own(*args, **kwargs)

    model.model.forward = wrapper
    with pytest.warns(UserWarning, match="wrapped after apply_sepllm"):
        applied.remove()
    applied.remove()  # again changes nothing, and says nothing
    assert torch.equal(model(IDS).logits, before)
    assert calls
    assert not hasattr(model.config, "sepllm")


@torch.no_grad()
def test_a_cache_belongs_to_one_model(model: Any) -> None:
    other = tiny_model("llama", num_hidden_layers=3).eval()
    with apply_sepllm(model, None, WINDOW) as applied, apply_sepllm(other, None, WINDOW):
        cache = applied.new_cache()
        model(IDS, use_cache=True, **{cache_argument(model): cache})
        with pytest.raises(DataError, match="another LlamaForCausalLM"):
            other(IDS, use_cache=True, **{cache_argument(other): cache})
        cache.reset()
        model(IDS, use_cache=True, **{cache_argument(model): cache})


@torch.no_grad()
def test_memory_inside_a_forward_is_counted(model: Any) -> None:
    with apply_sepllm(model, None, STREAM) as applied:
        cache = applied.new_cache()
        model(IDS, use_cache=True, **{cache_argument(model): cache})
        stats = cache.stats()
    assert stats["kv_bytes_peak"] < stats["kv_bytes_inside"] <= 2 * stats["kv_bytes_peak"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evict": "later"}, "SepConfig.evict is 'later'; it must be one of 'after', 'before'"),
        ({"positions": "relative"}, "SepConfig.positions"),
        ({"kernel": "fast"}, "SepConfig.kernel"),
        ({"window": 4.5}, "SepConfig.window is 4.5; it must be an integer"),
        ({"window": "12"}, "SepConfig.window"),
        ({"separators": ("",)}, "one character or more"),
    ],
)
def test_options_from_python_are_checked_as_those_of_a_file(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SepConfig(**change)


def test_lists_and_whole_floats_are_put_in_their_form() -> None:
    loose: Any = {"window": [4, 8.0], "separators": [".", ","]}
    config = SepConfig(**loose)
    assert config.window == (4, 8)
    assert config.separators == (".", ",")
    assert hash(config)


def test_training_through_a_cache_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=r"SepConfig\.prefill is 'stream'; it must be 'sparse' in training"):
        TrainSettings(sep=STREAM)


def test_strings_that_match_nothing_are_refused_whatever_ids_come_with_them() -> None:
    tokenizer = load_tokenizer("nano-lm")
    with pytest.raises(ConfigError, match="No token of"):
        resolve_separators(tokenizer, ("漢字",), vocab_size=4096, extra_ids=(5,))
    with pytest.raises(ConfigError, match="separator_ids has 5000"):
        resolve_separators(tokenizer, "paper", vocab_size=4096, extra_ids=(5000,))


@torch.no_grad()
def test_tensors_of_the_wrong_shape_are_told(model: Any) -> None:
    with apply_sepllm(model, None, WINDOW):
        with pytest.raises(DataError, match=r"separator_mask is \(1, 29\), but the tokens are \(1, 30\)"):
            model(IDS, separator_mask=torch.ones(1, 29))
        with pytest.raises(DataError, match=r"attention mask is \(1, 31\).*after 0"):
            model(IDS, attention_mask=torch.ones(1, 31))
        with pytest.raises(DataError, match="no token"):
            model(IDS[:, :0])


@pytest.mark.parametrize("ids", [torch.tensor([1, -1, 3]), torch.tensor([1, 9999]), torch.tensor([1.0, 2.0])])
def test_a_stream_of_no_token_ids_is_refused(model: Any, ids: torch.Tensor) -> None:
    with pytest.raises(DataError, match="give token ids"):
        stream_perplexity(model, None, STREAM, ids)


@torch.no_grad()
def test_a_cache_that_outgrows_the_known_positions_is_warned_of(recwarn: pytest.WarningsRecorder) -> None:
    model = tiny_model("llama", max_position_embeddings=16).eval()
    with apply_sepllm(model, None, STREAM):
        model(IDS[:, :16])
        assert not recwarn.list  # nothing has left what it knows
        with pytest.warns(UserWarning, match="reached 30 tokens, .* hold 17 of them and the model knows 16 positions"):
            model(IDS)


def test_a_stream_of_a_hybrid_model_works_and_begins_again_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenon.methods.sepllm import stream

    monkeypatch.setattr(stream, "BLOCK", 20)
    model = tiny_model("lfm2").eval()
    ids = torch.randint(3, 60, (50,), generator=torch.Generator().manual_seed(1))
    plain = stream_perplexity(model, None, STREAM, ids)
    score, calls = stream._score, 0

    def breaking(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return score(*args)

    with monkeypatch.context() as patch, Run.open(tmp_path, config=STREAM) as run:
        patch.setattr(stream, "_score", breaking)
        with pytest.raises(KeyboardInterrupt):
            stream_perplexity(model, None, STREAM, ids, run=run)
    with Run.open(tmp_path, config=STREAM) as run:
        whole = stream_perplexity(model, None, STREAM, ids, run=run)
    torch.testing.assert_close(whole.nll, plain.nll, atol=1e-5, rtol=0)
    assert whole.stats == plain.stats


def test_a_finished_stream_may_be_given_again_with_another_kernel(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("It was a bright, cold day. " * 30)
    command = ["stream", "--text", str(text), "--tokens", "120", "--out", str(tmp_path / "run")]
    for kernel in ("auto", "dense"):
        told = CliRunner().invoke(app, [*command, "--set", f"kernel={kernel}"])
        assert told.exit_code == 0, told.output


def test_what_is_missing_is_named() -> None:
    with pytest.raises(DataError, match="has no tokenizer"):
        load_tokenizer("nano-recall/sepllm")
    told = CliRunner().invoke(app, ["stream", "--text", "missing.txt"])
    assert isinstance(told.exception, DataError)
    assert "There is no" in str(told.exception)
