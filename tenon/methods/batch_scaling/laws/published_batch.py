"""Published laws of the best batch, the critical batch and the learning rate, with all that their papers give.

Constants stand as they were published. A law that counts its batch in sequences has their length as `factor`.
"""

from __future__ import annotations

import math

from tenon.methods.batch_scaling.laws.law import Domain, Law, PowerLaw

__all__ = ["BERGSMA", "BJORCK", "DEEPSEEK", "MINICPM", "PORIAN", "SHUAI", "STEPLAW", "ZHANG", "overhead_at_critical"]

DEEPSEEK: tuple[Law, ...] = (
    Law(
        name="deepseek2024",
        title="Bi et al. 2024 (DeepSeek): batch, learning rate and tokens for compute",
        equation="B = 0.2920 C^0.3271, lr = 0.3118 C^-0.1250, D = 5.8316 C^0.4757, M = 0.1715 C^0.5243",
        source="Bi et al. 2024, arXiv 2401.02954",
        tag="2nd",
        formulas={
            "batch": PowerLaw(coefficient=0.2920, exponents={"C": 0.3271}),
            "learning_rate": PowerLaw(coefficient=0.3118, exponents={"C": -0.1250}),
            "tokens": PowerLaw(coefficient=5.8316, exponents={"C": 0.4757}),
        },
        n_kind=None,
        c_definition="M D",
        domain=Domain(C=(1e17, 2e19)),
        caveat="Multi-step schedule. C counts M = 72 n_layer d^2 + 12 n_layer d seq_len FLOPs per token, attention "
        "included and embeddings not; 6 N D is another number.",
    ),
)

MINICPM: tuple[Law, ...] = (
    Law(
        name="minicpm2024",
        title="Hu et al. 2024 (MiniCPM): batch of the loss that is reached",
        equation="B = 1.21e9 L^-6.24",
        source="Hu et al. 2024, arXiv 2404.06395",
        tag="lit",
        formulas={"batch": PowerLaw(coefficient=1.21e9, exponents={"L": -6.24})},
        n_kind=None,
        caveat="L is the loss on C4 with the paper's tokenizer; WSD schedule; optimum at D/N of about 192. The "
        "learning rate is about 0.01 at every size, under muP only.",
    ),
)

PORIAN: tuple[Law, ...] = (
    Law(
        name="porian2024",
        title="Porian et al. 2024: batch and learning rate of model size",
        equation="B = 0.7576 N^0.703, lr = 3.7 N^-0.36",
        source="Porian et al. 2024, arXiv 2406.19146, as Li et al. 2025 quote it",
        tag="2nd",
        formulas={
            "batch": PowerLaw(coefficient=0.7576, exponents={"N": 0.703}),
            "learning_rate": PowerLaw(coefficient=3.7, exponents={"N": -0.36}),
        },
        n_kind="with_head",
        domain=Domain(N=(5e6, 9e8)),
        caveat="Only at D = 20 N; constant learning rate; AdamW with a tuned beta2.",
    ),
)

BJORCK: tuple[Law, ...] = (
    Law(
        name="bjorck2024",
        title="Bjorck et al. 2024: learning rate of model size and tokens, exponents",
        equation="lr = ? N^-0.23 D^-0.32",
        source="Bjorck et al. 2024, arXiv 2409.19913",
        tag="2nd",
        formulas={"learning_rate": PowerLaw(coefficient=None, exponents={"N": -0.23, "D": -0.32})},
        n_kind=None,
        caveat="The coefficient is printed as 1.3192e-5 in one place and 1.3192 e^-5 in another, and neither gives "
        "plausible learning rates.",
    ),
)

_ZHANG = "Zhang et al. 2024, arXiv 2410.21676"
_ZHANG_CAVEAT = (
    "Critical batch: the largest that takes at most 20% more tokens to the same loss. C4, sequences of 512 tokens."
)
_ZHANG_N = (85e6, 1.2e9)

ZHANG: tuple[Law, ...] = (
    Law(
        name="zhang2024.data",
        title="Zhang et al. 2024: critical batch of the tokens",
        equation="B_crit = 512 x 22.91 (D/1e6)^0.47",
        source=_ZHANG,
        tag="lit",
        formulas={
            "critical_batch": PowerLaw(coefficient=22.91, exponents={"D": 0.47}, factor=512, units={"D": 1e6}),
        },
        n_kind=None,
        domain=Domain(N=_ZHANG_N),
        caveat=_ZHANG_CAVEAT,
    ),
    Law(
        name="zhang2024.optimal",
        title="Zhang et al. 2024: critical batch of the model size, at D = 20 N",
        equation="B_crit = 512 x 93.20 (N/1e6)^0.47",
        source=_ZHANG,
        tag="lit",
        formulas={
            "critical_batch": PowerLaw(coefficient=93.20, exponents={"N": 0.47}, factor=512, units={"N": 1e6}),
        },
        n_kind=None,
        domain=Domain(N=_ZHANG_N),
        caveat=f"{_ZHANG_CAVEAT} Only at D = 20 N: it is zhang2024.data there.",
    ),
    Law(
        name="zhang2024.fixed3B",
        title="Zhang et al. 2024: critical batch of the model size, at 3.07B tokens",
        equation="B_crit = 512 x 621.341 (N/1e6)^0.087",
        source=_ZHANG,
        tag="lit",
        formulas={
            "critical_batch": PowerLaw(coefficient=621.341, exponents={"N": 0.087}, factor=512, units={"N": 1e6}),
        },
        n_kind=None,
        domain=Domain(N=_ZHANG_N, D=(3.07e9, 3.07e9)),
        caveat=f"{_ZHANG_CAVEAT} Only at D = 3.07e9.",
    ),
)

_SHUAI = "Shuai et al. 2024, arXiv 2412.01505"
_SHUAI_DOMAIN = Domain(N=(1.25e8, 2.6e9), D=(0.0, 3e11), B=(0.0, 3.2e7))
_SHUAI_CAVEAT = "GPT-style models; schedule, optimizer settings and sequence length are not known."

SHUAI: tuple[Law, ...] = (
    Law(
        name="shuai2024.frontier",
        title="Shuai et al. 2024: model and tokens for compute, exponents",
        equation="N = ? C^0.464, D = ? C^0.536",
        source=_SHUAI,
        tag="2nd",
        formulas={
            "params": PowerLaw(coefficient=None, exponents={"C": 0.464}),
            "tokens": PowerLaw(coefficient=None, exponents={"C": 0.536}),
        },
        n_kind=None,
        domain=_SHUAI_DOMAIN,
        caveat=_SHUAI_CAVEAT,
    ),
    Law(
        name="shuai2024.fixed_compute",
        title="Shuai et al. 2024: batch and steps for compute, exponents",
        equation="B = ? C^0.102, S = ? C^0.434",
        source=_SHUAI,
        tag="2nd",
        formulas={
            "batch": PowerLaw(coefficient=None, exponents={"C": 0.102}),
            "steps": PowerLaw(coefficient=None, exponents={"C": 0.434}),
        },
        n_kind=None,
        domain=_SHUAI_DOMAIN,
        caveat=f"{_SHUAI_CAVEAT} N, S and B are all free at given compute: another question than that of "
        "shuai2024.fixed_data, and another exponent of D.",
    ),
    Law(
        name="shuai2024.fixed_data",
        title="Shuai et al. 2024: batch of least loss at given tokens",
        equation="B = 3.24e3 D^0.264",
        source=f"{_SHUAI}, as two public training repositories quote it",
        tag="2nd",
        formulas={"batch": PowerLaw(coefficient=3.24e3, exponents={"D": 0.264})},
        n_kind=None,
        domain=_SHUAI_DOMAIN,
        # It gives 1.5 to 6.6 times the best batch of StepLaw's runs, which have 4B to 100B tokens, and meets the other
        # laws at about 1T.
        recommended=Domain(D=(1e11, math.inf)),
        caveat=f"{_SHUAI_CAVEAT} A law of large scale: it over-estimates below ~100B tokens on StepLaw data.",
    ),
    Law(
        name="shuai2024.learning_rate",
        title="Shuai et al. 2024: learning rate of the batch, exponent",
        equation="lr = ? B^gamma, gamma in [0.75, 1]; 0.75 here",
        source=_SHUAI,
        tag="2nd",
        formulas={"learning_rate": PowerLaw(coefficient=None, exponents={"B": 0.75})},
        n_kind=None,
        domain=_SHUAI_DOMAIN,
        caveat=f"{_SHUAI_CAVEAT} Only up to the best batch, where the learning rate saturates. 0.75 is the cautious "
        "end of the published range, and critical.learning_rate_scale takes any gamma and stops at the best batch.",
    ),
)

STEPLAW: tuple[Law, ...] = (
    Law(
        name="steplaw2025",
        title="Li et al. 2025 (StepLaw): batch and learning rate of model size and tokens",
        equation="B = exp(-0.54354) D^0.57094, lr = exp(0.58631) N^-0.71292 D^0.30749",
        source="Li et al. 2025, arXiv 2503.04715; means of the 1000 bootstrap fits in the authors' repository",
        tag="code",
        formulas={
            "batch": PowerLaw(coefficient=math.exp(-0.54354), exponents={"D": 0.57094}),
            "learning_rate": PowerLaw(coefficient=math.exp(0.58631), exponents={"N": -0.71292, "D": 0.30749}),
        },
        n_kind="non_embedding",
        domain=Domain(N=(6e7, 1e9), D=(2e9, 1e11)),
        final_learning_rate=1e-5,  # [lit] a cosine that ends there; others end at a share of their peak
        caveat="Sequences of 2048 tokens; learning rate falls to 1e-5 whatever its peak. The rounded law as printed "
        "(0.58 D^0.571, 1.79 N^-0.713 D^0.307) gives learning rates 2% lower at 7B. The table that the authors "
        "released does not give these constants: B goes as D^0.61 there.",
    ),
)

_BERGSMA = "Bergsma et al. 2025 (Power Lines), arXiv 2505.13738"
_BERGSMA_CAVEAT = (
    "SlimPajama, sequences of 2048 tokens, muP; weight decay goes with it: see laws.weight_decay, which is linear in B."
)

BERGSMA: tuple[Law, ...] = (
    Law(
        name="bergsma2025",
        title="Bergsma et al. 2025 (Power Lines): batch of least loss at given tokens",
        equation="B = 2048 x 0.0306 D^0.383",
        source=_BERGSMA,
        tag="lit",
        formulas={"batch": PowerLaw(coefficient=0.0306, exponents={"D": 0.383}, factor=2048)},
        n_kind=None,
        domain=Domain(N=(1.11e8, 3.3e9)),
        caveat=_BERGSMA_CAVEAT,
    ),
    Law(
        name="bergsma2025.critical",
        title="Bergsma et al. 2025 (Power Lines): critical batch of the tokens",
        equation="B_crit = 2048 x 0.0471 D^0.462",
        source=_BERGSMA,
        tag="lit",
        formulas={"critical_batch": PowerLaw(coefficient=0.0471, exponents={"D": 0.462}, factor=2048)},
        n_kind=None,
        domain=Domain(N=(1.11e8, 3.3e9)),
        caveat=_BERGSMA_CAVEAT,
    ),
)


CRITICAL_OVERHEAD = {"zhang2024": 0.2}
"""Share of tokens more that a law's critical batch costs: Zhang et al. 2024 say 20 %; the others mean twice as many."""


def overhead_at_critical(law: str) -> float:
    """Give the share of tokens more that a published law's critical batch costs, by the law's name.

    >>> overhead_at_critical("zhang2024.data"), overhead_at_critical("bergsma2025.critical")
    (0.2, 1.0)
    """
    return CRITICAL_OVERHEAD.get(law.split(".")[0], 1.0)
