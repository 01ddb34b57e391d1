"""What nano-lm reads: books, word problems in chat form, GSM8K and tool calls, one optimiser step at a time.

Step number `i` is a function of the recipe and `i` alone. A training that goes on from a checkpoint therefore reads
what an uninterrupted one reads, without a state to save.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenon.core.errors import DataError, require
from tenon.core.seeds import derive
from tenon.core.training.packing import mask_labels, pack
from tenon.nano.toolchats import tool_chat
from tenon.tasks.math import FAMILIES, Problem, WrittenProblem, generate_episode, generate_problem, read_gsm8k
from tenon.tasks.text import Document, read_documents

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

__all__ = ["HELD_OUT_EVERY", "Mixture", "MixtureConfig", "StepRows", "chat_spans", "split_books", "split_gsm8k"]

HELD_OUT_EVERY = 46
"""Every 46th book, and every 15th row of GSM8K, is kept out of training: for choosing settings, never for reporting."""
GSM8K_HELD_OUT_EVERY = 15
CHARACTERS_PER_TOKEN = 6
"""More than any English text needs, so that a span of characters surely fills its row."""

EASY = tuple(name for name, family in FAMILIES.items() if family.level == "easy")
STEP_COUNTS = (1, 2, 2, 3, 3, 4, 4, 5, 6)
"""Numbers of steps, drawn alike; capped while the curriculum is young."""

Messages = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Shares of the sources, and how rows grow from short and easy to long and hard."""

    books: float = 0.3
    """Share of the tokens that is running text from books."""
    problems: float = 0.56
    """Share that is generated word problems, several in one chat."""
    gsm8k: float = 0.08
    """Share that is GSM8K's training split."""
    tools: float = 0.06
    """Share that is generated chats with tool calls."""
    step_tokens: int = 4096
    """Tokens per optimiser step and device."""
    short_context: int = 512
    """Row length at first: attention costs less, and short problems fit."""
    context: int = 2048
    """Row length at the end: the model's own context [tokens]."""
    long_from: float = 0.8
    """Share of the steps after which rows have full length."""
    hard_from: float = 0.5
    """Share of the steps after which problems of every length and family come; before, few steps and easy families."""
    answers_from: float = 0.6
    """Share of the steps after which, in word problems, only the assistant's tokens are learnt."""
    most_shots: int = 12
    """Most problems in one chat."""
    episodes: float = 0.3
    """Share of the chats whose first problem explains a unit that the others use: examples that matter."""
    seed: int = 0
    """Names every draw."""

    def __post_init__(self) -> None:
        total = self.books + self.problems + self.gsm8k + self.tools
        require(abs(total - 1) < 1e-9, self, "books", f"such that the four shares sum to 1 (they sum to {total:g})")
        for name in ("short_context", "context"):
            require(
                self.step_tokens % getattr(self, name) == 0,
                self,
                name,
                f"a divisor of step_tokens ({self.step_tokens})",
            )


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
        steps: int,
        books: Sequence[Document],
        gsm8k: Sequence[WrittenProblem | Problem],
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.steps = steps
        self.gsm8k = gsm8k
        self.spans = [
            (book.text, start)
            for book in books
            for start in range(0, len(book.text) - self._row_characters, self._row_characters)
        ]
        if not self.spans and config.books:
            raise DataError(f"No book has {self._row_characters} characters; give longer texts, or set books=0.")
        random.Random(derive(config.seed, "books")).shuffle(self.spans)
        self.special = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("assistant", "end")}
        self.sources: dict[str, tuple[float, Callable[[int, int, int, random.Random], list[int]]]] = {
            "problems": (config.problems, self._chats(self._problem_chat)),
            "books": (config.books, self._book_row),
            "gsm8k": (config.gsm8k, self._chats(self._gsm8k_chat)),
            "tools": (config.tools, self._chats(self._tool_chat)),
        }

    @property
    def _row_characters(self) -> int:
        return self.config.context * CHARACTERS_PER_TOKEN

    def progress(self, step: int) -> float:
        """Say how much of the training lies before this step, from 0 to 1."""
        return step / self.steps

    def context(self, step: int) -> int:
        """Give the row length of a step [tokens]."""
        return self.config.context if self.progress(step) >= self.config.long_from else self.config.short_context

    def rows(self, step: int) -> tuple[list[list[int]], list[list[int]]]:
        """Give the token ids and the labels of a step, each as rows of `context(step)` tokens."""
        length = self.context(step)
        count = self.config.step_tokens // length
        rng = random.Random(derive(self.config.seed, "step", step))
        offset = rng.random()
        answers_only = self.progress(step) >= self.config.answers_from
        ids, labels = [], []
        for index in range(count):
            # Systematic sampling: equidistant points with one random offset keep the shares even in small steps.
            kind = self._kind((index + offset) / count)
            row = self.sources[kind][1](step, index, length, rng)
            ids.append(row)
            spans = chat_spans(row, **self.special) if answers_only and kind == "problems" else [(0, length)]
            labels.append(mask_labels(row, spans))
        return ids, labels

    def _kind(self, point: float) -> str:
        for name, (share, _) in self.sources.items():
            point -= share
            if point < 0:
                return name
        return "problems"

    def _book_row(self, step: int, index: int, length: int, rng: random.Random) -> list[int]:
        text, start = self.spans[(step * 8 + index) % len(self.spans)]
        shift = rng.randrange(self._row_characters - length * CHARACTERS_PER_TOKEN + 1)
        start += shift
        ids = self.tokenizer(text[start : start + length * CHARACTERS_PER_TOKEN], verbose=False)["input_ids"]
        return ids[:length]

    def _chats(
        self, chat: Callable[[str, int, random.Random, int], str]
    ) -> Callable[[int, int, int, random.Random], list[int]]:
        def row(step: int, index: int, length: int, rng: random.Random) -> list[int]:
            def sequences() -> Iterator[list[int]]:
                number = 0
                while True:
                    text = chat(f"{step}.{index}.{number}", step, rng, length)
                    yield self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
                    number += 1

            return next(pack(sequences(), length=length))

        return row

    def _render(self, messages: Messages, tools: Any = None) -> str:
        return str(self.tokenizer.apply_chat_template(messages, tools=tools, tokenize=False))

    def _problem_chat(self, name: str, step: int, rng: random.Random, length: int) -> str:
        progress = self.progress(step)
        most_steps = 6 if progress >= self.config.hard_from else 2 + int(2 * progress / self.config.hard_from)
        families = EASY if progress < self.config.hard_from else tuple(FAMILIES)
        shots = rng.randint(1, max(2, min(self.config.most_shots, length // 150)))
        draw = derive(self.config.seed, "chat", name)
        if shots > 1 and rng.random() < self.config.episodes:
            problems: Sequence[Problem] = generate_episode(draw, "train", 0, count=shots)
        else:
            problems = [
                generate_problem(
                    draw, "train", index, steps=min(rng.choice(STEP_COUNTS), most_steps), family=rng.choice(families)
                )
                for index in range(shots)
            ]
        return self._render([message for problem in problems for message in problem.messages()])

    def _gsm8k_chat(self, name: str, step: int, rng: random.Random, length: int) -> str:
        rows = [rng.choice(self.gsm8k) for _ in range(rng.randint(1, max(1, length // 400)))]
        return self._render([message for row in rows for message in row.messages()])

    def _tool_chat(self, name: str, step: int, rng: random.Random, length: int) -> str:
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
