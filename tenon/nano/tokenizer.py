"""The vocabulary of nano-lm: byte-level BPE over words, digits one by one, and a chat template with tools.

Byte-level BPE begins with all 256 bytes, so every text can be written and read back: the fallback to bytes needs no
tokens of its own. Punctuation marks and line breaks never merge with letters: a separator is always a token of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["BEGIN", "CHAT_TEMPLATE", "END", "PAD", "SPECIAL", "train_tokenizer"]

PAD, BEGIN, END = "<|pad|>", "<|begin|>", "<|end|>"
SPECIAL = (PAD, BEGIN, END, "<|user|>", "<|assistant|>", "<|tool|>", "<|tools|>", "<|call|>")

# One digit, one word, one mark, or a run of line breaks or blanks; a single blank before belongs to what follows it.
PIECES = r" ?\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]|\n+|[^\S\n]+(?!\S)|[^\S\n]"

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- if tools -%}
<|tools|>{% for tool in tools %}{{ (tool.function if tool.function is defined else tool) | tojson }}
{% endfor %}<|end|>
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'assistant' and message.tool_calls is defined and message.tool_calls -%}
<|assistant|>{% for call in message.tool_calls -%}
<|call|>{{ {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}
{%- endfor %}<|end|>
{%- elif message.role in ('user', 'assistant', 'tool') -%}
<|{{ message.role }}|>{{ message.content }}<|end|>
{%- else -%}
{{ raise_exception('nano-lm knows the roles user, assistant and tool; got ' ~ message.role) }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""


def train_tokenizer(texts: Iterable[str], *, vocab_size: int = 4096) -> PreTrainedTokenizerFast:
    """Learn the merges from `texts` and give a ready tokenizer; the same texts give the same tokenizer.

    Args:
        texts: What the model will read, in about the same proportions.
        vocab_size: Entries in all, the 256 bytes and 8 special tokens included [tokens].
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, core.token_to_id(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        additional_special_tokens=list(SPECIAL[3:]),
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
