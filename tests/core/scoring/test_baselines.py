"""Baselines: real compressors, and an n-gram model that is a probability distribution and equals its slow twin."""

from __future__ import annotations

import gzip
import lzma
import math
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.core.scoring import baselines
from tenon.core.scoring.baselines import (
    ByteNgram,
    byte_ngram_bits_per_byte,
    gzip_bits_per_byte,
    xz_bits_per_byte,
)

TEXT = b"the cat sat on the mat. the dog sat on the cat, and the mat sat still. \xc3\xa9t\xc3\xa9!\n" * 3


class SlowWittenBell:
    """The equation in fractions, over dictionaries of byte strings."""

    def __init__(self, train: bytes, order: int) -> None:
        self.order = order
        self.counts: dict[bytes, Counter[int]] = defaultdict(Counter)
        for last in range(order - 1, len(train)):  # every n-gram of full length, and its ends
            for k in range(order):
                self.counts[train[last - k : last]][train[last]] += 1

    def p(self, byte: int, history: bytes) -> Fraction:
        lower = Fraction(1, 256) if not history else self.p(byte, history[1:])
        after = self.counts.get(history)
        if not after:
            return lower
        return (after[byte] + len(after) * lower) / (after.total() + len(after))

    def bits(self, text: bytes) -> list[float]:
        return [-math.log2(self.p(byte, text[max(0, i - self.order + 1) : i])) for i, byte in enumerate(text)]


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
def test_equals_the_slow_twin(order: int) -> None:
    valid = b"a dog sat. the cat sat on \xff the dog; \xc3\xa9"
    expected = SlowWittenBell(TEXT, order).bits(valid)
    assert ByteNgram(TEXT, order=order).bits(valid) == pytest.approx(expected, rel=1e-12)
    assert byte_ngram_bits_per_byte(TEXT, valid, order) == pytest.approx(sum(expected) / len(valid), rel=1e-12)


@pytest.mark.parametrize("order", [1, 3, 5])
def test_next_bytes_sum_to_one_after_any_history(order: int) -> None:
    model, rng = ByteNgram(TEXT, order=order), np.random.default_rng(0)
    histories = [b"", b"t", b"the ca", TEXT, *(rng.bytes(6) for _ in range(2))]
    histories += [TEXT[i : i + 5] for i in rng.integers(0, len(TEXT) - 5, size=2)]
    for history in histories:
        distribution = model.distribution(history)
        assert distribution.shape == (256,)
        assert distribution.min() > 0
        assert distribution.sum() == pytest.approx(1, abs=1e-12)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ByteNgram(TEXT, order=5)
    whole = model.bits(TEXT[:50])
    for size in (1, 3, 7, 49):
        monkeypatch.setattr(baselines, "_BLOCK", size)
        assert model.bits(TEXT[:50]).tolist() == whole.tolist()


def test_by_hand() -> None:
    """`aab`, one byte at a time: c(a) = 2, c(b) = 1, T = 2, so p(a) = (2 + 2/256) / 5."""
    assert ByteNgram(b"aab", order=1).distribution(b"")[ord("a")] == pytest.approx((2 + 2 / 256) / 5)
    # pairs `aa`, `ab` after the history `a`; the single bytes are their ends, so c(a) = c(b) = 1
    single = (1 + 2 / 256) / 4
    assert ByteNgram(b"aab", order=2).distribution(b"a")[ord("a")] == pytest.approx((1 + 2 * single) / 4)


def test_limits() -> None:
    rng = np.random.default_rng(0)
    noise = rng.bytes(40_000)
    assert 7.99 < byte_ngram_bits_per_byte(noise, rng.bytes(4000), order=1) < 8.05  # nothing to learn
    assert byte_ngram_bits_per_byte(TEXT * 50, TEXT * 2, order=5) < 0.9  # much to learn
    orders = [byte_ngram_bits_per_byte(TEXT, TEXT, order) for order in (1, 2, 3, 4)]
    assert orders == sorted(orders, reverse=True)  # on its own text, more history is better


def test_compressors_are_those_of_the_command_line() -> None:
    assert gzip_bits_per_byte(TEXT) == 8 * len(gzip.compress(TEXT, 9)) / len(TEXT)
    packed = lzma.compress(TEXT, preset=9 | lzma.PRESET_EXTREME)
    assert xz_bits_per_byte(TEXT) == 8 * len(packed) / len(TEXT)
    assert lzma.decompress(packed) == TEXT
    noise = np.random.default_rng(0).bytes(10_000)
    assert 8 < gzip_bits_per_byte(noise) < 8.1
    assert 8 < xz_bits_per_byte(noise) < 8.1


def test_bad_input() -> None:
    for order in (0, 9):
        with pytest.raises(ConfigError, match="must be 1 to 8"):
            ByteNgram(TEXT, order=order)
    with pytest.raises(DataError, match="There are 3 bytes to count"):
        ByteNgram(b"abc", order=5)
    for score in (gzip_bits_per_byte, xz_bits_per_byte, lambda text: byte_ngram_bits_per_byte(TEXT, text)):
        with pytest.raises(DataError, match="has no bytes"):
            score(b"")
