"""Every law by its name.

>>> print(f"{get('shuai2024.fixed_data').batch(3e11):.4g}")
3.471e+06
"""

from __future__ import annotations

from tenon.core.errors import ConfigError
from tenon.core.values import nearest
from tenon.methods.batch_scaling.laws.law import Domain, Law, LogLinear, PowerLaw, Prediction, Quantity
from tenon.methods.batch_scaling.laws.loss import (
    Allocation,
    DataLimitedLoss,
    KaplanLoss,
    LossLaw,
    ParametricLoss,
    ThreeTermLoss,
    UnfittedLoss,
)

__all__ = [
    "Allocation",
    "DataLimitedLoss",
    "Domain",
    "KaplanLoss",
    "Law",
    "LogLinear",
    "LossLaw",
    "ParametricLoss",
    "PowerLaw",
    "Prediction",
    "ThreeTermLoss",
    "UnfittedLoss",
    "every",
    "get",
]


def every(quantity: Quantity | None = None) -> list[Law]:
    """List the laws, in the order of their publication; only those that give a quantity, if one is named."""
    from tenon.methods.batch_scaling.laws.published import LAWS

    return [law for law in LAWS if quantity is None or quantity in law.gives()]


def get(name: str) -> Law:
    """Give a law by its name.

    Raises:
        ConfigError: There is none of that name; the nearest are told.
    """
    known = {law.name: law for law in every()}
    if name not in known:
        raise ConfigError(f"No law is called {name!r}; {nearest(name, known)}.")
    return known[name]
