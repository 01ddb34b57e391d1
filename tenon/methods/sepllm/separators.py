r"""Which token ids separate: found from the tokenizer's own vocabulary, merged tokens included.

Modern vocabularies merge punctuation (`.\n\n`, `,"`, ` :`), write a line break as `Ċ` or `<0x0A>` and a blank as `Ġ` or
`▁`. So a token's text is read from the vocabulary, byte by byte where need be, and compared with the separating
strings.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool

from tenon.core.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ID_LISTS", "STRINGS", "check_density", "density", "resolve_separators", "token_texts"]

STRINGS: dict[str, tuple[str, ...]] = {
    "paper": (".", ",", "?", "!", ";", ":", " ", "\t", "\n"),  # [paper] table 16: the nine of all evaluations
    "four": (".", ",", "?", ";"),  # [paper] table 16
    "two": (".", "?"),  # [paper] table 16
    "multilingual": (
        ".", ",", "?", "!", ";", ":", " ", "\t", "\n", "。", "\uff0c", "、", "\uff1f", "\uff01", "\uff1b", "\uff1a",
        "।", "؟", "،", "؛",
    ),  # [ours] full-width, Devanagari and Arabic marks
    "none": (),  # StreamingLLM
}  # fmt: skip
"""Named sets of separating strings."""

ID_LISTS: dict[str, tuple[int, ...]] = {
    # [code] HKUDS/SepLLM, training and mask mode: . , ? ! ; : blank tab newline
    "neox-mask": (15, 13, 32, 2, 28, 27, 209, 186, 187),
    # [code] streaming and SepCache: the nine, then the marks after a blank, and runs of blanks
    "neox-stream": (
        15, 13, 32, 2, 28, 27, 209, 186, 187,
        964, 1157, 3736, 2195, 3706, 1163, 2490, 50276, 586, 4928, 50275,
    ),
    # [code] yml: no tab, but BOS (128000): the paper's text and the released list disagree
    "llama3-mask": (13, 11, 30, 0, 26, 25, 198, 220, 128000),
    "llama3-stream": (13, 11, 30, 0, 26, 25, 198, 220, 662, 1174, 949, 758, 2652, 551, 720, 256, 262),  # [code]
    "llama3-cache": (128000, 13, 11, 30, 0, 26, 25, 198, 220, 662, 1174, 949, 758, 2652, 551, 720, 256, 262),  # [hf]
    "falcon-stream": (25, 23, 42, 12, 38, 37, 193, 4610, 204, 258, 1212, 23787, 466),  # [code]
}  # fmt: skip
"""Published lists of ids, for comparison with published logs; each belongs to one vocabulary."""


def resolve_separators(
    tokenizer: PreTrainedTokenizerBase | None,
    separators: str | Sequence[str],
    *,
    vocab_size: int,
    extra_ids: Sequence[int] = (),
    match: Literal["exact", "space", "contains"] = "contains",
) -> Bool[torch.Tensor, " vocab"]:
    r"""Say of every token id whether it is a separator.

    Args:
        tokenizer: Its vocabulary is read; None is enough for lists of ids and for `none`.
        separators: A name from `STRINGS` or `ID_LISTS`, or the separating strings.
        vocab_size: Length of the answer: the model's vocabulary, which may be padded beyond the tokenizer's.
        extra_ids: Further ids that count, whatever their text.
        match: `exact`: the token's text is one of the strings. `space`: or a blank and one of the strings. `contains`:
            it ends with one of the strings, so that merged tokens count. Special tokens never count by their text.

    Raises:
        ConfigError: The name is unknown, an id is outside the vocabulary, strings were given without a tokenizer, or
            none of them is a token.
    """
    strings, listed = _strings_and_ids(separators)
    if outside := [index for index in extra_ids if not 0 <= index < vocab_size]:
        raise ConfigError(
            f"separator_ids has {outside[0]}, but the vocabulary has {vocab_size} tokens; give ids of this model."
        )
    if outside := [index for index in listed if not 0 <= index < vocab_size]:
        raise ConfigError(
            f"Separator id {outside[0]} is outside the vocabulary of {vocab_size} tokens; the list {separators!r} "
            "belongs to another tokenizer. Use separators='paper' to find them from this one."
        )
    found: list[int] = []
    if strings:
        if tokenizer is None:
            raise ConfigError(f"Separators {separators!r} are strings; give the tokenizer in which to look them up.")
        texts = token_texts(tokenizer)[:vocab_size]
        found = [index for index, text in enumerate(texts) if text and _matches(text, strings, match)]
    if strings and not found:
        raise ConfigError(
            f"No token of {type(tokenizer).__name__} matches the separators {list(strings)!r} (match={match!r}); give "
            "strings that it has as tokens, match='contains', or the name of a set: "
            f"{', '.join([*STRINGS, *ID_LISTS])}."
        )
    table = torch.zeros(vocab_size, dtype=torch.bool)
    table[torch.tensor([*listed, *extra_ids, *found], dtype=torch.long)] = True
    return table


def token_texts(tokenizer: PreTrainedTokenizerBase) -> list[str | None]:
    """Give the text of every token as it stands in running text; None for special tokens and for parts of a
    character."""
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_ids)
    known = set(tokens)
    # "Ċ" is the line break of byte-level vocabularies; every one of them has it, since they begin with all 256 bytes.
    is_byte_level = "Ċ" in known and "<0x0A>" not in known
    read = _byte_level_text if is_byte_level else _plain_text
    return [None if index in special or token is None else read(token) for index, token in enumerate(tokens)]


def density(is_separator: Bool[torch.Tensor, " vocab"], ids: torch.Tensor) -> float:
    """Give the share of tokens that are separators (rho), and warn where it makes no sense: see `check_density`."""
    share = is_separator[ids.flatten().to(is_separator.device)].float().mean().item() if ids.numel() else 0.0
    if is_separator.any():
        check_density(share, ids.numel())
    return share


def check_density(share: float, count: int, *, stacklevel: int = 3) -> None:
    """Warn where a share of separators makes no sense.

    Args:
        share: Of the tokens of a text.
        count: How many these are.
        stacklevel: Whose line the warning names.

    Warns:
        UserWarning: The share is 0, so nothing but the window remains, or above one half, so little is saved.
    """
    if share == 0 or share > 0.5:
        warnings.warn(
            f"{share:.1%} of the first {count} tokens are separators; SepLLM expects about a tenth. Check `separators` "
            "and `match` with `tenon sepllm density`.",
            stacklevel=stacklevel,
        )


def _strings_and_ids(separators: str | Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if not isinstance(separators, str):
        return tuple(separators), ()
    if separators in STRINGS:
        return STRINGS[separators], ()
    if separators in ID_LISTS:
        return (), ID_LISTS[separators]
    raise ConfigError(
        f"There is no set of separators {separators!r}; the sets are {', '.join([*STRINGS, *ID_LISTS])}, or give the "
        "strings "
        'themselves, e.g. (".", ",").'
    )


def _matches(text: str, strings: tuple[str, ...], match: str) -> bool:
    if match == "contains":
        return text.endswith(strings)
    return text in strings or (match == "space" and text[0] == " " and text[1:] in strings)


_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _plain_text(token: str) -> str | None:
    """Read a token of a SentencePiece or word vocabulary: `▁` is a blank, `<0x0A>` a byte."""
    if byte := _BYTE.fullmatch(token):
        code = int(byte.group(1), 16)
        return chr(code) if code < 128 else None
    return token.replace("▁", " ")


def _byte_level_text(token: str) -> str | None:
    """Read a token of a byte-level vocabulary, in which each byte is written as one printable character."""
    try:
        return bytes(_BYTE_OF[character] for character in token).decode()
    except (KeyError, UnicodeDecodeError):  # an added token in plain text, or part of a character
        return token if any(character not in _BYTE_OF for character in token) else None


def _byte_of() -> dict[str, int]:
    """Give GPT-2's table: printable Latin-1 stands for itself, the other bytes for the characters from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + rank): byte for rank, byte in enumerate(others)}


_BYTE_OF = _byte_of()
