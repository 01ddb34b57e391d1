"""SepLLM's choice of tokens as a press of kvpress, for those who work with its pipelines.

kvpress pins transformers below 5.3, where the rest of Tenon does not run; so this file is used in kvpress' environment
and imports nothing that needs a newer transformers (there: `pip install kvpress jaxtyping`, then `pip install --no-deps
tenon`).

    from tenon.methods.sepllm.press import SepPress

    press = SepPress.of(tokenizer, SepConfig(init=4, window=256))
    with press(model):
        model(input_ids, past_key_values=cache)
    press.compression_ratio  # what it came to

What is not SepLLM about it, since a press comes after attention and is made for prompts:

- The prompt is read with full attention and compressed afterwards, as with `SepConfig(prefill="dense")`; nothing is
  saved in reading it.
- What follows the prompt is kept whole: the window does not move on, and the cache grows by every token.
- All rows of a batch keep equally many tokens; a row with fewer separators keeps more of its nearest tokens. Pads are
  refused.
- `DecodingPress` cannot use it: it knows the ids of the prompt only.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tenon.core.errors import ConfigError, DataError, MissingExtra
from tenon.methods.sepllm.config import SepConfig, single
from tenon.methods.sepllm.separators import resolve_separators

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["sep_press_class", "sep_scores"]

HONOURED = ("separators", "separator_ids", "match", "init", "window")
"""Options of a SepConfig that a press can carry out."""


def sep_scores(is_sep: Bool[Tensor, "batch seq"], *, init: int, window: int) -> Float[Tensor, "batch seq"]:
    """Score the tokens of a prompt: infinite for what SepLLM keeps after it, else higher the nearer to its end.

    >>> sep_scores(torch.tensor([[False, False, True, False, False]]), init=1, window=1)
    tensor([[inf, 1., inf, 3., inf]])
    """
    position = torch.arange(is_sep.shape[1], device=is_sep.device)
    is_kept = is_sep | (position < init) | (position >= len(position) - window)
    return torch.where(is_kept, torch.inf, position.float())


@functools.cache
def sep_press_class() -> Any:
    """Make `SepPress`, a `kvpress.ScorerPress`; `from tenon.methods.sepllm.press import SepPress` calls this.

    Raises:
        MissingExtra: kvpress is not installed here.
    """
    try:
        scorer: Any = importlib.import_module("kvpress").ScorerPress
    except ImportError as error:
        raise MissingExtra(
            f"SepPress is for kvpress, which cannot be imported here ({error}). kvpress needs transformers below 5.3 "
            "and the rest of Tenon a newer one, so use an environment of its own: pip install kvpress jaxtyping, then "
            "pip install --no-deps tenon.",
            name="kvpress",
        ) from error

    @dataclass(eq=False)  # tensors have no truth value
    class SepPress(scorer):
        """Compress a prompt to its first tokens, its separators and its nearest tokens.

        The number of tokens that stay depends on the prompt, so `compression_ratio` is an outcome: it is set anew for
        every prompt. Within another press (`KeyRerotationPress(press)`), open `press.watching(model)` around it.
        """

        is_sep: Any = None
        """Whether a token id is a separator [vocab]; see `resolve_separators`."""
        init: int = 3
        """First tokens that stay [tokens]."""
        window: int = 256
        """Nearest tokens that stay [tokens]."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.is_sep is None:
                raise ConfigError("SepPress needs is_sep, which says of every token id whether it is a separator.")
            if self.init < 0 or self.window < 1:
                raise ConfigError(f"SepPress has init={self.init}, window={self.window}; 0 or more and 1 or more.")
            self._scores: Tensor | None = None

        @classmethod
        def of(cls, tokenizer: PreTrainedTokenizerBase, config: SepConfig) -> Any:
            """Make a press from SepLLM's own options.

            Raises:
                ConfigError: An option is set that a press cannot carry out, or as `resolve_separators`.
            """
            ours = SepConfig(**{name: getattr(config, name) for name in HONOURED})
            for one in fields(config):
                if getattr(config, one.name) != getattr(ours, one.name) and one.name not in ("prefill", "kernel"):
                    raise ConfigError(
                        f"SepConfig.{one.name} is {getattr(config, one.name)!r}, which a press cannot carry out; it "
                        f"takes {', '.join(HONOURED)}."
                    )
            is_sep = resolve_separators(
                tokenizer,
                config.separators,
                vocab_size=len(tokenizer),
                extra_ids=config.separator_ids,
                match=config.match,
            )
            return cls(is_sep=is_sep, init=single(config.init, "init"), window=single(config.window, "window"))

        def score(
            self, module: nn.Module, hidden_states: Tensor, keys: Tensor, values: Tensor, attentions: Any, kwargs: Any
        ) -> Float[Tensor, "batch heads seq"]:
            """Score every key of a layer; what kvpress asks.

            Raises:
                DataError: The ids of these keys are not known.
            """
            batch, heads, count, _ = keys.shape
            if self._scores is None or self._scores.shape != (batch, count):
                seen = "none" if self._scores is None else f"those of {list(self._scores.shape)}"
                raise DataError(
                    f"SepPress has to score {count} keys in {batch} rows, but of the token ids it has seen {seen}. "
                    "Within another press, open `press.watching(model)` around it; in DecodingPress it cannot be used."
                )
            return self._scores.to(keys.device)[:, None].expand(batch, heads, count)

        @contextmanager
        def watching(self, model: nn.Module) -> Iterator[None]:
            """See the token ids of every prompt that the model reads."""
            decoder: Any = getattr(model, "model", model)
            decoder = getattr(decoder, "language_model", decoder)
            hook = decoder.register_forward_pre_hook(self._read, with_kwargs=True)
            try:
                yield
            finally:
                hook.remove()
                self._scores = None

        @contextmanager
        def __call__(self, model: nn.Module) -> Iterator[None]:
            """Compress what the model reads as a prompt, until the end of the `with` block."""
            with self.watching(model), super().__call__(model):
                yield

        def _read(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            ids: Int[Tensor, "batch seq"] | None = args[0] if args else kwargs.get("input_ids")
            cache, padding = kwargs.get("past_key_values"), kwargs.get("attention_mask")
            if cache is not None and cache.get_seq_length() > 0:
                return  # no prompt: kvpress leaves it alone
            self._scores, self.compression_ratio = None, 0.0
            if ids is None:
                raise DataError("SepPress needs token ids to find separators; call the model with input_ids.")
            if padding is not None and padding.dim() == 2 and not bool(padding.all()):
                raise DataError("SepPress cannot leave out pads; give rows of equal length.")
            self._scores = sep_scores(self.is_sep.to(ids.device)[ids], init=self.init, window=self.window)
            total, kept = ids.shape[1], int(self._scores.isinf().sum(1).max())
            if kept < total:  # kvpress keeps int(total * (1 - ratio)); half a token more, against rounding
                self.compression_ratio = 1 - (kept + 0.5) / total

    return SepPress


def __getattr__(name: str) -> Any:
    if name != "SepPress":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return sep_press_class()
