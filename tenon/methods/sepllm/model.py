"""SepLLM on a live model, and off again: where transformers is met.

The decoder's `forward` is wrapped on the instance; no modelling code is touched and no attribute is left behind. The
wrapper knows the token ids, so it marks separators, plans what the cache keeps, cuts long inputs at compressions, and
passes the plan down as a keyword argument that current models hand to their attention function.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tenon.core.errors import ConfigError, DataError, UnsupportedModelError
from tenon.core.models.attention import Switch, register
from tenon.core.models.cache import cache_argument, is_empty_default
from tenon.core.models.roles import roles_of
from tenon.methods.sepllm import saved
from tenon.methods.sepllm.cache import UNTOUCHED, SepCache, layer_kinds, layer_rules
from tenon.methods.sepllm.config import SepConfig, single
from tenon.methods.sepllm.kernels import ATTENTION, Masks, attend
from tenon.methods.sepllm.mask import ranks, spaced, within
from tenon.methods.sepllm.pieces import joined, sliced
from tenon.methods.sepllm.separators import check_density, resolve_separators

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Applied", "apply_sepllm"]

WATCHED = 4096
"""Tokens after which the share of separators must make sense."""

FIXED_ROPE = ("default", "linear", "llama3", "yarn", "proportional")
"""Kinds of RoPE whose frequencies do not depend on the length, so that keys can be moved."""


def apply_sepllm(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, config: SepConfig | None = None
) -> Applied:
    """Make a causal language model see and keep what `config` says, until `.remove()` or the end of a `with` block.

    `generate`, plain forwards and evaluation libraries then work as before; the cache is made automatically. A forward
    without a cache gives the logits of one with a fresh cache. Applying an equal config again changes nothing.

        with apply_sepllm(model, tokenizer, PRESETS["paper-stream-324"]):
            model.generate(**inputs)

    While it is applied, the options stand in the model's own config: a model that is trained under the mask and saved
    comes back with them, and `apply_sepllm(model, tokenizer)` applies what it was saved with.

    Args:
        model: A model of a known architecture; it is changed in place.
        tokenizer: Where separators are looked up; None is enough for published lists of ids and for `none`.
        config: What to see and keep; None takes what the model was saved with.

    Warns:
        UserWarning: Of the first 4,096 tokens that come, none is a separator, or more than half are; once.

    Raises:
        ConfigError: The config does not fit the model or the tokenizer, another config is applied already, or there is
            none.
        DataError: The model was saved under SepLLM with a tokenizer of other ids.
        UnsupportedModelError: The architecture is unknown, or its positions cannot be moved.
    """
    config = saved.recall(model.config) if config is None else config
    backbone = model.get_submodule(roles_of(model).backbone)
    now = getattr(backbone.forward, "_sepllm", None)
    if now is not None:
        if now.config == config:
            return now
        raise ConfigError(
            "Another SepConfig is applied to this model already; call .remove() on what apply_sepllm returned."
        )
    return Applied(model, tokenizer, config)


class Applied:
    """SepLLM as it is applied to one model; what `apply_sepllm` returns."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, config: SepConfig) -> None:
        roles = roles_of(model)
        self.model, self.config = model, config
        self.separators: Bool[Tensor, " vocab"] = resolve_separators(
            tokenizer,
            config.separators,
            vocab_size=model.config.get_text_config().vocab_size,
            extra_ids=config.separator_ids,
            match=config.match,
        ).to(model.device)
        self.inv_freq = _frequencies(model.get_submodule(roles.rotary)) if config.positions == "cache" else None
        kinds, by_layer = layer_kinds(model.config), layer_rules(config, model.config)
        self._kinds, self._states = set(kinds), set(kinds) & set(UNTOUCHED)
        self.rules = [rule for rule in by_layer if rule is not None]
        """What each layer of attention sees and keeps."""
        self.untouched = {
            layer: kind
            for layer, (kind, rule) in enumerate(zip(kinds, by_layer, strict=True))
            if rule is None or (kind == "sliding_attention" and not rule.separators)
        }
        """Layers that stay as they are, and their kinds: those that slide, and in a hybrid model those that are no
        attention."""
        saved.check(model.config, config, self.separators)
        self._has_warned = self._is_removed = False
        self._watched: list[tuple[int, Tensor]] | None = None
        if config.interval is None and bool(self.separators.any()):
            self._watched = []  # of each forward, tokens and separators among them
        self._backbone = model.get_submodule(roles.backbone)
        self._forward = self._backbone.forward
        self._was_own = "forward" in vars(self._backbone)  # somebody else wraps it on the instance, too
        self._cache_name = cache_argument(self._backbone)
        self._names = list(inspect.signature(self._forward).parameters)
        register(ATTENTION, attend)
        self._switch = Switch(model, ATTENTION)

        @functools.wraps(self._forward)
        def forward(*args: Any, **kwargs: Any) -> Any:
            return self._wrapped(**dict(zip(self._names, args, strict=False)), **kwargs)

        forward._sepllm = self  # type: ignore[attr-defined]
        self._backbone.forward = forward
        self._saved_before = saved.remember(model.config, config, self.separators)

    def new_cache(self) -> SepCache:
        """Make an empty cache for this model; pass it to forwards or `generate` to keep it over turns and read its
        stats."""
        return SepCache(self.config, self.model.config)

    def kept(
        self,
        is_sep: Bool[Tensor, "batch columns"],
        is_real: Bool[Tensor, "batch columns"] | None = None,
        tokens: Int[Tensor, " batch"] | int = 0,
        document: Int[Tensor, "batch columns"] | None = None,
    ) -> Bool[Tensor, "batch columns"]:
        """Mark what stays for good: separators, or every `interval`-th token in their place.

        Args:
            is_sep: Which of the new tokens are separators.
            is_real: False on pads; None where there are none.
            tokens: Real tokens of each row before them.
            document: Number of each token's document, where several are packed into one row.
        """
        if self.config.interval is None:
            return is_sep
        real = torch.ones_like(is_sep) if is_real is None else is_real
        before = tokens[:, None] if isinstance(tokens, Tensor) else tokens
        position = torch.where(real, ranks(real) + before, -1)
        position = position if document is None else within(document, position)
        return spaced(position, init=single(self.config.init, "init"), interval=self.config.interval)

    def remove(self) -> None:
        """Give the model back as it was, bit for bit; doing it again changes nothing.

        Warns:
            UserWarning: Somebody has wrapped the model's forward meanwhile. Their wrapper stays, ours does nothing.
        """
        if self._is_removed:
            return
        self._is_removed = True
        if getattr(self._backbone.forward, "_sepllm", None) is not self:
            warnings.warn(
                f"The forward of {type(self._backbone).__name__} was wrapped after apply_sepllm, and is left as it is; "
                "SepLLM is off. Remove what was put on last first.",
                stacklevel=2,
            )
        elif self._was_own:
            self._backbone.forward = self._forward
        else:
            del self._backbone.forward
        self._switch.off()
        saved.forget(self.model.config, self._saved_before)

    def __enter__(self) -> Applied:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _wrapped(self, **kwargs: Any) -> Any:
        """Run one forward of the decoder, in as many pieces as the cache needs."""
        if self._is_removed:  # somebody's wrapper, put on later, still calls
            return self._forward(**kwargs)
        if not self._switch.is_on:
            raise ConfigError(
                f"The attention of {type(self.model).__name__} was set to {self.model.config._attn_implementation!r} "
                "after apply_sepllm, which would no longer be called; choose it before, or .remove() SepLLM first."
            )
        separator_mask = kwargs.pop("separator_mask", None)
        if self.config.is_off and not isinstance(kwargs.get(self._cache_name), SepCache):
            with self._switch.handed_over():
                return self._forward(**kwargs)
        given = kwargs.get(self._cache_name)
        past = given.get_seq_length() if isinstance(given, SepCache) else 0
        is_sep, is_real = self._bits(kwargs, separator_mask, past)
        use_cache = kwargs.get("use_cache")
        if use_cache is None:
            use_cache = self.model.config.get_text_config().use_cache and not self._backbone.training
        if isinstance(given, SepCache) and given.config != self.config:
            raise DataError("The cache was made for another SepConfig than the one applied; make it with .new_cache().")
        if given is not None and not isinstance(given, SepCache) and not is_empty_default(given):
            raise DataError(
                f"The {type(given).__name__} is not empty, but was not filled under SepLLM; begin with an empty cache, "
                "or one from .new_cache()."
            )
        if isinstance(given, SepCache):
            given.belong_to(self.model)
        if isinstance(given, SepCache) and use_cache is False:  # `generate` then feeds the whole text at every step
            raise DataError(
                "A cache was passed with use_cache=False, as some configs have it; pass use_cache=True, or no cache."
            )
        cache = given if isinstance(given, SepCache) else self.new_cache()
        self._check_length(cache.get_seq_length() + is_sep.shape[1])
        is_kept = use_cache or given is not None
        if self.config.prefill == "stream" and torch.is_grad_enabled() and not is_kept:
            raise ConfigError(
                "SepConfig.prefill is 'stream', which needs a cache, and a cache has no gradient; train with "
                "prefill='sparse', or compute under torch.no_grad()."
            )
        needs_cache = self.config.prefill == "stream" and not torch.is_grad_enabled()
        kwargs[self._cache_name] = cache if is_kept or needs_cache else None
        kwargs["use_cache"] = is_kept or needs_cache
        document = self._documents(kwargs, is_sep) if self.config.respect_documents else None
        if document is not None and kwargs["use_cache"]:
            raise DataError(
                "The row holds several documents and respect_documents is set, but a cache holds one text; pass "
                "use_cache=False, as training does."
            )
        is_sep = self.kept(is_sep, is_real, cache.tokens, document)
        output = self._pieces(kwargs, cache, is_sep, is_real, document)
        if not is_kept and self._cache_name in output:
            output[self._cache_name] = None
        return output

    def _check_length(self, total: int) -> None:
        """Warn once where positions leave what the model was trained on, though the cache does not."""
        known = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if known is None or total <= known or self._has_warned:
            return
        capacity = max((rule.capacity or 0 for rule in self.rules), default=0)
        if self.config.positions == "cache" and capacity > known:
            told = f"the cache may hold {capacity} of them and the model knows {known} positions; lower the capacity."
        elif self.config.positions == "absolute" and any(
            rule.capacity is not None or (rule.window is not None and total > rule.window) for rule in self.rules
        ):
            told = (
                f"the model knows {known} positions and positions='absolute' counts on; expect nonsense. Set a "
                "capacity and positions='cache' for endless texts."
            )
        else:
            return
        self._has_warned = True
        warnings.warn(f"The text has reached {total} tokens, but {told}", stacklevel=4)

    def _bits(self, kwargs: dict[str, Any], separator_mask: Tensor | None, past: int) -> tuple[Tensor, Tensor | None]:
        """Say which of the new tokens are separators, and which are real (None: all)."""
        ids, padding = kwargs.get("input_ids"), kwargs.get("attention_mask")
        states = ids if ids is not None else kwargs.get("inputs_embeds")
        if states is None or states.numel() == 0:
            raise DataError("The forward brings no token; give input_ids of one token or more.")
        if separator_mask is not None:
            if separator_mask.shape != states.shape[:2]:
                raise DataError(
                    f"separator_mask is {tuple(separator_mask.shape)}, but the tokens are {tuple(states.shape[:2])}; "
                    "give one mark per token."
                )
            is_sep = separator_mask.bool()
        elif ids is not None:
            is_sep = self.separators[ids.to(self.separators.device)].to(ids.device)
            self._watch(is_sep)
        else:
            raise DataError(
                "SepLLM needs token ids to find separators; with inputs_embeds, pass separator_mask=[batch, seq] to "
                "the forward (`generate` hands no such argument on)."
            )
        if padding is None:
            return is_sep, None
        if padding.dim() != 2:
            raise DataError(
                f"The attention mask has {padding.dim()} dimensions; SepLLM makes its own, and needs the one that "
                "marks padding, [batch, seq]."
            )
        columns = is_sep.shape[1]
        if len(padding) != len(is_sep) or padding.shape[1] not in (columns, past + columns):
            raise DataError(
                f"The attention mask is {tuple(padding.shape)}, but the tokens are {tuple(is_sep.shape)}, after "
                f"{past}; give one mark per new token, or per token of the whole text."
            )
        is_real = padding[:, -columns:].to(is_sep.device).bool()
        return (is_sep, None) if bool(is_real.all()) else (is_sep & is_real, is_real)

    def _watch(self, is_sep: Tensor) -> None:
        """Warn once where the first tokens hold no separator, or hardly anything else; pads count as tokens."""
        if self._watched is None:
            return
        self._watched.append((is_sep.numel(), is_sep.sum()))
        if (count := sum(tokens for tokens, _ in self._watched)) >= WATCHED:
            share = sum(int(found) for _, found in self._watched) / count
            self._watched = None
            check_density(share, count, stacklevel=5)

    def _documents(self, kwargs: dict[str, Any], is_sep: Tensor) -> Tensor | None:
        """Number the documents of packed rows by their positions; None where no row has more than one."""
        positions = kwargs.get("position_ids")
        if positions is None:
            return None
        starts = positions[:, 1:] != positions[:, :-1] + 1
        document = torch.nn.functional.pad(starts.long().cumsum(1), (1, 0)).to(is_sep.device).expand(is_sep.shape)
        return document if bool(starts.any()) else None

    def _pieces(
        self,
        kwargs: dict[str, Any],
        cache: SepCache,
        is_sep: Tensor,
        is_real: Tensor | None,
        document: Tensor | None = None,
    ) -> Any:
        if document is not None:  # without a cache a forward is one piece
            return self._piece(kwargs, cache, is_sep, is_real, document)
        outputs, start, columns, past = [], 0, is_sep.shape[1], cache.get_seq_length()
        while start < columns:
            rest = None if is_real is None else is_real[:, start:]
            stop = start + (cache.room(columns - start, rest) if kwargs[self._cache_name] is not None else columns)
            cut = slice(start, stop)
            part = kwargs if (start, stop) == (0, columns) else sliced(kwargs, cut, past)
            real = None if is_real is None else is_real[:, cut]
            if real is not None and bool(real.all()):
                real = None
            outputs.append(self._piece(part, cache, is_sep[:, cut], real))
            start = stop
        return outputs[0] if len(outputs) == 1 else joined(outputs, self._cache_name)

    def _piece(
        self,
        kwargs: dict[str, Any],
        cache: SepCache,
        is_sep: Tensor,
        is_real: Tensor | None,
        document: Tensor | None = None,
    ) -> Any:
        plans = cache.begin(is_sep, is_real, self.inv_freq)
        if is_real is not None and is_real.shape[1] == 1 and self._states:
            # transformers takes a single token for one that was decoded, never a pad, and would let it into the states.
            masks = dict.fromkeys(self._kinds) | dict.fromkeys(self._states, is_real)
            kwargs = kwargs | {"attention_mask": masks}
        if document is not None:
            plans = {rule: plan.packed(rule, is_sep, is_real, document) for rule, plan in plans.items()}
        if self.config.positions == "cache":
            kwargs = kwargs | {"position_ids": plans[cache.rules[0]].query_slot}
        if all(plan.is_plain for plan in plans.values()):
            with self._switch.handed_over():
                output = self._forward(**kwargs)
        else:
            output = self._forward(**kwargs, sepllm=Masks(cache.by_layer(plans), self.config.kernel))
        if kwargs[self._cache_name] is not None:
            cache.commit(plans, is_real)
        return output


def _frequencies(rotary: torch.nn.Module) -> Tensor:
    """Give the model's rotary frequencies, if keys can be moved with them."""
    kind = getattr(rotary, "rope_type", None)
    inv_freq = getattr(rotary, "inv_freq", None)
    if kind not in FIXED_ROPE or not isinstance(inv_freq, Tensor):
        raise UnsupportedModelError(
            f"{type(rotary).__name__} has positions of kind {kind!r}, whose keys cannot be moved; positions='cache' "
            f"needs one of {', '.join(FIXED_ROPE)}. Use positions='absolute' within the trained length."
        )
    return inv_freq
