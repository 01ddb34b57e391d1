"""Segment recall: no window reaches the answer, separators do; trainings resume; and what the shipped weights show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tenon.core.errors import ConfigError
from tenon.core.run import Run
from tenon.core.training import TrainConfig
from tenon.methods.sepllm import recall
from tenon.methods.sepllm.contenders import FULL, SEP
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.recall import (
    INTERVAL,
    WIDE,
    WINDOW,
    Answers,
    RecallConfig,
    ask,
    evaluate_recall,
    rules,
)
from tenon.methods.sepllm.recall_tables import figures
from tenon.methods.sepllm.recall_training import TrainingRows, build_model
from tenon.tasks.recall import RecallTask

CONFIG = RecallConfig()
RULES = rules(CONFIG)
RESULTS = Path(recall.__file__).parent / "results" / "recall.json"
TINY = RecallConfig(
    task=RecallTask(segments=8),
    train=TrainConfig(steps=3, batch_size=2, learning_rate=1e-3, log_every=1, save_every=1, device="cpu"),
    models=1,
    hidden_size=16,
    intermediate_size=16,
    heads=2,
    sequences=16,
)


@pytest.fixture(scope="module")
def untrained() -> Any:
    return build_model(CONFIG, 0).eval()


def moved(model: Any, name: str, *, back: int, hide: str = "none") -> float:
    """How much the last logits of rows move when the answer in the text becomes another value."""
    rows = recall.asked_rows(replace(CONFIG, sequences=24))
    rows = [row for row in rows if row.questions[0].back == back]
    worst = 0.0
    for row in rows:
        ids, _ = recall._left_padded([row])
        other = ids.clone()
        other[0, row.questions[0].source] += 1 if row.questions[0].answer < CONFIG.task.filler(0) - 1 else -1
        mask = {} if hide == "none" else {"separator_mask": recall._separators([row], ids, hide)}
        with apply_sepllm(model, None, RULES[name]), torch.no_grad():
            logits = [model(each, use_cache=False, **mask).logits[0, -1] for each in (ids, other)]
        worst = max(worst, float((logits[0] - logits[1]).abs().max()))
    return worst


@pytest.mark.parametrize(
    ("name", "back", "hide", "reaches"),
    [
        (FULL, 8, "none", True),
        (SEP, 8, "none", True),
        (SEP, 8, "own", False),  # no other separator holds a trace of it
        (SEP, 8, "others", True),
        (SEP, 1, "own", True),  # the last segment is within the window
        (WINDOW, 8, "none", False),
        (WINDOW, 1, "none", True),
        (WIDE, 8, "none", False),
        (WIDE, 3, "none", True),
    ],
)
def test_what_reaches_the_question(untrained: Any, name: str, back: int, hide: str, reaches: bool) -> None:
    """Exactly nothing of a far pair reaches a question through windows, in weights that have learnt nothing."""
    assert (moved(untrained, name, back=back, hide=hide) > 1e-6) == reaches
    if not reaches:
        assert moved(untrained, name, back=back, hide=hide) == 0


def test_far_questions_are_beyond_the_widest_reach_and_near_ones_within_the_narrowest() -> None:
    rows = recall.asked_rows(CONFIG)
    beyond = [row for row in rows if row.questions[0].distance > CONFIG.reach(RULES[WIDE])]
    within = [row for row in rows if row.questions[0].distance <= CONFIG.reach(RULES[WINDOW])]
    assert len(beyond) > len(rows) / 4
    assert len(within) > len(rows) / 8


def test_the_controls_see_as_many_keys(untrained: Any) -> None:
    rows = recall.asked_rows(replace(CONFIG, sequences=16))
    found = {name: ask(untrained, rule, rows) for name, rule in RULES.items()}
    assert found[WIDE].keys == found[SEP].keys
    assert found[INTERVAL].keys == pytest.approx(found[SEP].keys, abs=1)
    assert found[WINDOW].keys == CONFIG.init + CONFIG.window
    assert found[FULL].keys == pytest.approx(sum(len(row.ids) - 1 for row in rows) / len(rows))
    assert found[SEP].bytes < 0.6 * found[FULL].bytes  # memory is really let go


def test_answers_come_out_of_the_cache_as_of_one_forward(untrained: Any) -> None:
    rows = recall.asked_rows(replace(CONFIG, sequences=16))
    with apply_sepllm(untrained, None, RULES[SEP]), torch.no_grad():
        whole = [int(untrained(recall._left_padded([row])[0], use_cache=False).logits[0, -1].argmax()) for row in rows]
    told = [row.questions[0].answer == found for row, found in zip(rows, whole, strict=True)]
    assert ask(untrained, RULES[SEP], rows, batch_size=5).marks == told


def test_training_rows_are_functions_of_their_index() -> None:
    rows = TrainingRows(CONFIG, 0)
    assert len(rows) == CONFIG.train.steps * CONFIG.train.batch_size
    assert rows[7] == rows[7] != rows[8]
    assert rows[7] != TrainingRows(CONFIG, 1)[7]
    for item in range(0, 3 * CONFIG.train.batch_size, CONFIG.train.batch_size):
        batch = [rows[item + offset] for offset in range(4)]
        asked = {sum(label >= 0 for label in row["labels"]) for row in batch}
        assert len(asked) == 1  # as many pairs, and thus questions, in all rows of a step
        together = TrainingRows.collate(batch)
        assert together["input_ids"].shape == together["labels"].shape
        learnt = together["labels"][together["labels"] >= 0]
        assert ((learnt >= CONFIG.task.value(0)) & (learnt < CONFIG.task.filler(0))).all()


class Interrupted(Exception):
    """Stands for a kill between two writes."""


def test_an_interrupted_experiment_gives_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def experiment(place: str) -> dict[str, Any]:
        with Run.open(tmp_path / place, config=TINY) as run:
            return evaluate_recall(run, TINY)

    whole = experiment("whole")
    assert len(whole["recall"]) == len(recall.PROBES)
    assert len(set(whole["weights by model"].values())) == 5
    for name, limit in (("log", 5), ("finish_stage", 3), ("append", 8)):  # in a training, after one, while asking
        writer, count = getattr(Run, name), [0]

        def write(run: Run, *args: Any, _writer: Any = writer, _count: Any = count, _limit: int = limit, **more: Any):  # type: ignore[no-untyped-def]
            if _count[0] == _limit:
                raise Interrupted
            _count[0] += 1
            return _writer(run, *args, **more)

        with monkeypatch.context() as patched:
            patched.setattr(Run, name, write)
            with pytest.raises(Interrupted):
                experiment("stopped")
    assert experiment("stopped") == whole
    assert not list((tmp_path / "stopped" / "trainings").glob("*/checkpoints"))


def test_a_run_goes_on_to_more_models(tmp_path: Path) -> None:
    found = []
    for models in (1, 2):
        config = replace(TINY, models=models)
        with Run.open(tmp_path / "run", config=config) as run:
            found.append(evaluate_recall(run, config))
    first, both = (experiment["weights by model"] for experiment in found)
    assert {key: both[key] for key in first} == first
    assert len(set(both.values())) == 10
    assert [row["models"] for row in found[1]["recall"]] == [2] * len(recall.PROBES)


def test_refusals() -> None:
    for changes, message in [
        ({"window": 6}, "window is 6"),
        ({"init": 5}, "init is 5"),
        ({"layers": 6}, "within a window's reach"),
        ({"heads": 3}, "heads is 3"),
        ({"sequences": 7}, "sequences is 7"),
    ]:
        with pytest.raises(ConfigError, match=message):
            replace(CONFIG, **changes)  # type: ignore[arg-type]


def judged(**shares: float) -> list[str]:
    """Verdicts of an experiment in which each mask answers this share of all questions."""
    rows = recall.asked_rows(CONFIG)
    names = {"full": FULL, "sep": SEP, "window": WINDOW, "wide": WIDE, "interval": INTERVAL}
    probes = {probe.trained: probe for probe in recall.PROBES if probe.trained == probe.tested}
    answers = {
        probes[names[short]]: [Answers([index % 100 < 100 * share for index in range(len(rows))], 1.0, 1.0)]
        for short, share in shares.items()
    }
    return list(figures(CONFIG, rows, answers)["verdicts"])


def test_verdicts_say_what_was_found() -> None:
    usual = {"full": 1.0, "sep": 1.0, "window": 0.06, "wide": 0.08, "interval": 0.93}
    first, full, last = judged(**usual)
    assert "SepLLM carries what no window reaches" in first
    assert "Full attention answers 100.0%" in full
    assert "separators are better than these" in last
    assert "separators are not better" in judged(**usual | {"interval": 0.99})[-1]
    assert "does not carry" in judged(**usual | {"sep": 0.1})[0]
    assert "the task leaks" in judged(**usual | {"wide": 0.4})[0]
    assert "Uninformative: neither" in judged(**usual | {"full": 0.5, "sep": 0.5})[0]
    _, full, interval = judged(**usual | {"full": 0.5, "interval": 0.5})
    assert "under full attention have not learnt the task in 1000 steps" in full
    assert "under fixed interval have not learnt the task in 1000 steps" in interval
