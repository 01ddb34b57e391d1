"""What a model gets right, and where it goes wrong first: rates per question asked, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenon.core.chat import Completion, Request, Sampling, complete
from tenon.core.scoring.intervals import wilson_interval
from tenon.methods.rise.equations import find_equations
from tenon.methods.rise.grading import Grader, grade_mathematics, graded
from tenon.methods.rise.rows import Question
from tenon.tasks.math import FAULTS, Problem, diagnose, generate_problem

if TYPE_CHECKING:
    from tenon.core.chat import Writer
    from tenon.core.run import Run
    from tenon.methods.rise.config import EvalConfig
    from tenon.tasks.math.problem import Split

__all__ = ["Answer", "ask", "evaluate", "figures", "questions_of", "word_problems"]


SUMS_ALONE = ("arithmetic", "other")
"""The faults that can be told without a true solution."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One graded answer."""

    key: str
    """Id of the question."""
    steps: int | None
    """Steps of the true solution, where it is known."""
    correct: bool | None
    """Whether the final answer is the gold one; None: the checker failed."""
    fault: str | None
    """The first fault of a wrong answer: one of `FAULTS`, or `cut`."""
    is_cut: bool
    """Whether it was cut for its length."""


def word_problems(seed: int, split: Split, count: int, *, max_steps: int) -> list[Problem]:
    """Generate word problems of 1 to `max_steps` steps in equal parts."""
    return [generate_problem(seed, split, index, steps=1 + index % max_steps) for index in range(count)]


def questions_of(problems: Iterable[Problem]) -> list[Question]:
    """Give word problems as questions."""
    return [Question(id=one.key, prompt=one.question, answer=one.answer, dataset="word problems") for one in problems]


def ask(run: Run, writer: Writer, questions: Sequence[Question], config: EvalConfig, *, name: str) -> list[Completion]:
    """Let a model answer all questions, greedily; rows in `<name>.jsonl`."""
    sampling = Sampling(temperature=0.0, max_tokens=config.max_tokens)
    prefill = config.prompt.prefill if config.prefill else ""
    requests = [
        Request(key=one.id, messages=config.prompt.messages(one.prompt), prefill=prefill, sampling=sampling)
        for one in questions
    ]
    return complete(run, requests, writer, name=name, label="answering")


def evaluate(
    run: Run,
    writer: Writer,
    questions: Sequence[Question],
    config: EvalConfig,
    *,
    problems: Sequence[Problem] = (),
    name: str = "answers",
    grader: Grader = grade_mathematics,
) -> list[Answer]:
    """Ask and grade; rows in `<name>.jsonl` and `<name>-graded.jsonl`.

    Args:
        run: Keeps the rows.
        writer: The model.
        questions: What is asked.
        config: How.
        problems: True solutions, of those questions that have the same id; of other questions' wrong answers it can
            only be told whether an equation is false (`arithmetic`) or none is (`other`).
        name: Of the rows.
        grader: Says whether an answer is right.

    Raises:
        BackendError: Answers are missing.
    """
    known, found = {one.key: one for one in problems}, []
    completions = ask(run, writer, questions, config, name=name)
    prefill = config.prompt.prefill if config.prefill else ""
    done = {row["key"]: row for row in run.rows(f"{name}-graded")}
    for question, completion in zip(questions, completions, strict=True):
        row = done.get(question.id)
        if row is None:  # only once: a checker that runs out of time may say something else the next time
            row = _judged(question, completion, prefill, known.get(question.id), grader)
            run.append(f"{name}-graded", row)
        found.append(Answer(**{field: row[field] for field in Answer.__dataclass_fields__}))
    return found


def figures(answers: Sequence[Answer]) -> dict[str, list[dict[str, Any]]]:
    """Count: `accuracy` by number of steps and in all, and `faults`, rates of the first fault per answer.

    Intervals are Wilson's, 95 %. Answers that the checker failed on are in neither count; `unchecked` says how many.
    """
    checked = [one for one in answers if one.correct is not None]
    groups: dict[Any, list[Answer]] = {}
    for one in checked:
        if one.steps is not None:
            groups.setdefault(one.steps, []).append(one)
    rows = [_accuracy(steps, groups[steps]) for steps in sorted(groups)] + [_accuracy("all", checked)]
    rows[-1] |= {"cut": sum(one.is_cut for one in answers), "unchecked": len(answers) - len(checked)}
    kinds = FAULTS if groups else SUMS_ALONE
    return {"accuracy": rows, "faults": [_rate(kind, checked) for kind in (*kinds, "cut")]}


def _judged(
    question: Question, completion: Completion, prefill: str, problem: Problem | None, grader: Grader
) -> dict[str, Any]:
    """Give the row of one answer: the fields of `Answer`, and what was found."""
    text, is_cut = prefill + completion.text, completion.finish_reason == "length"
    grade = graded(grader, question.answer, text)
    fault = None if grade.correct or grade.correct is None else _fault(problem, text)
    answer = Answer(
        key=question.id,
        steps=problem.num_steps if problem else None,
        correct=False if is_cut else grade.correct,
        fault="cut" if is_cut else fault,
        is_cut=is_cut,
    )
    return {**vars(answer), "found": grade.found}


def _fault(problem: Problem | None, text: str) -> str | None:
    """Name the first fault; without a true solution only sums can be told from the rest."""
    if problem is not None:
        found = diagnose(problem, text)
        return found.kind if found else None
    return "arithmetic" if any(not equation.holds for equation in find_equations(text)) else "other"


def _accuracy(steps: Any, answers: Sequence[Answer]) -> dict[str, Any]:
    right = sum(bool(one.correct) for one in answers)
    return {"steps": steps, "questions": len(answers), **_wilson("accuracy", right, len(answers))}


def _rate(kind: str, answers: Sequence[Answer]) -> dict[str, Any]:
    return {"fault": kind, **_wilson("rate", sum(one.fault == kind for one in answers), len(answers))}


def _wilson(name: str, count: int, total: int) -> Mapping[str, Any]:
    if not total:
        return {name: None, "low": None, "high": None}
    low, high = wilson_interval(count, total)
    return {name: count / total, "low": low, "high": high}
