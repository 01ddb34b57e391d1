"""What a model of text must beat, in bits per byte: two compressors, and a table of byte n-grams.

The compressors see only the text that is scored. The n-gram model is trained on the same text as the model it is
compared with, and predicts each byte before it sees it, so its figure and a language model's mean the same thing.
"""

# No `from __future__ import annotations`: tests execute the shapes.

import gzip
import lzma
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt64

from tenon.core.errors import ConfigError, DataError

__all__ = ["ByteNgram", "byte_ngram_bits_per_byte", "gzip_bits_per_byte", "xz_bits_per_byte"]

_BLOCK = 1 << 20  # positions scored at once: about 100 MB of counts on the way

_LARGEST_ORDER = 8  # an n-gram is one 64-bit number


def gzip_bits_per_byte(text: bytes) -> float:
    """Give the size under `gzip -9`, headers included [bits per byte of text]."""
    return _rate(8 * len(gzip.compress(text, compresslevel=9, mtime=0)), text)


def xz_bits_per_byte(text: bytes) -> float:
    """Give the size under `xz -9e`, headers included [bits per byte of text]; takes about 700 MB of memory."""
    return _rate(8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)), text)


def byte_ngram_bits_per_byte(train_bytes: bytes, valid_bytes: bytes, order: int = 5) -> float:
    """Give what an interpolated Witten-Bell n-gram model of `train_bytes` needs for `valid_bytes` [bits per byte].

    Args:
        train_bytes: What the model counts. 93 MB of books took 3 s of one core and 1.2 GB of memory.
        valid_bytes: What it predicts, byte by byte from the first on; the counts stay as they are.
        order: Length of the n-grams, the predicted byte included: 5 looks at the 4 bytes before.

    Raises:
        ConfigError: `order` is not 1 to 8.
        DataError: There is nothing to score, or too little to count.
    """
    return _rate(float(ByteNgram(train_bytes, order=order).bits(valid_bytes).sum()), valid_bytes)


def _rate(bits: float, text: bytes) -> float:
    if not text:
        raise DataError("The text to score has no bytes; a rate needs 1 byte or more.")
    return bits / len(text)


class _Level(NamedTuple):
    """The counts of all n-grams of one length; an n-gram is the number its bytes spell, first byte highest."""

    grams: UInt64[np.ndarray, " grams"]  # sorted
    counts: Float[np.ndarray, " grams"]
    histories: UInt64[np.ndarray, " histories"]  # the n-grams without their last byte; sorted
    totals: Float[np.ndarray, " histories"]  # count of the history, c(h)
    followers: Float[np.ndarray, " histories"]  # distinct bytes after it, T(h)


class ByteNgram:
    """A byte n-gram model with interpolated Witten-Bell smoothing (Witten and Bell 1991; Chen and Goodman 1998).

    With the history `h` of the last `k` bytes, `h'` the same without its first byte, `c` counts and `T(h)` the number
    of distinct bytes seen after `h`:

        p_k(w | h) = (c(h w) + T(h) p_{k-1}(w | h')) / (c(h) + T(h)),      p_{-1}(w) = 1 / 256,

    and `p_k = p_{k-1}` where `h` was never seen. So every byte has a positive probability, and they sum to one.
    """

    def __init__(self, train_bytes: bytes, *, order: int) -> None:
        if not 1 <= order <= _LARGEST_ORDER:
            raise ConfigError(f"order is {order}; it must be 1 to {_LARGEST_ORDER}: an n-gram is one 64-bit number.")
        if len(train_bytes) < order:
            raise DataError(f"There are {len(train_bytes)} bytes to count; n-grams of {order} need as many at least.")
        self.order = order
        grams, counts = _count(_grams(np.frombuffer(train_bytes, np.uint8), order))
        # Shorter n-grams are the ends of the longest: they lack the first few of the text, and no level reads it again.
        self._levels: list[_Level] = []
        for length in range(order, 0, -1):
            histories, starts = np.unique(grams >> 8, return_index=True)
            followers = np.diff(starts, append=len(grams)).astype(np.float64)
            self._levels.insert(0, _Level(grams, counts, histories, np.add.reduceat(counts, starts), followers))
            grams, counts = _merge(grams & np.uint64((1 << 8 * (length - 1)) - 1), counts)

    def bits(self, text: bytes) -> Float[np.ndarray, " bytes"]:
        """Give the cost of each byte of a text, given those before it: `-log2` of its probability [bits]."""
        data = np.frombuffer(text, np.uint8)
        bits = [np.empty(0)]
        for start in range(0, len(data), _BLOCK):
            before = min(start, self.order - 1)
            block = data[start - before : start + _BLOCK]
            bits.append(-np.log2(self._probabilities(block)[before:]))
        return np.concatenate(bits)

    def distribution(self, history: bytes) -> Float[np.ndarray, "256"]:
        """Give the probability of each possible next byte."""
        seen = history[len(history) - min(len(history), self.order - 1) :]
        return np.array([self._probabilities(np.frombuffer(seen + bytes([w]), np.uint8))[-1] for w in range(256)])

    def _probabilities(self, data: np.ndarray) -> Float[np.ndarray, " bytes"]:
        probability = np.full(len(data), 1 / 256)
        for length, level in enumerate(self._levels, start=1):
            if len(data) < length:
                break
            grams = _grams(data, length)  # the first `length - 1` bytes have no history this long and keep their value
            total = _look_up(level.histories, level.totals, grams >> 8)
            followers = _look_up(level.histories, level.followers, grams >> 8)
            count = _look_up(level.grams, level.counts, grams)
            seen = total > 0
            lower = probability[length - 1 :]
            lower[seen] = ((count + followers * lower) / np.where(seen, total + followers, 1))[seen]
        return probability


def _grams(data: np.ndarray, length: int) -> UInt64[np.ndarray, " grams"]:
    """Spell the n-gram that ends at each byte, from the first that has `length - 1` bytes before it."""
    grams = np.zeros(len(data) - length + 1, np.uint64)
    for offset in range(length):
        grams <<= np.uint64(8)
        grams |= data[offset : offset + len(grams)]
    return grams


def _count(grams: UInt64[np.ndarray, " all"]) -> tuple[UInt64[np.ndarray, " grams"], Float[np.ndarray, " grams"]]:
    """Sort in place and count: `numpy.unique` would hold two more copies of the largest array."""
    grams.sort()
    starts = np.flatnonzero(np.concatenate([[True], grams[1:] != grams[:-1]]))
    return grams[starts], np.diff(starts, append=len(grams)).astype(np.float64)


def _merge(
    grams: UInt64[np.ndarray, " all"], counts: Float[np.ndarray, " all"]
) -> tuple[UInt64[np.ndarray, " grams"], Float[np.ndarray, " grams"]]:
    """Add up the counts of equal n-grams."""
    order = np.argsort(grams, kind="stable")
    merged, starts = np.unique(grams[order], return_index=True)
    return merged, np.add.reduceat(counts[order], starts)


def _look_up(
    keys: UInt64[np.ndarray, " keys"], values: Float[np.ndarray, " keys"], wanted: UInt64[np.ndarray, " wanted"]
) -> Float[np.ndarray, " wanted"]:
    """Give the value of each wanted key, 0 where it is absent."""
    unique, inverse = np.unique(wanted, return_inverse=True)  # text repeats itself, and sorted queries stay in cache
    places = np.minimum(np.searchsorted(keys, unique), len(keys) - 1)
    return np.where(keys[places] == unique, values[places], 0.0)[inverse]
