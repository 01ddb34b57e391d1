"""What a stage takes from the one before, what it refuses before its run begins, and what it says of dead ends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenon.core.config import to_dict
from tenon.core.errors import ConfigError, DataError
from tenon.methods.rise.config import PRESETS, Recipe
from tests.core.chat.loopback import Loopback, Reply, question, said
from tests.methods.rise.solver import EDITING, changed, save_policy
from tests.methods.rise.test_cli import QUICK, answered, call, recipe, refused, sets

NANO = PRESETS["nano"]
RIGHT = "Step 1: Tom has 3 + 4 = 7 apples.\nStep 2: Both count.\nAnswer: 7"
WRONG = RIGHT.replace("7", "8")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stage(folder: str, kept: Recipe = NANO, **files: list[dict[str, Any]]) -> str:
    """Write what a stage leaves."""
    Path(folder).mkdir()
    Path(folder, "recipe.json").write_text(json.dumps(to_dict(kept)))
    for name, rows in files.items():
        Path(folder, f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def samples(folder: str = "s", texts: tuple[str, ...] = (RIGHT, WRONG), kept: Recipe = NANO) -> str:
    graded = [
        {"key": f"q/{n}", "id": "q", "sample": n, "text": text, "correct": "7" in text, "found": None,
         "finish_reason": "stop", "writer": "w"}
        for n, text in enumerate(texts)
    ]  # fmt: skip
    asked = [{"key": "q", "id": "q", "prompt": "3 and 4?", "answer": "7", "dataset": ""}]
    return stage(folder, kept, questions=asked, samples=graded)


PAIR = {"prompt": "3 and 4?", "initial_reason_steps": "", "chosen": RIGHT, "rejected": WRONG, "pair_kind": "full"}


def answer(body: dict[str, Any], text: str) -> Reply:
    """Answer as a server that goes on from an open message, which it tells by its count of tokens."""
    prompt = sum(len(message["content"]) for message in body["messages"])
    return Reply(said(text, prompt=prompt + (0 if body.get("continue_final_message") else 5)))


# The prompt goes with the samples


def test_a_preset_does_not_change_how_questions_were_asked() -> None:
    samples()
    answered("edit", "s", "--out", "e")
    told = call("pairs", "s", "e", "--preset", "released-code", "--out", "p")
    assert told.exit_code == 0, told.exception
    assert told.stderr == ""
    assert recipe("p")["prompt"] == to_dict(NANO.prompt)
    assert recipe("p")["pairs"]["cut_rejected"] is True  # the rest is the preset's
    told = call("pairs", "s", "e", "--preset", "paper", *sets("prompt.system=Help."), "--out", "p2")
    assert recipe("p2")["prompt"] == {**to_dict(NANO.prompt), "system": "Help."}
    assert 'another one than in e: system: "" -> "Help."' in told.stderr


def test_another_splitter_goes_on_with_the_same_samples() -> None:
    Path("q.jsonl").write_text('{"prompt": "3 and 4?", "answer": "7"}\n')
    texts = ["Tom has 3 + 4 = 7 apples in all.\nAnswer: 7", "Tom has 3 + 4 = 8 apples in all.\nAnswer: 8"]

    def reply(path: str, body: dict[str, Any]) -> Reply:
        return Reply(said(texts[body["seed"] % 2]))

    with Loopback(reply) as server:
        words = ("sample", "m", "--base-url", server.url, "--questions", "q.jsonl", "--preset", "nano", "--out", "s",
                 *sets("prompt.prefill=", "sample.samples=8"))  # fmt: skip
        message = refused(DataError, "solutions have no step", *words)
        assert "tenon rise edit s --set prompt.splitter=sentence" in message
        told = call("edit", "s", *sets("prompt.splitter=line"), "--out", "e")
        assert "splitter: " in told.stderr
        assert "2 of 2 edits are kept" in told.stdout
        asked = len(server.seen)
        for splitter in ("prompt.splitter=line", "prompt.splitter=blank"):  # of other steps, when it is finished
            answered(*words, *sets(splitter))
        assert len(server.seen) == asked  # the same run goes on
    assert recipe("s")["prompt"]["splitter"] == "blank"


# Refused before anything is done


def test_a_folder_that_is_read_is_not_written_into() -> None:
    samples()
    stage("e", edits=[])
    stage("p", pairs=[PAIR])
    for words in (("edit", "s"), ("pairs", "s", "e"), ("train", "nano-lm", "p")):
        message = refused(ConfigError, "is a folder that this command reads", *words, "--out", f"./{words[-1]}")
        assert "rm" not in message.split()
    refused(ConfigError, "reads", "pairs", "s", "e", "--out", "s")


def test_folders_of_other_stages_are_told_apart() -> None:
    samples()
    stage("e", edits=[])
    message = refused(DataError, "e is no folder of `tenon rise sample`", "edit", "e", "--out", "new")
    assert "it is one of `tenon rise edit`" in message
    refused(
        DataError, "s is no folder of `tenon rise edit`.*one of `tenon rise sample`", "pairs", "s", "s", "--out", "p"
    )
    refused(DataError, "s is no folder of `tenon rise pairs`", "train", "nano-lm", "s", "--out", "new")


@pytest.mark.parametrize(
    "words", [("--model", "m"), ("--base-url", "http://127.0.0.1:9/v1"), ("--server", "retries=1")]
)
def test_an_editor_that_is_not_asked_is_refused(words: tuple[str, str]) -> None:
    samples()
    message = refused(ConfigError, "edit.editor is rules, so nobody is asked", "edit", "s", *words, "--out", "e")
    assert message.startswith(words[0])
    assert "--set edit.editor=llm" in message
    assert not Path("e").exists()
    assert "edited by: rules." in call("edit", "s", "--out", "e").stdout


def test_what_blocks_a_training_is_found_before_its_run_begins() -> None:
    stage("empty", pairs=[])
    refused(DataError, "empty/pairs.jsonl is empty", "train", "nano-lm", "empty", "--out", "new")
    Path("old.jsonl").write_text(json.dumps(PAIR))
    told = refused(DataError, "nano-lm knows the roles", "train", "nano-lm", "old.jsonl", "--preset", "paper",
                   "--out", "new")  # fmt: skip
    assert "--set prompt.system= leaves that out" in told
    assert not Path("new").exists()


def test_an_editor_that_takes_no_system_message_is_found_before_its_run_begins() -> None:
    samples(kept=replace(NANO, prompt=replace(NANO.prompt, system="Help.")))
    words = ("edit", "s", *sets("edit.editor=llm"), "--model", "nano-lm", "--device", "cpu", "--out", "new")
    refused(DataError, "nano-lm knows the roles", *words)
    assert not Path("new").exists()


def test_what_is_measured_wrongly_is_found_before_a_run_begins(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy")
    Path("q.jsonl").write_text('{"prompt": "3 and 4?", "answer": "7"}\n')
    refused(
        DataError, "also trained on", "run", policy, "--questions", "q.jsonl", "--unseen", "q.jsonl", "--out", "new"
    )
    assert not Path("new").exists()


def test_a_run_without_an_edited_pair_is_no_rise() -> None:
    Path("q.jsonl").write_text('{"prompt": "3 and 4?", "answer": "7"}\n')

    def reply(path: str, body: dict[str, Any]) -> Reply:
        if EDITING.search(question(body)):
            return answer(body, "I see no error to be made")
        return answer(body, (RIGHT if body["seed"] % 2 else WRONG).removeprefix("Step 1:"))

    with Loopback(reply) as server:
        served = ("--base-url", server.url, "--served", "m")
        words = ("run", "nano-lm", *served, "--questions", "q.jsonl", "--problems", "0", *sets("edit.editor=llm"))
        message = refused(DataError, "There is no edited pair, and 1 of whole solutions alone", *words, "--out", "run")
    assert "2 no closing fence" in message
    assert not Path("run/model").exists()


# Dead ends and what helps


def test_dead_ends_do_not_look_like_success() -> None:
    samples(texts=(RIGHT, RIGHT))
    told = call("edit", "s", "--out", "e").stdout
    assert "No question can be used: 1 all right (raise sample.temperature" in told
    samples("t", texts=("7", "8"))
    assert "No solution has a step by the splitter 'step'" in call("edit", "t", "--out", "e1").stdout
    samples("u")
    silent = call("edit", "u", *sets("edit.kinds=swap"), "--out", "e2").stdout
    assert "None is kept: " in silent
    assert "Take another edit.editor" in silent
    assert "Next" not in told + silent


def test_equal_solutions_are_told_beside_the_result() -> None:
    Path("q.jsonl").write_text('{"prompt": "3 and 4?", "answer": "7"}\n')
    with Loopback(lambda path, body: answer(body, RIGHT.removeprefix("Step 1:"))) as server:
        words = ("sample", "m", "--base-url", server.url, "--questions", "q.jsonl", "--preset", "nano", "--out", "s")
        told = call(*words)
    assert "1 of 1 questions have 5 times the same solution" in told.stderr
    assert "do_sample" in told.stderr
    assert "1 of 1 questions have 5 times" in Path("s/report.md").read_text()


def test_steps_that_may_be_the_last_are_told(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy")
    step = {"prompt": "3?", "initial_reason_steps": "Step 1:", "chosen": " 3 + 4 = 7", "rejected": " 3 + 4 = 8"}
    Path("old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (PAIR, step, {**step, "last_step": True})))
    words = ("train", policy, "old.jsonl", "--preset", "nano", *sets(*QUICK, "rise.train.batch_size=2"), "--out", "t")
    told = call(*words)
    assert told.exit_code == 0, told.exception
    assert "1 of 3 rows do not say whether their step is the last" in told.stderr
    assert "1 of 3 rows do not say" in Path("t/report.md").read_text()
    # and the folder of a training stands for its model
    found = answered("eval", "t", "--count", "2", "--device", "cpu", *sets("max_tokens=8"), "--out", "e")
    assert found["accuracy"][-1]["questions"] == 2
    assert changed(" 3 + 4 = 7") == " 3 + 4 = 8"


def test_a_training_takes_the_folder_of_its_pairs(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy")
    stage("p", pairs=[PAIR])
    facts = answered("train", policy, "p", *sets(*QUICK, "rise.train.batch_size=1"), "--out", "t")
    assert facts["rows"] == 1
    assert recipe("t")["prompt"] == to_dict(NANO.prompt)
