"""Published laws of the loss and of the best share of compute between model and data, with all that their papers give.

Constants stand as they were published. Compute of Kaplan et al. is in PF-days, which `units` converts.
"""

from __future__ import annotations

from tenon.methods.batch_scaling.laws.law import Domain, Law, LogLinear, PowerLaw
from tenon.methods.batch_scaling.laws.loss import KaplanLoss, ParametricLoss, UnfittedLoss

__all__ = ["BESIROGLU", "GADRE", "HOFFMANN", "KAPLAN", "NANOGPT_KAPLAN", "PF_DAY"]

PF_DAY = 8.64e19
"""FLOPs of a petaflop/s-day."""

_KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361"
_C_MIN = "C_min = C / (1 + B / B_crit): what 6 N D would be at a batch far below the critical one"
_KAPLAN_CAVEAT = (
    "Adam, cosine schedule of one length, WebText2; Hoffmann et al. 2022 and Porian et al. 2024 found flaws."
)

KAPLAN: tuple[Law, ...] = (
    KaplanLoss(
        name="kaplan2020",
        title="Kaplan et al. 2020: loss of model size and data",
        equation="L = [(6.4e13/N)^(0.076/0.103) + 1.8e13/D]^0.103",
        source=f"{_KAPLAN}, eq. 1.5 and table 2",
        tag="lit",
        Nc=6.4e13,
        Dc=1.8e13,
        alpha_N=0.076,
        alpha_D=0.103,
        caveat=f"{_KAPLAN_CAVEAT} Trained until the loss stopped falling, so what it allocates is not "
        "kaplan2020.frontier, the paper's own advice for a compute budget.",
    ),
    Law(
        name="kaplan2020.loss_params",
        title="Kaplan et al. 2020: loss of model size, data unlimited",
        equation="L = (8.8e13/N)^0.076",
        source=f"{_KAPLAN}, eq. 1.1",
        tag="lit",
        formulas={"loss": PowerLaw(coefficient=1.0, exponents={"N": -0.076}, units={"N": 8.8e13})},
        caveat=_KAPLAN_CAVEAT,
    ),
    Law(
        name="kaplan2020.loss_tokens",
        title="Kaplan et al. 2020: loss of data, model large",
        equation="L = (5.4e13/D)^0.095",
        source=f"{_KAPLAN}, eq. 1.2",
        tag="lit",
        formulas={"loss": PowerLaw(coefficient=1.0, exponents={"D": -0.095}, units={"D": 5.4e13})},
        n_kind=None,
        caveat=f"{_KAPLAN_CAVEAT} Stopped early, before the data were overfitted.",
    ),
    Law(
        name="kaplan2020.loss_compute",
        title="Kaplan et al. 2020: loss of the least compute that reaches it",
        equation="L = (3.1e8/C_min)^0.050, C_min in PF-days",
        source=f"{_KAPLAN}, eq. 1.3",
        tag="lit",
        formulas={"loss": PowerLaw(coefficient=1.0, exponents={"C": -0.050}, units={"C": 3.1e8 * PF_DAY})},
        n_kind=None,
        c_definition=_C_MIN,
        caveat=_KAPLAN_CAVEAT,
    ),
    Law(
        name="kaplan2020.loss_compute_fixed_batch",
        title="Kaplan et al. 2020: loss of compute as it was spent, one batch for all",
        equation="L = (1.6e7/C)^0.057, C in PF-days",
        source=f"{_KAPLAN}, appendix A",
        tag="lit",
        formulas={"loss": PowerLaw(coefficient=1.0, exponents={"C": -0.057}, units={"C": 1.6e7 * PF_DAY})},
        n_kind=None,
        caveat=_KAPLAN_CAVEAT,
    ),
    Law(
        name="kaplan2020.frontier",
        title="Kaplan et al. 2020: model, data, steps and critical batch for compute",
        equation="N = 1.3e9 C_min^0.73, D = 2e10 C_min^0.27, S_min = 5.4e3 C_min^0.03, B_crit = 2.0e6 C_min^0.24, "
        "C_min in PF-days",
        source=f"{_KAPLAN}, section 6.1 and appendix A",
        tag="lit",
        formulas={
            # The paper's B(C_min) is its B_crit(L) at the loss L(C_min): where time and data are traded evenly, and
            # not a batch of least loss. D is what training at that batch takes: 2 B_crit S_min.
            "critical_batch": PowerLaw(coefficient=2.0e6, exponents={"C": 0.24}, units={"C": PF_DAY}),
            "params": PowerLaw(coefficient=1.3e9, exponents={"C": 0.73}, units={"C": PF_DAY}),
            "tokens": PowerLaw(coefficient=2e10, exponents={"C": 0.27}, units={"C": PF_DAY}),
            "steps": PowerLaw(coefficient=5.4e3, exponents={"C": 0.03}, units={"C": PF_DAY}),
        },
        c_definition=_C_MIN,
        caveat=f"{_KAPLAN_CAVEAT} Steps are the least, S_min, those of a batch far above the critical one; at the "
        "critical batch training takes 2 S_min steps, the D given here, and C = 2 C_min.",
    ),
    Law(
        name="kaplan2020.critical",
        title="Kaplan et al. 2020: critical batch of the loss",
        equation="B_crit = 2.0e8 L^(-1/0.21)",
        source=f"{_KAPLAN}, eq. 1.4",
        tag="lit",
        formulas={"critical_batch": PowerLaw(coefficient=2.0e8, exponents={"L": -1 / 0.21})},
        n_kind=None,
        caveat="L is the loss at this moment of training, so the critical batch grows while the loss falls. Printed as "
        "2.1e8 in some tables, and as 2e18 in some code, which is ten orders of magnitude too much.",
    ),
    Law(
        name="kaplan2020.learning_rate",
        title="Kaplan et al. 2020: learning rate of model size",
        equation="lr = 0.003239 - 0.0001395 ln N",
        source=f"{_KAPLAN}, appendix D.6",
        tag="lit",
        formulas={"learning_rate": LogLinear(constant=0.003239, slope=-0.0001395, input="N")},
        caveat="A rule of thumb at the paper's batch of 0.5M tokens; below 0 from N = 1.2e10 on.",
    ),
)

NANOGPT_KAPLAN: tuple[Law, ...] = (
    Law(
        name="nanogpt_kaplan.frontier",
        title="Kaplan et al. repeated with nanoGPT: exponents of model, steps and critical batch",
        equation="N = ? C_min^0.72, S_min = ? C_min^0.04, B_crit = ? C_min^0.24",
        source="github.com/shehper/scaling_laws, README",
        tag="code",
        formulas={
            "critical_batch": PowerLaw(coefficient=None, exponents={"C": 0.24}, units={"C": PF_DAY}),
            "params": PowerLaw(coefficient=None, exponents={"C": 0.72}, units={"C": PF_DAY}),
            "steps": PowerLaw(coefficient=None, exponents={"C": 0.04}, units={"C": PF_DAY}),
        },
        c_definition=_C_MIN,
        domain=Domain(N=(0.0, 6.3e6)),
        caveat="Models up to 6.3M parameters. It also has alpha_N = 0.076 and alpha_D = 0.122, without Nc and Dc.",
    ),
    Law(
        name="nanogpt_kaplan.critical",
        title="Kaplan et al. repeated with nanoGPT: critical batch of the loss",
        equation="B_crit = 2.2e7 L^-4.26",
        source="github.com/shehper/scaling_laws, README",
        tag="code",
        formulas={"critical_batch": PowerLaw(coefficient=2.2e7, exponents={"L": -4.26})},
        n_kind=None,
        domain=Domain(N=(0.0, 6.3e6)),
        caveat="Models up to 6.3M parameters.",
    ),
)

_HOFFMANN = "Hoffmann et al. 2022, arXiv 2203.15556"
_HOFFMANN_RUNS = Domain(N=(5.73e7, 1.62e10), D=(8.18e8, 3.18e11), C=(1.39e18, 1.30e22))
"""Of the 240 runs that Besiroglu et al. read off the paper's figure 4, without the 5 of highest loss."""
_HOFFMANN_CAVEAT = "AdamW, cosine schedule as long as each run, MassiveText: its losses hold on those data only."

HOFFMANN: tuple[Law, ...] = (
    ParametricLoss(
        name="hoffmann2022",
        title="Hoffmann et al. 2022 (Chinchilla): loss of model size and data, constants as printed",
        equation="L = 1.69 + 406.4 N^-0.34 + 410.7 D^-0.28",
        source=f"{_HOFFMANN}, approach 3",
        tag="lit",
        n_kind="total",
        E=1.69,
        A=406.4,
        B=410.7,
        alpha=0.34,
        beta=0.28,
        allocate_by="hoffmann2022_unrounded",
        domain=_HOFFMANN_RUNS,
        caveat=f"{_HOFFMANN_CAVEAT} Rounded too far to share compute between N and D.",
    ),
    ParametricLoss(
        name="hoffmann2022_unrounded",
        title="Hoffmann et al. 2022 (Chinchilla): loss of model size and data, constants from the paper's source",
        equation="L = 1.6934 + 406.40 N^-0.33917084 + 410.72 D^-0.2849083",
        source=f"{_HOFFMANN}, approach 3, LaTeX source",
        tag="code",
        n_kind="total",
        E=1.6934,
        A=406.40,
        B=410.72,
        alpha=0.33917084,
        beta=0.2849083,
        domain=_HOFFMANN_RUNS,
        caveat=f"{_HOFFMANN_CAVEAT} Besiroglu et al. 2024 show that it does not fit the paper's own runs.",
    ),
    Law(
        name="hoffmann2022.approach1",
        title="Hoffmann et al. 2022 (Chinchilla): envelope of the loss curves, exponents",
        equation="N = ? C^0.50, D = ? C^0.50",
        source=f"{_HOFFMANN}, approach 1",
        tag="lit",
        formulas={
            "params": PowerLaw(coefficient=None, exponents={"C": 0.50}),
            "tokens": PowerLaw(coefficient=None, exponents={"C": 0.50}),
        },
        n_kind="total",
        domain=_HOFFMANN_RUNS,
        caveat=_HOFFMANN_CAVEAT,
    ),
    Law(
        name="hoffmann2022.approach2",
        title="Hoffmann et al. 2022 (Chinchilla): minima at equal compute (IsoFLOP), exponents",
        equation="N = ? C^0.49, D = ? C^0.51",
        source=f"{_HOFFMANN}, approach 2",
        tag="lit",
        formulas={
            "params": PowerLaw(coefficient=None, exponents={"C": 0.49}),
            "tokens": PowerLaw(coefficient=None, exponents={"C": 0.51}),
        },
        n_kind="total",
        domain=_HOFFMANN_RUNS,
        caveat=_HOFFMANN_CAVEAT,
    ),
)

GADRE: tuple[Law, ...] = (
    UnfittedLoss(
        name="gadre2024",
        title="Gadre et al. 2024: loss with one exponent for model and data, over-training included",
        equation="L = E + A N^-alpha + B D^-alpha",
        source="Gadre et al. 2024, arXiv 2403.08540; form in github.com/mlfoundations/scaling",
        tag="code",
        # What equal exponents mean for the optimum: a = alpha/(alpha + alpha), whatever alpha is.
        formulas={
            "params": PowerLaw(coefficient=None, exponents={"C": 0.5}),
            "tokens": PowerLaw(coefficient=None, exponents={"C": 0.5}),
        },
        n_kind="total",
        missing=("E", "A", "B", "alpha"),
        fit_form="equal_exponents",
        caveat="Written there in C and the token multiplier D/N. The runs behind it come with this package: "
        "`tenon.methods.batch_scaling.runs.readers` reads them, and they can be fitted anew.",
    ),
)

BESIROGLU: tuple[Law, ...] = (
    ParametricLoss(
        name="besiroglu2024",
        title="Besiroglu et al. 2024 (Epoch): Hoffmann's runs fitted anew",
        equation="L = 1.8172 + 482.01 N^-0.3478 + 2085.43 D^-0.3658",
        source="Besiroglu et al. 2024, arXiv 2404.10102; github.com/epoch-research/analyzing-chinchilla",
        tag="code",
        n_kind="total",
        E=1.8172,
        A=482.01,
        B=2085.43,
        alpha=0.3478,
        beta=0.3658,
        domain=_HOFFMANN_RUNS,
        caveat="Read off a figure of Hoffmann et al. 2022, without the 5 runs of highest loss: with them the "
        "exponents are others. Standard errors: E 0.03, A 124.5, B 1293, alpha 0.015, beta 0.021. "
        "Its losses hold on MassiveText.",
    ),
)
