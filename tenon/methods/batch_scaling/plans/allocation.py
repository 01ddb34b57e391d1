"""From what a user has to model size, tokens and compute; what was not given follows from a loss law or C = k D."""

from __future__ import annotations

from dataclasses import dataclass

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.laws.law import NKind
from tenon.methods.batch_scaling.laws.loss import LossLaw
from tenon.methods.batch_scaling.plans.model_shape import Convention, ModelShape
from tenon.methods.batch_scaling.plans.units import flops_of, short

__all__ = ["AGREEMENT", "MAX_DECADES", "Budget", "nearest_inside", "resolve"]

AGREEMENT = 0.05
"""Params, tokens and compute that are all given may be so far apart (relative); C = 6 N D leaves out that much."""

MAX_DECADES = 2.0
"""A law is not used farther outside its range, unless forced [powers of ten]."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """N, D and C that belong together."""

    N: float
    """Parameters, as the user or the loss law counts them."""
    D: float
    """Training tokens."""
    C: float
    """Training compute [FLOPs]."""
    flops_per_token: float
    """k of C = k D."""
    counted: str
    """How C is counted."""
    story: str
    """What was given, and what follows from it."""
    is_allocated: bool = False
    """Whether the loss law chose N or D."""
    shape: ModelShape | None = None
    """The model, where one was given."""
    deepseek_flops: float | None = None
    """C = M D of the DeepSeek law, where the model is known and dense."""

    def count(self, kind: NKind | None) -> float:
        """Give N as a law counts it: exactly where the model is known, else the one number that there is."""
        return self.N if self.shape is None or kind is None else float(self.shape.count(kind))


def resolve(
    *,
    compute: float | None,
    tokens: float | None,
    params: float | None,
    shape: ModelShape | None,
    law: LossLaw,
    convention: Convention,
    seq_len: int,
) -> Budget:
    """Complete a budget.

    Args:
        compute: C [FLOPs], if given.
        tokens: D, if given.
        params: N, if given.
        shape: The model, if given; then N and k are its own.
        law: The loss law that allocates what is open.
        convention: How the FLOPs of a model's token are counted.
        seq_len: Tokens of a row, for conventions that count attention.

    Raises:
        ConfigError: Nothing was given, or what was given does not agree.
    """
    n = params if shape is None else float(shape.count(law.n_kind or "total"))
    k = None if shape is None else shape.flops_per_token(convention, seq_len)
    counted = "6 N D" if shape is None else f"{convention} of the model, x D"
    if shape is not None and params is not None:
        _check_params(shape, params)
    if k is None and n is not None:
        k = 6 * n
    told = [] if shape is None else [f"model {shape.name or 'given'} ({short(shape.total)} parameters)"]
    told += [f"{short(params)} parameters"] if params is not None and shape is None else []
    told += [f"{short(tokens)} tokens"] if tokens is not None else []
    told += [flops_of(compute)] if compute is not None else []
    given, by, is_allocated = ", ".join(told), f"by {law.name}", False
    if n is not None and k is not None:
        if tokens is not None and compute is not None:
            _check_compute(n, tokens, k * tokens, compute, counted)
            d, story = tokens, f"{given}: they agree."
        elif tokens is not None:
            d, story = tokens, f"{given}; the compute follows."
        elif compute is not None:
            d, story = compute / k, f"{given}; the tokens follow."
        else:
            d, story = _tokens_for(law, n), f"{given}; the tokens for which that size is compute-optimal, {by}."
            is_allocated = True
    elif tokens is not None and compute is not None:
        n, d, story = compute / (6 * tokens), tokens, f"{given}; the parameters follow."
    elif tokens is not None:
        n, d, story = _params_for(law, tokens), tokens, f"{given}; the size for which they are compute-optimal, {by}."
        is_allocated = True
    elif compute is not None:
        best = law.optimal(compute)
        n, d, story = float(best.N), float(best.D), f"{given}; shared between model and data {by}."
        is_allocated = True
    else:
        raise ConfigError(
            "Nothing to plan with: give compute (--flops), or gpus and days (--gpus, --days), or tokens (--tokens), or "
            "params or a model (--params, --model); any two of the three are fine, too."
        )
    k = 6 * n if k is None else k
    dense = shape is not None and not shape.experts
    return Budget(
        N=n,
        D=d,
        C=k * d,
        flops_per_token=k,
        counted=counted,
        story=story,
        is_allocated=is_allocated,
        shape=shape,
        deepseek_flops=shape.flops_per_token("deepseek", seq_len) * d if shape is not None and dense else None,
    )


def nearest_inside(law_name: str, ranges: dict[str, tuple[float, float] | None], point: dict[str, float]) -> str:
    """Say where the nearest point is at which a law may be used.

    >>> nearest_inside("x", {"N": (1e8, 1e9), "D": None}, {"N": 1e14, "D": 1e10})
    'N = 100B'
    """
    reach, told = 10**MAX_DECADES, []
    for name, limits in ranges.items():
        if limits is None or name not in point:
            continue
        moved = min(max(point[name], limits[0] / reach), limits[1] * reach)
        if moved != point[name]:
            told.append(f"{name} = {short(moved)}")
    return ", ".join(told)


def _tokens_for(law: LossLaw, n: float) -> float:
    """Invert N_opt(C), a power law of C with the exponent a, and give D there."""
    one = law.optimal(1e20)
    a = law.exponent()
    return float(one.D) * (n / float(one.N)) ** ((1 - a) / a)


def _params_for(law: LossLaw, d: float) -> float:
    one = law.optimal(1e20)
    a = law.exponent()
    return float(one.N) * (d / float(one.D)) ** (a / (1 - a))


def _check_params(shape: ModelShape, params: float) -> None:
    counts = {
        "non-embedding": shape.non_embedding,
        "with head": shape.with_head,
        "total": shape.total,
        "active": shape.active,
    }
    if min(abs(params / count - 1) for count in counts.values()) > AGREEMENT:
        listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        raise ConfigError(
            f"params (--params) is {short(params)}, and the model has {listed}. Leave it out: the model says it."
        )


def _check_compute(n: float, d: float, needed: float, compute: float, counted: str) -> None:
    if abs(needed / compute - 1) > AGREEMENT:
        raise ConfigError(
            f"params {short(n)}, tokens {short(d)} and compute {flops_of(compute)} (--params or --model, --tokens, "
            f"--flops) do not agree: {counted} is {flops_of(needed)}, {needed / compute:.3g} times as much. Leave one "
            "of the three out."
        )
