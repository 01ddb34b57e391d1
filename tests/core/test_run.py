"""Run: what is done stays done, what is torn is cut and told, and nobody else's folder is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenon.core.errors import DataError, RunConflict
from tenon.core.files import fingerprints
from tenon.core.report import Card, Figure
from tenon.core.run import VOLATILE, Run


@dataclass(frozen=True, kw_only=True)
class Config:
    window: int = 256
    device: str = "cpu"
    batch_files: int = field(default=1, metadata={"identity": False})


def opened(path: Path, config: Any = Config(), **options: Any) -> Run:
    return Run.open(path, config=config, **options)


def volatile(path: Path) -> dict[str, Any]:
    return json.loads((path / "volatile.json").read_text())


# Rows.


def test_rows_come_back_in_order_and_in_the_next_session(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        assert run.append("pairs", {"key": "b", "score": np.float32(0.5), "ids": (1, 2)})
        assert run.append("pairs", {"key": "a", "text": 'line\nbreak "ü" \ud800'})
    with opened(tmp_path) as run:
        assert run.rows("pairs") == [
            {"key": "b", "score": 0.5, "ids": [1, 2]},
            {"key": "a", "text": 'line\nbreak "ü" \ud800'},
        ]
        assert run.keys("pairs") == {"a", "b"}
        assert run.done("pairs", "a")
        assert not run.done("pairs", "c")
        assert run.rows("none") == []
        assert run.keys("none") == set()
    assert not (tmp_path / "none.jsonl").exists()


def test_a_key_stands_once(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        assert run.append("r", {"key": "a", "x": 1, "y": 2}) is True
        assert run.append("r", {"key": "a", "y": 2, "x": 1}) is False  # the same row, though in another order
        with pytest.raises(DataError, match=r"r already has a row 'a' with other content"):
            run.append("r", {"key": "a", "x": 2, "y": 2})
    with opened(tmp_path) as run:
        assert run.append("r", {"key": "a", "x": 1, "y": 2}) is False
        with pytest.raises(DataError, match="other content"):
            run.append("r", {"key": "a", "x": 1})
        assert len(run.rows("r")) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"x": 1}, r"A row for 'r' has the key None \(fields: x\); every row needs a text 'key'"),
        ({"key": 1}, "has the key 1"),
        ({"key": ""}, "has the key ''"),
        ({"key": "a", "x": [0.0, float("nan")]}, r"r row 'a'\['x'\]\[1\] is nan; JSON has no such number"),
        ({"key": "a", "x": np.array([np.inf])}, "is inf; JSON has no such number"),
        ({"key": "a", "x": {1, 2}}, "is a set, which has no JSON form"),
        ({"key": "a", "x": {(1, 2): 3}}, r"has the key \(1, 2\); keys are text or integers"),
    ],
)
def test_rows_that_json_cannot_hold_are_refused(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with opened(tmp_path) as run:
        with pytest.raises(DataError, match=message):
            run.append("r", row)
        assert run.rows("r") == []
        assert not run.done("r", "a")


@pytest.mark.parametrize("torn", ['{"key": "c", "x', '{"key": "c"}', "{", "x" * 200_000])
def test_a_torn_last_line_is_cut_counted_and_told(
    tmp_path: Path, torn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path) as run:
        run.append("r", {"key": "a"})
        run.append("r", {"key": "b"})
    before = (tmp_path / "r.jsonl").read_bytes()
    with open(tmp_path / "r.jsonl", "a") as file:
        file.write(torn)
    with opened(tmp_path) as run:
        assert run.keys("r") == {"a", "b"}
        assert run.notices == [f"r.jsonl: cut 1 line that a kill had torn ({len(torn)} bytes); its work is done again."]
        assert (tmp_path / "r.jsonl").read_bytes() == before
        run.append("r", {"key": "c"})
    assert "tenon: r.jsonl: cut 1 line" in capsys.readouterr().err
    assert volatile(tmp_path)["sessions"][-1]["notices"] == run.notices
    with opened(tmp_path) as run:
        assert run.notices == []
        assert run.keys("r") == {"a", "b", "c"}


def test_a_file_that_is_only_a_torn_line_becomes_empty(tmp_path: Path) -> None:
    with opened(tmp_path):
        (tmp_path / "r.jsonl").write_text('{"key"')
    with opened(tmp_path) as run:
        assert run.rows("r") == []
        assert len(run.notices) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "line 2 is not valid JSON"),
        ("[1]", "line 2 is not an object"),
        ('{"x": 1}', "line 2 has the key None"),
        ('{"key": "a", "x": 1}', "line 2 repeats the key 'a'"),
    ],
)
def test_damage_that_no_kill_makes_is_refused(tmp_path: Path, line: str, message: str) -> None:
    with opened(tmp_path) as run:
        run.append("r", {"key": "a"})
        with open(tmp_path / "r.jsonl", "a") as file:
            file.write(line + "\n")
    with opened(tmp_path) as run, pytest.raises(DataError, match=message):
        run.rows("r")


def test_a_failed_write_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(file: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        return write(file, data[:5])

    write = os.write
    with opened(tmp_path) as run:
        run.append("r", {"key": "a"})
        monkeypatch.setattr(os, "write", full_disk)
        with pytest.raises(OSError, match="No space left"):
            run.append("r", {"key": "b"})
        monkeypatch.setattr(os, "write", write)
        assert not run.done("r", "b")
        assert run.append("r", {"key": "b"})
        assert [row["key"] for row in run.rows("r")] == ["a", "b"]


def test_track_leaves_out_what_is_done(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.append("r", {"key": "b"})
        assert list(run.track(["a", "b", "c"], "x", name="r")) == ["a", "c"]
        assert list(run.track(["a", "b"], "x")) == ["a", "b"]
        assert list(run.track(({"key": k} for k in "ab"), "x", name="r")) == [{"key": "a"}]
        assert list(run.track([1, 2], "x", name="r", key=lambda n: "ab"[n - 1], total=2)) == [1]
        with pytest.raises(DataError, match="pass key="):
            list(run.track([1], "x", name="r"))


def test_track_speaks_now_and_then_where_nobody_watches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenon.core.progress.SECONDS_BETWEEN_LINES", 0.0)
    with opened(tmp_path) as run:
        list(run.track([1, 2], "calibrating"))
    assert capsys.readouterr().err == "calibrating: 1 of 2 (50%)\ncalibrating: 2 of 2 (100%)\n"


# Identity.


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    with opened(tmp_path, seed=1, identity={"model": "aa"}) as run:
        run.append("r", {"key": "a"})
    before = fingerprints(tmp_path)
    with pytest.raises(RunConflict) as caught:
        opened(tmp_path, Config(window=128), seed=2, identity={"model": "bb", "data": "cc"})
    assert str(caught.value).splitlines()[1:] == [
        "  window: 256 -> 128",
        "  seed: 1 -> 2",
        '  identity.model: "aa" -> "bb"',
        '  identity.data: (absent) -> "cc"',
        f"Give the old settings to continue it, use another folder, or delete it: tenon runs rm {tmp_path}",
    ]
    assert fingerprints(tmp_path) == before


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5
    steps: int = 10


@dataclass(frozen=True, kw_only=True)
class Later(Config):
    """As `Config`, with settings that were added since."""

    noise: bool = False
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None


def test_a_run_from_before_a_setting_goes_on_where_it_has_its_default(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.append("r", {"key": "a"})
    for config, changes in (
        (Later(noise=True), ["  noise: (absent) -> true"]),
        (Later(inner=Inner(rate=0.25)), ['  inner: (absent) -> {"rate": 0.25, "steps": 10}']),
        (Later(other=Inner()), ['  other: (absent) -> {"rate": 0.5, "steps": 10}']),  # defaults, but not its own
        ({"window": 256, "noise": False}, ["  noise: (absent) -> false"]),  # no class, and so no defaults
    ):
        with pytest.raises(RunConflict) as caught:
            opened(tmp_path, config)
        assert str(caught.value).splitlines()[1:-1] == changes
    with opened(tmp_path, Later()) as run:
        assert run.done("r", "a")
    # From here on it is a run with these settings, as an uninterrupted one is; whoever lacks them is refused.
    stored = json.loads((tmp_path / "config.json").read_text())["config"]
    assert stored == {"window": 256, "noise": False, "inner": {"rate": 0.5, "steps": 10}, "other": None}
    with pytest.raises(RunConflict, match=r"noise: false -> \(absent\)"):
        opened(tmp_path)


def test_a_setting_added_to_a_config_inside_another_has_its_default_too(tmp_path: Path) -> None:
    with opened(tmp_path, {"window": 256, "noise": False, "inner": {"rate": 0.25}, "other": None}):
        pass
    with pytest.raises(RunConflict, match=r"inner.steps: \(absent\) -> 20"):
        opened(tmp_path, Later(inner=Inner(rate=0.25, steps=20)))
    with opened(tmp_path, Later(inner=Inner(rate=0.25))) as run:
        assert run.config["inner"] == {"rate": 0.25, "steps": 10}


def test_device_workers_and_declared_fields_are_no_settings(tmp_path: Path) -> None:
    with opened(tmp_path, Config(device="cuda", batch_files=4)):
        config = (tmp_path / "config.json").read_bytes()
    with opened(tmp_path, Config()) as run:
        assert run.config == {"window": 256}
    assert (tmp_path / "config.json").read_bytes() == config
    options = [session["options"] for session in volatile(tmp_path)["sessions"]]
    assert [one["device"] for one in options] == ["cuda", "cpu"]  # still on record


@pytest.mark.parametrize("content", ['{"model_type": "llama"}', "[1]", "{"])
def test_a_folder_of_another_program_is_never_deleted(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    (tmp_path / "model.safetensors").write_text("weights")
    for fresh in (False, True):
        with pytest.raises(RunConflict, match="is no run"), opened(tmp_path, fresh=fresh):
            pass
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]


def test_what_the_disk_refused_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as run:
        for write in (lambda: run.note("so"), lambda: run.finish_stage("one", rows=1)):
            monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
            with pytest.raises(OSError, match="full"):
                write()
            monkeypatch.undo()
            write()
        assert run.collect("t").notes == ("so",)
    with opened(tmp_path) as run:
        assert run.collect("t").notes == ("so",)
        assert run.stages() == {"one": {"rows": 1}}


def test_fresh_deletes_the_run_and_only_a_run(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        run.append("r", {"key": "a"})
        run.table("t", [{"x": 1}])
    with opened(tmp_path / "run", Config(window=1), fresh=True) as run:
        assert run.rows("r") == []
        assert run.config == {"window": 1}
    assert sorted(os.listdir(tmp_path / "run")) == ["config.json", "lock", "volatile.json"]
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("...")
    for fresh in (False, True):
        with pytest.raises(RunConflict, match=r"holds files and is no run \(love.txt\)"):
            opened(tmp_path / "letters", fresh=fresh)
    assert os.listdir(tmp_path / "letters") == ["love.txt"]
    with pytest.raises(RunConflict, match="is a file"):
        opened(tmp_path / "letters" / "love.txt")


def test_a_deletion_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as run:
        run.append("r", {"key": "a"})
        run.finish_stage("one")

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path, fresh=True)
    with opened(tmp_path) as run:  # without fresh
        assert run.rows("r") == []
        assert not run.stage_done("one")


# One writer.


def test_a_second_live_writer_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(RunConflict, match=f"is being written by process {os.getpid()}; wait until"):
        opened(tmp_path)
    with opened(tmp_path):
        pass


def test_another_process_is_refused_until_this_one_ends(tmp_path: Path) -> None:
    code = "import sys; from tenon.core.run import Run; Run.open(sys.argv[1], config={})"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with Run.open(tmp_path, config={}):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert f"RunConflict: {tmp_path} is being written by process {os.getpid()}" in done.stderr
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0


def test_a_failed_opening_gives_the_lock_back(tmp_path: Path) -> None:
    with opened(tmp_path):
        (tmp_path / "stages.json").write_text("{")
    with pytest.raises(DataError, match=r"stages.json is not valid JSON"):
        opened(tmp_path)
    (tmp_path / "stages.json").unlink()
    with opened(tmp_path):
        pass


def test_a_closed_run_writes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.append("r", {"key": "a"})
    with pytest.raises(RunConflict, match="is closed"):
        run.append("r", {"key": "b"})
    assert run.keys("r") == {"a"}  # reading is harmless
    run.close()


# Metrics.


def test_metrics_neither_repeat_nor_contradict(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.log(step=1, loss=2.0)
        run.log(step=1, loss=2.0, accuracy=0.5)  # only what is new
        run.log(step=2, loss=1.0)
        with pytest.raises(DataError, match=r"Step 2 already has loss = 1.0, and now comes 0.9.*run.rewind"):
            run.log(step=2, loss=0.9)
    lines = [{"step": 1, "loss": 2.0}, {"step": 1, "accuracy": 0.5}, {"step": 2, "loss": 1.0}]
    with opened(tmp_path) as run:
        assert run.metrics() == lines
        run.log(step=2, loss=1.0)
        with pytest.raises(DataError, match="Step 2 already has loss"):
            run.log(step=2, loss=0.9)
        assert run.metrics() == lines


def test_rewind_drops_the_steps_that_are_repeated(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        for step in range(1, 6):
            run.log(step=step, loss=float(step))
    with opened(tmp_path) as run:  # the checkpoint is of step 3
        assert run.rewind(4) == 2
        assert run.rewind(4) == 0
        run.log(step=4, loss=40.0)
        assert [line["loss"] for line in run.metrics()] == [1, 2, 3, 40]
    with opened(tmp_path) as run:
        assert [line["loss"] for line in run.metrics()] == [1, 2, 3, 40]


def test_metrics_without_a_number_are_null_and_told(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        run.log(step=3, loss=float("nan"), norm=float("inf"))
        assert run.metrics() == [{"step": 3, "loss": None, "norm": None}]
        assert run.notices[0] == "metrics.jsonl: step 3['loss'] is nan, written as null."


# Stages and objects.


def test_stages_and_objects_last(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        assert not run.stage_done("fit")
        assert run.load_json("law") is None
        run.save_json("law", {"alpha": np.float64(0.3)})
        run.finish_stage("fit", rows=3)
        run.finish_stage("fit", rows=3)
        with pytest.raises(DataError, match="finished before with other facts \\(rows: 3 -> 4\\)"):
            run.finish_stage("fit", rows=4)
        with pytest.raises(DataError, match="JSON has no such number"):
            run.save_json("law", float("nan"))
    with opened(tmp_path) as run:
        assert run.stage_done("fit")
        assert run.stages() == {"fit": {"rows": 3}}
        assert run.load_json("law") == {"alpha": 0.3}


@pytest.mark.parametrize("name", ["config", "stages", "metrics", "../x", "a/b", "", ".hidden", "a b"])
def test_names_that_would_hurt_are_refused(tmp_path: Path, name: str) -> None:
    with opened(tmp_path / "run") as run:
        for act in (
            lambda: run.append(name, {"key": "a"}),
            lambda: run.save_json(name, 1),
            lambda: run.load_json(name),
            lambda: run.table(name, []),
            lambda: run.figure(name, Figure("f", "<svg/>", None)),
        ):
            with pytest.raises(DataError, match="cannot name a file of a run"):
                act()
    assert os.listdir(tmp_path) == ["run"]


# Report.


def work(run: Run) -> None:
    run.table("first", [{"x": 1.5, "y": float("inf")}], "A caption.")
    run.figure("curve", Figure("curve", "<svg xmlns='http://www.w3.org/2000/svg'/>", None), "A curve.", "It falls.")
    run.note("Three rows were left out.")
    run.note("Three rows were left out.")
    run.table("second", [{"x": 2}])
    run.report("Title", "Summary", CARD)


CARD = Card(name="m", title="M", paper="P", arxiv="1", summary="s", shape="apply", when_to_use="w")


def test_the_report_holds_what_was_shown_in_order(tmp_path: Path) -> None:
    with opened(tmp_path, seed=7) as run:
        work(run)
        report = run.collect("Title", "Summary", CARD)
    assert [table.name for table in report.tables] == ["first", "second"]
    assert report.tables[0].rows == ({"x": 1.5, "y": "inf"},)
    assert [(fig.name, fig.caption, fig.alt) for fig in report.figures] == [("curve", "A curve.", "It falls.")]
    assert report.notes == ("Three rows were left out.",)
    assert report.facts == {"config": {"window": 256}, "seed": 7, "identity": {}}
    page = (tmp_path / "report.html").read_text()
    assert "Title" in page
    assert "Three rows were left out." in page
    assert "window" in page
    assert "torch" in page
    assert json.loads((tmp_path / "report.json").read_text())["reports"][0]["title"] == "Title"
    assert (tmp_path / "report.md").read_text().startswith("# Title")


def test_the_same_work_gives_the_same_bytes_anywhere_and_again(tmp_path: Path) -> None:
    for name in ("one", "two", "one"):
        with opened(tmp_path / name, command=f"tenon {name}") as run:
            work(run)
            run.measured("stage", seconds=np.random.default_rng().random())
    one, two = (fingerprints(tmp_path / name, skip=VOLATILE) for name in ("one", "two"))
    assert one == two
    assert not set(VOLATILE) & set(one)
    assert "report.html" in one
    sessions = volatile(tmp_path / "one")["sessions"]
    assert [session["outcome"] for session in sessions] == ["finished", "finished"]
    assert sessions[0]["command"] == "tenon one"
    assert sessions[0]["seconds"] >= 0


def test_another_version_is_told(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    content = volatile(tmp_path)
    content["sessions"][0]["versions"]["torch"] = "0.1"
    (tmp_path / "volatile.json").write_text(json.dumps(content))
    with opened(tmp_path) as run:
        assert len(run.notices) == 1
        assert 'torch: "0.1" ->' in run.notices[0]


def test_a_damaged_volatile_file_stops_nobody(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    (tmp_path / "volatile.json").write_text("{")
    with opened(tmp_path):
        pass
    assert len(volatile(tmp_path)["sessions"]) == 1


def test_an_error_is_on_record(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened(tmp_path):
        _ = 1 / 0
    assert volatile(tmp_path)["sessions"][0]["outcome"] == "ZeroDivisionError: division by zero"


def test_no_torch_and_no_matplotlib_at_import() -> None:
    code = (
        "import sys, tenon.core.run, tenon.core.bench, tenon.core.seeds, tenon.core.config; "
        "print([m for m in ('torch', 'numpy', 'matplotlib', 'jinja2', 'rich') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
