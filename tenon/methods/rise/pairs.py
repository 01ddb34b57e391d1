"""Which solutions are used (section 2.3), which edits become pairs (2.7), and where all the others went.

Every question and every edit is in exactly one bucket of the counts, so that nothing is lost unseen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from tenon.core.errors import DataError
from tenon.core.seeds import derive
from tenon.methods.rise.config import PairConfig, PromptConfig, Recipe
from tenon.methods.rise.filters import KEPT, corrects_itself, is_no_change
from tenon.methods.rise.rows import Choice, Edit, Pair, Question, Solution

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = [
    "ADVICE",
    "USED",
    "Pairs",
    "build_pairs",
    "choose",
    "choose_all",
    "export_pairs",
    "save_pairs",
    "told",
    "why_none",
]

USED = "used"

ADVICE: Mapping[str, str] = {
    "no solution": "sample solutions of these questions",
    "all right": "raise sample.temperature or sample.samples, take harder questions, or set pairs.need_both=false",
    "all wrong": "raise sample.samples, or take easier questions or a better model",
    "all cut": "raise sample.max_tokens",
    "right ones are cut": "raise sample.max_tokens",
    "wrong ones are cut": "raise sample.max_tokens, or set pairs.cut_rejected=true",
    "right ones correct themselves": "raise sample.samples, or set pairs.phrases=false",
    "nobody could grade them": "look at the checker: it failed, or ran out of time",
    "no edit kept": "look at the counts of edits; loosen edit.filters, or take another edit.editor",
}
"""What a question has instead of a right and a wrong solution, or of a pair, and what helps."""

PAIRED, NOT_DRAWN, OTHER = "paired", "not drawn", "of a solution that is not used"


def choose(question: Question, solutions: Iterable[Solution], config: PairConfig, seed: int) -> Choice:
    """Draw a right and a wrong solution of a question, each uniformly, whatever order they come in.

    A right one must have ended by itself. A wrong one too, unless `cut_rejected`.

    Args:
        question: The question.
        solutions: Its solutions.
        config: What may be used.
        seed: Root of the draws.

    Returns:
        The choice; its outcome is `used`, or one of `ADVICE`.
    """
    found = sorted(solutions, key=lambda one: one.sample)
    whole = [one for one in found if one.finish_reason != "length"]
    ended = [one for one in whole if one.correct]
    right = [one for one in ended if not (config.phrases and corrects_itself(question.prompt, one.text))]
    wrong = [one for one in (found if config.cut_rejected else whole) if one.correct is False]
    random = Random(derive(seed, "choice", question.id))
    if right and (wrong or not config.need_both):
        chosen, rejected = random.choice(right), random.choice(wrong) if wrong else None
        return Choice(
            key=question.id, outcome=USED, chosen=chosen.sample, rejected=None if rejected is None else rejected.sample
        )
    return Choice(key=question.id, outcome=_shortage(found, whole, ended, right))


def _shortage(found: list[Solution], whole: list[Solution], ended: list[Solution], right: list[Solution]) -> str:
    if not found:
        return "no solution"
    if all(one.correct is None for one in found):
        return "nobody could grade them"
    if not whole:
        return "all cut"
    if right:
        return "wrong ones are cut" if any(one.correct is False for one in found) else "all right"
    if ended:
        return "right ones correct themselves"
    return "right ones are cut" if any(one.correct for one in found) else "all wrong"


def choose_all(questions: Sequence[Question], solutions: Iterable[Solution], recipe: Recipe) -> list[Choice]:
    """Choose for all questions, in their order; see `choose`.

    Raises:
        DataError: A solution belongs to no question.
    """
    grouped = _by_question(questions, solutions, "solution")
    return [choose(question, grouped[question.id], recipe.pairs, recipe.seed) for question in questions]


def why_none(questions: Sequence[Question], solutions: Iterable[Solution], recipe: Recipe) -> str:
    """Say why no question can be used, and what helps; empty: one can."""
    counts = Counter(choice.outcome for choice in choose_all(questions, solutions, recipe))
    return "" if counts[USED] else told(_nonzero(counts))


@dataclass(frozen=True)
class Pairs:
    """Preference pairs, and what became of everything else."""

    rows: tuple[Pair, ...]
    """In the order of the questions; of each the full pair first, then its edited ones by step."""
    counts: dict[str, dict[str, int]]
    """`questions` and `edits`: how many are in which bucket; `pairs`: how many there are of each kind, and how many
    edited ones are missing because too few edits of a question were kept."""


def build_pairs(
    questions: Sequence[Question], solutions: Iterable[Solution], edits: Iterable[Edit], recipe: Recipe
) -> Pairs:
    """Pair solutions and edits: of each question one full pair, and N edited ones, drawn uniformly without replacement.

    A pure function of what it is given: the order of solutions and edits does not matter.

    Args:
        questions: All questions.
        solutions: Their solutions.
        edits: Attempts at the steps of the chosen solutions, as `inject_errors` gives them.
        recipe: What becomes a pair, and the seed of the draws.

    Raises:
        DataError: There is no pair at all, or edited ones are wanted and there is none, so that training would be
            ordinary DPO: the message has the counts and what helps. Or a solution or an edit belongs to no question.
    """
    by_question = _by_question(questions, solutions, "solution")
    edits_of = _by_question(questions, edits, "edit")
    pairs: list[Pair] = []
    asked: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for question in questions:
        choice = choose(question, by_question[question.id], recipe.pairs, recipe.seed)
        texts = {one.sample: one.text for one in by_question[question.id]}
        attempts = sorted(edits_of[question.id], key=lambda one: (one.sample, one.step))
        of_chosen = [one for one in attempts if one.sample == choice.chosen]
        outcomes = [_outcome(one) for one in of_chosen]
        kept = [one for one, outcome in zip(of_chosen, outcomes, strict=True) if outcome == KEPT]
        random = Random(derive(recipe.seed, "pairs", question.id))
        places = sorted(random.sample(range(len(kept)), min(recipe.pairs.edited, len(kept))))
        new = [_edited(question, kept[place]) for place in places]
        kinds["edit"] += len(new)
        tried.update({PAIRED: len(new), NOT_DRAWN: len(kept) - len(new), OTHER: len(attempts) - len(of_chosen)})
        tried.update(outcome for outcome in outcomes if outcome != KEPT)
        if choice.outcome == USED:
            kinds["edits missing"] += recipe.pairs.edited - len(new)
            if recipe.pairs.full and choice.rejected is not None:
                kinds["full"] += 1
                new.insert(0, _full(question, choice, texts))
        asked[choice.outcome if choice.outcome != USED else PAIRED if new else "no edit kept"] += 1
        pairs += new
    counts = {"questions": _nonzero(asked), "edits": _nonzero(tried), "pairs": _nonzero(kinds)}
    if not pairs or (recipe.pairs.edited and not kinds["edit"]):
        raise DataError(_nothing(counts))
    return Pairs(tuple(pairs), counts)


def _outcome(edit: Edit) -> str:
    """Give an edit's outcome, and look once more: edits of elsewhere may change nothing, and would teach nothing."""
    is_same = edit.outcome == KEPT and is_no_change(edit.chosen, edit.rejected or "")
    return "no change" if is_same else edit.outcome


def _full(question: Question, choice: Choice, texts: Mapping[int, str]) -> Pair:
    assert choice.chosen is not None
    assert choice.rejected is not None
    return Pair(
        prompt=question.prompt,
        initial_reason_steps="",
        chosen=texts[choice.chosen],
        rejected=texts[choice.rejected],
        answer=question.answer,
        dataset=question.dataset,
        source_id=question.id,
        sample_index=choice.chosen,
    )


def _edited(question: Question, edit: Edit) -> Pair:
    assert edit.rejected is not None
    return Pair(
        prompt=question.prompt,
        initial_reason_steps=edit.prefix,
        chosen=edit.chosen,
        rejected=edit.rejected,
        answer=question.answer,
        dataset=question.dataset,
        step=edit.step,
        last_step=edit.last_step,
        pair_kind="edit",
        edit_type=edit.kind,
        edit_distance=edit.distance,
        source_id=question.id,
        sample_index=edit.sample,
    )


def _by_question(questions: Sequence[Question], rows: Iterable[Any], what: str) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = defaultdict(list, {question.id: [] for question in questions})
    keys = set()
    for row in rows:
        if row.id not in grouped:
            raise DataError(
                f"The {what} {row.key!r} belongs to a question {row.id!r} that is not among the {len(questions)} "
                f"questions; give the questions that the {what}s were made from."
            )
        if row.key in keys:
            raise DataError(f"The {what} {row.key!r} is given twice; give every {what} once.")
        keys.add(row.key)
        grouped[row.id].append(row)
    return grouped


def _nonzero(counts: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items()) if count}


def told(questions: Mapping[str, int]) -> str:
    """Say how many questions ended in which way, and what helps.

    >>> told({"all cut": 2, "used": 1})
    '2 all cut (raise sample.max_tokens); 1 used'
    """
    return "; ".join(
        f"{count} {name}" + (f" ({ADVICE[name]})" if name in ADVICE else "") for name, count in questions.items()
    )


def _nothing(counts: Mapping[str, Mapping[str, int]]) -> str:
    questions = told(counts["questions"])
    edits = ", ".join(f"{count} {name}" for name, count in counts["edits"].items()) or "none was tried"
    found = f"Questions: {questions or 'none'}. Edits: {edits}."
    if not (full := counts["pairs"].get("full", 0)):
        return f"There is no pair. {found}"
    return (
        f"There is no edited pair, and {full} of whole solutions alone are ordinary DPO. {found} Take another "
        "edit.editor or loosen edit.filters; for ordinary DPO on purpose, --set pairs.edited=0."
    )


def save_pairs(run: Run, pairs: Pairs) -> None:
    """Keep pairs in the run as pairs.jsonl, and their counts as the facts of the stage `pairs`."""
    for pair in pairs.rows:
        run.append("pairs", pair.row())
    run.finish_stage("pairs", **pairs.counts)


def export_pairs(
    pairs: Iterable[Pair], tokenizer: Any, prompt: PromptConfig, *, without_eos: bool = False
) -> tuple[list[dict[str, str]], int]:
    """Give pairs as plain prompt, chosen and rejected texts, the prompt in the chat format, for other trainers.

    Such trainers put EOS behind every completion. After a step that is not the last, that would teach a model to stop
    there, and their format cannot say otherwise; such pairs are left out.

    Args:
        pairs: The pairs.
        tokenizer: Has the chat template.
        prompt: How the questions were asked.
        without_eos: The trainer puts no EOS anywhere, so that all pairs can be given.

    Returns:
        The rows, and how many pairs were left out.

    Raises:
        DataError: There is no chat template.
    """
    from tenon.methods.rise.encode import rendered

    rows, left_out = [], 0
    for pair in pairs:
        if pair.is_terminal or without_eos:
            text = rendered(tokenizer, pair, prompt)
            rows.append({"prompt": text.prompt, "chosen": text.chosen, "rejected": text.rejected})
        else:
            left_out += 1
    return rows, left_out
