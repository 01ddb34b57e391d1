"""Options of masked diffusion: how text is masked in training, what the loss weighs, in which order text is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from tenon.core.errors import ConfigError, require
from tenon.core.training.config import TrainConfig

__all__ = [
    "CONTENDERS",
    "PRESETS",
    "SIZES",
    "CompareConfig",
    "Contender",
    "DecodeConfig",
    "FinetuneConfig",
    "Kind",
    "MDMConfig",
    "Objective",
    "Order",
    "PadPolicy",
    "PuzzleTraining",
    "TimeWeight",
]

TimeWeight: TypeAlias = Literal["linear", "elbo", "none"]
Order: TypeAlias = Literal["topk", "margin", "entropy", "random"]
PadPolicy: TypeAlias = Literal["learn", "ignore", "eos_fill"]
Objective: TypeAlias = Literal["mdm", "ar", "reverse_ar"]
Kind: TypeAlias = Literal["sudoku", "countdown", "sat", "path"]

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"n_layer": 3, "n_embd": 384, "n_head": 12},  # [code] "6M": 5,532,672 parameters with 31 tokens
    "base": {"n_layer": 12, "n_embd": 768, "n_head": 12},  # [code] "85M": 85,473,024
    "medium": {"n_layer": 24, "n_embd": 1024, "n_head": 16},  # [code] "303M": 302,867,456
}
"""GPT-2 of the paper's sizes, 512 positions, tied embeddings, dropout 0.1."""


@dataclass(frozen=True, kw_only=True)
class MDMConfig:
    """The forward process and the objective (section 3 of the paper)."""

    steps: int | None = 20
    """Diffusion steps T in training; none: time is continuous. Decoding may take another number."""
    time_weight: TimeWeight = "linear"
    """Weight of a whole sequence by how much of it is masked: `linear` (little masked counts most), `elbo` (the bound
    on the likelihood), or `none`."""
    token_alpha: float = 0.25
    """Factor of every token's loss; under Adam it only changes what gradient clipping does."""
    token_beta: float = 1.0
    """Exponent of the token's difficulty 1 - p; 0 turns the weight off. The released code calls it gamma."""
    loss_scale: Literal["normalised", "official"] = "normalised"
    """`official`: weights T times as large (linear) or as small (elbo), as in the released code; the large ones may
    overflow in fp16, so prefer `normalised` or bf16 there."""
    loss_norm: Literal["masked", "maskable", "batch"] = "masked"
    """What the sum is divided by: masked tokens, as in the released code; all tokens that could be masked; or rows."""
    pad_policy: PadPolicy = "learn"
    """What stands behind an answer. `learn`: padding that is masked and learnt, as in the paper, so that a model finds
    the end of its answer by itself. `eos_fill`: EOS to the end, learnt, too (LLaDA's way). `ignore`: padding that is
    neither learnt nor seen, for answers of known length."""
    time_eps: float = 1e-3
    """Least share that is masked where time is continuous; the elbo's weight is its inverse."""

    def __post_init__(self) -> None:
        require(self.steps is None or self.steps >= 1, self, "steps", "1 or more, or none for continuous time")
        require(self.token_alpha > 0, self, "token_alpha", "above 0")
        require(self.token_beta >= 0, self, "token_beta", "0 or more")
        require(0 < self.time_eps < 1, self, "time_eps", "between 0 and 1")
        if self.loss_scale == "official" and self.steps is None:
            raise ConfigError(
                "MDMConfig.loss_scale is 'official', which multiplies by steps, and steps is none; set it."
            )


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How an answer is written (algorithm 2 of the paper)."""

    steps: int = 20
    """Forward passes; fewer are faster, 1 writes everything at once."""
    order: Order = "topk"
    """What is written first: `topk` the most probable token, `margin` the largest lead over the second, `entropy` the
    least uncertain, `random` whichever comes (each masked token with probability 1 / (steps left))."""
    noise: float = 0.5
    """Scale of the Gumbel noise on the order, falling to 0 with the steps; tokens are never drawn, only their order."""
    schedule: Literal["linear", "cosine"] = "linear"
    """How many tokens stay masked after a step."""
    revise: bool = True
    """Whether what is written may be changed and masked again, as in the released code; `random` never revises. What a
    model predicts where it sees the answer already was never trained: it helps some models and ruins others; try both.
    """
    suppress: bool = True
    """Whether MASK and SEP are never written; the released code does not forbid it."""
    threshold: float | None = None
    """Every step writes all tokens whose probability is above this, at least one, and none more once all are written;
    `steps` is then the most that are made, and the last writes what is left. Approximate; none: the schedule decides
    how many tokens a step writes."""
    block: int | None = None
    """The answer is written in blocks of this many tokens, from left to right; the steps are shared out among them.
    Approximate; none: the whole answer at once."""

    def __post_init__(self) -> None:
        require(self.steps >= 1, self, "steps", "1 or more")
        require(self.noise >= 0, self, "noise", "0 or more")
        require(self.block is None or self.block >= 1, self, "block", "1 or more, or none")
        if self.threshold is not None:
            require(0 < self.threshold <= 1, self, "threshold", "above 0 and at most 1, or none")
            require(self.order != "random", self, "order", "another with a threshold: random order asks no probability")


@dataclass(frozen=True, kw_only=True)
class PuzzleTraining:
    """What is trained on what."""

    kind: Kind = "path"
    """The puzzle."""
    size: int | None = None
    """How large it is: box of a Sudoku, numbers of Countdown, variables of SAT, nodes of a path; none: as published."""
    rows: int = 50_000
    """Different puzzles to learn from; of a file no more than its first ones."""
    objective: Objective = "mdm"
    """`mdm`, or the baselines: `ar` writes from left to right, `reverse_ar` the reversed answer (paths alone)."""
    model: str = "tiny"
    """A published size, tiny, base or medium; `layers`, `hidden` and `heads` change it."""
    backbone: Literal["gpt2", "llama"] = "gpt2"
    """Its kind: GPT-2 as in the paper, or Llama of the same depth and width [ours]."""
    layers: int | None = None
    """Transformer blocks."""
    hidden: int | None = None
    """Width."""
    heads: int | None = None
    """Attention heads."""
    dropout: float = 0.1
    """Of attention, residuals and embeddings."""
    mdm: MDMConfig = field(default_factory=MDMConfig)
    """Noise and weights; of no meaning for the baselines."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=1000, batch_size=64, weight_decay=0.0))
    """Optimiser, schedule and batch."""

    def __post_init__(self) -> None:
        require(self.rows >= 1, self, "rows", "1 or more")
        require(0 <= self.dropout < 1, self, "dropout", "between 0 and 1, 1 excluded")
        require({"small": "base"}.get(self.model, self.model) in SIZES, self, "model", f"one of {', '.join(SIZES)}")
        is_path = self.kind == "path"
        require(is_path or self.objective != "reverse_ar", self, "objective", "'mdm' or 'ar': only paths are reversed")
        learns = self.mdm.pad_policy == "learn"
        require(learns, self.mdm, "pad_policy", "'learn' for puzzles: where an answer ends is for the model to find")

    @property
    def changes(self) -> dict[str, Any]:
        """What the model's config has other than the published size."""
        sizes = {"n_layer": self.layers, "n_embd": self.hidden, "n_head": self.heads}
        dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), self.dropout)
        return {name: value for name, value in sizes.items() if value is not None} | dropout


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """How a trained autoregressive model is trained on, by masked diffusion, with rows of one's own."""

    lora_rank: int = 16  # [code] of the paper's LLaMA baselines
    """Rank of the adapters; 0 trains all weights."""
    lora_alpha: int = 32  # [ours] the paper is silent
    """The adapters add their output times this over the rank."""
    lora_targets: tuple[str, ...] = ("all-linear",)  # [code] q, k, v, o, gate, up, down: of a Llama the same
    """Ends of the names of the layers that get an adapter; `all-linear`: all linear ones but the output layer."""
    mask_token: str | None = None
    """MASK: a token that the vocabulary has and no row holds, or a new one; none: the tokenizer's, or a new one."""
    max_length: int | None = None
    """Tokens of a row with prompt, response and EOS; a longer one is refused. None: of the longest that came."""
    held_out: float = 0.1
    """Share of the prompts that are scored before and after, and never trained on; 0: none."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Numbers of the weights; adapters stay in float32."""
    mdm: MDMConfig = field(default_factory=lambda: MDMConfig(pad_policy="eos_fill"))
    """Noise, weights and padding."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(batch_size=16, learning_rate=1e-4, weight_decay=0.0))
    """Optimiser, schedule and batch."""

    def __post_init__(self) -> None:
        require(self.lora_rank >= 0, self, "lora_rank", "0 or more")
        require(self.lora_alpha >= 1, self, "lora_alpha", "1 or more")
        require(bool(self.lora_targets), self, "lora_targets", "one or more")
        require(self.mask_token != "", self, "mask_token", "a text or none")
        require(self.max_length is None or self.max_length >= 2, self, "max_length", "2 or more, or none")
        require(0 <= self.held_out < 1, self, "held_out", "between 0 and 1, 1 excluded")
        fits = self.dtype == "float32" or self.lora_rank > 0
        require(fits, self, "dtype", "'float32' where all weights are trained; train.precision=bf16 is what saves time")


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Which puzzles are asked, and how they are answered."""

    puzzles: int = 500
    """Unseen puzzles, of the test split."""
    orders: tuple[Order, ...] = ("topk", "margin", "random")
    """Orders of writing that are compared."""
    steps: tuple[int, ...] = (1, 5, 20)
    """Numbers of forward passes that are compared."""
    noise: float = 0.5
    """See `DecodeConfig`."""
    revise: tuple[bool, ...] = (True,)
    """Whether what is written may be changed; `true,false` compares both."""
    thresholds: tuple[float, ...] = ()
    """Also write all that is more probable than each of these, in at most the largest number of steps."""
    blocks: tuple[int, ...] = ()
    """Also write in blocks of each of these lengths, in the largest number of steps."""
    batch_size: int = 64
    """Puzzles answered together."""
    seed: int = 0
    """Names the draw of the puzzles and of the noise."""

    def __post_init__(self) -> None:
        require(self.puzzles >= 1, self, "puzzles", "1 or more")
        require(self.batch_size >= 1, self, "batch_size", "1 or more")
        require(
            bool(self.orders and self.steps and self.revise), self, "orders", "one or more, and so steps and revise"
        )
        for made in self.decodings():
            assert made  # each checks itself

    def decodings(self) -> list[DecodeConfig]:
        """Give every way of writing: `random` and a single step are not told apart by `revise`."""

        def way(order: Order, steps: int, **options: Any) -> list[DecodeConfig]:
            revises = self.revise if order != "random" and steps > 1 else self.revise[:1]
            return [
                DecodeConfig(order=order, steps=steps, noise=self.noise, revise=revise, **options) for revise in revises
            ]

        most = max(self.steps)
        made = [one for order in self.orders for steps in self.steps for one in way(order, steps)]
        for order in self.orders:
            made += [one for block in self.blocks for one in way(order, most, block=block)]
            if order != "random":
                made += [one for threshold in self.thresholds for one in way(order, most, threshold=threshold)]
        return list(dict.fromkeys(made))


def _paper(kind: Kind, size: int, rows: int, steps: int, token_beta: float, **train: Any) -> PuzzleTraining:
    """Give a training of the paper; what all of them share."""
    shared = TrainConfig(
        steps=steps,
        batch_size=128, accumulation=8,  # [code] 128 rows on each of 8 GPUs; [ours] how one device has them
        learning_rate=1e-3,  # [code] for tiny models; script names that say 3e-4 are stale
        schedule="cosine", min_lr_ratio=0.0, warmup_steps=0,  # [code]
        weight_decay=0.0, adam_beta1=0.9, adam_beta2=0.999, max_grad_norm=1.0,  # [code] Trainer's own
        precision="fp16",  # [code]
        seed=42,  # [code]
        log_every=50, save_every=1000,  # [ours]
    )  # fmt: skip
    mdm = MDMConfig(
        steps=20, time_weight="linear", token_alpha=0.25, token_beta=token_beta,  # [code]
        loss_scale="normalised",  # [ours] under Adam the same but for clipping, and safe in fp16
        loss_norm="masked", pad_policy="learn",  # [code]
    )  # fmt: skip
    return PuzzleTraining(
        kind=kind, size=size, rows=rows, model="tiny", dropout=0.1, mdm=mdm, train=replace(shared, **train)
    )


PRESETS: dict[str, PuzzleTraining] = {
    # Epochs of the release, as optimiser steps of 1,024 rows.
    "paper-path": _paper("path", 6, 50_000, 4_900, 1.0),  # [paper] 50k rows; [code] 100 epochs; K [inferred]
    # Beta of three and five numbers [inferred] from four's.
    "paper-countdown-3": _paper("countdown", 3, 500_000, 293_000, 2.0),  # [paper] 500k; [code] 600 epochs
    "paper-countdown-4": replace(
        _paper("countdown", 4, 500_000, 293_000, 2.0, learning_rate=3e-4), model="base",  # [code]
    ),
    "paper-countdown-5": _paper("countdown", 5, 500_000, 293_000, 2.0),  # [paper], [code]
    "paper-sudoku": _paper("sudoku", 3, 100_000, 29_000, 1.0),  # [paper] 100k; [code] 300 epochs; puzzles [ours]
    "paper-sat-5": _paper("sat", 5, 50_000, 29_000, 1.0),  # [paper] 50k; [code] 600 epochs; format [ours]
    "paper-sat-7": _paper("sat", 7, 50_000, 29_000, 1.0),  # [paper], [code]; format [ours]
    "paper-sat-9": _paper("sat", 9, 100_000, 58_000, 1.0),  # [code]; rows and format [ours]
    # Minutes on one core.
    "small-path": PuzzleTraining(
        kind="path", size=3, rows=20_000, layers=3, hidden=128, heads=4, dropout=0.0,  # [ours]
        train=TrainConfig(  # [ours]
            steps=2000, batch_size=64, learning_rate=1e-3, weight_decay=0.0, warmup_steps=50,  # [ours]
            log_every=50, save_every=500, device="cpu",  # [ours]
        ),
    ),
    "small-sudoku": PuzzleTraining(
        kind="sudoku", size=2, rows=20_000, layers=4, hidden=128, heads=4, dropout=0.0,  # [ours]
        train=TrainConfig(  # [ours]
            steps=2000, batch_size=64, learning_rate=1e-3, weight_decay=0.0, warmup_steps=50,  # [ours]
            log_every=50, save_every=500, device="cpu",  # [ours]
        ),
    ),
    "small-countdown": PuzzleTraining(
        kind="countdown", size=3, rows=100_000, layers=3, hidden=128, heads=4, dropout=0.0,  # [ours]
        mdm=MDMConfig(token_beta=2.0),  # [inferred] from four numbers
        train=TrainConfig(  # [ours]
            steps=2000, batch_size=64, learning_rate=1e-3, weight_decay=0.0, warmup_steps=50,  # [ours]
            log_every=50, save_every=500, device="cpu",  # [ours]
        ),
    ),
    "small-sat": PuzzleTraining(
        kind="sat", size=5, rows=50_000, layers=3, hidden=128, heads=4, dropout=0.0,  # [ours]
        train=TrainConfig(  # [ours]
            steps=600, batch_size=32, learning_rate=1e-3, weight_decay=0.0, warmup_steps=50,  # [ours]
            log_every=50, save_every=200, device="cpu",  # [ours]
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way of training and writing that is compared, as a change of the method."""

    objective: Objective = "mdm"
    """What is trained."""
    mdm: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `MDMConfig` that differ."""
    decode: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `DecodeConfig` that differ."""

    def training(self, config: PuzzleTraining) -> PuzzleTraining:
        """Give the training of this contender; all else is that of `config`."""
        return replace(config, objective=self.objective, mdm=replace(config.mdm, **self.mdm))


_PLAIN = {"token_alpha": 1.0, "token_beta": 0.0}

# Section 3 of the specification; from code and reviews [inferred].
CONTENDERS: dict[str, Contender] = {
    "mgdm": Contender(),
    "rdm": Contender(mdm=_PLAIN),
    "token": Contender(mdm={"time_weight": "none"}),
    "off": Contender(mdm={"time_weight": "none", **_PLAIN}),
    "d3pm": Contender(mdm={"time_weight": "elbo", **_PLAIN}, decode={"order": "random"}),
    "vdm": Contender(
        mdm={"time_weight": "elbo", "steps": None, "loss_scale": "normalised", **_PLAIN}, decode={"order": "random"}
    ),
    "teacherless": Contender(mdm={"steps": 1, **_PLAIN}, decode={"steps": 1}),
    "ar": Contender(objective="ar"),
    "reverse_ar": Contender(objective="reverse_ar"),
}
"""The method, its ablations and its baselines: `rdm` has the sequence's weight alone, `token` the token's alone, `off`
neither; `d3pm` and `vdm` weigh as the bound does, with discrete and continuous time, and write in random order;
`teacherless` writes all at once; `ar` and `reverse_ar` write from left to right, the latter the reversed answer."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Contenders that are trained on the same puzzles, from the same weights, and asked the same ones."""

    contenders: tuple[str, ...] = ("mgdm", "ar", "reverse_ar")
    """Which: mgdm, rdm, token, off, d3pm, vdm, teacherless, ar, reverse_ar."""
    seeds: int = 3
    """Trainings of each, from seeds 0, 1 ...: of weights, order of rows, noise and the drawn puzzles."""
    puzzles: int = 1000
    """Unseen puzzles asked of each."""
    ar_steps: float = 1.0
    """Optimiser steps of `ar` and `reverse_ar`, as a multiple of the others'; the paper gives them 2 on paths."""
    batch_size: int = 100
    """Puzzles answered together."""
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    """How answers are written, but for what a contender has otherwise."""
    training: PuzzleTraining = field(default_factory=PuzzleTraining)
    """What all trainings share."""

    def __post_init__(self) -> None:
        require(bool(self.contenders), self, "contenders", f"one or more of {', '.join(CONTENDERS)}")
        for name in self.contenders:
            require(name in CONTENDERS, self, "contenders", f"of {', '.join(CONTENDERS)}; {name!r} is not among them")
            CONTENDERS[name].training(self.training)  # checks itself
        require(len(set(self.contenders)) == len(self.contenders), self, "contenders", "without repetition")
        require(self.seeds >= 1, self, "seeds", "1 or more")
        require(self.puzzles >= 1, self, "puzzles", "1 or more")
        require(self.batch_size >= 1, self, "batch_size", "1 or more")
        require(self.ar_steps > 0, self, "ar_steps", "above 0")

    def trainings(self) -> dict[str, tuple[str, PuzzleTraining]]:
        """Give every training by its name, `<contender>-<seed>`, with its contender."""
        found = {}
        for seed in range(self.seeds):
            for name in self.contenders:
                contender = CONTENDERS[name]
                made = contender.training(self.training)
                steps = made.train.steps if contender.objective == "mdm" else round(made.train.steps * self.ar_steps)
                found[f"{name}-{seed}"] = name, replace(made, train=replace(made.train, seed=seed, steps=steps))
        return found
