"""What a law is: equations with units, the range in which they were fitted, and where they come from.

The letters are those of the field, and so are the units, in every law alike:

    N  parameters (which of them, `n_kind` says)     C  training compute [FLOPs]
    D  training tokens = B S                         M  FLOPs per token of a forward and backward pass
    B  global batch [tokens per optimizer step]      L  cross-entropy [nats per token]
    S  optimizer steps

Functions take numbers or arrays, which broadcast; numbers give numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, overload

from tenon.core.errors import ConfigError, DataError
from tenon.core.values import nearest

if TYPE_CHECKING:
    from numpy import ndarray

__all__ = ["QUANTITIES", "Domain", "Formula", "Law", "LogLinear", "NKind", "PowerLaw", "Prediction", "Quantity", "Tag"]

NKind: TypeAlias = Literal["non_embedding", "with_head", "total"]
Tag: TypeAlias = Literal["paper", "2nd", "code", "lit", "calc", "fitted"]
Quantity: TypeAlias = Literal["loss", "batch", "critical_batch", "learning_rate", "params", "tokens", "steps"]
Number: TypeAlias = "float | ndarray"

QUANTITIES: dict[Quantity, str] = {
    "loss": "nats per token",
    "batch": "tokens per step",
    "critical_batch": "tokens per step",
    "learning_rate": "",
    "params": "parameters",
    "tokens": "tokens",
    "steps": "steps",
}
"""What a law may give, with its unit. `batch` is the one of least loss at given data; `critical_batch` the largest one
that still saves time at a stated cost in tokens. They are different functions, and no law answers for the other."""

INPUTS = ("N", "D", "C", "B", "L")


class Prediction(NamedTuple):
    """A value with how far it is from what was ever measured."""

    value: Any
    """In the unit of its quantity."""
    extrapolation: float
    """Largest distance of an input from the fitted range, in decades (powers of ten); 0 inside."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The range of each input in which a law was fitted; None: not known.

    A range may be open: from 0, or to `math.inf`, where only its other end was published.
    """

    N: tuple[float, float] | None = None
    D: tuple[float, float] | None = None
    C: tuple[float, float] | None = None
    B: tuple[float, float] | None = None
    L: tuple[float, float] | None = None

    def distance(self, **inputs: Any) -> float:
        """Give the largest distance of an input outside its range [decades]; inputs without a range do not count."""
        import numpy

        farthest = 0.0
        for name, value in inputs.items():
            if value is None or (limits := getattr(self, name)) is None:
                continue
            logs = numpy.log10(numpy.asarray(value, dtype=float))
            low = math.log10(limits[0]) if limits[0] > 0 else -math.inf
            out = numpy.maximum(low - logs, logs - math.log10(limits[1]))
            farthest = max(farthest, float(out.max()))
        return farthest


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """coefficient x factor x product of (input / its unit)^exponent."""

    coefficient: float | None
    """None: not known; then only ratios can be had (`Law.scale`)."""
    exponents: Mapping[str, float]
    """By input."""
    factor: float = 1.0
    """From the law's own unit of the result to ours, e.g. 2048 tokens per sequence."""
    units: Mapping[str, float] = field(default_factory=dict)
    """What an input is divided by, where the law counts in another unit: 8.64e19 FLOPs are a PF-day."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs, in the order in which they may be given without their names."""
        return tuple(self.exponents)

    def __call__(self, **inputs: Any) -> Any:
        """Evaluate."""
        if self.coefficient is None:
            raise AssertionError("Law asks `coefficient` first")
        return self.coefficient * self.factor * self.ratio(**inputs)

    def ratio(self, **inputs: Any) -> Any:
        """Evaluate without coefficient and factor: what ratios between two points need."""
        import numpy

        return numpy.prod(
            numpy.broadcast_arrays(
                *((inputs[name] / self.units.get(name, 1.0)) ** power for name, power in self.exponents.items())
            ),
            axis=0,
        )


@dataclass(frozen=True, kw_only=True)
class LogLinear:
    """constant + slope x ln(input)."""

    constant: float
    slope: float
    input: str
    coefficient: float | None = 1.0

    @property
    def inputs(self) -> tuple[str, ...]:
        """The one input."""
        return (self.input,)

    def __call__(self, **inputs: Any) -> Any:
        """Evaluate."""
        import numpy

        return self.constant + self.slope * numpy.log(inputs[self.input])


Formula: TypeAlias = PowerLaw | LogLinear


@dataclass(frozen=True, kw_only=True)
class Law:
    """A published or fitted law.

    >>> law = Law(name="mine", title="", equation="B = 2 D^0.5", source="", tag="fitted",
    ...           formulas={"batch": PowerLaw(coefficient=2.0, exponents={"D": 0.5})})
    >>> law.batch(1e6)
    2000.0
    """

    name: str
    """The key: `steplaw2025`, `shuai2024.fixed_data`."""
    title: str
    """Authors and what the law says, in a line."""
    equation: str
    """As one would write it, constants included; `?` stands for one that is not known."""
    source: str
    """Where it was published."""
    tag: Tag
    """How its constants reached us: read in the paper, quoted by another, read in code, common knowledge, our fit."""
    formulas: Mapping[Quantity, Formula] = field(default_factory=dict)
    """What it gives; a loss law has its own methods instead."""
    n_kind: NKind | None = "non_embedding"
    """Which parameters its N counts; None: it takes and gives no N, or which is not known."""
    c_definition: str = "6 N D"
    """How its C is counted."""
    domain: Domain = Domain()
    """The range of the runs behind it."""
    recommended: Domain = Domain()
    """Where the planner may rely on it, if that is less than its domain."""
    final_learning_rate: float | None = None
    """Where the schedule of its runs ended, whatever the peak; None: not stated, or a share of the peak."""
    caveat: str = ""
    """What a user must know: schedule, optimiser, data, doubts."""

    def gives(self) -> tuple[Quantity, ...]:
        """List what the law gives, in the order of `QUANTITIES`."""
        return tuple(name for name in QUANTITIES if name in self.formulas)

    def inputs(self, quantity: Quantity) -> tuple[str, ...]:
        """Give the inputs of a quantity, in the order in which they may be given without their names."""
        return self._formula(quantity).inputs

    def is_known(self, quantity: Quantity) -> bool:
        """Say whether the law gives the quantity as a number, not only its ratios."""
        return quantity in self.gives() and self._formula(quantity).coefficient is not None

    def loss(self, *values: Any, **inputs: Any) -> Any:
        """Give the loss [nats per token]; see `predict`."""
        return self.predict("loss", *values, **inputs).value

    def batch(self, *values: Any, **inputs: Any) -> Any:
        """Give the batch of least loss at given data [tokens]; see `predict`."""
        return self.predict("batch", *values, **inputs).value

    def critical_batch(self, *values: Any, **inputs: Any) -> Any:
        """Give the critical batch [tokens]: the largest that still pays, not the best; see `predict`."""
        return self.predict("critical_batch", *values, **inputs).value

    def learning_rate(self, *values: Any, **inputs: Any) -> Any:
        """Give the best peak learning rate; see `predict`."""
        return self.predict("learning_rate", *values, **inputs).value

    def params(self, *values: Any, **inputs: Any) -> Any:
        """Give the compute-optimal model size; see `predict`."""
        return self.predict("params", *values, **inputs).value

    def tokens(self, *values: Any, **inputs: Any) -> Any:
        """Give the compute-optimal training tokens; see `predict`."""
        return self.predict("tokens", *values, **inputs).value

    def steps(self, *values: Any, **inputs: Any) -> Any:
        """Give the compute-optimal number of steps; see `predict`."""
        return self.predict("steps", *values, **inputs).value

    def predict(self, quantity: Quantity, *values: Any, **inputs: Any) -> Prediction:
        """Evaluate the law, and tell how far that is from its range.

        Args:
            quantity: One of `gives()`.
            values: Inputs in the order of `inputs(quantity)`.
            inputs: Inputs by name: N, D, C, B, L. Those that the law does not need only count for the distance.

        Raises:
            ConfigError: The law gives no such quantity, an input is missing or not positive, or the law knows only
                the exponents (then `scale` a run of your own).
            DataError: The law's own value is no positive number here.
        """
        import numpy

        formula = self._formula(quantity)
        given = self._named(quantity, formula.inputs, values, inputs)
        if formula.coefficient is None:
            had = ", ".join(f"{name!r}: ..." for name in formula.inputs)
            wanted = ", ".join(f"{name}=..." for name in formula.inputs)
            raise ConfigError(
                f"{self.name} gives no absolute {quantity}: the coefficient of {self.equation} is not known (only the "
                "exponents were published where we could read). Scale a tuned run of yours instead: "
                f"laws.get({self.name!r}).scale({{{had}, {_letter(quantity)!r}: ...}}, {wanted})."
            )
        value = numpy.asarray(formula(**{name: given[name] for name in formula.inputs}), dtype=float)
        if not (value > 0).all():
            raise DataError(
                f"{self.name} gives {quantity} = {value.min():.3g} at {_told(given)}, which is nonsense: the inputs "
                f"are beyond the law ({self.equation})."
            )
        return Prediction(plain(value), self.domain.distance(**given))

    def scale(self, reference: Mapping[str, float], **target: float) -> dict[str, float]:
        """Scale a tuned run of yours to another size: the way to use exponents whose coefficients are not known.

        >>> law = Law(name="x", title="", equation="", source="", tag="paper",
        ...           formulas={"batch": PowerLaw(coefficient=None, exponents={"C": 0.5})})
        >>> law.scale({"C": 1e18, "B": 1e5}, C=1e20)
        {'C': 1e+20, 'B': 1000000.0}

        Args:
            reference: The run: the inputs (`C`, or `D`, ...) and what is to be scaled, of N, D, B, S, lr.
            target: The same inputs at the other size.

        Raises:
            ConfigError: An input is missing on either side, or the reference has nothing that the law scales.
        """
        result: dict[str, float] = dict(target)
        for quantity, formula in self.formulas.items():
            letter = _letter(quantity)
            if letter not in reference or letter in target or not isinstance(formula, PowerLaw):
                continue
            before = self._named(quantity, formula.inputs, (), reference)
            after = self._named(quantity, formula.inputs, (), target)
            ratio = math.prod((after[name] / before[name]) ** power for name, power in formula.exponents.items())
            result[letter] = float(positive(reference[letter], f"{self.name}: {letter}") * ratio)
        if len(result) == len(target):
            wanted = ", ".join(_letter(quantity) for quantity in self.formulas)
            raise ConfigError(
                f"{self.name} scales {wanted or 'nothing'}; the reference has {', '.join(reference) or 'nothing'}. "
                "Give at least one of these, from a run that you tuned."
            )
        return result

    def _formula(self, quantity: Quantity) -> Formula:
        if quantity in self.formulas:
            return self.formulas[quantity]
        other = {"batch": "critical_batch", "critical_batch": "batch"}.get(quantity, "")
        hint = ""
        if other in self.formulas:
            hint = (
                f" It gives the {other.replace('_', ' ')}, which is another thing (the "
                f"{'largest that still pays' if other == 'critical_batch' else 'one of least loss'}): call .{other}()."
            )
        raise ConfigError(f"{self.name} gives {', '.join(self.gives()) or 'nothing'}, and no {quantity}.{hint}")

    def _named(
        self, quantity: str, wanted: tuple[str, ...], values: tuple[Any, ...], inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        if len(values) > len(wanted):
            raise ConfigError(f"{self.name}: {quantity} takes {', '.join(wanted)}, and {len(values)} values came.")
        given = dict(zip(wanted, values, strict=False))
        for name, value in inputs.items():
            if name in given:
                raise ConfigError(f"{self.name}: {name} came twice.")
            if name in INPUTS and value is not None:
                given[name] = value
            elif name not in (*INPUTS, "S", "lr"):
                raise ConfigError(f"{self.name}: no input is called {name!r}; {nearest(name, INPUTS)}.")
        if missing := [name for name in wanted if name not in given]:
            raise ConfigError(f"{self.name}: {quantity} needs {', '.join(wanted)}; {', '.join(missing)} did not come.")
        return {name: positive(value, f"{self.name}: {name}") for name, value in given.items()}


def positive(value: Any, name: str) -> Any:
    """Give a number or array as floats, all of them positive and finite.

    Raises:
        ConfigError: They are not.
    """
    import numpy

    try:
        if numpy.asarray(value).dtype.kind not in "iufO":  # text, true or false, complex numbers
            raise TypeError
        found = numpy.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} is {value!r}; it must be a number, or an array of numbers.") from error
    if not (numpy.isfinite(found).all() and (found > 0).all()):
        raise ConfigError(f"{name} is {value!r}; it must be positive and finite.")
    return found


@overload
def plain(value: float) -> float: ...
@overload
def plain(value: ndarray) -> Any: ...
def plain(value: Any) -> Any:
    """Turn an array of no dimensions into the number it holds."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _letter(quantity: str) -> str:
    return {"batch": "B", "critical_batch": "B", "learning_rate": "lr", "params": "N", "tokens": "D", "steps": "S"}.get(
        quantity, "L"
    )


def _told(given: Mapping[str, Any]) -> str:
    import numpy

    return ", ".join(f"{name} = {float(numpy.asarray(value).flat[0]):.3g}" for name, value in given.items())
