"""Files of others: any format to the same columns, any doubt told with row and column (sections 4, 7.9, 9)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.methods.batch_scaling.runs.readers import read_runs
from tenon.methods.batch_scaling.runs.table import COLUMNS, RunTable, join

SHARED = Path(__file__).parents[3].parent / "shared/data/scaling"
HEAD = "n_params,tokens,batch_tokens,lr,loss,n_kind\n"
ROW = "1000000,100000000,8192,0.001,3.5,total\n"


def written(folder: Path, text: str | bytes, name: str = "runs.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def equal(one: RunTable, other: RunTable) -> None:
    for name in COLUMNS:
        numpy.testing.assert_array_equal(one[name], other[name], err_msg=name)


# Units


def test_7_9_sequences_and_tokens_give_identical_columns(tmp_path: Path) -> None:
    """7.9: the same runs, their batch in sequences with seq_len or in tokens, are the same table."""
    runs = [(1e6, 1e8, 32, 1e-3, 3.5), (1e6, 1e8, 64, 2e-3, 3.4), (2e6, 3e8, 96, 1e-3, 3.3)]
    tokens = "".join(f"{n},{d},{b * 256},{lr},{loss},256\n" for n, d, b, lr, loss in runs)
    sequences = "".join(f"{n},{d},{b},{lr},{loss}\n" for n, d, b, lr, loss in runs)
    want = read_runs(written(tmp_path, "n_params,tokens,batch_tokens,lr,loss,seq_len\n" + tokens), n_kind="total")
    assert want["batch_tokens"].tolist() == [8192, 16384, 24576]
    named = written(tmp_path, "n_params,tokens,batch_sequences,lr,loss\n" + sequences, "named.csv")
    bare = written(tmp_path, "n_params,tokens,bs,lr,loss\n" + sequences, "bare.csv")
    for got in (
        read_runs(named, n_kind="total", seq_len=256),
        read_runs(bare, n_kind="total", seq_len=256, units={"batch": "sequences"}),
        read_runs(bare, n_kind="total", units=["batch=sequences"], columns=["seq_len=256"]),
        read_runs(bare, n_kind="total", seq_len=256, columns={"batch_sequences": "bs"}),
    ):
        equal(got, want)
        assert got.sha256() == want.sha256()


def test_a_batch_of_unsaid_unit_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "n_params,tokens,batch_size,loss\n1e6,1e8,32,3.5\n")
    with pytest.raises(DataError, match=r"'batch_size' may count tokens or sequences.*batch=sequences"):
        read_runs(file)
    with pytest.raises(DataError, match=r"line 2, column 'batch_size' counts sequences, and seq_len is not said"):
        read_runs(file, units={"batch": "sequences"})


def test_7_9_sequences_said_to_be_tokens_are_found_out(tmp_path: Path) -> None:
    file = written(tmp_path, "n_params,tokens,bs,loss,seq_len\n1e6,1e8,32,3.5,256\n")
    with pytest.raises(DataError, match=r"runs.csv line 2, column 'bs' is 32 tokens, a batch of less than one row"):
        read_runs(file, units={"batch": "tokens"})


def test_declared_units_become_ours(tmp_path: Path) -> None:
    file = written(tmp_path, "n_params,tokens,flops,loss\n70,1.4,2,5\n")
    units = {"n_params": "millions", "tokens": "billions", "flops": "PF days", "loss": "bits"}
    table = read_runs(file, units=units)
    assert table["n_params"][0] == pytest.approx(7e7)
    assert table["tokens"][0] == pytest.approx(1.4e9)
    assert table["flops"][0] == pytest.approx(1.728e20)
    assert table["loss"][0] == pytest.approx(5 * math.log(2))
    assert read_runs(file, units={**units, "loss": "perplexity"})["loss"][0] == pytest.approx(math.log(5))
    for wrong, told in (
        ({"batches": "x"}, "'batch'"),
        ({"tokens": "billion"}, "'billions'"),
        (["tokens"], "name=value"),
    ):
        with pytest.raises(ConfigError, match=told):
            read_runs(file, units=wrong)  # type: ignore[arg-type]


# Notation


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('1000000;100000000;8192;"0,001";3,5;total', r"line 3, column 'lr' is '0,001'.*decimal comma"),
        ('"1,000,000",100000000,8192,0.001,3.5,total', r"line 3, column 'n_params' is '1,000,000'.*thousands"),
        ("1000000,100 000 000,8192,0.001,3.5,total", r"line 3, column 'tokens' is '100 000 000'.*thousands"),
        ("1000000,1e8,8_192,0.001,3.5,total", r"line 3, column 'batch_tokens' is '8_192'.*thousands"),
        ("1.000.000,1e8,8192,0.001,3.5,total", r"line 3, column 'n_params' is '1.000.000'.*thousands"),
        ("1000000,100000000,8192,0.001,3,5,total", r"line 3 has 7 cells for 6 columns.*'total'.*decimal comma"),
        ("1M,100000000,8192,0.001,3.5,total", r"line 3, column 'n_params' is '1M'.*units \(--unit\)"),
        ("1000000,100000000,8192,fast,3.5,total", r"line 3, column 'lr' is 'fast'"),
        ("1000000,,8192,0.001,3.5,total", r"line 3, column 'tokens' is empty"),
        ("1000000,-1,8192,0.001,3.5,total", r"line 3, column 'tokens' is -1; .*above 0"),
        ("1000000,1e8,8192,0,3.5,total", r"line 3, column 'lr' is 0; .*peak learning rate"),
        ("1000000,1e8,8192,0.001,3.5,all", r"line 3, column 'n_kind' is 'all'"),
        ("1000000,1e8,8192", r"line 3 has 3 cells for 6 columns: from column 'lr' on"),
    ],
)
def test_cells_that_can_be_read_in_two_ways_are_refused_with_row_and_column(
    tmp_path: Path, row: str, told: str
) -> None:
    text = HEAD + ROW + row + "\n"
    if ";" in row:
        text = (HEAD + ROW).replace(",", ";") + row + "\n"
    with pytest.raises(DataError, match=told) as failure:
        read_runs(written(tmp_path, text))
    assert str(tmp_path) in str(failure.value)


def test_a_mark_of_byte_order_and_other_separators_do_not_matter(tmp_path: Path) -> None:
    want = read_runs(written(tmp_path, HEAD + ROW))
    for text in (
        b"\xef\xbb\xbf" + (HEAD + ROW).encode(),
        (HEAD + ROW).replace("\n", "\r\n"),
        (HEAD + ROW).replace(",", ";"),
        (HEAD + ROW).replace(",", "\t"),
        HEAD.replace(",", " , ") + "\n" + ROW + "\n\n",
    ):
        equal(read_runs(written(tmp_path, text, "other.csv")), want)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (HEAD.encode(), "has no runs"),
        (ROW.encode().replace(b"total", b"1"), "line 1 must name the columns"),
        (("﻿" + HEAD).encode("utf-16"), "not UTF-8"),
        (HEAD.encode() + b'1e6,1e8,8192,0.001,"3.5\n', "quotes must be closed"),
        (b"n_params,tokens,loss,tokens\n1,2,3,4\n", "names a column twice: tokens"),
        (b"n_params,tokens\n1e6,1e8\n", r"no column for loss \(columns: n_params, tokens\)"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_runs(written(tmp_path, data))


# Cut off while being written


@pytest.mark.parametrize("cut", range(1, len(ROW) - len(",total\n") + 1))
def test_a_cut_last_line_of_csv_is_left_out_with_a_note(tmp_path: Path, cut: int) -> None:
    table = read_runs(written(tmp_path, HEAD + ROW + ROW[:cut]))
    assert len(table) == 1
    assert [note for note in table.notes if "line 3 was left out" in note]


def test_a_cut_line_within_quotes_or_a_word_is_left_out(tmp_path: Path) -> None:
    for end in ('2e6,1e8,8192,0.001,"3', "2e6,1e8,8192,0.001,3.5,tot", "2e6,1e8,8192,0.001,3.5,tot"):
        table = read_runs(written(tmp_path, HEAD + ROW + end))
        assert (len(table), table.n_kind) == (1, "total")
        assert [note for note in table.notes if "line 3 was left out" in note]


def test_a_whole_last_line_needs_no_newline(tmp_path: Path) -> None:
    table = read_runs(written(tmp_path, HEAD + ROW + ROW.replace("3.5", "3.4").strip()))
    assert table["loss"].tolist() == [3.5, 3.4]


def test_a_cut_last_line_of_json_lines_is_left_out_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    rows = [{"n_params": 1e6, "tokens": 1e8, "loss": 3.5 + i} for i in range(3)]
    lines = [json.dumps(row) + "\n" for row in rows]
    whole = "".join(lines)
    want = read_runs(rows, n_kind="total")
    equal(read_runs(written(tmp_path, whole, "a.jsonl"), n_kind="total"), want)
    equal(read_runs(written(tmp_path, whole.rstrip(), "a.jsonl"), n_kind="total"), want)
    for cut in range(1, len(lines[-1]) - 1):
        table = read_runs(written(tmp_path, "".join(lines[:2]) + lines[2][:cut], "a.jsonl"), n_kind="total")
        equal(table, want.take([0, 1]))
        assert [note for note in table.notes if "line 3 was left out" in note]
    with pytest.raises(DataError, match="line 2 is not an object"):  # whole, so nobody was cut off
        read_runs(written(tmp_path, lines[0] + "[1e6, 1e8, 3.5]", "a.jsonl"))
    with pytest.raises(DataError, match="line 2 is not JSON"):
        read_runs(written(tmp_path, lines[0] + lines[1][:10] + "\n" + lines[2], "a.jsonl"))
    with pytest.raises(DataError, match="line 2 is not JSON"):
        read_runs(written(tmp_path, lines[0] + lines[1][:10] + "\n" + lines[2][:10], "a.jsonl"))


# Formats


def test_all_formats_give_the_same_table(tmp_path: Path) -> None:
    import pandas
    import pyarrow
    import pyarrow.parquet

    rows = [
        {"id": f"r{i}", "n_params": 10**6 + i, "tokens": 10**8, "batch_tokens": 8192 * (1 + i % 2),
         "lr": 1e-3 / (i + 1), "loss": 3.0 + i / 7, "n_kind": "total", "seed": i if i else None}
        for i in range(5)
    ]  # fmt: skip
    want = read_runs(rows)
    assert want.ids == ("r0", "r1", "r2", "r3", "r4")
    assert math.isnan(want["seed"][0])
    frame = pandas.DataFrame(rows)
    frame.to_csv(tmp_path / "pandas.csv")  # its index is a column without a name
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "runs.parquet")
    (tmp_path / "runs.json").write_text(json.dumps(rows))
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources: list[Any] = [frame, RunTable.of(rows), tmp_path]  # a folder: its runs.jsonl
    sources += [tmp_path / name for name in ("pandas.csv", "runs.parquet", "runs.json", "runs.jsonl")]
    for source in sources:
        got = read_runs(source)
        equal(got, want)
        assert (got.ids, got.n_kind, got.notes) == (want.ids, "total", ())


def test_several_files_become_one_table(tmp_path: Path) -> None:
    files = [written(tmp_path, HEAD + ROW.replace("3.5", loss), f"{loss}.csv") for loss in ("3.5", "3.4")]
    table = read_runs(files)
    assert table["loss"].tolist() == [3.5, 3.4]
    assert table.ids == tuple(f"{file} line 2" for file in files)
    both = written(tmp_path, HEAD + ROW.replace("total", "with_head"), "head.csv")
    with pytest.raises(DataError, match=r"count parameters in several ways: total, with_head"):
        read_runs([files[0], both])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.pickle", "is a pickle.*CSV"),
        ("a.pickle.xz", "is a pickle"),
        ("a.xlsx", "'.xlsx'.*csv"),
        ("none.csv", "does not exist"),
    ],
)
def test_files_that_are_not_read_say_why(tmp_path: Path, name: str, told: str) -> None:
    if name != "none.csv":
        written(tmp_path, b"x", name)
    with pytest.raises(DataError, match=told):
        read_runs(tmp_path / name)


def test_a_folder_without_runs_and_a_broken_parquet_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither runs.jsonl nor a trainer_state.json"):
        read_runs(tmp_path)
    with pytest.raises(DataError, match="no readable Parquet"):
        read_runs(written(tmp_path, b"PAR1 nothing", "a.parquet"))
    with pytest.raises(DataError, match="Row 1 is '5'"):
        read_runs([5])
    with pytest.raises(DataError, match="int is no table"):
        read_runs(5)


# Which column is which


@pytest.mark.parametrize(
    "head",
    ["N,D,L", "Model Size,training_tokens,eval_loss", "params,num_tokens,val/loss",
     "config.n_params,config.tokens,summary.eval/loss", "num_parameters,tokens_seen,train_loss"],
)  # fmt: skip
def test_ordinary_names_are_known(tmp_path: Path, head: str) -> None:
    table = read_runs(written(tmp_path, f"{head}\n1e6,1e8,3.5\n"), n_kind="total")
    assert [table[name][0] for name in ("n_params", "tokens", "loss")] == [1e6, 1e8, 3.5]


def test_two_names_for_one_thing_are_refused_with_the_list(tmp_path: Path) -> None:
    file = written(tmp_path, "N,D,eval_loss,loss\n1e6,1e8,3.5,3.4\n")
    with pytest.raises(DataError, match="several columns that may be loss: loss, eval_loss"):
        read_runs(file)
    assert read_runs(file, columns={"loss": "eval_loss"})["loss"][0] == 3.5
    assert read_runs(file, columns=["loss=loss"])["loss"][0] == 3.4
    with pytest.raises(ConfigError, match=r"no column 'eval_los'.*did you mean 'eval_loss'"):
        read_runs(file, columns={"loss": "eval_los"})
    with pytest.raises(ConfigError, match="'n_params'"):
        read_runs(file, columns={"n_param": "N"})


def test_the_count_of_parameters_is_chosen_by_n_kind(tmp_path: Path) -> None:
    file = written(tmp_path, "n_non_embedding,n_total,tokens,loss\n1e6,2e6,1e8,3.5\n")
    with pytest.raises(DataError, match=r"non_embedding \('n_non_embedding'\), total \('n_total'\).*n_kind="):
        read_runs(file)
    assert read_runs(file, n_kind="total")["n_params"][0] == 2e6
    with pytest.raises(DataError, match="not with_head"):
        read_runs(file, n_kind="with_head")
    with pytest.raises(ConfigError, match="'totl'"):
        read_runs(file, n_kind="totl")
    swept = written(tmp_path, "n_params,n_kind,n_total,tokens,loss\n1e6,non_embedding,2e6,1e8,3.5\n", "sweep.csv")
    assert (read_runs(swept).n_kind, read_runs(swept)["n_params"][0]) == ("non_embedding", 1e6)
    assert (read_runs(swept, n_kind="total").n_kind, read_runs(swept, n_kind="total")["n_params"][0]) == ("total", 2e6)
    with pytest.raises(DataError, match=r"says non_embedding, and n_kind \(--n-kind\) is given as with_head"):
        read_runs(swept, n_kind="with_head")


def test_groups_are_kept_apart_only_by_request(tmp_path: Path) -> None:
    file = written(tmp_path, "N,D,loss,dataset,tokenizer\n1e6,1e8,3.5,c4,a\n1e6,1e8,3.4,c4,b\n")
    with pytest.raises(DataError, match=r"2 data sets or tokenizers: c4 \| a, c4 \| b"):
        read_runs(file)
    assert read_runs(file, group="tokenizer").groups == ("a", "b")
    assert read_runs(file, group="dataset").groups == ("c4", "c4")
    with pytest.raises(ConfigError, match="no column 'corpus'"):
        read_runs(file, group="corpus")


def test_tokens_come_of_steps_and_batch_where_they_are_not_said() -> None:
    steps = read_runs([{"N": 1e6, "steps": 100, "batch_tokens": 8192, "loss": 3.5}], n_kind="total")
    assert steps["tokens"].tolist() == [819200]
    assert "tokens were not said; they are steps x batch" in steps.notes
    batch = read_runs([{"N": 1e6, "steps": 100, "tokens": 819200, "loss": 3.5}], n_kind="total")
    assert batch["batch_tokens"].tolist() == [8192]


def test_a_length_of_rows_that_contradicts_the_table_is_refused() -> None:
    rows = [{"N": 1e6, "D": 1e8, "loss": 3.5, "seq_len": 256}]
    assert read_runs(rows, seq_len=256)["seq_len"][0] == 256
    with pytest.raises(DataError, match=r"Row 1, column 'seq_len' is 256, and seq_len \(--seq-len\) is given as 512"):
        read_runs(rows, seq_len=512)


def test_sweeps_list_their_diverged_runs() -> None:
    rows: list[dict[str, Any]] = [{"key": f"k{i}", "n_params": 1e6, "n_kind": "total", "tokens": 1e8, "loss": 3.5 + i,
                                   "train_loss": 3.0, "diverged": False} for i in range(3)]  # fmt: skip
    rows += [{**rows[0], "key": "gone", "loss": None, "diverged": True}, {**rows[0], "key": "flag", "diverged": True}]
    table = read_runs(rows)
    assert table["loss"].tolist() == [3.5, 4.5, 5.5]
    assert [gone.id for gone in table.dropped] == ["gone", "flag"]


# Weights & Biases


WANDB = (
    '"Name","State","Notes","Created","Runtime","n_params","tokens","batch_tokens","lr","train/learning_rate","eval/loss"\n'
    '"a","finished","","2026","10","1000000","100000000","8192","0.001","0","3.5"\n'
    '"b","crashed","","2026","10","1000000","100000000","8192","0.002","0","NaN"\n'
    '"c","finished","","2026","10","1000000","100000000","8192","0.004","0","3.4"\n'
    '"d","failed","","2026","10","1000000","100000000","8192","0.008","0",""\n'
    '"e","running","","2026","10","1000000","100000000","8192","0.008","0","4.0"\n'
)


def test_exports_of_wandb_drop_and_list_what_did_not_finish(tmp_path: Path) -> None:
    table = read_runs(written(tmp_path, WANDB), n_kind="total")
    assert table.ids == ("a", "c")
    assert table["lr"].tolist() == [0.001, 0.004]
    assert [(gone.id, gone.reason) for gone in table.dropped] == [
        ("b", "its state is 'crashed'"), ("d", "its state is 'failed'"), ("e", "its state is 'running'"),
    ]  # fmt: skip
    with pytest.raises(DataError, match="none of the 5 runs"):
        read_runs(written(tmp_path, WANDB.replace("finished", "crashed")), n_kind="total")
    with pytest.raises(DataError, match="no column 'State'"):
        read_runs(written(tmp_path, HEAD + ROW), format="wandb")


# Trainer


def state(folder: Path, log: Sequence[dict[str, Any]], **changes: Any) -> Path:
    """Save what `transformers.Trainer` saves."""
    from transformers import TrainerState

    folder.mkdir(parents=True, exist_ok=True)
    given = {"global_step": 100, "max_steps": 100, "train_batch_size": 4, "total_flos": 6e6 * 100 * 2048.0, **changes}
    TrainerState(log_history=list(log), **given).save_to_json(str(folder / "trainer_state.json"))
    return folder


LOG = [
    {"step": 10, "loss": 5.0, "learning_rate": 1e-3, "epoch": 0.1},
    {"step": 50, "loss": 4.0, "learning_rate": 5e-4},
    {"step": 50, "eval_loss": 3.9, "eval_runtime": 1.0},
    {"step": 100, "loss": 3.0, "learning_rate": 0.0},
    {"step": 100, "eval_loss": 3.2, "eval_runtime": 1.0},
    {"step": 100, "train_loss": 4.0, "train_runtime": 9.0},
]
GIVEN = {"n_params": 1e6, "gradient_accumulation_steps": 2, "world_size": 1}


def test_trainings_of_trainer_are_rows(tmp_path: Path) -> None:
    state(tmp_path / "a", LOG)
    state(tmp_path / "b" / "checkpoint-90", LOG[:3], global_step=90)
    state(tmp_path / "b" / "checkpoint-100", [one for one in LOG if "eval_loss" not in one])
    state(tmp_path / "c", LOG, global_step=60)
    table = read_runs(tmp_path, seq_len=256, columns=GIVEN, n_kind="non_embedding")
    assert table.ids == (str(tmp_path / "a"), str(tmp_path / "b"))
    assert table["loss"].tolist() == [3.2, 4.0]  # the last evaluation; else the mean of the last training logs
    assert table["batch_tokens"].tolist() == [4 * 2 * 256] * 2
    assert table["tokens"].tolist() == [4 * 2 * 256 * 100] * 2
    assert table["lr"].tolist() == [1e-3] * 2
    assert [(gone.id, gone.reason) for gone in table.dropped] == [(str(tmp_path / "c"), "it stopped at step 60 of 100")]
    assert [note for note in table.notes if "mean of the last 3 training logs" in note]
    text = [f"{name}={value}" for name, value in GIVEN.items()]
    equal(read_runs([tmp_path / "a", tmp_path / "b"], columns=[*text, "seq_len=256"], n_kind="total"), table)


def test_trainer_must_be_told_what_its_state_does_not_hold(tmp_path: Path) -> None:
    folder = state(tmp_path / "a", LOG)
    with pytest.raises(DataError, match="does not hold n_params, gradient_accumulation_steps, seq_len"):
        read_runs(folder)
    with pytest.raises(DataError, match="does not hold gradient_accumulation_steps"):
        read_runs(folder, columns={"n_params": 1e6}, seq_len=256)
    assert read_runs(folder, columns={"n_params": 1e6, "batch_tokens": 2048})["batch_tokens"][0] == 2048
    with pytest.raises(ConfigError, match="'world_size'"):
        read_runs(folder, columns={**GIVEN, "world": 2}, seq_len=256)
    with pytest.raises(ConfigError, match="units and group"):
        read_runs(folder, columns=GIVEN, seq_len=256, units={"batch": "sequences"})


def test_tokens_that_trainer_counted_find_a_wrong_accumulation(tmp_path: Path) -> None:
    folder = state(tmp_path / "a", LOG, num_input_tokens_seen=4 * 2 * 256 * 100)
    assert len(read_runs(folder, columns=GIVEN, seq_len=256)) == 1
    with pytest.raises(DataError, match="gradient accumulation"):
        read_runs(folder, columns={**GIVEN, "gradient_accumulation_steps": 1}, seq_len=256)


def test_trainers_losses_are_chosen_by_name(tmp_path: Path) -> None:
    several = [{"step": 100, "eval_a_loss": 3.0}, {"step": 100, "eval_b_loss": 4.0, "learning_rate": 1e-3}]
    folder = state(tmp_path / "a", several)
    with pytest.raises(DataError, match="several losses: eval_a_loss, eval_b_loss"):
        read_runs(folder, columns=GIVEN, seq_len=256)
    assert read_runs(folder, columns={**GIVEN, "loss": "eval_b_loss"}, seq_len=256)["loss"][0] == 4.0
    with pytest.raises(DataError, match="logs no 'eval_c_loss'"):
        read_runs(folder, columns={**GIVEN, "loss": "eval_c_loss"}, seq_len=256)
    with pytest.raises(DataError, match="is not valid JSON"):
        read_runs(written(tmp_path, HEAD + ROW), format="trainer", columns=GIVEN, seq_len=256)
    with pytest.raises(DataError, match="no 'log_history'"):
        read_runs(written(tmp_path, "{}", "runs.json"), columns=GIVEN, seq_len=256)
    with pytest.raises(ConfigError, match="give their path"):
        read_runs([LOG[0]], format="trainer")
    with pytest.raises(DataError, match="neither"):
        read_runs(state(tmp_path / "b", []), columns=GIVEN, seq_len=256)


def test_trainings_of_several_sizes_are_joined(tmp_path: Path) -> None:
    sizes = {"a": 1e6, "b": 2e6}
    tables = [
        read_runs(state(tmp_path / name, LOG), seq_len=256, columns={**GIVEN, "n_params": size}, n_kind="total")
        for name, size in sizes.items()
    ]
    assert join(tables)["n_params"].tolist() == [1e6, 2e6]


# Tables behind papers


def test_the_shipped_table_of_gadre() -> None:
    """Gadre et al. 2024: three data sets; `params` counts the embeddings, `params_no_embed` the head too."""
    table = read_runs("gadre")
    assert len(table) == 104
    assert {name: table.groups.count(name) for name in set(table.groups)} == {
        "c4_original": 34,
        "rpj": 35,
        "rw_original": 35,
    }
    assert (table.n_kind, table["n_params"][0], table["batch_tokens"][0]) == ("total", 411616256, 512 * 2048)
    head = read_runs("gadre", n_kind="with_head")
    assert (head.n_kind, head["n_params"][0]) == ("with_head", 359973888)
    with pytest.raises(DataError, match="does not count non_embedding"):
        read_runs("gadre", n_kind="non_embedding")
    unsaid = [id for id, batch in zip(table.ids, table["batch_tokens"], strict=True) if math.isnan(batch)]
    assert unsaid == [f"{data}-open_lm_7b-1.0" for data in ("c4_original", "rpj", "rw_original")]
    assert [note for note in table.notes if "3 runs have a batch of one sequence" in note]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the public tables are not at {SHARED}")
def test_public_tables_are_known_by_their_columns() -> None:
    epoch = read_runs(SHARED / "chinchilla_epoch.csv")
    assert (len(epoch), epoch.n_kind) == (245, "total")
    numpy.testing.assert_allclose(6 * epoch["n_params"] * epoch["tokens"], epoch["flops"], rtol=1e-12)
    steplaw = read_runs(SHARED / "steplaw_dense.csv")
    assert (len(steplaw), steplaw.n_kind, len(steplaw.dropped)) == (1911, "non_embedding", 0)
    assert (steplaw["batch_tokens"][0], steplaw["loss"][0]) == (736 * 2048, 2.3976109618296744)
    assert numpy.isnan(steplaw["flops"]).all()
    assert len(set(zip(steplaw["n_params"], steplaw["tokens"], strict=True))) == 17
    with pytest.raises(ConfigError, match="rows of 2048 tokens"):
        read_runs(SHARED / "steplaw_dense.csv", seq_len=4096)
    assert len(read_runs(SHARED / "gadre_2024.csv")) == 104
    cells = SHARED / "misfitting_cells.csv"
    with pytest.raises(DataError, match=r"non_embedding \('params_non_embedding'\), total \('params_total'\)"):
        read_runs(cells)
    total, blocks = read_runs(cells, n_kind="total"), read_runs(cells, n_kind="non_embedding")
    assert (len(total), len(blocks)) == (81, 81)
    assert (total["n_params"] > blocks["n_params"]).all()


def test_a_format_is_not_forced_upon_other_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column for n_params and loss and tokens"):
        read_runs(written(tmp_path, "a,b\n1,2\n"), format="epoch")
    with pytest.raises(ConfigError, match="format is 'excel'"):
        read_runs(written(tmp_path, HEAD + ROW), format="excel")  # type: ignore[arg-type]


def test_flops_in_pf_days_are_not_taken_for_flops() -> None:
    rows = [{"n_params": 1e8, "flops": 1e-2, "loss": 3.0}, {"n_params": 1e8, "flops": 2e-2, "loss": 2.9}]
    with pytest.raises(DataError, match="flops=pf-days"):
        read_runs(rows)
    assert read_runs(rows, units=["flops=pf-days"])["tokens"][0] == pytest.approx(1e-2 * 8.64e19 / 6e8)


@pytest.mark.parametrize(
    ("table", "options", "option"),
    [
        ("N,D,bs,lr,loss\n1e6,1e8,8,1e-3,3.5\n", {}, "units batch=tokens (--unit batch=tokens)"),
        ("N,D,bs,lr,loss\n1e6,1e8,8,1e-3,3.5\n", {"units": ["batch=sequences"]}, "give seq_len (--seq-len)"),
        ("N,D,loss\n1e6,1e8,3.5\n", {"units": ["tokens"]}, "units (--unit) 'tokens'"),
        ("N,D,loss\n1e6,1e8,3.5\n", {"units": ["tokens=bilions"]}, "(--unit tokens=bilions)"),
        ("N,D,loss\n1e6,1e8,3.5\n", {"columns": ["los=loss"]}, "columns (--column) has 'los'"),
        ("N,D,loss\n1e6,1e8,3.5\n", {"columns": ["loss=los"]}, "columns loss (--column loss=...)"),
        ("N,D,loss\n1e6,1e8,3.5\n", {"group": "corpus"}, "group (--group-column)"),
        ("N,D\n1e6,1e8\n", {}, "columns loss=<column> (--column loss=<column>)"),
        ("N,D,eval_loss,loss\n1e6,1e8,3.5,3.4\n", {}, "columns loss=loss (--column loss=loss)"),
        ("n_non_embedding,n_total,D,loss\n1e6,2e6,1e8,3.5\n", {}, "n_kind='non_embedding' (--n-kind non_embedding)"),
        ("N,D,loss,dataset\n1e6,1e8,3.5,a\n1e6,1e8,3.5,b\n", {}, "group=<column> (--group-column <column>)"),
        ("N,D,loss,seq_len\n1e6,1e8,3.5,64\n1e6,1e8,3.5,128\n", {}, "group=seq_len (--group-column seq_len)"),
        ("N,D,batch_tokens,loss\n1e6,1e5,1e6,3.5\n", {}, "units tokens=billions (--unit tokens=billions)"),
        ("N,D,batch_tokens,seq_len,loss\n1e6,1e8,8,64,3.5\n", {}, "units batch=sequences (--unit batch=sequences)"),
        ("N,flops,loss\n1e8,10,3.5\n", {}, "units flops=pf-days (--unit flops=pf-days)"),
    ],
)
def test_a_refusal_names_the_argument_and_the_option_of_the_command(
    tmp_path: Path, table: str, options: dict[str, Any], option: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=re.escape(option)):
        read_runs(written(tmp_path, table), **options)


def test_a_trainer_state_that_lacks_numbers_names_the_option_for_each(tmp_path: Path) -> None:
    file = tmp_path / "trainer_state.json"
    file.write_text('{"log_history": []}')
    with pytest.raises(DataError, match=re.escape("(--column n_params=... --column gradient_accumulation_steps=...")):
        read_runs(file)
