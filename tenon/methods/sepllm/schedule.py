"""Who stays in the cache: the bookkeeping of one rule, shared by all layers that follow it. No keys or values here.

Every row keeps its tokens without gaps from slot 0 on, each row with its own count, so that batched rows do what they
do alone. A forward first makes a `Plan` (where the new tokens go, who sees whom, who stays, how far a key moves);
layers carry it out; `commit` makes it the state. What is interrupted before that has not happened.

Shape letters: B rows, Q new tokens, W slots in use, K = W + Q.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tenon.methods.sepllm.config import LayerRule
from tenon.methods.sepllm.mask import Whole, ranks, visible
from tenon.methods.sepllm.plan import Plan, Slots

__all__ = ["BoundedSchedule", "Schedule", "WindowSchedule", "schedule"]


class Schedule(ABC):
    """The state of one rule over a batch of rows.

    Args:
        rule: What is seen and kept.
        batch: Number of rows.
        device: Where the small index tensors live.
    """

    def __init__(self, rule: LayerRule, batch: int, device: torch.device) -> None:
        self.rule = rule
        self.slots = Slots(
            torch.empty(batch, 0, dtype=torch.long, device=device),
            torch.empty(batch, 0, dtype=torch.bool, device=device),
            (0,) * batch,
        )
        self.columns = 0
        """Columns fed so far, pads included."""
        self.tokens = torch.zeros(batch, dtype=torch.long, device=device)
        """Real tokens fed so far, per row."""
        self.compressions = 0

    def room(self, columns: int, is_real: Bool[Tensor, "batch columns"] | None) -> int:
        """Give how many of the next `columns` may go into one forward: none of them must be dropped inside it."""
        return columns

    @abstractmethod
    def plan(self, is_sep: Bool[Tensor, "batch columns"], is_real: Bool[Tensor, "batch columns"] | None) -> Plan:
        """Say what the forward of these tokens does. `is_real` is False on pads; None where there are none."""

    def commit(self, plan: Plan, is_real: Bool[Tensor, "batch columns"] | None) -> None:
        """Make a plan that was carried out the state."""
        self.slots = plan.slots
        self.columns += plan.columns
        self.tokens = self.tokens + (plan.columns if is_real is None else is_real.sum(1))

    def reorder(self, rows: Int[Tensor, " rows"]) -> None:
        """Let row `i` go on from what row `rows[i]` was (beam search, selection, repetition)."""
        chosen = rows.tolist()
        slots = self.slots
        self.slots = Slots(slots.position[rows], slots.is_sep[rows], tuple(slots.length[row] for row in chosen))
        self.tokens = self.tokens[rows]

    @property
    def has_dropped_nothing(self) -> bool:
        """Whether every column fed so far sits in the slot of its number."""
        return self.slots.width == self.columns and self.slots.is_even

    def _joined(self, is_sep: Tensor, is_real: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Give positions and separator bits of stored and new tokens side by side [B, K], and positions of the new [B,
        Q]."""
        real = torch.ones_like(is_sep) if is_real is None else is_real
        rank = ranks(real)
        new = torch.where(real, rank + self.tokens[:, None], -1)
        return torch.cat([self.slots.position, new], 1), torch.cat([self.slots.is_sep, is_sep & real], 1), new

    def _query_slot(self, is_sep: Tensor, is_real: Tensor | None) -> Tensor:
        start = torch.tensor(self.slots.length, device=is_sep.device)[:, None]
        if is_real is None:
            return start + torch.arange(is_sep.shape[1], device=is_sep.device)
        return torch.where(is_real, ranks(is_real) + start, 0)

    def _appended(self, position: Tensor, is_sep: Tensor, columns: int) -> Slots:
        """Give the slots after tokens without pads were put behind rows of equal length."""
        return Slots(position, is_sep, tuple(length + columns for length in self.slots.length))


class WindowSchedule(Schedule):
    """The fundamental design: initial tokens, all separators, and the nearest `window` tokens.

    While decoding, the new token takes the slot of the token that leaves the window, unless that is to stay: nothing
    is ever copied, and exactly the visible tokens are stored. (Keys carry their absolute positions, so their order is
    free.)
    """

    def plan(self, is_sep: Tensor, is_real: Tensor | None) -> Plan:
        """See `Schedule.plan`."""
        rule, columns = self.rule, is_sep.shape[1]
        position, joined_sep, new = self._joined(is_sep, is_real)
        fits = rule.window is None or self.columns + columns <= rule.window
        is_plain = (self.columns == 0 and (fits or rule.prefill == "dense")) or (
            self.has_dropped_nothing and is_real is None and fits
        )
        query_slot = self._query_slot(is_sep, is_real)
        if is_real is None and columns == 1 and self.columns:
            return self._decode(new[:, 0], is_sep[:, 0], is_plain, query_slot)

        seen_window = None if self.columns == 0 and rule.prefill == "dense" else rule.window

        def mask() -> Tensor:
            return visible(new, position, joined_sep, init=rule.init, window=seen_window)

        if is_real is None and fits and self.slots.is_even:
            slots = self._appended(position, joined_sep, columns)
            return Plan(slots=slots, columns=columns, is_plain=is_plain, build_mask=mask, query_slot=query_slot)
        whole = None
        if self.columns == 0 and seen_window is not None and not fits:
            whole = Whole(is_sep, is_real, rule.init, seen_window)
        stays = position >= 0
        if rule.window is not None:
            newest = position.amax(1, keepdim=True)
            stays &= joined_sep | (position < rule.init) | (position > newest - rule.window)
        slots, keep, _ = _packed(position, joined_sep, stays)
        return Plan(
            slots=slots,
            columns=columns,
            is_plain=is_plain,
            build_mask=mask,
            whole=whole,
            keep=keep,
            is_gapless=is_real is None and self.slots.is_even,
            query_slot=query_slot,
        )

    def _decode(self, token: Tensor, is_sep: Tensor, is_plain: bool, query_slot: Tensor) -> Plan:
        rule, old = self.rule, self.slots
        length = torch.tensor(old.length, device=token.device)
        slot, grown = length, length + 1
        if rule.window is not None:
            leaves = (old.position == (token - rule.window)[:, None]) & ~old.is_sep & (old.position >= rule.init)
            is_reused = leaves.any(1)
            slot = torch.where(is_reused, leaves.int().argmax(1), length)
            grown = length + ~is_reused
        lengths = tuple(grown.tolist())
        more = max(lengths) - old.width
        position = torch.nn.functional.pad(old.position, (0, more), value=-1).scatter_(1, slot[:, None], token[:, None])
        bits = torch.nn.functional.pad(old.is_sep, (0, more)).scatter_(1, slot[:, None], is_sep[:, None])
        slots = Slots(position, bits, lengths)
        return Plan(
            slots=slots,
            columns=1,
            is_plain=is_plain,
            build_mask=slots.mask,
            place=slot,
            query_slot=query_slot,
        )


class BoundedSchedule(Schedule):
    """The tailored streaming design: `Init | Sep | Past | Local`, compressed when full (section 3.3 of the paper)."""

    def __init__(self, rule: LayerRule, batch: int, device: torch.device) -> None:
        super().__init__(rule, batch, device)
        self.num_sep = torch.zeros(batch, dtype=torch.long, device=device)
        """Separators in the Sep part, per row."""
        self.overflow = (0,) * batch
        """By how much `sep_capacity` and `capacity` have grown (`cap_separators=False`), per row."""

    def room(self, columns: int, is_real: Tensor | None) -> int:
        """See `Schedule.room`; until a row of the next tokens fills the cache."""
        if self.columns == 0 and self.rule.prefill != "stream":
            return columns
        free = [self._limit(row) - length for row, length in enumerate(self.slots.length)]
        if self._is_before and min(free) <= 0:
            return 1  # the token that finds the cache full opens a new epoch
        if is_real is None:
            return min(columns, *free)
        fits = (is_real.cumsum(1) <= torch.tensor(free, device=is_real.device)[:, None]).all(0)
        return max(1, int(fits.sum()))

    def plan(self, is_sep: Tensor, is_real: Tensor | None) -> Plan:
        """See `Schedule.plan`; the tokens must be no more than `room` says."""
        rule, columns = self.rule, is_sep.shape[1]
        position, joined_sep, new = self._joined(is_sep, is_real)
        is_prefill = self.columns == 0 and rule.prefill != "stream"
        window = rule.window if is_prefill and rule.prefill == "sparse" else None
        is_plain = (self.columns == 0 and (window is None or columns <= window)) or (
            self.columns > 0 and self.has_dropped_nothing and is_real is None
        )
        stays, num_sep = position >= 0, self.num_sep
        if window is not None:
            past = position <= position.amax(1, keepdim=True) - window
            stays &= ~past | joined_sep | (position < rule.init)
            num_sep = (past & stays & (position >= rule.init)).sum(1)
        total = [length + columns for length in self.slots.length]
        if is_real is not None or window is not None:
            total = stays.sum(1).tolist()
        full = [self._is_full(row, length, is_prefill) for row, length in enumerate(total)]
        query_slot = self._query_slot(is_sep, is_real)

        def mask() -> Tensor | None:
            if columns == 1 and min(total) == position.shape[1]:
                return None
            return visible(new, position, joined_sep, init=rule.init, window=window)

        plan = Plan(
            slots=self.slots,
            columns=columns,
            is_plain=is_plain,
            build_mask=mask,
            whole=None if window is None or columns <= window else Whole(is_sep, is_real, rule.init, window),
            query_slot=query_slot,
            is_gapless=is_real is None and self.slots.is_even,
            num_sep=num_sep,
            overflow=self.overflow,
        )
        if not any(full):
            return self._stored(plan, position, joined_sep, stays, is_real is None and window is None)
        is_full = torch.tensor(full, device=position.device)
        stays, num_sep, overflow = self._compressed(joined_sep, stays, num_sep, is_full)
        slots, keep, shift = _packed(position, joined_sep, stays)
        plan = replace(plan, slots=slots, keep=keep, shift=shift, compresses=True, num_sep=num_sep, overflow=overflow)
        if not self._is_before:
            return plan
        # The new token was given its final slot as its position, so only older keys turn.
        last = torch.tensor(slots.length, device=position.device)[:, None] - 1
        return replace(
            plan,
            shift=torch.where(keep >= self.slots.width, 0, shift),
            moves_first=True,
            is_plain=False,
            query_slot=last if is_real is None else torch.where(is_real, last, 0),
            build_mask=slots.mask,
        )

    def commit(self, plan: Plan, is_real: Tensor | None) -> None:
        """See `Schedule.commit`."""
        assert plan.num_sep is not None
        self.num_sep, self.overflow = plan.num_sep, plan.overflow
        self.compressions += plan.compresses
        super().commit(plan, is_real)

    def reorder(self, rows: Tensor) -> None:
        """See `Schedule.reorder`."""
        super().reorder(rows)
        self.num_sep = self.num_sep[rows]
        self.overflow = tuple(self.overflow[row] for row in rows.tolist())

    @property
    def _is_before(self) -> bool:
        return self.rule.evict == "before"

    def _limit(self, row: int) -> int:
        """Tokens that a row may hold before the next compression."""
        assert self.rule.capacity is not None
        # `after`: c may stay, one more is seen and then compressed. `before`: reaching c compresses, so c - 1 stay.
        return self.rule.capacity + self.overflow[row] + (-1 if self._is_before else 1)

    def _is_full(self, row: int, length: int, is_prefill: bool) -> bool:
        if self._is_before:  # a prompt waits for the first decoded token, as in the released SepCache
            return not is_prefill and length > self._limit(row)
        return length >= self._limit(row)

    def _compressed(
        self, is_sep: Tensor, stays: Tensor, num_sep: Tensor, is_full: Tensor
    ) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Give what a compression of the full rows keeps [B, K], the new size of the Sep part [B], and the overflow."""
        rule = self.rule
        assert rule.local is not None
        assert rule.sep_capacity is not None
        # Order of a token among those still there: the slot it would have without gaps.
        rank = torch.where(stays, stays.cumsum(1) - 1, -1)
        total = stays.sum(1, keepdim=True)
        is_init = stays & (rank < rule.init)
        is_local = stays & (rank >= total - rule.local)
        is_old = stays & ~is_init & (rank < rule.init + num_sep[:, None])
        kept = stays & is_sep & ~(is_init | is_local | is_old)
        if rule.accumulate:
            kept |= is_old & ~is_local
        overflow = self.overflow
        if rule.cap_separators:
            newer = kept.flip(1).cumsum(1).flip(1)
            kept &= newer <= rule.sep_capacity  # the oldest go first
        count = kept.sum(1)
        if not rule.cap_separators:
            excess = (count - rule.sep_capacity).tolist()
            flags = is_full.tolist()
            overflow = tuple(
                max(grown, more) if flag else grown for grown, more, flag in zip(overflow, excess, flags, strict=True)
            )
        stays = torch.where(is_full[:, None], is_init | kept | is_local, stays)
        return stays, torch.where(is_full, count, num_sep), overflow

    def _stored(self, plan: Plan, position: Tensor, is_sep: Tensor, stays: Tensor, is_whole: bool) -> Plan:
        """Complete the plan of a forward that compresses nothing."""
        if is_whole and self.slots.is_even:
            return replace(plan, slots=self._appended(position, is_sep, plan.columns))
        slots, keep, shift = _packed(position, is_sep, stays)
        if is_whole and plan.columns == 1:  # rows of unequal length, one token each: every row has its own next slot
            place = torch.tensor(self.slots.length, device=position.device)
            return replace(plan, slots=slots, place=place, build_mask=slots.mask)
        has_gaps = not bool((shift == 0).all())
        return replace(plan, slots=slots, keep=keep, shift=shift if has_gaps else None)


def schedule(rule: LayerRule, batch: int, device: torch.device) -> Schedule:
    """Start the bookkeeping that fits a rule."""
    kind = WindowSchedule if rule.capacity is None else BoundedSchedule
    return kind(rule, batch, device)


def _packed(position: Tensor, is_sep: Tensor, stays: Tensor) -> tuple[Slots, Tensor, Tensor]:
    """Close the gaps: give the new slots, the index of what stays [B, W'], and by how many slots each moves."""
    lengths = tuple(stays.sum(1).tolist())
    width = max(lengths, default=0)
    keep = torch.argsort(~stays, dim=1, stable=True)[:, :width]
    is_used = stays.gather(1, keep)
    # In-cache positions count tokens, not slots: a pad between stored and new tokens takes no position.
    before = ((position >= 0).cumsum(1) - 1).gather(1, keep)
    after = torch.arange(width, device=position.device)
    slots = Slots(torch.where(is_used, position.gather(1, keep), -1), is_sep.gather(1, keep) & is_used, lengths)
    return slots, keep, torch.where(is_used, after - before, 0)
