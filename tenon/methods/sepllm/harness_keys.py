"""What was attended to while a library evaluated a model under SepLLM, and the window of StreamingLLM that equals it.

- Generated: the sums of `Usage` over all calls of `generate`, each row up to its own end. A prompt is one step.
- Scored: the pairs of query and key that the mask lets through, over those of causal attention, of every request's real
  tokens and all layers.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from tenon.methods.sepllm.share import visible_counts

if TYPE_CHECKING:
    from tenon.methods.sepllm.cache import SepCache
    from tenon.methods.sepllm.model import Applied

__all__ = ["Keys", "equal_window"]


@dataclass
class Keys:
    """What was attended to while the harness ran; running sums over steps, rows and layers."""

    steps: int = 0
    """Steps of `generate`, as `Usage` counts them."""
    stored: int = 0
    """Tokens held after each of them."""
    attended: int = 0
    """Keys attended to in them."""
    seen: int = 0
    """Keys that full attention would have attended to in them."""
    pairs: int = 0
    """Pairs of query and key that the mask let through, of scored requests."""
    causal_pairs: int = 0
    """The same under full attention."""
    unmeasured: int = 0
    """Scored requests whose pairs are not known: those read through a bounded cache (`prefill="stream"`)."""
    cut: int = 0
    """Requests that were too long for the model and lost their beginning."""
    lengths: Counter[int] = field(default_factory=Counter)
    """How many scored requests had how many tokens."""

    def add_generated(self, cache: SepCache) -> None:
        """Add what one call of `generate` did to its cache."""
        usage = cache.usage
        self.steps, self.stored = self.steps + usage.steps, self.stored + usage.stored
        self.attended, self.seen = self.attended + usage.attended, self.seen + usage.seen

    def add_scored(self, applied: Applied, ids: Sequence[int]) -> None:
        """Add a text that is scored in one forward.

        Args:
            applied: The rule it is scored under.
            ids: Its real tokens, without the last one, which is only predicted.
        """
        self.lengths[len(ids)] += 1
        if applied.config.prefill == "stream":
            self.unmeasured += 1
            return
        tokens = len(ids)
        is_sep = applied.kept(applied.separators[torch.tensor(ids, device=applied.separators.device)][None])
        triangle = tokens * (tokens + 1) // 2
        for rule, layers in Counter(applied.rules).items():
            seen = triangle if rule.prefill == "dense" else int(visible_counts(is_sep, rule).sum())
            self.pairs, self.causal_pairs = self.pairs + layers * seen, self.causal_pairs + layers * triangle

    def row(self) -> dict[str, Any]:
        """Give what a table shows; None where nothing was generated, or not all that was scored is measured."""
        attended, seen = self.attended + self.pairs, self.seen + self.causal_pairs
        return {
            "mean cache [tokens]": self.stored / self.steps if self.steps else None,
            "share of keys [%]": 100 * attended / seen if seen and not self.unmeasured else None,
            "cut requests": self.cut,
        }


def equal_window(init: int, kept: Mapping[str, Any]) -> int:
    """Give the window with which StreamingLLM keeps as much as SepLLM was measured to keep [tokens].

    Of what was generated, that is the mean that its cache held; where texts were only scored, the window whose mask
    has as many pairs on texts of the same lengths.

    >>> equal_window(4, {"steps": 10, "stored": 1040})
    100
    >>> equal_window(1, {"steps": 0, "pairs": 7, "causal_pairs": 10, "lengths": [[4, 1]]})  # 1 + 2 + 2 + 2 of 4 queries
    1

    Args:
        init: First tokens that it keeps as well [tokens].
        kept: The fields of SepLLM's `Keys` on the same requests; `lengths` as pairs of length and count.
    """
    if kept["steps"]:
        return max(1, round(kept["stored"] / kept["steps"]) - init)

    def pairs(window: int) -> int:
        """Count what it lets through: `i + 1` keys for query `i`, up to first tokens and window together."""
        most = init + window
        return sum(
            count * (tokens * (tokens + 1) // 2 - max(0, tokens - most) * (tokens - most + 1) // 2)
            for tokens, count in kept["lengths"]
        )

    longest = max((tokens for tokens, _ in kept["lengths"]), default=1)
    goal = pairs(longest) * kept["pairs"] / max(1, kept["causal_pairs"])
    return min(longest, 1 + bisect.bisect_left(range(1, longest + 1), goal, key=pairs))
