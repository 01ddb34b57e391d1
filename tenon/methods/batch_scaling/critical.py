"""What a batch costs: the trade of steps for tokens, and the learning rate that goes with it.

McCandlish et al. 2018 (arXiv 1812.06162): to reach a given loss with a batch B takes S steps and E = B S tokens, and

    (S/S_min - 1) (E/E_min - 1) = 1        B_crit = E_min / S_min

so at B_crit one pays twice the least steps and twice the least tokens. Batches and tokens are in one unit, tokens as a
rule. Functions take numbers or arrays, which broadcast, and refuse what is not positive and finite.
"""

from __future__ import annotations

from typing import Any

import numpy

from tenon.core.errors import ConfigError
from tenon.methods.batch_scaling.laws.law import plain, positive

__all__ = [
    "batch_for_overhead",
    "critical_batch",
    "examples_needed",
    "learning_rate_saturating",
    "learning_rate_scale",
    "learning_rate_surge",
    "least_compute",
    "least_examples",
    "least_steps",
    "overhead",
    "steps_needed",
]


def critical_batch(s_min: Any, e_min: Any) -> Any:
    """Give B_crit = E_min / S_min, where half of the tokens and half of the steps are the price of the other half.

    Args:
        s_min: Steps that no batch gets below.
        e_min: Tokens that no batch gets below.

    Raises:
        ConfigError: A value is no positive, finite number.
    """
    return plain(positive(e_min, "e_min") / positive(s_min, "s_min"))


def steps_needed(batch: Any, s_min: Any, e_min: Any) -> Any:
    """Give the steps to the loss with a batch: S_min + E_min / B.

    >>> steps_needed(61.0, 210.0, 12810.0)
    420.0
    """
    return plain(positive(s_min, "s_min") + positive(e_min, "e_min") / positive(batch, "batch"))


def examples_needed(batch: Any, s_min: Any, e_min: Any) -> Any:
    """Give the tokens to the loss with a batch: E_min + S_min B, which is `batch` times `steps_needed`."""
    return plain(positive(e_min, "e_min") + positive(s_min, "s_min") * positive(batch, "batch"))


def overhead(batch: Any, critical: Any) -> Any:
    """Give how many times the least tokens a batch takes, E / E_min: 1 + B / B_crit.

    The steps it takes, S / S_min, are `overhead(critical, batch)`.
    """
    return plain(1 + positive(batch, "batch") / positive(critical, "critical"))


def batch_for_overhead(critical: Any, overhead: Any) -> Any:
    """Give the batch that takes `overhead` times the least tokens: (overhead - 1) B_crit.

    Laws that call the batch of 20% more tokens critical (Zhang et al. 2024) mean `batch_for_overhead(B_crit, 1.2)`.

    Raises:
        ConfigError: The overhead is 1 or less, which no batch reaches; or a value is no positive, finite number.
    """
    times = positive(overhead, "overhead")
    if not (times > 1).all():
        raise ConfigError(
            f"overhead is {overhead!r}; it must be above 1: every batch takes more than the least tokens."
        )
    return plain((times - 1) * positive(critical, "critical"))


def least_steps(steps: Any, batch: Any, critical: Any) -> Any:
    """Give the steps of a large batch: S_min = S / (1 + B_crit / B) (Kaplan et al. 2020, eq. 5.4)."""
    return plain(positive(steps, "steps") / overhead(critical, batch))


def least_examples(examples: Any, batch: Any, critical: Any) -> Any:
    """Give the tokens of a small batch: E_min = E / (1 + B / B_crit)."""
    return plain(positive(examples, "examples") / overhead(batch, critical))


def least_compute(compute: Any, batch: Any, critical: Any) -> Any:
    """Give the compute of a small batch: C_min = C / (1 + B / B_crit) (Kaplan et al. 2020, eq. 5.5)."""
    return plain(positive(compute, "compute") / overhead(batch, critical))


def learning_rate_saturating(batch: Any, peak: Any, noise: Any) -> Any:
    """Give the best learning rate of SGD: peak / (1 + B_noise / B); linear in small batches, `peak` in large ones.

    Args:
        batch: B.
        peak: The best learning rate of an infinite batch.
        noise: B_noise, the gradient noise scale, in the unit of the batch.

    Raises:
        ConfigError: A value is no positive, finite number.
    """
    return plain(positive(peak, "peak") / overhead(noise, batch))


def learning_rate_surge(batch: Any, peak: Any, noise: Any) -> Any:
    """Give the best learning rate of Adam: 2 peak / (sqrt(B_noise/B) + sqrt(B/B_noise)) (Li et al. 2024, 2405.14578).

    It rises like sqrt(B), is `peak` at the noise scale, and falls beyond.

    Args:
        batch: B.
        peak: The best learning rate at the noise scale.
        noise: B_noise, in the unit of the batch.

    Raises:
        ConfigError: A value is no positive, finite number.
    """
    root = numpy.sqrt(positive(batch, "batch") / positive(noise, "noise"))
    return plain(2 * positive(peak, "peak") / (root + 1 / root))


def learning_rate_scale(batch: Any, reference_batch: Any, optimum: Any, gamma: Any = 0.75) -> Any:
    """Give the factor on the learning rate from one batch to another: B^gamma up to the best batch, constant beyond.

    Shuai et al. 2024 (arXiv 2412.01505) found gamma in [0.75, 1]; on StepLaw's runs it is 0.79 below the best batch and
    nothing above, so a rule that goes on scaling is wrong there.

    >>> learning_rate_scale(4e5, 1e5, optimum=2e5, gamma=1.0)
    2.0

    Args:
        batch: B to scale to.
        reference_batch: B at which the learning rate was tuned; beyond the optimum it counts as the optimum.
        optimum: The batch of least loss.
        gamma: Exponent; 0.5 (square root) and 1 (linear) are common, too.

    Raises:
        ConfigError: A value is no positive, finite number.
    """
    best = positive(optimum, "optimum")
    to = numpy.minimum(positive(batch, "batch"), best)
    since = numpy.minimum(positive(reference_batch, "reference_batch"), best)
    return plain((to / since) ** positive(gamma, "gamma"))
