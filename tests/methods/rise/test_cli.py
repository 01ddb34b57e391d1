"""The commands: chained through folders, by themselves, resumed, and refusing in words that help."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tenon.core.errors import BackendError, ConfigError, DataError, RunConflict
from tenon.methods.rise.cli import app
from tenon.methods.rise.config import ERROR_KINDS
from tenon.methods.rise.rows import read_edits, read_pairs
from tests.core.chat.conftest import NANO, real_server  # noqa: F401 - a fixture
from tests.core.chat.loopback import Loopback, Reply, question, said
from tests.methods.rise.solver import EDITING, changed, save_policy

REPOSITORY = Path(__file__).parents[3]
SHORT = ("sample.samples=3", "sample.max_tokens=80", "pairs.edited=2")
QUICK = (
    "rise.train.steps=2", "rise.train.batch_size=4", "rise.train.save_every=2", "rise.train.log_every=1",
    "rise.train.device=cpu", "rise.train.precision=fp32",
)  # fmt: skip
COMMANDS = ("sample", "edit", "pairs", "train", "run", "eval", "compare")


def call(*words: str) -> Any:
    return CliRunner().invoke(app, [*words])


def sets(*changes: str) -> list[str]:
    return [part for one in changes for part in ("--set", one)]


def answered(*words: str) -> dict[str, Any]:
    """Call with --json: standard output is one object, and nothing else."""
    told = call(*words, "--json")
    assert told.exit_code == 0, (told.output, told.exception)
    assert told.stdout.count("\n") == 1
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def refused(error: type[Exception], match: str, *words: str) -> str:
    told = call(*words)
    assert isinstance(told.exception, error), (words, told.output, told.exception)
    assert re.search(match, str(told.exception)), told.exception
    assert told.stdout == ""
    return str(told.exception)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# The stages, one after another, on nano-lm


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    folder = str(tmp_path_factory.mktemp("chain") / "sample")
    return folder, answered(
        "sample", "nano-lm", "--count", "16", *sets(*SHORT), "--seed", "3", "--device", "cpu", "--out", folder
    )


@pytest.fixture(scope="module")
def edited(sampled: Any) -> tuple[str, dict[str, Any]]:
    folder = str(Path(sampled[0]).with_name("edit"))
    return folder, answered("edit", sampled[0], "--out", folder)


@pytest.fixture(scope="module")
def paired(sampled: Any, edited: Any) -> tuple[Path, dict[str, Any]]:
    folder = Path(sampled[0]).with_name("pairs")
    return folder, answered("pairs", sampled[0], edited[0], "--out", str(folder))


@pytest.fixture(scope="module")
def trained(paired: Any) -> str:
    folder = paired[0].with_name("train")
    facts = answered("train", "nano-lm", str(paired[0] / "pairs.jsonl"), *sets(*QUICK), "--out", str(folder))
    assert facts["rows"] == paired[1]["pairs"]["full"] + paired[1]["pairs"]["edit"]
    return str(facts["model"])


def recipe(folder: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "recipe.json").read_text())
    return found


def test_settings_go_on_from_stage_to_stage(sampled: Any, edited: Any, paired: Any, trained: str) -> None:
    first = recipe(sampled[0])
    assert (first["sample"]["samples"], first["pairs"]["edited"], first["seed"]) == (3, 2, 3)
    assert first["edit"]["editor"] == "rules"  # the preset of a nano model
    assert recipe(edited[0]) == first
    assert recipe(paired[0]) == first
    last = recipe(Path(trained).parent)
    assert last["rise"]["train"]["steps"] == 2
    assert {name: last[name] for name in ("prompt", "sample", "edit", "pairs", "seed")} == {
        name: first[name] for name in ("prompt", "sample", "edit", "pairs", "seed")
    }


def test_what_a_stage_tells_is_in_its_files(sampled: Any, edited: Any, paired: Any) -> None:
    totals = sampled[1]
    assert (totals["questions"], totals["solutions"]) == (16, 48)
    assert 0 < totals["with both"] <= 16
    assert 0.2 < totals["right"] < 1  # nano-lm solves about half
    edits = read_edits(Path(edited[0]) / "edits.jsonl")
    assert edited[1] == {
        "folder": edited[0], "editor": "rules", "attempts": len(edits),
        "kept": sum(one.outcome == "kept" for one in edits),
    }  # fmt: skip
    assert {one.writer for one in edits} == {"rules"}
    assert {one.kind for one in edits} <= {*ERROR_KINDS, None}
    pairs = read_pairs(paired[0] / "pairs.jsonl")
    assert paired[1]["pairs"]["full"] == sum(one.pair_kind == "full" for one in pairs)
    assert max(sum(one.source_id == name and one.pair_kind == "edit" for one in pairs) for name in
               {one.source_id for one in pairs}) == 2  # fmt: skip
    for folder in (sampled[0], edited[0], paired[0]):
        assert (Path(folder) / "report.html").is_file()


def test_a_preset_or_a_set_is_stronger_than_the_stage_before(tmp_path: Path, sampled: Any, edited: Any) -> None:
    one = answered("pairs", sampled[0], edited[0], *sets("pairs.edited=1", "pairs.full=false"), "--out", "one")
    assert set(one["pairs"]) <= {"edit", "edits missing"}
    assert recipe("one")["sample"]["samples"] == 3
    answered("pairs", sampled[0], edited[0], "--preset", "paper", "--out", "preset")
    assert (recipe("preset")["pairs"]["edited"], recipe("preset")["sample"]["samples"]) == (1, 5)
    (tmp_path / "c.json").write_text('{"pairs": {"edited": 0}}')
    file = answered("pairs", sampled[0], edited[0], "--config", "c.json", "--out", "file")
    assert set(file["pairs"]) == {"full"}
    again = answered("edit", sampled[0], *sets("edit.editor=random", "edit.filters.verify=false"), "--out", "random")
    assert again["attempts"] > 0
    assert {one.writer for one in read_edits(Path("random/edits.jsonl"))} == {"random"}


def test_the_distance_may_be_counted_in_tokens(sampled: Any) -> None:
    tokens = sets("edit.filters.unit=token", "edit.filters.max_abs=1", "edit.filters.max_ratio=none")
    refused(ConfigError, r"unit is 'token'; name the model .* with --tokenizer", "edit", sampled[0], *tokens)
    for option in ("--tokenizer", "--model"):
        answered("edit", sampled[0], *tokens, option, "nano-lm", "--out", option[2:])
        found = {one.distance for one in read_edits(Path(option[2:]) / "edits.jsonl") if one.outcome == "kept"}
        assert found == {1}


def test_a_trained_model_is_asked_as_it_was_trained(tmp_path: Path, trained: str) -> None:
    words = ("eval", trained, "--count", "6", *sets("max_tokens=64"), "--device", "cpu", "--out", "e")
    found = answered(*words, "--results", "results.json")
    assert [row["steps"] for row in found["accuracy"]] == [1, 2, 3, 4, "all"]
    assert found["accuracy"][-1]["questions"] == 6
    results = json.loads(Path("results.json").read_text())
    assert (results["accuracy"], results["faults"]) == (found["accuracy"], found["faults"])
    settings = json.loads(Path("e/config.json").read_text())["config"]
    assert settings["prompt"] == recipe(Path(trained).parent)["prompt"]
    assert answered(*words) == found  # nothing is asked anew
    told = call(*words)
    assert "of 6 questions solved (95 % interval" in told.stdout
    conflict = refused(RunConflict, "max_tokens", *words, *sets("max_tokens=65"))
    assert "64 -> 65" in conflict


def test_the_baseline_learns_the_chosen_sides(paired: Any) -> None:
    words = ("train", "nano-lm", str(paired[0] / "pairs.jsonl"), *sets(*QUICK))
    facts = answered(*words, "--sft", "--out", "sft")
    assert (facts["edit_rows"], facts["rows"]) == (0, paired[1]["pairs"]["full"])
    refused(RunConflict, "objective", *words, "--out", "sft")
    refused(RunConflict, "beta", *words, "--sft", *sets("rise.beta=0.1"), "--out", "sft")


def test_rows_of_step_dpo_are_trained_on(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy")
    old = [
        {"dataset": "d", "prompt": "2 + 3?", "initial_reason_steps": steps, "answer": "5"}
        | {"chosen": " 5." if steps else "Step 1: 5.", "rejected": " 6." if steps else "Step 1: 6."}
        for steps in ("", "Step 1:")
    ]
    Path("old.jsonl").write_text("\n".join(map(json.dumps, old)))
    facts = answered("train", policy, "old.jsonl", *sets(*QUICK, "rise.epochs=none", "rise.pairs_per_step=none"))
    assert (facts["rows"], facts["edit_rows"], facts["steps"]) == (2, 1, 2)


def test_comparing_by_the_command(tmp_path: Path) -> None:
    quick = sets(*(f"recipe.{one}" for one in (*QUICK, "sample.samples=3", "sample.max_tokens=80")))
    words = ("compare", "nano-lm", *quick, *sets("seeds=1", "questions=12", "problems=8", "contenders=base,rise"))
    shared = ("--trainings", "shared", "--device", "cpu")
    assert answered(*words, *shared, "--only", "rise-0") == {"trained": ["rise-0"]}
    found = answered(*words, *shared, "--out", "compare", "--results", "results.json")
    assert [row["contender"] for row in found["contenders"]] == ["base", "rise"]
    assert json.loads(Path("results.json").read_text())["margins"] == found["margins"]
    assert "rise: " in call(*words, *shared, "--out", "compare").stdout
    refused(ConfigError, "'dpo-0' names no training", *words, *shared, "--only", "rise-0", "--only", "dpo-0")
    refused(ConfigError, "name it with --trainings", *words, "--only", "rise-0")
    refused(ConfigError, "epochs is 8.*Set recipe.rise.epochs=none", *words, "--preset", "paper", *shared)


def test_a_whole_run_on_nano_lm(tmp_path: Path) -> None:
    words = ("run", "nano-lm", "--count", "12", "--problems", "4", *sets(*SHORT, *QUICK), "--device", "cpu")
    facts = answered(*words, "--out", "run")
    assert facts["sampling"]["questions"] == 12
    assert set(facts["accuracy"]) == {"before", "after"}
    assert Path("run/model/model.safetensors").is_file()
    assert answered(*words, "--out", "run") == facts
    told = call(*words, "--out", "run").stdout
    assert "The model is in run/model" in told
    kinds = f"{facts['full']} full and {facts['edited']} edited by rules."
    assert re.search(rf"^Unseen questions solved: .* by training on {facts['pairs']} pairs, {kinds}$", told, re.M)
    page = Path("run/report.html").read_text()
    assert "<del>" in page
    assert page.index(told.splitlines()[0]) < page.index("accuracy</") < page.index("solutions</")
    refused(RunConflict, r"sample.samples: 3 -> 4", *words, *sets("sample.samples=4"), "--out", "run")
    refused(RunConflict, r"questions", *words, "--count", "13", "--out", "run")


# GSM8K, as far as a random model goes


def gsm8k(path: str, numbers: range) -> str:
    rows = [
        {"question": f"Tom has {n} apples and buys {n + 4}. How many?",
         "answer": f"Tom has {n}+{n + 4}=<<{n}+{n + 4}={2 * n + 4}>>{2 * n + 4} apples.\n#### {2 * n + 4}"}
        for n in numbers
    ]  # fmt: skip
    Path(path).write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def apples(path: str, body: dict[str, Any]) -> Reply:
    """An instruct model behind a server: it solves GSM8K's questions, sometimes wrongly, and edits a step if asked."""
    is_open = bool(body.get("continue_final_message"))
    asked = question(body)
    prompt = sum(len(message["content"]) for message in body["messages"]) + (0 if is_open else 5)
    if shown := EDITING.search(asked):
        return Reply(said(changed(shown[1]) + "\n", prompt=prompt))  # the fence at which it stopped is not told
    if (found := re.search(r"has (\d+) apples and buys (\d+)", asked)) is None:
        return Reply(said("Hello!", prompt=prompt))
    a, b = map(int, found.groups())
    right = a + b if body["seed"] % 2 or not is_open else a + b + 1
    text = f"Tom has {a} + {b} = {right} apples.\nStep 2: Both those that he had and those that he bought count, "
    text += f"so the final answer is $\\boxed{{{right}}}$."
    return Reply(said(text if is_open else f"Step 1: {text}", prompt=prompt))


def test_gsm8k_from_its_own_files_to_a_trained_and_measured_model(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy", "qwen2")
    train, unseen = gsm8k("train.jsonl", range(6)), gsm8k("test.jsonl", range(20, 23))
    quick = sets("rise.train.device=cpu", "rise.epochs=1", "rise.pairs_per_step=none", "sample.max_tokens=60")
    with Loopback(apples) as server:
        words = ("run", policy, "--questions", train, "--unseen", unseen, "--base-url", server.url, "--served", "tom")
        facts = answered(*words, *quick, "--device", "cpu", "--out", "run")
        asked = len(server.seen)
        assert answered(*words, *quick, "--device", "cpu", "--out", "run") == facts
        assert len(server.seen) == asked  # nothing is paid for twice
    assert recipe("run")["edit"]["editor"] == "llm"
    assert (facts["sampling"]["questions"], facts["sampling"]["solutions"]) == (6, 30)
    first = next(body for body in server.seen if "apples" in question(body))
    assert [message["role"] for message in first["messages"]] == ["system", "user", "assistant"]
    assert first["messages"][1]["content"].endswith("put your final answer within \\boxed{}.")
    edits = read_edits(Path("run/edits.jsonl"))
    assert {one.writer for one in edits} == {"tom (server)"}
    assert {one.outcome for one in edits} <= {"kept", "edit distance", "no change"}
    pairs = read_pairs(Path("run/pairs.jsonl"))
    edit = next(one for one in pairs if one.pair_kind == "edit" and one.last_step)
    assert ("\\boxed" in edit.chosen, "\\boxed" in edit.rejected) == (True, False)  # section 2.6.4
    assert all(
        one.chosen.startswith("Let's think step by step.\nStep 1: Tom") for one in pairs if one.pair_kind == "full"
    )
    assert facts["training"]["rows"] == len(pairs)
    assert facts["training"]["dropped"] == {}
    assert facts["accuracy"] == {"before": 1.0, "after": 0.0}  # tom, and a random model
    faults = {row["fault"] for row in map(json.loads, Path("run/after-graded.jsonl").read_text().splitlines())}
    assert faults <= {"other", "arithmetic", "cut"}  # without true solutions no more can be told
    # measured alone, on its own files
    found = answered("eval", "run/model", "--questions", unseen, "--device", "cpu", *sets("max_tokens=20"))
    assert found["accuracy"][-1]["questions"] == 3
    # nobody else than the one named edits
    with Loopback(apples) as server:
        sample = ("sample", "tom", "--questions", train, "--base-url", server.url, "--out", "sampled")
        answered(*sample)
        refused(ConfigError, r"editor is 'llm' and no --model", "edit", "sampled", "--out", "none")
        answered("edit", "sampled", "--model", "tom", "--base-url", server.url, "--out", "edited")
    assert not Path("none").exists()
    assert {one.writer for one in read_edits(Path("edited/edits.jsonl"))} == {"tom (server)"}


def test_what_is_trained_on_is_not_measured_on(tmp_path: Path) -> None:
    policy, file = save_policy(tmp_path / "policy"), gsm8k("q.jsonl", range(4))
    message = "4 of 4 unseen questions are also trained on"
    with Loopback(apples) as server:
        address = ("--base-url", server.url, "--served", "tom")
        refused(DataError, message, "run", policy, "--questions", file, "--unseen", file, *address)
        assert server.seen == []


@pytest.mark.slow
def test_sampling_by_a_real_server(real_server: str) -> None:  # noqa: F811 - the fixture
    server = ("--server", "prefill=text", "--server", "tokenizer=nano-lm")
    words = (
        "sample",
        NANO,  # what the server calls it
        "--count",
        "4",
        *sets("sample.samples=1", "sample.temperature=0", "sample.max_tokens=60"),
    )
    there = answered(*words, "--base-url", real_server, *server, "--out", "there")
    here = answered(*words, "--device", "cpu", "--out", "here")
    texts = [
        [json.loads(line)["text"] for line in Path(name, "samples.jsonl").read_text().splitlines()]
        for name in ("there", "here")
    ]
    assert texts[0] == texts[1]
    assert (there["right"], there["cut"]) == (here["right"], here["cut"])


# Errors


def test_paths_and_files_that_are_not_what_they_must_be(tmp_path: Path, sampled: Any, edited: Any) -> None:
    Path("empty.jsonl").write_text("")
    Path("no-answer.jsonl").write_text('{"prompt": "1 + 1?", "answer": "2"}\n\n{"prompt": "2 + 2?"}\n')
    Path("blank.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n{"question": "2 + 2?", "answer": " "}\n')
    Path("words.txt").write_text("How many?\n")
    for file, error in (
        ("none.jsonl", "none.jsonl is no file"),
        ("empty.jsonl", "empty.jsonl has no questions"),
        ("no-answer.jsonl", "no-answer.jsonl line 3 has the answer None"),
        ("blank.jsonl", "blank.jsonl line 2 has the answer ' '"),
        ("words.txt", "words.txt"),
    ):
        for command in ("sample", "run", "eval"):
            refused(DataError, error, command, "nano-lm", "--questions", file, "--out", "new")
    for stage, words in (
        ("sample", ("edit", "nowhere")),
        ("sample", ("pairs", "nowhere", edited[0])),
        ("edit", ("pairs", sampled[0], "nowhere")),
    ):
        refused(DataError, f"nowhere is no folder of `tenon rise {stage}`", *words, "--out", "new")
    refused(DataError, "nowhere/pairs.jsonl is no file", "train", "nano-lm", "nowhere/pairs.jsonl", "--out", "new")
    no_pairs = refused(DataError, "samples.jsonl line 1 has 'prompt' of type NoneType", "train", "nano-lm",
                       f"{sampled[0]}/samples.jsonl", "--out", "new")  # fmt: skip
    assert "a pair needs the texts prompt, chosen and rejected" in no_pairs
    other = ("pairs", sampled[0], swapped(sampled[0]), "--out", "new")
    refused(DataError, "line 1 has no .*was it made by another stage", *other)
    for command in ("sample", "run", "eval", "compare"):
        refused(DataError, "'nano-ml' cannot be loaded", command, "nano-ml", "--out", "new")
    assert not Path("new").exists()  # what was mended is not refused as another run


def swapped(folder: str) -> str:
    """A folder whose edits are solutions."""
    Path("swapped").mkdir()
    Path("swapped/edits.jsonl").write_bytes(Path(folder, "samples.jsonl").read_bytes())
    return "swapped"


def test_settings_that_do_not_exist_or_do_not_fit(sampled: Any) -> None:
    refused(ConfigError, "no field 'sampels'.*sample", "sample", "nano-lm", *sets("sampels=3"), "--out", "new")
    refused(ConfigError, "no preset 'nona'.*nano", "sample", "nano-lm", "--preset", "nona", "--out", "new")
    refused(ConfigError, "samples is 0; it must be 1", "sample", "nano-lm", *sets("sample.samples=0"), "--out", "new")
    refused(ConfigError, "--server says how", "sample", "nano-lm", "--server", "retries=1", "--out", "new")
    refused(ConfigError, "--served is a server's name", "run", "nano-lm", "--served", "other", "--out", "new")
    refused(ConfigError, "there are no pairs", "edit", sampled[0], *sets("pairs.full=false", "pairs.edited=0"))
    assert not Path("new").exists()


def test_a_model_that_takes_no_system_message_is_told_so_before_anything_is_done() -> None:
    steps = {"compare": sets("recipe.rise.epochs=none")}
    for command in ("sample", "run", "eval", "compare"):
        words = (command, "nano-lm", "--preset", "paper", *steps.get(command, []), "--out", "new")
        told = refused(DataError, "nano-lm knows the roles", *words)
        assert "got system" in told
        assert "--set prompt.system= leaves that out" in told
        assert not Path("new").exists()


def test_a_sampled_run_with_other_settings_is_refused_by_name(sampled: Any) -> None:
    words = ("sample", "nano-lm", "--count", "16", *sets(*SHORT), "--device", "cpu", "--out", sampled[0])
    assert answered(*words, "--seed", "3") == sampled[1]
    refused(RunConflict, "seed: 3 -> 4", *words, "--seed", "4")
    refused(RunConflict, "sample.temperature: 0.7 -> 0.9", *words, "--seed", "3", *sets("sample.temperature=0.9"))
    refused(RunConflict, "questions", *words, "--seed", "3", "--count", "17")


def test_no_pair_is_an_error_with_advice(tmp_path: Path) -> None:
    with Loopback(lambda path, body: Reply(said("1 + 1 = 2.\nStep 2: So it is.\nAnswer: 2"))) as server:
        Path("q.jsonl").write_text('{"prompt": "1 + 1?", "answer": "2"}\n{"prompt": "1 + 1 =?", "answer": "2"}\n')
        words = ("--base-url", server.url, "--questions", "q.jsonl", "--preset", "nano", *sets("prompt.prefill="))
        plain = ("prompt.splitter=line", "sample.samples=2")
        told = call("sample", "stub", *words, *sets(*plain), "--out", "s")
        assert told.exit_code == 0, told.exception
        assert "No question can be used: 2 all right (raise sample.temperature" in told.stdout
        assert "Next" not in told.stdout
        assert answered("edit", "s", "--out", "e") == {"folder": "e", "editor": "rules", "attempts": 0, "kept": 0}
        message = refused(DataError, "There is no pair. Questions: 2 all right", "pairs", "s", "e", "--out", "p")
        assert "raise sample.temperature" in message
        assert not Path("p").exists()


def test_a_server_that_is_gone_is_told(tmp_path: Path) -> None:
    Path("q.jsonl").write_text('{"prompt": "1 + 1?", "answer": "2"}\n')
    words = ("sample", "m", "--base-url", "http://127.0.0.1:9/v1", "--server", "retries=0", "--questions", "q.jsonl")
    refused(BackendError, r"does not answer: .*ConnectError.*[Ll]ook at its address", *words)


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_settings_has_an_example_and_needs_no_torch(command: str) -> None:
    program = f"""
import sys
from tenon.cli.app import main
try:
    main(["rise", {command!r}, "--help"])
except SystemExit as stop:
    assert not stop.code, stop.code
print("LOADED", sorted({{"torch", "transformers", "datasets", "trl", "matplotlib"}} & set(sys.modules)))
"""
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", "NO_COLOR": "1"}
    shown = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120)
    assert shown.stdout.endswith("LOADED []\n"), shown.stdout[-300:] + shown.stderr[-2000:]
    assert f"Example: tenon rise {command} " in shown.stdout
    wanted = {
        "sample": "sample.samples=5", "edit": "edit.filters.max_ratio=0.3", "pairs": "pairs.edited=1",
        "train": "rise.beta=0.4", "run": "rise.nll_weight=1.0", "eval": "max_tokens=2048", "compare": "seeds=5",
    }  # fmt: skip
    assert wanted[command] in shown.stdout
    assert "paper" in shown.stdout
    assert ("rise.beta" in shown.stdout) == (command in ("train", "run", "compare"))  # what a command does not use
