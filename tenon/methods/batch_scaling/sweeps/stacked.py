"""Several small models of one shape, trained side by side in one process.

A small model leaves a processor idle: launching its operations takes longer than computing them. Here the weights of R
models (replicas) lie along a leading dimension, and every matrix product is one batched product for all of them. The
rest is stock: transformers' own forward pass, in which linear layers, embedding and norms are exchanged for stacked
ones; torch's AdamW with groups for each replica, which has a learning rate of its own; transformers' schedule; torch's
clipping, replica by replica. Replicas never mix, so one that diverges disturbs no other.

Letters of shapes: R replicas, B rows per replica, S tokens of a row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tenon.core.errors import UnsupportedModelError
from tenon.core.training.config import TrainConfig

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from transformers import PreTrainedModel

    from tenon.core.progress import Advance

__all__ = ["Outcome", "StackedModel", "train_stacked"]


class StackedLinear(nn.Module):
    """R linear layers without bias."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _stacked([layer.weight for layer in layers])

    def forward(self, x: Float[Tensor, "replicas_rows seq size_in"]) -> Float[Tensor, "replicas_rows seq size_out"]:
        """Multiply each replica's rows with its own weights."""
        replicas, size_out, size_in = self.weight.shape
        product = torch.bmm(x.reshape(replicas, -1, size_in), self.weight.transpose(1, 2))
        return product.view(*x.shape[:-1], size_out)


class StackedEmbedding(nn.Module):
    """R embeddings."""

    def __init__(self, layers: Sequence[nn.Embedding]) -> None:
        super().__init__()
        self.weight = _stacked([layer.weight for layer in layers])

    def forward(self, ids: Int[Tensor, "replicas_rows seq"]) -> Float[Tensor, "replicas_rows seq hidden"]:
        """Look the ids up in one table of R V rows."""
        replicas, vocabulary, hidden = self.weight.shape
        first = vocabulary * torch.arange(replicas, device=ids.device)
        places = ids.view(replicas, -1, ids.shape[-1]) + first[:, None, None]
        return functional.embedding(places.view_as(ids), self.weight.view(-1, hidden))


class StackedNorm(nn.Module):
    """R RMS norms."""

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__()
        self.weight = _stacked([layer.weight for layer in layers])
        self.epsilon: float = layers[0].variance_epsilon

    def forward(self, x: Float[Tensor, "replicas_rows seq hidden"]) -> Float[Tensor, "replicas_rows seq hidden"]:
        """Norm in float32, as transformers does."""
        replicas, hidden = self.weight.shape
        normed = functional.rms_norm(x.float(), (hidden,), None, self.epsilon).to(x.dtype)
        return (normed.view(replicas, -1, hidden) * self.weight[:, None, :]).view_as(x)


class StackedModel:
    """R models of one shape as one; made of R ordinary ones, whose weights it copies.

    Args:
        models: Causal language models of transformers that are made of linear layers without bias, embeddings and RMS
            norms; Llama is one.
        device: Where the weights go.

    Raises:
        UnsupportedModelError: A model has parameters elsewhere, or ties its head to the embedding.
    """

    def __init__(self, models: Sequence[PreTrainedModel], *, device: str | torch.device = "cpu") -> None:
        from transformers.models.llama.modeling_llama import LlamaRMSNorm

        kinds = ((nn.Linear, StackedLinear), (nn.Embedding, StackedEmbedding), (LlamaRMSNorm, StackedNorm))
        first = models[0]
        if first.config.tie_word_embeddings:
            raise UnsupportedModelError(
                "A head tied to the embedding cannot be stacked; set tie_word_embeddings=False."
            )
        self.replicas = len(models)
        with torch.device("meta"):
            self.module: nn.Module = type(first)(first.config)  # its parameters are exchanged, its code is kept
        for name, module in first.named_modules():
            for kind, stacked in kinds:
                if isinstance(module, kind):
                    self.module.set_submodule(name, stacked([cast(Any, one.get_submodule(name)) for one in models]))
        if left := [name for name, one in self.module.named_parameters() if one.is_meta]:
            raise UnsupportedModelError(
                f"{type(first).__name__} cannot be stacked: {left[0]} belongs to no linear layer without bias, "
                "embedding or RMS norm."
            )
        for name, buffer in first.named_buffers():
            owner, _, last = name.rpartition(".")
            self.module.get_submodule(owner)._buffers[last] = buffer.clone()
        cast(nn.Module, self.module).to(device)
        for parameter in self.module.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def parameters_of(self, replica: int) -> dict[str, nn.Parameter]:
        """Give one replica's parameters: views, so that an optimizer which changes them changes the stack.

        Their gradients are views, too, of gradients that are zeroed in place and never set anew.
        """
        views = {}
        for name, stack in self.module.named_parameters():
            view = nn.Parameter(stack.detach()[replica])
            view.grad = cast(Tensor, stack.grad)[replica]
            views[name] = view
        return views

    def zero_grad(self) -> None:
        """Zero the gradients where they lie."""
        torch._foreach_zero_([cast(Tensor, one.grad) for one in self.module.parameters()])

    def losses(self, ids: Int[Tensor, "replicas rows seq"]) -> Float[Tensor, " replicas"]:
        """Give each replica's mean cross-entropy of the next token inside rows [nats]."""
        replicas, rows, seq = ids.shape
        ids = ids.reshape(replicas * rows, seq).long()
        logits = self.module(input_ids=ids, use_cache=False).logits.float()
        # As transformers does: the last position of a row has no label, and labels move instead of logits being copied.
        labels = functional.pad(ids[:, 1:], (0, 1), value=-100)
        each = functional.cross_entropy(logits.view(-1, logits.shape[-1]), labels.reshape(-1), reduction="none")
        return each.view(replicas, -1).sum(1) / (rows * (seq - 1))


def _stacked(weights: Sequence[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([one.detach() for one in weights]))


@dataclass(frozen=True)
class Outcome:
    """What became of one replica."""

    loss: float
    """Held-out loss [nats per token]; NaN or infinite where training diverged."""
    train_loss: float
    """Mean over the last tenth of the steps [nats per token]."""
    noise_tokens: float | None = None
    """Gradient noise scale over about the last hundred steps [tokens]; None: not measured or not resolved."""


def train_stacked(
    models: Sequence[PreTrainedModel],
    trains: Sequence[TrainConfig],
    rows: Int[Tensor, "text_rows seq"],
    orders: Int[Tensor, "replicas items"],
    held_out: Int[Tensor, "held_rows seq"],
    *,
    advance: Advance | None = None,
) -> list[Outcome]:
    """Train models side by side, each as `transformers.Trainer` does under its `TrainConfig`, and measure them.

    Args:
        models: Fresh models of one shape; they are copied, and stay as they are.
        trains: One per model, with cosine schedule; they differ in nothing but the learning rate.
        rows: The training text.
        orders: Which rows each model reads, in order: `steps * batch_size` of them.
        held_out: The rows of the final measurement.
        advance: Told the tokens of every step, of all replicas together.
    """
    train, replicas = trains[0], len(models)
    device = _device(train)
    stack = StackedModel(models, device=device)
    rows, held_out, orders = rows.to(device), held_out.to(device), orders.to(device)
    views = [stack.parameters_of(replica) for replica in range(replicas)]
    optimizer, schedule = _optimizer(models[0], views, trains)
    at_once = rows_at_once(models[0].config, replicas, device)
    batches = orders.view(replicas, train.steps, train.batch_size)
    tail = max(1, train.steps // 10)
    seen = torch.zeros(replicas, dtype=torch.float64)
    for step in range(train.steps):
        losses = torch.zeros(replicas, device=device)
        stack.zero_grad()
        for part in batches[:, step].split(at_once, dim=1):
            with _autocast(train, device):
                found = stack.losses(rows[part]) * (part.shape[1] / train.batch_size)
            found.sum().backward()
            losses += found.detach()
        for view in views:
            nn.utils.clip_grad_norm_(list(view.values()), train.max_grad_norm)
        optimizer.step()
        schedule.step()
        if step >= train.steps - tail:
            seen += losses.double().cpu()
        if advance is not None:
            advance(replicas * train.batch_size * rows.shape[1])
    total = torch.zeros(replicas, dtype=torch.float64)
    for piece in held_out.split(at_once):
        with torch.no_grad(), _autocast(train, device):
            total += stack.losses(piece.expand(replicas, *piece.shape)).double().cpu() * len(piece)
    return [
        Outcome(loss, last) for loss, last in zip((total / len(held_out)).tolist(), (seen / tail).tolist(), strict=True)
    ]


def rows_at_once(config: Any, replicas: int, device: torch.device) -> int:
    """Say how many rows of each replica go through the model together; the rest of a batch follows, and gradients add.

    On a CPU what is computed then still lies in its cache when it is needed again; on a GPU it fits the memory.
    """
    tokens = 4096
    if device.type != "cpu":
        floats = config.num_hidden_layers * (20 * config.hidden_size + 6 * config.intermediate_size)
        tokens = max(4096, 8 * 2**30 // (4 * (floats + 4 * config.vocab_size)))  # activations within 8 GiB
    return max(1, tokens // (replicas * config.max_position_embeddings))


def _optimizer(
    model: PreTrainedModel, views: Sequence[Mapping[str, nn.Parameter]], trains: Sequence[TrainConfig]
) -> tuple[torch.optim.Optimizer, Any]:
    """Give AdamW with two groups per replica, as Trainer makes them for one model, and the schedule over all."""
    from transformers import Trainer, get_scheduler

    decayed = set(Trainer.get_decay_parameter_names(cast(Any, None), model))  # it reads nothing but the model
    groups = [
        {"params": [one for name, one in view.items() if (name in decayed) == is_decayed], "lr": train.learning_rate,
         "weight_decay": train.weight_decay if is_decayed else 0.0}
        for view, train in zip(views, trains, strict=True)
        for is_decayed in (True, False)
    ]  # fmt: skip
    train = trains[0]
    optimizer = torch.optim.AdamW(groups, betas=(train.adam_beta1, train.adam_beta2), eps=1e-8, fused=True)
    schedule = get_scheduler(
        "cosine_with_min_lr", optimizer, num_warmup_steps=train.warmup_steps, num_training_steps=train.steps,
        scheduler_specific_kwargs={"min_lr_rate": train.min_lr_ratio},
    )  # fmt: skip
    return optimizer, schedule


def _autocast(train: TrainConfig, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=train.precision == "bf16")


def _device(train: TrainConfig) -> torch.device:
    found = torch.accelerator.current_accelerator() if train.device == "auto" else None
    return found if found is not None and torch.accelerator.is_available() else torch.device("cpu")
