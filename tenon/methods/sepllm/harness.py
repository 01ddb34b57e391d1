"""lm-evaluation-harness on a model under SepLLM; the only file that imports `lm_eval`.

The harness sees an ordinary `HFLM`. What it generates goes through a `SepCache`; what it only scores (log-likelihoods,
multiple choice) goes through the mask of eq. (1) in one forward without a cache. Beside the harness's own metrics
stands what was attended to (`harness_keys`). Of requests that differ in their last token alone the harness computes
one; each counts.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from tenon.core.errors import ConfigError, DataError, need, require
from tenon.core.models.cache import cache_argument
from tenon.methods.sepllm.cache import layer_rules
from tenon.methods.sepllm.config import SepConfig, single
from tenon.methods.sepllm.contenders import FULL, SEP, STRM, STRM_MEAN, stream_contenders
from tenon.methods.sepllm.harness_keys import Keys, equal_window
from tenon.methods.sepllm.model import apply_sepllm

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.sepllm.cache import SepCache
    from tenon.methods.sepllm.model import Applied

__all__ = ["HarnessConfig", "Spec", "check_tasks", "evaluate_task", "evaluate_tasks", "harness_lm"]

Spec = str | dict[str, Any]
"""A task: a name that the harness knows, a YAML file of its format, or what would stand in that file."""

CONTENDERS = (FULL, SEP, STRM, STRM_MEAN)


@dataclass(frozen=True, kw_only=True)
class HarnessConfig:
    """Which tasks of lm-evaluation-harness are evaluated, on how much, and under which rule."""

    tasks: tuple[str, ...] = ()
    """Names that the harness knows (tasks, groups, tags), or YAML files of its format."""
    sep: SepConfig = field(default_factory=lambda: SepConfig(init=4, window=128))
    """SepLLM's rule; the others follow from it. Keep room for the question and the answer in its window."""
    limit: int | None = None
    """Examples per task; none: all."""
    num_fewshot: int | None = None
    """Solved examples in each prompt; none: the task's own number. Tasks fixed at 0 stay there."""
    chat: bool = False
    """Whether prompts go through the tokenizer's chat template, with solved examples as earlier turns."""
    batch_size: int = 8
    """Requests computed together."""
    seed: int | None = None
    """Draws the solved examples, and what is sampled; none: the harness's own seeds, as in published figures."""

    def __post_init__(self) -> None:
        require(self.limit is None or self.limit >= 1, self, "limit", "1 or more")
        require(self.num_fewshot is None or self.num_fewshot >= 0, self, "num_fewshot", "0 or more")
        require(self.batch_size >= 1, self, "batch_size", "1 or more")


def check_tasks(specs: Sequence[Spec]) -> Any:
    """Give the harness's own manager of tasks, after a look at whether it knows these.

    Raises:
        MissingExtra: `lm_eval` is not installed.
        ConfigError: There is no task, or one of no known name and no file.
    """
    need("lm_eval", extra="eval")
    from lm_eval.tasks import TaskManager

    if not specs:
        raise ConfigError("No task is named; name one that lm-evaluation-harness knows, such as gsm8k_cot.")
    names = [spec for spec in specs if isinstance(spec, str) and not Path(spec).is_file()]
    manager = TaskManager(include_defaults=bool(names))  # reading all of them takes seconds
    if unknown := [name for name in names if name not in manager.all_tasks]:
        raise ConfigError(
            f"{unknown[0]!r} is neither a task of lm-evaluation-harness nor a YAML file; `lm_eval ls tasks` lists its "
            "tasks."
        )
    return manager


def evaluate_tasks(
    run: Run, model: Any, tokenizer: Any, config: HarnessConfig, *, specs: Sequence[Spec] | None = None
) -> list[dict[str, Any]]:
    """Evaluate every task under every contender; a killed evaluation goes on with the pair that was under way.

    The contenders are full attention, SepLLM, StreamingLLM with the same window or capacity, and StreamingLLM at equal
    mean: with the window that keeps as much as SepLLM was measured to keep on the same task (of a bounded cache, with
    nearer tokens in the place of separators). The last is left out of an unbounded cache whose layers follow several
    rules. All get the same prompts.

    Args:
        run: Keeps one row per task and contender.
        model: A causal language model; afterwards it is as it was.
        tokenizer: Its tokenizer.
        config: What, how much, and SepLLM's rule.
        specs: The tasks, where they are no names; `config.tasks` else.

    Returns:
        One row per task, metric and contender: the value and its standard error as the harness computes them, the
        number of examples, mean tokens in the cache, the share of keys attended to, and how many requests were cut.

    Raises:
        MissingExtra: `lm_eval` is not installed.
        ConfigError: A task is unknown, or the rule does not fit the model.
        DataError: A task's data cannot be loaded.
    """
    specs = config.tasks if specs is None else specs
    manager = check_tasks(specs)
    length = int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**20)
    # Where layers follow several rules, no one window keeps as much in each of them.
    is_even = config.sep.capacity is not None or len(set(layer_rules(config.sep, model.config)) - {None}) == 1
    pairs = [(spec, name) for spec in specs for name in (CONTENDERS if is_even else CONTENDERS[:-1])]
    for spec, name in run.track(pairs, "lm-eval", name="harness", key=lambda pair: _key(*pair)):
        kept = next((row["keys"] for row in run.rows("harness") if row["key"] == _key(spec, SEP)), None)
        rule = _rules(config.sep, length, kept)[name]
        found, keys = evaluate_task(model, tokenizer, rule, spec, config, manager=manager)
        counted = asdict(keys) | {"lengths": sorted(map(list, keys.lengths.items()))}
        run.append(
            "harness",
            {
                "key": _key(spec, name),
                "method": name,
                "window": rule.window,
                "metrics": list(_metrics(found)),
                "measured": keys.row(),
                "keys": counted,
            },
        )
    rows = [row for row in run.rows("harness") if row["key"] in {_key(*pair) for pair in pairs}]
    table = [metric | {"method": row["method"]} | row["measured"] for row in rows for metric in row["metrics"]]
    order = list(dict.fromkeys((row["task"], row["metric"]) for row in table))
    return sorted(table, key=lambda row: order.index((row["task"], row["metric"])))


def evaluate_task(
    model: Any, tokenizer: Any, rule: SepConfig, spec: Spec, config: HarnessConfig, *, manager: Any = None
) -> tuple[dict[str, Any], Keys]:
    """Evaluate one task under one rule.

    Returns:
        What the harness gives back, with every sample, and what was attended to.

    Raises:
        MissingExtra: `lm_eval` is not installed.
        ConfigError: The task is unknown, or the rule does not fit the model.
        DataError: The task's data cannot be loaded.
    """
    manager = manager or check_tasks([spec])
    from lm_eval import simple_evaluate

    names = ("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed")
    seeds = {} if config.seed is None else dict.fromkeys(names, config.seed)
    keys = Keys()
    with _untouched(model, tokenizer), apply_sepllm(model, tokenizer, rule) as applied:
        try:
            found = simple_evaluate(
                harness_lm(applied, tokenizer, batch_size=config.batch_size, keys=keys),
                tasks=[copy.deepcopy(spec)],
                num_fewshot=config.num_fewshot,
                limit=config.limit,
                apply_chat_template=config.chat,
                fewshot_as_multiturn=config.chat,
                task_manager=manager,
                **seeds,
            )
        except OSError as error:  # no network, no such data set, no such file
            raise DataError(
                f"The data of task {_label(spec)!r} cannot be loaded ({error}). The harness takes it from the hub: run "
                "once with a network, or name a YAML file whose data lie on this machine."
            ) from error
    return found, keys


def harness_lm(applied: Applied, tokenizer: Any, *, batch_size: int, keys: Keys) -> Any:
    """Wrap a model under SepLLM for the harness: an `HFLM` that notes what is attended to.

    Prompts are left-padded; each batch that is generated gets a new cache. As in any `HFLM`, a text longer than the
    model's positions loses its beginning, the answer's room (256 tokens unless the task says otherwise) included;
    `keys.cut` counts how often that happened.

    Args:
        applied: What `apply_sepllm` gave.
        tokenizer: The model's tokenizer; a pad token is set if it has none.
        batch_size: Requests computed together.
        keys: What is counted is added here.

    Raises:
        MissingExtra: `lm_eval` is not installed.
    """
    need("lm_eval.models.huggingface", extra="eval")  # an old one does not import beside a new transformers
    from lm_eval.models import huggingface

    # Without the optional library its class is Any, which mypy lets nobody inherit from; with it nothing is wrong.
    class SepLM(huggingface.HFLM):  # type: ignore[misc, unused-ignore]
        """An `HFLM` whose cache is a `SepCache`."""

        def _model_generate(self, context: Tensor, max_length: int, stop: list[str], **options: Any) -> Tensor:
            cache = applied.new_cache()
            stops = huggingface.stop_sequences_criteria(self.tokenizer, stop, context.shape[1], context.shape[0])
            temperature = options.pop("temperature", 0.0)
            if options.setdefault("do_sample", temperature > 0):  # a temperature means nothing to greedy search
                options["temperature"] = temperature
            ids = self.model.generate(
                input_ids=context,
                max_length=max_length,
                stopping_criteria=StoppingCriteriaList([*stops, _Live(cache, stops, _ends(self.model))]),
                pad_token_id=self.tokenizer.pad_token_id,
                use_cache=True,
                **{cache_argument(self.model): cache},
                **options,
            )
            keys.add_generated(cache)
            return ids

        def _model_call(self, inps: Tensor, attn_mask: Any = None, labels: Any = None) -> Tensor:
            # Pads stand on the right, where no real token sees them, so no mask says where they are.
            with torch.no_grad():
                return self.model(inps, use_cache=False).logits

        def _loglikelihood_tokens(self, requests: list[Any], *args: Any, **options: Any) -> Any:
            for _, context, continuation in requests:
                whole = [*context, *continuation]
                keys.cut += len(whole) > self.max_length + 1
                keys.add_scored(applied, whole[-(self.max_length + 1) :][:-1])
            return super()._loglikelihood_tokens(requests, *args, **options)

        def tok_batch_encode(
            self, strings: list[str], *args: Any, left_truncate_len: int | None = None, **options: Any
        ) -> tuple[Tensor, Tensor]:
            if left_truncate_len is not None:
                _, is_real = super().tok_batch_encode(strings, *args, **options)
                keys.cut += int((is_real.sum(1) > left_truncate_len).sum())
            return super().tok_batch_encode(strings, *args, left_truncate_len=left_truncate_len, **options)

    with _quiet("lm_eval"):  # it warns of every model that is passed in loaded
        return SepLM(pretrained=applied.model, tokenizer=tokenizer, batch_size=batch_size)


class _Live(StoppingCriteria):
    """Stops nothing; tells a cache which rows still write: not those that met a stop string or an end token."""

    def __init__(self, cache: SepCache, stops: Sequence[Any], ends: Sequence[int]) -> None:
        self.cache, self.stops, self.ends = cache, stops, ends

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        rows = input_ids.shape[0]
        if all(len(stop.done_tracker) == rows for stop in self.stops):  # beams have no end of their own
            before = self.cache.live or [True] * rows
            ended = torch.isin(input_ids[:, -1], torch.tensor(self.ends, device=input_ids.device)).tolist()
            self.cache.live = [
                before[row] and not ended[row] and not any(stop.done_tracker[row] for stop in self.stops)
                for row in range(rows)
            ]
        return torch.zeros(rows, dtype=torch.bool, device=input_ids.device)


def _ends(model: Any) -> list[int]:
    """Give the ids at which `generate` ends a row."""
    ends = model.generation_config.eos_token_id
    return [] if ends is None else ends if isinstance(ends, list) else [ends]


def _rules(sep: SepConfig, length: int, kept: Mapping[str, Any] | None) -> dict[str, SepConfig]:
    """Give the rule of each contender; that at equal mean once it is known what SepLLM kept."""
    full = SepConfig(init=sep.init, window=length)
    if sep.capacity is not None:
        return {FULL: full} | stream_contenders(replace(sep, interval=None)) | {SEP: sep}
    bare = replace(sep, separators="none", separator_ids=(), interval=None)
    rules = {FULL: full, SEP: sep, STRM: bare}
    if kept is not None:
        rules[STRM_MEAN] = replace(bare, window=equal_window(single(sep.init, "init"), kept))
    return rules


def _metrics(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the numbers of all tasks and groups in what the harness gave back."""
    for task, fields in found["results"].items():
        for name, value in fields.items():
            metric, _, answer = name.partition(",")
            if not answer or metric.endswith("_stderr"):
                continue
            yield {
                "task": task,
                "metric": metric if answer == "none" else f"{metric}, {answer}",
                "value": _number(value),
                "stderr": _number(fields.get(f"{metric}_stderr,{answer}")),
                "examples": found["n-samples"].get(task, {}).get("effective"),
                "version": str(found["versions"].get(task, "")),
            }


def _number(value: Any) -> float | None:
    """Give a number that JSON knows; the harness writes N/A where it has none."""
    return float(value) if isinstance(value, numbers.Real) and math.isfinite(value) else None


def _key(spec: Spec, name: str) -> str:
    return f"{_label(spec)}: {name}"


def _label(spec: Spec) -> str:
    return spec if isinstance(spec, str) else str(spec["task"])


@contextlib.contextmanager
def _untouched(model: Any, tokenizer: Any) -> Iterator[None]:
    """Put back what an `HFLM` sets on what it is given."""
    side, pad, is_training = tokenizer.padding_side, tokenizer.pad_token, model.training
    try:
        yield
    finally:
        tokenizer.padding_side = side
        if tokenizer.pad_token != pad:
            tokenizer.pad_token = pad
        model.train(is_training)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Show errors alone of one logger and those below it."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
