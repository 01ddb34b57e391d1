"""Rows of token ids for the tests of training: edits that share their beginning, whole solutions that share little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch

from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.training.config import TrainConfig
from tenon.methods.rise.config import RISEConfig
from tenon.methods.rise.trainer import RISETrainer

TRAIN = TrainConfig(
    steps=5, batch_size=4, learning_rate=1e-3, weight_decay=0.0, log_every=1, save_every=2, device="cpu"
)


def ids(count: int, seed: int) -> list[int]:
    return torch.randint(5, 120, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def row(
    number: int, *, chosen: int, rejected: int, shared: int = 0, prompt: int = 6, is_edit: bool = False
) -> dict[str, Any]:
    """A row whose two sides begin with `shared` equal tokens and then differ."""
    begin = ids(shared, 100 + number)
    better, worse = ids(chosen - shared, 200 + number), ids(rejected - shared, 300 + number)
    if better and worse:
        worse[0] = better[0] + 1
    return {
        "prompt_ids": ids(prompt, number),
        "chosen_ids": begin + better,
        "rejected_ids": begin + worse,
        "is_edit": int(is_edit),
    }


ROWS = [
    row(0, chosen=5, rejected=4),
    row(1, chosen=4, rejected=4, shared=2, prompt=9, is_edit=True),
    row(2, chosen=3, rejected=6, prompt=3),
    row(3, chosen=6, rejected=5, shared=1, prompt=8, is_edit=True),
    row(4, chosen=2, rejected=7, prompt=5),
    row(5, chosen=7, rejected=3, shared=3, prompt=7, is_edit=True),  # the rejected side is how the chosen one begins
    row(6, chosen=1, rejected=1, prompt=1),
    row(7, chosen=5, rejected=5, shared=4, prompt=10, is_edit=True),
]


def trainer_of(folder: Path, rise: RISEConfig, rows: Any = ROWS, *, model: Any = None, **options: Any) -> RISETrainer:
    return RISETrainer(model or tiny_model("llama"), rise, tiny_tokenizer(), rows, folder, **options)


def batch_of(trainer: RISETrainer, rows: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = trainer.data_collator([trainer.train_dataset.dataset[one] for one in rows])
    return found


def logged(trainer: Any, name: str = "loss") -> list[float]:
    return [line[name] for line in trainer.state.log_history if "loss" in line]


def weights(model: Any) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


class PlainHead:
    """In the place of trl's head, which counts in float32 whatever it is given."""

    @staticmethod
    def apply(hidden: Any, weight: Any, bias: Any, targets: Any, *_: Any) -> tuple[Any, ...]:
        logits = torch.nn.functional.linear(hidden, weight, bias)
        logps = logits.log_softmax(-1)
        picked = logps.gather(1, targets[:, None])[:, 0]
        entropy = -(logps.exp() * logps).sum(-1)
        return picked, entropy, None, logits.mean(-1).detach(), logits.argmax(-1) == targets


def count_in_double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("trl.trainer.utils._ChunkedLogProbFunction", PlainHead)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def in_double(model: Any) -> Any:
    """A model in float64, its norms too, which count in float32 otherwise."""

    def norm(self: Any, states: torch.Tensor) -> torch.Tensor:
        eps = self.eps if hasattr(self, "eps") else self.variance_epsilon
        scaled = states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + eps)
        return scaled * (self.weight + ("Gemma" in type(self).__name__))

    for module in model.double().modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = MethodType(norm, module)  # a method, so that a copy of the model gets its own
    return model
