"""Every published law, in the order of publication.

McCandlish et al. 2018 gave equations without constants; they are in `tenon.methods.batch_scaling.critical`.
"""

from __future__ import annotations

from tenon.methods.batch_scaling.laws.law import Law
from tenon.methods.batch_scaling.laws.published_batch import (
    BERGSMA,
    BJORCK,
    DEEPSEEK,
    MINICPM,
    PORIAN,
    SHUAI,
    STEPLAW,
    ZHANG,
)
from tenon.methods.batch_scaling.laws.published_loss import BESIROGLU, GADRE, HOFFMANN, KAPLAN, NANOGPT_KAPLAN

__all__ = ["LAWS"]

LAWS: tuple[Law, ...] = (
    *KAPLAN,
    *HOFFMANN,
    *NANOGPT_KAPLAN,
    *DEEPSEEK,
    *GADRE,
    *MINICPM,
    *BESIROGLU,
    *PORIAN,
    *BJORCK,
    *ZHANG,
    *SHUAI,
    *STEPLAW,
    *BERGSMA,
)
