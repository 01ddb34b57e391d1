"""Solutions from the model itself, graded (section 2.2): questions in, samples.jsonl out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from tenon.core.chat import Completion, Request, Sampling, Writer, complete
from tenon.core.commandline import say
from tenon.core.errors import DataError
from tenon.core.ranks import is_main
from tenon.methods.rise.config import PromptConfig, Recipe
from tenon.methods.rise.grading import Grade, Grader, grade_mathematics, graded
from tenon.methods.rise.rows import Question, Solution
from tenon.methods.rise.steps import split

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["MOST_WITHOUT_STEPS", "check_steps", "count_solutions", "equal_ones", "sample_requests", "sample_solutions"]

MOST_WITHOUT_STEPS = 0.9
"""A larger share of solutions without a step is an error."""

MOST_EQUAL = 0.9
"""From this share of questions on whose solutions are all the same, that is told."""

_ADVICE = (
    "Take another prompt.splitter (line, blank and sentence need no markers), or ask for the format in "
    "prompt.instruction and begin it in prompt.prefill."
)


def sample_requests(questions: Sequence[Question], recipe: Recipe) -> list[Request]:
    """Ask every question K times; a request is named `<question id>/<sample>`."""
    sampling = Sampling(
        temperature=recipe.sample.temperature, top_p=recipe.sample.top_p, max_tokens=recipe.sample.max_tokens
    )
    return [
        Request(
            key=f"{question.id}/{sample}",
            messages=recipe.prompt.messages(question.prompt),
            prefill=recipe.prompt.prefill,
            sampling=sampling,
        )
        for question in questions
        for sample in range(recipe.sample.samples)
    ]


def sample_solutions(
    run: Run,
    questions: Sequence[Question],
    writer: Writer,
    recipe: Recipe,
    *,
    grader: Grader = grade_mathematics,
    max_failed: int = 0,
) -> list[Solution]:
    """Sample K solutions of every question (questions.jsonl) and grade them; each is a row of samples.jsonl.

    The prefill is part of a solution. One that nobody could grade, because the checker failed or ran out of time or the
    model refused, is neither right nor wrong.

    Args:
        run: Where the rows stand; a run that was killed goes on.
        questions: What is asked.
        writer: Who answers.
        recipe: How it is asked, and how solutions are sampled.
        grader: Compares a solution with the gold answer.
        max_failed: So many requests may end without an answer.

    Raises:
        DataError: A question has no gold answer; or, where edited pairs are wanted, more than 90 % of the solutions
            have no step.
        BackendError: More answers are missing.
    """
    for question in questions:
        if not question.answer.strip():
            raise DataError(f"Question {question.id!r} has no gold answer; all its solutions would count as wrong.")
    for question in questions:
        run.append("questions", {"key": question.id, **asdict(question)})
    answers = complete(
        run, sample_requests(questions, recipe), writer, name="answers", label="sampling", max_failed=max_failed
    )
    cases = [(question, sample) for question in questions for sample in range(recipe.sample.samples)]
    done = {row["key"]: row for row in run.rows("samples")}
    found = []
    for (question, sample), answer in run.track(list(zip(cases, answers, strict=True)), "grading"):
        key = f"{question.id}/{sample}"
        if key in done:
            found.append(Solution(**done[key]))
            continue
        found.append(_solution(question, sample, answer, recipe.prompt, grader))
        run.append("samples", asdict(found[-1]))
    if recipe.pairs.edited:
        check_steps(found, recipe.prompt, again=f"tenon rise edit {run.path} --set prompt.splitter=sentence")
    counts = count_solutions(found, recipe.prompt)
    if counts["of one step"] > MOST_WITHOUT_STEPS * len(found):
        run.note(f"{counts['of one step']} of {len(found)} solutions are one step, from end to end. {_ADVICE}")
    if told := equal_ones(found, recipe):
        run.note(told)
        if is_main():
            say(told)
    if not run.stage_done("samples"):  # another splitter counts other steps in the same answers
        run.finish_stage("samples", **counts)
    return found


def equal_ones(solutions: Sequence[Solution], recipe: Recipe) -> str:
    """Say that nearly all questions have K times the same solution, and what helps; empty: they have not."""
    texts: dict[str, list[str]] = {}
    for one in solutions:
        texts.setdefault(one.id, []).append(one.text)
    several = [set(found) for found in texts.values() if len(found) > 1]
    equal = sum(len(found) == 1 for found in several)
    if not several or equal < MOST_EQUAL * len(several):
        return ""
    told = f"{equal} of {len(several)} questions have {recipe.sample.samples} times the same solution: "
    if recipe.sample.temperature == 0:
        return told + "sample.temperature is 0; raise it, or set sample.samples=1."
    return told + (
        f"sample.temperature={recipe.sample.temperature} is too low, or the server does not look at it. Transformers' "
        'draws with --server \'extra={"generation_config": "{\\"do_sample\\": true}"}\'.'
    )


def _solution(question: Question, sample: int, answer: Completion, prompt: PromptConfig, grader: Grader) -> Solution:
    text = prompt.prefill + answer.text
    is_answer = answer.finish_reason in ("stop", "length")
    grade = graded(grader, question.answer, text) if is_answer else Grade(None)
    return Solution(
        key=f"{question.id}/{sample}",
        id=question.id,
        sample=sample,
        text=text,
        correct=grade.correct,
        found=grade.found,
        finish_reason=answer.finish_reason,
        writer=answer.writer,
    )


def count_solutions(solutions: Sequence[Solution], prompt: PromptConfig) -> dict[str, int]:
    """Count solutions by grade and by steps, for a report."""
    steps = [len(split(one.text, prompt)) for one in solutions]
    return {
        "solutions": len(solutions),
        "right": sum(one.correct is True for one in solutions),
        "wrong": sum(one.correct is False for one in solutions),
        "not graded": sum(one.correct is None for one in solutions),
        "cut": sum(one.finish_reason == "length" for one in solutions),
        "without an answer": sum(one.found is None for one in solutions),
        "without a step": steps.count(0),
        "of one step": steps.count(1),
    }


def check_steps(solutions: Sequence[Solution], prompt: PromptConfig, *, again: str = "") -> None:
    """Refuse solutions that do not follow the format of steps.

    Args:
        solutions: All of them.
        prompt: What opens a step.
        again: A command that goes on with these solutions and another splitter.

    Raises:
        DataError: More than 90 % have no step.
    """
    share = count_solutions(solutions, prompt)["without a step"] / max(1, len(solutions))
    if share > MOST_WITHOUT_STEPS:
        example = next(one for one in solutions if not split(one.text, prompt))
        raise DataError(
            f"{share:.0%} of {len(solutions)} solutions have no step by the splitter {prompt.splitter!r}, e.g. "
            f"{example.key!r}: {example.text[:80]!r}. {_ADVICE}"
            + (f" The solutions are kept; with another splitter they are edited by: {again}" if again else "")
        )
