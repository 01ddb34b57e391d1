"""Two processes: the losses of one with twice the batch, a kill that both survive, and one model at the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.methods.mdm.model import MDMForMaskedDiffusion

pytestmark = pytest.mark.slow

JOB = str(Path(__file__).with_name("torchrun_job.py"))
TWO = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
MDM = ["-m", "tenon", "mdm"]


def started(*words: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    return [line["loss"] for line in lines]


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    started(JOB, str(tmp_path / "one"), "8")
    started(*TWO, JOB, str(tmp_path / "two"), "4")
    expected, found = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert found == pytest.approx(expected, rel=1e-5)  # fp32, summed in another order
    assert len({round(loss, 3) for loss in expected}) == 4
    # As if both had been killed when the second half was under way.
    whole = (tmp_path / "two" / "model" / "model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "two" / "model")
    shutil.rmtree(tmp_path / "two" / "checkpoints" / "checkpoint-4")
    started(*TWO, JOB, str(tmp_path / "two"), "4")
    assert losses(tmp_path / "two") == found
    assert (tmp_path / "two" / "model" / "model.safetensors").read_bytes() == whole


def sets(*options: str) -> list[str]:
    return [part for one in options for part in ("--set", one)]


TRAIN = ("train.steps=2", "train.batch_size=4", "train.device=cpu", "train.log_every=1", "train.warmup_steps=0")


def test_puzzles_are_trained_on_by_two_processes_and_end_in_one_model(tmp_path: Path) -> None:
    small = sets("size=3", "rows=30", "layers=1", "hidden=16", "heads=2", *TRAIN)
    done = started(*TWO, *MDM, "train", "path", *small, "--out", str(tmp_path / "run"), "--json")
    assert done.stdout.count('"model"') == 1  # one process tells
    MDMForMaskedDiffusion.from_pretrained(tmp_path / "run" / "model")
    assert not list((tmp_path / "run").glob("*.partial"))


@pytest.mark.parametrize("rank", [4, 0])
def test_a_model_is_fine_tuned_by_two_processes(tmp_path: Path, rank: int) -> None:
    tiny_model("llama").save_pretrained(tmp_path / "backbone")
    tiny_tokenizer().save_pretrained(tmp_path / "backbone")
    rows: list[dict[str, Any]] = [{"prompt": str(one), "response": str(one * one)} for one in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["finetune", str(tmp_path / "backbone"), str(tmp_path / "rows.jsonl"), "--json"]
    words += [*sets(f"lora_rank={rank}", "train.learning_rate=1e-2", *TRAIN), "--out", str(tmp_path / "run")]
    done = started(*TWO, *MDM, *words)
    assert done.stdout.count('"model"') == 1
    figures = json.loads(done.stdout)
    assert figures["loss_after"] < figures["loss_before"]
    model = MDMForMaskedDiffusion.from_pretrained(tmp_path / "run" / "model")
    assert model.config.finetuned["max_length"] == figures["max_length"]
    assert (tmp_path / "run" / "adapter").exists() == bool(rank)
