"""Do solved examples still help when they have left the window? Chain-of-thought answers against the share of keys.

Every question belongs to an episode (`tasks.math.episodes`): an invented unit whose size stands in the solved examples
alone. Who cannot reach them cannot answer, so the test tells who remembers. It is informative only if that shows: full
attention without the examples, and StreamingLLM at the same memory, must both lose; otherwise the verdict says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError, DataError, require
from tenon.core.scoring.intervals import paired_interval
from tenon.core.seeds import derive
from tenon.methods.sepllm.config import SepConfig, single
from tenon.methods.sepllm.contenders import FULL, SEP, STRM_MEAN
from tenon.methods.sepllm.problems import Answers, accuracy, file_of, usage_of
from tenon.tasks.math.accuracy import chat_prompt, solve
from tenon.tasks.math.episodes import generate_episode

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.tasks.math.problem import Problem

__all__ = ["BARE", "FIXED", "SAME", "ExamplesConfig", "Questions", "evaluate_examples", "examples_verdicts", "points"]

BARE = f"{FULL}, no examples"
SAME = "StreamingLLM, same window"
FIXED = "fixed interval, same share"
"""Contenders beside those of `contenders`: what the examples are worth, and controls."""


@dataclass(frozen=True, kw_only=True)
class Questions:
    """How many questions are asked, after how many examples."""

    problems: int = 200
    """Questions, each the last of an episode of its own."""
    shots: int = 3
    """Solved examples before each; the first explains the unit."""
    max_new_tokens: int = 72
    """Longest answer [tokens]."""
    batch_size: int = 64
    """Questions answered together."""
    seed: int = 0
    """Names the draw of episodes and of the bootstrap."""

    def __post_init__(self) -> None:
        for name in ("problems", "shots", "max_new_tokens", "batch_size"):
            require(getattr(self, name) >= 1, self, name, "1 or more")

    def asked(self, tokenizer: Any) -> tuple[list[Problem], list[str], list[str]]:
        """Give the questions, their prompts behind the solved examples, and their prompts without any."""
        draw = derive(self.seed, "sepllm", "examples")
        episodes = [generate_episode(draw, "test", index, count=self.shots + 1) for index in range(self.problems)]
        problems = [episode[-1] for episode in episodes]
        prompts = [chat_prompt(tokenizer, episode[-1], episode[:-1]) for episode in episodes]
        return problems, prompts, [chat_prompt(tokenizer, problem) for problem in problems]


@dataclass(frozen=True, kw_only=True)
class ExamplesConfig(Questions):
    """Which rules answer them."""

    sep: SepConfig = field(default_factory=lambda: SepConfig(init=4))
    """What counts as a separator, and how many first tokens are kept; the window comes from `windows`."""
    windows: tuple[int, ...] = (64,)
    """Nearest tokens seen; small enough that the examples leave it [tokens]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(set(self.windows)) == len(self.windows) >= 1, self, "windows", "one window or more, each once")
        require(all(window >= 1 for window in self.windows), self, "windows", "1 or more each: the query counts")
        require(self.sep.has_separators, self, "sep", "a SepConfig with separators; StreamingLLM is beside it anyway")
        if self.sep.interval is not None or self.sep.capacity is not None:
            raise ConfigError(
                f"ExamplesConfig.sep has interval={self.sep.interval} and capacity={self.sep.capacity}; leave both "
                "out: the control makes its own interval, and separators are kept without bound."
            )


def evaluate_examples(run: Run, model: Any, tokenizer: Any, config: ExamplesConfig) -> list[dict[str, Any]]:
    """Answer the last question of every episode, greedily, under every rule.

    Args:
        run: Keeps every answer, so that a killed evaluation goes on.
        model: A causal language model with a chat template, in eval mode, unchanged.
        tokenizer: Its tokenizer.
        config: What is asked.

    Returns:
        One row per rule and window: accuracy with its Wilson interval, the difference to SepLLM at that window and to
        full attention, paired over questions, mean tokens in the cache, and the share of all keys attended to.
    """
    problems, prompts, bare = config.asked(tokenizer)
    everything = replace(config.sep, window=int(model.config.max_position_embeddings))
    work = _Work(run, model, tokenizer, config, problems)
    work.answer(FULL, everything, prompts)
    work.answer(BARE, everything, bare)
    interval = _interval(model, tokenizer, config.sep, prompts)
    rows = [work.row(FULL, FULL) | {"window": None}, work.row(BARE, FULL) | {"window": None}]
    for window in config.windows:
        sep = replace(config.sep, window=window)
        ours = _at(SEP, window)
        work.answer(ours, sep, prompts)
        nearest = replace(sep, separators="none", separator_ids=())
        # As many tokens as SepLLM was measured to keep, the first ones among them.
        mean = round(usage_of(run, ours)["mean cache [tokens]"]) - single(sep.init, "init")
        others = {
            SAME: nearest,
            STRM_MEAN: replace(nearest, window=max(1, mean)),
            FIXED: replace(nearest, interval=interval),
        }
        for name, rule in others.items():
            work.answer(_at(name, window), rule, prompts)
        rows += [work.row(_at(name, window), ours) | {"method": name, "window": window} for name in (SEP, *others)]
    return rows


class _Work:
    """Answers every question under a rule, and tells how well."""

    def __init__(
        self, run: Run, model: Any, tokenizer: Any, config: ExamplesConfig, problems: Sequence[Problem]
    ) -> None:
        self.run, self.model, self.tokenizer, self.config, self.problems = run, model, tokenizer, config, problems

    def answer(self, name: str, rule: SepConfig, prompts: Sequence[str]) -> None:
        answer = Answers(self.run, name, self.model, self.tokenizer, rule, self.config.max_new_tokens)
        size = self.config.batch_size
        solve(self.run, file_of(name), self.problems, prompts, answer, batch_size=size, label=name)

    def row(self, name: str, ours: str) -> dict[str, Any]:
        marks, full = self._marks(name), self._marks(FULL)
        seed = derive(self.config.seed, "examples", name)
        loss = paired_interval([float(mark) for mark in marks], [float(mark) for mark in full], seed=seed)
        return (
            {"method": name, "window": None}
            | accuracy(marks, self._marks(ours), seed)
            | {"minus full": loss.difference, "full low": loss.low, "full high": loss.high}
            | usage_of(self.run, name)
        )

    def _marks(self, name: str) -> list[bool]:
        """Put a contender's marks in the order of the questions: without examples, batches are others."""
        marks = {row["key"]: row["correct"] for row in self.run.rows(file_of(name))}
        return [marks[problem.key] for problem in self.problems]


def examples_verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say for every window whether the test tells anything, and then what it tells of SepLLM.

    >>> row = {"full low": -0.9, "full high": -0.8, "minus full": -0.85, "share of keys [%]": 40.0, "window": 64}
    >>> even = {"difference low": -0.1, "difference high": 0.1, "minus SepLLM": 0.0}
    >>> print(examples_verdicts([row | even | {"method": name} for name in (BARE, SEP, STRM_MEAN)])[0][:59])
    Window 64: informative, since full attention without the ex
    """
    bare = next(row for row in rows if row["method"] == BARE)
    found = []
    for window in dict.fromkeys(row["window"] for row in rows if row["window"] is not None):
        at = {row["method"]: row for row in rows if row["window"] == window}
        sep, strm = at[SEP], at[STRM_MEAN]
        losers = (
            f"full attention without the examples loses {points(bare, 'minus full', 'full')} and StreamingLLM at "
            f"equal mean cache {points(strm, 'minus full', 'full')} against full attention"
        )
        if bare["full high"] >= 0 or strm["full high"] >= 0:
            found.append(f"Window {window}: uninformative, since not both controls lose: {losers}.")
            continue
        share = f"SepLLM, at {sep['share of keys [%]']:.0f} % of the keys, is {points(sep, 'minus full', 'full')} off"
        if strm["difference low"] <= 0 <= strm["difference high"]:
            against = "cannot be told from StreamingLLM at equal mean cache"
        else:
            is_better = strm["difference high"] < 0
            against = f"is {'better' if is_better else 'worse'} than StreamingLLM at equal mean cache"
        difference = points(strm, "minus SepLLM", "difference")
        found.append(
            f"Window {window}: informative, since {losers}. {share}, and {against} (StreamingLLM minus SepLLM "
            f"{difference})."
        )
    return found


def points(row: Mapping[str, Any], name: str, ends: str) -> str:
    """Give a difference of accuracies in points of a hundred, with its interval."""
    low, high = 100 * row[f"{ends} low"], 100 * row[f"{ends} high"]
    return f"{100 * row[name]:+.1f} points [{low:+.1f}, {high:+.1f}]"


def _at(name: str, window: int) -> str:
    return f"{name}, window {window}"


def _interval(model: Any, tokenizer: Any, sep: SepConfig, prompts: Sequence[str]) -> int:
    """Give the distance at which one token in every so many is kept as often as separators come in these prompts.

    Raises:
        DataError: There is no separator in them.
    """
    from tenon.methods.sepllm.model import apply_sepllm

    with apply_sepllm(model, tokenizer, sep) as applied:
        ids = [index for prompt in prompts for index in tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        share = float(applied.separators.cpu()[ids].float().mean())
    if share == 0:
        raise DataError("No token of the questions is a separator; look at them with `tenon sepllm density`.")
    return max(1, round(1 / share))
