"""SepLLM on live models: identities with the untouched model, batches, caches, and the way back (section 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from tenon.core.errors import ConfigError, DataError, UnsupportedModelError
from tenon.core.models.tiny import ARCHITECTURES, HYBRIDS, tiny_model
from tenon.methods.sepllm.cache import SepCache
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.mask import sep_mask
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.reference import simulate
from tenon.methods.sepllm.snapshot import snapshot

EQ1 = SepConfig(init=3, window=6)
STREAM = SepConfig(init=2, sep_capacity=4, local=6, capacity=17, prefill="stream", positions="cache")
LLM = SepConfig(separators="none", init=2, sep_capacity=0, local=12, capacity=14, prefill="stream", positions="cache")


@torch.no_grad()
def logits(model: Any, ids: torch.Tensor, **inputs: Any) -> torch.Tensor:
    return model(ids, **inputs).logits


def logits_under(model: Any, ids: torch.Tensor, masks: Any) -> torch.Tensor:
    """Logits of the untouched model when each layer is given its own mask by hand."""
    hooks = []
    for layer, mask in zip(model.model.layers, masks, strict=True):
        given = {"attention_mask": torch.zeros(mask.shape).masked_fill(~mask, -1e9)[:, None]}
        hooks.append(
            layer.self_attn.register_forward_pre_hook(
                lambda _, args, kwargs, given=given: (args, kwargs | given), with_kwargs=True
            )
        )
    try:
        return logits(model, ids)
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_7_01_a_window_as_long_as_the_text_is_the_model_itself(arch: str, tiny: Any, tokenizer: Any, text: Any) -> None:
    model, ids = tiny(arch), text(30, rows=2)
    padding = torch.ones_like(ids)
    padding[0, :9] = 0
    expected = logits(model, ids), logits(model, ids, attention_mask=padding)
    with apply_sepllm(model, tokenizer, SepConfig(window=30)):
        assert torch.equal(logits(model, ids), expected[0])
        assert torch.equal(logits(model, ids, attention_mask=padding), expected[1])
    with apply_sepllm(model, tokenizer, SepConfig(window=None)):
        assert torch.equal(logits(model, ids, attention_mask=padding), expected[1])


def test_7_05_ids_of_another_integer_type(tiny: Any, tokenizer: Any, text: Any) -> None:
    model, ids = tiny("llama"), text(30)
    with apply_sepllm(model, tokenizer, EQ1):
        assert torch.equal(logits(model, ids.int()), logits(model, ids))


@pytest.mark.parametrize("kernel", ["dense", "compact"])
@pytest.mark.parametrize("kept", [{}, {"sep_capacity": 4, "local": 6, "capacity": 40}], ids=["eq. 1", "bounded"])
@pytest.mark.parametrize("tokens", [5, 6, 7])
def test_7_01_7_05_texts_about_as_long_as_the_window(
    tokens: int, kept: Any, kernel: Any, tiny: Any, text: Any, feed: Any, off: Any
) -> None:
    """One token more than the window, and the last one does not see the first."""
    model, ids = tiny("llama"), text(tokens)
    by_hand = logits_under(model, ids, [torch.ones(1, tokens, tokens).tril().triu(-5).bool()] * 2)
    with apply_sepllm(model, None, SepConfig(separators="none", init=0, window=6, kernel=kernel, **kept)) as applied:
        assert off(logits(model, ids, use_cache=False), by_hand) < 1e-5
        assert off(feed(model, ids, applied.new_cache(), sizes=(tokens,)), by_hand) < 1e-5
        if not kept:  # a bounded cache shows later tokens all that it holds
            assert off(feed(model, ids, applied.new_cache(), sizes=(3, tokens - 3)), by_hand) < 1e-5


def test_7_01_also_while_it_decodes(tiny: Any, tokenizer: Any, text: Any, feed: Any) -> None:
    model, ids = tiny("llama"), text(30)
    expected = feed(model, ids, DynamicCache(config=model.config), sizes=(11, 1, 4, 1))
    for config in (SepConfig(window=30), SepConfig(window=None)):
        with apply_sepllm(model, tokenizer, config) as applied:
            cache = applied.new_cache() if config.window else DynamicCache(config=model.config)
            assert torch.equal(feed(model, ids, cache, sizes=(11, 1, 4, 1)), expected)


@pytest.mark.parametrize("kernel", ["dense", "compact"])
def test_7_02_all_tokens_separators_is_the_model_itself(kernel: Any, tiny: Any, text: Any, feed: Any, off: Any) -> None:
    model, ids = tiny("llama"), text(100)
    everything = SepConfig(separators="none", separator_ids=tuple(range(128)), window=3, kernel=kernel)
    expected = logits(model, ids)
    with apply_sepllm(model, None, everything) as applied:
        assert off(logits(model, ids), expected) < 1e-5
        for sizes in [(1,), (70, 1)]:
            assert off(feed(model, ids, applied.new_cache(), sizes), expected) < 1e-5


@pytest.mark.parametrize("kernel", ["dense", "compact"])
def test_7_03_no_separators_no_first_tokens_is_a_sliding_window(kernel: Any, text: Any, off: Any) -> None:
    sliding, full = tiny_model("mistral", sliding_window=7), tiny_model("mistral")
    ids = text(200)
    with apply_sepllm(full, None, SepConfig(separators="none", init=0, window=7, kernel=kernel)):
        assert off(logits(full, ids), logits(sliding, ids)) < 1e-5


@pytest.mark.parametrize("kernel", ["dense", "compact"])
def test_7_04_no_separators_is_sinks_and_a_window(kernel: Any, tiny: Any, text: Any, off: Any) -> None:
    model, ids = tiny("qwen2"), text(200)
    i, j = torch.arange(200)[:, None], torch.arange(200)[None]
    seen = (j <= i) & ((j < 3) | (i - j < 7))
    expected = logits(model, ids, attention_mask=torch.zeros(1, 1, 200, 200).masked_fill(~seen, -1e9))
    with apply_sepllm(model, None, SepConfig(separators="none", init=3, window=7, kernel=kernel)):
        assert off(logits(model, ids), expected) < 1e-5


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_7_08_cached_equals_masked_and_7_20_every_architecture(
    arch: str, tiny: Any, tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    model, ids = tiny(arch), text(40)
    with apply_sepllm(model, tokenizer, EQ1) as applied:
        masked = logits(model, ids, use_cache=False)
        mask = sep_mask(applied.separators[ids], init=3, window=6)
        for sizes in [(15, 1), (1,), (7, 9, 1, 4)]:
            assert off(feed(model, ids, applied.new_cache(), sizes), masked) < 1e-5
    explicit = torch.zeros(mask.shape).masked_fill(~mask, -1e9)[:, None]
    assert off(masked, logits(model, ids, attention_mask=explicit)) < 1e-5


def test_7_09_capacity_beyond_the_text_is_a_dynamic_cache(tiny: Any, tokenizer: Any, text: Any, feed: Any) -> None:
    model, ids = tiny("llama"), text(30)
    expected = feed(model, ids, DynamicCache(config=model.config), sizes=(11, 1))
    for positions in ("absolute", "cache"):
        config = SepConfig(sep_capacity=9, local=9, capacity=10**6, prefill="stream", positions=positions)
        with apply_sepllm(model, tokenizer, config) as applied:
            cache = applied.new_cache()
            torch.testing.assert_close(feed(model, ids, cache, sizes=(11, 1)), expected, atol=1e-6, rtol=0)
            assert cache.bytes() < 100 * 2 * 2 * 2 * 16 * 4  # it grows with the text: 2 layers, 2 heads of 16


def test_7_09_and_generates_the_same(tiny: Any, tokenizer: Any, text: Any) -> None:
    model, ids = tiny("qwen3"), text(20, rows=2)
    padding = torch.ones_like(ids)
    padding[0, :6] = 0
    options: dict[str, Any] = {"attention_mask": padding, "max_new_tokens": 12, "do_sample": False}
    expected = model.generate(ids, **options)
    for config in (SepConfig(window=500), SepConfig(sep_capacity=9, local=9, capacity=500, prefill="dense")):
        with apply_sepllm(model, tokenizer, config):
            assert torch.equal(model.generate(ids, **options), expected)


@pytest.mark.parametrize("arch", ["llama", "gpt_neox"])
@pytest.mark.parametrize("evict", ["after", "before"])
def test_7_10_any_chunking_gives_the_same_logits(
    arch: str, evict: str, tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    model, ids = tiny_model(arch).double(), text(90)
    # LayerNorm models compute in fp64 throughout; Llama's RMSNorm and rotary embedding are fp32 whatever comes in.
    tolerance = 1e-9 if arch == "gpt_neox" else 2e-5
    with apply_sepllm(model, tokenizer, replace(STREAM, evict=evict)) as applied:
        one_by_one = feed(model, ids, applied.new_cache())
        for sizes in [(90,), (40, 1), (3, 17, 5)]:
            assert off(feed(model, ids, applied.new_cache(), sizes), one_by_one) < tolerance
        assert off(logits(model, ids, use_cache=False), one_by_one) < tolerance


def test_7_12_shift_invariance(tiny: Any, tokenizer: Any, text: Any, off: Any) -> None:
    model, ids = tiny("llama"), text(40)
    at = torch.arange(40)[None]
    with apply_sepllm(model, tokenizer, EQ1):
        assert off(logits(model, ids, position_ids=at + 500), logits(model, ids, position_ids=at)) < 1e-4
    found = []
    for positions in ("absolute", "cache"):
        config = SepConfig(init=2, sep_capacity=4, local=6, capacity=17, prefill="stream", positions=positions)
        with apply_sepllm(model, tokenizer, config):
            found.append(logits(model, ids))
    assert torch.equal(found[0][:, :17], found[1][:, :17])  # before the first compression
    assert not torch.allclose(found[0][:, 20:], found[1][:, 20:])


ABSOLUTE = replace(STREAM, positions="absolute")


@pytest.mark.parametrize("config", [EQ1, ABSOLUTE], ids=["eq. 1", "bounded"])
def test_7_12_given_positions_count_and_only_their_differences(
    config: SepConfig, tiny: Any, tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    model, ids = tiny("llama"), text(40)
    at = torch.arange(40)[None]
    with apply_sepllm(model, tokenizer, config) as applied:

        def fed(position_ids: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
            return feed(model, ids, applied.new_cache(), sizes, position_ids=position_ids)

        plain, stretched = feed(model, ids, applied.new_cache()), fed(3 * at, (1,))
        for sizes in [(40,), (15, 1), (7, 9, 4)]:
            assert off(fed(at + 500, sizes), plain) < 1e-4
            assert off(fed(3 * at, sizes), stretched) < 1e-4
    assert off(stretched, plain) > 1e-2


@pytest.mark.parametrize("evict", ["after", "before"])
@pytest.mark.parametrize(
    "config",
    [EQ1, STREAM, LLM, SepConfig(init=2, window=6, sep_capacity=4, local=6, capacity=17, positions="cache")],
    ids=["eq. 1", "stream", "StreamingLLM", "sparse"],
)
def test_7_15_padded_rows_equal_rows_alone(
    config: SepConfig, evict: str, tiny: Any, tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    padded_equal_alone(tiny("llama"), replace(config, evict=evict), tokenizer, text, feed, off)


@pytest.mark.parametrize("arch", [*ARCHITECTURES, *HYBRIDS])
def test_7_15_padded_rows_equal_rows_alone_on_every_architecture(
    arch: str, tiny: Any, tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    for config in (STREAM, LLM) if arch in HYBRIDS else (STREAM,):  # where pieces are short, some have pads alone
        padded_equal_alone(tiny(arch), config, tokenizer, text, feed, off)


@pytest.mark.parametrize("arch", ["llama", "qwen3"])
def test_7_15_heads_of_another_size_than_their_share(arch: str, tokenizer: Any, text: Any, feed: Any, off: Any) -> None:
    padded_equal_alone(tiny_model(arch, head_dim=24), STREAM, tokenizer, text, feed, off)  # not 64 / 4


def padded_equal_alone(model: Any, config: SepConfig, tokenizer: Any, text: Any, feed: Any, off: Any) -> None:
    """Assert that the rows of a left-padded batch have the logits that they have alone, prompt and 20 tokens more."""
    ids, lengths = text(60, rows=3), [60, 43, 27]
    padding = torch.tensor([[0] * (60 - n) + [1] * n for n in lengths])
    with apply_sepllm(model, tokenizer, config) as applied:
        batched = feed(model, ids, applied.new_cache(), sizes=(40, 1), attention_mask=padding)
        for row, length in enumerate(lengths):
            alone = ids[row : row + 1, 60 - length :]
            single = feed(model, alone, applied.new_cache(), sizes=(length - 20, 1))
            assert off(batched[row : row + 1, 60 - length :], single) < 1e-5


@pytest.mark.parametrize("config", [EQ1, STREAM], ids=["eq. 1", "stream"])
def test_7_15_padded_batches_generate_what_rows_generate(
    config: SepConfig, tiny: Any, tokenizer: Any, text: Any
) -> None:
    model, ids = tiny("mistral"), text(30, rows=3)
    lengths = [30, 22, 12]
    padding = torch.tensor([[0] * (30 - n) + [1] * n for n in lengths])
    with apply_sepllm(model, tokenizer, config):
        batched = model.generate(ids, attention_mask=padding, max_new_tokens=15, do_sample=False, eos_token_id=None)
        for row, length in enumerate(lengths):
            alone = ids[row : row + 1, 30 - length :]
            single = model.generate(
                alone, attention_mask=torch.ones_like(alone), max_new_tokens=15, do_sample=False, eos_token_id=None
            )
            assert torch.equal(single[0, length:], batched[row, 30:])


def test_7_16_full_layers_are_composed_by_hand(tiny: Any, tokenizer: Any, text: Any, feed: Any, off: Any) -> None:
    model = tiny_model("llama", num_hidden_layers=3)
    ids = text(40)
    with apply_sepllm(model, tokenizer, SepConfig(init=3, window=6, full_layers="head_tail")) as applied:
        found = logits(model, ids, use_cache=False)
        assert off(feed(model, ids, applied.new_cache(), sizes=(15, 1)), found) < 1e-5
        mask = sep_mask(applied.separators[ids], init=3, window=6)
    masks = [torch.ones(40, 40).tril().bool()[None], mask, torch.ones(40, 40).tril().bool()[None]]
    assert off(found, logits_under(model, ids, masks)) < 1e-5


def test_7_16_windows_by_layer_are_composed_by_hand(tokenizer: Any, text: Any, feed: Any, off: Any) -> None:
    model, ids = tiny_model("llama", num_hidden_layers=3), text(40)
    config = SepConfig(init=(3, 0, 5), window=(6, 20, 2))
    with apply_sepllm(model, tokenizer, config) as applied:
        found = logits(model, ids, use_cache=False)
        assert off(feed(model, ids, applied.new_cache(), sizes=(15, 1)), found) < 1e-5
        masks = [sep_mask(applied.separators[ids], init=a, window=n) for a, n in ((3, 6), (0, 20), (5, 2))]
    assert off(found, logits_under(model, ids, masks)) < 1e-5


@pytest.mark.parametrize("evict", ["after", "before"])
def test_7_10_7_13_bounded_sizes_by_layer(evict: Any, tokenizer: Any, text: Any, feed: Any, off: Any) -> None:
    """Every layer keeps what the simulator of its own sizes keeps, and a forward ends where any of them compresses."""
    model, ids = tiny_model("llama", num_hidden_layers=3), text(90)
    config = SepConfig(
        init=(2, 4, 0), sep_capacity=(4, 3, 7), local=(6, 5, 9), capacity=(17, 14, 30), evict=evict, prefill="stream"
    )
    with apply_sepllm(model, tokenizer, config) as applied:
        caches = [applied.new_cache() for _ in range(2)]
        whole, single = (feed(model, ids, cache, sizes) for cache, sizes in zip(caches, [(90,), (1,)], strict=True))
        assert off(whole, single) < 1e-5
        bits = applied.separators[ids][0].tolist()
    for cache in caches:
        for layer, rule in enumerate(cache.rules):
            kept = simulate(bits, config, layer=layer)[-1].kept
            assert cache.schedules[rule].slots.position[0].tolist() == kept
            assert cache.layers[layer].width == len(kept)
    assert caches[0].stats()["kv_formula"] == pytest.approx((2 + 14 / 3 + 20 / 3 + 61 / 3) / 2)  # means over layers


def test_9_sizes_for_another_number_of_layers(tiny: Any, tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match="window has 3 sizes, but the model has 2 layers"):
        apply_sepllm(tiny("llama"), tokenizer, SepConfig(window=(6, 7, 8)))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_7_17_removal_restores_the_model_bit_for_bit(arch: str, tiny: Any, tokenizer: Any, text: Any) -> None:
    model, ids = tiny(arch), text(40)
    backbone = model.get_submodule(model.base_model_prefix)
    before, state = logits(model, ids), (set(vars(model)), set(vars(backbone)), model.config.to_dict())
    applied = apply_sepllm(model, tokenizer, EQ1)
    assert apply_sepllm(model, tokenizer, EQ1) is applied  # a second time is no second layer
    assert not torch.equal(logits(model, ids), before)
    applied.remove()
    applied.remove()
    assert torch.equal(logits(model, ids), before)
    assert (set(vars(model)), set(vars(backbone)), model.config.to_dict()) == state
    with pytest.raises(ZeroDivisionError), apply_sepllm(model, tokenizer, STREAM):
        raise ZeroDivisionError
    assert torch.equal(logits(model, ids), before)


@pytest.mark.parametrize(
    "config",
    [
        EQ1,
        replace(EQ1, prefill="dense"),
        STREAM,
        replace(STREAM, evict="before"),
        replace(STREAM, prefill="dense", window=6),
        replace(STREAM, prefill="sparse", window=6),
        replace(STREAM, prefill="sparse", window=6, evict="before"),
    ],
    ids=["eq. 1", "eq. 1, dense", "stream", "before", "dense", "sparse", "sparse, before"],
)
@pytest.mark.parametrize("pads", [0, 9])
@pytest.mark.parametrize("sizes", [(50,), (23, 4)], ids=["at once", "in pieces"])
def test_7_18_later_tokens_never_change_earlier_logits(
    config: SepConfig, pads: int, sizes: Any, tiny: Any, tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    model, ids = tiny("llama"), text(50, rows=2)
    real = torch.ones_like(ids)
    real[1, :pads] = 0
    changed = ids.clone()
    changed[:, 30] = torch.where(ids[:, 30] == 18, 60, 18)  # a full stop, or no longer one
    with apply_sepllm(model, tokenizer, config) as applied:
        one, other = (feed(model, each, applied.new_cache(), sizes, attention_mask=real) for each in (ids, changed))
    seen = real.bool()[:, :30]
    assert off(other[:, :30][seen], one[:, :30][seen]) < 1e-6  # epochs may end elsewhere
    for row in (0, 1):
        assert off(other[row, 30:], one[row, 30:]) > 1e-3


def test_beam_search_equals_beam_search_with_everything_kept(tiny: Any, tokenizer: Any, text: Any) -> None:
    model, ids = tiny("llama"), text(20)
    options: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 10, "do_sample": False, "eos_token_id": None}
    with apply_sepllm(model, tokenizer, EQ1):
        cached = model.generate(ids, **options)
        uncached = model.generate(ids, use_cache=False, **options)
    assert torch.equal(cached, uncached)


def test_a_cache_goes_on_over_turns(tiny: Any, tokenizer: Any, text: Any, feed: Any) -> None:
    from tenon.core.models.cache import cache_argument

    model, ids = tiny("llama"), text(50)
    options: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    with apply_sepllm(model, tokenizer, EQ1) as applied:
        name, cache = cache_argument(model), applied.new_cache()
        first = model.generate(ids[:, :20], **options, **{name: cache})
        second = torch.cat([first, ids[:, 20:35]], 1)
        assert cache.get_seq_length() == 27  # the last token is not fed yet
        again = model.generate(second, **options, **{name: cache})
        assert torch.equal(again, model.generate(second, **options))


def test_a_repeated_cache_is_a_repeated_prompt(tiny: Any, tokenizer: Any, text: Any, feed: Any, off: Any) -> None:
    model, ids = tiny("llama"), text(40, rows=3)
    ids[:, :25] = ids[:1, :25]
    with apply_sepllm(model, tokenizer, STREAM) as applied:
        expected = feed(model, ids, applied.new_cache(), sizes=(25, 1))[:, 25:]
        cache = applied.new_cache()
        feed(model, ids[:1, :25], cache, sizes=(25,))
        cache.batch_repeat_interleave(3)
        assert off(feed(model, ids[:, 25:], cache), expected) < 1e-5


def test_memory_is_really_freed_and_never_grows(tiny: Any, tokenizer: Any, text: Any, feed: Any) -> None:
    model, ids = tiny("llama"), text(400)
    with apply_sepllm(model, tokenizer, STREAM) as applied:
        cache = applied.new_cache()
        feed(model, ids[:, :100], cache, sizes=(100,))
        at_100 = cache.bytes()
        feed(model, ids[:, 100:], cache, sizes=(50,))
    # 2 layers, keys and values, 2 heads of 16, 4 bytes, one slot more than the capacity of 17
    assert cache.bytes() == at_100 == 2 * 2 * 2 * 16 * 4 * 18
    stats = cache.stats()
    assert stats["kv_bytes_now"] == stats["kv_bytes_peak"] == at_100
    assert stats["tokens_seen"] == 400
    assert stats["attended_max"] == 18
    assert stats["stored_mean"] <= 17
    with apply_sepllm(model, tokenizer, EQ1) as applied:
        cache = applied.new_cache()
        feed(model, ids, cache, sizes=(300, 1))
        kept = int(applied.separators[ids[0, 3:394]].sum()) + 3 + 6
    stored = cache.layers[0].keys[:, :, : cache.layers[0].width]
    assert stored.shape[2] == kept == cache.stats()["tokens_stored"]


def test_an_interrupted_forward_leaves_the_cache_as_it_was(
    tiny: Any, tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    model, ids = tiny("llama"), text(60)
    for config in (EQ1, STREAM):
        with apply_sepllm(model, tokenizer, config) as applied:
            expected = feed(model, ids, applied.new_cache())
            cache = applied.new_cache()
            found = [feed(model, ids[:, :40], cache)]
            hook = model.model.layers[1].register_forward_pre_hook(lambda *_: 1 / 0)
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    feed(model, ids[:, 40:41], cache)
            hook.remove()
            found.append(feed(model, ids[:, 40:], cache))
            assert off(torch.cat(found, 1), expected) < 1e-5


def test_hidden_states_of_a_forward_in_pieces_are_whole(tiny: Any, tokenizer: Any, text: Any) -> None:
    model, ids = tiny("llama"), text(50)
    with apply_sepllm(model, tokenizer, STREAM), torch.no_grad():
        output = model(ids, output_hidden_states=True)
    assert [state.shape for state in output.hidden_states] == [(1, 50, 64)] * 3


def test_9_embeddings_need_to_be_told_the_separators(tiny: Any, tokenizer: Any, text: Any, off: Any) -> None:
    model, ids = tiny("llama"), text(30)
    embeddings = model.get_input_embeddings()(ids).detach()
    with apply_sepllm(model, tokenizer, EQ1) as applied:
        with pytest.raises(DataError, match="inputs_embeds, pass separator_mask"):
            logits(model, None, inputs_embeds=embeddings)
        found = logits(model, None, inputs_embeds=embeddings, separator_mask=applied.separators[ids])
        assert off(found, logits(model, ids)) < 1e-6


def test_9_a_cache_of_another_kind_is_refused(tiny: Any, tokenizer: Any, text: Any, feed: Any) -> None:
    model, ids = tiny("llama"), text(20, rows=2)
    used = DynamicCache(config=model.config)
    feed(model, ids, used, sizes=(20,))
    with apply_sepllm(model, tokenizer, EQ1) as applied:
        with pytest.raises(DataError, match="not filled under SepLLM"):
            feed(model, ids[:, :1], used)
        with pytest.raises(DataError, match="another SepConfig"):
            feed(model, ids, SepCache(STREAM, model.config))
        cache = applied.new_cache()
        feed(model, ids, cache, sizes=(20,))
        with pytest.raises(DataError, match="holds 2 rows, but 1 came"):
            feed(model, ids[:1], cache)
        with pytest.raises(DataError, match="cannot be cut back"):
            cache.crop(-1)
        other = tiny_model("llama", num_attention_heads=8)
        with apply_sepllm(other, tokenizer, EQ1), pytest.raises(DataError, match="belongs to one model"):
            feed(other, ids, cache)
    with pytest.raises(DataError, match="works inside"):
        feed(model, ids, SepCache(EQ1, model.config))


def test_9_another_config_on_top_is_refused(tiny: Any, tokenizer: Any) -> None:
    with apply_sepllm(tiny("llama"), tokenizer, EQ1), pytest.raises(ConfigError, match="applied to this model already"):
        apply_sepllm(tiny("llama"), tokenizer, STREAM)


def test_9_positions_that_cannot_be_moved_are_refused(tokenizer: Any) -> None:
    model = tiny_model("llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4})
    with pytest.raises(UnsupportedModelError, match="LlamaRotaryEmbedding has positions of kind 'dynamic'"):
        apply_sepllm(model, tokenizer, STREAM)
    assert "forward" not in vars(model.model)


def test_9_a_model_of_sliding_layers_alone_is_refused(tokenizer: Any, text: Any, feed: Any, off: Any) -> None:
    model = tiny_model("mistral", sliding_window=16)
    with pytest.raises(UnsupportedModelError, match="sliding window of 16"):
        apply_sepllm(model, tokenizer, EQ1)
    with pytest.raises(UnsupportedModelError):
        apply_sepllm(model, tokenizer, STREAM)
    # A cache with positions of its own, smaller than the window, never leaves it.
    full, ids = tiny_model("mistral"), text(60)
    config = SepConfig(init=2, sep_capacity=2, local=6, capacity=14, prefill="stream", positions="cache")
    found = []
    for each in (model, full):
        with apply_sepllm(each, tokenizer, config) as applied:
            found.append(feed(each, ids, applied.new_cache()))
    assert off(*found) < 1e-6


def test_9_sliding_layers_of_a_mixed_model_stay_as_they_are(tokenizer: Any, text: Any, feed: Any, off: Any) -> None:
    model = tiny_model("qwen2", use_sliding_window=True, sliding_window=9, max_window_layers=1)
    ids = text(40)
    with apply_sepllm(model, tokenizer, EQ1) as applied:
        cache = applied.new_cache()
        found = feed(model, ids, cache, sizes=(20, 1))
        mask = sep_mask(applied.separators[ids], init=3, window=6)
    sliding = torch.ones(1, 40, 40).tril().triu(-8).bool()
    assert off(found, logits_under(model, ids, [mask, sliding])) < 1e-5
    assert cache.layers[1].width == 9


def test_9_an_unknown_architecture_is_refused(tokenizer: Any) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=128))
    with pytest.raises(UnsupportedModelError, match="'gpt2'"):
        apply_sepllm(model, tokenizer, EQ1)


def test_9_absolute_positions_beyond_the_trained_ones_warn_once(tokenizer: Any, text: Any) -> None:
    model, ids = tiny_model("llama", max_position_embeddings=32), text(40)
    with apply_sepllm(model, tokenizer, EQ1):
        with pytest.warns(
            UserWarning, match="reached 40 tokens, but the model knows 32 positions .* positions='cache'"
        ):
            logits(model, ids)
        logits(model, ids)  # a second warning would be an error
    with apply_sepllm(model, tokenizer, STREAM):
        logits(model, ids)


def test_9_a_cache_that_generate_would_feed_the_whole_text_again_and_again(
    tiny: Any, tokenizer: Any, text: Any
) -> None:
    from tenon.core.models.cache import cache_argument

    model, ids = tiny("llama"), text(20)
    with apply_sepllm(model, tokenizer, EQ1) as applied:
        cache = {cache_argument(model): applied.new_cache()}
        with pytest.raises(DataError, match="passed with use_cache=False"):
            model.generate(ids, use_cache=False, max_new_tokens=3, do_sample=False, **cache)
        uncached = model.generate(ids, use_cache=False, max_new_tokens=9, do_sample=False, eos_token_id=None)
        cached = model.generate(ids, use_cache=True, max_new_tokens=9, do_sample=False, eos_token_id=None, **cache)
        assert torch.equal(cached, uncached)


def test_9_no_separator_in_the_first_4096_tokens_warns_once(tiny: Any, tokenizer: Any, text: Any) -> None:
    model, letters = tiny("llama"), torch.full((4, 512), 50)
    marks = torch.full((4, 512), tokenizer.convert_tokens_to_ids("."))
    for ids, share in ((letters, "0.0%"), (marks, "100.0%")):
        with apply_sepllm(model, tokenizer, EQ1):
            logits(model, ids)  # 2,048 are not enough to tell
            with pytest.warns(UserWarning, match=f"{share} of the first 4096 tokens are separators"):
                logits(model, ids)
            logits(model, ids)
    with apply_sepllm(model, tokenizer, EQ1), apply_sepllm(model, tokenizer, EQ1):
        logits(model, text(512, rows=9))  # one in eight: nothing to say
    with apply_sepllm(model, None, SepConfig(separators="none", window=6)):
        logits(model, letters.repeat(3, 1))  # StreamingLLM has none


def test_9_layers_of_a_hybrid_that_are_no_attention_stay_as_they_are(
    tokenizer: Any, text: Any, feed: Any, off: Any
) -> None:
    """Convolutions keep their states; the layer of attention follows eq. (1), and a bounded cache frees memory."""
    model, ids = tiny_model("lfm2"), text(60)
    plain = logits(model, ids)
    with apply_sepllm(model, tokenizer, SepConfig(window=60)):
        assert off(logits(model, ids), plain) < 1e-5
    with apply_sepllm(model, tokenizer, EQ1) as applied:
        assert applied.untouched == {0: "conv", 2: "conv"}
        masked = logits(model, ids, use_cache=False)
        mask = sep_mask(applied.separators[ids], init=3, window=6)
        for sizes in [(60,), (15, 1), (1,)]:
            assert off(feed(model, ids, applied.new_cache(), sizes), masked) < 1e-5
        two = model.generate(ids[:, :20], max_new_tokens=9, do_sample=False, eos_token_id=None)
        assert two.shape == (1, 29)
    explicit = {"attention_mask": torch.zeros(mask.shape).masked_fill(~mask, -1e9)[:, None]}
    hook = model.model.layers[1].self_attn.register_forward_pre_hook(
        lambda _, args, kwargs: (args, kwargs | explicit), with_kwargs=True
    )
    by_hand = logits(model, ids)
    hook.remove()
    assert off(masked, by_hand) < 1e-5
    assert off(masked, plain) > 1e-3
    with apply_sepllm(model, tokenizer, STREAM) as applied:
        cache = applied.new_cache()
        whole = feed(model, ids, cache, (60,))
        assert off(feed(model, ids, applied.new_cache(), (1,)), whole) < 1e-5
        assert cache.attention[0].width <= 17
        with pytest.raises(UnsupportedModelError, match="hybrid model cannot be written"):
            snapshot(cache)
