"""Seam to transformers' Trainer: the gradient noise scale of a training as it goes, from gradients that are there.

Two batch sizes of one optimizer step are compared:

    accumulation      the first micro-batch           with the step's whole gradient
    several processes each one's gradient, unaveraged  with the average        (no accumulation; both: as above)

The whole gradient is measured when backward has ended, before Trainer clips it: what is clipped has lost its norm. No
gradient is kept; a step costs two norms over the parameters and, with several processes, one exchange of seven numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from tenon.core.errors import ConfigError
from tenon.core.training.packing import IGNORE
from tenon.methods.batch_scaling.probes.gradient_noise import NoiseScale, Pair, RankStep, pair_of_step, two_batch

__all__ = ["METRICS", "GradientNoiseScaleCallback", "gradient_norm"]

METRICS = ("gns/b_simple_tokens", "gns/g2", "gns/s")
"""Names in the logs: B_simple [tokens], |G|^2, and tr(Sigma) of one token."""

MOST_PENDING = 64
"""Steps whose figures wait on the device at most, so that reading them there is no wait at every step."""


class _Step(NamedTuple):
    """Figures of one step on the device, [processes, 7], and what is known of it without looking."""

    ranks: Tensor
    is_weighted: bool
    has_labels: bool
    accumulated: bool


@dataclass
class _Now:
    """What was seen so far of a step that is measured."""

    micro_batches: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Targets and tokens of each that is through."""
    open: tuple[Tensor, Tensor] | None = None
    """Of the one under way."""
    first: Tensor | None = None
    """Norm after the first micro-batch."""
    local: dict[Tensor, Tensor] = field(default_factory=dict)
    """Per parameter, its norm in this process alone."""
    whole: Tensor | None = None
    """Norm of the step's gradient."""
    is_queued: bool = False
    """Whether the engine will call when backward has ended."""
    is_weighted: bool = False
    """Whether losses are divided by the step's number of targets."""
    has_labels: bool = True
    """Whether the model was given all labels."""


def gradient_norm(gradients: Iterable[Tensor], device: torch.device) -> Tensor:
    """Give the norm of all gradients together, in float32, without waiting for the device; NaN if there are none."""
    found = list(gradients)
    if not found:
        return torch.full((), torch.nan, device=device)
    if all(one.dtype == torch.float32 for one in found):  # in few launches; it would keep bfloat16's eight bits
        return torch.nn.utils.get_total_norm(found).to(device)
    norms = [torch.linalg.vector_norm(one, dtype=torch.float32).to(device) for one in found]
    return torch.linalg.vector_norm(torch.stack(norms))


class GradientNoiseScaleCallback(TrainerCallback, ExportableState):
    """Measure the gradient noise scale during a training: `Trainer(..., callbacks=[GradientNoiseScaleCallback()])`.

    Every entry of the log gains `gns/b_simple_tokens`, `gns/g2` and `gns/s`; the first is missing while it is not
    resolved. Checkpoints keep the averages. W&B and TensorBoard are asked before a user's callbacks: `attach(trainer)`
    instead of `callbacks=[...]` puts this one ahead of them.

    Trainer adds up losses over targets, so micro-batches of unlike sizes are weighted by their labels; sizes are told
    in tokens. A loss whose labels are not handed to the model (label smoothing, `compute_loss_func`) is measured where
    all micro-batches of the step are equally large; other steps are skipped and counted.

    Args:
        decay: Weight of the past in the averages, at every measured step.
        every: Measure every so many steps.
        quiet: Say nothing at the end of the training.
    """

    def __init__(self, decay: float = 0.99, every: int = 1, quiet: bool = False) -> None:
        if every < 1:
            raise ConfigError(f"every is {every}; it must be 1 step or more.")
        self.decay, self.every, self.quiet = decay, every, quiet
        self.scale = NoiseScale(decay)
        """The averages, as of the last log entry, checkpoint or end."""
        self.skipped = 0
        """Measured steps that gave no pair: overflow, unequal unseen labels, or one micro-batch alone."""
        self.last_pair: Pair | None = None
        """Of the newest step that is in the averages."""
        self.restored: dict[str, float] = {}
        self._pending: list[_Step] = []
        self._handles: list[Any] = []
        self._gradients = GradientState()
        self._now: _Now | None = None

    def attach(self, trainer: Trainer) -> GradientNoiseScaleCallback:
        """Add this callback to a trainer, ahead of those that write its logs elsewhere; gives the callback."""
        callbacks = trainer.callback_handler.callbacks
        if self in callbacks:
            callbacks.remove(self)
        callbacks.insert(0, self)
        return self

    # A checkpoint's share.

    def state(self) -> dict[str, Any]:
        """Give what a checkpoint keeps of this callback, as transformers asks for it."""
        self._drain()
        return {
            "args": {"decay": self.decay, "every": self.every, "quiet": self.quiet},
            "attributes": {"restored": {**self.scale.state(), "skipped": self.skipped}},
        }

    def _restore(self, state: TrainerState) -> None:
        kept: Any = state.stateful_callbacks or {}
        name = type(self).__name__
        mine = kept.get(name, {})
        mine = mine[0] if isinstance(mine, list) else mine
        self.scale, self.skipped, self.last_pair = NoiseScale(self.decay), 0, None
        # Trainer restores callbacks only if asked to, and then replaces them by new ones.
        if state.global_step and (figures := mine.get("attributes", {}).get("restored") or self.restored):
            self.scale.restore(figures)
            self.skipped = int(figures["skipped"])
        # A checkpoint that was written without this callback has no place for it, and Trainer would miss that.
        kept.setdefault(name, self.state())

    # Training.

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        """Take hold of the parameters' gradients and of what the model is given.

        Raises:
            ConfigError: There are no two batch sizes, or gradients are spread over devices or gone before the step.
        """
        assert model is not None
        _check(args, model)
        self._release()
        self._pending = []
        self._restore(state)
        self._world, self._device = args.world_size, args.device
        self._is_shared = bool(getattr(args, "average_tokens_across_devices", False))
        self._model, self._optimizer = model, optimizer
        self._parameters = [one for one in model.parameters() if one.requires_grad]
        self._handles = [one.register_post_accumulate_grad_hook(self._on_gradient) for one in self._parameters]
        look: Any = torch.compiler.disable(self._on_forward)
        self._handles.append(model.register_forward_pre_hook(look, with_kwargs=True))

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Begin a step."""
        self._now = _Now() if state.global_step % self.every == 0 else None

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Measure the gradient of a first micro-batch: it is all there is so far."""
        if (now := self._now) is not None:
            self._close_micro_batch(now)
            if now.first is None:
                now.first = self._norm()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Lay the step's figures aside; by now its gradient is clipped."""
        if (now := self._now) is None:
            return
        self._now = None
        self._close_micro_batch(now)
        accumulated, small = now.first is not None, now.first
        if small is None:
            small = gradient_norm(now.local.values(), self._device)
        big = self._number(torch.nan) if now.whole is None else now.whole
        targets, tokens = (torch.stack(counts) for counts in zip(*now.micro_batches, strict=True))
        first = targets[0] if accumulated else targets.sum()  # without accumulation, all that this process has
        figures = [small / self._loss_scale(), big / self._loss_scale(), first, targets.sum(), (1 / targets).sum()]
        row = torch.stack([*figures, self._number(len(targets)), tokens.sum()])
        ranks = [row]
        if self._world > 1:
            ranks = [torch.zeros_like(row) for _ in range(self._world)]
            torch.distributed.all_gather(ranks, row)
        self._pending.append(_Step(torch.stack(ranks), now.is_weighted, now.has_labels, accumulated))
        if len(self._pending) >= MOST_PENDING:
            self._drain()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Add the noise scale to an entry of the training's log."""
        if not logs or "loss" not in logs:
            return
        self._drain()
        values = zip(METRICS, (self.scale.b_simple, self.scale.g2, self.scale.s), strict=True)
        figures = {name: value for name, value in values if value is not None}
        logs.update(figures)
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(figures)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Let go of the model, and say what was found."""
        self._release()
        self._drain()
        if state.is_world_process_zero and not self.quiet:
            print(self.summary(), file=sys.stderr)

    def summary(self) -> str:
        """Say in a sentence what was found."""
        of = f"from {self.scale.pairs:,} steps" + (f", {self.skipped:,} skipped" if self.skipped else "")
        if self.scale.b_simple is None:
            return f"Gradient noise scale: not resolved ({of}); accumulate over more micro-batches or train longer."
        return f"Gradient noise scale: {self.scale.b_simple:,.0f} tokens at the end of the training ({of})."

    # Inside a step.

    def _on_forward(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Count the tokens and targets that the model is given."""
        now = self._now
        if now is None or not (module.training and torch.is_grad_enabled()):
            return
        given = kwargs.get("attention_mask")
        if isinstance(given, Tensor) and given.dim() == 2:
            tokens = given.sum()
        else:
            ids = next(one for one in (kwargs.get("input_ids"), kwargs.get("inputs_embeds"), *args) if one is not None)
            tokens = self._number(ids.shape[:2].numel())
        labels = kwargs.get("shift_labels")
        if labels is None and kwargs.get("labels") is not None:
            labels = kwargs["labels"][..., 1:]
        now.has_labels = now.has_labels and labels is not None
        now.is_weighted = now.is_weighted or kwargs.get("num_items_in_batch") is not None
        targets = tokens if labels is None else labels.ne(IGNORE).sum()
        before = now.open or (self._number(0), self._number(0))
        targets, tokens = (one.to(self._device, torch.float32) for one in (targets, tokens))
        now.open = (before[0] + targets, before[1] + tokens)

    def _close_micro_batch(self, now: _Now) -> None:
        now.micro_batches.append(now.open or (self._number(0), self._number(0)))
        now.open = None

    def _on_gradient(self, parameter: Tensor) -> None:
        """Notice that the last backward of a step is under way. Runs before DistributedDataParallel's own hooks."""
        now = self._now
        if now is None or not self._gradients.sync_gradients:
            return
        if now.first is None and self._world > 1 and parameter.grad is not None:
            now.local[parameter] = torch.linalg.vector_norm(parameter.grad, dtype=torch.float32)
        if not now.is_queued:
            now.is_queued = True
            _when_backward_ends(self._after_backward)

    def _after_backward(self) -> None:
        """Measure; where re-entrant checkpointing nests backwards this may come for each, and the last one counts."""
        if self._now is not None:
            self._now.is_queued = False
        if self._world > 1:  # processes are averaged by what DistributedDataParallel queued meanwhile
            _when_backward_ends(self._measure)
        else:
            self._measure()

    def _measure(self) -> None:
        if self._now is not None:
            self._now.whole = self._norm()

    def _norm(self) -> Tensor:
        return gradient_norm((one.grad for one in self._parameters if one.grad is not None), self._device)

    def _loss_scale(self) -> float:
        """The factor of fp16 training, still on the gradients when they are measured."""
        scaler = getattr(self._optimizer, "scaler", None)
        return float(scaler.get_scale()) if scaler is not None else 1.0

    def _number(self, value: float) -> Tensor:
        return torch.full((), value, dtype=torch.float32, device=self._device)

    def _drain(self) -> None:
        """Read the figures that wait on the device, and take them into the averages."""
        pending, self._pending = self._pending, []
        for step in pending:
            ranks = [RankStep(a**2, b**2, *rest) for a, b, *rest in step.ranks.tolist()]
            pair = pair_of_step(
                ranks, is_weighted=step.is_weighted, is_shared=self._is_shared, accumulated=step.accumulated
            )
            if pair is None or not (step.has_labels or _equal(ranks)):
                self.skipped += 1
                continue
            g2, s = two_batch(*pair)
            self.scale.update(g2, s)
            self.last_pair = pair

    def _release(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _when_backward_ends(act: Any) -> None:
    """Have the autograd engine call something after the backward that is under way, behind what waits already."""
    torch.autograd.Variable._execution_engine.queue_callback(act)


def _equal(ranks: list[RankStep]) -> bool:
    """Whether all micro-batches were equally large: then every way to divide the loss is the same."""
    size = ranks[0].targets / ranks[0].micro_batches
    alike = (abs(one.inverse * size - one.micro_batches) < 1e-4 * one.micro_batches for one in ranks)
    return all(one.targets == ranks[0].targets for one in ranks) and all(alike)


def _check(args: TrainingArguments, model: nn.Module) -> None:
    kind = str(AcceleratorState().distributed_type).rpartition(".")[2]
    sharded = kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM", "XLA") or getattr(args, "parallelism_config", None)
    if sharded or any(hasattr(one, "full_tensor") for one in model.parameters()):
        raise ConfigError(
            f"The training spreads gradients over devices ({kind}), where one process sees a part of each; the noise "
            "scale needs whole ones. Measure with DistributedDataParallel or one process, or at a checkpoint: "
            "tenon batch-scaling noise-scale."
        )
    if args.n_gpu > 1:
        raise ConfigError(
            f"One process drives {args.n_gpu} GPUs (DataParallel), which hides their gradients; start one process per "
            "GPU with torchrun."
        )
    if any(word in str(args.optim).lower() for word in ("lomo", "layerwise")):
        raise ConfigError(
            f"The optimizer {args.optim} uses gradients up during backward, so none is left to measure; take another."
        )
    if args.world_size > 1 and GradientState().plugin_kwargs.get("sync_each_batch"):
        raise ConfigError(
            "accelerate averages the processes after every micro-batch (sync_each_batch), which hides their own "
            "gradients; switch it off."
        )
    if args.world_size == 1 and args.gradient_accumulation_steps == 1:
        raise ConfigError(
            "The noise scale needs gradients at two batch sizes, and this training has one: one process, and "
            "gradient_accumulation_steps=1. Halve per_device_train_batch_size and set gradient_accumulation_steps=2 "
            "for the same training."
        )
