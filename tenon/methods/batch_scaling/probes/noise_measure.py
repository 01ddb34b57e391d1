"""The noise scale at one point: gradients of small and big batches of a text, without training. And from a log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError, DataError
from tenon.core.files import read_json
from tenon.methods.batch_scaling.probes.gradient_noise import NoiseEstimate, noise_scale

if TYPE_CHECKING:
    from torch import Tensor

    from tenon.core.run import Run

__all__ = ["estimate_of", "measure_pairs", "read_log"]


def measure_pairs(run: Run, model: Any, rows: Tensor, *, small: int, big: int) -> None:
    """Append to `pairs.jsonl` the squared norms of gradients at two batch sizes, a row for every big batch.

    A big batch is cut into small ones, whose squared norms are averaged and whose gradients are added up; so the model
    needs room for two gradients. Dropout is off.

    Args:
        run: Holds what is done.
        model: A causal language model; its weights stay as they are.
        rows: Token ids [pairs * big, seq], drawn independently of each other.
        small: Rows of a small batch.
        big: Rows of a big one.

    Raises:
        ConfigError: `small` does not divide `big`, or is no smaller.
    """
    if not 1 <= small < big or big % small:
        raise ConfigError(f"The batches are {small} and {big} rows; the small one must divide the big one.")
    model.eval()
    for place in run.track(range(len(rows) // big), "gradients", name="pairs", key=_key):
        small_sq, big_sq = _pair(model, rows[place * big : (place + 1) * big].to(model.device), small)
        run.append("pairs", {"key": _key(place), "small_sq": small_sq, "big_sq": big_sq})


def _key(place: int) -> str:
    return f"pair-{place:05d}"


def _pair(model: Any, rows: Tensor, small: int) -> tuple[float, float]:
    import torch

    parameters = [one for one in model.parameters() if one.requires_grad]
    total = [torch.zeros_like(one, dtype=torch.float32) for one in parameters]
    parts = rows.split(small)
    small_sq = 0.0
    for part in parts:
        loss = model(input_ids=part, labels=part, use_cache=False).loss
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        small_sq += _squared(gradients) / len(parts)
        for sum_, one in zip(total, gradients, strict=True):
            sum_.add_(one, alpha=1 / len(parts))
    return small_sq, _squared(total)


def _squared(gradients: Any) -> float:
    import torch

    return float(sum(torch.linalg.vector_norm(one, dtype=torch.float32).double() ** 2 for one in gradients))


def estimate_of(run: Run, *, small: int, big: int, length: int, first: int | None = None) -> NoiseEstimate:
    """Estimate from the first pairs of a run, or from all.

    Args:
        run: Holds `pairs.jsonl`.
        small: Rows of the small batches.
        big: Rows of the big ones.
        length: Tokens of a row.
        first: So many pairs; None: all.
    """
    pairs = run.rows("pairs")[:first]
    norms = ([row[name] for row in pairs] for name in ("small_sq", "big_sq"))
    return noise_scale(*norms, small=small, big=big, unit_tokens=length, seed=run.seed)


def read_log(source: Path) -> list[dict[str, float]]:
    """Read the noise scale that a training logged.

    Args:
        source: A run's metrics.jsonl, a checkpoint's trainer_state.json, or a folder that holds one of them.

    Returns:
        Rows with `step`, `g2`, `s` and, where it was resolved, `b_simple_tokens`.

    Raises:
        DataError: There is no such file, or no noise scale in it.
    """
    if source.is_dir():
        found = [source / name for name in ("metrics.jsonl", "trainer_state.json") if (source / name).is_file()]
        if not found:
            raise DataError(
                f"{source} holds neither metrics.jsonl nor trainer_state.json; name the file of a training's log."
            )
        source = found[0]
    if not source.is_file():
        raise DataError(f"There is no {source}; name a run's metrics.jsonl or a checkpoint's trainer_state.json.")
    if source.suffix == ".jsonl":
        lines = list(_whole_lines(source))
    else:
        state = read_json(source)
        lines = state.get("log_history", []) if isinstance(state, dict) else []
    rows = [
        {"step": line["step"], **{name[4:]: float(line[name]) for name in line if name.startswith("gns/")}}
        for line in lines
        if isinstance(line, dict) and line.get("gns/s") is not None and line.get("gns/g2") is not None
    ]
    if not rows:
        raise DataError(
            f"{source} has no 'gns/...' entries; train with GradientNoiseScaleCallback, and with tenon's own loop name "
            "them in `metrics`."
        )
    return rows


def _whole_lines(source: Path) -> Iterator[Any]:
    """Read what a training may still be writing: a last line without its end is left alone."""
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(keepends=True), start=1):
        if not line.endswith("\n"):
            return
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{source} line {number} is not JSON ({error.msg}); is it a run's metrics.jsonl?"
            ) from error
