"""What SepLLM is compared with, each as a `SepConfig`, so that only the rule differs; and how much is measured.

- *full attention*: nothing is dropped;
- *SepLLM*;
- *StreamingLLM, equal capacity*: no separators, first and nearest tokens, the cache always full (arXiv 2309.17453);
- *StreamingLLM, equal mean*: compressed at the same moments to the same size as SepLLM, with nearer tokens in the place
  of separators: the same memory at every step.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace

from tenon.core.errors import require
from tenon.methods.sepllm.config import SepConfig, single

__all__ = ["FULL", "SEP", "STRM", "STRM_MEAN", "EvalConfig", "problem_contenders", "stream_contenders"]

FULL, SEP, STRM, STRM_MEAN = "full attention", "SepLLM", "StreamingLLM, equal capacity", "StreamingLLM, equal mean"
"""The contenders, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """How much is measured, and with which cache."""

    stream: SepConfig = field(
        default_factory=lambda: SepConfig(
            init=4, sep_capacity=16, local=128, capacity=256, prefill="stream", positions="cache"
        )
    )
    """The bounded cache for text; the sizes are the best of `tenon sepllm sizes` on books held out of training."""
    window: int = 128
    """Nearest tokens seen in word problems, where separators are kept without bound [tokens]."""
    init: int = 4
    """First tokens kept in word problems [tokens]."""
    streams: int = 8
    """Parallel stretches of the text, each a stream of its own."""
    stream_tokens: int = 1024
    """Tokens of each; within the trained context, so that full attention is at its best [tokens]."""
    long_tokens: int = 6144
    """Tokens of one long stream, past the trained context [tokens]."""
    long_equal_capacity: bool = True
    """Whether the long stream also goes through StreamingLLM at equal capacity. It compresses at every token, so that
    each token is a forward of its own: by far the slowest contender."""
    problems: int = 24
    """Unseen word problems; 0 leaves them out."""
    shots: int = 2
    """Solved examples before each."""
    max_new_tokens: int = 200
    """Longest answer [tokens]."""
    batch_size: int = 24
    """Problems answered together."""
    seed: int = 0
    """Names the draw of problems and of the bootstrap."""

    def __post_init__(self) -> None:
        require(self.stream.capacity is not None, self, "stream", "a SepConfig with a capacity")
        require(self.window >= 1, self, "window", "1 or more: it counts the query itself")
        for name in ("init", "problems", "shots"):
            require(getattr(self, name) >= 0, self, name, "0 or more")
        for name in ("max_new_tokens", "batch_size"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.long_tokens >= 8, self, "long_tokens", "8 or more: it is shown by quarters")
        require(self.streams >= 2, self, "streams", "2 or more: an interval needs several")
        require(self.stream_tokens >= 2, self, "stream_tokens", "2 or more")


def stream_contenders(sep: SepConfig) -> dict[str, SepConfig]:
    """Give the caches to compare on text with this one.

    >>> {name: (c.local, c.capacity) for name, c in stream_contenders(EvalConfig().stream).items()}
    {'SepLLM': (128, 256), 'StreamingLLM, equal capacity': (252, 256), 'StreamingLLM, equal mean': (144, 256)}
    """
    init, local = single(sep.init, "init"), single(sep.local, "local")
    capacity, sep_capacity = single(sep.capacity, "capacity"), single(sep.sep_capacity, "sep_capacity")
    bare = functools.partial(replace, sep, separators="none", separator_ids=(), sep_capacity=0)
    return {
        SEP: sep,
        STRM: bare(local=capacity - init),
        STRM_MEAN: bare(local=local + sep_capacity),
    }


def problem_contenders(window: int, init: int, length: int, mean: float | None = None) -> dict[str, SepConfig]:
    """Give the rules to compare on word problems.

    Args:
        window: SepLLM's window [tokens].
        init: First tokens kept [tokens].
        length: As long as any text [tokens].
        mean: Tokens that SepLLM was measured to keep; None while that is not known, and there is no equal mean.
    """
    rules = {
        FULL: SepConfig(init=init, window=length),
        SEP: SepConfig(init=init, window=window),
        STRM: SepConfig(init=init, window=window, separators="none"),
    }
    if mean is not None:
        rules[STRM_MEAN] = SepConfig(init=init, window=max(1, round(mean) - init), separators="none")
    return rules
