"""Stages B to E (sections 2.3 to 2.6): a right solution is chosen, every step of it edited once, every edit judged.

`edit_solution` does it for one solution and needs nothing else; `inject_errors` for all, in a Run that may be killed.
All draws are named by seed, question, sample and step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import TYPE_CHECKING

from tenon.core.chat import Completion, Request, Sampling, Writer, complete
from tenon.core.errors import ConfigError
from tenon.core.seeds import derive
from tenon.methods.rise.config import ErrorKind, Recipe
from tenon.methods.rise.errors import EditPrompt, draw_kind, edit_prompt, parse_edit
from tenon.methods.rise.filters import KEPT, Filters, Tokenize, Verdict
from tenon.methods.rise.grading import Grader, grade_mathematics
from tenon.methods.rise.pairs import ADVICE, USED, choose_all
from tenon.methods.rise.rows import Edit, Question, Solution
from tenon.methods.rise.rules import CANNOT, Shown, edit_at_random, edit_by_rules
from tenon.methods.rise.steps import Step, split, window

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["NOT_TRIED", "Attempt", "edit_solution", "inject_errors", "plan_edits"]

NOT_TRIED = ("blank step", "no error fits", "no answer", *CANNOT)
"""Why an attempt has no edit for the filters: the step has only blanks; no kind of error is offered for it; the request
failed; or one of `rules.CANNOT`."""


@dataclass(frozen=True)
class Attempt:
    """A step that is to be edited."""

    key: str
    """`<question id>/<sample>/<step>`."""
    question: Question
    """What was asked."""
    solution: Solution
    """The right solution."""
    step: Step
    """The step."""
    offset: int | None
    """Where the window begins in it [characters]; None: it has only blanks."""
    window: str
    """What is shown and edited."""
    kind: ErrorKind | None
    """The error that was drawn; None: none is offered."""

    @property
    def prompt(self) -> EditPrompt:
        """How a model is asked."""
        assert self.kind is not None
        return edit_prompt(self.kind, self.question.prompt, self.step.prefix, self.window)


def plan_edits(question: Question, solution: Solution, recipe: Recipe) -> list[Attempt]:
    """Give one attempt for every step of a solution, each with its kind of error drawn."""
    found = []
    for step in split(solution.text, recipe.prompt):
        shown = window(step.text, recipe.edit.window)
        offset, text = shown if shown is not None else (None, "")
        random = Random(derive(recipe.seed, "kind", question.id, solution.sample, step.number))
        kind = draw_kind(text, recipe.edit.kinds, random) if text else None
        found.append(Attempt(f"{solution.key}/{step.number}", question, solution, step, offset, text, kind))
    return found


def edit_solution(
    question: Question,
    solution: Solution,
    recipe: Recipe,
    *,
    ask: Callable[[Attempt], str] | None = None,
    tokenize: Tokenize | None = None,
    grader: Grader = grade_mathematics,
) -> list[Edit]:
    """Try to inject an error into every step of one solution.

    Args:
        question: What was asked.
        solution: A right solution.
        recipe: The editor, its filters, and the seed.
        ask: For `editor=llm`: gives a model's answer to `attempt.prompt`, the closing fence included.
        tokenize: Gives the tokens of the distance, for `unit=token`.
        grader: Tells whether a last step still ends in the gold answer.

    Returns:
        One record per step.

    Raises:
        ConfigError: The editor needs `ask`, or the distance `tokenize`.

    >>> from tenon.methods.rise.config import PRESETS
    >>> text = "Step 1: She has 12 - 5 = 7 apples.\\nAnswer: 7"
    >>> solution = Solution(
    ...     key="q/0", id="q", sample=0, text=text, correct=True, found="7", finish_reason="stop", writer="me"
    ... )
    >>> question = Question(id="q", prompt="Mia eats 5 of 12 apples. How many has she?", answer="7")
    >>> edit_solution(question, solution, PRESETS["nano"])[0].outcome in ("kept", "answer still right")
    True
    """
    filters = _filters(recipe, tokenize, grader)
    if recipe.edit.editor == "llm" and ask is None:
        raise ConfigError("edit.editor is 'llm' and there is no model; give one, or take edit.editor=rules.")
    found = []
    for attempt in plan_edits(question, solution, recipe):
        if recipe.edit.editor == "llm":
            raw = ask(attempt) if ask is not None and attempt.kind is not None else None
            found.append(_by_model(attempt, raw, "", filters))
        else:
            found.append(_in_process(attempt, recipe, filters))
    return found


def inject_errors(
    run: Run,
    questions: Sequence[Question],
    solutions: Sequence[Solution],
    recipe: Recipe,
    *,
    writer: Writer | None = None,
    tokenize: Tokenize | None = None,
    grader: Grader = grade_mathematics,
    max_failed: int = 0,
) -> list[Edit]:
    """Choose solutions (choices.jsonl), and try to inject an error into every step of the right ones (edits.jsonl).

    Args:
        run: Where the rows stand; a run that was killed goes on.
        questions: All questions.
        solutions: Their solutions.
        recipe: What is chosen, who edits, and the seed.
        writer: For `editor=llm`: the model that edits; the paper's is the one that wrote the solutions.
        tokenize: Gives the tokens of the distance, for `unit=token`.
        grader: Tells whether a last step still ends in the gold answer.
        max_failed: So many requests may end without an answer; such attempts are counted.

    Returns:
        The edits, one per step of each chosen solution; none where no edited pairs are wanted.

    Raises:
        ConfigError: The editor needs a writer, or the distance `tokenize`.
        DataError: A solution belongs to no question.
        BackendError: More answers are missing.
    """
    filters = _filters(recipe, tokenize, grader)
    if recipe.edit.editor == "llm" and writer is None and recipe.pairs.edited:
        raise ConfigError("edit.editor is 'llm' and there is no model; give one, or take edit.editor=rules.")
    chosen = _choices(run, questions, solutions, recipe)
    attempts = [attempt for pair in chosen for attempt in plan_edits(*pair, recipe)] if recipe.pairs.edited else []
    answers: dict[str, Completion] = {}
    if recipe.edit.editor == "llm" and writer is not None:
        requests = [_request(one, recipe) for one in attempts if one.kind is not None]
        answered = complete(run, requests, writer, name="edit_answers", label="editing", max_failed=max_failed)
        answers = {request.key: answer for request, answer in zip(requests, answered, strict=True)}
    done = {row["key"]: row for row in run.rows("edits")}
    edits = []
    for attempt in run.track(attempts, "judging" if answers else "editing"):
        if attempt.key in done:
            edits.append(Edit(**done[attempt.key]))
            continue
        if recipe.edit.editor == "llm":
            answer = answers.get(attempt.key)
            edits.append(_by_model(attempt, _raw(attempt, answer), answer.writer if answer else "", filters))
        else:
            edits.append(_in_process(attempt, recipe, filters))
        run.append("edits", asdict(edits[-1]))
    steps_of = Counter(attempt.solution.key for attempt in attempts)
    run.finish_stage(
        "edits",
        attempts=len(edits),
        solutions=len(chosen),
        solutions_without_a_step=sum(not steps_of[solution.key] for _, solution in chosen),
        outcomes=_counted(one.outcome for one in edits),
        kept_by_kind=_counted(str(one.kind) for one in edits if one.outcome == KEPT),
    )
    return edits


def _filters(recipe: Recipe, tokenize: Tokenize | None, grader: Grader) -> Filters:
    config = recipe.edit.filters
    if config.unit == "token" and tokenize is None:
        raise ConfigError(
            "edit.filters.unit is 'token' and there is no tokenizer; give the policy's, or take edit.filters.unit=char."
        )
    return Filters(config, grader, tokenize if config.unit == "token" else None)


def _choices(
    run: Run, questions: Sequence[Question], solutions: Sequence[Solution], recipe: Recipe
) -> list[tuple[Question, Solution]]:
    """Record what is used of every question; give the right solutions."""
    choices = choose_all(questions, solutions, recipe)
    by_key = {(one.id, one.sample): one for one in solutions}
    for choice in run.track(choices, "choosing"):
        run.append("choices", asdict(choice))
    counts = _counted(choice.outcome for choice in choices)
    for outcome, count in counts.items():
        if outcome != USED:
            run.note(f"{count} of {len(choices)} questions are not used, {outcome}: {ADVICE[outcome]}.")
    run.finish_stage("choices", **counts)
    return [
        (question, by_key[choice.key, choice.chosen])
        for question, choice in zip(questions, choices, strict=True)
        if choice.chosen is not None
    ]


def _request(attempt: Attempt, recipe: Recipe) -> Request:
    prompt = attempt.prompt
    system = ({"role": "system", "content": recipe.prompt.system},) if recipe.prompt.system else ()
    return Request(
        key=attempt.key,
        messages=(*system, {"role": "user", "content": prompt.user}),
        prefill=prompt.prefill,
        sampling=Sampling(temperature=0.0, max_tokens=recipe.edit.max_tokens, stop=(prompt.fence,)),
    )


def _raw(attempt: Attempt, answer: Completion | None) -> str | None:
    """Give what a model answered, with the fence at which it was stopped; None where it gave no answer."""
    if answer is None or answer.finish_reason == "failed":
        return None
    fence = attempt.prompt.fence
    # a server may not tell what stopped a text; a fence stands in a line of its own, so a line break came before it
    is_untold = answer.stop_string is None and answer.finish_reason == "stop" and answer.text.endswith("\n")
    return answer.text + (fence if answer.stop_string == fence or is_untold else "")


def _by_model(attempt: Attempt, raw: str | None, writer: str, filters: Filters) -> Edit:
    if raw is None or attempt.kind is None:
        return _record(attempt, attempt.kind, raw, Verdict(_why_not(attempt) or "no answer"), writer)
    edited = parse_edit(raw, attempt.prompt.fence)
    return _record(attempt, attempt.kind, raw, _judged(attempt, edited, filters), writer)


def _in_process(attempt: Attempt, recipe: Recipe, filters: Filters) -> Edit:
    at_random = recipe.edit.editor == "random"
    kind = "random" if at_random else attempt.kind
    if attempt.offset is None or kind is None:
        return _record(attempt, kind, None, Verdict(_why_not(attempt)), recipe.edit.editor)
    step, offset, text = attempt.step.text, attempt.offset, attempt.window
    shown = Shown(
        text,
        attempt.question.prompt,
        attempt.step.prefix,
        allowed=lambda edited: filters.is_near(step, offset, text, edited),
    )
    random = Random(derive(recipe.seed, "edit", attempt.question.id, attempt.solution.sample, attempt.step.number))
    if at_random or attempt.kind is None:
        proposal = edit_at_random(shown, random)
    else:
        proposal = edit_by_rules(shown, attempt.kind, random)
    verdict = Verdict(proposal.reason) if proposal.text is None else _judged(attempt, proposal.text, filters)
    return _record(attempt, kind, proposal.text, verdict, recipe.edit.editor)


def _why_not(attempt: Attempt) -> str:
    return "blank step" if attempt.offset is None else "no error fits" if attempt.kind is None else ""


def _judged(attempt: Attempt, edited: str | None, filters: Filters) -> Verdict:
    assert attempt.offset is not None
    return filters.judge(
        question=attempt.question.prompt,
        gold=attempt.question.answer,
        step=attempt.step.text,
        offset=attempt.offset,
        window=attempt.window,
        edited=edited,
        is_last=attempt.step.is_last,
    )


def _record(attempt: Attempt, kind: str | None, answer: str | None, verdict: Verdict, writer: str) -> Edit:
    return Edit(
        key=attempt.key,
        id=attempt.question.id,
        sample=attempt.solution.sample,
        step=attempt.step.number,
        last_step=attempt.step.is_last,
        prefix=attempt.step.prefix,
        chosen=attempt.step.text,
        offset=attempt.offset,
        window=attempt.window,
        kind=kind,
        answer=answer,
        rejected=verdict.rejected,
        distance=verdict.distance,
        outcome=verdict.outcome,
        writer=writer,
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
