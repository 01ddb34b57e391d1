"""A job with every kind of write a Run offers, for the kill test.

Also ways to break the Run on purpose, which the test must notice.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tenon.core import files, folder, rows, run, session
from tenon.core.report import Card, Figure
from tenon.core.run import Run
from tenon.core.seeds import derive

CARD = Card(name="job", title="Job", paper="On jobs", arxiv="", summary="", shape="stages", when_to_use="Never.")


def job(path: Path) -> None:
    with Run.open(path, config={"items": 6, "steps": 7}, seed=3, command=f"job {path}") as run:
        for stage in ("propose", "judge"):
            if not run.stage_done(stage):
                for item in run.track([f"{stage}-{i}" for i in range(6)], stage, name=stage):
                    run.append(
                        stage, {"key": item, "text": "ü" * (derive(run.seed, item) % 40), "draw": derive(3, item)}
                    )
                run.table(
                    stage, [{"key": row["key"], "length": len(row["text"])} for row in run.rows(stage)], "Lengths."
                )
                run.note(f"Stage {stage} made {len(run.keys(stage))} rows.")
                run.finish_stage(stage, rows=len(run.keys(stage)))
        train(run)
        run.figure(
            "curve", Figure("curve", "<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x89PNG", "A curve.", "Flat.")
        )
        run.report("Job", "Twelve rows and a curve.", CARD)


def train(run: Run) -> None:
    """Seven steps with a checkpoint after every third, as a Trainer does it: metrics first, then the checkpoint."""
    state = run.load_json("checkpoint") or {"step": 0, "weight": 1.0}
    run.rewind(state["step"] + 1)
    for step in range(state["step"] + 1, 8):
        state = {"step": step, "weight": state["weight"] * 0.9}
        run.log(step=step, loss=state["weight"] ** 2)
        if step % 3 == 0:
            run.log(step=step, accuracy=1 - state["weight"])
            run.save_json("checkpoint", state)


def break_atomic_writes() -> None:
    """Write files in place, as `path.write_text` does."""

    def write_in_place(path: Path, content: str | bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        files.write_all(file, content.encode() if isinstance(content, str) else content)
        os.close(file)

    for module in (files, folder, rows, run, session):
        module.write_atomic = write_in_place  # type: ignore[attr-defined]


def break_cutting_of_torn_lines() -> None:
    """Append after half a line."""
    rows.Lines._cut_torn_line = lambda self: None  # type: ignore[method-assign]


def break_rewinding() -> None:
    """Keep the metrics of steps that are repeated, and log them again."""

    def log_again(self: rows.Metrics, step: int, numbers: Any) -> None:
        self.lines.append({"step": step, **numbers})

    rows.Metrics.rewind = lambda self, step: 0  # type: ignore[method-assign]
    rows.Metrics.log = log_again  # type: ignore[method-assign]


def break_keys() -> None:
    """Forget which rows are done."""
    rows.Rows.__contains__ = lambda self, key: False  # type: ignore[method-assign]
    rows.Rows.append = lambda self, row: self.lines.append(row) or True  # type: ignore[method-assign,func-returns-value]
