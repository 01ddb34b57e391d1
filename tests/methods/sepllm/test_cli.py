"""The commands, on a tiny model in a folder: what they print, what they keep, what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError
from tenon.methods.sepllm.cli import app


@pytest.fixture
def folder(tmp_path: Path, tiny: Any, tokenizer: Any) -> Path:
    tiny("llama").save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "text.txt").write_text("One, two. Three; four:\nfive! Six? " * 12)
    return tmp_path


def invoke(*words: Any) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


SIZES = ("--set", "sep_capacity=4", "--set", "local=8", "--set", "capacity=24")


def test_stream_goes_on_and_says_the_same(folder: Path) -> None:
    words = ("stream", "--model", folder / "model", "--text", folder / "text.txt", "--tokens", 200, *SIZES)
    first = invoke(*words, "--out", folder / "run", "--json")
    assert first["tokens"] == 200
    assert first["perplexity"] > 1
    assert first["kv_bytes_now"] == 2 * 2 * 2 * 16 * 4 * 25  # layers, k and v, heads, head size, bytes, slots
    assert len(json.loads((folder / "run/stream.jsonl").read_text())["nll"]) == 199
    assert (folder / "run/report.html").is_file()
    assert invoke(*words, "--out", folder / "run", "--json") == first


def test_generate(folder: Path) -> None:
    words = ("generate", "One, two.", "--model", folder / "model", "--max-new-tokens", 5, "--json")
    greedy = invoke(*words)
    assert greedy == invoke(*words)
    assert greedy["tokens_seen"] >= len("user: One, two.\nassistant: ")
    drawn = [invoke(*words, "--temperature", 1, "--seed", seed)["text"] for seed in (1, 1)]
    assert drawn[0] == drawn[1]


def test_density(folder: Path) -> None:
    shown = invoke("density", "--tokenizer", folder / "model", "--text", folder / "text.txt", "--json")
    assert shown["density"] == pytest.approx(12 / 35, abs=0.01)  # six marks and six blanks in 35 characters
    assert shown["counts"]["'.'"] == 12


def test_9_refusals(folder: Path) -> None:
    runner = CliRunner()
    (folder / "empty.txt").write_text("")
    for words, error, message in [
        (
            ("density", "--tokenizer", folder / "model", "--set", "separators=papers"),
            ConfigError,
            "did you mean 'paper'? (known: paper, four",
        ),
        (("stream", "--model", folder / "model", "--preset", "strem"), ConfigError, "no preset 'strem'"),
        (("stream", "--model", folder / "model", "--set", "window=0"), ConfigError, "window is 0"),
        (("generate", " ", "--model", folder / "model"), DataError, "The prompt is empty"),
        (("density", "--tokenizer", folder / "model", "--text", folder / "no.txt"), DataError, "no.txt"),
    ]:
        result = runner.invoke(app, [str(word) for word in words])
        assert isinstance(result.exception, error)
        assert message in str(result.exception)
