"""The commands, on a tiny model in a folder: what they print, what they keep, what they refuse."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError, MissingExtra, RunConflict
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


@pytest.fixture
def task(folder: Path) -> Path:
    """A task of lm-evaluation-harness as a user would write one: a YAML file, and a file of examples beside it."""
    problems = [(f"What is {number} and {number}?", f"{2 * number}") for number in range(1, 6)]
    rows = [{"question": question, "choices": [f" {answer}", " no."], "label": 0} for question, answer in problems]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "doubles.yaml").write_text(f"""
task: doubles
dataset_path: json
dataset_kwargs:
  data_files: {folder / "data.jsonl"}
  cache_dir: {folder / "cache"}
test_split: train
fewshot_split: train
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}} Answer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
metadata:
  version: 1.0
""")
    return folder / "doubles.yaml"


def test_lm_eval(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library says while it is imported is not ours
        evaluator = pytest.importorskip(
            "lm_eval.evaluator", reason="needs lm-evaluation-harness: pip install 'tenon[eval]'"
        )
        import lm_eval.models.huggingface  # noqa: F401
    monkeypatch.setattr(evaluator, "add_env_info", lambda results: None)  # starts processes, and takes a second
    folder = task.parent
    words = ("eval", "--model", folder / "model", "--lm-eval", task, "--limit", 4, "--num-fewshot", 1)
    words = (*words, "--batch-size", 2, "--set", "sep.window=8", "--set", "sep.init=1", "--out", folder / "run")
    first = invoke(*words, "--results", folder / "results.json", "--json")
    assert [(row["metric"], row["method"]) for row in first["table"]] == [
        (metric, method)
        for metric in ("acc", "acc_norm")
        for method in ("full attention", "SepLLM", "StreamingLLM, equal capacity", "StreamingLLM, equal mean")
    ]
    assert all(row["task"] == "doubles" and row["examples"] == 4 for row in first["table"])
    shares = [row["share of keys [%]"] for row in first["table"][:4]]
    assert shares[0] == 100 > shares[1] > shares[2]
    assert (folder / "run/report.html").is_file()
    assert json.loads((folder / "results.json").read_text())["table"] == first["table"]
    assert invoke(*words, "--json") == first
    task.write_text(task.read_text() + "# another text is another task\n")
    with pytest.raises(RunConflict, match=r"doubles.yaml"):
        CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_lm_eval_refusals(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    for words, error, message in [
        (("--lm-eval", "gsm8k_cot"), MissingExtra, r"pip install 'tenon\[eval\]'"),
        (("--lm-eval", "gsm8k_cot", "--problems", 3), ConfigError, "--lm-eval stands for itself"),
        (("--lm-eval", "gsm8k_cot", "--set", "windw=3"), ConfigError, "windw"),
        (("--limit", 3), ConfigError, "--limit and --num-fewshot are of --lm-eval"),
    ]:
        with pytest.raises(error, match=message):
            invoke("eval", "--model", folder / "model", "--out", folder / "run", *words)
    assert not (folder / "run").exists()


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
