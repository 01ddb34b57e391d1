"""Answering puzzles with a trained model, and how many answers are right by which rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tenon.core.errors import DataError
from tenon.core.models.loading import load_config, load_model, load_tokenizer
from tenon.core.scoring.generation import greedy_texts
from tenon.core.scoring.intervals import wilson_interval
from tenon.methods.mdm.config import DecodeConfig
from tenon.methods.mdm.kinds import puzzles_of, row_length
from tenon.methods.mdm.layout import Rows, answers_of, lay_out
from tenon.methods.mdm.model import MDMForMaskedDiffusion
from tenon.methods.mdm.sampler import Sampled, sample
from tenon.tasks.puzzles.paths import turned

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.tasks.puzzles import Puzzle, Puzzles

__all__ = ["GROUPS", "Solver", "evaluate_puzzles", "load_solver", "trained_for"]

GROUPS = {"path": "planning_distance", "sudoku": "givens", "countdown": None, "sat": None}
"""The fact by which the accuracy of a kind is also shown."""


@dataclass
class Solver:
    """A model that writes answers to prompts."""

    model: Any
    """A masked-diffusion model, or a causal one."""
    tokenizer: Any
    """Its tokenizer."""
    length: int
    """Of a row: prompt, SEP, answer, EOS and padding [tokens]."""
    answer_length: int
    """Tokens of the longest answer, EOS included; a causal model stops there."""
    decode: DecodeConfig
    """How a masked-diffusion model writes."""
    reverse: Callable[[str], str] | None = None
    """What turns the answer of a model that was trained on reversed ones."""
    forwards: int = 0
    """Passes of the model so far, per answer of a batch."""

    @property
    def is_causal(self) -> bool:
        """Whether it writes from left to right."""
        return not isinstance(self.model, MDMForMaskedDiffusion)

    def __call__(self, prompts: Sequence[str], keys: Sequence[int] | None = None, *, seed: int = 0) -> list[str]:
        """Give one answer per prompt; `keys` name each one's noise."""
        if self.is_causal:
            starts = [prompt + str(self.tokenizer.sep_token) for prompt in prompts]
            texts = greedy_texts(self.model, self.tokenizer, starts, max_new_tokens=self.answer_length)
            self.forwards += self.answer_length
            return texts if self.reverse is None else [self.reverse(text) for text in texts]
        rows, found = self.write(prompts, keys, seed=seed)
        self.forwards += found.forwards
        return answers_of(self.tokenizer, found.sequences, rows.is_maskable)

    def write(
        self, prompts: Sequence[str], keys: Sequence[int] | None = None, *, seed: int = 0, keep_history: bool = False
    ) -> tuple[Rows, Sampled]:
        """Let a masked-diffusion model write; gives the rows as they were asked, and what `sample` gives."""
        rows, device = lay_out(self.tokenizer, prompts, None, length=self.length), self.model.device
        return rows, sample(
            self.model.predict,
            rows.ids.to(device),
            rows.is_maskable.to(device),
            self.decode,
            mask_id=self.model.config.mask_token_id,
            forbidden=[self.tokenizer.sep_token_id],
            keys=None if keys is None else torch.tensor(list(keys)),
            seed=seed,
            keep_history=keep_history,
        )


def trained_for(folder: str | Path) -> tuple[Puzzles, str]:
    """Give the puzzles that a model was trained on, and its objective.

    Raises:
        DataError: It is no model of `tenon mdm train`.
    """
    puzzle = getattr(load_config(folder), "puzzle", None)
    if not isinstance(puzzle, dict):
        raise DataError(f"{folder} does not say what it was trained on; give the model of a `tenon mdm train`.")
    return puzzles_of(puzzle["kind"], puzzle["size"]), str(puzzle["objective"])


def load_solver(
    folder: str | Path,
    puzzles: Puzzles,
    decode: DecodeConfig,
    *,
    objective: str = "mdm",
    device: str = "auto",
) -> Solver:
    """Load a trained model as a solver of its puzzles.

    Args:
        folder: What `tenon mdm train` made, or the name of a nano model.
        puzzles: The kind and size it is asked for, which gives the lengths.
        decode: How it writes.
        objective: What it was trained for; `reverse_ar` writes backwards.
        device: Where.

    Raises:
        DataError: Its positions are too few for these puzzles.
    """
    length = row_length(puzzles)
    is_mdm = load_config(folder).model_type == "mdm"
    model: Any = load_model(folder, device=device, architecture=MDMForMaskedDiffusion if is_mdm else None)
    known = (model.config.backbone if is_mdm else model.config).max_position_embeddings
    if length > known:
        raise DataError(f"{folder} knows {known} positions, but these puzzles need {length}; give one trained on them.")
    reverse = turned if objective == "reverse_ar" else None
    return Solver(model, load_tokenizer(folder), length, puzzles.longest[1] + 1, decode, reverse)


def evaluate_puzzles(
    run: Run,
    solver: Solver,
    puzzles: Puzzles,
    drawn: Sequence[Puzzle],
    *,
    name: str,
    group: str | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Let a solver answer every puzzle, and count what is right.

    Args:
        run: Keeps one row per puzzle in `answers-<name>.jsonl`, so that a killed evaluation goes on.
        solver: Writes the answers.
        puzzles: Judges them.
        drawn: The puzzles, of a split that the model has not seen.
        name: Of the rows.
        group: The fact by which they are also grouped, such as `planning_distance`.
        batch_size: Puzzles answered together.
        seed: Of the noise.

    Returns:
        One row for all puzzles, then one per value of `group`: how many, `strict` and `official` accuracy [share], the
        strict one's Wilson interval, how many could not be read, and forward passes of a batch in the mean.
    """
    file = f"answers-{name}"
    order = range(0, len(drawn), batch_size)
    for start in run.track(order, f"answering ({name})", name=file, key=lambda start: _last(drawn, start, batch_size)):
        batch, before = drawn[start : start + batch_size], solver.forwards
        texts = solver([one.prompt for one in batch], range(start, start + len(batch)), seed=seed)
        for puzzle, text in zip(batch, texts, strict=True):
            verdict = puzzles.verify(puzzle.prompt, text)
            told = {"strict": verdict.strict, "official": verdict.official, "reason": verdict.reason}
            told["forwards"] = solver.forwards - before
            run.append(
                file, {"key": puzzle.key, "prompt": puzzle.prompt, "predict": text, "label": puzzle.answer} | told
            )
    rows = {row["key"]: row for row in run.rows(file)}
    found = [(puzzle, rows[puzzle.key]) for puzzle in drawn]
    table = [_counted("all", [row for _, row in found])]
    if group is not None:
        for value in sorted({puzzle.facts[group] for puzzle in drawn}):
            table.append(_counted(value, [row for puzzle, row in found if puzzle.facts[group] == value]))
    return table


def _last(drawn: Sequence[Puzzle], start: int, size: int) -> str:
    return drawn[min(start + size, len(drawn)) - 1].key


def _counted(group: Any, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    strict = sum(row["strict"] for row in rows)
    low, high = wilson_interval(strict, len(rows))
    return {
        "group": group,
        "puzzles": len(rows),
        "strict": strict / len(rows),
        "low": low,
        "high": high,
        "official": sum(row["official"] for row in rows) / len(rows),
        "malformed": sum(str(row["reason"]).startswith("malformed") for row in rows),
        "forwards": sum(row["forwards"] for row in rows) / len(rows),
    }
