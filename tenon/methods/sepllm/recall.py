"""Segment recall: small models trained under each mask, and who can still say what stood beyond any window's reach.

A window of `n` tokens reaches `layers * (n - 1)` tokens back through all layers. Farther back, an answer can only come
through a token that stays visible. So the same small model is trained under each mask on `tenon.tasks.recall`, and
asked for pairs at every distance. Then separators are hidden from the very weights that were trained to use them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tenon.core.errors import ConfigError, require
from tenon.core.models.cache import cache_argument
from tenon.core.models.loading import NANO_FOLDER, load_model, weights_hash
from tenon.core.training import TrainConfig
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.contenders import FULL, SEP
from tenon.methods.sepllm.model import apply_sepllm
from tenon.tasks import recall as task_of
from tenon.tasks.recall import RecallRow, RecallTask, draw_row

if TYPE_CHECKING:
    from tenon.core.run import Run

__all__ = [
    "HIDDEN",
    "INTERVAL",
    "OWN_ALONE",
    "OWN_HIDDEN",
    "PROBES",
    "SHIPPED",
    "WIDE",
    "WINDOW",
    "Answers",
    "Probe",
    "RecallConfig",
    "ask",
    "asked_rows",
    "combined_hash",
    "evaluate_recall",
    "model_folder",
    "rules",
    "shipped_hash",
    "shipped_recall",
    "slug",
]

WINDOW, WIDE, INTERVAL = "StreamingLLM, same window", "StreamingLLM, equal keys", "fixed interval"
"""The controls: no separators; nearer tokens in their place; tokens at fixed places in their place."""

HIDDEN = "all separators hidden"
OWN_HIDDEN = "the answer's separator hidden"
OWN_ALONE = "the answer's separator alone"
"""What is changed in the test: no separator counts, the one that ends the answer's segment does not, or only that."""

SHIPPED = NANO_FOLDER / "nano-recall"
"""The weights that travel with the package, one folder per mask."""


@dataclass(frozen=True, kw_only=True)
class RecallConfig:
    """The task, the model that is trained on it under every mask, and how it is asked."""

    task: RecallTask = field(default_factory=RecallTask)
    """Vocabulary and lengths."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=1000, batch_size=64, learning_rate=1e-3, schedule="wsd", warmup_steps=60, weight_decay=0.01,
            log_every=25, save_every=250, device="cpu",
        )
    )  # fmt: skip
    """How each model is trained; its seed is that of the first."""
    growth: float = 0.5
    """Share of the steps over which rows grow from 2 segments to the most: full attention, which no window tells which
    key stands beside which value, learns it on short rows or not at all."""
    models: int = field(default=3, metadata={"identity": False})
    """Models per mask; each has its own weights at the start and its own training rows, the same under every mask. A
    run with fewer can be given again with more."""
    layers: int = 2
    """Transformer blocks: one writes a segment into its separator, the next one reads it there."""
    hidden_size: int = 64
    """Width of the residual stream."""
    intermediate_size: int = 64
    """Width of the feed-forward layers."""
    heads: int = 4
    """Attention heads."""
    initializer_range: float = 0.1
    """Spread of the weights at the start; with the usual 0.02 so small a model learns nothing for long."""
    init: int = 2
    """First tokens that everyone sees; they hold no pair [tokens]."""
    window: int = 7
    """Nearest tokens that SepLLM sees, the query included; a separator sees its own segment's pair and no other
    [tokens]."""
    sequences: int = 500
    """Unseen rows on which each model is asked, the same for all, with equally many at each distance."""
    batch_size: int = 64
    """Rows asked together."""
    seed: int = 0
    """Names the draw of the rows."""

    def __post_init__(self) -> None:
        for name in ("models", "layers", "heads", "batch_size"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(0 <= self.growth <= 1, self, "growth", "between 0 and 1")
        least = self.task.segments
        require(self.sequences >= least, self, "sequences", f"{least} or more, for each distance to be asked")
        require(self.hidden_size % self.heads == 0, self, "heads", f"a divisor of hidden_size ({self.hidden_size})")
        most = 1 + self.task.lead
        require(0 <= self.init <= most, self, "init", f"0 to {most}: the first tokens must hold no pair")
        least = self.task.max_fill + 3
        require(self.window >= least, self, "window", f"{least} or more, for a separator to see its segment's key")
        if self.reach(rules(self)[WIDE]) >= (self.task.segments - 1) * (self.task.min_fill + 3):
            raise ConfigError(
                f"RecallConfig has layers={self.layers}, window={self.window}: all {self.task.segments} segments are "
                "within a window's reach, so nothing could be shown; lower these or raise task.segments."
            )

    @property
    def guess(self) -> float:
        """How often the best guess at a far question is right: who knows all values but not their keys has one chance
        in `segments`; who knows the pairs within the widest window's reach can leave their values out."""
        near = self.reach(rules(self)[WIDE]) // (self.task.min_fill + 3)
        return max(1 / self.task.segments, 1 / (self.task.values - near))

    def lengths(self, step: int) -> tuple[int, int]:
        """Give the fewest and the most segments of a row in a step of the training.

        >>> [RecallConfig().lengths(step) for step in (0, 100, 499, 500, 999)]
        [(1, 2), (1, 3), (3, 7), (4, 8), (4, 8)]
        """
        share = 1.0 if self.growth == 0 else min(1.0, step / (self.train.steps * self.growth))
        most = min(self.task.segments, 2 + int((self.task.segments - 2) * share))
        return max(1, most // 2), most

    def reach(self, rule: SepConfig) -> int:
        """Give how far back the window of a rule reaches through all layers [tokens]."""
        assert isinstance(rule.window, int)
        return self.layers * (rule.window - 1)


def rules(config: RecallConfig) -> dict[str, SepConfig]:
    """Give every mask by its name.

    StreamingLLM gets the window with which a question sees as many keys as under SepLLM; the fixed interval keeps as
    many tokens as there are separators, wherever they fall.

    >>> {name: (rule.window, rule.interval) for name, rule in rules(RecallConfig()).items() if name != FULL}
    {'SepLLM': (7, None), 'StreamingLLM, same window': (7, None), 'StreamingLLM, equal keys': (15, None), 'fixed interval': (7, 6)}
    """  # noqa: E501 - the output of a doctest is one line
    task = config.task
    bare = SepConfig(separators="none", init=config.init, window=config.window)
    return {
        FULL: replace(bare, window=task.most_tokens),
        SEP: replace(bare, separator_ids=(task_of.SEP,)),
        WINDOW: bare,
        # The separator of the last segment is within the window, the first segment's is not: one per pair in all.
        WIDE: replace(bare, window=config.window + task.segments),
        INTERVAL: replace(bare, interval=round(task.mean_segment)),
    }


@dataclass(frozen=True)
class Probe:
    """One question to weights: under which mask they were trained, and what they see when they are asked."""

    trained: str
    """Name of the mask in training."""
    tested: str
    """What is seen in the test, in words."""
    rule: str
    """Name of the mask in the test."""
    hide: Literal["none", "own", "others"] = "none"
    """Which separators do not count as such: none, that of the answer's own segment, or all but that one."""

    @property
    def key(self) -> str:
        """Give the name of this probe's rows."""
        return slug(self.trained) if self.trained == self.tested else f"{slug(self.trained)}/{slug(self.tested)}"


PROBES = (
    *(Probe(name, name, name) for name in (FULL, SEP, WINDOW, WIDE, INTERVAL)),
    Probe(SEP, HIDDEN, WINDOW),
    Probe(SEP, OWN_HIDDEN, SEP, "own"),
    Probe(SEP, OWN_ALONE, SEP, "others"),
    Probe(SEP, INTERVAL, INTERVAL),
    Probe(FULL, SEP, SEP),
)
"""Every mask on the weights trained under it; then what the separators do, and what a mask does without training."""


def slug(name: str) -> str:
    """Give a name as part of a file's.

    >>> slug("the answer's separator hidden")
    'the-answers-separator-hidden'
    """
    return name.replace(",", "").replace("'", "").replace(" ", "-").lower()


def model_folder(models: Path, name: str, index: int) -> Path:
    """Give the folder of one trained model.

    >>> model_folder(Path("models"), SEP, 0).as_posix()
    'models/sepllm-0'
    """
    return models / f"{slug(name)}-{index}"


def asked_rows(config: RecallConfig) -> list[RecallRow]:
    """Draw the rows on which every model is asked: the longest ones, each distance in turn."""
    return [
        draw_row(config.task, config.seed, "test", index, back=1 + index % config.task.segments)
        for index in range(config.sequences)
    ]


@dataclass(frozen=True)
class Answers:
    """What a model answered, and what it held in memory when it did."""

    marks: list[bool]
    """Per row, whether the answer was right."""
    keys: float
    """Keys that a question's last token saw, the mean over rows and layers; counted, not computed."""
    bytes: float
    """Memory of the cache then, per row, unused room included [bytes]."""


@torch.inference_mode()
def ask(model: Any, rule: SepConfig, rows: Sequence[RecallRow], hide: str = "none", batch_size: int = 64) -> Answers:
    """Let a model answer the last question of every row, from what its cache has kept of the text before.

    The text is read up to the key that is asked for, the cache drops what the rule drops, and then that key is fed.

    Args:
        model: A causal language model, in eval mode, unchanged.
        rule: What is seen and kept.
        rows: What is asked.
        hide: As in `Probe`.
        batch_size: Rows read together.
    """
    marks: list[bool] = []
    attended = steps = held = 0
    with apply_sepllm(model, None, rule) as applied:
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            ids, is_real = _left_padded(part)
            hidden: dict[str, Tensor] = {} if hide == "none" else {"separator_mask": _separators(part, ids, hide)}
            cache = applied.new_cache()
            for cut in (slice(0, -1), slice(-1, None)):
                before = cache.usage.attended, cache.usage.steps
                logits = model(
                    ids[:, cut],
                    attention_mask=is_real if cut.stop is None else is_real[:, cut],
                    use_cache=True,
                    **{cache_argument(model): cache},
                    **{name: value[:, cut] for name, value in hidden.items()},
                ).logits
            attended, steps = attended + cache.usage.attended - before[0], steps + cache.usage.steps - before[1]
            held += cache.usage.bytes_now
            marks += task_of.marks(part, logits[:, -1].argmax(-1).tolist())
    return Answers(marks, attended / steps, held / len(rows))


def _left_padded(rows: Sequence[RecallRow]) -> tuple[Int[Tensor, "rows seq"], Int[Tensor, "rows seq"]]:
    """Give the rows up to the key that is asked for, and where they are real."""
    width = max(len(row.ids) for row in rows) - 1
    ids = torch.full((len(rows), width), task_of.PAD)
    for row, line in zip(rows, ids, strict=True):
        line[width + 1 - len(row.ids) :] = torch.tensor(row.ids[:-1])
    return ids, (ids != task_of.PAD).long()


def _separators(rows: Sequence[RecallRow], ids: Tensor, hide: str) -> Bool[Tensor, "rows seq"]:
    """Say which tokens count as separators when one is hidden, or all others are."""
    is_own = torch.zeros_like(ids, dtype=torch.bool)
    for row, line in zip(rows, is_own, strict=True):
        line[len(line) + 1 - len(row.ids) + row.questions[-1].separator] = True
    return is_own if hide == "others" else (ids == task_of.SEP) & ~is_own


def evaluate_recall(run: Run, config: RecallConfig) -> dict[str, Any]:
    """Train every model, ask all of them, and give the rows of the tables.

    Args:
        run: Holds the trainings below `trainings`, the models below `models`, and the answers in `answers.jsonl`.
        config: The whole experiment.

    Returns:
        `recall` (one row per probe), `distances` (one per probe and distance), `verdicts`, and `weights by model`
        (their hashes).
    """
    from tenon.methods.sepllm.recall_tables import figures
    from tenon.methods.sepllm.recall_training import train_models

    train_models(run, config)
    rows = asked_rows(config)
    jobs = [(probe, index) for index in range(config.models) for probe in PROBES]
    for probe, index in run.track(jobs, "asking", name="answers", key=lambda job: f"{job[0].key}/{job[1]}"):
        model = load_model(model_folder(run.path / "models", probe.trained, index), device="cpu")
        found = ask(model, rules(config)[probe.rule], rows, probe.hide, config.batch_size)
        marks = "".join("01"[mark] for mark in found.marks)
        run.append("answers", {"key": f"{probe.key}/{index}", "marks": marks, "keys": found.keys, "bytes": found.bytes})
    stored = {row["key"]: row for row in run.rows("answers")}
    answers = {
        probe: [
            Answers([mark == "1" for mark in row["marks"]], row["keys"], row["bytes"])
            for row in (stored[f"{probe.key}/{index}"] for index in range(config.models))
        ]
        for probe in PROBES
    }
    return figures(config, rows, answers) | {
        "weights by model": {row["key"]: row["weights"] for row in run.rows("trained")}
    }


def shipped_recall(
    *, sequences: int = 200, seed: int = 0, probes: Sequence[Probe] = PROBES, folder: Path = SHIPPED
) -> dict[str, Any]:
    """Ask the models that travel with the package; a few seconds on one core.

    Args:
        sequences: Unseen rows for each; a multiple of the task's segments has equally many at each distance.
        seed: Names their draw; 0 gives the first rows of the published figures.
        probes: What is asked.
        folder: Where the models are.

    Returns:
        As `evaluate_recall`, without the weights; one model stands for each mask.
    """
    from tenon.methods.sepllm.recall_tables import figures

    config = RecallConfig(sequences=sequences, seed=seed, models=1)
    rows = asked_rows(config)
    models = {name: load_model(folder / slug(name), device="cpu") for name in {probe.trained: 0 for probe in probes}}
    return figures(
        config,
        rows,
        {
            probe: [ask(models[probe.trained], rules(config)[probe.rule], rows, probe.hide, config.batch_size)]
            for probe in probes
        },
    )


def shipped_hash() -> str:
    """Give one SHA-256 (hex) for the models that travel with the package."""
    return combined_hash(SHIPPED)


def combined_hash(models: Path, ending: str = "") -> str:
    """Give one SHA-256 (hex) for one model per mask, from the hash of each.

    Args:
        models: The folder that holds theirs.
        ending: What follows a mask's name in the name of its folder.
    """
    parts = [weights_hash(models / f"{slug(name)}{ending}") for name in rules(RecallConfig())]
    return hashlib.sha256("".join(parts).encode()).hexdigest()
