"""Numbers as people write them: 1.3B parameters, 300B tokens, 1e21 FLOPs, 8xH100, 5d; read and printed.

>>> count_of("1.3B", "params"), count_of("20e9", "tokens"), count_of("10 PF-days", "compute")
(1300000000.0, 20000000000.0, 8.64e+20)
>>> days_of("36h", "days"), gpus_of("8xH100", "gpus")
(1.5, (8, 'H100'))
>>> short(1.3e9), short(524288)
('1.3B', '524k')
"""

from __future__ import annotations

import math
import re

from tenon.core.errors import ConfigError

__all__ = ["PF_DAY", "count_of", "days_of", "duration", "flops_of", "gpus_of", "integer", "short"]

PF_DAY = 8.64e19
"""FLOPs of a day at 1e15 FLOP/s."""

_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21, "y": 1e24}
_NOUNS = r"(?:tokens?|tok|params?|parameters?|flops?)?"
_COUNT = re.compile(rf"([+-]?(?:\d+(?:_\d+)*)?(?:\.\d*)?(?:e[+-]?\d+)?)\s*([kmbtgpezy]?)\s*{_NOUNS}", re.IGNORECASE)
_PF_DAYS = re.compile(r"(.+?)\s*pf(?:lop/?s)?[- ]?d(?:ays?)?", re.IGNORECASE)
_DAYS = {"": 1.0, "d": 1.0, "day": 1.0, "days": 1.0, "h": 1 / 24, "hours": 1 / 24, "hour": 1 / 24, "min": 1 / 1440}
_DAYS |= {"w": 7.0, "week": 7.0, "weeks": 7.0}


def count_of(value: float | str, name: str) -> float:
    """Read a count: a number, or a text with k, M, B (or G), T, P, E, Z behind it, or in PF-days.

    Args:
        value: What came.
        name: What messages call it.

    Raises:
        ConfigError: It is no such text, or not positive and finite.
    """
    if isinstance(value, str):
        found = _read_count(value.strip())
        if found is None:
            hint = " A comma may be a decimal or a thousands mark; leave it out." if "," in value else ""
            raise ConfigError(f"{name} is {value!r}; it must be a count such as 1.3B, 300B, 20e9, 500M or 1e21.{hint}")
        number = found
    elif isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ConfigError(f"{name} is {value!r}; it must be a count such as 1.3B or 20e9.")
    else:
        number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ConfigError(f"{name} is {value!r}; it must be positive and finite.")
    return number


def _read_count(text: str) -> float | None:
    if match := _PF_DAYS.fullmatch(text):
        number = _read_count(match[1])
        return None if number is None else number * PF_DAY
    match = _COUNT.fullmatch(text)
    if match is None or not match[1]:
        return None
    try:
        return float(match[1]) * _SCALES[match[2].lower()]
    except ValueError:  # a lone sign, point or exponent
        return None


def days_of(value: float | str, name: str) -> float:
    """Read a time [days]: a number of days, or a text such as 5d, 36h, 2w.

    Raises:
        ConfigError: It is none, or not positive.
    """
    match = re.fullmatch(r"([\d.]+(?:e[+-]?\d+)?)\s*([a-z]*)", str(value).strip(), re.IGNORECASE)
    try:
        days = float(match[1]) * _DAYS[match[2].lower()] if match else math.nan
    except (ValueError, KeyError):
        days = math.nan
    if isinstance(value, bool) or not (math.isfinite(days) and days > 0):
        raise ConfigError(f"{name} is {value!r}; it must be a time such as 5 or 5d (days), 36h or 2w, above 0.")
    return days


def gpus_of(value: float | str, name: str) -> tuple[int, str | None]:
    """Read a number of GPUs and, where it is told, their kind: 64, or 8xH100.

    Raises:
        ConfigError: It is none, or no whole number of them.
    """
    match = re.fullmatch(r"(\d+(?:\.0*)?)(?:(?:\s*[x*×]\s*|\s+)([a-z][\w -]*))?", str(value).strip(), re.IGNORECASE)
    if isinstance(value, bool) or match is None or float(match[1]) < 1:
        raise ConfigError(f"{name} is {value!r}; it must be a number of GPUs, 1 or more, such as 64 or 8xH100.")
    return int(float(match[1])), match[2]


def short(value: float) -> str:
    """Write a count in three digits: 1.3B, 524k; from 1e15 on as 5.88e+23."""
    if not math.isfinite(value) or abs(value) >= 999.5e12:
        return f"{value:.3g}"
    for scale, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"


def integer(value: float) -> str:
    """Write a whole number with thousands marks.

    >>> integer(524288.0)
    '524,288'
    """
    return f"{value:,.0f}"


def flops_of(value: float) -> str:
    """Write FLOPs.

    >>> flops_of(1.0001e21)
    '1.00e+21 FLOPs'
    """
    return f"{value:.2e} FLOPs"


def duration(hours: float) -> str:
    """Write a time in the unit that suits it.

    >>> duration(0.5), duration(36.0), duration(2400.0)
    ('30 min', '36 h', '100 days')
    """
    if hours < 1:
        return f"{60 * hours:.3g} min"
    return f"{hours:.3g} h" if hours < 48 else f"{hours / 24:.3g} days"
