"""Tiny models: the shape they promise, determinism by name, and a tokenizer that can write everything it reads."""

from __future__ import annotations

import pytest
import torch

from tenon.core.errors import ConfigError, UnsupportedModelError
from tenon.core.models.tiny import ARCHITECTURES, tiny_model, tiny_tokenizer

IDS = torch.tensor([[1, 40, 41, 42, 43, 44, 45, 46]])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_shape_mode_and_precision(arch: str) -> None:
    model = tiny_model(arch)
    config = model.config
    assert config.model_type == arch
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (64, 2, 4)
    assert (config.vocab_size, config.max_position_embeddings) == (128, 2048)
    assert getattr(config, "num_key_value_heads", 4) == (4 if arch == "gpt_neox" else 2)
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    with torch.inference_mode():
        logits = model(IDS).logits
    assert logits.shape == (1, 8, 128)
    assert logits.std() > 0.5  # visibly different, not a near-uniform distribution


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_parameter_is_neutral(arch: str) -> None:
    for name, parameter in tiny_model(arch).named_parameters():
        assert parameter.std() > 0.05, name


def test_equal_seeds_equal_weights_and_the_global_generator_is_untouched() -> None:
    before = torch.get_rng_state()
    first, again, other = tiny_model("llama", seed=1), tiny_model("llama", seed=1), tiny_model("llama", seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert not torch.equal(a, c), name


def test_one_more_layer_leaves_the_first_two_as_they_were() -> None:
    small, large = tiny_model("qwen3"), tiny_model("qwen3", num_hidden_layers=3)
    state = large.state_dict()
    assert large.config.num_hidden_layers == 3
    assert all(torch.equal(tensor, state[name]) for name, tensor in small.state_dict().items())


def test_wrong_names_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="no tiny 'bert'; choose one of llama"):
        tiny_model("bert")
    with pytest.raises(ConfigError, match="no field of LlamaConfig; did you mean 'num_hidden_layers'"):
        tiny_model("llama", num_hidden_layer=3)


def test_tokenizer_reads_and_writes_every_character() -> None:
    tokenizer = tiny_tokenizer()
    assert len(tokenizer) == 128
    text = "A tenon, so\tto say; fits! (Don't glue: it's 'ÿ'-less.)\n\nEnd é."
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text)  # one character, one token
    assert tokenizer.decode(ids) == text.replace("ÿ", "<unk>")
    assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id == 1
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 2)
    assert tokenizer.decode(range(128), skip_special_tokens=True)[:3] == "\t\n "  # every id has a text


def test_tokenizer_survives_saving_and_has_a_chat_template(tmp_path: object) -> None:
    from transformers import AutoTokenizer

    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(str(tmp_path))
    again = AutoTokenizer.from_pretrained(str(tmp_path))
    chat = [{"role": "user", "content": "Hi."}]
    assert again.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == "<bos>user: Hi.\nassistant: "
    assert again("Hi, ho.")["input_ids"] == tokenizer("Hi, ho.")["input_ids"]
