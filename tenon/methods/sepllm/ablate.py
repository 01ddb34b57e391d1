"""Small models from scratch under several masks, compared on held-out text: what does a mask cost a model made for it?

All trainings of one seed begin with the same weights and read the same rows in the same order, so that differences
between masks are paired, and a few seeds say much. Each training is a run of its own below `trainings/`.

- *full attention*: nothing is masked; one training per seed, since it has no window;
- *SepLLM*;
- *StreamingLLM, equal window*: no separators, so it sees fewer keys (arXiv 2309.17453);
- *StreamingLLM, equal share*: the smallest window with which as many pairs are seen as under SepLLM;
- *every k-th token*: kept in the place of separators, as many of them (FixLLM, table 17);
- *SepLLM, outer layers full*: first and last layer with full attention (H/T).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tenon.core.errors import ConfigError, DataError, require
from tenon.core.models.loading import load_model
from tenon.core.run import Run
from tenon.core.scoring.perplexity import bits_per_byte
from tenon.core.training.config import TrainConfig
from tenon.core.values import nearest
from tenon.methods.sepllm.ablate_table import compare_losses, compare_trainings, names, verdicts
from tenon.methods.sepllm.config import LayerRule, SepConfig, single
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.pictures_train import draw_curves, draw_losses
from tenon.methods.sepllm.separators import resolve_separators
from tenon.methods.sepllm.share import attention_map_pct
from tenon.methods.sepllm.train import Shape, TrainSettings, fresh_model, train_under_mask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["AblateConfig", "Training", "ablate", "cut_rows", "held_out_loss", "plan_rules"]


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """Which masks and windows are compared, and how each model is trained and scored."""

    rules: tuple[str, ...] = ("full", "sep", "streaming")
    """Masks: `full`, `sep`, `streaming`, and as further controls `streaming_equal`, `fixed`, `head_tail`."""
    windows: tuple[int, ...] = (16, 64)
    """Nearest tokens seen, the query included; all rules but `full` are trained at each [tokens]."""
    seeds: int = 3
    """Trainings of each; seed `i` is `train.seed + i`."""
    sep: SepConfig = field(default_factory=SepConfig)
    """Separators and first tokens; the window comes from `windows`."""
    shape: Shape = field(default_factory=Shape)
    """Architecture of all models."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=400,
            batch_size=8,
            learning_rate=2e-3,
            warmup_steps=30,
            precision="bf16",
            save_every=100,
            device="cpu",
        )
    )
    """Optimiser, schedule and batch. The learning rate was chosen with full attention on books held out of training;
    at twice as much, rounding alone changes the course of a training."""
    row: int = 512
    """Tokens of a row, in training and in scoring, a begin token included where the tokenizer has one [tokens]."""
    text_tokens: int = 1_640_000
    """Training text, an equal stretch of each document; read again in another order if the steps need more [tokens]."""
    valid_tokens: int = 131_072
    """Held-out text, an equal stretch of each document [tokens]."""

    def __post_init__(self) -> None:
        for rule in self.rules:
            if rule not in names():
                raise ConfigError(f"AblateConfig.rules has {rule!r}, which is no mask; {nearest(rule, names())}.")
        require(len(set(self.rules)) == len(self.rules) >= 1, self, "rules", "one mask or more, each once")
        require("sep" in self.rules, self, "rules", "with 'sep' among them, which all others are compared with")
        require(len(set(self.windows)) == len(self.windows) >= 1, self, "windows", "one window or more, each once")
        require(all(window >= 1 for window in self.windows), self, "windows", "1 or more each: the query counts")
        require(self.seeds >= 2, self, "seeds", "2 or more: an interval needs several")
        require(self.sep.capacity is None, self, "sep", "a SepConfig without a capacity: training has no cache")
        require(self.sep.has_separators, self, "sep", "a SepConfig with separators; 'streaming' has none")
        require(self.row >= 4, self, "row", "4 or more")
        for name in ("text_tokens", "valid_tokens"):
            require(getattr(self, name) >= self.row, self, name, f"as long as one row ({self.row}) at least")


@dataclass(frozen=True)
class Training:
    """One model to train."""

    rule: str
    window: int | None
    seed: int
    sep: SepConfig

    @property
    def key(self) -> str:
        """Its name: rule, window, seed."""
        return f"{self.rule}-{'all' if self.window is None else self.window}-{self.seed}"


def cut_rows(tokenizer: PreTrainedTokenizerBase, ids: Int[Tensor, " text"], row: int) -> Int[Tensor, "rows seq"]:
    """Cut a text into rows, each opened by the begin token where there is one: every token of the text is a target.

    What remains at the end is not given.

    Raises:
        DataError: The text is shorter than one row.
    """
    begin = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    body = row - len(begin)
    count = len(ids) // body
    if not count:
        raise DataError(f"The text has {len(ids)} tokens, but a row has {row}; give more text, or set a shorter row.")
    return torch.cat([torch.tensor(begin).expand(count, -1).long(), ids[: count * body].view(count, body)], 1)


def plan_rules(config: AblateConfig, is_sep: Bool[Tensor, "rows seq"]) -> dict[tuple[str, int | None], SepConfig]:
    """Give the mask of every rule at every window.

    Args:
        config: The ablation.
        is_sep: The separators of the training text, by which controls of equal share are set.
    """
    bare = replace(config.sep, separators="none", separator_ids=(), interval=None)
    density = float(is_sep.float().mean())
    if density == 0 and config.sep.interval is None:
        raise DataError("No token of the training text is a separator; look at it with `tenon sepllm density`.")
    planned: dict[tuple[str, int | None], SepConfig] = {}
    for rule in config.rules:
        if rule == "full":
            planned[rule, None] = replace(config.sep, window=None)
            continue
        for window in config.windows:
            if rule == "sep":
                sep = replace(config.sep, window=window)
            elif rule == "streaming":
                sep = replace(bare, window=window)
            elif rule == "streaming_equal":
                sep = replace(bare, window=_equal_window(is_sep, single(config.sep.init, "init"), window))
            elif rule == "fixed":
                sep = replace(bare, window=window, interval=max(1, round(1 / density)))
            else:
                sep = replace(config.sep, window=window, full_layers="head_tail")
            planned[rule, window] = sep
    return planned


def _equal_window(is_sep: Tensor, init: int, window: int) -> int:
    """Give the smallest window with which StreamingLLM sees as many pairs as SepLLM does with `window`."""
    goal = attention_map_pct(is_sep, [LayerRule(init=init, window=window)])
    none = torch.zeros(1, is_sep.shape[1], dtype=torch.bool)
    wider = range(window, is_sep.shape[1] + 1)
    return next(size for size in wider if attention_map_pct(none, [LayerRule(init=init, window=size)]) >= goal)


def ablate(
    run: Run,
    tokenizer: PreTrainedTokenizerBase,
    config: AblateConfig,
    text: Int[Tensor, " text"],
    valid: Int[Tensor, " valid"],
    *,
    text_name: str,
    valid_name: str,
) -> dict[str, Any]:
    """Train and score every model that is not done yet, and show the comparison in the run's report.

    Args:
        run: Keeps one row per trained model, and the trainings that are under way.
        tokenizer: Of the text and of the models.
        config: What is compared.
        text: Training text.
        valid: Held-out text, of other documents.
        text_name: What the training text is, for captions.
        valid_name: What the held-out text is.

    Returns:
        The tables by name: `masks`, `training_free`, `trainings`; and the `verdicts`, which also stand on the page.
    """
    rows, scored = cut_rows(tokenizer, text, config.row), cut_rows(tokenizer, valid, config.row)
    separators = resolve_separators(
        tokenizer,
        config.sep.separators,
        vocab_size=len(tokenizer),
        extra_ids=config.sep.separator_ids,
        match=config.sep.match,
    )
    planned = plan_rules(config, separators[rows])
    todo = [
        Training(rule, window, seed, sep) for seed in range(config.seeds) for (rule, window), sep in planned.items()
    ]
    for training in run.track(todo, "trainings", name="trainings", key=lambda one: one.key):
        run.append("trainings", _train_and_score(run, tokenizer, config, training, planned, rows, scored))
    found = run.rows("trainings")
    tokens = config.train.steps * config.train.batch_size * config.train.accumulation * config.row
    figures: dict[str, Any] = {
        "masks": compare_losses(found),
        "training_free": compare_trainings(found),
        "trainings": [{name: value for name, value in row.items() if name != "curve"} for row in found],
        "read_tokens": tokens,
    }
    run.table(
        "held-out-loss",
        figures["masks"],
        f"{config.seeds} models per mask, each trained on {tokens:,} tokens of {text_name} and scored under its own "
        f"mask on {scored[:, 1:].numel():,} tokens of {valid_name}, in rows of {config.row}. Differences are paired by "
        "seed; 95 % t-intervals.",
    )
    if figures["training_free"]:
        run.table(
            "training-free",
            figures["training_free"],
            "The models trained with full attention, scored under each mask that they never saw, beside those trained "
            "under it.",
        )
    run.figure(
        "held-out-loss",
        draw_losses(figures["masks"], found),
        f"Held-out loss on {valid_name}, one point per seed; bars are means.",
        "Points of held-out loss per mask and window, one per seed.",
    )
    run.figure(
        "curves",
        draw_curves({row["key"]: (row["rule"], row["window"], row["curve"]) for row in found}),
        "Training loss, mean over seeds.",
        "Lines of training loss over steps, one per mask and window.",
    )
    figures["verdicts"] = verdicts(figures["masks"])
    for verdict in figures["verdicts"]:
        run.note(verdict)
    return figures


def _train_and_score(
    run: Run,
    tokenizer: PreTrainedTokenizerBase,
    config: AblateConfig,
    training: Training,
    planned: Mapping[tuple[str, int | None], SepConfig],
    rows: Tensor,
    scored: Tensor,
) -> dict[str, Any]:
    """Train one model and score it under its own mask, one of full attention under all masks; leave no weights."""
    seed = config.train.seed + training.seed
    settings = TrainSettings(
        sep=training.sep,
        train=replace(config.train, seed=seed),
        shape=config.shape,
        row=config.row,
        valid_tokens=scored.numel(),
    )
    folder = run.path / "trainings" / training.key
    with Run.open(folder, config=settings, seed=seed) as part:
        if not part.stage_done("scored"):
            model = fresh_model(config.shape, tokenizer, context=config.row, seed=seed)
            trained = load_model(
                train_under_mask(part, model, tokenizer, rows, settings, label=f"training {training.key}"),
                dtype="float32",
            )
            masks = {f"{rule}-{window}": sep for (rule, window), sep in planned.items() if rule != "full"}
            others = masks if training.rule == "full" else {}
            part.finish_stage(
                "scored",
                **held_out_loss(trained, tokenizer, training.sep, scored, batch_size=config.train.batch_size),
                training_free={
                    name: held_out_loss(trained, tokenizer, sep, scored, batch_size=config.train.batch_size)["loss"]
                    for name, sep in others.items()
                },
            )
        row: dict[str, Any] = {"key": training.key, "rule": training.rule, "window": training.window}
        row |= {"seed": training.seed, "effective window": training.sep.window, "interval": training.sep.interval}
        curve = [[line["step"], line["loss"]] for line in part.metrics()]
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        shutil.rmtree(folder / "model", ignore_errors=True)
        return row | part.stages()["scored"] | {"curve": curve}


@torch.inference_mode()
def held_out_loss(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    sep: SepConfig,
    rows: Int[Tensor, "rows seq"],
    *,
    batch_size: int = 8,
) -> dict[str, float]:
    """Score rows of held-out text under a mask, in float32.

    Returns:
        `loss`, the mean over all targets [nats per token]; `bits_per_byte`, over the UTF-8 bytes of their text;
        `attention_map_pct`, visible pairs of query and key by causal pairs, mean over layers [%].
    """
    nats, kept = 0.0, []
    with apply_sepllm(model, tokenizer, sep) as applied:
        for batch in rows.split(batch_size):
            ids = batch.to(model.device)
            kept.append(applied.kept(applied.separators[ids]).cpu())
            logits = model(ids, use_cache=False).logits[:, :-1].float()
            nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
            nats += float(nll.double().sum())
    share = attention_map_pct(torch.cat(kept), applied.rules)
    size = len(str(tokenizer.decode(rows[:, 1:].flatten(), skip_special_tokens=True)).encode())
    return {
        "loss": nats / rows[:, 1:].numel(),
        "bits_per_byte": bits_per_byte(nats, size),
        "attention_map_pct": share,
    }
