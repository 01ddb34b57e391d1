"""Several processes of one training: rank 0 has the run, the others look on."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tenon.core.files import fingerprints
from tenon.core.onlooker import Onlooker
from tenon.core.progress import progress
from tenon.core.run import Run

CONFIG = {"rows": 3}


def test_an_onlooker_sees_the_run_of_rank_0_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "0")
    with Run.open(tmp_path / "run", config=CONFIG) as run:
        assert type(run) is Run
        run.append("rows", {"key": "one"})
        run.finish_stage("first", count=1)
        before = fingerprints(tmp_path)
        monkeypatch.setenv("RANK", "1")
        with Run.open(tmp_path / "run", config=CONFIG) as other:  # while rank 0 holds the lock
            assert isinstance(other, Onlooker)
            assert other.config == run.config
            assert other.stage_done("first")
            assert other.rows("rows") == [{"key": "one"}]
            other.append("rows", {"key": "two"})
            other.log(step=1, loss=2.0)
            other.rewind(0)
            other.save_json("more", {})
            other.measured("time", seconds=1.0)
            other.table("table", [{"a": 1}])
            other.figure("figure", None)
            other.note("a note")
            other.finish_stage("second", count=2)
            assert other.stages()["second"] == {"count": 2}
            assert (other.metrics(), other.measurements(), other.notices) == ([], {}, [])
            assert other.report("title") == tmp_path / "run" / "report.html"
            with progress("work", 3) as advance:
                advance()
        assert fingerprints(tmp_path) == before
    assert capsys.readouterr().err == ""


def test_what_rank_0_deletes_is_not_finished_for_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run.open(tmp_path, config=CONFIG) as run:
        run.finish_stage("first")
    monkeypatch.setenv("RANK", "3")
    assert not Run.open(tmp_path, config=CONFIG, fresh=True).stage_done("first")


def test_every_method_that_writes_is_answered() -> None:
    writing = {name for name, method in vars(Run).items() if "_writing()" in _source(method) and name[0] != "_"}
    assert len(writing) >= 10
    assert writing <= vars(Onlooker).keys()


def _source(method: object) -> str:
    return inspect.getsource(method) if inspect.isfunction(method) else ""
