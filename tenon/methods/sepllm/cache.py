"""The cache: keys and values of the tokens that stay, in one contiguous store per layer, and how much memory that is.

Layers only carry out what the `schedule` of their rule has planned: nothing is concatenated per decoded token, and
keys are re-rotated once per compression. A forward that is interrupted leaves the cache as it was after the one before.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tenon.core.errors import ConfigError, DataError, UnsupportedModelError
from tenon.core.models.cache import KVCache, KVLayer, default_layers, storage_bytes
from tenon.methods.sepllm.config import LayerRule, SepConfig
from tenon.methods.sepllm.plan import Plan
from tenon.methods.sepllm.rotary import rerotate
from tenon.methods.sepllm.schedule import Schedule, schedule
from tenon.methods.sepllm.usage import Usage

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["UNTOUCHED", "SepCache", "SepLayer", "layer_kinds", "layer_rules"]

UNTOUCHED = ("conv", "linear_attention", "mamba")
"""Kinds of layers that keep no keys; SepLLM leaves them as they are."""


class SepLayer(KVLayer):
    """Keys and values of one layer."""

    def __init__(self, rule: LayerRule) -> None:
        super().__init__()
        self.rule = rule
        self.columns = 0
        """Columns fed so far, pads included."""
        self.width = 0
        """Slots in use."""
        self.plan: Plan | None = None
        self.inv_freq: Tensor | None = None
        self._next: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Store what the plan of this forward keeps, and give the keys and values that its queries see.

        Raises:
            DataError: The tensors fit another batch, model or dtype than the stored ones, or no forward was planned.
        """
        plan = self.plan
        if plan is None:
            raise DataError(
                "A SepCache works inside `with apply_sepllm(model, tokenizer, config)`; this model has it not."
            )
        self._check(key_states)
        if plan.place is not None:
            rows = torch.arange(key_states.shape[0], device=key_states.device)
            self._next = self._with_room(plan.slots.width, key_states, value_states)
            for store, states in zip(self._next, (key_states, value_states), strict=True):
                store[rows, :, plan.place] = states[:, :, 0]
            return self._seen(self._next, plan.slots.width)
        if plan.keep is None:
            return self._seen(self._appended(key_states, value_states), self.width + plan.columns)
        if self.width and plan.is_gapless:
            seen = self._seen(self._appended(key_states, value_states), self.width + plan.columns)
        else:
            seen = self._joined(key_states, value_states)
        keys, values = (_gather(states, plan.keep) for states in seen)
        if plan.shift is not None and self.inv_freq is not None:
            keys = rerotate(keys, plan.shift, self.inv_freq)
        self._next = self._allocated(plan.slots.width, keys, values)
        return (keys, values) if plan.moves_first else seen

    def commit(self) -> None:
        """Make what `update` stored the state."""
        assert self.plan is not None
        assert self._next is not None
        self.keys, self.values = self._next
        self.width, self.columns = self.plan.slots.width, self.columns + self.plan.columns
        self.is_initialized = True
        self.plan = self._next = None

    def bytes_inside(self) -> int:
        """Give the memory of the stores with those that this forward puts in their place [bytes]."""
        stores = [self.keys, self.values, *(self._next or ())]
        return sum(storage_bytes(one) for one in {id(one): one for one in stores}.values())

    def get_seq_length(self) -> int:
        """Give the columns fed so far, pads included: what transformers counts, whatever is still stored [tokens]."""
        return self.columns

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Give the number of keys in the next forward, and 0 for their offset; asked only when attention is the
        model's own."""
        return self.width + query_length, 0

    def reset(self) -> None:
        """Forget everything."""
        self.keys = self.values = self.plan = self._next = None
        self.columns = self.width = 0
        self.is_initialized = False

    def fill(self, keys: Tensor, values: Tensor, *, columns: int, room: int) -> None:
        """Begin with these keys and values of `columns` columns, all of them in use, in stores of `room` slots."""
        self.width, self.columns, self.is_initialized = keys.shape[2], columns, True
        self.keys, self.values = (_in_store(states, room) for states in (keys, values))

    def select(self, rows: Int[Tensor, " rows"]) -> None:
        """Let row `i` go on from what row `rows[i]` was."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows.to(self.keys.device)], self.values[rows.to(self.values.device)]

    def _check(self, states: Tensor) -> None:
        if self.keys is None:
            return
        stored = (*self.keys.shape[:2], self.keys.shape[3], self.keys.dtype)
        came = (*states.shape[:2], states.shape[3], states.dtype)
        if stored != came:
            names = "batch {}, {} heads of {}, {}"
            raise DataError(
                f"The cache holds {names.format(*stored)}, but the forward brings {names.format(*came)}; a cache "
                "belongs to one model and one batch. Call cache.reset(), or make a new one."
            )

    def _appended(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        end = self.width + keys.shape[2]
        self._next = self._with_room(end, keys, values)
        for store, states in zip(self._next, (keys, values), strict=True):
            store[:, :, self.width : end] = states
        return self._next

    def _joined(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.keys is None or self.values is None or self.width == 0:
            return keys, values
        stored = self._seen((self.keys, self.values), self.width)
        return torch.cat([stored[0], keys], 2), torch.cat([stored[1], values], 2)

    def _with_room(self, slots: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Give stores with at least `slots` slots that hold what is stored now."""
        if self.keys is None or self.values is None:
            return self._allocated(slots, keys[:, :, :0], values[:, :, :0])
        if self.keys.shape[2] >= slots:
            return self.keys, self.values
        stored = self._seen((self.keys, self.values), self.width)
        return self._allocated(slots, *stored)

    def _allocated(self, slots: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Give new stores of `slots` slots and some room, beginning with these keys and values."""
        room = max(slots + 32, slots * 5 // 4)
        if self.rule.capacity is not None:  # grows with a short text, and never shrinks: memory is constant in the end
            room = max(room, 0 if self.keys is None else self.keys.shape[2])
            room = max(slots, min(room, self.rule.capacity + 1))
        return _in_store(keys, room), _in_store(values, room)

    @staticmethod
    def _seen(stores: tuple[Tensor, Tensor], slots: int) -> tuple[Tensor, Tensor]:
        return stores[0][:, :, :slots], stores[1][:, :, :slots]


def _in_store(states: Tensor, room: int) -> Tensor:
    """Put states at the beginning of a new store.

    Empty slots are zero, not whatever was in memory: a masked NaN would still spoil the weighted sum.
    """
    batch, heads, count, width = states.shape
    store = states.new_zeros(batch, heads, room, width)
    store[:, :, :count] = states
    return store


class SepCache(KVCache):
    """A bounded (or separator-bounded) cache for one batch; reusable over turns, like any transformers cache.

    Layers of a hybrid model that are no attention (convolutions, state spaces) keep what transformers keeps for them;
    these states change in place, so an interrupted forward of a hybrid model leaves a cache that is of no use.

    Args:
        config: What is kept.
        model_config: The config of the model it is for: number of layers, their kinds, sliding windows.

    Raises:
        ConfigError: `config` names layers that the model has not.
        UnsupportedModelError: No layer of the model attends to everything, so there is nothing to drop.
    """

    def __init__(self, config: SepConfig, model_config: PreTrainedConfig) -> None:
        self.config = config
        self.schedules: dict[LayerRule, Schedule] = {}
        self.usage = Usage()
        self._owner: weakref.ref[torch.nn.Module] | None = None
        self.live: Sequence[bool] | None = None
        """Rows whose steps count; None: all. A row of a batch that has answered is still fed, until the last one
        has."""
        rules = layer_rules(config, model_config)
        theirs = default_layers(model_config) if None in rules else [None] * len(rules)
        super().__init__([other if rule is None else SepLayer(rule) for rule, other in zip(rules, theirs, strict=True)])

    @property
    def attention(self) -> list[SepLayer]:
        """The layers of attention: all of them, but in a hybrid model."""
        return [layer for layer in self.layers if isinstance(layer, SepLayer)]

    @property
    def rules(self) -> list[LayerRule]:
        """The rule of each layer of attention."""
        return [layer.rule for layer in self.attention]

    def by_layer(self, plans: dict[LayerRule, Plan]) -> list[Plan | None]:
        """Give the plan of each layer; None where a layer is no attention."""
        return [plans[layer.rule] if isinstance(layer, SepLayer) else None for layer in self.layers]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Give the columns fed so far, pads included [tokens]."""
        return self.attention[0].get_seq_length()

    @property
    def batch(self) -> int | None:
        """Rows, once something is stored."""
        first = next(iter(self.schedules.values()), None)
        return None if first is None else len(first.slots.length)

    @property
    def tokens(self) -> Int[Tensor, " batch"] | int:
        """Real tokens fed so far, per row."""
        first = next(iter(self.schedules.values()), None)
        return 0 if first is None else first.tokens

    def room(self, columns: int, is_real: Bool[Tensor, "batch columns"] | None) -> int:
        """Give how many of the next `columns` one forward can take: up to the first compression of any layer and
        row."""
        if not self.schedules:
            started = [schedule(each, 1, torch.device("cpu")) for each in set(self.rules)]
            return min(
                each.room(columns, None if is_real is None else is_real.any(0, keepdim=True)) for each in started
            )
        return min(each.room(columns, is_real) for each in self.schedules.values())

    def begin(
        self,
        is_sep: Bool[Tensor, "batch columns"],
        is_real: Bool[Tensor, "batch columns"] | None,
        inv_freq: Float[Tensor, " half"] | None = None,
    ) -> dict[LayerRule, Plan]:
        """Plan the forward of these tokens; its layers then carry the plan out, and `commit` makes it count.

        Args:
            is_sep: Which of the new tokens are separators.
            is_real: False on pads; None where there are none.
            inv_freq: The model's rotary frequencies, where positions are those in the cache.

        Raises:
            DataError: The cache holds another number of rows.
        """
        batch = is_sep.shape[0]
        if self.batch not in (None, batch):
            raise DataError(
                f"The cache holds {self.batch} rows, but {batch} came; a cache belongs to one batch. Call "
                "cache.reset(), or make a new one."
            )
        if not self.schedules:
            self.schedules = {rule: schedule(rule, batch, is_sep.device) for rule in self.rules}
        none = torch.zeros_like(is_sep)
        plans = {rule: each.plan(is_sep if rule.separators else none, is_real) for rule, each in self.schedules.items()}
        for layer in self.attention:
            layer.plan, layer.inv_freq = plans[layer.rule], inv_freq
        return plans

    def commit(self, plans: dict[LayerRule, Plan], is_real: Bool[Tensor, "batch columns"] | None) -> None:
        """Make a forward that every layer has carried out the state."""
        inside = sum(layer.bytes_inside() for layer in self.attention)
        for layer in self.attention:
            layer.commit()
        counts = None if is_real is None else is_real.sum(1).tolist()
        if self.live is not None:
            columns = plans[self.rules[0]].columns
            counts = [count * live for count, live in zip(counts or [columns] * len(self.live), self.live, strict=True)]
        self.usage.add([(self.schedules[rule], plans[rule]) for rule in self.rules], counts, self.bytes(), inside)
        for rule, each in self.schedules.items():
            each.commit(plans[rule], is_real)

    def stats(self) -> dict[str, float]:
        """Say how much was seen, stored and attended to, and the memory it took; see `Usage.report` for the names."""
        return self.usage.report(self.config)

    def belong_to(self, model: torch.nn.Module) -> None:
        """Bind the cache to the model that feeds it first, until it is reset.

        Raises:
            DataError: It holds another model's keys and values.
        """
        owner = None if self._owner is None else self._owner()
        if self.schedules and owner is not None and owner is not model:
            raise DataError(
                f"The cache holds keys and values of another {type(owner).__name__}; a cache belongs to one model. "
                "Call cache.reset(), or make a new one."
            )
        self._owner = weakref.ref(model)

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self.schedules, self.usage, self.live = {}, Usage(), None

    def reorder_cache(self, beam_idx: Int[Tensor, " rows"]) -> None:
        """Let row `i` go on from what row `beam_idx[i]` was."""
        for layer in self.layers:
            if isinstance(layer, SepLayer):
                layer.select(beam_idx)
            else:
                layer.reorder_cache(beam_idx)
        self.usage.reorder(beam_idx.tolist())
        for each in self.schedules.values():
            each.reorder(beam_idx.to(each.tokens.device))

    def batch_select_indices(self, indices: Int[Tensor, " rows"]) -> None:
        """Keep some rows."""
        self.reorder_cache(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        if self.batch is not None:
            self.reorder_cache(torch.arange(self.batch).repeat_interleave(repeats))

    def crop(self, tokens_to_remove: int) -> None:
        """Refuse: dropped tokens cannot come back.

        Raises:
            DataError: Anything at all is to be removed.
        """
        if tokens_to_remove != 0:
            raise DataError(
                "A SepCache cannot be cut back: what it dropped is gone. Assisted and contrastive decoding need that; "
                "use greedy search, sampling or beam search."
            )


def layer_rules(config: SepConfig, model_config: PreTrainedConfig) -> list[LayerRule | None]:
    """Give the rule of each layer of a model: full layers see everything, sliding layers stay as they are.

    In a cache with in-cache positions smaller than the sliding window nothing is ever out of the window, so there a
    sliding layer is like any other. A layer of a hybrid model that is no attention has no rule.

    Raises:
        ConfigError: `config` names layers that the model has not, or sizes for another number of layers.
        UnsupportedModelError: No layer attends to everything, or a layer is of a kind that is not known.
    """
    text = model_config.get_text_config()
    num_layers, sliding = text.num_hidden_layers, getattr(text, "sliding_window", None)
    kinds = list(layer_kinds(model_config))
    if unknown := sorted(set(kinds) - {"full_attention", "sliding_attention", *UNTOUCHED}):
        raise UnsupportedModelError(
            f"{type(text).__name__} has layers of type {unknown[0]!r}, which SepLLM does not know."
        )
    rules = config.rules(num_layers)
    is_within = sliding is not None and all(rule.capacity is not None and rule.capacity < sliding for rule in rules)
    if config.positions == "cache" and is_within:
        kinds = ["full_attention" if kind == "sliding_attention" else kind for kind in kinds]
    if "full_attention" not in kinds:
        raise UnsupportedModelError(
            f"Every layer of {type(text).__name__} has a sliding window of {sliding} tokens, so it drops distant "
            "tokens already. Use positions='cache' with a smaller capacity, or set sliding_window=None for texts "
            "within the window."
        )
    if config.positions == "cache" and "sliding_attention" in kinds:
        raise ConfigError(
            f"SepConfig.capacity is {config.capacity}, but some layers have a sliding window of {sliding}; with "
            "positions='cache' the capacity must be smaller than the window."
        )
    slides = LayerRule(init=0, window=sliding, separators=False)
    return [
        None if kind in UNTOUCHED else slides if kind == "sliding_attention" else rule
        for kind, rule in zip(kinds, rules, strict=True)
    ]


def layer_kinds(model_config: PreTrainedConfig) -> list[str]:
    """Give the kind of each layer, in transformers' words."""
    text = model_config.get_text_config()
    sliding = getattr(text, "sliding_window", None)
    usual = "full_attention" if sliding is None else "sliding_attention"
    return list(getattr(text, "layer_types", None) or [usual] * text.num_hidden_layers)


def _gather(states: Float[Tensor, "batch heads keys dim"], index: Int[Tensor, "batch kept"]) -> Tensor:
    """Pick keys or values row by row."""
    if index.shape[0] == 1:
        return states.index_select(2, index[0])
    batch, heads, _, width = states.shape
    return states.gather(2, index[:, None, :, None].expand(batch, heads, index.shape[1], width))
