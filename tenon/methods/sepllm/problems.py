"""Word problems under every contender: who still answers right with a part of the keys, and how large that part is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from tenon.core.models.cache import cache_argument
from tenon.core.scoring.generation import greedy_texts
from tenon.core.scoring.intervals import mcnemar_p, paired_interval, wilson_interval
from tenon.core.seeds import derive
from tenon.methods.sepllm.contenders import FULL, SEP, STRM, STRM_MEAN, EvalConfig, problem_contenders
from tenon.methods.sepllm.model import apply_sepllm
from tenon.tasks.math import generate_problems
from tenon.tasks.math.accuracy import chat_prompt, solve

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.sepllm.cache import SepCache
    from tenon.methods.sepllm.config import SepConfig

__all__ = ["Answers", "accuracy", "evaluate_problems", "file_of", "marks_of", "usage_of"]


def evaluate_problems(run: Run, model: Any, tokenizer: Any, config: EvalConfig) -> list[dict[str, Any]]:
    """Solve unseen word problems after a few solved ones, greedily, under every contender.

    The examples differ from problem to problem and belong to another split. StreamingLLM at equal mean gets the window
    that keeps as many tokens as SepLLM was measured to keep. Means are taken over the steps of all answers, each up to
    its own end.

    Returns:
        One row per contender: accuracy with its Wilson interval, the difference to SepLLM paired over problems (with
        McNemar's exact p), mean tokens in the cache, and the share of all keys that were attended to.
    """
    problems = list(generate_problems(derive(config.seed, "sepllm"), "test", config.problems))
    prompts = [
        chat_prompt(
            tokenizer, problem, list(generate_problems(derive(config.seed, "shots", index), "valid", config.shots))
        )
        for index, problem in enumerate(problems)
    ]
    length = int(model.config.max_position_embeddings)
    contenders = (FULL, SEP, STRM, STRM_MEAN)
    for name in contenders:
        mean = None if name != STRM_MEAN else usage_of(run, SEP)["mean cache [tokens]"]
        rule = problem_contenders(config.window, config.init, length, mean)[name]
        answer = Answers(run, name, model, tokenizer, rule, config.max_new_tokens)
        solve(run, file_of(name), problems, prompts, answer, batch_size=config.batch_size, label=name)
    ours = marks_of(run, SEP)
    return [
        {"method": name}
        | accuracy(marks_of(run, name), ours, derive(config.seed, "problems", name))
        | usage_of(run, name)
        for name in contenders
    ]


class Answers:
    """Answer a batch of prompts under one rule, and keep what its cache held."""

    def __init__(self, run: Run, name: str, model: Any, tokenizer: Any, rule: SepConfig, max_new_tokens: int) -> None:
        self.run, self.name, self.model, self.tokenizer = run, name, model, tokenizer
        self.rule, self.max_new_tokens = rule, max_new_tokens

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        """Give one text per prompt."""
        with apply_sepllm(self.model, self.tokenizer, self.rule) as applied:
            cache = applied.new_cache()
            texts = greedy_texts(
                self.model,
                self.tokenizer,
                prompts,
                max_new_tokens=self.max_new_tokens,
                stopping_criteria=StoppingCriteriaList([_Live(cache, self.tokenizer.eos_token_id)]),
                **{cache_argument(self.model): cache},
            )
        key = hashlib.sha256("".join(prompts).encode()).hexdigest()[:16]  # names the batch
        usage = cache.usage
        self.run.append(
            f"usage-{_slug(self.name)}",
            {"key": key, "steps": usage.steps, "stored": usage.stored, "attended": usage.attended, "seen": usage.seen},
        )
        return texts


class _Live(StoppingCriteria):
    """Stops nothing; tells a cache which rows still write, so that the padding after an answer counts for nothing."""

    def __init__(self, cache: SepCache, end: int) -> None:
        self.cache, self.end = cache, end

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        live = input_ids[:, -1] != self.end
        if self.cache.live is not None:  # what follows an end is padding, whatever its id
            live &= torch.tensor(self.cache.live, device=live.device)
        self.cache.live = live.tolist()
        return torch.zeros_like(live)


def usage_of(run: Run, name: str) -> dict[str, float]:
    """Give what a contender's cache held, over the steps of all batches."""
    rows = run.rows(f"usage-{_slug(name)}")
    total = {each: sum(row[each] for row in rows) for each in ("steps", "stored", "attended", "seen")}
    return {
        "mean cache [tokens]": total["stored"] / total["steps"],
        "share of keys [%]": 100 * total["attended"] / total["seen"],
    }


def marks_of(run: Run, name: str) -> list[bool]:
    """Say of every problem, in order, whether a contender solved it."""
    return [row["correct"] for row in run.rows(file_of(name))]


def accuracy(marks: list[bool], ours: list[bool], seed: int) -> dict[str, Any]:
    """Give one contender's accuracy with its interval, and the difference to SepLLM's paired over problems."""
    low, high = wilson_interval(sum(marks), len(marks))
    difference = paired_interval([float(mark) for mark in marks], [float(mark) for mark in ours], seed=seed)
    return {
        "problems": len(marks),
        "accuracy": sum(marks) / len(marks),
        "low": low,
        "high": high,
        "minus SepLLM": difference.difference,
        "difference low": difference.low,
        "difference high": difference.high,
        "p": mcnemar_p(marks, ours),
    }


def file_of(name: str) -> str:
    """Name the rows of a contender's answers."""
    return f"problems-{_slug(name)}"


def _slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-").lower()
