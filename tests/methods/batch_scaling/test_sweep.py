"""A sweep: its grid, the learning rates it adds, its text, its table, and what it refuses."""

from __future__ import annotations

import csv
import json
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from tenon.core.config import load
from tenon.core.errors import ConfigError, DataError
from tenon.core.run import Run
from tenon.methods.batch_scaling.cli_sweep import sweep_command
from tenon.methods.batch_scaling.config import SweepConfig, SweepModel
from tenon.methods.batch_scaling.runs.table import COLUMNS, RunTable
from tenon.methods.batch_scaling.sweeps import cost as sweep_cost
from tenon.methods.batch_scaling.sweeps import sweep, trainer
from tenon.methods.batch_scaling.sweeps.cost import Estimate, estimate_sweep
from tenon.methods.batch_scaling.sweeps.data import SweepData, load_sweep_data, row_order
from tenon.methods.batch_scaling.sweeps.grid import Cell, best_cells, cells_of, training_key
from tenon.methods.batch_scaling.sweeps.model import fresh_model, llama_config, parameter_counts
from tenon.methods.batch_scaling.sweeps.stacked import Outcome
from tenon.methods.batch_scaling.sweeps.train import Pair, train_config
from tests.methods.batch_scaling.kill_sweep import TINY

SMALL = replace(TINY, tokens=(1024,), batch_tokens=(128, 512), extend=0, seeds=(0,))
FREE = Estimate(flops=1.0, hours=0.0, flops_per_second=1.0, trainings=1)


@pytest.fixture(scope="module")
def data() -> SweepData:
    return load_sweep_data(TINY)


def swept(path: Path, config: SweepConfig, data: SweepData) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with Run.open(path, config=config, seed=config.seed, identity={"text": data.sha256}) as run:
        return sweep.run_sweep(run, config, data), run.rows(sweep.ROWS)


@pytest.fixture
def unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin at once: the probe trains more than a small sweep does."""
    monkeypatch.setattr(sweep, "estimate_sweep", lambda *_, **__: FREE)


def pretend(monkeypatch: pytest.MonkeyPatch, loss: Callable[[Cell, float, int], float]) -> list[list[Pair]]:
    """Let a formula stand for training; give what was trained together."""
    asked = []

    def train_pairs(_: Any, __: Any, cell: Cell, pairs: Sequence[Pair], ___: Any = None) -> Iterator[Outcome]:
        asked.append(list(pairs))
        for lr, seed in pairs:
            yield Outcome(loss=loss(cell, lr, seed), train_loss=1.0)

    monkeypatch.setattr(sweep, "train_pairs", train_pairs)
    monkeypatch.setattr(sweep, "estimate_sweep", lambda *_, **__: FREE)
    return asked


def bowl(cell: Cell, lr: float, seed: int) -> float:
    """Loss with its minimum at lr = 1e-3 (B / 128): linear scaling; and at B = 256."""
    best = 1e-3 * cell.batch_tokens / 128
    return 2 + math.log(lr / best) ** 2 + 0.1 * math.log(cell.batch_tokens / 256) ** 2 + 0.001 * seed


# The grid


def test_cells_come_in_a_fixed_order_and_leave_out_batches_above_a_quarter_of_the_tokens() -> None:
    models = (SweepModel(), SweepModel(hidden=128))
    assert [cell.name for cell in cells_of(replace(TINY, models=models))] == [
        *("h64l2/D512/B128", "h64l2/D1024/B128", "h64l2/D1024/B256"),
        *("h128l2a2f176/D512/B128", "h128l2a2f176/D1024/B128", "h128l2a2f176/D1024/B256"),
    ]


def test_tokens_that_no_batch_fits_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"tokens=300 is less than 4 steps of the smallest batch \(128 tokens\)"):
        cells_of(replace(TINY, tokens=(300,)))


# Learning rates (10.6)


def test_every_batch_has_its_learning_rate_tuned_anew_and_beyond_the_edge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: SweepData
) -> None:
    """10.6: the optimum moves with the batch, and rates are added only where the best one is at an edge."""
    config = replace(SMALL, tokens=(8192,), batch_tokens=(128, 256, 512, 2048), learning_rates=(1e-3, 2e-3), extend=2)
    pretend(monkeypatch, bowl)
    facts, rows = swept(tmp_path, config, data)
    tried = {batch: [row["lr"] for row in rows if row["batch_tokens"] == batch] for batch in config.batch_tokens}
    assert tried == {
        128: [1e-3, 2e-3, 5e-4],  # best at the lower edge; then inside
        256: [1e-3, 2e-3, 4e-3],  # best at the upper edge; then inside
        512: [1e-3, 2e-3, 4e-3, 8e-3],
        2048: [1e-3, 2e-3, 4e-3, 8e-3],  # no further: extend=2; its best, 1.6e-2, was never tried
    }
    (cell,) = facts["cells"]
    assert (cell["best_batch"], cell["best_lr"], cell["edge"]) == (256, 2e-3, "")


def test_without_extension_an_edge_is_called_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: SweepData
) -> None:
    config = replace(SMALL, tokens=(8192,), batch_tokens=(256, 512), learning_rates=(1e-3, 2e-3))
    pretend(monkeypatch, bowl)
    facts, rows = swept(tmp_path, config, data)
    assert len(rows) == 4
    assert facts["cells"][0]["edge"] == "batch (try 128), lr (try 0.004)"


def test_what_to_try_beyond_an_edge_is_whole_rows() -> None:
    """Rows of 16 tokens: below 16 and 64 would be a quarter of a row; beyond them comes 256."""
    config = replace(SMALL, tokens=(4096,), batch_tokens=(16, 64), learning_rates=(1e-3,))
    for best, edge in ((16, "batch (one row), lr (try 0.0005)"), (64, "batch (try 256), lr (try 0.0005)")):
        rows = [
            {"key": training_key(cell, 1e-3, 0), "lr": 1e-3, "loss": 2.0 + (cell.batch_tokens != best), "n_params": 1}
            for cell in cells_of(config)
        ]
        (cell,) = best_cells(rows, config)
        assert (cell["best_batch"], cell["edge"]) == (best, edge)


def test_the_mean_over_seeds_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: SweepData) -> None:
    """One lucky seed at the edge adds no learning rate."""

    def loss(cell: Cell, lr: float, seed: int) -> float:
        return {1e-3: 2.0, 2e-3: 1.0, 4e-3: 0.9 if seed else 2.0}.get(lr, 5.0)

    config = replace(SMALL, batch_tokens=(128,), learning_rates=(1e-3, 2e-3, 4e-3), extend=1, seeds=(0, 1))
    asked = pretend(monkeypatch, loss)
    swept(tmp_path, config, data)
    assert asked == [[(lr, seed) for lr in (1e-3, 2e-3, 4e-3) for seed in (0, 1)]]


# The table


def test_rows_are_runs_in_our_units(tmp_path: Path, data: SweepData) -> None:
    facts, rows = swept(tmp_path, SMALL, data)
    assert [row["key"] for row in rows] == [
        f"h16l1a2f32/D1024/B128/lr{lr}/s0" for lr in ("0.001", "0.004")
    ]  # B512 is more than a quarter
    for row in rows:
        assert set(COLUMNS) - {"noise_tokens"} <= row.keys()
        assert row["tokens"] == row["steps"] * row["batch_tokens"] == 1024
        assert row["n_params"] == 16 * 16 * 4 + 3 * 16 * 32 + 3 * 16  # attention, MLP, norms; by hand
        assert (row["n_with_head"], row["n_total"]) == (row["n_params"] + 256 * 16, row["n_params"] + 2 * 256 * 16)
        assert row["flops"] == 6 * row["n_params"] * row["tokens"]
        assert 0 < row["loss"] < math.log(256) + 0.1
    table = RunTable.of(rows)
    assert table.n_kind == "non_embedding"
    assert len(set(table.groups)) == 1
    with open(tmp_path / "runs.csv", newline="") as file:
        told = list(csv.DictReader(file))
    assert [one["id"] for one in told] == [row["key"] for row in rows]
    assert [float(one["loss"]) for one in told] == [row["loss"] for row in rows]
    assert facts["trainings"] == 2


def test_tokens_are_those_of_whole_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: SweepData) -> None:
    pretend(monkeypatch, bowl)
    _, rows = swept(tmp_path, replace(SMALL, tokens=(1000,)), data)
    assert {(row["steps"], row["tokens"]) for row in rows} == {(7, 896)}


def test_a_diverged_training_is_a_row_without_loss_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: SweepData
) -> None:
    config = replace(SMALL, tokens=(4096,), learning_rates=(1e-3, 2e-3, 4e-3))
    pretend(monkeypatch, lambda cell, lr, seed: math.nan if lr == 4e-3 else bowl(cell, lr, seed))
    facts, rows = swept(tmp_path, config, data)
    lost = [row for row in rows if row["lr"] == 4e-3]
    assert all(row["loss"] is None and row["diverged"] for row in lost)
    assert facts["diverged_keys"] == [row["key"] for row in lost]
    assert len(lost) == 2
    assert "2 of 6 trainings diverged: h16l1a2f32/D4096/B128/lr0.004/s0" in (tmp_path / "contents.json").read_text()
    assert facts["cells"][0]["best_lr"] == 1e-3  # by the bowl, the best of those left, at B = 128


def test_a_cell_in_which_all_diverged_has_no_best() -> None:
    rows = [{"key": training_key(cell, 1e-3, 0), "lr": 1e-3, "loss": None, "n_params": 1} for cell in cells_of(SMALL)]
    assert best_cells(rows, SMALL) == []


@pytest.mark.usefixtures("unprobed")
def test_engines_agree(tmp_path: Path, data: SweepData) -> None:
    """Section 8: side by side as one after the other, to 1e-4, through the whole sweep."""
    config = replace(TINY, tokens=(1024,), batch_tokens=(128,), extend=0)
    _, rows = swept(tmp_path / "stacked", config, data)
    _, others = swept(tmp_path / "trainer", replace(config, engine="trainer"), data)
    assert len({row["loss"] for row in rows}) == 4
    for row, other in zip(rows, others, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], abs=1e-4)
        assert {**row, "loss": 0, "train_loss": 0} == {**other, "loss": 0, "train_loss": 0}


@pytest.mark.usefixtures("unprobed")
def test_the_noise_scale_of_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: SweepData) -> None:
    """Micro-batches change no loss; a batch of one row has no noise scale, nor has a training of a few steps."""
    config = replace(
        TINY, tokens=(512,), batch_tokens=(16, 128), learning_rates=(4e-3,), extend=0, seeds=(0,), engine="trainer"
    )
    measured = replace(config, noise_scale=True)
    rows = (1, 3, 8, 12, 11, 22)
    trains = [train_config(measured, Cell(SMALL.models[0], 4096, 16 * one), 4e-3, 0) for one in rows]
    told = [(train.accumulation, train.batch_size) for train in trains]
    assert told == [(1, 1), (3, 1), (8, 1), (6, 2), (1, 11), (2, 11)]
    _, (plain,) = swept(tmp_path / "plain", replace(config, batch_tokens=(128,)), data)
    _, (row,) = swept(tmp_path / "short", replace(measured, batch_tokens=(128,)), data)
    assert row["noise_tokens"] is None
    monkeypatch.setattr(trainer, "NOISE_STEPS", 4)
    _, (row,) = swept(tmp_path / "noise", replace(measured, batch_tokens=(128,)), data)
    assert row["loss"] == pytest.approx(plain["loss"], abs=1e-4)
    assert row["noise_tokens"] > 0
    assert "noise_tokens" not in plain
    _, (row,) = swept(tmp_path / "row", replace(measured, tokens=(64,), batch_tokens=(16,)), data)
    assert row["noise_tokens"] is None
    with pytest.raises(ConfigError, match=r"noise_scale.*engine=trainer"):
        replace(measured, engine="stacked")


def test_batches_without_a_noise_scale_are_told_before_the_sweep_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: SweepData
) -> None:
    pretend(monkeypatch, bowl)
    config = replace(SMALL, tokens=(4096,), batch_tokens=(16, 48, 176, 128), engine="trainer")
    swept(tmp_path / "plain", config, data)
    assert "noise" not in capsys.readouterr().err
    swept(tmp_path / "noise", replace(config, noise_scale=True), data)
    assert capsys.readouterr().err.count("No noise scale for batches of 16, 176 tokens: no number from 2 to 8 div") == 1


# Interruption (7.17), beside the SIGKILL of test_kill_sweep


@pytest.mark.parametrize("engine", ["stacked", "trainer"])
def test_an_interrupted_sweep_goes_on_without_a_row_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: SweepData, engine: Any
) -> None:
    config = replace(TINY, engine=engine, extend=1)
    trained = pretend(monkeypatch, bowl)
    swept(tmp_path / "whole", config, data)
    once, together = sum(map(len, trained)), list(trained)

    class Stop(Exception):
        pass

    for stop_at in (1, 4, 5, once - 1):  # 5: between the two seeds of a learning rate that was added
        left, true_append = [stop_at], Run.append

        def append(self: Run, name: str, row: Any, left: list[int] = left, append: Any = true_append) -> bool:
            if left[0] == 0:
                raise Stop
            left[0] -= 1
            return append(self, name, row)

        with monkeypatch.context() as patch:
            patch.setattr(Run, "append", append)
            with pytest.raises(Stop):
                swept(tmp_path / str(stop_at), config, data)
        before = len(trained)
        swept(tmp_path / str(stop_at), config, data)
        for name in ("runs.jsonl", "runs.csv"):
            assert (tmp_path / str(stop_at) / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        again = sum(map(len, trained[before:]))
        if engine == "trainer":  # nothing is trained twice
            assert again == once - stop_at
        else:  # but side by side always the same ones: the last digits may depend on their number
            assert all(group in together for group in trained[before:])
            assert again <= once - stop_at + len(together[0])
    before = len(trained)
    swept(tmp_path / "whole", config, data)  # finished: nothing is trained
    assert len(trained) == before


# What it costs


def test_a_sweep_that_takes_too_long_is_refused_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: SweepData
) -> None:
    with pytest.raises(ConfigError, match=r"more than max_hours=1e-09"):
        swept(tmp_path, replace(SMALL, max_hours=1e-9), data)
    assert not (tmp_path / "runs.jsonl").exists()
    assert "2 trainings" in capsys.readouterr().err


def test_the_estimate_counts_the_flops_that_are_left(monkeypatch: pytest.MonkeyPatch, data: SweepData) -> None:
    """By hand: forward and backward, matrix products alone, a query sees 8.5 keys on average."""
    monkeypatch.setattr(sweep_cost, "_step_times", lambda *_: dict.fromkeys((128, 512), 0.5))
    found = estimate_sweep(SMALL, data)
    assert found.flops == 2 * 1024 * 6 * (4 * 16 * 16 + 3 * 16 * 32 + 2 * 16 * 8.5 + 16 * 256)
    assert found.hours == pytest.approx(2 * (8 + 512 / 3 / 128) * 0.5 / 3600)
    done = {training_key(cells_of(SMALL)[0], lr, 0) for lr in SMALL.learning_rates}
    assert estimate_sweep(SMALL, data, done=done).trainings == 0


def test_the_probe_times_steps(data: SweepData) -> None:
    found = estimate_sweep(TINY, data)
    assert found.trainings == 3 * 4
    assert 0 < found.hours < 0.1


# The text


def test_held_out_documents_are_the_last_ones_and_none_is_trained_on(tmp_path: Path) -> None:
    """10.11 begins with data: no text on both sides."""
    for place in range(6):
        (tmp_path / f"{place}.txt").write_text(chr(97 + place) * 62)  # 64 with the line ends
    config = replace(SMALL, source=str(tmp_path), tokens=(192,), batch_tokens=(16,), held_out_tokens=96)
    found = load_sweep_data(config)
    line = ord("\n")
    assert set(found.held_out.flatten().tolist()) - {line} == {101, 102}
    assert set(found.rows.flatten().tolist()) - {line} == {97, 98, 99, 100}
    assert found.held_out.shape == (6, 16)
    assert found.rows.shape == (16, 16)
    (tmp_path / "0.txt").write_text("z" * 62)
    assert load_sweep_data(config).sha256 != found.sha256


def test_a_text_that_is_too_short_is_refused_with_its_sizes(tmp_path: Path) -> None:
    for place in range(6):
        (tmp_path / f"{place}.txt").write_text("x" * 62)
    config = replace(SMALL, source=str(tmp_path), tokens=(320,), batch_tokens=(16,), held_out_tokens=96)
    with pytest.raises(DataError, match=r"has 384 tokens, of which 128 .* 256 are left .* needs 320 "):
        load_sweep_data(config)


def test_a_training_reads_the_beginning_of_one_permutation(data: SweepData) -> None:
    long = row_order(data, items=1000, seed=3)
    assert torch.equal(row_order(data, items=100, seed=3), long[:100])
    assert len(set(long.tolist())) == 1000
    assert not torch.equal(row_order(data, items=100, seed=4), long[:100])


def test_a_tokenizer_of_ones_own_is_used(tmp_path: Path) -> None:
    from tenon.core.models.tiny import tiny_tokenizer

    tiny_tokenizer().save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "a.txt").write_text("ab" * 500)
    (tmp_path / "b.txt").write_text("ba" * 500)
    config = replace(
        SMALL, source=str(tmp_path / "a.txt"), tokenizer=str(tmp_path / "tokenizer"), tokens=(64,), batch_tokens=(16,)
    )
    with pytest.raises(DataError, match="are left to train on"):  # one document: it is held out
        load_sweep_data(config)
    (tmp_path / "both").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).rename(tmp_path / "both" / name)
    found = load_sweep_data(replace(config, source=str(tmp_path / "both")))
    assert found.vocabulary == 128
    assert int(found.rows[0, 0]) == 1  # <bos>


# The models


def test_weights_are_a_function_of_the_seed_and_the_global_generator_stays() -> None:
    config = llama_config(SMALL.models[0], vocabulary=256, seq_len=16)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (fresh_model(config, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])


def test_counts_are_those_of_the_model() -> None:
    config = llama_config(SMALL.models[0], vocabulary=256, seq_len=16)
    counts = parameter_counts(config)
    assert counts["total"] == sum(one.numel() for one in fresh_model(config, seed=0).parameters())
    assert counts["with_head"] - counts["non_embedding"] == counts["total"] - counts["with_head"] == 256 * 16


# The command


def test_the_help_shows_how_sizes_are_given() -> None:
    """`models` is JSON: an example of the command has it, and loads."""
    examples = [shlex.split(line) for line in (sweep_command.__doc__ or "").splitlines() if "Example: " in line]
    sets = next(one for one in examples if any(word.startswith("models=") for word in one))
    given = [value for option, value in pairwise(sets) if option == "--set"]
    assert load(SweepConfig, sets=given).models == (SweepModel(hidden=32, layers=2, heads=1, ffn=88),)


def test_the_command_trains_and_tells_the_best_cells(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(sweep_command)
    sets = ['models=[{"hidden":16,"layers":1,"heads":2,"ffn":32}]', "tokens=1024", "batch_tokens=128,256", "extend=0"]
    sets += ["learning_rates=0.001,0.004", "source=python-docs", "seq_len=16", "held_out_tokens=512", "device=cpu"]
    words = [*(word for one in sets for word in ("--set", one)), "--out", str(tmp_path / "sweep")]
    told = CliRunner().invoke(app, ["--preset", "nano", *words])
    assert told.exit_code == 0, told.output
    assert "h16l1a2f32 (N = 2,608), D = 1,024: best batch 128 tokens at lr 0.004" in told.output
    assert "at an edge: batch (try 64), lr (try 0.016)" in told.output
    again = CliRunner().invoke(app, ["--preset", "nano", *words, "--json"])
    result = json.loads(again.stdout)
    assert result["trainings"] == 4
    assert Path(result["runs"]).exists()
    assert (tmp_path / "sweep" / "report.html").exists()
