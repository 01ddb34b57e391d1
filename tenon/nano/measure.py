"""What nano-lm can do: held-out bits per byte beside honest baselines, and word problems solved by number of steps.

The texts are `books/valid` (authors who are not in the training books); the problems come from the test split of the
generator, which no training draws from. Nothing here chooses a setting.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenon.core.errors import require
from tenon.core.seeds import derive
from tenon.nano.mixture import split_books
from tenon.tasks.math import Problem, generate_problems
from tenon.tasks.text import Document, read_documents

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["MeasureConfig", "measure", "measure_problems", "measure_text", "spread_excerpts"]


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """How much is measured."""

    excerpt_characters: int = 40_000
    """Characters from the middle of each held-out book."""
    context: int = 2048
    """Tokens of a scoring window; it moves by half of that."""
    ngram_order: int = 5
    """Order of the byte-level model that stands beside."""
    ngram_bytes: int = 95_000_000
    """Most training bytes that the byte-level model reads."""
    problems: int = 1000
    """Unseen word problems, 1 to 6 steps in turn."""
    shots: tuple[int, ...] = (0,)
    """Solved examples before the question, one measurement each."""
    max_new_tokens: int = 220
    """Longest answer [tokens]."""
    batch_size: int = 64
    """Problems answered together."""
    seed: int = 0
    """Names the draw of problems and of the bootstrap."""

    def __post_init__(self) -> None:
        require(self.problems >= 6, self, "problems", "6 or more: one of each number of steps")
        for name in ("excerpt_characters", "ngram_order", "ngram_bytes", "max_new_tokens", "batch_size"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(all(count >= 0 for count in self.shots), self, "shots", "0 or more each")
        require(self.context >= 2, self, "context", "2 or more")


def spread_excerpts(documents: Sequence[Document], characters: int) -> list[Document]:
    """Cut one stretch from the middle of each document, so that no author weighs more than another."""
    excerpts = []
    for document in documents:
        start = max(0, (len(document.text) - characters) // 2)
        excerpts.append(Document(document.key, document.text[start : start + characters]))
    return excerpts


def measure(run: Run, model: Any, tokenizer: Any, config: MeasureConfig, *, books: Path, name: str) -> dict[str, Any]:
    """Make every figure of the card; stages already in the run are not made again. `name` stands beside the model's."""
    text = measure_text(run, model, tokenizer, config, books=books, name=name)
    run.table("bits-per-byte", text, caption="Held-out books: total bits by bytes of UTF-8; 95 % bootstrap over books.")
    figures: dict[str, Any] = {"text": text}
    for shots in config.shots:
        rows = measure_problems(run, model, tokenizer, config, shots=shots)
        run.table(
            f"problems-{shots}-shot", rows, caption=f"Unseen problems after {shots} examples; 95 % Wilson intervals."
        )
        figures[f"problems_{shots}_shot"] = rows
    return figures


def measure_text(
    run: Run, model: Any, tokenizer: Any, config: MeasureConfig, *, books: Path, name: str
) -> list[dict[str, Any]]:
    """Score held-out books with the model, a byte-level n-gram model, xz and gzip, all on the same bytes.

    The n-gram model reads the books that nano-lm reads: those of the training file less the ones held out of it.

    Returns:
        One row per scorer with its bits per byte; the model's row also has an interval over books.
    """
    from tenon.core.scoring.baselines import byte_ngram_bits_per_byte, gzip_bits_per_byte, xz_bits_per_byte
    from tenon.core.scoring.intervals import bootstrap_interval
    from tenon.core.scoring.perplexity import bits_per_byte, window_nll

    excerpts = spread_excerpts(list(read_documents(books / "valid.jsonl.xz")), config.excerpt_characters)
    import torch

    for excerpt in run.track(excerpts, "bits per byte", name="text", key=lambda item: item.key):
        ids = torch.tensor(tokenizer(excerpt.text, verbose=False)["input_ids"])
        nll = window_nll(model, ids, context=config.context, stride=config.context // 2)
        size = len(excerpt.text.encode())
        run.append("text", {"key": excerpt.key, "nats": float(nll.sum()), "tokens": len(nll), "bytes": size})
    rows = run.rows("text")
    nats, size = sum(row["nats"] for row in rows), sum(row["bytes"] for row in rows)
    per_book = [bits_per_byte(row["nats"], row["bytes"]) for row in rows]
    low, high = bootstrap_interval(per_book, seed=config.seed)
    table = run.load_json("text_table")
    if table is None:
        valid = "\n\n".join(excerpt.text for excerpt in excerpts).encode()
        read = "\n\n".join(book.text for book in split_books(books)[0])
        ngram = byte_ngram_bits_per_byte(read.encode()[: config.ngram_bytes], valid, order=config.ngram_order)
        table = [
            {"scorer": name, "bits per byte": bits_per_byte(nats, size), "low": low, "high": high},
            {"scorer": f"byte {config.ngram_order}-gram (interpolated Witten-Bell)", "bits per byte": ngram},
            {"scorer": "xz -9e", "bits per byte": xz_bits_per_byte(valid)},
            {"scorer": "gzip -9", "bits per byte": gzip_bits_per_byte(valid)},
        ]
        for row in table:
            row["bytes"] = size
        run.save_json("text_table", table)
    return list(table)


def measure_problems(
    run: Run, model: Any, tokenizer: Any, config: MeasureConfig, *, shots: int
) -> list[dict[str, Any]]:
    """Solve unseen problems greedily after `shots` solved examples; one row per number of steps, and one for all."""
    from tenon.core.scoring.generation import greedy_texts
    from tenon.core.scoring.intervals import wilson_interval
    from tenon.tasks.math.accuracy import chat_prompt, solve

    problems = _problems(config)
    prompts = [
        chat_prompt(tokenizer, problem, list(generate_problems(derive(config.seed, "shots", index), "valid", shots)))
        for index, problem in enumerate(problems)
    ]
    name = f"problems_{shots}_shot"
    answer = functools.partial(greedy_texts, model, tokenizer, max_new_tokens=config.max_new_tokens)
    rows = solve(run, name, problems, prompts, answer, batch_size=config.batch_size)
    table = []
    for steps in (*sorted({row["steps"] for row in rows}), "2-4", "all"):
        wanted = {"all": range(1, 100), "2-4": range(2, 5)}.get(str(steps), (steps,))
        chosen = [row["correct"] for row in rows if row["steps"] in wanted]
        low, high = wilson_interval(sum(chosen), len(chosen))
        table.append({
            "shots": shots, "steps": str(steps), "problems": len(chosen),
            "accuracy": sum(chosen) / len(chosen), "low": low, "high": high,
        })  # fmt: skip
    return table


def _problems(config: MeasureConfig) -> list[Problem]:
    """Give the unseen problems, their numbers of steps in turn: 1 to 6, 1 to 6, ..."""
    problems: list[Problem] = []
    for steps in range(1, 7):
        share = config.problems // 6 + (steps <= config.problems % 6)
        problems += generate_problems(derive(config.seed, "measure", steps), "test", share, steps=steps)
    return problems
