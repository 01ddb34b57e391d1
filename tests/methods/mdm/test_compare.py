"""Contenders: what each is by the paper's flags, trained alike, compared over seeds, and taken up where it stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, DataError
from tenon.core.files import fingerprints
from tenon.core.run import VOLATILE, Run
from tenon.methods.mdm.cli import app
from tenon.methods.mdm.compare import compare_contenders, summary
from tenon.methods.mdm.config import CONTENDERS, CompareConfig, MDMConfig, PuzzleTraining
from tenon.methods.mdm.kinds import puzzles_of, read_given
from tenon.methods.mdm.show_compare import sentences
from tenon.methods.mdm.train import train_on_puzzles
from tenon.tasks.puzzles.paths import turned
from tenon.tasks.puzzles.sudoku import Sudoku
from tests.methods.mdm.test_train import TINY

SMALL = CompareConfig(contenders=("mgdm", "ar"), seeds=2, puzzles=8, batch_size=4, training=TINY)


def call(*words: str) -> Any:
    return CliRunner().invoke(app, [*words])


def test_section_3_the_named_baselines_are_their_flags() -> None:
    def weights(name: str) -> tuple[Any, ...]:
        mdm = CONTENDERS[name].training(PuzzleTraining(kind="path")).mdm
        return mdm.steps, mdm.time_weight, mdm.token_alpha, mdm.token_beta

    assert weights("mgdm") == (20, "linear", 0.25, 1.0)
    assert weights("rdm") == (20, "linear", 1.0, 0.0)
    assert weights("token") == (20, "none", 0.25, 1.0)
    assert weights("off") == (20, "none", 1.0, 0.0)
    assert weights("d3pm") == (20, "elbo", 1.0, 0.0)
    assert weights("vdm") == (None, "elbo", 1.0, 0.0)
    assert weights("teacherless")[0] == CONTENDERS["teacherless"].decode["steps"] == 1
    assert CONTENDERS["d3pm"].decode == CONTENDERS["vdm"].decode == {"order": "random"}
    # The official scale needs a number of steps; continuous time has none.
    official = PuzzleTraining(kind="path", mdm=MDMConfig(loss_scale="official"))
    assert CONTENDERS["vdm"].training(official).mdm.loss_scale == "normalised"


def test_contenders_share_all_but_what_they_are() -> None:
    config = replace(SMALL, contenders=tuple(CONTENDERS), ar_steps=2.0)
    for name, (contender, training) in config.trainings().items():
        assert name == f"{contender}-{training.train.seed}"
        is_ar = contender in ("ar", "reverse_ar")
        assert training.train.steps == (8 if is_ar else 4)
        shared = replace(training, objective="mdm", mdm=MDMConfig(), train=replace(training.train, seed=0, steps=4))
        assert shared == replace(TINY, mdm=MDMConfig())


def test_a_killed_comparison_goes_on_to_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(path: Path, **options: Any) -> Any:
        with Run.open(path, config=SMALL) as run:
            return compare_contenders(run, SMALL, device="cpu", **options)

    whole = compared(tmp_path / "whole")
    append, written = Run.append, 0

    def breaking(self: Run, name: str, row: Any) -> bool:
        nonlocal written
        written += 1
        if written == 13:  # in the answers of the second training
            raise KeyboardInterrupt
        return append(self, name, row)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "append", breaking)
        with pytest.raises(KeyboardInterrupt):
            compared(tmp_path / "broken")
    assert compared(tmp_path / "broken") == whole
    kept = [
        {
            name: hashed
            for name, hashed in fingerprints(tmp_path / one, skip=VOLATILE).items()
            if "checkpoint" not in name
        }
        for one in ("whole", "broken")
    ]
    assert kept[0] == kept[1]
    # Finished trainings are taken from where they are.
    monkeypatch.setattr("tenon.core.training.loop.train", None)
    assert compared(tmp_path / "again", trainings=tmp_path / "whole" / "trainings") == whole


def test_the_summary_pairs_seeds() -> None:
    def row(name: str, seed: int, strict: float) -> dict[str, Any]:
        return {"contender": name, "seed": seed, "group": "all", "puzzles": 10, "strict": strict, "official": strict}

    rows = [row("mgdm", 0, 0.9), row("ar", 0, 0.5), row("mgdm", 1, 0.7), row("ar", 1, 0.3)]
    ours, theirs = summary(rows)
    assert ours["strict"] == pytest.approx(0.8)
    assert "behind" not in ours
    # Both seeds are 0.4 behind, but of ten puzzles: the draw alone spreads the difference of 0.8 and 0.4 by 0.39.
    half = 1.96 * ((0.8 * 0.2 + 0.4 * 0.6) / 10) ** 0.5
    found = [theirs[name] for name in ("behind", "behind low", "behind high")]
    assert found == pytest.approx([0.4, 0.4 - half, 0.4 + half])
    assert (ours["low"], ours["high"]) == (0.0, 1.0)  # ends of a rate
    assert sentences([ours, theirs])[1].startswith("ar: 40.0 % solved; behind by +40.0 points, 95 % interval +0.8 to")
    alone = summary(rows[:2])
    assert alone[1]["low"] is None
    assert sentences(alone)[1].endswith("one seed: no interval.")


def test_the_commands_draw_train_and_compare(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    told = call("data", "path", "--rows", "30", "--size", "3", "--out", str(file), "--json")
    assert json.loads(told.stdout) == {"file": str(file), "puzzles": 30}
    small = ("size=3", "rows=30", "layers=1", "hidden=16", "heads=2", "train.steps=2", "train.batch_size=4")
    sets = [part for one in (*small, "train.device=cpu") for part in ("--set", one)]
    trainings = tmp_path / "trainings"
    command = ["train", "path", *sets, "--as", "rdm", "--data", str(file), "--seed", "0"]
    assert call(*command, "--out", str(trainings / "rdm-0")).exit_code == 0
    inner = [part for one in (*small, "train.device=cpu") for part in ("--set", f"training.{one}")]
    results = tmp_path / "results.json"
    command = ["compare", "path", *inner, "--set", "contenders=rdm,ar", "--set", "seeds=1", "--set", "puzzles=5"]
    command += ["--data", str(file), "--trainings", str(trainings), "--device", "cpu"]
    told = call(*command, "--out", str(tmp_path / "run"), "--results", str(results), "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert [row["contender"] for row in found["contenders"] if row["group"] == "all"] == ["rdm", "ar"]
    assert json.loads(results.read_text())["contenders"] == found["contenders"]
    assert "Solved, by planning distance" in (tmp_path / "run" / "report.html").read_text()


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'sedd' is not among them"):
        CompareConfig(contenders=("sedd",))
    with pytest.raises(ConfigError, match="only paths are reversed"):
        CompareConfig(contenders=("reverse_ar",), training=PuzzleTraining(kind="sat"))
    with pytest.raises(ConfigError, match="without repetition"):
        replace(SMALL, contenders=("ar", "ar"))
    assert isinstance(call("train", "path", "--as", "gpt").exception, ConfigError)
    told = call("train", "path", "--data", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "run"))
    assert isinstance(told.exception, DataError)
    assert not (tmp_path / "run").exists()
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"prompt": "0,1/1,2/3,1/1,4-0,2", "response": "0,1/1,4"}\n')
    told = call("train", "path", "--set", "size=3", "--data", str(wrong), "--out", str(tmp_path / "run"))
    assert isinstance(told.exception, DataError)
    assert not (tmp_path / "run").exists()  # what was mended is not refused as another run
    told = call("data", "chess")
    assert "the kinds are sudoku, countdown, sat, path" in str(told.exception)
    assert call("data", "path", "--rows", "0").exit_code == 2


def test_a_file_of_fewer_puzzles_without_facts_is_learnt_backwards_too(tmp_path: Path) -> None:
    one = next(puzzles_of("path", 3).generate(0, "train", 1))
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps({"input": one.prompt, "output": one.answer}))
    given, identity = read_given(file, puzzles_of("path", 3), 20)
    assert given is not None
    assert len(given) == 1
    assert len(identity["data"]) == 64
    config = replace(TINY, objective="reverse_ar")
    with Run.open(tmp_path / "run", config=config, identity=identity) as run:
        assert (train_on_puzzles(run, config, given) / "model.safetensors").is_file()
    assert turned(one.answer) == one.facts["reversed"]


def test_puzzles_with_several_solutions_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = next(Sudoku(box=2).generate(0, "train", 1)).answer
    rows = [{"prompt": prompt, "response": grid} for prompt in ("0" * 16, grid[:15] + "0")]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, rows)))
    read_given(tmp_path / "s.jsonl", Sudoku(box=2), 10)
    assert "1 of 2 puzzles" in capsys.readouterr().err
