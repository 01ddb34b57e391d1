"""What was measured, as tables, pictures and sentences: ways of writing, and contenders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tenon.methods.mdm.answer import GROUPS
from tenon.methods.mdm.kinds import puzzles_of
from tenon.methods.mdm.pictures import draw_groups, draw_orders

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.mdm.config import CompareConfig, EvalConfig
    from tenon.tasks.puzzles import Puzzles

__all__ = ["sentences", "show_comparison", "show_decodings"]


def show_decodings(run: Run, figures: Mapping[str, Any], config: EvalConfig, puzzles: Puzzles, objective: str) -> None:
    """Put ways of writing on the page.

    Args:
        run: Of the page.
        figures: What `compare_decodings` gave.
        config: What was compared.
        puzzles: What was asked.
        objective: What the model was trained for.
    """
    run.table(
        "decodings",
        figures["decodings"],
        f"{config.puzzles} unseen puzzles ({puzzles.name}). Strict: right by the rules; official: by the released "
        "code's way. Intervals are Wilson's, 95 %.",
    )
    if len({row["forwards"] for row in figures["decodings"]}) > 1:
        picture = draw_orders(figures["decodings"])
        run.figure("decodings", picture, "Solved, by order of writing and forward passes.", "Lines of accuracy.")
    if figures["groups"]:
        name = str(GROUPS[puzzles.name]).replace("_", " ")
        run.table("groups", figures["groups"], f"By {name}, with the first way of writing at its most steps.")
        picture = draw_groups({objective: figures["groups"]}, name)
        run.figure("groups", picture, f"Solved, by {name}.", "A line of accuracy over groups.")


def show_comparison(run: Run, figures: Mapping[str, Any], config: CompareConfig) -> list[str]:
    """Put a comparison on the page, and give it in sentences.

    Args:
        run: Of the page.
        figures: What `compare_contenders` gave.
        config: What was compared.
    """
    rows, kind = figures["contenders"], config.training.kind
    totals = [row for row in rows if row["group"] == "all"]
    run.table(
        "contenders",
        [{name: value for name, value in row.items() if name != "group"} for row in totals],
        f"{config.puzzles} unseen puzzles ({kind}), the same for all. Means over seeds with 95 % t-intervals, not "
        "narrower than the draw of the puzzles; `behind`: the first one's lead, paired by seed. Strict: right by the "
        "rules; official: by the released code's way.",
    )
    group = GROUPS[puzzles_of(kind, config.training.size).name]
    if group is not None:
        name = group.replace("_", " ")
        by_group = [row for row in rows if row["group"] != "all"]
        run.table("groups", by_group, f"By {name}.")
        lines = {one: [row for row in by_group if row["contender"] == one] for one in config.contenders}
        run.figure("groups", draw_groups(lines, name), f"Solved, by {name}.", "A line of accuracy per contender.")
    return sentences(totals)


def sentences(totals: list[dict[str, Any]]) -> list[str]:
    """Say what each contender solves, and whether the first is told apart from it.

    >>> row = {"contender": "ar", "seeds": 3, "strict": 0.5, "behind": 0.3, "behind low": -0.1, "behind high": 0.7}
    >>> sentences([row])
    ['ar: 50.0 % solved; behind by +30.0 points, 95 % interval -10.0 to +70.0: not told apart with 3 seeds.']
    """
    told = []
    for row in totals:
        text = f"{row['contender']}: {100 * row['strict']:.1f} % solved"
        if "behind" in row:
            text += f"; behind by {100 * row['behind']:+.1f} points"
            low, high = row["behind low"], row["behind high"]
            if low is None:
                text += ", one seed: no interval"
            else:
                text += f", 95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
                text += f": not told apart with {row['seeds']} seeds" if low <= 0 <= high else ""
        told.append(text + ".")
    return told
