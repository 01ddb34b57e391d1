"""The options of SepLLM: which earlier tokens a query may see, which of them the cache keeps; and published values."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Literal

from tenon.core.errors import ConfigError, require
from tenon.core.values import conform, nearest

__all__ = ["PRESETS", "LayerRule", "SepConfig", "SeparatorSet", "Size", "single"]

SeparatorSet = Literal[
    "paper",
    "four",
    "two",
    "multilingual",
    "none",
    "neox-mask",
    "neox-stream",
    "llama3-mask",
    "llama3-stream",
    "llama3-cache",
    "falcon-stream",
]
"""Sets of separators by name; what they hold stands in `separators.py`."""

Size = int | tuple[int, ...]
"""A number of tokens: the same in all layers, or one for each."""


@dataclass(frozen=True, kw_only=True)
class LayerRule:
    """What one layer sees and keeps; layers with equal rules share their bookkeeping."""

    init: int
    window: int | None
    separators: bool = True
    sep_capacity: int | None = None
    local: int | None = None
    capacity: int | None = None
    evict: Literal["after", "before"] = "after"
    prefill: Literal["sparse", "dense", "stream"] = "sparse"
    accumulate: bool = True
    cap_separators: bool = True


@dataclass(frozen=True, kw_only=True)
class SepConfig:
    """SepLLM (arXiv 2412.12094): a query sees the first tokens, every separator before it, and its nearest tokens.

    Without `capacity`, separators are kept without bound (the paper's fundamental design, eq. 1-2). With it, the cache
    holds four parts, Init | Sep | Past | Local, and is compressed when it is full (the tailored streaming design,
    section 3.3).
    """

    separators: SeparatorSet | tuple[str, ...] = "paper"
    """Which tokens end a segment: the name of a set (`paper`, `four`, `two`, `multilingual`, `none`, or a published
    list of ids such as `llama3-mask`), or the separating strings themselves. `none` is StreamingLLM."""
    separator_ids: tuple[int, ...] = ()
    """Further token ids that count as separators, such as BOS in the released Llama 3 lists."""
    match: Literal["exact", "space", "contains"] = "contains"
    """When a token is a separator: its text is one of the strings (`exact`), or that after one blank (`space`), or it
    ends with one (`contains`, which also finds merged tokens such as a full stop with two line breaks)."""
    interval: int | None = None
    """Control: not separators, but every `interval`-th token after the first ones is kept (FixLLM) [tokens]."""
    init: Size = 3
    """`a`: first tokens of every row that everyone sees [tokens]. This and the next sizes may also be one per layer
    (`--set window=64,256,256,64`)."""
    window: Size | None = 256
    """`n`: nearest tokens seen, the query itself included; none: all of them, that is, full attention [tokens]. With a
    capacity it is used by `prefill="sparse"` alone."""
    full_layers: Literal["none", "head", "head_tail", "head_mid_tail"] | tuple[int, ...] = "none"
    """Layers left with full attention: the first (`head`), also the last, also the middle one, or their indices."""
    sep_capacity: Size | None = None
    """`s`: separators kept [tokens]; set with `local` and `capacity`, or not at all."""
    local: Size | None = None
    """`w`: nearest tokens that a compression keeps [tokens]."""
    capacity: Size | None = None
    """`c`: tokens the cache holds before it is compressed [tokens]."""
    evict: Literal["after", "before"] = "after"
    """When a full cache is compressed: `after` the forward that made it exceed `capacity` (the released streaming
    code), or `before` attention, as soon as it would reach `capacity` (the released SepCache)."""
    prefill: Literal["sparse", "dense", "stream"] = "sparse"
    """How a prompt is read into an empty cache: under the mask of eq. 1 (`sparse`), with full attention and compressed
    afterwards (`dense`), or through the bounded cache (`stream`), for prompts longer than the model was trained on."""
    positions: Literal["absolute", "cache"] = "absolute"
    """Positions of keys: in the text (`absolute`), or in the cache as it is now (`cache`), which endless streams
    need."""
    accumulate: bool = True
    """Whether a compression keeps the separators of earlier compressions, not only the latest ones."""
    cap_separators: bool = True
    """Whether a compression drops the oldest separators above `sep_capacity`; if not, the capacity grows with them."""
    respect_documents: bool = False
    """Whether a token sees its own document alone where several are packed into one row, each with first tokens of its
    own; documents begin where `position_ids` do not go on by one. The released code lets attention cross borders."""
    kernel: Literal["auto", "compact", "flex", "dense"] = field(default="auto", metadata={"identity": False})
    """How a whole text, in training or as a prompt, is computed under the mask of eq. 1: with what is seen gathered
    (`compact`), the same through FlexAttention (`flex`, for GPUs), or with a mask of all pairs (`dense`); `auto` takes
    `compact` where the text is long enough to gain. The results differ by rounding."""

    def __post_init__(self) -> None:
        conform(self)
        require(_least(self.init) >= 0, self, "init", "0 or more")
        require(
            self.window is None or _least(self.window) >= 1, self, "window", "1 or more: it counts the query itself"
        )
        require(self.interval is None or self.interval >= 1, self, "interval", "1 or more")
        strings = () if isinstance(self.separators, str) else self.separators
        require(all(strings), self, "separators", "strings of one character or more")
        if len(strings) == 1 and strings[0].isalpha() and len(strings[0]) > 1:  # a set's name, misspelt
            sets = typing.get_args(SeparatorSet)
            raise ConfigError(
                f"SepConfig.separators is the single word {strings[0]!r}, and no set has that name; "
                f"{nearest(strings[0], sets)}."
            )
        require(all(index >= 0 for index in self.separator_ids), self, "separator_ids", "token ids, 0 or more")
        if len(lengths := set(self._lengths().values())) > 1:
            raise ConfigError(
                f"SepConfig has sizes for {' and '.join(map(str, sorted(lengths)))} layers "
                f"({', '.join(self._lengths())}); give one number for all layers, or one for each."
            )
        if self.sep_capacity is None or self.local is None or self.capacity is None:
            if (self.sep_capacity, self.local, self.capacity) != (None, None, None):
                raise ConfigError(
                    f"SepConfig has sep_capacity={self.sep_capacity}, local={self.local}, capacity={self.capacity}; a "
                    "bounded cache needs all three, an unbounded one none of them."
                )
            require(
                self.positions == "absolute",
                self,
                "positions",
                "'absolute' without a capacity: nothing bounds the cache",
            )
            require(self.prefill != "stream", self, "prefill", "'sparse' or 'dense' without a capacity")
        else:
            require(not self.respect_documents, self, "respect_documents", "false with a capacity: a cache is one text")
            require(_least(self.sep_capacity) >= 0, self, "sep_capacity", "0 or more")
            require(_least(self.local) >= 1, self, "local", "1 or more: the newest token is always kept")
            for layer in range(max(lengths, default=1)):
                self._check_capacity(self.rule(layer))
            if self.positions == "cache":
                require(
                    self.full_layers in ("none", ()), self, "full_layers", "'none': in-cache positions suit one rule"
                )
                if lengths:
                    raise ConfigError(
                        f"SepConfig.positions is 'cache' and {' and '.join(self._lengths())} differ by layer; in-cache "
                        "positions suit one rule, so give one number, or use positions='absolute'."
                    )

    def _check_capacity(self, rule: LayerRule) -> None:
        assert rule.sep_capacity is not None
        assert rule.local is not None
        assert rule.capacity is not None
        kept = rule.init + rule.sep_capacity + rule.local
        # Without separators nothing fills the middle: a cache of exactly init + local is StreamingLLM.
        is_exact = kept == rule.capacity and rule.sep_capacity == 0 and not self.has_separators
        if kept >= rule.capacity and not is_exact:
            raise ConfigError(
                f"SepConfig needs init + sep_capacity + local < capacity, but {rule.init} + {rule.sep_capacity} + "
                f"{rule.local} = {kept} and capacity is {rule.capacity}; raise capacity or lower one of the others."
            )

    def _lengths(self) -> dict[str, int]:
        """Give the sizes that are one per layer, and for how many layers."""
        sizes = {name: getattr(self, name) for name in SIZES}
        return {name: len(size) for name, size in sizes.items() if isinstance(size, tuple)}

    @property
    def has_separators(self) -> bool:
        """Whether any token at all can be a separator."""
        return self.interval is not None or self.separators not in ("none", ()) or bool(self.separator_ids)

    @property
    def is_off(self) -> bool:
        """Whether every layer sees and keeps everything, so that there is nothing to do."""
        return self.window is None and self.capacity is None and not self.respect_documents

    def rule(self, layer: int = 0) -> LayerRule:
        """Give the rule of a layer that is not full."""
        sizes = {name: getattr(self, name) for name in SIZES}
        return LayerRule(
            **{name: size[layer] if isinstance(size, tuple) else size for name, size in sizes.items()},
            evict=self.evict,
            prefill=self.prefill,
            accumulate=self.accumulate,
            cap_separators=self.cap_separators,
        )

    def rules(self, num_layers: int) -> list[LayerRule]:
        """Give the rule of each layer of a model; full layers see and keep everything.

        Raises:
            ConfigError: There are sizes for another number of layers, or a full layer is none of the model's.
        """
        for name, length in self._lengths().items():
            if length != num_layers:
                raise ConfigError(
                    f"SepConfig.{name} has {length} sizes, but the model has {num_layers} layers; give one for each, "
                    "or one number for all."
                )
        full, sees_all = self.full_indices(num_layers), LayerRule(init=0, window=None)
        return [sees_all if layer in full else self.rule(layer) for layer in range(num_layers)]

    def full_indices(self, num_layers: int) -> frozenset[int]:
        """Give the indices of the layers left with full attention, in a model of `num_layers`."""
        match self.full_layers:
            case "none":
                return frozenset()
            case "head":
                return frozenset({0})
            case "head_tail":
                return frozenset({0, num_layers - 1})
            case "head_mid_tail":
                return frozenset({0, num_layers // 2 - 1, num_layers - 1})  # layers 0, 5 and 11 of 12 [paper]
            case indices:
                if any(not 0 <= index < num_layers for index in indices):
                    raise ConfigError(
                        f"SepConfig.full_layers is {indices!r}, but the model has layers 0 to {num_layers - 1}; name "
                        "some of these."
                    )
                return frozenset(indices)


SIZES = ("init", "window", "sep_capacity", "local", "capacity")
"""The options that may be one per layer."""


def single(size: Size | None, name: str) -> int:
    """Give a size that is to be the same in all layers.

    Raises:
        ConfigError: It is one per layer, or none.
    """
    if not isinstance(size, int):
        raise ConfigError(f"SepConfig.{name} is {size!r}; here it must be one number for all layers.")
    return size


def _least(size: Size) -> int:
    return min(size, default=-1) if isinstance(size, tuple) else size


PRESETS: dict[str, SepConfig] = {
    # The paper's training-free setting: section 4.2, Llama-3-8B-Instruct on GSM8K and MMLU.
    "paper-mask": SepConfig(
        separators="paper",  # [paper] nine strings; the released id list has BOS and lacks tab
        match="exact",  # [code] single ids, no merged tokens
        init=3,  # [code] init_tok_max_idx = 2
        window=256,  # [paper]
    ),
    "paper-mask-llama3": SepConfig(
        separators="llama3-mask",  # [code] the literal ids, BOS among them
        init=3,  # [code]
        window=256,  # [paper]
    ),
    # Streaming, table 4: PG19, Llama-3-8B, 4 M tokens.
    "paper-stream-324": SepConfig(
        match="space",  # [code] the streaming lists hold the marks with a blank before them
        init=4, sep_capacity=64, local=224, capacity=324,  # [paper] table 4
        evict="after",  # [code] the streaming manager
        prefill="stream",  # [code] every token goes through the cache
        positions="cache",  # [paper] table 8
    ),
    # Streaming, tables 5 and 11.
    "paper-stream-800": SepConfig(
        match="space",  # [code]
        init=4, sep_capacity=64, local=256, capacity=800,  # [paper] tables 5, 11
        evict="after", prefill="stream", positions="cache",  # [code], [paper]
    ),
    # `transformers-community/sep_cache`, as in the log of its GSM8K run.
    "hub-sepcache": SepConfig(
        separators="llama3-cache",  # [hf] the literal ids
        init=4, sep_capacity=128, local=256, capacity=512,  # [code] log
        evict="before", prefill="dense", positions="absolute", cap_separators=True,  # [code] log
    ),
    # StreamingLLM (arXiv 2309.17453) in the same code: no separators.
    "streamingllm": SepConfig(
        separators="none",  # [ours] no separators is what the baseline means
        init=4, sep_capacity=0, local=320, capacity=324,  # [paper] table 4: a=4, window 320
        evict="after", prefill="stream", positions="cache",  # [code]
    ),
    # FixLLM, table 17: one token in every five instead of the separators.
    "fixed-interval": SepConfig(
        separators="none",  # [ours] no separators is what the baseline means
        interval=5,  # [paper] Delta = 5; its phase is not published, (j - a) % Delta == Delta - 1 is [ours]
        init=3, window=256,  # [paper]
    ),
    # For models of a context of 2,048 such as nano-lm, separators in merged tokens included.
    "default": SepConfig(window=128),  # [ours]
    "stream": SepConfig(
        init=4, sep_capacity=16, local=128, capacity=256,  # [ours] chosen on held-out books, results/sizes.json
        prefill="stream", positions="cache",  # [ours]
    ),
}  # fmt: skip
