"""SepPress: what it keeps is SepLLM's choice, and where kvpress is missing it says so.

kvpress cannot be imported beside the rest of Tenon, so the tests of the press itself run in its own environment.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tenon.core.errors import ConfigError, MissingExtra
from tenon.core.models.cache import cache_argument
from tenon.core.models.loading import NANO_FOLDER, load_model, load_tokenizer
from tenon.methods.sepllm import press
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.reference import mask_by_loops
from tenon.methods.sepllm.separators import resolve_separators
from tenon.tasks.text import PYTHON_DOCS, read_documents

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / "runs" / "peer-kvpress" / "bin" / "python"
INIT, WINDOW, TOKENS = 4, 32, 300

CHILD = """
import json, sys
import torch
from kvpress import KeyRerotationPress, ScorerPress
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, logging
from tenon.core.errors import DataError
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.press import SepPress

logging.disable_progress_bar()
given = json.loads(sys.stdin.read())
ids, following = torch.tensor(given["ids"]), torch.tensor(given["following"])
model = AutoModelForCausalLM.from_pretrained(given["model"], dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(given["model"])
config = SepConfig(init=given["init"], window=given["window"])

@torch.inference_mode()
def read(ids, *contexts, **inputs):
    cache = DynamicCache(config=model.config)
    for context in contexts:
        context.__enter__()
    try:
        model(ids, past_key_values=cache, use_cache=True, **inputs)
    finally:
        for context in reversed(contexts):
            context.__exit__(None, None, None)
    return cache

def kept(cache, ids, by="keys"):
    # Two tokens never have one key, since positions are in it: so keys say who is still there. Where they were
    # re-rotated, values do, but for the first layer, in which equal tokens have equal values.
    found = []
    for stored, whole in list(zip(cache.layers, read(ids).layers, strict=True))[by == "values" :]:
        is_same = (getattr(stored, by)[:, :, :, None] == getattr(whole, by)[:, :, None]).all(-1)
        assert bool((is_same.sum(-1) == 1).all())
        found.append(is_same.int().argmax(-1).sort(-1).values.tolist())
    return found

def error(*contexts, **inputs):
    try:
        read(ids[:1], *contexts, **inputs)
    except DataError as error:
        return str(error)

press = SepPress.of(tokenizer, config)
answer = {"is a scorer": isinstance(press, ScorerPress)}
cache = read(ids[:1], press(model))
answer["alone"], answer["ratio"] = kept(cache, ids[:1]), press.compression_ratio
position = torch.tensor([[ids.shape[1]]])
with torch.inference_mode():
    answer["logits"] = model(following[None, None], past_key_values=cache, position_ids=position).logits[0, 0].tolist()
answer["with a mask"] = kept(read(ids[:1], press(model), attention_mask=torch.ones_like(ids[:1])), ids[:1])
rotated = read(ids[:1], press.watching(model), KeyRerotationPress(press)(model))
answer["re-rotated"] = kept(rotated, ids[:1], "values")
answer["batch"] = kept(read(ids, press(model)), ids)
answer["short"] = kept(read(ids[:1, :20], press(model)), ids[:1, :20])
answer["hooks"] = len(model.model._forward_pre_hooks)
answer["not watched"] = error(KeyRerotationPress(SepPress(is_sep=press.is_sep, compression_ratio=0.5))(model))
answer["pads"] = error(press(model), attention_mask=torch.tensor([[0] + [1] * (ids.shape[1] - 1)]))
print(json.dumps(answer))
"""


def kept_after(is_sep: list[bool]) -> list[int]:
    """What SepLLM keeps of a prompt: what its last token sees, by the loops of equation 1."""
    return [index for index, seen in enumerate(mask_by_loops(is_sep, init=INIT, window=WINDOW)[-1]) if seen]


def test_scores_are_infinite_for_what_sepllm_keeps() -> None:
    is_sep = torch.rand(3, 200) < 0.1
    scores = press.sep_scores(is_sep, init=INIT, window=WINDOW)
    for row, bits in zip(scores, is_sep.tolist(), strict=True):
        assert row.isinf().nonzero().flatten().tolist() == kept_after(bits)
        others = row[~row.isinf()]
        assert bool((others.diff() > 0).all())


def test_a_missing_kvpress_is_named() -> None:
    if importlib.util.find_spec("kvpress"):
        pytest.skip("kvpress is installed here")
    with pytest.raises(MissingExtra, match=r"SepPress is for kvpress.*pip install kvpress jaxtyping"):
        _ = press.SepPress
    with pytest.raises(AttributeError, match="no attribute 'SapPress'"):
        _ = press.SapPress


@dataclass
class Scorer:
    """What SepPress needs of `kvpress.ScorerPress` to be made."""

    compression_ratio: float = 0.0

    def __post_init__(self) -> None: ...


@pytest.fixture
def sep_press(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setitem(sys.modules, "kvpress", SimpleNamespace(ScorerPress=Scorer))  # type: ignore[arg-type]
    press.sep_press_class.cache_clear()
    yield press.SepPress
    press.sep_press_class.cache_clear()


def test_options_that_a_press_cannot_carry_out_are_refused(sep_press: Any, tokenizer: Any) -> None:
    made = sep_press.of(tokenizer, SepConfig(init=1, window=8, separators=(".",), match="exact", prefill="dense"))
    assert (made.init, made.window, made.is_sep.sum().item()) == (1, 8, 1)
    with pytest.raises(ConfigError, match=r"SepConfig\.interval is 5"):
        sep_press.of(tokenizer, SepConfig(interval=5))
    with pytest.raises(ConfigError, match=r"SepConfig\.sep_capacity is 4"):
        sep_press.of(tokenizer, SepConfig(sep_capacity=4, local=8, capacity=32))
    with pytest.raises(ConfigError, match="window is None; here it must be one number"):
        sep_press.of(tokenizer, SepConfig(window=None))
    with pytest.raises(ConfigError, match=r"window is \(8, 16\)"):
        sep_press.of(tokenizer, SepConfig(window=(8, 16)))
    with pytest.raises(ConfigError, match="needs is_sep"):
        sep_press()
    with pytest.raises(ConfigError, match="window=0"):
        sep_press(is_sep=made.is_sep, window=0)


@pytest.mark.slow
def test_in_kvpress_exactly_first_separating_and_nearest_tokens_survive() -> None:
    if not PYTHON.exists():
        pytest.skip("there is no environment of kvpress; make it: python bench/sepllm_kvpress.py --make-env")
    tokenizer = load_tokenizer("nano-lm")
    long = (tokenizer(document.text, verbose=False)["input_ids"] for document in read_documents(PYTHON_DOCS))
    texts = [ids for ids in long if len(ids) > TOKENS][:2]
    ids = torch.tensor([text[:TOKENS] for text in texts])
    following = texts[0][TOKENS]
    given = {"model": str(NANO_FOLDER / "nano-lm"), "ids": ids.tolist(), "following": following}
    done = subprocess.run(
        [str(PYTHON), "-c", CHILD],
        input=json.dumps({**given, "init": INIT, "window": WINDOW}),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])

    is_sep = resolve_separators(tokenizer, "paper", vocab_size=len(tokenizer))[ids]
    expected = [kept_after(row) for row in is_sep.tolist()]
    assert len(expected[0]) != len(expected[1]) < TOKENS  # or the test of a batch says nothing
    assert answer["is a scorer"]
    for name in ("alone", "with a mask", "re-rotated"):
        for layer in answer[name]:
            assert layer[0] == [expected[0]] * len(layer[0]), name
    assert answer["ratio"] == pytest.approx(1 - len(expected[0]) / TOKENS, abs=1 / TOKENS)

    most = max(map(len, expected))
    for layer in answer["batch"]:
        for heads, must, bits in zip(layer, expected, is_sep.tolist(), strict=True):
            others = [index for index in range(len(bits)) if index not in must]
            filled = sorted(must + others[len(others) - (most - len(must)) :])
            assert heads == [filled] * len(heads)
    assert answer["short"][0][0][0] == list(range(20))
    assert answer["hooks"] == 0
    assert "open `press.watching(model)`" in answer["not watched"]
    assert "pads" in answer["pads"]

    # The next token sees what it would see in SepLLM after a dense prompt; the window there counts that token, too.
    model: Any = load_model("nano-lm")
    config = SepConfig(init=INIT, window=WINDOW + 1, prefill="dense")
    with apply_sepllm(model, tokenizer, config) as applied, torch.inference_mode():
        cache = applied.new_cache()
        for part in (ids[:1], torch.tensor([[following]])):
            logits = model(part, use_cache=True, **{cache_argument(model): cache}).logits[0, -1]
    torch.testing.assert_close(torch.tensor(answer["logits"]), logits, atol=1e-4, rtol=0)
