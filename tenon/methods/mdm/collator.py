"""Prompts and responses as batches: what is masked, what is seen, and which rows come together.

    {"prompt": "2+2=", "response": "4"}

TRL's `prompt` and `completion`, its `messages`, and the released `input` and `output` are read, too. A row is prompt,
SEP where the tokenizer has one, response, EOS; both texts are turned into tokens by themselves. `labels` are -100 on
the prompt: what has a label can be masked, which is dllm's convention, so that batches interchange. A chat goes through
the tokenizer's template; all but its last message, which the assistant must have said, is the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from tenon.core.errors import ConfigError, DataError
from tenon.core.seeds import torch_generator
from tenon.methods.mdm.config import PadPolicy
from tenon.methods.mdm.layout import refuse
from tenon.methods.mdm.trainer import IGNORE

__all__ = ["DataCollatorForMaskedDiffusion", "by_length", "chat_prompt_ids", "encode_rows", "prompt_ids"]

WINDOW = 50
"""Batches among which rows are sorted by length: as in transformers, enough to find like ones, few enough to mix."""


class DataCollatorForMaskedDiffusion:
    """Make a batch for `MDMTrainer` of rows of text, or of rows that `encode_rows` made.

    Args:
        tokenizer: With MASK and EOS.
        pad_policy: See `MDMConfig.pad_policy`; `learn` and `eos_fill` give rows of `max_length`.
        max_length: The longest row [tokens].

    Raises:
        DataError: The tokenizer lacks MASK, EOS, or the padding that is to be learnt. In a call: see `encode_rows`.
        ConfigError: What is learnt to the end of a row needs a `max_length`.
    """

    def __init__(self, tokenizer: Any, pad_policy: PadPolicy = "learn", max_length: int | None = None) -> None:
        _check(tokenizer)
        if pad_policy != "ignore" and max_length is None:
            raise ConfigError(
                f"pad_policy is {pad_policy!r}, which fills rows to their end, but max_length is none; set it."
            )
        if pad_policy == "learn" and tokenizer.pad_token_id is None:
            raise DataError(
                "The tokenizer has no padding token to learn; add one (tokenizer.add_special_tokens({'pad_token': "
                "'<pad>'}), model.resize_token_embeddings(len(tokenizer))), or take pad_policy='eos_fill'."
            )
        is_pad = pad_policy != "eos_fill" and tokenizer.pad_token_id is not None
        self.fill = tokenizer.pad_token_id if is_pad else tokenizer.eos_token_id
        self.tokenizer, self.pad_policy, self.max_length = tokenizer, pad_policy, max_length
        self.skipped = 0
        """Rows with nothing to write; they teach nothing."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Give `input_ids`, `labels` and `attention_mask`, all [rows, seq]."""
        encoded: Sequence[Mapping[str, Any]] = rows
        if "labels" not in encoded[0]:
            encoded = encode_rows(self.tokenizer, rows, max_length=self.max_length)
        kept = [row for row in encoded if _has_labels(row)]
        self.skipped += len(encoded) - len(kept)
        learns_end = self.pad_policy != "ignore" and bool(kept)
        kept = kept or [{"input_ids": [self.fill], "labels": [IGNORE]}]  # a batch must have a row; its loss is 0
        lengths = torch.tensor([len(row["input_ids"]) for row in kept])
        longest = int(lengths.max())
        if self.max_length is not None and longest > self.max_length:
            raise DataError(f"A row has {longest} tokens, but max_length is {self.max_length}; nothing is cut.")
        width = longest if self.pad_policy == "ignore" or self.max_length is None else self.max_length
        is_text = torch.arange(width) < lengths[:, None]
        ids = torch.full(is_text.shape, self.fill)
        ids[is_text] = torch.tensor([token for row in kept for token in row["input_ids"]])
        labels = torch.full(is_text.shape, self.fill if learns_end else IGNORE)
        labels[is_text] = torch.tensor([label for row in kept for label in row["labels"]])
        return {"input_ids": ids, "labels": labels, "attention_mask": (is_text | learns_end).long()}


def encode_rows(
    tokenizer: Any, rows: Sequence[Mapping[str, Any]], *, max_length: int | None = None
) -> list[dict[str, list[int]]]:
    """Give the `input_ids` and `labels` of every row; one with an empty response has no labels but -100.

    Args:
        tokenizer: With MASK and EOS.
        rows: See the module.
        max_length: The longest row [tokens]; none: any length.

    Raises:
        DataError: A row is too long, holds MASK or a character outside the vocabulary, or has other columns than those
            that are known. The first rows are named. The tokenizer has no MASK or EOS.
    """
    _check(tokenizer)
    end, found = tokenizer.eos_token_id, []
    faults: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        prompt, response = _pieces(tokenizer, row, index)
        if response and end not in response:
            response = [*response, end]
        ids = prompt + response
        if tokenizer.mask_token_id in ids:
            faults.setdefault(f"hold {tokenizer.mask_token}, which is MASK,", []).append(index)
        elif tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
            faults.setdefault("have characters outside the vocabulary", []).append(index)
        elif max_length is not None and len(ids) > max_length:
            faults.setdefault(f"have more than {max_length} tokens with EOS", []).append(index)
        found.append({"input_ids": ids, "labels": [IGNORE] * len(prompt) + response})
    refuse(faults)
    return found


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """Give the tokens of a prompt as a row begins: with BOS where the tokenizer puts one, and SEP where it has one."""
    ids: list[int] = tokenizer(prompt, verbose=False)["input_ids"]
    if ids and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]
    has_sep = tokenizer.sep_token_id is None or ids[-1:] == [tokenizer.sep_token_id]
    return ids if has_sep else [*ids, tokenizer.sep_token_id]


def chat_prompt_ids(tokenizer: Any, messages: Sequence[Mapping[str, Any]], tools: Any = None) -> list[int]:
    """Give the tokens of a chat up to where the assistant is to speak."""
    ids: list[int] = tokenizer.apply_chat_template(
        list(messages), tools=tools, add_generation_prompt=True, return_dict=False
    )
    return ids


def by_length(order: Int[Tensor, " items"], lengths: Int[Tensor, " rows"], *, group: int, seed: int) -> Tensor:
    """Move rows so that those of like length come together, `group` at a time, and the groups in no order.

    Rows are moved within windows of 50 groups alone, so the outcome is a function of the seed and the step, and every
    row comes as often as before. (`group_by_length` of transformers draws from the global generator instead: its order
    depends on whatever was drawn before.)

    Args:
        order: Which row comes when, in a number that `group` divides.
        lengths: Of the rows [tokens].
        group: Rows of an optimiser step.
        seed: Names the order of the groups.
    """
    windows = []
    for number, window in enumerate(order.split(WINDOW * group)):
        groups = window[lengths[window].argsort(stable=True)].view(-1, group)
        windows.append(groups[torch.randperm(len(groups), generator=torch_generator(seed, "groups", number))].flatten())
    return torch.cat(windows)


def _check(tokenizer: Any) -> None:
    if tokenizer.mask_token_id is None:
        raise DataError(
            "The tokenizer has no mask token; add one: tokenizer.add_special_tokens({'mask_token': '<|mask|>'}), then "
            "model.resize_token_embeddings(len(tokenizer))."
        )
    if tokenizer.eos_token_id is None:
        raise DataError("The tokenizer has no EOS, which ends a response; set tokenizer.eos_token.")


def _has_labels(row: Mapping[str, Any]) -> bool:
    return any(label != IGNORE for label in row["labels"])


def _pieces(tokenizer: Any, row: Mapping[str, Any], index: int) -> tuple[list[int], list[int]]:
    """Give the tokens of a row's prompt and of its response."""
    match row:
        case {"messages": [*messages]}:
            return _chat(tokenizer, messages, row.get("tools"), index)
        case {"prompt": [*messages], "completion": [*completion]}:
            return _chat(tokenizer, [*messages, *completion], row.get("tools"), index)
        case (
            {"prompt": str(prompt), "response": str(response)}
            | {"prompt": str(prompt), "completion": str(response)}
            | {"input": str(prompt), "output": str(response)}
        ):
            return prompt_ids(tokenizer, prompt), tokenizer(response, add_special_tokens=False, verbose=False)[
                "input_ids"
            ]
    raise DataError(
        f"Row {index} has {', '.join(f'{name} ({type(value).__name__})' for name, value in row.items())}; it must have "
        "texts prompt and response (or completion), input and output, or a list messages."
    )


def _chat(tokenizer: Any, messages: Sequence[Any], tools: Any, index: int) -> tuple[list[int], list[int]]:
    if not messages or messages[-1].get("role") != "assistant":
        raise DataError(f"Row {index}: the last message must be the assistant's, which is learnt.")
    if tokenizer.chat_template is None:
        raise DataError(f"Row {index} has messages, but the tokenizer has no chat template; give prompt and response.")
    prompt = chat_prompt_ids(tokenizer, messages[:-1], tools)
    whole = tokenizer.apply_chat_template(list(messages), tools=tools, return_dict=False)
    if whole[: len(prompt)] != prompt:
        raise DataError(
            f"Row {index}: the chat template does not begin the assistant's message as it asks for one, so where the "
            "response begins is not known; give prompt and response."
        )
    return prompt, whole[len(prompt) :] if messages[-1].get("content") or messages[-1].get("tool_calls") else []
