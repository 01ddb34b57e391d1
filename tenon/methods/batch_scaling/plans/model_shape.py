"""How many parameters and FLOPs a decoder has, in closed form from its sizes; no weights, no torch.

N by kind        non_embedding   blocks and norms
                 with_head       that and vocab x hidden, once, tied or not: what costs FLOPs
                 total           every parameter that is stored
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tenon.core.errors import ConfigError, require
from tenon.methods.batch_scaling.laws.law import NKind

__all__ = ["CONVENTIONS", "Convention", "LadderRung", "ModelShape", "gpt3_ladder", "suggest_shape"]

Convention: TypeAlias = Literal["6n", "6n_head", "attn", "deepseek", "steplaw"]
CONVENTIONS: tuple[Convention, ...] = ("6n", "6n_head", "attn", "deepseek", "steplaw")


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The sizes of a decoder-only transformer.

    >>> ModelShape(hidden=768, layers=12, heads=12, ffn=3072, vocab=50257, gated=False, positions=1024, tied=True,
    ...            qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True).total  # GPT-2
    124439808
    """

    hidden: int
    """Hidden size d."""
    layers: int
    """Blocks."""
    heads: int
    """Query heads."""
    ffn: int
    """Size of the MLP; of dense layers, in a mixture of experts."""
    vocab: int
    """Rows of the embedding."""
    kv_heads: int | None = None
    """Key/value heads; None: as many as query heads."""
    head_dim: int | None = None
    """Width of a head; None: hidden / heads."""
    gated: bool = True
    """Whether the MLP has a gate, and so three matrices."""
    tied: bool = False
    """Whether the head shares the embedding's weights."""
    positions: int = 0
    """Learned position embeddings."""
    norms_per_layer: int = 2
    """Norms of width `hidden` in a block; one more follows the last block."""
    norm_bias: bool = False
    """LayerNorm's bias."""
    qk_norm: bool = False
    """Norms over query and key heads."""
    qkv_bias: bool = False
    """Biases of the query, key and value projections."""
    out_bias: bool = False
    """Bias of the attention's output projection."""
    mlp_bias: bool = False
    """Biases of the MLP."""
    head_bias: bool = False
    """Bias of the head."""
    experts: int = 0
    """Experts of a mixture layer; 0: dense."""
    active_experts: int = 0
    """Experts that a token is sent to."""
    expert_ffn: int = 0
    """Size of an expert."""
    shared_ffn: int = 0
    """Size of the expert that every token is sent to, with its gate; 0: none."""
    moe_layers: int = 0
    """Blocks whose MLP is a mixture."""
    other: int = 0
    """Further parameters of the blocks, found by counting a model that these sizes do not describe."""
    context: int | None = None
    """Longest row that its config speaks of [tokens]; None: it does not say."""
    name: str = ""
    """What to call it."""

    def __post_init__(self) -> None:
        for field in ("hidden", "layers", "heads", "vocab"):
            require(getattr(self, field) >= 1, self, field, "1 or more")
        require(self.head_dim is not None or self.hidden % self.heads == 0, self, "hidden", "a multiple of the heads")
        require(0 <= self.moe_layers <= self.layers, self, "moe_layers", "0 to the number of layers")
        require(0 <= self.active_experts <= self.experts, self, "active_experts", "0 to the number of experts")

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * (self.head_dim or self.hidden // self.heads)

    @property
    def kv_width(self) -> int:
        """Width of all key heads together."""
        return (self.kv_heads or self.heads) * (self.head_dim or self.hidden // self.heads)

    @property
    def embedding(self) -> int:
        """Parameters of the embeddings, those of positions included."""
        return (self.vocab + self.positions) * self.hidden

    @property
    def head(self) -> int:
        """Parameters of the head that are not the embedding's."""
        return (0 if self.tied else self.vocab * self.hidden) + (self.vocab if self.head_bias else 0)

    @property
    def non_embedding(self) -> int:
        """Parameters of the blocks and the last norm."""
        return self._blocks(self.experts)

    @property
    def with_head(self) -> int:
        """`non_embedding` and vocab x hidden, counted once, tied or not."""
        return self.non_embedding + self.vocab * self.hidden

    @property
    def total(self) -> int:
        """All parameters."""
        return self.embedding + self.non_embedding + self.head

    @property
    def active_non_embedding(self) -> int:
        """Parameters of the blocks that a token meets; fewer than `non_embedding` in a mixture of experts."""
        return self._blocks(self.active_experts)

    @property
    def active(self) -> int:
        """`total`, of the experts only those that a token is sent to."""
        return self.total - self.non_embedding + self.active_non_embedding

    def count(self, kind: NKind) -> int:
        """Give N as a law counts it; of experts those that a token is sent to, for they are what costs FLOPs."""
        blocks = self.active_non_embedding
        return {"non_embedding": blocks, "with_head": blocks + self.vocab * self.hidden, "total": self.active}[kind]

    def flops_per_token(self, convention: Convention, seq_len: int) -> float:
        """Give the training FLOPs of a token, forward and backward.

        Args:
            convention: `6n`: 6 x non-embedding. `6n_head`: the head, too. `attn`: also the products of queries and
                keys, 6 x seq x d x layers on the causal average. `deepseek`: M = 72 layers d^2 + 12 layers d seq (Bi et
                al. 2024), whatever the MLP. `steplaw`: 6 (4 d + 3 ffn + 2 seq) layers d (StepLaw's script).
            seq_len: Length of the rows [tokens].

        Raises:
            ConfigError: Unknown convention; or a mixture of experts with one that knows dense models only.
        """
        if convention not in CONVENTIONS:
            raise ConfigError(f"flops (--count-flops) is {convention!r}; it must be one of {', '.join(CONVENTIONS)}.")
        if self.experts and convention in ("deepseek", "steplaw"):
            raise ConfigError(
                f"flops={convention!r} (--count-flops {convention}) knows dense models only; take 6n, 6n_head or attn."
            )
        d, layers = self.hidden, self.layers
        if convention == "deepseek":
            return float(72 * layers * d**2 + 12 * layers * d * seq_len)
        if convention == "steplaw":
            return float(6 * (4 * d + 3 * self.ffn + 2 * seq_len) * layers * d)
        n = self.active_non_embedding + (0 if convention == "6n" else self.vocab * d)
        return float(6 * n + (6 * seq_len * self.query_width * layers if convention == "attn" else 0))

    def _blocks(self, experts: int) -> int:
        d, q, kv, matrices = self.hidden, self.query_width, self.kv_width, 3 if self.gated else 2
        attention = d * (q + 2 * kv) + q * d
        attention += (q + 2 * kv if self.qkv_bias else 0) + (d if self.out_bias else 0)
        attention += 2 * (self.head_dim or d // self.heads) if self.qk_norm else 0
        dense = matrices * d * self.ffn + ((matrices - 1) * self.ffn + d if self.mlp_bias else 0)
        mixture = experts * matrices * d * self.expert_ffn + self.experts * d  # every router row is met by every token
        mixture += matrices * d * self.shared_ffn + d if self.shared_ffn else 0
        norm = d * (2 if self.norm_bias else 1)
        blocks = self.layers * (attention + self.norms_per_layer * norm)
        return blocks + (self.layers - self.moe_layers) * dense + self.moe_layers * mixture + norm + self.other


@dataclass(frozen=True)
class LadderRung:
    """A size of a family, with its usual settings."""

    name: str
    shape: ModelShape
    learning_rate: float
    batch_tokens: float


def gpt3_ladder() -> tuple[LadderRung, ...]:
    """Give five sizes of the GPT-3 family with its learning rates and batches (sequences of 2,048 tokens).

    The paper (arXiv 2412.01505) trains models of these parameter counts and checks its set-up against GPT-3, so this is
    the natural reading [inferred]. It is NOT the paper's table, which we could not read.
    """
    rungs = (  # parameters, layers, hidden, heads, learning rate, batch [tokens]
        ("125M", 12, 768, 12, 6e-4, 0.5e6),
        ("350M", 24, 1024, 16, 3e-4, 0.5e6),
        ("760M", 24, 1536, 16, 2.5e-4, 0.5e6),
        ("1.3B", 24, 2048, 16, 2e-4, 1e6),
        ("2.6B", 32, 2560, 32, 1.6e-4, 1e6),
    )
    biases = {"qkv_bias": True, "out_bias": True, "mlp_bias": True, "norm_bias": True}
    return tuple(
        LadderRung(
            name,
            ModelShape(
                hidden=hidden, layers=layers, heads=heads, ffn=4 * hidden, vocab=50257, positions=2048, gated=False,
                tied=True, name=f"GPT-3 {name} [inferred]", **biases,
            ),
            rate,
            batch,
        )
        for name, layers, hidden, heads, rate, batch in rungs
    )  # fmt: skip


def suggest_shape(params: float, vocab: int = 32000, kind: NKind = "total") -> ModelShape:
    """Suggest a Llama of about so many parameters: a habit, not a law, and ours.

    Heads of 64 below width 1,024 and of 128 from there, an MLP of 8/3 the width, and about 64 to 128 times as wide as
    deep, as most published models are; the nearest count wins, the proportions break near ties.

    Args:
        params: N.
        vocab: Rows of the embedding.
        kind: What N counts.

    Raises:
        ConfigError: No shape comes within 15 %.
    """
    best: tuple[float, ModelShape] | None = None
    for hidden in [*range(64, 1024, 64), *range(1024, 24577, 256)]:
        width = 64 if hidden < 1024 else 128
        step = 64 if hidden < 1024 else 256
        ffn = step * -(-8 * hidden // (3 * step))
        one = ModelShape(hidden=hidden, layers=1, heads=hidden // width, ffn=ffn, vocab=vocab)
        per_layer = 4 * hidden**2 + 3 * hidden * ffn + 2 * hidden
        ideal = (params - one.count(kind)) / per_layer + 1
        for layers in {max(1, int(ideal)), max(1, int(ideal) + 1)}:
            shape = ModelShape(hidden=hidden, layers=layers, heads=hidden // width, ffn=ffn, vocab=vocab)
            off, aspect = abs(shape.count(kind) / params - 1), hidden / layers
            unusual = max(aspect / 128, 64 / aspect, 1.0) - 1
            score = off + 0.2 * unusual
            if off <= 0.15 and (best is None or score < best[0]):
                best = (score, shape)
    if best is None:
        raise ConfigError(
            f"No shape has about {params:.3g} parameters with {vocab:,} tokens; name a smaller vocabulary."
        )
    return best[1]
