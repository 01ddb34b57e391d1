"""What nano-lm reads: books, word problems in chat form, GSM8K and tool calls, one optimiser step at a time.

Step number `i` is a function of the recipe and `i` alone. A training that goes on from a checkpoint therefore reads
what an uninterrupted one reads, without a state to save.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tenon.core.errors import DataError, require
from tenon.core.seeds import derive
from tenon.core.training.packing import mask_labels, pack
from tenon.nano.toolchats import tool_chat
from tenon.tasks.math import FAMILIES, Problem, WrittenProblem, generate_episode, generate_problem, read_gsm8k
from tenon.tasks.text import Document, read_documents

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "HELD_OUT_EVERY",
    "READINGS",
    "Mixture",
    "MixtureConfig",
    "Phase",
    "StepRows",
    "chat_spans",
    "split_books",
    "split_gsm8k",
]

HELD_OUT_EVERY = 46
"""Every 46th book, and every 15th row of GSM8K, is kept out of training: for choosing settings, never for reporting."""
GSM8K_HELD_OUT_EVERY = 15
CHARACTERS_PER_TOKEN = 6
"""More than any English text needs, so that a span of characters surely fills its row."""

EASY = tuple(name for name, family in FAMILIES.items() if family.level == "easy")
STEP_COUNTS = (1, 2, 2, 3, 3, 4, 4, 5, 6)
"""Numbers of steps, drawn alike, and capped by the phase."""

Messages = list[dict[str, Any]]
Row: TypeAlias = Callable[[int, int, "Phase", random.Random], list[int]]
"""`row(step, index, phase, rng)` gives the token ids of one row."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of the training with one kind of reading."""

    steps: int
    """Optimiser steps."""
    books: float = 0.3
    """Share of the tokens that is running text from books."""
    problems: float = 0.56
    """Share that is generated word problems, several in one chat."""
    gsm8k: float = 0.08
    """Share that is GSM8K's training split."""
    tools: float = 0.06
    """Share that is generated chats with tool calls."""
    sums: float = 0.0
    """Share that is bare sums, taken from the steps of word problems: arithmetic in its densest form."""
    context: int = 512
    """Length of a row [tokens]."""
    families: Literal["easy", "all"] = "all"
    """Which families of word problems come."""
    most_steps: int = 6
    """Most steps of a word problem."""
    learn: Literal["everything", "answers"] = "everything"
    """In word problems and sums: learn all tokens, or only what the assistant says."""

    def __post_init__(self) -> None:
        total = self.books + self.problems + self.gsm8k + self.tools + self.sums
        require(abs(total - 1) < 1e-9, self, "books", f"such that the shares sum to 1 (they sum to {total:g})")
        require(self.steps >= 1, self, "steps", "1 or more")
        require(self.context >= 2, self, "context", "2 or more")
        require(self.most_steps >= 1, self, "most_steps", "1 or more")


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """The curriculum: from short and easy to long and hard."""

    phases: tuple[Phase, ...] = (Phase(steps=1000), Phase(steps=100, context=2048))
    """One after the other."""
    step_tokens: int = 4096
    """Tokens per optimiser step and device."""
    most_shots: int = 12
    """Most problems in one chat."""
    episodes: float = 0.3
    """Share of the chats whose first problem explains a unit that the others use: examples that matter."""
    seed: int = 0
    """Names every draw."""

    def __post_init__(self) -> None:
        for phase in self.phases:
            fits = self.step_tokens % phase.context == 0
            require(fits, self, "step_tokens", f"a multiple of every phase's context ({phase.context})")

    @property
    def steps(self) -> int:
        """Optimiser steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    @property
    def context(self) -> int:
        """The longest row: the model's own context [tokens]."""
        return max(phase.context for phase in self.phases)

    def phase(self, step: int) -> Phase:
        """Give the phase that a step belongs to.

        >>> [MixtureConfig().phase(step).context for step in (0, 999, 1000)]
        [512, 512, 2048]
        """
        for phase in self.phases:
            step -= phase.steps
            if step < 0:
                return phase
        return self.phases[-1]


READINGS = {
    # For training nano-lm on, in any way: long rows, mostly chats, most of them with a first problem that the others
    # need, so that it pays to remember.
    "post": MixtureConfig(
        phases=(Phase(steps=300, problems=0.8, books=0.12, gsm8k=0.04, tools=0.04, context=1024),),
        episodes=0.7,
        seed=2,
    ),
}


def split_books(folder: Path) -> tuple[list[Document], list[Document]]:
    """Read `train.jsonl.xz` of a books folder as (training books, books held out of training)."""
    books = list(read_documents(folder / "train.jsonl.xz" if folder.is_dir() else folder))
    held_out = books[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    names = {book.key for book in held_out}
    return [book for book in books if book.key not in names], held_out


def split_gsm8k(path: Path) -> tuple[list[WrittenProblem], list[WrittenProblem]]:
    """Read GSM8K's training file as (training rows, rows held out of training)."""
    rows = list(read_gsm8k(path))
    held_out = rows[GSM8K_HELD_OUT_EVERY - 1 :: GSM8K_HELD_OUT_EVERY]
    return [row for index, row in enumerate(rows) if (index + 1) % GSM8K_HELD_OUT_EVERY], held_out


def chat_spans(ids: Sequence[int], *, assistant: int, end: int) -> Iterator[tuple[int, int]]:
    """Find what the assistant says: from behind each `assistant` token to the next `end`, that token included.

    >>> list(chat_spans([0, 7, 1, 1, 2, 9, 7, 1, 2], assistant=7, end=2))
    [(2, 5), (7, 9)]
    """
    start = None
    for position, token in enumerate(ids):
        if token == assistant:
            start = position + 1
        elif token == end and start is not None:
            yield start, position + 1
            start = None
    if start is not None:  # a chat cut by the end of its row
        yield start, len(ids)


class Mixture:
    """The rows of every step: `mixture.rows(i)` for `i` in `range(steps)`."""

    def __init__(
        self,
        config: MixtureConfig,
        tokenizer: PreTrainedTokenizerFast,
        *,
        books: Sequence[Document],
        gsm8k: Sequence[WrittenProblem | Problem],
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.gsm8k = gsm8k
        self.span = config.context * CHARACTERS_PER_TOKEN
        """Characters of a book from which one row is cut."""
        self.spans = [(book.text, start) for book in books for start in range(0, len(book.text) - self.span, self.span)]
        if not self.spans and any(phase.books for phase in config.phases):
            raise DataError(f"No book has {self.span} characters; give longer texts, or set books=0 in every phase.")
        random.Random(derive(config.seed, "books")).shuffle(self.spans)
        vocabulary = tokenizer.get_vocab()
        self.assistant, self.end = vocabulary["<|assistant|>"], vocabulary["<|end|>"]
        self.sources: dict[str, Row] = {
            "problems": self._chats(self._problem_chat),
            "books": self._book_row,
            "gsm8k": self._chats(self._gsm8k_chat),
            "tools": self._chats(self._tool_chat),
            "sums": self._chats(self._sums_chat),
        }

    def rows(self, step: int) -> tuple[list[list[int]], list[list[int]]]:
        """Give the token ids and the labels of a step, each as rows of the phase's context."""
        phase = self.config.phase(step)
        count = self.config.step_tokens // phase.context
        rng = random.Random(derive(self.config.seed, "step", step))
        offset = rng.random()
        ids, labels = [], []
        for index in range(count):
            # Systematic sampling: equidistant points with one random offset keep the shares even in small steps.
            kind = self._kind(phase, (index + offset) / count)
            row = self.sources[kind](step, index, phase, rng)
            ids.append(row)
            learns_answers = phase.learn == "answers" and kind in ("problems", "sums")
            spans = chat_spans(row, assistant=self.assistant, end=self.end) if learns_answers else [(0, len(row))]
            labels.append(mask_labels(row, spans))
        return ids, labels

    def texts(self) -> Iterator[str]:
        """Give every row as text, special tokens written out, the begin token that opens it left to a tokenizer."""
        for step in range(self.config.steps):
            for row in self.rows(step)[0]:
                yield str(self.tokenizer.decode(row[1:], skip_special_tokens=False))

    def _kind(self, phase: Phase, point: float) -> str:
        for name in self.sources:
            point -= float(getattr(phase, name))
            if point < 0:
                return name
        return "problems"

    def _book_row(self, step: int, index: int, phase: Phase, rng: random.Random) -> list[int]:
        rows = self.config.step_tokens // phase.context
        text, start = self.spans[(step * rows + index) % len(self.spans)]
        length = phase.context * CHARACTERS_PER_TOKEN
        start += rng.randrange(self.span - length + 1)
        ids = self.tokenizer(text[start : start + length], verbose=False)["input_ids"]
        return list(ids[: phase.context])

    def _chats(self, chat: Callable[[str, Phase, random.Random], str]) -> Row:
        def row(step: int, index: int, phase: Phase, rng: random.Random) -> list[int]:
            def sequences() -> Iterator[list[int]]:
                for number in itertools.count():
                    text = chat(f"{step}.{index}.{number}", phase, rng)
                    yield self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

            return next(pack(sequences(), length=phase.context))

        return row

    def _render(self, messages: Messages, tools: Any = None) -> str:
        return str(self.tokenizer.apply_chat_template(messages, tools=tools, tokenize=False))

    def _problem_chat(self, name: str, phase: Phase, rng: random.Random) -> str:
        shots = rng.randint(1, max(2, min(self.config.most_shots, phase.context // 150)))
        draw = derive(self.config.seed, "chat", name)
        if shots > 1 and rng.random() < self.config.episodes:
            problems: Sequence[Problem] = generate_episode(draw, "train", 0, count=shots)
        else:
            problems = [self._problem(draw, index, phase, rng) for index in range(shots)]
        return self._render([message for problem in problems for message in problem.messages()])

    def _problem(self, draw: int, index: int, phase: Phase, rng: random.Random) -> Problem:
        families = EASY if phase.families == "easy" else tuple(FAMILIES)
        steps = min(rng.choice(STEP_COUNTS), phase.most_steps)
        return generate_problem(draw, "train", index, steps=steps, family=rng.choice(families))

    def _sums_chat(self, name: str, phase: Phase, rng: random.Random) -> str:
        draw = derive(self.config.seed, "sums", name)
        # One step of each of eight problems: the next step of the same problem would give the value away.
        steps = [rng.choice(self._problem(draw, index, phase, rng).steps) for index in range(8)]
        question = "; ".join(f"{step.left} {step.op} {step.right}" for step in steps)
        answer = "\n".join(step.equation for step in steps)
        return self._render([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])

    def _gsm8k_chat(self, name: str, phase: Phase, rng: random.Random) -> str:
        rows = [rng.choice(self.gsm8k) for _ in range(rng.randint(1, max(1, phase.context // 400)))]
        return self._render([message for row in rows for message in row.messages()])

    def _tool_chat(self, name: str, phase: Phase, rng: random.Random) -> str:
        messages, tools = tool_chat(derive(self.config.seed, "tools", name), 0)
        return self._render(messages, tools)


class StepRows:
    """A map-style data set whose item `i` is the whole batch of step `i`; the collator is `StepRows.collate`."""

    def __init__(self, mixture: Mixture, *, items: int) -> None:
        self.mixture = mixture
        self.items = items

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, item: int) -> dict[str, list[list[int]]]:
        ids, labels = self.mixture.rows(item)
        return {"input_ids": ids, "labels": labels}

    @staticmethod
    def collate(items: list[dict[str, list[list[int]]]]) -> dict[str, Tensor]:
        """Join the steps of one batch along the rows."""
        import torch

        return {name: torch.tensor([row for item in items for row in item[name]]) for name in items[0]}
