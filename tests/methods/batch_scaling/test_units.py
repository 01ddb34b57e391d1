"""Counts, times and GPUs as people write them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.plans.gpus import GPU, GPUS, gpu_of
from tenon.methods.batch_scaling.plans.units import count_of, days_of, duration, gpus_of, short


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.3B", 1.3e9), ("1.3b", 1.3e9), ("300B tokens", 3e11), ("20e9", 2e10), ("500M", 5e8), ("2T", 2e12),
        ("7k", 7e3), ("1e21", 1e21), ("1e21 FLOPs", 1e21), ("3 ZFLOPs", 3e21), ("1_000_000", 1e6), (".5B", 5e8),
        ("10 PF-days", 8.64e20), ("10PFd", 8.64e20), ("2 PFLOP/s-days", 1.728e20), (12, 12.0), (1.5e9, 1.5e9),
        (" 125M params ", 1.25e8), ("1E", 1e18), ("1E9", 1e9),
    ],
)  # fmt: skip
def test_counts_are_read(text: Any, value: float) -> None:
    assert count_of(text, "x") == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", "B", "1,3B", "1.000,5", "-5e9", "0", "nan", "inf", "1e999", "twelve", "1.3BB", "e9", ".", True, None, []],
)
def test_what_is_no_count_is_refused_with_its_name(text: Any) -> None:
    with pytest.raises(ConfigError, match="tokens is"):
        count_of(text, "tokens")


def test_a_comma_is_explained() -> None:
    with pytest.raises(ConfigError, match="leave it out"):
        count_of("1,300", "tokens")


@given(st.floats(min_value=1.0, max_value=1e24))
def test_what_is_written_is_read_back_to_three_digits(value: float) -> None:
    assert count_of(short(value), "x") == pytest.approx(value, rel=6e-3)
    assert "e+" in short(value) or float(re.sub("[kMBT]", "", short(value))) < 1000  # never 1e+03B


@pytest.mark.parametrize(
    ("text", "days"), [("7d", 7), ("5", 5), (5, 5), (0.5, 0.5), ("36h", 1.5), ("2w", 14), ("90min", 0.0625)]
)
def test_times_are_read(text: Any, days: float) -> None:
    assert days_of(text, "days") == pytest.approx(days)


@pytest.mark.parametrize("text", ["", "d", "-3", "0d", "3 fortnights", "nan", True, "1.2.3"])
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError, match="days is"):
        days_of(text, "days")


@pytest.mark.parametrize(
    ("text", "found"),
    [("8xH100", (8, "H100")), ("8 x H100", (8, "H100")), ("64", (64, None)), (16, (16, None)),
     ("8*A100-40GB", (8, "A100-40GB")), ("8 H200", (8, "H200"))],
)  # fmt: skip
def test_gpus_are_read(text: Any, found: tuple[int, str | None]) -> None:
    assert gpus_of(text, "gpus") == found


@pytest.mark.parametrize("text", ["0", "H100", "1.5", "-8", "", True, "8x8"])
def test_what_is_no_number_of_gpus_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError, match="gpus is"):
        gpus_of(text, "gpus")


def test_times_are_written() -> None:
    assert [duration(hours) for hours in (0.1, 10, 100)] == ["6 min", "10 h", "4.17 days"]


def test_accelerators_by_name_or_peak() -> None:
    assert gpu_of("h100") is GPUS["H100"]
    assert gpu_of("rtx 4090") is GPUS["RTX4090"]
    assert gpu_of(GPUS["A100"]) is GPUS["A100"]
    own = gpu_of("320e12")
    assert own == GPU("3.2e+14 FLOP/s", 320e12, None)
    with pytest.raises(ConfigError, match=r"gpu \(--gpu\): no GPU is called .* did you mean 'H100'"):
        gpu_of("H1000")
    with pytest.raises(ConfigError, match="FLOP/s"):
        gpu_of(320)


def test_peaks_are_dense() -> None:
    assert GPUS["H100"].peak_flops < 1e15  # 1,979e12 is the figure with sparsity
    assert GPUS["A100"].peak_flops == 312e12
    assert all(one.memory_bytes is not None for one in GPUS.values())
