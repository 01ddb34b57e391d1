"""What one forward does to the layers of a rule, and which token then sits in which slot. No keys or values here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

from jaxtyping import Bool, Int
from torch import Tensor

from tenon.methods.sepllm.config import LayerRule
from tenon.methods.sepllm.mask import Whole, sep_mask

__all__ = ["Plan", "Slots"]


@dataclass(frozen=True)
class Slots:
    """Which token sits in which slot."""

    position: Int[Tensor, "batch slots"]
    """Index of the token among the real tokens of its row; -1 where the slot is empty."""
    is_sep: Bool[Tensor, "batch slots"]
    """Whether it is a separator."""
    length: tuple[int, ...]
    """Tokens stored per row; slots from there on are empty [tokens]."""

    @property
    def width(self) -> int:
        """Slots that some row uses."""
        return self.position.shape[1]

    @property
    def is_even(self) -> bool:
        """Whether no slot is empty."""
        return min(self.length, default=0) == self.width

    def mask(self) -> Bool[Tensor, "batch 1 slots"] | None:
        """Let one query per row see every token of its row; None where no slot is empty. An empty row sees slot 0."""
        if self.is_even:
            return None
        seen = self.position >= 0
        seen[:, 0] = True  # empty only in an empty row
        return seen[:, None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one forward does to every layer of a rule."""

    slots: Slots
    """The slots as they will be."""
    columns: int
    """New tokens per row, pads included."""
    is_plain: bool
    """Whether attention is ordinary causal attention over everything seen so far, so that the model can do it
    itself."""
    build_mask: Callable[[], Tensor | None]
    """Makes the mask [B or 1, Q, keys]; None stands for ordinary causal attention, and for one query that sees all."""
    whole: Whole | None = None
    """The same mask as a rule, where the new tokens are the whole text and not all is seen."""
    place: Int[Tensor, " batch"] | None = None
    """One new token per row: the slot it goes to. None: the new tokens follow the stored ones."""
    keep: Int[Tensor, "batch kept"] | None = None
    """Which of the W + Q tokens stay, in order, by index. None: nothing moves."""
    shift: Int[Tensor, "batch kept"] | None = None
    """How far each of them moves [slots]."""
    is_gapless: bool = False
    """Whether the new tokens are without pads and the stored rows of equal length."""
    moves_first: bool = False
    """Whether tokens are dropped before attention (`evict="before"`) rather than after it."""
    query_slot: Int[Tensor, "batch columns"]
    """In-cache position of each new token: how many keys it sees, less one; 0 for pads."""
    compresses: bool = False
    """Whether a bounded cache was found full."""
    num_sep: Int[Tensor, " batch"] | None = None
    """Size of the Sep part afterwards (bounded cache)."""
    overflow: tuple[int, ...] = ()
    """By how much each row's capacity will have grown (bounded cache)."""

    def packed(self, rule: LayerRule, is_sep: Tensor, is_real: Tensor | None, document: Tensor) -> Plan:
        """Give this plan, of a whole text, for rows that hold several documents, each of which sees itself alone."""
        marks = is_sep & rule.separators
        mask = functools.partial(
            sep_mask, marks, init=rule.init, window=rule.window, is_real=is_real, document=document
        )
        whole = None if rule.window is None else Whole(marks, is_real, rule.init, rule.window, document)
        return replace(self, is_plain=False, build_mask=mask, whole=whole)
