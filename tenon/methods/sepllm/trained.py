"""Does training under the mask teach a model to remember through separators?

The questions of `examples`, asked of models that were trained on under a mask each, and each under its own: full
attention is the control that only read more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError, DataError
from tenon.core.models.loading import load_config, load_model, load_tokenizer, weights_hash
from tenon.core.scoring.intervals import Interval, bootstrap_interval, paired_interval
from tenon.core.seeds import derive
from tenon.methods.sepllm import saved
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.contenders import FULL, SEP
from tenon.methods.sepllm.examples import BARE, Questions, points
from tenon.methods.sepllm.problems import Answers, file_of, usage_of
from tenon.tasks.math.accuracy import solve

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = ["Trained", "bound", "evaluate_trained", "find_trained", "trained_verdicts"]

STRM = "StreamingLLM"


@dataclass(frozen=True)
class Trained:
    """A model and the mask it was saved with."""

    folder: str
    """Where it lies, or what it is called on the hub."""
    mask: str
    """`full attention`, `SepLLM` or `StreamingLLM`."""
    window: int | None
    """Nearest tokens that it sees; none: all [tokens]."""
    sep: SepConfig
    """The whole mask."""
    weights: str
    """Hash of its weights."""

    @property
    def name(self) -> str:
        """Name the mask with its window."""
        return self.mask if self.window is None else f"{self.mask}, window {self.window}"


def find_trained(folders: Sequence[str]) -> list[Trained]:
    """Look up with which mask each model was saved, and refuse what cannot be compared before anything is asked.

    Raises:
        ConfigError: A model was not saved under a mask, comes twice, or there is none of full attention.
        DataError: The models do not share one vocabulary.
    """
    found, vocabulary = [], None
    for folder in folders:
        try:
            sep = saved.recall(load_config(folder))
        except ConfigError as error:
            raise ConfigError(f"{folder} is no model of `tenon sepllm train`. {error}") from error
        if sep.window is not None and not isinstance(sep.window, int):
            raise ConfigError(f"{folder} was trained with windows by layer ({sep.window}); give models of one window.")
        mask = FULL if sep.window is None else SEP if sep.has_separators else STRM
        found.append(Trained(folder, mask, sep.window, sep, weights_hash(folder)))
        words = load_tokenizer(folder).get_vocab()
        if words != (vocabulary := vocabulary or words):
            raise DataError(f"{folder} has another vocabulary than {folders[0]}; compare models of one tokenizer.")
    if len({one.weights for one in found}) < len(found):
        raise ConfigError("Two of the models have the same weights; give each once.")
    for mask in (FULL, SEP):
        if mask not in {one.mask for one in found}:
            raise ConfigError(f"None of the {len(found)} models was trained with {mask}; give one, to compare with.")
    return found


def evaluate_trained(run: Run, models: Sequence[Trained], config: Questions) -> list[dict[str, Any]]:
    """Answer every question with every model under its own mask, and without the examples with full attention.

    Args:
        run: Keeps every answer, so that a killed evaluation goes on.
        models: What `find_trained` gives; several of one mask are its seeds, and their marks are averaged by question.
        config: What is asked.

    Returns:
        One row per mask: accuracy, its interval and the differences to full attention and to SepLLM paired over
        questions, the best and the worst model, mean tokens in the cache, and the share of all keys attended to.
    """
    marks: dict[str, list[list[bool]]] = {}
    parts: dict[str, list[str]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for place, one in enumerate(models):
        network, tokenizer = load_model(one.folder), load_tokenizer(one.folder)
        problems, prompts, bare = config.asked(tokenizer)
        asked = {one.name: prompts} | ({BARE: bare} if one.mask == FULL else {})
        for name, texts in asked.items():
            part = f"{name}, model {place}"
            answer = Answers(run, part, network, tokenizer, one.sep, config.max_new_tokens)
            solve(run, file_of(part), problems, texts, answer, batch_size=config.batch_size, label=part)
            right = {row["key"]: row["correct"] for row in run.rows(file_of(part))}
            marks.setdefault(name, []).append([right[problem.key] for problem in problems])
            parts.setdefault(name, []).append(part)
            facts[name] = {"trained under": name, "mask": BARE if name == BARE else one.mask, "window": one.window}
    means = {name: [sum(each) / len(each) for each in zip(*found, strict=True)] for name, found in marks.items()}
    ours = next(one.name for one in models if one.mask == SEP)
    return [
        facts[name]
        | _accuracy(name, means, ours, config)
        | {"models": len(found), "worst model": min(map(_share, found)), "best model": max(map(_share, found))}
        | _mean([usage_of(run, part) for part in parts[name]])
        for name, found in marks.items()
    ]


def _accuracy(name: str, means: Mapping[str, list[float]], ours: str, config: Questions) -> dict[str, Any]:
    seed = derive(config.seed, "trained", name)
    interval: Interval = bootstrap_interval(means[name], seed=seed)
    row: dict[str, Any] = {
        "problems": config.problems,
        "accuracy": sum(means[name]) / config.problems,
        "low": interval.low,
        "high": interval.high,
    }
    for other, title, ends in ((FULL, "minus full", "full"), (ours, "minus SepLLM", "difference")):
        difference = paired_interval(means[name], means[other], seed=seed)
        row |= {title: difference.difference, f"{ends} low": difference.low, f"{ends} high": difference.high}
    return row


def _share(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks)


def _mean(usages: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(usage[name] for usage in usages) / len(usages) for name in usages[0]}


def trained_verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say whether the test tells anything, and then what it tells of SepLLM.

    >>> row = {"full low": -0.9, "full high": -0.8, "minus full": -0.85, "share of keys [%]": 25.0}
    >>> even = {"difference low": -0.1, "difference high": 0.1, "minus SepLLM": 0.0}
    >>> names = (BARE, SEP, STRM)
    >>> print(trained_verdicts([row | even | {"mask": name, "trained under": name} for name in names])[0][:52])
    Informative, since full attention without the exampl
    """
    bare, sep = (next(row for row in rows if row["mask"] == mask) for mask in (BARE, SEP))
    streams = [row for row in rows if row["mask"] == STRM]
    told = [
        f"{row['trained under']} {points(row, 'minus full', 'full')} at {row['share of keys [%]']:.0f} % of the keys"
        for row in streams
    ]
    losers = f"full attention without the examples loses {points(bare, 'minus full', 'full')} against full attention"
    losers += f", trained on under {'; '.join(told)}" if told else ""
    if bare["full high"] >= 0 or any(row["full high"] >= 0 for row in streams) or not streams:
        return [f"Uninformative, since not every control loses: {losers}."]
    found = [
        f"Informative, since {losers}. {sep['trained under']}, at {sep['share of keys [%]']:.0f} % of the keys, is "
        f"{points(sep, 'minus full', 'full')} off."
    ]
    for row in streams:
        if row["difference low"] <= 0 <= row["difference high"]:
            verdict = "cannot be told from"
        else:
            verdict = "is better than" if row["difference high"] < 0 else "is worse than"
        difference = points(row, "minus SepLLM", "difference")
        found.append(f"SepLLM {verdict} {row['trained under']} (that minus SepLLM {difference}).")
    return found


def bound(models: Sequence[Trained]) -> dict[str, str]:
    """Give what a run is bound to: the weights of every model, in order."""
    return {f"weights {place}": one.weights for place, one in enumerate(models)}
