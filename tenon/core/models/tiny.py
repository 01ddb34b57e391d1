"""Tiny random models of every supported architecture, and a tokenizer for them; built in process, for tests and demos.

Nothing is downloaded, and nothing depends on how a transformers release initialises its models: each parameter is drawn
from a generator named after it.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from tenon.core.errors import ConfigError, UnsupportedModelError
from tenon.core.seeds import torch_generator

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["ARCHITECTURES", "HYBRIDS", "tiny_model", "tiny_tokenizer"]

ARCHITECTURES = ("llama", "qwen2", "qwen3", "mistral", "gemma", "phi", "gpt_neox")
"""The `model_type`s that `tiny_model` builds and `roles_of` knows, all of whose layers are attention."""

HYBRIDS = ("lfm2",)
"""Others of which only some layers are attention; a tiny one has 3, and the middle one attends."""

_SPREAD = 0.2  # with 64 inputs, projections have a spread of 1.6: peaked attention and clearly different logits

_SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
_CHARACTERS = "".join(map(chr, [9, 10, *range(32, 127), *range(0xDF, 0xFA)]))  # 124, so 128 with the special ones

_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def tiny_model(arch: str, *, seed: int = 0, **overrides: Any) -> PreTrainedModel:
    """Build a random causal language model of one architecture: in eval mode, in float32, on the CPU.

    It has 2 layers, hidden size 64, 4 heads of 16, 2 key/value heads where the architecture can share them, MLP size
    128, vocabulary 128 and 2,048 positions. No parameter keeps a neutral value: norm weights and biases are drawn as
    well, so that a method which forgets one gives different logits.

    Args:
        arch: One of `ARCHITECTURES` or `HYBRIDS`.
        seed: Equal seeds give equal weights, parameter by parameter: a further layer changes no other.
        overrides: Fields of the transformers config, such as `num_hidden_layers=3`.

    Raises:
        UnsupportedModelError: `arch` is none of `ARCHITECTURES` and `HYBRIDS`.
        ConfigError: An override is no field of that architecture's config.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if arch not in (*ARCHITECTURES, *HYBRIDS):
        raise UnsupportedModelError(
            f"There is no tiny {arch!r}; choose one of {', '.join((*ARCHITECTURES, *HYBRIDS))}."
        )
    fields: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": len(_SPECIAL) + len(_CHARACTERS),
        "max_position_embeddings": 2048,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if arch != "gpt_neox":  # every GPT-NeoX head has its own keys and values
        fields["num_key_value_heads"] = 2
    if arch in ("qwen3", "gemma"):  # their default head size does not follow the hidden size
        fields["head_dim"] = 16
    if arch == "lfm2":
        fields |= {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]}
    if arch == "mistral":  # full attention, as in every Mistral since v0.2
        fields["sliding_window"] = None

    known = AutoConfig.for_model(arch)
    for name in overrides:
        if not hasattr(known, name) and name != "attn_implementation":  # a config would keep any name and ignore it
            near = difflib.get_close_matches(name, known.to_dict(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ConfigError(f"{name!r} is no field of {type(known).__name__}{hint}")
    config = AutoConfig.for_model(arch, **fields | overrides)

    with torch.random.fork_rng(devices=[]):  # transformers initialises from the global generator; we leave it as it was
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = _SPREAD * torch.randn(parameter.shape, generator=torch_generator(seed, "tiny_model", arch, name))
            parameter.copy_(noise if parameter.dim() > 1 else parameter + noise)  # norms stay near their neutral value
    return model.eval()


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer of the tiny models: one character is one token, 128 in all.

    It knows ASCII, line break, tab and the Latin letters from U+00DF to U+00F9; every other character is `<unk>`.
    `<pad>`, `<bos>`, `<eos>` and `<unk>` are 0 to 3. Like most tokenizers, it puts `<bos>` before a text unless told
    `add_special_tokens=False`.

    >>> tokenizer = tiny_tokenizer()
    >>> tokenizer.convert_ids_to_tokens(tokenizer("Hi.\\n")["input_ids"])
    ['<bos>', 'H', 'i', '.', '\\n']
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate([*_SPECIAL, *_CHARACTERS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    core.decoder = decoders.Fuse()
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        chat_template=_CHAT_TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
