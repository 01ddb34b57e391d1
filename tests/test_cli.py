"""The command line as its users meet it: a process with arguments, two streams and an exit code."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from safetensors import SafetensorError

import tenon
from tenon.cli.app import COMMANDS, explain, main, root
from tenon.cli.runs import examine, remove
from tenon.cli.tour import choose
from tenon.core.commandline import emit, given, settings_help
from tenon.core.errors import ConfigError, DataError
from tenon.core.run import Run
from tenon.methods import METHODS

REPOSITORY = Path(__file__).parents[1]


def run_tenon(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "120", "NO_COLOR": "1"} | environment
    command = [sys.executable, "-m", "tenon", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def test_help_lists_every_command_in_half_a_second() -> None:
    def cpu_seconds() -> float:  # not the clock: other work on the machine is not what is measured
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    seconds = []
    for _ in range(3):
        began = cpu_seconds()
        shown = run_tenon("--help")
        seconds.append(cpu_seconds() - began)
    assert shown.returncode == 0
    assert min(seconds) < 0.5
    for name in [*COMMANDS, *(name.replace("_", "-") for name in METHODS)]:
        assert f" {name} " in shown.stdout


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in [*COMMANDS, *METHODS])])
def test_help_imports_no_torch(arguments: list[str]) -> None:
    program = f"""
import sys
from tenon.cli.app import main
try:
    main({[word.replace("_", "-") for word in arguments]!r})
except SystemExit as stop:
    assert not stop.code, stop.code
print("LOADED", sorted({{"torch", "transformers", "datasets", "matplotlib", "numpy"}} & set(sys.modules)))
"""
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    shown = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert shown.stdout.endswith("LOADED []\n"), shown.stdout[-300:] + shown.stderr[-2000:]


def commands(group: object, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], object]]:
    """Every command below a group, with the words that call it."""
    found = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "source"):
            command = command.make_context(name, ["--help"], resilient_parsing=True).command
        found += commands(command, (*path, name)) if hasattr(command, "commands") else [((*path, name), command)]
    return found


def test_every_command_has_help_with_an_example() -> None:
    for path, command in commands(root(), ("tenon",)):
        text = command.help or ""  # type: ignore[attr-defined]
        assert f"Example: {' '.join(path)}" in text, f"{' '.join(path)} --help shows no example"


def test_version() -> None:
    assert run_tenon("--version").stdout == f"tenon {tenon.__version__}\n"


def test_an_unknown_command_is_told_the_nearest() -> None:
    shown = run_tenon("tuor")
    assert shown.returncode == 2
    assert "Did you mean 'tour'" in shown.stderr
    assert shown.stdout == ""


def test_an_error_is_one_message_and_a_traceback_only_with_debug() -> None:
    shown = run_tenon("tour", "--only", "seplm")
    assert shown.returncode == 2
    assert "did you mean 'sepllm'" in shown.stderr
    assert "Traceback" not in shown.stderr
    assert "Traceback" in run_tenon("tour", "--only", "seplm", "--debug").stderr
    assert "Traceback" in run_tenon("--debug", "tour", "--only", "seplm").stderr


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DataError("no such file"), "no such file"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), "No space left on device at runs/a"),
        (OSError(errno.EROFS, "Read-only file system"), "--out"),
        (OSError(errno.EISDIR, "Is a directory", "figures"), "Is a directory at figures. Give another path"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "choose another folder"),
        (RuntimeError("PytorchStreamWriter failed writing file data/1: file write failed"), "The disk is full"),
        (MemoryError(), "smaller batch"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), "Tried to allocate 20 GiB"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "smaller batch"),
    ],
)
def test_what_the_user_can_put_right_is_explained(error: Exception, told: str) -> None:
    assert told in (explain(error) or "")


def test_our_own_mistakes_keep_their_traceback() -> None:
    assert explain(KeyError("loss")) is None


def test_ctrl_c_ends_with_130_and_says_that_the_work_continues() -> None:
    program = (
        # A job that a shell started in the background inherits an ignored SIGINT; the test must hold there, too.
        "import signal, tenon.cli.doctor, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def wait(as_json: bool = False):\n    print('waiting', flush=True); time.sleep(60)\n"
        "tenon.cli.doctor.doctor = wait\n"
        "from tenon.cli.app import main\nmain(['doctor'])"
    )
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on" in told
    assert "Traceback" not in told


def test_doctor_as_json_is_all_there_is_on_standard_output(tmp_path: Path) -> None:
    found = json.loads(run_tenon("doctor", "--json", cwd=tmp_path).stdout)
    assert set(found) == {"versions", "machine", "extras", "nano", "here"}
    assert found["here"] == {"folder": str(tmp_path), "writable": "yes"}


def test_runs_are_listed_shown_and_removed(tmp_path: Path) -> None:
    with Run.open(tmp_path / "runs" / "a", config={"window": 4}, command="work") as run:
        run.append("pairs", {"key": "x"})
        run.finish_stage("one")
        shown = json.loads(run_tenon("runs", "show", "runs/a", "--json", cwd=tmp_path).stdout)
        assert shown["state"] == "running"
        assert shown["config"] == {"window": 4}
        assert (shown["rows"], shown["stages"]) == ({"pairs": 1}, {"one": {}})
        refused = run_tenon("runs", "rm", "runs/a", "--yes", cwd=tmp_path)
        assert refused.returncode == 2
        assert "being written by process" in refused.stderr
    (tmp_path / "runs" / "elsewhere").mkdir()
    (tmp_path / "runs" / "elsewhere" / "config.json").write_text("{}")
    listed = json.loads(run_tenon("runs", "list", "--json", cwd=tmp_path).stdout)["runs"]
    assert [(one["path"], one["state"], one["command"]) for one in listed] == [("runs/a", "finished", "work")]
    assert run_tenon("runs", "rm", "runs/a", cwd=tmp_path).returncode != 0  # nobody there to say yes
    assert run_tenon("runs", "rm", "runs/a", "--yes", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "runs" / "a").exists()
    assert run_tenon("runs", "rm", "runs/elsewhere", "--yes", cwd=tmp_path).returncode == 2
    assert (tmp_path / "runs" / "elsewhere").exists()


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Run.open(tmp_path / "a", config={}, command="work"):
        raise KeyError("loss")
    assert examine(tmp_path / "a")["state"] == "interrupted"
    assert "KeyError" in examine(tmp_path / "a")["outcome"]


def test_a_damaged_record_of_sessions_hides_no_run(tmp_path: Path) -> None:
    with Run.open(tmp_path / "a", config={}, command="work"):
        pass
    (tmp_path / "a" / "volatile.json").unlink()
    assert examine(tmp_path / "a")["command"] == "unknown"
    for damage in ("{}", "[1]", '{"sessions": []}', "{"):
        (tmp_path / "a" / "volatile.json").write_text(damage)
        found = examine(tmp_path / "a")
        assert (found["state"], found["command"]) == ("interrupted", "unknown")


def test_a_removal_that_is_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run.open(tmp_path / "a", config={"window": 4}) as run:
        run.append("pairs", {"key": "x"})
        run.table("one", [{"x": 1}])

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tenon.core.folder.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(tmp_path / "a")
    monkeypatch.undo()
    assert examine(tmp_path / "a")["state"] == "half deleted"
    with Run.open(tmp_path / "a", config={"window": 5}) as run:  # no longer a run of its own: other work may begin
        assert run.rows("pairs") == []


@pytest.mark.parametrize("shortened", [False, True])
def test_no_password_of_an_address_is_kept_with_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shortened: bool
) -> None:
    words = ["rise", "sample", "m", "--base-url", "http://me:p@ss-1@host:80/v1", "--base-url=https://tok-2@host/a@b"]
    monkeypatch.setattr(sys, "argv", ["tenon", *words, "--set", "name=a@b", "--questions", "http://host/a@b"])
    with Run.open(tmp_path / "run", config={}, command=given(shortened=shortened)):
        pass
    kept = examine(tmp_path / "run")["command"]
    everything = "".join(path.read_text() for path in (tmp_path / "run").rglob("*") if path.is_file())
    for secret in ("me:", "p@ss", "ss-1", "tok-2"):
        assert secret not in kept + everything
    assert "'http://***@host:80/v1'" in kept
    assert "'--base-url=https://***@host/a@b'" in kept
    assert "name=a@b --questions http://host/a@b" in kept  # no name and password


@dataclass(frozen=True, kw_only=True)
class _Inner:
    text: str = "Step 1: "
    """Begins [here]."""
    most: int | None = None
    """Bound."""


@dataclass(frozen=True, kw_only=True)
class _Options:
    inner: _Inner = field(default_factory=_Inner)
    kind: Literal["LLM", "rules"] = "LLM"
    """Who."""
    fast: bool = True
    """How."""
    some: tuple[str, ...] = ("A", "b")
    """What."""


def test_help_shows_options_as_they_are_set_and_what_a_preset_changes() -> None:
    nano = _Options(inner=_Inner(text="", most=3), kind="rules", fast=False)
    lines = settings_help(_Options(), {"paper": _Options(), "nano": nano, "tiny": replace(nano, kind="LLM")}).split(
        "\n\n"
    )
    assert lines[0] == "Presets: paper, nano, tiny."
    assert lines[2:] == [
        '  inner.text="Step 1: " (nano: ""; tiny: "")  Begins \\[here].',
        "  inner.most=none (nano: 3; tiny: 3)  Bound.",
        "  kind=LLM (nano: rules)  Who.",
        "  fast=true (nano: false; tiny: false)  How.",
        "  some=A,b  What.",
    ]
    assert settings_help(_Options(), {"nano": _Inner()}).split("\n\n")[3] == "  inner.most=none  Bound."
    assert settings_help(_Options(), ["nano"], "kind").split("\n\n")[2:] == ["  kind=LLM  Who."]


def test_help_of_rise_tells_what_a_command_begins_with() -> None:
    shown = " ".join(run_tenon("rise", "sample", "--help").stdout.split())
    assert "sample.temperature=0.2 (nano: 0.7) Divides" in shown
    assert "prompt.system=You are a helpful assistant." in shown


def test_json_results_hold_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        emit({"loss": float("nan")}, as_json=True)
    assert capsys.readouterr().out == ""


def test_the_tour_keeps_the_order_of_the_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenon.cli.tour.METHODS", {"rise": None, "batch_scaling": None, "mdm": None})
    assert choose([]) == ["rise", "batch_scaling", "mdm"]
    assert choose(["mdm", "batch-scaling"]) == ["batch_scaling", "mdm"]
    with pytest.raises(ConfigError, match="did you mean 'rise'"):
        choose(["rice"])


def test_main_reads_the_arguments_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tenon", "--version"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("tenon ")
