"""`finetune` and `complete` from the command line: what is trained is used at once, and bad input is told."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError, MissingExtra, TenonError
from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.run import Run
from tenon.core.training.config import TrainConfig
from tenon.methods.mdm.cli import app
from tenon.methods.mdm.complete import load_completer
from tenon.methods.mdm.config import DecodeConfig, FinetuneConfig, MDMConfig
from tenon.methods.mdm.finetune import finetune, prepare, read_rows

TRAIN = TrainConfig(steps=2, batch_size=8, learning_rate=1e-2, weight_decay=0.0, log_every=1, device="cpu")
CONFIG = FinetuneConfig(lora_rank=4, train=TRAIN)
ROWS = [{"prompt": f"{a}+{b}=", "response": str(a + b)} for a in range(9, 12) for b in range(8)]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("backbone")
    tiny_model("llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def call(*words: str) -> Any:
    return CliRunner().invoke(app, [*words])


SETS = ("train.steps=40", "train.batch_size=8", "train.learning_rate=3e-3", "train.device=cpu", "train.warmup_steps=0")
OPTIONS = [part for one in SETS for part in ("--set", one)]


def rows_file(path: Path, rows: Any = ROWS) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_finetune_then_complete(tmp_path: Path, llama: str) -> None:
    rows = [{"prompt": f"{one}{one}", "response": one} for one in "abcdefghijklmnop"]
    file = rows_file(tmp_path / "rows.jsonl", rows)
    results = tmp_path / "results.json"
    words = ["finetune", llama, file, *OPTIONS, "--set", "train.steps=150", "--out", str(tmp_path / "run")]
    told = call(*words, "--results", str(results), "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)  # nothing else is on standard output
    assert found["loss_after"] < found["loss_before"]
    assert (found["rows"], found["held_out_rows"], found["max_length"]) == (14, 2, 5)
    assert json.loads(results.read_text())["finetuning"]["loss_after"] == found["loss_after"]
    assert "Training loss." in (tmp_path / "run" / "report.html").read_text()
    again = call(*words, "--json")
    assert json.loads(again.stdout) == found

    prompts = [row["prompt"] for row in rows]
    told = call("complete", found["model"], *prompts, "--set", "steps=1", "--json")
    assert told.exit_code == 0, told.output
    answered = json.loads(told.stdout)
    right = sum(one["response"] == row["response"] for one, row in zip(answered["responses"], rows, strict=True))
    assert right >= 12
    assert answered["forwards"] == 16
    told = call("complete", found["model"], "aa", "--length", "1")
    assert "find no end" in told.stderr
    assert told.stdout == "a\n"


def test_a_chat_model_is_asked_in_its_template(tmp_path: Path, llama: str) -> None:
    rows = [
        {"messages": [{"role": "user", "content": one * 2}, {"role": "assistant", "content": one}]}
        for one in "abcdefgh"
    ]
    told = call(
        "finetune", llama, rows_file(tmp_path / "rows.jsonl", rows), *OPTIONS, "--out", str(tmp_path / "run"), "--json"
    )
    assert told.exit_code == 0, told.output
    completer = load_completer(json.loads(told.stdout)["model"], DecodeConfig(steps=2), device="cpu")
    assert completer.learnt == {"pad_policy": "eos_fill", "max_length": 24, "is_chat": True}
    asked: list[str] = []
    predict = completer.model.predict

    def watching(ids: torch.Tensor) -> torch.Tensor:
        asked.append(completer.tokenizer.decode(ids[0]))
        return predict(ids)

    completer.model.predict = watching
    completer("aa")
    assert asked[0] == "<bos>user: aa\nassistant: <|mask|><|mask|><|mask|>"


def test_csv_keeps_text_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('\ufeffprompt,response\n0012,"a, b"\n7,8\n')
    assert read_rows(tmp_path / "rows.csv") == [
        {"prompt": "0012", "response": "a, b"},
        {"prompt": "7", "response": "8"},
    ]


def test_bad_input_is_told(tmp_path: Path, llama: str) -> None:
    good = rows_file(tmp_path / "rows.jsonl")
    (tmp_path / "torn.jsonl").write_text('{"prompt": "a", "response": "b"}\n{"prompt"')
    (tmp_path / "list.jsonl").write_text("[1]\n")
    (tmp_path / "empty.csv").write_text("prompt,response\n")
    cases: list[tuple[list[str], type[TenonError], str]] = [
        (["finetune", llama, str(tmp_path / "none.jsonl")], DataError, "is no .jsonl or .csv file"),
        (["finetune", llama, str(tmp_path / "torn.jsonl")], DataError, "line 2 is not JSON"),
        (["finetune", llama, str(tmp_path / "list.jsonl")], DataError, "line 1 is not an object"),
        (["finetune", llama, str(tmp_path / "empty.csv")], DataError, "has no rows"),
        (["finetune", llama, good, "--set", "max_length=6"], DataError, "rows have more than 6 tokens"),
        (["finetune", llama, good, "--set", "max_length=4000"], ConfigError, "knows 2048 positions"),
        (["finetune", llama, good, "--set", "mask_token=+"], DataError, r"24 rows hold \+, which is MASK"),
        (["finetune", llama, good, "--set", "lora_targets=nowhere"], ConfigError, "lora_targets is nowhere"),
        (["finetune", llama, good, "--set", "lora_rank=0", "--set", "dtype=bfloat16"], ConfigError, "all weights"),
        (["complete", llama, "a"], DataError, "is no masked-diffusion model"),
    ]
    for words, error, message in cases:
        out = ["--out", str(tmp_path / "run")] if words[0] == "finetune" else []
        told = call(*words, *out)
        assert isinstance(told.exception, error), (words, told.output, told.exception)
        with pytest.raises(error, match=message):
            raise told.exception
        assert not (tmp_path / "run").exists()  # the corrected command begins anew


def test_9_lengths_of_a_response(tmp_path: Path, llama: str) -> None:
    config = replace(CONFIG, mdm=MDMConfig(pad_policy="ignore"))
    with Run.open(tmp_path, config=config) as run:
        figures = finetune(run, prepare(llama, ROWS, config), config)
    assert figures["max_length"] == 9  # <bos>11+7=18<eos>
    completer = load_completer(tmp_path / "model", DecodeConfig(steps=1), device="cpu")
    with pytest.raises(DataError, match="give its length with --length"):
        completer("1+1=")
    with pytest.raises(DataError, match="fit into 2048 positions"):
        completer("1+1=", length=2045)
    with pytest.raises(DataError, match="needs 1 or more"):
        completer("1+1=", length=0)
    assert isinstance(completer("1+1=", length=3), str)


def test_without_peft_the_extra_is_named(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tenon\[finetune\]'"):
        prepare(llama, ROWS, CONFIG)
    assert prepare(llama, ROWS, replace(CONFIG, lora_rank=0)).model.config.mask_token_id == 128
