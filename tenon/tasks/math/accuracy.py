"""How many word problems a model solves: few-shot chats, greedy answers, one row per problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.errors import DataError
from tenon.tasks.math.answers import extract_answer, same_answer
from tenon.tasks.math.problem import Problem

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["chat_prompt", "score_answers", "solve"]


def chat_prompt(tokenizer: Any, problem: Problem, shots: Sequence[Problem] = ()) -> str:
    """Give the prompt of a problem: the solved `shots` as earlier turns, the question, and the assistant's opening.

    Raises:
        DataError: The tokenizer has no chat template.
    """
    if tokenizer.chat_template is None:
        raise DataError(
            "The tokenizer has no chat template, so this is a base model; take an instruction-tuned one, or leave the "
            "word problems out (--problems 0)."
        )
    messages = [message for shot in shots for message in shot.messages()]
    messages.append({"role": "user", "content": problem.question})
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def score_answers(problems: Sequence[Problem], texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Grade answers; a row holds the problem's key, its number of steps, the answer found and whether it is right."""
    for problem, text in zip(problems, texts, strict=True):
        found = extract_answer(text)
        right = found is not None and same_answer(found, problem.answer)
        yield {
            "key": problem.key,
            "steps": problem.num_steps,
            "family": problem.family,
            "expected": problem.answer,
            "found": found,
            "correct": right,
            "text": text,
        }


def solve(
    run: Run,
    name: str,
    problems: Sequence[Problem],
    prompts: Sequence[str],
    answer: Callable[[Sequence[str]], list[str]],
    *,
    batch_size: int = 64,
    label: str = "word problems",
) -> list[dict[str, Any]]:
    """Answer and grade problems in fixed batches, longest prompts first so that a batch pads little.

    Batches are a function of the problems alone, so that a run that goes on leaves out the finished ones and answers
    the one under way as it was.

    Args:
        run: Keeps one row per problem.
        name: Of these rows.
        problems: What is asked.
        prompts: The prompt of each, from `chat_prompt`.
        answer: Gives one text per prompt (`core.scoring.generation.greedy_texts` with a model bound to it).
        batch_size: Prompts per call.
        label: What the progress says.

    Returns:
        The rows of all problems; see `score_answers`.
    """
    order = sorted(range(len(problems)), key=lambda index: (-len(prompts[index]), index))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    for batch in run.track(batches, label, name=name, key=lambda batch: problems[batch[-1]].key):
        texts = answer([prompts[index] for index in batch])
        for row in score_answers([problems[index] for index in batch], texts):
            run.append(name, row)
    return run.rows(name)
