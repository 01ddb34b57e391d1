"""What the stages found, on the page of their run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenon.methods.rise.pictures import (
    draw_contenders,
    draw_faults,
    draw_margins,
    draw_training,
    excerpt,
    excerpt_of_attempt,
)

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.rise.rows import Edit, Pair, Solution

__all__ = [
    "show_answers",
    "show_comparison",
    "show_edits",
    "show_pairs",
    "show_solutions",
    "show_training",
    "told",
]

SHOWN = 24
"""Pairs on the page; all of them are in pairs.jsonl."""

OF_EACH = 3
"""Attempts of each outcome on the page; all of them are in edits.jsonl."""


CAPTIONS = {
    "questions": "What became of them: each is in exactly one row.",
    "edits": "What became of them: each is in exactly one row.",
    "pairs": "How many there are of each kind, and how many edited ones are missing.",
}


def show_solutions(run: Run, solutions: Sequence[Solution]) -> dict[str, Any]:
    """Show how many questions are answered rightly how often, and give the totals."""
    by_question: dict[str, list[Solution]] = {}
    for one in solutions:
        by_question.setdefault(one.id, []).append(one)
    most = max(map(len, by_question.values()))
    right = Counter(sum(bool(one.correct) for one in found) for found in by_question.values())
    rows = [
        {"right solutions": count, "questions": right[count], "share": right[count] / len(by_question)}
        for count in range(most + 1)
    ]
    run.table("solutions", rows, "Only a question with right and wrong solutions gives a pair of both.")
    return {
        "questions": len(by_question),
        "solutions": len(solutions),
        "right": sum(bool(one.correct) for one in solutions) / len(solutions),
        "with both": sum({True, False} <= {one.correct for one in found} for found in by_question.values()),
        "cut": sum(one.finish_reason == "length" for one in solutions),
        "unchecked": sum(one.correct is None for one in solutions),
    }


def show_edits(run: Run, edits: Sequence[Edit]) -> dict[str, Any]:
    """Show what became of every attempt, by kind of error, and give the totals."""
    outcomes = list(dict.fromkeys(["kept", *sorted({one.outcome for one in edits})]))
    rows = []
    for kind in dict.fromkeys(one.kind for one in edits):
        found = Counter(one.outcome for one in edits if one.kind == kind)
        rows.append(
            {"error": kind or "none fits", "attempts": found.total(), **{name: found[name] for name in outcomes}}
        )
    run.table("attempts", rows, "Attempts to inject an error into a step: kept, or why not.")
    shown = [one for name in outcomes for one in [one for one in edits if one.outcome == name][:OF_EACH]]
    if shown:
        caption = f"The first {OF_EACH} of each outcome: the step, and what the editor answered."
        run.excerpts("answers", [excerpt_of_attempt(one) for one in shown], caption)
    unclosed = sum(one.outcome == "no closing fence" for one in edits)
    if 2 * unclosed > len(edits):
        run.note(
            f"{unclosed} of {len(edits)} answers have no closing fence: the editor does not follow the request, or is "
            "cut. Let another model edit (--model), raise edit.max_tokens, or --set edit.editor=rules."
        )
    return {"attempts": len(edits), "kept": sum(one.outcome == "kept" for one in edits)}


def show_pairs(run: Run, pairs: Sequence[Pair], counts: Mapping[str, Mapping[str, int]]) -> None:
    """Show the pairs, edited words in colour, and what became of questions and edits.

    Args:
        run: Of the page.
        pairs: All of them; of each kind the first few are shown.
        counts: Per kind of thing, how many ended in which way.
    """
    for name, found in counts.items():
        rows = [{"outcome": outcome, name: count} for outcome, count in found.items()]
        run.table(name, rows, CAPTIONS.get(name, ""))
    edited = [pair for pair in pairs if pair.pair_kind == "edit"]
    full = [pair for pair in pairs if pair.pair_kind == "full"]
    if edited:
        caption = (
            f"The first {min(SHOWN, len(edited))} of {len(edited)}. What is struck out stood in the true step, what is "
            "bold replaced it: the error."
        )
        run.excerpts("steps", [excerpt(pair) for pair in edited[:SHOWN]], caption)
    if full:
        caption = f"The first {min(SHOWN // 4, len(full))} of {len(full)}: a right and a wrong solution of the model."
        run.excerpts("whole", [excerpt(pair) for pair in full[: SHOWN // 4]], caption)


def show_training(run: Run, facts: Mapping[str, Any]) -> None:
    """Show what was trained on, and how loss and margins went."""
    left_out = ", ".join(f"{count} {reason}" for reason, count in facts["dropped"].items())
    row = {name.replace("_", " "): value for name, value in {**facts, "dropped": left_out or "none"}.items()}
    run.table("training", [row], "Pairs left out are counted by reason.")
    lines = run.metrics()
    if any(line.get("loss") is not None for line in lines):
        run.figure("training", draw_training(lines), "Loss and margins over the steps.", "Two lines over steps.")


def show_answers(run: Run, counted: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> None:
    """Show accuracy and first faults of one model or more.

    Args:
        run: Of the page.
        counted: Per model what `evaluate.figures` gives.
    """
    accuracy = [{"model": name, **row} for name, found in counted.items() for row in found["accuracy"]]
    run.table("accuracy", accuracy, "Greedy answers to unseen questions; Wilson intervals, 95 %.")
    rates = {name: found["faults"] for name, found in counted.items() if found["faults"]}
    if rates:
        rows = [{"model": name, **_across(found, "fault", "rate")} for name, found in rates.items()]
        run.table("faults", rows, "How a solution goes wrong first, as a share of all solutions.")
        run.figure("faults", draw_faults(rates), "First faults, as a share of all solutions.", "Bars per fault.")


def show_comparison(run: Run, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Show contenders side by side, and give the comparison in sentences."""
    captions = {
        "contenders": "Accuracy on unseen word problems, the same for all: means over seeds with 95 % intervals, never "
        "narrower than the draw of the questions; `over full` and `over base`: lead over ordinary DPO and over no "
        "training, paired by seed and question.",
        "steps": "By the number of steps of the true solution.",
        "faults": "How a solution goes wrong first, as a share of all solutions.",
        "margins": "log p(true step) - log p(edited step) on pairs that no training saw [nats].",
    }
    run.table("contenders", list(tables["contenders"]), captions["contenders"])
    names = list(dict.fromkeys(row["contender"] for row in tables["faults"]))
    for table, column, value in (
        ("steps", "steps", "accuracy"),
        ("faults", "fault", "rate"),
        ("margins", "kind", "margin"),
    ):
        of = {name: [row for row in tables[table] if row["contender"] == name] for name in names}
        across = [{"contender": name, **_across(rows, column, value)} for name, rows in of.items()]
        run.table(table, across, f"{captions[table]} Means over seeds; intervals in the picture.")
    rates = {name: [row for row in tables["faults"] if row["contender"] == name] for name in names}
    run.figure("steps", draw_contenders(tables["steps"]), "Solved, by number of steps.", "A line per contender.")
    run.figure("faults", draw_faults(rates), captions["faults"], "Bars per fault and contender.")
    run.figure("margins", draw_margins(tables["margins"]), captions["margins"], "Points per kind and contender.")
    return told(tables["contenders"])


def _across(rows: Sequence[Mapping[str, Any]], column: str, value: str) -> dict[str, Any]:
    """Lay rows side by side, under the names that stand in a column."""
    return {str(row[column]): row[value] for row in rows}


def told(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what each contender solves, and whether it is told apart from ordinary DPO and from no training.

    >>> lead = {"over full": 0.01, "over full, low": -0.02, "over full, high": 0.04}
    >>> told([{"contender": "rise", "seeds": 5, "accuracy": 0.5, **lead}])
    ['rise: 50.0 % solved; +1.0 points over full, 95 % interval -2.0 to +4.0: not told apart with 5 seeds.']
    """
    sentences = []
    for row in rows:
        text = f"{row['contender']}: {100 * row['accuracy']:.1f} % solved"
        for name in ("full", "base"):
            if (lead := row.get(f"over {name}")) is None:
                continue
            text += f"; {100 * lead:+.1f} points over {name}"
            low, high = row[f"over {name}, low"], row[f"over {name}, high"]
            if low is None:
                text += ", one seed: no interval"
            else:
                text += f", 95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
                text += f": not told apart with {row['seeds']} seeds" if low <= 0 <= high else ""
        sentences.append(f"{text}.")
    return sentences
