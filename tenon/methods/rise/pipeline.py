"""All of RISE in one run: sample, edit, pair, train, and measure before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.chat.local import LocalWriter
from tenon.core.errors import DataError
from tenon.core.models.loading import load_tokenizer
from tenon.core.ranks import is_main
from tenon.methods.rise.config import EvalConfig
from tenon.methods.rise.edit import inject_errors
from tenon.methods.rise.encode import tokens_of
from tenon.methods.rise.evaluate import evaluate, figures
from tenon.methods.rise.pairs import build_pairs, save_pairs
from tenon.methods.rise.sample import sample_solutions
from tenon.methods.rise.show import show_answers, show_edits, show_pairs, show_solutions, show_training
from tenon.methods.rise.trainer import train_on_pairs

if TYPE_CHECKING:
    from tenon.core.chat import Writer
    from tenon.core.run import Run
    from tenon.methods.rise.config import Recipe
    from tenon.methods.rise.rows import Question
    from tenon.tasks.math import Problem

__all__ = ["check_unseen", "run_recipe"]


def check_unseen(questions: Sequence[Question], unseen: Sequence[Question]) -> None:
    """Refuse to measure on what is trained on.

    Raises:
        DataError: A question is in both.
    """
    if seen := {one.prompt for one in questions} & {one.prompt for one in unseen}:
        raise DataError(
            f"{len(seen)} of {len(unseen)} unseen questions are also trained on, e.g. {min(seen)[:80]!r}; what is "
            "measured on them says nothing. Give other ones with --unseen."
        )


def run_recipe(
    run: Run,
    model: str,
    writer: Writer,
    questions: Sequence[Question],
    recipe: Recipe,
    *,
    unseen: Sequence[Question] = (),
    problems: Sequence[Problem] = (),
    max_failed: int = 0,
    batch_size: int = 16,
    device: str = "auto",
) -> dict[str, Any]:
    """Go through all stages, each where it stopped, and show what came out on the run's page.

    Args:
        run: Holds the rows of every stage, the trained `model`, and the page.
        model: What is trained, by the names of `load_model`.
        writer: Samples solutions and edits them: the same model, here or on a server.
        questions: With gold answers.
        recipe: All settings.
        unseen: Questions to measure on, before and after; none: nothing is measured.
        problems: True solutions of those that have one, so that faults can be named.
        max_failed: So many requests of sampling, and as many of editing, may end without an answer.
        batch_size: Questions answered together when the trained model is measured.
        device: Where it is measured.

    Returns:
        `sampling`, `editing`, `pairs`, of which `full` and `edited`, `training`, and `accuracy` before and after.

    Raises:
        DataError: A question is both trained and measured on; or a stage has nothing to give to the next: the message
            says what to change.
    """
    check_unseen(questions, unseen)
    if unseen:
        for table in ("accuracy", "faults"):
            run.table(table, [])  # the page has them first, in the order of their first call
    solutions = sample_solutions(run, questions, writer, recipe, max_failed=max_failed)
    facts: dict[str, Any] = {"sampling": show_solutions(run, solutions)}
    edits = inject_errors(
        run,
        questions,
        solutions,
        recipe,
        writer=writer,
        tokenize=tokens_of(model, recipe),
        max_failed=max_failed,
    )
    facts["editing"] = show_edits(run, edits)
    built = build_pairs(questions, solutions, edits, recipe)
    save_pairs(run, built)
    show_pairs(run, built.rows, built.counts)
    kinds = built.counts["pairs"]
    facts |= {"pairs": len(built.rows), "full": kinds.get("full", 0), "edited": kinds.get("edit", 0)}
    counted = {}
    asked = EvalConfig(prompt=recipe.prompt, max_tokens=recipe.sample.max_tokens)
    if unseen and is_main():
        counted["before"] = figures(evaluate(run, writer, unseen, asked, problems=problems, name="before"))
    facts["training"] = train_on_pairs(run, model, built.rows, recipe)
    show_training(run, facts["training"])
    if unseen and is_main():
        trained = LocalWriter(
            str(run.path / "model"), load_tokenizer(run.path / "model"), batch_size=batch_size, device=device
        )
        counted["after"] = figures(evaluate(run, trained, unseen, asked, problems=problems, name="after"))
        show_answers(run, counted)
        facts["accuracy"] = {name: found["accuracy"][-1]["accuracy"] for name, found in counted.items()}
    return facts
