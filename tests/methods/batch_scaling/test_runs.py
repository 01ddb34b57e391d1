"""Tables of runs: what contradicts itself is refused, what diverged is listed, nothing is lost (sections 7.9, 9)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenon.core.errors import ConfigError, DataError
from tenon.methods.batch_scaling.runs.checks import checked, comparable, usable
from tenon.methods.batch_scaling.runs.readers import read_runs
from tenon.methods.batch_scaling.runs.table import COLUMNS, RunTable, join, to_rows, write_runs

RUN = {"n_params": 1e6, "tokens": 1e8, "batch_tokens": 8192, "lr": 1e-3, "loss": 3.5, "seq_len": 256}


def table(*changes: dict[str, Any], n_kind: str | None = "total") -> RunTable:
    return RunTable.of([{**RUN, **one} for one in changes], n_kind=n_kind)


def same(one: RunTable, other: RunTable) -> None:
    for name in COLUMNS:
        numpy.testing.assert_array_equal(one[name], other[name], err_msg=name)  # NaN equals NaN here
    assert (one.ids, one.groups, one.n_kind, one.kinds) == (other.ids, other.groups, other.n_kind, other.kinds)
    assert one.sha256() == other.sha256()


# Losses


def test_diverged_runs_are_dropped_and_listed_by_their_ids() -> None:
    rows = [{"id": f"r{i}", "loss": loss} for i, loss in enumerate([3.0, math.nan, math.inf, -1.0, 0.0, 3.1, 3.2, 3.3])]
    rows += [{"id": "r8", "loss": 3.4}]
    kept = usable(table(*rows))
    assert kept.ids == ("r0", "r5", "r6", "r7", "r8")
    assert [gone.id for gone in kept.dropped] == ["r1", "r2", "r3", "r4"]
    assert [gone.reason for gone in kept.dropped] == [
        "no loss, or diverged", "the loss is inf", "the loss is -1", "the loss is 0",
    ]  # fmt: skip


def test_half_may_diverge_and_more_is_an_error() -> None:
    half = [{"loss": math.nan}, {"loss": 3.0}]
    assert len(usable(table(*half))) == 1
    with pytest.raises(DataError, match=r"3 of 5 runs have no usable loss.*: 1, 3, 5"):
        usable(table(*half, *half, {"loss": math.inf}))


# Contradictions


def test_7_9_a_batch_of_less_than_one_row_is_an_error() -> None:
    assert len(checked(table({"batch_tokens": 256}))) == 1
    with pytest.raises(DataError, match=r"Run '2', column 'batch_tokens' is 255 tokens.*seq_len 256.*batch=sequences"):
        checked(table({}, {"batch_tokens": 255}))


def test_a_batch_larger_than_the_training_is_an_error() -> None:
    assert len(checked(table({"batch_tokens": 1e8}))) == 1
    with pytest.raises(DataError, match=r"larger than all training tokens.*tokens 100000000"):
        checked(table({"batch_tokens": 1e8 + 256}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tokens": 1e8 / 256, "batch_tokens": 8192, "steps": 1e8 / 8192}, "tokens look like sequences"),
        ({"batch_tokens": 512, "steps": 1e8 / (512 * 256)}, "batch looks like sequences"),
        ({"steps": 1e8 / 8192 / 4}, "0.25 times.*gradient accumulation"),
        ({"tokens": 1e8, "steps": 1e5 / 8192 * 1e6}, "1e3"),
    ],
)
def test_steps_times_batch_must_be_the_tokens(changes: dict[str, float], told: str) -> None:
    with pytest.raises(DataError, match=f"column 'steps'.*{told}"):
        checked(table(changes))


def test_steps_may_be_rounded() -> None:
    assert len(checked(table({"steps": math.ceil(1e8 / 8192)}, {"tokens": 10_000, "steps": 1}, {"steps": 12_000})))


@pytest.mark.parametrize("read", [read_runs, lambda rows: checked(RunTable.of(rows))])
def test_a_noise_scale_that_is_no_number_above_0_is_not_measured(read: Callable[[Any], RunTable]) -> None:
    """An unbiased estimate of it may be negative; that is no reason to refuse a table."""
    found = read([{**RUN, "noise_tokens": noise} for noise in (5e4, -5.0, math.inf, 0.0, math.nan)])
    numpy.testing.assert_array_equal(found["noise_tokens"], [5e4] + 4 * [math.nan])
    (note,) = [one for one in found.notes if "noise_tokens" in one]
    assert "can be (3 of 5 rows): it counts as not measured" in note
    assert not [one for one in read([{**RUN, "noise_tokens": 5e4}]).notes if "noise_tokens" in one]


def test_runs_of_several_data_sets_need_a_group() -> None:
    mixed = table({"group": "c4"}, {"group": "pile"})
    with pytest.raises(DataError, match=r"2 data sets or tokenizers: c4, pile.*bits per byte.*group="):
        comparable(mixed)
    assert comparable(mixed, group="group") is mixed


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [("seq_len", (256, 512), "several lengths: 256, 512"), ("n_kind", ("total", "with_head"), "total, with_head")],
)
def test_runs_of_several_kinds_need_a_group(column: str, values: tuple[Any, Any], told: str) -> None:
    mixed = table(*({column: one} for one in values), n_kind=None)
    with pytest.raises(DataError, match=told):
        comparable(mixed)
    apart = table(*({column: one, "group": str(one)} for one in values), n_kind=None)
    assert comparable(apart, group=column) is apart
    with pytest.raises(DataError, match=f"of group 'a'.*{told}"):
        comparable(table({"group": "b"}, *({column: one, "group": "a"} for one in values), n_kind=None), group="group")


def test_a_group_of_a_mixed_table_knows_what_it_counts() -> None:
    mixed = table({"n_kind": "total"}, {"n_kind": "with_head"}, n_kind=None)
    assert mixed.n_kind is None
    assert (mixed.take([1]).n_kind, mixed.take([0, 0]).n_kind) == ("with_head", "total")
    assert mixed.keep([True, False], "why").n_kind == "total"


# Only odd


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tokens": 100, "n_params": 1e9, "batch_tokens": math.nan}, "tokens=billions"),
        ({"n_params": 70}, "n_params="),
        ({"flops": 6e14 / 8.64e19}, "flops=pf-days"),
        ({"flops": 1.5e14}, "FLOPs are 0.25 times"),
        ({"loss": 20.0}, "half of the losses are above 12.5 nats"),
    ],
)
def test_what_looks_odd_is_noted_and_kept(changes: dict[str, float], told: str) -> None:
    found = checked(table(changes))
    assert len(found) == 1
    assert any(told in note for note in found.notes), found.notes


def test_a_single_large_loss_is_noted_with_its_row() -> None:
    found = checked(table({}, {"lr": 2e-3}, {"loss": 33.1}))
    assert found.notes == ("Run '3', column 'loss' is 33.1: perplexity, or a run that diverged?",)


def test_an_ordinary_table_has_no_notes_and_a_count_that_is_not_said_has_one() -> None:
    assert checked(table({"flops": 6e14})).notes == ()
    assert [note for note in checked(table({}, n_kind=None)).notes if "n_kind" in note]
    assert [note for note in checked(table({}, {})).notes if "1 rows repeat" in note]


# In and out


FLOATS = st.floats(min_value=1e-6, max_value=1e24, allow_subnormal=False)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"n_params": FLOATS, "tokens": FLOATS, "loss": st.floats(min_value=1e-3, max_value=20)},
        optional={
            "lr": FLOATS, "flops": FLOATS, "unique_tokens": FLOATS, "seed": st.integers(-5, 2**40),
            "n_kind": st.just("total"), "group": st.text(st.characters(codec="utf-8")),
        },
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@example(rows=[{"n_params": 1e6, "tokens": 1e8, "loss": 3.5}] * 2, ids=["\r", '"', "", "", "", ""], ending="csv")
@settings(max_examples=50)
@given(
    rows=ROWS,
    ids=st.lists(st.text(st.characters(codec="utf-8")), min_size=6, max_size=6),
    ending=st.sampled_from(["csv", "jsonl"]),
)
def test_random_tables_survive_a_file(
    rows: list[dict[str, Any]], ids: list[str], ending: str, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.mktemp("runs") / f"runs.{ending}"
    names = [f"{place} {id}" for place, id in enumerate(ids)]
    before = RunTable.of([{**row, "id": name} for row, name in zip(rows, names, strict=False)])
    write_runs(before, path)
    after = read_runs(path, group="group" if any(before.groups) else None)
    same(after, before)
    again = path.with_name(f"again.{ending}")
    write_runs(after, again)
    assert again.read_bytes() == path.read_bytes()


def test_rows_leave_out_what_nobody_has_and_whole_numbers_are_whole() -> None:
    assert to_rows(table({"id": "a", "lr": None})) == [
        {"id": "a", "n_params": 1_000_000, "tokens": 100_000_000, "batch_tokens": 8192, "loss": 3.5, "seq_len": 256,
         "n_kind": "total"}
    ]  # fmt: skip


def test_a_table_is_written_as_csv_or_json_lines_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.csv or \.jsonl"):
        write_runs(table({}), tmp_path / "runs.xlsx")


def test_joining_keeps_rows_kinds_and_what_was_dropped() -> None:
    one = table({"id": "a"}, {"id": "b", "loss": 2.0}).keep([True, False], "why")
    both = join([one, table({"id": "c", "loss": 3.0}, n_kind="with_head")])
    assert (both.ids, both.kinds, both.n_kind) == (("a", "c"), ("total", "with_head"), None)
    assert [gone.id for gone in both.dropped] == ["b"]
    assert both["loss"].tolist() == [3.5, 3.0]
    assert join([one, table({"id": "c"})]).n_kind == "total"


def test_joining_tells_lines_of_different_files_apart() -> None:
    parts = [RunTable.of([{**RUN, "id": "line 2"}], source=name) for name in ("a.csv", "b.csv")]
    assert join(parts).ids == ("a.csv line 2", "b.csv line 2")
