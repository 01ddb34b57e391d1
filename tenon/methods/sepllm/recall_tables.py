"""What the answers of segment recall show: tables by probe and by distance, and verdicts in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.scoring.intervals import wilson_interval
from tenon.methods.sepllm.contenders import FULL, SEP
from tenon.methods.sepllm.recall import (
    HIDDEN,
    INTERVAL,
    OWN_ALONE,
    OWN_HIDDEN,
    WIDE,
    WINDOW,
    Answers,
    Probe,
    RecallConfig,
    rules,
)
from tenon.tasks.recall import RecallRow

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["figures", "show_recall", "verdicts"]

SAME = "the same"
"""How a test under the mask of the training is named."""
LEARNT = 0.9
"""Share of questions from which on the task counts as learnt."""


def figures(config: RecallConfig, rows: Sequence[RecallRow], answers: dict[Probe, list[Answers]]) -> dict[str, Any]:
    """Turn answers into the rows of the tables, and say what they show."""
    table = [_row(config, rows, probe, found) for probe, found in answers.items()]
    curves = [row for probe, found in answers.items() for row in _curve(config, rows, probe, found)]
    return {"recall": table, "distances": curves, "verdicts": verdicts(table, config)}


def _tested(probe: Probe) -> str:
    return SAME if probe.tested == probe.trained else probe.tested


def _row(config: RecallConfig, rows: Sequence[RecallRow], probe: Probe, found: list[Answers]) -> dict[str, Any]:
    beyond, within = config.reach(rules(config)[WIDE]), config.reach(rules(config)[WINDOW])
    is_far = [row.questions[-1].distance > beyond for row in rows]
    is_near = [row.questions[-1].distance <= within for row in rows]
    far = [[mark for mark, counts in zip(each.marks, is_far, strict=True) if counts] for each in found]
    near = [mark for each in found for mark, counts in zip(each.marks, is_near, strict=True) if counts]
    right, asked = sum(map(sum, far)), sum(map(len, far))
    low, high = wilson_interval(right, asked)
    shares = [sum(marks) / len(marks) for marks in far]
    return {
        "trained under": probe.trained,
        "tested under": _tested(probe),
        "models": len(found),
        "far questions": len(far[0]),
        "far accuracy": right / asked,
        "low": low,
        "high": high,
        "worst model": min(shares),
        "best model": max(shares),
        "near accuracy": sum(near) / len(near),
        "keys seen": sum(each.keys for each in found) / len(found),
    }


def _curve(
    config: RecallConfig, rows: Sequence[RecallRow], probe: Probe, found: list[Answers]
) -> Iterator[dict[str, Any]]:
    for back in range(1, config.task.segments + 1):
        places = [index for index, row in enumerate(rows) if row.questions[-1].back == back]
        marks = [each.marks[index] for each in found for index in places]
        if marks:
            low, high = wilson_interval(sum(marks), len(marks))
            yield {
                "trained under": probe.trained,
                "tested under": _tested(probe),
                "segments back": back,
                "distance": sum(rows[index].questions[-1].distance for index in places) / len(places),
                "accuracy": sum(marks) / len(marks),
                "low": low,
                "high": high,
            }


def verdicts(table: Sequence[dict[str, Any]], config: RecallConfig) -> list[str]:
    """Say what the far questions show: whether separators carry what they ask for, and whether only they can.

    Where a window answers what it cannot reach, nothing is shown; where models have not learnt the task, nothing is
    shown of their mask. That windows do not reach the far answers needs no learning: it holds for any weights.
    """
    rows = {(row["trained under"], row["tested under"]): row for row in table}

    def told(trained: str, tested: str = SAME) -> str:
        row = rows[trained, tested]
        return f"{row['far accuracy']:.1%} (95 % interval {row['low']:.1%} to {row['high']:.1%})"

    full, sep = rows[FULL, SAME], rows[SEP, SAME]
    control = max((rows[name, SAME] for name in (WINDOW, WIDE)), key=lambda row: float(row["far accuracy"]))
    found = []
    if control["low"] > config.guess:
        found.append(
            f"Uninformative: {control['trained under']} answers {control['far accuracy']:.1%} of what it cannot reach, "
            f"more than the best guess ({config.guess:.1%}); the task leaks."
        )
    elif sep["far accuracy"] < LEARNT and not _has_learnt(full):
        found.append(
            f"Uninformative: neither full attention ({told(FULL)} of the far questions) nor SepLLM ({told(SEP)}) has "
            "learnt the task."
        )
    else:
        kind = "carries" if sep["low"] > control["high"] else "does not carry"
        found.append(
            f"Trained under its mask, SepLLM {kind} what no window reaches: {told(SEP)} of the far questions, "
            f"{control['trained under']} {told(control['trained under'])}; the best guess without the pair gives "
            f"{config.guess:.1%}."
        )
    if (SEP, HIDDEN) in rows:
        found.append(
            f"The same weights with all separators hidden: {told(SEP, HIDDEN)}; with the answer's own hidden: "
            f"{told(SEP, OWN_HIDDEN)}; with no other seen: {told(SEP, OWN_ALONE)}."
        )
    for name in (FULL, INTERVAL):
        if (row := rows.get((name, SAME))) is not None and not _has_learnt(row):
            found.append(
                f"The models trained under {name} have not learnt the task in {config.train.steps} steps: {told(name)} "
                f"of the far questions, {row['near accuracy']:.1%} of the near ones. This says nothing of what the "
                "mask allows."
            )
    if _has_learnt(full):
        found.append(f"Full attention answers {told(FULL)}.")
        if (FULL, SEP) in rows:
            found.append(f"The weights trained with it, under SepLLM's mask: {told(FULL, SEP)}.")
    if (row := rows.get((INTERVAL, SAME))) is not None and _has_learnt(row):
        found.append(
            f"Trained with as many tokens kept at a fixed interval: {told(INTERVAL)}; separators are "
            f"{'better' if sep['low'] > row['high'] else 'not better'} than these."
        )
    return found


def _has_learnt(row: dict[str, Any]) -> bool:
    """Say whether models do what their mask lets them do: a part of the questions is within every mask's reach."""
    return max(float(row["near accuracy"]), float(row["far accuracy"])) >= LEARNT


def show_recall(run: Run, figures: dict[str, Any], config: RecallConfig) -> None:
    """Put table, picture and verdicts of `evaluate_recall` or `shipped_recall` into a run's report."""
    from tenon.methods.sepllm.pictures_recall import draw_recall

    masks = rules(config)
    reach = config.reach(masks[WIDE])
    run.table(
        "segment-recall",
        figures["recall"],
        f"Llama-type models of {config.layers} layers and width {config.hidden_size}, trained on the task under each "
        f"mask. Far: the answer is more than {reach} tokens back, beyond the widest window through all layers; near: "
        f"within {config.reach(masks[WINDOW])}, which every window reaches. A blind guess is right once in "
        f"{config.task.values} times, the best one without the pair {config.guess:.1%}. Intervals are Wilson's, 95 %, "
        "over the questions to all models; keys seen are counted in the cache when a question is answered.",
    )
    run.figure(
        "segment-recall",
        draw_recall(figures["distances"], reach=reach, guess=config.guess),
        "Segment recall on small models trained for it: which value stood beside this key? Bands are 95 % Wilson "
        "intervals over questions.",
        "Lines of accuracy over the distance to the answer, for five masks in training, and for changes in the test.",
    )
    for verdict in figures["verdicts"]:
        run.note(verdict)
