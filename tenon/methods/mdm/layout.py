"""How a puzzle lies in a row: prompt, SEP, answer, EOS, padding to one length; and the tokenizer of single characters.

Both are the released code's (section 2.8 of the specification), but for what is too long or unknown: that code cuts the
one and replaces the other, here both are errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tenon.core.errors import DataError
from tenon.tasks.puzzles.puzzle import CHARACTERS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "EOS",
    "MASK",
    "PAD",
    "SEP",
    "SPECIALS",
    "UNK",
    "Rows",
    "answers_of",
    "lay_out",
    "puzzle_tokenizer",
    "refuse",
]

PAD, SEP, MASK, EOS, UNK = range(5)
SPECIALS = ("[PAD]", "[SEP]", "[MASK]", "[EOS]", "[UNK]")
"""Special tokens of the puzzle vocabulary; an id is the index here [code]."""


def puzzle_tokenizer() -> PreTrainedTokenizerFast:
    """Give the tokenizer of puzzles: one token per character, 31 in all.

    >>> puzzle_tokenizer()("80-58=22", add_special_tokens=False)["input_ids"]
    [13, 5, 17, 10, 13, 19, 7, 7]
    """
    from tokenizers import Regex, Tokenizer
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate((*SPECIALS, *CHARACTERS))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=SPECIALS[UNK]))
    tokenizer.pre_tokenizer = Split(Regex("."), "isolated")
    tokenizer.decoder = Fuse()
    names = {"pad": PAD, "sep": SEP, "mask": MASK, "eos": EOS, "unk": UNK}
    special = {f"{name}_token": SPECIALS[index] for name, index in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **special)


@dataclass(frozen=True)
class Rows:
    """Texts of one length."""

    ids: Int[Tensor, "rows seq"]
    """Prompt, SEP, answer, EOS, padding."""
    is_maskable: Bool[Tensor, "rows seq"]
    """What the model writes."""

    def __len__(self) -> int:
        return len(self.ids)


def lay_out(
    tokenizer: Any, prompts: Sequence[str], answers: Sequence[str] | None, *, length: int, learn_pad: bool = True
) -> Rows:
    """Lay prompts and answers in rows of one length.

    Args:
        tokenizer: With PAD, SEP, MASK, EOS and UNK tokens.
        prompts: What is given.
        answers: What is to be written; none where it is to be found: then all behind SEP is written, so the model must
            have learnt where an answer ends (`learn_pad`).
        length: Of every row [tokens].
        learn_pad: Whether padding is written, too.

    Raises:
        DataError: A row is too long, holds a character or special token that it must not, or an answer is empty or
            missing where its length must be known. The first rows are named.
    """
    if answers is None and not learn_pad:
        raise DataError(
            "There are no answers, and padding is not learnt; where an answer ends must come from one of both."
        )
    given = [""] * len(prompts) if answers is None else answers
    found, starts, ends = [], [], []
    faults: dict[str, list[int]] = {}
    for index, (prompt, answer) in enumerate(zip(prompts, given, strict=True)):
        front = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        back = tokenizer(answer, add_special_tokens=False)["input_ids"]
        row = [*front, tokenizer.sep_token_id, *back, tokenizer.eos_token_id]
        specials = {tokenizer.mask_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id}
        if tokenizer.unk_token_id in (*front, *back):
            faults.setdefault("have characters outside the vocabulary", []).append(index)
        elif specials & {*front, *back}:
            faults.setdefault("hold MASK, SEP or PAD inside", []).append(index)
        elif answers is not None and not back:
            faults.setdefault("have no answer", []).append(index)
        elif len(row) > length:
            faults.setdefault(f"have more than {length} tokens with SEP and EOS", []).append(index)
        found.append(row)
        starts.append(len(front) + 1)
        ends.append(len(row))
    refuse(faults)
    pad = tokenizer.pad_token_id
    ids = torch.tensor([row + [pad] * (length - len(row)) for row in found])
    places = torch.arange(length)
    is_maskable = places >= torch.tensor(starts)[:, None]
    return Rows(ids, is_maskable if learn_pad else is_maskable & (places < torch.tensor(ends)[:, None]))


def refuse(faults: Mapping[str, Sequence[int]]) -> None:
    """Raise for faulty rows, the first of each fault by its number, from 1 on.

    Args:
        faults: What is wrong, as in "3 rows have no answer", and with which rows, from 0 on.

    Raises:
        DataError: There are any.
    """
    if faults:
        first = {
            what: ", ".join(str(row + 1) for row in rows[:5]) + (" ..." if len(rows) > 5 else "")
            for what, rows in faults.items()
        }
        listed = "; ".join(f"{len(rows)} rows {what} (rows {first[what]})" for what, rows in faults.items())
        raise DataError(f"{listed}. Nothing is cut or replaced: correct these rows, or raise the length.")


def answers_of(
    tokenizer: Any, ids: Int[Tensor, "rows seq"], is_maskable: Bool[Tensor, "rows seq"], *, cut: bool = True
) -> list[str]:
    """Read what was written in each row.

    Args:
        tokenizer: As in `lay_out`.
        ids: The rows.
        is_maskable: What was written.
        cut: Stop at the first EOS. The released code does not, and glues what stands behind it to the answer.
    """
    texts = []
    for row, mine in zip(ids.tolist(), is_maskable.tolist(), strict=True):
        written = [token for token, is_one in zip(row, mine, strict=True) if is_one]
        if cut and tokenizer.eos_token_id in written:
            written = written[: written.index(tokenizer.eos_token_id)]
        texts.append(str(tokenizer.decode(written, skip_special_tokens=not cut)) if written else "")
    return texts
