"""A fitted law with all that is needed to judge it, as one JSON file: the law card.

A card says what was fitted, to which runs, how, how sure it is, and which runs were left out. `tenon batch-scaling plan
--law CARD` uses it as it uses the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenon.core.errors import DataError
from tenon.core.files import json_bytes, plain, read_json, write_atomic
from tenon.methods.batch_scaling.laws.law import Domain, Law, PowerLaw
from tenon.methods.batch_scaling.laws.loss import DataLimitedLoss, KaplanLoss, LossLaw, ParametricLoss, ThreeTermLoss
from tenon.methods.batch_scaling.runs.table import Dropped

__all__ = ["SCHEMA_VERSION", "FittedLaw", "load_card", "save_card"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class FittedLaw:
    """A law of one's own; `law` is used like a published one."""

    law: Law
    """The law: `.loss(N, D)` and `.optimal(C)` of a loss law, `.batch(...)` and `.learning_rate(...)` of others."""
    params: Mapping[str, float]
    """The fitted constants, by name."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Of the constants and of what follows from them (`a`, the exponent of N_opt); their kind is in `estimator`."""
    covariance: Sequence[Sequence[float]] | None = None
    """Of `params`, in their order, over the bootstrap."""
    objective: float = 0.0
    """Sum of the penalties at the optimum."""
    runs: int = 0
    """Rows (or cells) that were fitted."""
    dropped: tuple[Dropped, ...] = ()
    """What was left out, and why."""
    warnings: tuple[str, ...] = ()
    """What makes the law doubtful."""
    identified: bool = True
    """False: the runs do not pin the law down; a plan refuses it unless forced."""
    residuals: tuple[Mapping[str, Any], ...] = ()
    """A row per run (or cell): what was measured, what the law says, the log residual."""
    holdout: Mapping[str, Any] | None = None
    """The runs that were predicted and not fitted: rule, errors."""
    estimator: Mapping[str, Any] = field(default_factory=dict)
    """How it was fitted: the whole config."""
    bootstrap: Mapping[str, Any] = field(default_factory=dict)
    """Its number, seed, percentiles, failures."""
    condition_number: float | None = None
    """Of the derivatives of the log loss by the parameters, at the optimum: large where constants move together."""
    data_sha256: str = ""
    """Hash of the runs."""
    source: str = ""
    """Where the runs came from."""

    def to_dict(self) -> dict[str, Any]:
        """Give the card as plain values, without a path of this machine or a time."""
        from tenon import __version__

        law = self.law
        return {
            "schema_version": SCHEMA_VERSION,
            "created_by": f"tenon {__version__}",
            "name": law.name,
            "title": law.title,
            "equation": law.equation,
            "caveat": law.caveat,
            "law": _law_to_dict(law),
            "params": dict(self.params),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "covariance": None if self.covariance is None else [list(row) for row in self.covariance],
            "units": {"B": "tokens", "D": "tokens", "N": law.n_kind, "C": law.c_definition},
            "domain": {name: getattr(law.domain, name) for name in ("N", "D", "C", "B", "L")},
            "objective": self.objective,
            "n_runs": self.runs,
            "dropped": [{"id": one.id, "reason": one.reason} for one in self.dropped],
            "warnings": list(self.warnings),
            "identified": self.identified,
            "residuals": [dict(row) for row in self.residuals],
            "holdout": None if self.holdout is None else dict(self.holdout),
            "estimator": dict(self.estimator),
            "bootstrap": dict(self.bootstrap),
            "condition_number": self.condition_number,
            "data_sha256": self.data_sha256,
            "source": _names(self.source),
        }


def _names(source: str) -> str:
    """Give files by their last names alone: a card travels, the folders of a machine do not."""
    return ", ".join(Path(one).name if "/" in one and Path(one).suffix else one for one in source.split(", "))


def save_card(fitted: FittedLaw, path: Path) -> Path:
    """Write a law card, whole or not at all."""
    write_atomic(path, json_bytes(plain(fitted.to_dict(), path.name)))
    return path


def load_card(path: Path) -> FittedLaw:
    """Read a law card.

    Raises:
        DataError: The file is no law card, or one of another version.
    """
    try:
        card = read_json(path)
    except FileNotFoundError as error:
        raise DataError(f"There is no {path}; `tenon batch-scaling fit RUNS --out FOLDER` writes law cards.") from error
    if not isinstance(card, dict) or card.get("schema_version") != SCHEMA_VERSION or "law" not in card:
        raise DataError(
            f"{path} is no law card of version {SCHEMA_VERSION}; write one with `tenon batch-scaling fit RUNS`."
        )
    try:
        return FittedLaw(
            law=_law_from_dict(card),
            params=card["params"],
            intervals={name: (ends[0], ends[1]) for name, ends in card["intervals"].items()},
            covariance=card["covariance"],
            objective=card["objective"],
            runs=card["n_runs"],
            dropped=tuple(Dropped(one["id"], one["reason"]) for one in card["dropped"]),
            warnings=tuple(card["warnings"]),
            identified=card["identified"],
            residuals=tuple(card["residuals"]),
            holdout=card["holdout"],
            estimator=card["estimator"],
            bootstrap=card["bootstrap"],
            condition_number=card["condition_number"],
            data_sha256=card["data_sha256"],
            source=card["source"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(f"{path} is a damaged law card: {type(error).__name__}: {error}. Fit anew.") from error


_LOSSES: dict[str, tuple[type[LossLaw], tuple[str, ...]]] = {
    "parametric": (ParametricLoss, ("E", "A", "B", "alpha", "beta")),
    "kaplan": (KaplanLoss, ("Nc", "Dc", "alpha_N", "alpha_D")),
    "three_term": (ThreeTermLoss, ("E", "A", "alpha", "F", "beta", "G", "gamma")),
    "data_limited": (DataLimitedLoss, ("E", "A", "B", "alpha", "beta", "R")),
}


def _law_to_dict(law: Law) -> dict[str, Any]:
    for kind, (cls, names) in _LOSSES.items():
        if type(law) is cls:
            return {"kind": kind, "source": _names(law.source), **{name: getattr(law, name) for name in names}}
    powers = {
        quantity: {
            "coefficient": one.coefficient,
            "exponents": dict(one.exponents),
            "factor": one.factor,
            "units": dict(one.units),
        }
        for quantity, one in law.formulas.items()
        if isinstance(one, PowerLaw)
    }
    return {"kind": "powers", "source": _names(law.source), "formulas": powers}


def _law_from_dict(card: Mapping[str, Any]) -> Law:
    told, units = card["law"], card["units"]
    common: dict[str, Any] = {
        "name": card["name"],
        "title": card["title"],
        "equation": card["equation"],
        "caveat": card["caveat"],
        "source": told["source"],
        "tag": "fitted",
        "n_kind": units["N"],
        "c_definition": units["C"],
        "domain": Domain(**{name: tuple(ends) if ends else None for name, ends in card["domain"].items()}),
    }
    if told["kind"] in _LOSSES:
        cls, names = _LOSSES[told["kind"]]
        constants: dict[str, Any] = {name: float(told[name]) for name in names}
        return cls(**common, **constants)
    return Law(**common, formulas={quantity: PowerLaw(**one) for quantity, one in told["formulas"].items()})
