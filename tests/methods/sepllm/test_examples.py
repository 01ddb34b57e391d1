"""Questions whose examples have left the window: what is asked, what is compared, and when it tells nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tenon.core.errors import ConfigError
from tenon.core.models.loading import load_model, load_tokenizer
from tenon.core.run import Run
from tenon.methods.sepllm import problems as word_problems
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.contenders import FULL, SEP, STRM_MEAN
from tenon.methods.sepllm.examples import BARE, FIXED, SAME, ExamplesConfig, evaluate_examples, examples_verdicts

CONFIG = ExamplesConfig(problems=6, windows=(24,), batch_size=3, shots=2, max_new_tokens=40)


def measured(path: Path) -> list[dict[str, Any]]:
    with Run.open(path, config=CONFIG) as run:
        return evaluate_examples(run, load_model("nano-lm"), load_tokenizer("nano-lm"), CONFIG)


def test_examples_matter_and_controls_keep_what_they_claim_and_a_killed_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measured(tmp_path / "whole")
    rows = {row["method"]: row for row in whole}
    assert list(rows) == [FULL, BARE, SEP, SAME, STRM_MEAN, FIXED]
    assert all(row["problems"] == CONFIG.problems for row in whole)
    # nano-lm solves most with the examples; nobody can know the unit without them, but a guess may be right.
    assert rows[FULL]["accuracy"] >= 0.5
    assert rows[BARE]["accuracy"] <= rows[FULL]["accuracy"] - 0.3
    share = {name: row["share of keys [%]"] for name, row in rows.items()}
    assert share[FULL] == share[BARE] == 100
    assert share[SAME] < share[SEP] < 60
    assert share[FIXED] == pytest.approx(share[SEP], rel=0.15)
    assert rows[STRM_MEAN]["mean cache [tokens]"] == pytest.approx(rows[SEP]["mean cache [tokens]"], rel=0.05)
    assert rows[SEP]["minus SepLLM"] == rows[FULL]["minus full"] == 0

    calls, greedy = 0, word_problems.greedy_texts

    def breaking(*args: Any, **options: Any) -> list[str]:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return greedy(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(word_problems, "greedy_texts", breaking)
        with pytest.raises(KeyboardInterrupt):
            measured(tmp_path / "killed")
    assert measured(tmp_path / "killed") == whole


def a_row(name: str, full: float, sep: float) -> dict[str, Any]:
    ends = {"full low": full - 0.01, "full high": full + 0.01, "minus full": full}
    ends |= {"difference low": sep - 0.01, "difference high": sep + 0.01, "minus SepLLM": sep}
    return ends | {"method": name, "window": None if name == BARE else 8, "share of keys [%]": 40.0}


@pytest.mark.parametrize(
    ("bare", "strm", "against", "expected"),
    [
        (-0.8, -0.4, -0.4, "informative, since .* is better than StreamingLLM"),
        (-0.8, -0.4, 0.0, "informative, since .* cannot be told from StreamingLLM"),
        (-0.8, -0.4, 0.2, "informative, since .* is worse than StreamingLLM"),
        (-0.8, 0.0, 0.0, "uninformative, since not both controls lose"),
        (0.0, -0.4, -0.4, "uninformative, since not both controls lose"),
    ],
)
def test_verdicts(bare: float, strm: float, against: float, expected: str) -> None:
    rows = [a_row(BARE, bare, 0.0), a_row(SEP, -0.02, 0.0), a_row(STRM_MEAN, strm, against)]
    (verdict,) = examples_verdicts(rows)
    assert re.search(f"^Window 8: {expected}", verdict)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"windows": ()}, "windows"),
        ({"windows": (8, 8)}, "each once"),
        ({"windows": (0,)}, "1 or more each"),
        ({"sep": SepConfig(separators="none")}, "a SepConfig with separators"),
        ({"sep": SepConfig(interval=4)}, "leave both out"),
        ({"problems": 0}, "problems"),
    ],
)
def test_bad_options_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExamplesConfig(**change)
