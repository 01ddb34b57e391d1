"""Options of RISE, stage by stage: how questions are asked, solutions edited, pairs chosen, and models trained."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from tenon.core.errors import ConfigError, require
from tenon.core.training.config import TrainConfig

__all__ = [
    "CONTENDERS",
    "ERROR_KINDS",
    "PRESETS",
    "CompareConfig",
    "Contender",
    "EditConfig",
    "EditorName",
    "ErrorKind",
    "EvalConfig",
    "FilterConfig",
    "PairConfig",
    "PromptConfig",
    "RISEConfig",
    "Recipe",
    "SampleConfig",
]

ErrorKind: TypeAlias = Literal["multi_value", "value", "wrong_sub", "del_term", "symbol", "swap", "words"]
EditorName: TypeAlias = Literal["llm", "rules", "random"]

ERROR_KINDS: tuple[ErrorKind, ...] = ("multi_value", "value", "wrong_sub", "del_term", "symbol", "swap", "words")
"""The predefined subtle errors, in the order of the specification's table 2.5."""


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """How a question is asked, and where the steps of a solution begin (section 2.2 and 2.4)."""

    system: str = ""
    """System message; empty: none."""
    instruction: str = ""
    """What is added to the question, after a line break."""
    prefill: str = "Step 1:"
    """Beginning of the answer that the model goes on from; part of the solution. Without a blank at its end: to most
    tokenizers that belongs to the word that follows."""
    splitter: Literal["step", "line", "blank", "sentence", "pattern"] = "step"
    """What opens a step: `Step i:` on a new line, a new line, a blank line, a sentence, or `pattern`."""
    pattern: str = ""
    """Regular expression of a step's opening, for `splitter=pattern`."""

    def __post_init__(self) -> None:
        require((self.splitter == "pattern") == bool(self.pattern), self, "pattern", "set exactly if splitter=pattern")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(f"PromptConfig.pattern is {self.pattern!r}, no regular expression: {error}.") from error

    def messages(self, question: str) -> tuple[dict[str, str], ...]:
        """Give the conversation that asks a question, up to the assistant's turn."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        asked = f"{question}\n{self.instruction}" if self.instruction else question
        return *system, {"role": "user", "content": asked}


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Self-sampling (section 2.2)."""

    samples: int = 5
    """Solutions per question, K. More adds extreme questions, the paper found."""
    temperature: float = 0.2
    """Divides the logits; 0 is greedy, and then K solutions are one."""
    top_p: float = 0.9
    """Share of the probability from which a token is drawn."""
    max_tokens: int = 2048
    """A solution is cut here, and never used as a correct one [tokens]."""

    def __post_init__(self) -> None:
        require(self.samples >= 1, self, "samples", "1 or more")
        require(self.temperature >= 0, self, "temperature", "0 or more")
        require(0 < self.top_p <= 1, self, "top_p", "above 0, at most 1")
        require(self.max_tokens >= 1, self, "max_tokens", "1 or more")


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Which edits are kept (section 2.6); those that change nothing but blanks or a box never are."""

    phrases: bool = True
    """Drop an edit that announces its error."""
    distance: bool = True
    """Bound the edit distance (eq. 1 of the paper; absent from the released code)."""
    unit: Literal["char", "token"] = "char"
    """What the distance counts; tokens are those of the policy's tokenizer."""
    min_abs: int = 1
    """Least distance."""
    max_abs: int | None = None
    """Greatest distance; none: no such bound."""
    max_ratio: float | None = 0.3
    """Greatest distance as a share of the longer step; none: no such bound."""
    verify: bool = False
    """Also drop an edit whose equations all still hold, or whose final answer is still right."""

    def __post_init__(self) -> None:
        require(self.min_abs >= 0, self, "min_abs", "0 or more")
        require(self.max_abs is None or self.max_abs >= self.min_abs, self, "max_abs", "min_abs or more, or none")
        require(self.max_ratio is None or 0 < self.max_ratio <= 1, self, "max_ratio", "above 0, at most 1, or none")


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """Error-injected self-editing (section 2.5)."""

    editor: EditorName = "llm"
    """Who edits: `llm` the model itself; `rules`, for models too weak to follow a request; `random` replaces a token by
    any other, the control that tells whether it matters which error is injected."""
    kinds: tuple[ErrorKind, ...] = ERROR_KINDS
    """Errors that may be drawn, uniformly among those that fit a step."""
    window: int | None = 4
    """Sentences at a step's end that are shown and edited, where it has as many; none: always the whole step."""
    max_tokens: int = 2048
    """An edit is cut here [tokens]."""
    filters: FilterConfig = field(default_factory=FilterConfig)
    """Which edits are kept."""

    def __post_init__(self) -> None:
        require(bool(self.kinds) and len(set(self.kinds)) == len(self.kinds), self, "kinds", "one or more, each once")
        require(self.window is None or self.window >= 1, self, "window", "1 or more, or none")
        require(self.max_tokens >= 1, self, "max_tokens", "1 or more")


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """What becomes a pair (sections 2.3 and 2.7)."""

    full: bool = True
    """One pair of a right and a wrong solution per question."""
    edited: int = 1
    """Pairs of a step and its edit per question, N, drawn from the steps whose edit is kept; 0: none."""
    need_both: bool = True
    """Use a question only if it has right and wrong solutions; otherwise right ones suffice for edited pairs."""
    phrases: bool = True
    """Choose no right solution that corrects itself."""
    cut_rejected: bool = False
    """A solution that was cut for its length may be the wrong one of a pair."""

    def __post_init__(self) -> None:
        require(self.edited >= 0, self, "edited", "0 or more")
        if not (self.full or self.edited):
            raise ConfigError("PairConfig.full is false and edited is 0, so there are no pairs; set one of them.")


@dataclass(frozen=True, kw_only=True)
class RISEConfig:
    """Subtle error-aware DPO (section 2.8) and its optimiser."""

    beta: float = 0.4
    """Strength of the pull towards the reference: r = beta (log p - log p_ref)."""
    nll_weight: float = 1.0
    """`lambda`: weight of the chosen side's negative log-likelihood, per token of each sequence, then over rows."""
    nll_on: Literal["all", "full", "edit"] = "all"
    """Rows that have this term; the others count as 0 and stay in the mean."""
    nll_gate: Literal["none", "below_ref"] = "none"
    """`below_ref`: the term only where the chosen side has become less likely than under the reference. Experimental:
    one reading of the paper's "adaptive"."""
    eos_on_terminal: bool = True
    """End a solution, and the last step of one, with EOS; other steps never."""
    max_length: int = 1024
    """Longest row, prompt and completion [tokens]."""
    max_prompt_length: int = 512
    """What a prompt is cut to when a row is too long: its last tokens stay."""
    cut_completion: bool = False
    """Cut a completion to max_length - max_prompt_length where a row is still too long; otherwise leave the row out."""
    loss: Literal["sigmoid", "ipo", "robust", "sigmoid_norm", "hinge"] = "sigmoid"
    """Preference loss of trl; `sigmoid` is DPO, the paper's."""
    label_smoothing: float = 0.0
    """Chance that a pair is the wrong way round, for `robust`."""
    precompute_reference: bool = True
    """Ask the reference once, before training, and keep only its numbers."""
    share_prefix: bool = field(default=True, metadata={"identity": False})
    """Read what both sides of a pair share once, where the model's attention allows: the same numbers, in less time."""
    epochs: float | None = None
    """Passes over the pairs; none: `train.steps` steps."""
    pairs_per_step: int | None = None
    """Pairs of an optimiser step over all processes, in place of `train.accumulation`; none: train.batch_size x
    train.accumulation x processes."""
    warmup_ratio: float | None = None
    """Share of the steps over which the learning rate rises; none: `train.warmup_steps` steps."""
    lora_rank: int = 0
    """Rank of LoRA adapters; 0 trains all weights."""
    lora_alpha: int = 32
    """Scale of the adapters: alpha / rank."""
    lora_targets: tuple[str, ...] = ("all-linear",)
    """Layers that get an adapter."""
    dtype: str = "auto"
    """Numbers of the weights: auto, float32, bfloat16."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(learning_rate=5e-7, min_lr_ratio=0.0))
    """The optimiser."""

    def __post_init__(self) -> None:
        require(self.beta > 0, self, "beta", "above 0")
        require(self.nll_weight >= 0, self, "nll_weight", "0 or more")
        require(self.max_length >= 2, self, "max_length", "2 or more")
        require(1 <= self.max_prompt_length < self.max_length, self, "max_prompt_length", "1 or more, below max_length")
        require(0 <= self.label_smoothing < 0.5, self, "label_smoothing", "between 0 and 0.5")
        require(self.epochs is None or self.epochs > 0, self, "epochs", "above 0, or none")
        require(self.warmup_ratio is None or 0 <= self.warmup_ratio <= 1, self, "warmup_ratio", "from 0 to 1, or none")
        is_said_once = self.pairs_per_step is None or self.train.accumulation == 1
        require(is_said_once, self, "pairs_per_step", "none where train.accumulation is set")
        self._accumulation(processes=1)
        require(self.lora_rank >= 0, self, "lora_rank", "0 or more")
        is_half = self.dtype not in ("auto", "float32", "float64")
        why = "float32 or auto where all weights are trained: in fewer bits small steps are rounded away"
        require(bool(self.lora_rank) or not is_half, self, "dtype", why)

    def scheduled(self, pairs: int, processes: int = 1) -> TrainConfig:
        """Give the optimiser's settings for so many pairs: epochs and warm-up share as steps, pairs as accumulation.

        Raises:
            ConfigError: So many processes cannot share the pairs of a step evenly.
        """
        accumulation = self._accumulation(processes)
        rows = self.train.batch_size * accumulation * processes
        steps = self.train.steps if self.epochs is None else max(1, math.ceil(self.epochs * pairs / rows))
        warmup = min(self.train.warmup_steps, steps)
        if self.warmup_ratio is not None:
            warmup = math.ceil(self.warmup_ratio * steps)
        return replace(self.train, accumulation=accumulation, steps=steps, warmup_steps=warmup)

    def _accumulation(self, processes: int) -> int:
        if self.pairs_per_step is None:
            return self.train.accumulation
        size = self.train.batch_size * processes
        why = f"a multiple of {size}: train.batch_size x {processes} process{'es' if processes > 1 else ''}"
        require(self.pairs_per_step >= 1 and self.pairs_per_step % size == 0, self, "pairs_per_step", why)
        return self.pairs_per_step // size


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All of RISE, from a question to a trained model."""

    prompt: PromptConfig = field(default_factory=PromptConfig)
    """How a question is asked."""
    sample: SampleConfig = field(default_factory=SampleConfig)
    """How solutions are sampled."""
    edit: EditConfig = field(default_factory=EditConfig)
    """How they are edited."""
    pairs: PairConfig = field(default_factory=PairConfig)
    """What becomes a pair."""
    rise: RISEConfig = field(default_factory=RISEConfig)
    """How the model is trained."""
    seed: int = 0
    """Root of all draws before training."""


_STEP_BY_STEP = PromptConfig(
    system="You are a helpful assistant.",  # [code]
    instruction="Please reason step by step, and put your final answer within \\boxed{}.",  # [code] in our words
    prefill="Let's think step by step.\nStep 1: ",  # [code] in our words, with its blank
)
_OPTIMISER = TrainConfig(
    batch_size=4,  # [code] per GPU
    learning_rate=5e-7,  # [code]
    schedule="cosine",  # [code]
    min_lr_ratio=0.0,  # [code]
    weight_decay=0.0,  # [code] default of the trainer
    adam_beta2=0.999,  # [code] default of the trainer
    precision="bf16",  # [code]
    log_every=1,  # [ours]
    save_every=100,  # [code]
    seed=42,  # [code]
)

PRESETS: Mapping[str, Recipe] = {
    "paper": Recipe(
        prompt=_STEP_BY_STEP,  # [code]
        sample=SampleConfig(samples=5, temperature=0.2, top_p=0.9, max_tokens=2048),  # [paper] K; [code] the rest
        edit=EditConfig(editor="llm", window=4, max_tokens=2048),  # [code] greedy
        pairs=PairConfig(full=True, edited=1),  # [paper] N = 1 for Qwen2-7B, 3 for Llama-3.1-8B
        rise=RISEConfig(  # [code]
            beta=0.4, epochs=8, pairs_per_step=128, warmup_ratio=0.1,  # [code] 128 = 4 x 4 accumulated x 8 GPUs
            dtype="float32",  # [code] as DeepSpeed keeps the weights; they are multiplied in bfloat16 all the same
            max_length=1024, max_prompt_length=512,  # [code]
            nll_weight=1.0, eos_on_terminal=True,  # [ours] the paper has the term, its weight is unknown
            train=_OPTIMISER,  # [code]
        ),
    ),
    "released-code": Recipe(
        prompt=_STEP_BY_STEP,  # [code]
        sample=SampleConfig(samples=5, temperature=0.2, top_p=0.9, max_tokens=2048),  # [code]
        edit=EditConfig(  # [code]
            editor="llm", window=4, max_tokens=2048,  # [code]
            filters=FilterConfig(distance=False),  # [code] no such filter in the release
        ),
        pairs=PairConfig(full=True, edited=1, cut_rejected=True),  # [code]
        rise=RISEConfig(  # [code]
            beta=0.4, epochs=8, pairs_per_step=128, warmup_ratio=0.1,  # [code] 128 = 4 x 4 accumulated x 8 GPUs
            dtype="float32",  # [code] as DeepSpeed keeps the weights; they are multiplied in bfloat16 all the same
            max_length=1024, max_prompt_length=512, cut_completion=True,  # [code]
            nll_weight=0.0, eos_on_terminal=False,  # [code]
            train=_OPTIMISER,  # [code]
        ),
    ),
    "nano": Recipe(
        prompt=PromptConfig(prefill="Step 1:"),  # [ours] nano-lm knows no system message and needs no instruction
        sample=SampleConfig(samples=5, temperature=0.7, top_p=0.9, max_tokens=160),  # [ours]
        edit=EditConfig(editor="rules", filters=FilterConfig(verify=True)),  # [ours] nano-lm follows no requests
        pairs=PairConfig(full=True, edited=1),  # [paper]
        rise=RISEConfig(  # [ours]
            beta=0.4, nll_weight=1.0, warmup_ratio=0.1, max_length=512, max_prompt_length=384,  # [ours]
            train=TrainConfig(  # [ours]
                steps=100, batch_size=16, learning_rate=3e-5, min_lr_ratio=0.0,  # [ours]
                weight_decay=0.0, precision="bf16",  # [ours]
                adam_beta2=0.999, log_every=5, save_every=50,  # [ours]
            ),
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """How a model is measured: greedily, without examples, as in the released code."""

    prompt: PromptConfig = field(default_factory=PromptConfig)
    """How a question is asked."""
    prefill: bool = False
    """Also begin the answer as in sampling; the released code does not."""
    max_tokens: int = 2048
    """An answer is cut here, and then not right [tokens]."""

    def __post_init__(self) -> None:
        require(self.max_tokens >= 1, self, "max_tokens", "1 or more")


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way of training that is compared, as a change of the recipe."""

    objective: Literal["none", "sft", "dpo"] = "dpo"
    """`none`: the model as it came; `sft`: on its own right solutions; `dpo`: on pairs."""
    full: bool = True
    """With pairs of whole solutions."""
    edited: bool = True
    """With pairs of a step and its edit."""
    editor: EditorName | None = None
    """Who edits; None: as in the recipe."""
    rise: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `RISEConfig` that differ."""

    def recipe(self, recipe: Recipe) -> Recipe:
        """Give the recipe of this contender; all else is that of `recipe`."""
        pairs = replace(recipe.pairs, full=self.full, edited=recipe.pairs.edited if self.edited else 0)
        edit = recipe.edit
        if self.editor is not None:  # what it changes by chance is not asked whether it is an error
            edit = replace(edit, editor=self.editor, filters=replace(edit.filters, verify=False))
        return replace(recipe, pairs=pairs, edit=edit, rise=replace(recipe.rise, **self.rise))


CONTENDERS: Mapping[str, Contender] = {
    "base": Contender(objective="none"),
    "sft": Contender(objective="sft", edited=False),
    "full": Contender(edited=False),
    "edited": Contender(full=False),
    "rise": Contender(),
    "random": Contender(editor="random"),
    "no-nll": Contender(rise={"nll_weight": 0.0}),
}
"""The method, its ablations and baselines: `rise` has both kinds of pairs, `full` and `edited` one each; `random` has
steps with a random token replaced in the place of an injected error; `sft` learns the right solutions of the full
pairs; `no-nll` has no NLL term."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Contenders that are trained from the same samples for equally many steps, and asked the same questions."""

    contenders: tuple[str, ...] = ("base", "sft", "full", "edited", "rise", "random")
    """Which: base, sft, full, edited, rise, random, no-nll."""
    seeds: int = 5
    """Repetitions, from seeds 0, 1 ...: each with questions, samples, draws and a training of its own."""
    questions: int = 1000
    """Word problems that solutions are sampled for, in each repetition."""
    problems: int = 1000
    """Unseen word problems that every trained model is asked; the same for all."""
    split: Literal["valid", "test"] = "test"
    """Where those come from; choose settings on `valid`."""
    max_steps: int = 4
    """Longest true solution of a word problem [steps]."""
    recipe: Recipe = field(default_factory=lambda: PRESETS["nano"])
    """What all contenders share."""

    def __post_init__(self) -> None:
        for name in self.contenders:
            require(name in CONTENDERS, self, "contenders", f"of {', '.join(CONTENDERS)}; {name!r} is not among them")
        require(bool(self.contenders), self, "contenders", f"one or more of {', '.join(CONTENDERS)}")
        require(len(set(self.contenders)) == len(self.contenders), self, "contenders", "without repetition")
        for name in ("seeds", "questions", "problems", "max_steps"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
