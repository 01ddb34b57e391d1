"""What a cache held, token by token: five different numbers that are never mixed (section 2.11 of the
specification)."""

from __future__ import annotations

from collections.abc import Sequence

from tenon.methods.sepllm.config import SepConfig, Size
from tenon.methods.sepllm.plan import Plan
from tenon.methods.sepllm.schedule import BoundedSchedule, Schedule

__all__ = ["Usage"]


class Usage:
    """Running sums over steps, rows and layers; plain integers, read from what the host knows anyway.

    A step is one token of one row in one layer. A prompt, and a chunk fed to an unbounded cache, is one step: it
    attends to all it brings. The tokens of an epoch through a bounded cache are a step each, as if they had come one
    by one.
    """

    def __init__(self) -> None:
        self.steps = self.seen = self.attended = self.stored = 0
        self.attended_max = 0
        self.columns = self.byte_columns = 0
        self.bytes_now = self.bytes_peak = self.bytes_inside = 0
        self.compressions = self.forwards = 0
        self.stored_now = 0.0
        self._tokens: list[int] = []

    def add(
        self, layers: Sequence[tuple[Schedule, Plan]], counts: list[int] | None, num_bytes: int, inside: int
    ) -> None:
        """Add one forward.

        Args:
            layers: For every layer its schedule, still in the state before the forward, and the plan that was carried
                out.
            counts: Real tokens per row; None where all are.
            num_bytes: Memory of the cache after it [bytes].
            inside: Memory at its end, when what it replaces is still there [bytes].
        """
        batch, columns = len(layers[0][1].slots.length), layers[0][1].columns
        counts = counts or [columns] * batch
        before = self._tokens or [0] * batch
        self._tokens = [old + new for old, new in zip(before, counts, strict=True)] if len(before) == batch else counts
        groups: dict[int, int] = {}
        for _, plan in layers:
            groups[id(plan)] = groups.get(id(plan), 0) + 1
        for state, plan in {id(plan): (state, plan) for state, plan in layers}.values():
            self._add_rule(state, plan, counts, groups[id(plan)])
        self.columns += columns
        self.byte_columns += columns * num_bytes
        self.bytes_now, self.bytes_peak = num_bytes, max(self.bytes_peak, num_bytes)
        self.bytes_inside = max(self.bytes_inside, inside)
        self.forwards += 1
        self.compressions += any(plan.compresses for _, plan in layers)
        self.stored_now = sum(sum(plan.slots.length) for _, plan in layers) / (batch * len(layers))

    def reorder(self, rows: Sequence[int]) -> None:
        """Let row `i` count on from what row `rows[i]` was fed."""
        if self._tokens:
            self._tokens = [self._tokens[row] for row in rows]

    def _add_rule(self, state: Schedule, plan: Plan, counts: list[int], layers: int) -> None:
        one_by_one = isinstance(state, BoundedSchedule) and (state.columns > 0 or state.rule.prefill == "stream")
        for old, new, count, total in zip(state.slots.length, plan.slots.length, counts, self._tokens, strict=True):
            if count == 0:
                continue
            steps = count if one_by_one else 1
            # Keys that the first and the last of these steps see; in between they grow by one each.
            last = old + count if plan.place is None and not plan.moves_first else new
            first = last - steps + 1
            self.steps += layers * steps
            self.attended += layers * steps * (first + last) // 2
            self.attended_max = max(self.attended_max, last)
            self.stored += layers * ((steps - 1) * (first + last - 1) // 2 + new)
            self.seen += layers * steps * (2 * total - steps + 1) // 2

    def report(self, config: SepConfig) -> dict[str, float]:
        """Give the numbers by their names.

        - `tokens_seen`: real tokens fed, mean per row. `tokens_stored`: held now, mean per row and layer.
        - `stored_mean`, `attended_mean`, `attended_max`: tokens held after a step, and keys seen in it.
        - `kv_time_avg_pct`: keys attended to over tokens seen, both summed over steps.
        - `kv_bytes_now`, `kv_bytes_peak`, `kv_bytes_mean`: memory of the stores after a forward. `kv_bytes_inside`: the
          most at the end of one, when those it replaces are still there, so that it can be interrupted.
        - `kv_formula`: (a + s + w + c) / 2, the figure published for streams, in tokens; the mean of the layers'.
        - `forwards`: of the model. `compressions`: those that found the cache full.
        """
        rows = max(1, len(self._tokens))
        numbers = {
            "tokens_seen": sum(self._tokens) / rows,
            "tokens_stored": self.stored_now,
            "stored_mean": self.stored / max(1, self.steps),
            "attended_mean": self.attended / max(1, self.steps),
            "attended_max": self.attended_max,
            "kv_time_avg_pct": 100 * self.attended / max(1, self.seen),
            "kv_bytes_now": self.bytes_now,
            "kv_bytes_peak": self.bytes_peak,
            "kv_bytes_inside": self.bytes_inside,
            "kv_bytes_mean": self.byte_columns / max(1, self.columns),
            "forwards": self.forwards,
            "compressions": self.compressions,
        }
        if config.capacity is not None:
            parts = (config.init, config.sep_capacity, config.local, config.capacity)
            numbers["kv_formula"] = sum(map(_mean, parts)) / 2
        return numbers


def _mean(size: Size | None) -> float:
    return sum(size) / len(size) if isinstance(size, tuple) else float(size or 0)
