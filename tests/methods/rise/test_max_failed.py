"""A question that nobody can answer does not end a stage, if so many may stay without an answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenon.cli.app import main


def test_a_question_that_is_too_long_is_counted_or_ends_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"prompt": "Mia has 2 apples and buys 3. How many has she?", "answer": "5"},
        {"prompt": "Mia has 2 apples. " * 800 + "How many has she?", "answer": "2"},  # more than nano-lm's positions
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = ["tenon", "rise", "sample", "nano-lm", "--questions", str(tmp_path / "q.jsonl"), "--device", "cpu"]
    told += ["--set", "sample.samples=1", "--set", "sample.max_tokens=24", "--out", str(tmp_path / "out")]
    codes = []
    for more in ([], ["--max-failed", "1"]):
        monkeypatch.setattr("sys.argv", [*told, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        codes.append(ended.value.code or 0)
    assert codes[0] != 0
    assert codes[1] == 0
    assert "--max-failed" in capfd.readouterr().err
    samples = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert [one["finish_reason"] == "failed" for one in samples] == [False, True]
    assert samples[1]["correct"] is None
