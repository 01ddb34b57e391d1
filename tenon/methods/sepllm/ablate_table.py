"""The tables of the ablation: means over seeds, differences paired by seed with t-intervals, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tenon.core.scoring.student import t_interval
from tenon.methods.sepllm.contenders import FULL, SEP

__all__ = ["compare_losses", "compare_trainings", "names", "verdicts"]

_NAMES = {
    "full": FULL,
    "sep": SEP,
    "streaming": "StreamingLLM, equal window",
    "streaming_equal": "StreamingLLM, equal share",
    "fixed": "every k-th token",
    "head_tail": "SepLLM, outer layers full",
}


def names() -> dict[str, str]:
    """Give the rules of an ablation, and what each is called, in the order in which they are shown."""
    return dict(_NAMES)


def compare_losses(trainings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give one row per mask and window: means over seeds, and the paired differences to SepLLM and to full attention.

    Positive differences mean that the mask of the row is worse. Full attention has no window; its difference to SepLLM
    stands in SepLLM's rows, with the other sign.
    """
    by_mask = _by_mask(trainings)
    rows = []
    for (rule, window), group in by_mask.items():
        row: dict[str, Any] = {"rule": rule, "mask": _NAMES[rule], "window": window}
        row["loss [nats per token]"] = fmean(one["loss"] for one in group)
        row["bits per byte"] = fmean(one["bits_per_byte"] for one in group)
        row["attention map [%]"] = fmean(one["attention_map_pct"] for one in group)
        for name, control in (("SepLLM", ("sep", window)), ("full", ("full", None))):
            if (rule, window) != control and control in by_mask:
                paired = zip(group, by_mask[control], strict=True)
                mean, low, high = t_interval([one["loss"] - other["loss"] for one, other in paired])
                row |= {f"minus {name}": mean, f"minus {name}, low": low, f"minus {name}, high": high}
        rows.append(row)
    return rows


def compare_trainings(trainings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give one row per mask: the loss of models trained with full attention under it, and of those trained under it.

    `gain` is what training under the mask was worth, paired by seed.
    """
    by_mask = _by_mask(trainings)
    rows = []
    for (rule, window), group in by_mask.items():
        if rule == "full" or ("full", None) not in by_mask:
            continue
        free = [one["training_free"][f"{rule}-{window}"] for one in by_mask["full", None]]
        own = [one["loss"] for one in group]
        gain, low, high = t_interval([before - after for before, after in zip(free, own, strict=True)])
        rows.append(
            {
                "mask": _NAMES[rule],
                "window": window,
                "trained with full attention": fmean(free),
                "trained under the mask": fmean(own),
                "gain": gain,
                "gain, low": low,
                "gain, high": high,
            }
        )
    return rows


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what the comparison tells; where the interval of a difference holds none at all, it is called uninformative.

    >>> row = {"rule": "streaming", "mask": "StreamingLLM, equal window", "window": 16, "minus SepLLM": 0.03}
    >>> verdicts([row | {"minus SepLLM, low": 0.02, "minus SepLLM, high": 0.04}])[0]
    'Window 16: SepLLM is better than StreamingLLM, equal window (loss lower by 0.0300, 95 % interval 0.0200 to
    0.0400).'
    """
    found = []
    for row in rows:
        if row["rule"] == "sep" and "minus full" in row:
            ends = -row["minus full"], -row["minus full, high"], -row["minus full, low"]
            found.append(_verdict(row["window"], FULL, *ends))
        elif row["rule"] not in ("full", "sep") and "minus SepLLM" in row:
            ends = row["minus SepLLM"], row["minus SepLLM, low"], row["minus SepLLM, high"]
            found.append(_verdict(row["window"], row["mask"], *ends))
    return found


def _verdict(window: int, other: str, gain: float, low: float, high: float) -> str:
    """Say whether SepLLM's loss is lower than that of another mask, by `gain`."""
    if low <= 0 <= high:
        return (
            f"Window {window}: uninformative. {SEP} and {other} cannot be told apart (difference of losses "
            f"{gain:+.4f}, 95 % interval {low:+.4f} to {high:+.4f})."
        )
    word, side = ("better", "lower") if gain > 0 else ("worse", "higher")
    low, high = sorted((abs(low), abs(high)))
    return (
        f"Window {window}: {SEP} is {word} than {other} (loss {side} by {abs(gain):.4f}, 95 % interval {low:.4f} to "
        f"{high:.4f})."
    )


def _by_mask(trainings: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int | None], list[Mapping[str, Any]]]:
    """Put the seeds of each mask side by side, masks in the order of their names, windows from narrow to wide."""
    groups: dict[tuple[str, int | None], list[Mapping[str, Any]]] = {}
    order = list(_NAMES)
    for row in sorted(trainings, key=lambda row: (order.index(row["rule"]), row["window"] or 0, row["seed"])):
        groups.setdefault((row["rule"], row["window"]), []).append(row)
    return groups
