"""Writing waits for the device before its first step alone: the loop reads nothing back, and asks for no unknown shape.

On a CPU nothing has to wait, so what would is counted: reads of a tensor's content, which go through Python or through
an operator that gives a number, and operators whose result's shape depends on the content.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

from tenon.methods.mdm.config import DecodeConfig
from tenon.methods.mdm.sampler import sample

MASK, VOCAB, STEPS = 2, 11, 6
READS = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__array__"}
"""What hands a tensor's content to Python."""


class Reads(TorchFunctionMode):
    """Note what hands a tensor over to Python."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = (resolve_name(func) or "").rpartition(".")[2]
        if name in READS:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class Operators(TorchDispatchMode):
    """Note operators that give a number, or a tensor as large as the content says."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tags = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
        # Indexing by booleans finds their places first, on a GPU by a wait, and is tagged for that with integers too.
        is_index = func in (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default)
        is_dynamic = bool(tags & set(func.tags)) and not is_index
        if is_dynamic or (is_index and any(one is not None and one.dtype == torch.bool for one in args[1])):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class Watched:
    """A model that looks at the whole text, and from its first call on notes what would wait for the device."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.tokens = torch.randn(VOCAB, VOCAB, generator=generator)
        self.places = torch.randn(64, VOCAB, generator=generator)
        self.calls = 0
        self.seen: list[str] = []
        self._modes = Reads(self.seen), Operators(self.seen)

    def __call__(self, ids: Tensor) -> Tensor:
        if not self.calls:
            for mode in self._modes:
                mode.__enter__()
        self.calls += 1
        states = torch.nn.functional.embedding(ids, self.tokens)
        return torch.tanh(states + states.mean(1, keepdim=True)) * 3 + self.places[: ids.shape[1]]

    def close(self) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(None, None, None)


def waits(config: DecodeConfig, **options: Any) -> tuple[list[str], int]:
    """Give what would have waited from the first forward on, and the number of forwards."""
    ids = torch.randint(3, VOCAB, (4, 18), generator=torch.Generator().manual_seed(5))
    is_maskable = torch.arange(18) >= torch.arange(3, 11, 2)[:, None]
    model = Watched()
    try:
        # Without its inference mode, in which an operator made of others is seen as a whole.
        with torch.no_grad():
            inspect.unwrap(sample)(model, ids, is_maskable, config, mask_id=MASK, **options)
    finally:
        model.close()
    return model.seen, model.calls


@pytest.mark.parametrize(
    ("order", "noise", "revise", "schedule"),
    list(itertools.product(("topk", "margin", "entropy", "random"), (0.0, 0.5), (True, False), ("linear", "cosine"))),
)
def test_no_step_waits_for_the_device(order: Any, noise: float, revise: bool, schedule: Any) -> None:
    config = DecodeConfig(steps=STEPS, order=order, noise=noise, revise=revise, schedule=schedule)
    seen, calls = waits(config, forbidden=[3], keep_history=True)
    assert calls == STEPS
    assert seen == []


def test_a_threshold_waits_once_a_step() -> None:
    seen, calls = waits(DecodeConfig(steps=STEPS, threshold=0.3))
    assert 1 < calls <= STEPS
    assert set(seen) == {"__bool__", "aten._local_scalar_dense.default"}
    # Before every forward but the first; and once more, behind the last, if there are steps left.
    assert seen.count("__bool__") == min(calls, STEPS - 1)


CONTENT = torch.tensor([3, 0, 5])
WAITS: dict[str, Callable[[], object]] = {
    "item": lambda: CONTENT[0].item(),
    "bool": lambda: bool((CONTENT > 9).any()),
    "if": lambda: 1 if (CONTENT > 9).any() else 0,
    "float": lambda: float(CONTENT[0]),
    "max": lambda: max(CONTENT),
    "int": lambda: int(CONTENT.sum()),
    "tolist": lambda: CONTENT.tolist(),
    "cpu": lambda: CONTENT.cpu(),
    "numpy": lambda: CONTENT.numpy(),
    "nonzero": lambda: CONTENT.nonzero(),
    "where": lambda: torch.where(CONTENT > 0),
    "a row's choice": lambda: CONTENT[CONTENT > 0],
    "a row's change": lambda: CONTENT.clone().__setitem__(CONTENT > 9, CONTENT[0]),
    "masked_select": lambda: CONTENT.masked_select(CONTENT > 0),
    "unique": lambda: CONTENT.unique(),
    "repeat_interleave": lambda: CONTENT.repeat_interleave(CONTENT),
    "equal": lambda: torch.equal(CONTENT, CONTENT.clone()),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_would_wait_is_seen(name: str) -> None:
    seen: list[str] = []
    with Reads(seen), Operators(seen):
        CONTENT[torch.tensor([0, 2])].cumsum(0).argsort()  # nothing that waits
        assert seen == []
        WAITS[name]()
    assert seen


@pytest.mark.skipif(not torch.cuda.is_available(), reason="asks CUDA itself, which needs a GPU")
def test_cuda_sees_no_wait_either() -> None:
    ids, is_maskable = torch.zeros(4, 18, dtype=torch.long).cuda(), torch.ones(4, 18, dtype=torch.bool).cuda()
    table = torch.randn(VOCAB, VOCAB).cuda()

    def model(text: Tensor) -> Tensor:
        torch.cuda.set_sync_debug_mode("error")
        return torch.nn.functional.embedding(text, table)

    try:
        sample(model, ids, is_maskable, DecodeConfig(steps=STEPS), mask_id=MASK)
    finally:
        torch.cuda.set_sync_debug_mode("default")
