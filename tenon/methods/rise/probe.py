"""Does a model prefer a true step to the same step with an error? Asked of pairs that no training has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch

from tenon.methods.rise.config import ERROR_KINDS, Recipe
from tenon.methods.rise.edit import edit_solution
from tenon.methods.rise.encode import encode_pairs
from tenon.methods.rise.evaluate import questions_of
from tenon.methods.rise.filters import Tokenize
from tenon.methods.rise.pairs import build_pairs
from tenon.methods.rise.rows import Pair, Solution
from tenon.tasks.math import Problem

__all__ = ["held_out_pairs", "margins"]


def held_out_pairs(problems: Sequence[Problem], recipe: Recipe, *, tokenize: Tokenize | None = None) -> list[Pair]:
    """Give one pair per word problem: a step of its true solution, and the same with an error made by rules.

    `tokenize` gives the tokens of the distance, for `unit=token`.
    """
    recipe = replace(
        recipe,
        edit=replace(recipe.edit, editor="rules"),
        pairs=replace(recipe.pairs, full=False, edited=1, need_both=False),
    )
    questions, solutions = questions_of(problems), []
    for problem in problems:
        facts: dict[str, Any] = {"correct": True, "found": problem.answer, "finish_reason": "stop", "writer": "truth"}
        solutions.append(Solution(key=f"{problem.key}/0", id=problem.key, sample=0, text=problem.solution, **facts))
    edits = [
        edit
        for question, solution in zip(questions, solutions, strict=True)
        for edit in edit_solution(question, solution, recipe, tokenize=tokenize)
    ]
    return list(build_pairs(questions, solutions, edits, recipe).rows)


@torch.inference_mode()
def margins(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], recipe: Recipe, *, batch_size: int = 32
) -> list[dict[str, Any]]:
    """Measure `log p(step) - log p(edited step)` after the same true beginning, by kind of error.

    Both steps are alike up to the first token that was edited, so the margin is that of the edit and of what follows.

    Args:
        model: A causal language model in eval mode.
        tokenizer: Its tokenizer.
        pairs: Edited pairs.
        recipe: How a question is asked, and whether a last step ends.
        batch_size: Pairs in one forward pass.

    Returns:
        Rows with `kind` (`all` last), `pairs`, the mean `margin` [nats] and the share `preferred` of margins above 0.
    """
    by_kind: dict[str, list[float]] = {}
    for kind in dict.fromkeys(pair.edit_type or "" for pair in pairs):
        encoded = encode_pairs(tokenizer, [p for p in pairs if p.edit_type == kind], recipe.prompt, recipe.rise)
        by_kind[kind] = [
            margin
            for start in range(0, len(encoded.rows), batch_size)
            for margin in _margins(model, encoded.rows[start : start + batch_size])
        ]
    ordered = {kind: by_kind[kind] for kind in (*ERROR_KINDS, "random") if by_kind.get(kind)}
    ordered["all"] = [margin for found in ordered.values() for margin in found]
    return [
        {"kind": kind, "pairs": len(found), "margin": fmean(found), "preferred": fmean(one > 0 for one in found)}
        for kind, found in ordered.items()
        if found
    ]


def _margins(model: Any, rows: Sequence[dict[str, Any]]) -> list[float]:
    sides = [row["prompt_ids"] + row[f"{side}_ids"] for side in ("chosen", "rejected") for row in rows]
    starts = [len(row["prompt_ids"]) for _ in range(2) for row in rows]
    width = max(map(len, sides))
    ids = torch.tensor([side + [0] * (width - len(side)) for side in sides], device=model.device)
    seen = torch.tensor([[1] * len(side) + [0] * (width - len(side)) for side in sides], device=model.device)
    logits = model(input_ids=ids, attention_mask=seen).logits[:, :-1]
    told = logits.float().log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    place = torch.arange(width - 1, device=model.device)
    is_written = (place >= torch.tensor(starts, device=model.device)[:, None] - 1) & (seen[:, 1:] == 1)
    chosen, rejected = (told * is_written).sum(1).chunk(2)
    return list((chosen - rejected).tolist())
