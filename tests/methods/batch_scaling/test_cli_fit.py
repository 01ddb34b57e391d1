"""`fit`, `compare` and `quadratic` from the command line: what is written, what is shared, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy
import pytest
from typer.testing import CliRunner

from tenon.core.errors import ConfigError, RunConflict
from tenon.methods.batch_scaling import fit_batch_law, fit_loss_law, plan, read_runs
from tenon.methods.batch_scaling.cli import app
from tenon.methods.batch_scaling.fits.best_runs import best_of_cells
from tenon.methods.batch_scaling.fits.law_card import load_card
from tenon.methods.batch_scaling.laws import get
from tenon.methods.batch_scaling.runs.table import RunTable, write_runs
from tests.methods.batch_scaling.sweep_table import cell_rows, power_sweep


def run(*words: str) -> str:
    """Run a command and give what it prints."""
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None:
        raise done.exception
    return done.stdout


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep with the best batch 0.5 D^0.6, as a CSV."""
    path = tmp_path / "sweep.csv"
    write_runs(RunTable.of(power_sweep(), n_kind="non_embedding"), path)
    return path


def test_a_loss_fit_writes_a_card_a_page_and_results(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    words = ("fit", "gadre", "--group", "c4_original", "--set", "bootstrap=20", "--out", str(tmp_path / "fit"))
    told = json.loads(run(*words, "--results", str(results), "--json"))
    runs = read_runs("gadre")
    c4 = runs.take([i for i, group in enumerate(runs.groups) if group == "c4_original"])
    assert told["params"] == dict(fit_loss_law(c4, bootstrap=20).params)
    card = load_card(tmp_path / "fit" / "law-loss.json")
    assert dict(card.params) == told["params"]
    assert len(card.residuals) == 34
    shared = json.loads(results.read_text())
    assert shared["params"] == told["params"]
    assert shared["residuals"] == []  # somebody's runs are not ours to ship
    assert "/" not in shared["source"]
    assert load_card(results).params == card.params  # it is a law card, too
    assert (tmp_path / "fit" / "report.html").is_file()


def test_a_fit_in_another_fits_folder_is_refused(tmp_path: Path) -> None:
    words = ("fit", "gadre", "--set", "bootstrap=0", "--out", str(tmp_path / "fit"))
    run(*words, "--group", "c4_original")
    with pytest.raises(RunConflict):
        run(*words, "--group", "rpj")


def test_a_wrong_group_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known: c4_original, rpj"):
        run("fit", "gadre", "--group", "c4", "--out", str(tmp_path / "fit"))


def test_a_batch_law_from_a_sweep_leads_the_plan(sweep: Path, tmp_path: Path) -> None:
    out = tmp_path / "fit"
    words = ("fit", str(sweep), "--law", "batch", "--set", "bootstrap=20", "--out", str(out), "--json")
    told = json.loads(run(*words, "--results", str(tmp_path / "results.json")))
    assert told["params"]["x"] == pytest.approx(0.6, abs=1e-6)
    assert told["params"] == dict(fit_batch_law(power_sweep(), bootstrap=20).params)
    assert len(json.loads((tmp_path / "results.json").read_text())["cells"]) == 9
    found = plan(params=4e8, tokens=4e9, fitted=[load_card(out / "law-batch.json")])
    assert found.batch_wanted == pytest.approx(0.5 * 4e9**0.6, rel=1e-6)


@pytest.mark.parametrize("law", ["learning-rate", "surface"])
def test_every_law_has_its_command(law: str, sweep: Path, tmp_path: Path) -> None:
    told = json.loads(
        run("fit", str(sweep), "--law", law, "--set", "bootstrap=20", "--out", str(tmp_path / law), "--json")
    )
    assert told["params"]
    assert (tmp_path / law / "report.html").is_file()


def test_sizes_at_equal_compute(tmp_path: Path) -> None:
    law = get("besiroglu2024")
    rows = []
    for compute in (1e18, 1e19, 1e20):
        best = law.optimal(compute).N
        for step in (-2, -1, 0, 1, 2):
            n = best * 1.5**step
            rows.append(
                {"n_params": n, "tokens": compute / 6 / n, "flops": compute, "loss": law.loss(n, compute / 6 / n)}
            )
    write_runs(RunTable.of(rows, n_kind="total"), tmp_path / "isoflop.csv")
    words = ("fit", str(tmp_path / "isoflop.csv"), "--law", "isoflop", "--out", str(tmp_path / "fit"))
    told = json.loads(run(*words, "--json"))
    assert told["exponent"] == pytest.approx(law.exponent(), abs=1e-3)
    lines = run(*words).splitlines()
    assert lines[0].startswith(f"N = {told['level']:.4g} x C^{told['exponent']:.4g} (")
    assert lines[2].split() == ["C", "[FLOPs]", "N", "D", "loss", "sizes"]
    assert [line.split()[0] for line in lines[3:6]] == ["1e+18", "1e+19", "1e+20"]
    assert len({len(line) for line in lines[2:6]}) == 1  # aligned


def test_a_level_of_compute_without_a_bottom_is_told_with_its_reason(tmp_path: Path) -> None:
    law = get("besiroglu2024")
    rows = []
    for compute, steps in ((1e18, (-1, 0, 1)), (1e19, (-1, 0, 1)), (1e20, (1, 2, 3))):
        for n in (law.optimal(compute).N * 1.5**step for step in steps):
            rows.append({"n_params": n, "tokens": compute / 6 / n, "loss": law.loss(n, compute / 6 / n)})
    write_runs(RunTable.of(rows, n_kind="total"), tmp_path / "isoflop.csv")
    text = run("fit", str(tmp_path / "isoflop.csv"), "--law", "isoflop", "--out", str(tmp_path / "fit"))
    reason = "C = 1e+20: the least loss is at the smallest size"
    assert f"  Left out: {reason}" in text
    assert "  Warning: Two levels of compute" in text
    assert reason.split(": ")[1] in (tmp_path / "fit" / "report.md").read_text()


def test_a_critical_batch_from_steps(tmp_path: Path) -> None:
    rows = [{"batch_tokens": b, "steps": 200 + 12_800 / b, "loss": 2.0} for b in (8, 16, 32, 64, 128, 256)]
    path = tmp_path / "steps.csv"
    path.write_text(
        "n_params,batch_tokens,steps,loss\n" + "\n".join(f"1e6,{r['batch_tokens']},{r['steps']},2" for r in rows)
    )
    told = json.loads(run("fit", str(path), "--law", "critical", "--out", str(tmp_path / "fit"), "--json"))
    assert told["critical_batch"] == pytest.approx(64, rel=1e-5)


def test_a_sweep_is_compared_with_every_law_and_with_ones_own(sweep: Path, tmp_path: Path) -> None:
    run("fit", str(sweep), "--law", "batch", "--set", "bootstrap=0", "--out", str(tmp_path / "fit"))
    card = str(tmp_path / "fit" / "law-batch.json")
    told = json.loads(run("compare", str(sweep), "--card", card, "--out", str(tmp_path / "compare"), "--json"))
    assert told["warnings"] == []
    scores: dict[str, Any] = {row["law"]: row for row in told["laws"]}
    assert {"steplaw2025", "bergsma2025", "shuai2024.fixed_data", "fitted"} <= set(scores)
    assert min(scores, key=lambda name: scores[name]["batch_mean"]) == "fitted"


def test_best_batches_at_an_edge_are_told_beside_the_scores(tmp_path: Path) -> None:
    """In two of three cells the least loss stands at the smallest batch; in text, on the page and in the JSON."""
    rows = [
        row
        for size, batches in ((1e8, (1, 2, 4)), (2e8, (1, 2, 4)), (4e8, (0.25, 0.5, 1, 2, 4)))
        for row in cell_rows(size, 1e9, best_batch=1e5, best_lr=2e-3, batches=[1e5 * one for one in batches])
    ]
    path = tmp_path / "sweep.csv"
    write_runs(RunTable.of(rows, n_kind="non_embedding"), path)
    words = ("compare", str(path), "--out", str(tmp_path / "compare"))
    (warning,) = json.loads(run(*words, "--json"))["warnings"]
    assert warning.startswith("2 of 3 cells (N, D) have their best batch at an edge of the batches tried")
    assert "N=1e+08 D=1e+09: the best batch is the smallest tried" in warning
    assert f"  Warning: {warning}" in run(*words)
    assert "2 of 3 cells (N, D) have their best batch" in (tmp_path / "compare" / "report.html").read_text()


def test_the_quadratic_has_the_critical_batch_of_its_equation(tmp_path: Path) -> None:
    facts = json.loads(run("quadratic", "--out", str(tmp_path / "run"), "--json"))["facts"]
    assert facts["critical_batch"] == pytest.approx(facts["e_min"] / facts["s_min"])
    assert facts["largest_residual"] < 0.09


def test_a_loss_law_takes_the_best_of_each_cell() -> None:
    rows = []
    for n in (1e6, 2e6, 4e6, 8e6):
        for d in (1e7, 2e7, 4e7):
            best = 1.5 + 100 * n**-0.4 + 200 * d**-0.35
            for batch in (1e4, 2e4, 4e4):
                rows += [
                    {
                        "n_params": n,
                        "tokens": d,
                        "batch_tokens": batch,
                        "lr": lr,
                        "loss": best * (1 + miss),
                        "seed": seed,
                    }
                    for lr, miss in ((1e-3, 0.02), (2e-3, 0.05 if batch == 1e4 else 0.0), (4e-3, 0.01))
                    for seed in (0, 1)
                ]
    table = best_of_cells(RunTable.of(rows))
    assert len(table) == 12
    numpy.testing.assert_allclose(table["loss"], 1.5 + 100 * table["n_params"] ** -0.4 + 200 * table["tokens"] ** -0.35)
    found = fit_loss_law(rows, bootstrap=0, n_kind="total")
    assert found.runs == 12
    assert found.params["alpha"] == pytest.approx(0.4, rel=1e-4)
    everything = fit_loss_law(rows, bootstrap=0, n_kind="total", of_each_cell="all")
    assert everything.runs == len(rows)
    assert not math.isclose(everything.params["E"], found.params["E"], rel_tol=1e-3)


def test_best_of_cells_leaves_ordinary_tables_alone() -> None:
    table = read_runs("gadre")
    assert best_of_cells(table) is table
