"""The weights of segment recall that ship: what they show, whose they are, and the page that is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tenon.core.errors import ConfigError
from tenon.core.models.loading import load_model, weights_hash
from tenon.core.run import Run
from tenon.methods.sepllm import recall
from tenon.methods.sepllm.cli_recall import recall_command
from tenon.methods.sepllm.contenders import SEP
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.recall import (
    HIDDEN,
    OWN_ALONE,
    OWN_HIDDEN,
    SHIPPED,
    WIDE,
    WINDOW,
    RecallConfig,
    rules,
    shipped_hash,
    shipped_recall,
    slug,
)
from tenon.methods.sepllm.recall_tables import show_recall

CONFIG = RecallConfig()
RESULTS = Path(recall.__file__).parent / "results" / "recall.json"


@pytest.fixture(scope="module")
def shipped() -> dict[tuple[str, str], dict[str, Any]]:
    found = shipped_recall(sequences=160, seed=1)  # rows of another seed than the published ones
    return {(row["trained under"], row["tested under"]): row for row in found["recall"]}


def test_the_shipped_weights_show_it(shipped: Any) -> None:
    def share(trained: str, tested: str = "the same") -> float:
        return float(shipped[trained, tested]["far accuracy"])

    by_chance = CONFIG.guess + 0.12  # three standard errors of seventy questions
    assert share(SEP) > 0.95
    assert share(SEP, OWN_ALONE) > 0.95
    for row in ((WINDOW,), (WIDE,), (SEP, HIDDEN), (SEP, OWN_HIDDEN)):
        assert share(*row) < by_chance, row
    assert shipped[WINDOW, "the same"]["near accuracy"] > 0.3  # it has begun to learn what it can reach


def test_the_shipped_weights_are_small_and_those_of_the_results() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*")) < 1_000_000
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert stored["weights"] == shipped_hash()
    for name, rule in rules(CONFIG).items():
        assert stored["weights by model"][f"{slug(name)}/0"] == weights_hash(SHIPPED / slug(name))
        with apply_sepllm(load_model(SHIPPED / slug(name), device="cpu"), None) as applied:
            assert applied.config == rule  # it comes back with the mask it was trained under


def test_a_page_and_the_command(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(recall_command)
    words = ["--shipped", "--set", "sequences=16", "--out", str(tmp_path / "run"), "--json"]
    shown = CliRunner().invoke(app, words, catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.stdout)
    assert len(told["distances"]) == len(recall.PROBES) * CONFIG.task.segments
    assert (tmp_path / "run" / "figures" / "segment-recall.png").is_file()
    with Run.open(tmp_path / "other", config={}) as run:
        show_recall(run, told, CONFIG)
        assert run.collect("x").tables[0].rows == tuple(told["recall"])
    for more in (["--results", str(tmp_path / "results.json")], ["--set", "layers=3"]):
        refused = CliRunner().invoke(app, [*words, *more])
        assert isinstance(refused.exception, ConfigError)
