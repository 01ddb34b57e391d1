"""From a pair of texts to token ids: one prompt, two completions, and EOS only where a solution ends (section 2.8).

Prompt and completion are tokenised together, as the model reads them, and parted afterwards. A pair that cannot be
parted so, or would teach something else than the step, is left out, and counted under its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tenon.core.chat.prompt import begun, render
from tenon.core.chat.request import Request
from tenon.core.errors import DataError
from tenon.core.models.loading import load_tokenizer
from tenon.methods.rise.config import PromptConfig, Recipe, RISEConfig
from tenon.methods.rise.filters import Tokenize
from tenon.methods.rise.rows import Pair

__all__ = ["DROPS", "Encoded", "Rendered", "check_tokenizer", "encode_pairs", "rendered", "tokens_of"]

DROPS: Mapping[str, str] = {
    "boundary": "more than the prompt's last token merges with the completion",
    "special_inside": "BOS or EOS stands inside the text",
    "unknown": "a completion has characters outside the vocabulary",
    "round_trip": "the tokens do not give back the text",
    "empty": "a completion is empty",
    "equal": "both completions are the same tokens",
    "too_long": "a completion is longer than max_length leaves room for",
}
"""Reasons to leave a pair out, in the order in which they are looked for."""

CHUNK = 512


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A pair in the model's own chat format."""

    prompt: str
    """All that both completions go on from, special tokens included."""
    chosen: str
    """The better completion."""
    rejected: str
    """The worse one."""
    is_terminal: bool
    """Whether both end the answer."""
    is_edit: bool
    """Whether a step is compared, and not a whole solution."""


@dataclass(frozen=True)
class Encoded:
    """What became of the pairs."""

    rows: list[dict[str, Any]]
    """`prompt_ids`, `chosen_ids`, `rejected_ids`, and `is_edit`, 1 where a step is compared."""
    dropped: dict[str, int]
    """How many were left out, by the names of `DROPS`."""
    cut_prompts: int
    """How many kept rows have lost the beginning of their prompt."""
    cut_completions: int
    """How many have lost the end of a completion."""


def rendered(tokenizer: Any, row: Pair | Mapping[str, Any], prompt: PromptConfig) -> Rendered:
    """Write a pair in the model's chat format: the question, then the steps that both sides go on from.

    Args:
        tokenizer: Has the chat template.
        row: A pair or its record (section 2.7); or one that is rendered already: texts prompt, chosen and rejected,
            with is_terminal.
        prompt: How the question is asked.

    Raises:
        DataError: The row is no pair, or there is no chat template.
    """
    if isinstance(row, Mapping) and "is_terminal" in row:
        pair = Pair.from_row(row)
        is_terminal = bool(row["is_terminal"])
        is_edit = row.get("pair_kind", "full" if is_terminal else "edit") == "edit"
        return Rendered(
            prompt=pair.prompt, chosen=pair.chosen, rejected=pair.rejected, is_terminal=is_terminal, is_edit=is_edit
        )
    pair = row if isinstance(row, Pair) else Pair.from_row(row)
    request = Request(key=pair.key, messages=prompt.messages(pair.prompt), prefill=pair.initial_reason_steps)
    return Rendered(
        prompt=render(tokenizer, request),
        chosen=pair.chosen,
        rejected=pair.rejected,
        is_terminal=pair.is_terminal,
        is_edit=pair.pair_kind == "edit",
    )


def encode_pairs(
    tokenizer: Any, pairs: Iterable[Pair | Mapping[str, Any]], prompt: PromptConfig, rise: RISEConfig
) -> Encoded:
    """Give the token ids of pairs, in order, without those that cannot be used.

    Paper vs. code: the released trainer puts a BOS of its own before a template that has one; here there is one, where
    the tokenizer puts one before a text, and none where it does not.

    A solution ends with `tokenizer.eos_token`. In some templates (Gemma, Phi-3) a turn is closed by another token: set
    eos_token to that one, if the trained model is to end its answers with it.

    Args:
        tokenizer: Of the policy.
        pairs: As `rendered` takes them.
        prompt: How a question is asked.
        rise: EOS and lengths.

    Raises:
        DataError: A row is no pair, or the tokenizer lacks what is needed.
    """
    rows, counts = list[dict[str, Any]](), Counter[str]()
    for chunk in _chunks(pairs):
        texts = [rendered(tokenizer, pair, prompt) for pair in chunk]
        prompts = _tokens(tokenizer, [text.prompt for text in texts])
        chosen = _whole(tokenizer, [(text.prompt, text.chosen) for text in texts])
        rejected = _whole(tokenizer, [(text.prompt, text.rejected) for text in texts])
        for text, ids, better, worse in zip(texts, prompts, chosen, rejected, strict=True):
            row = _row(tokenizer, text, ids, better, worse, rise=rise, counts=counts)
            if isinstance(row, str):
                counts[row] += 1
            else:
                rows.append(row)
    dropped = {name: counts[name] for name in DROPS if counts[name]}
    return Encoded(rows, dropped, counts["cut prompt"], counts["cut completion"])


@dataclass(frozen=True)
class _Whole:
    """A prompt with one completion."""

    ids: list[int]
    comes_back: bool
    """Whether the tokens give back the text."""


def _row(
    tokenizer: Any,
    text: Rendered,
    prompt: list[int],
    chosen: _Whole,
    rejected: _Whole,
    *,
    rise: RISEConfig,
    counts: Counter[str],
) -> dict[str, Any] | str:
    """Give the row of a pair, or why there is none."""
    start = min(_start(prompt, chosen.ids), _start(prompt, rejected.ids))
    if start < 1:
        return "boundary"
    ids, sides = begun(tokenizer, prompt[:start]), [chosen.ids[start:], rejected.ids[start:]]
    bos, eos, unknown = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id
    has_second = bos is not None and bos != eos and any((ids + side).count(bos) > 1 for side in sides)
    if has_second or any(eos is not None and eos in side for side in sides):
        return "special_inside"
    if unknown is not None and unknown not in (bos, eos) and any(unknown in side for side in sides):
        return "unknown"
    if not (chosen.comes_back and rejected.comes_back):
        return "round_trip"
    if not all(sides):
        return "empty"
    if text.is_terminal and rise.eos_on_terminal:
        sides = [[*side, eos] for side in sides]
    prompt_length, lengths = len(ids), [len(side) for side in sides]
    if len(ids) + max(lengths) > rise.max_length:
        ids = ids[-rise.max_prompt_length :]
    if len(ids) + max(lengths) > rise.max_length:
        if not rise.cut_completion:
            return "too_long"
        sides = [side[: rise.max_length - rise.max_prompt_length] for side in sides]
    if sides[0] == sides[1]:
        return "equal"
    counts["cut prompt"] += len(ids) < prompt_length
    counts["cut completion"] += [len(side) for side in sides] != lengths
    return {"prompt_ids": ids, "chosen_ids": sides[0], "rejected_ids": sides[1], "is_edit": int(text.is_edit)}


def _start(prompt: list[int], whole: list[int]) -> int:
    """Say how many tokens of `whole` are the prompt's: all, or all but the last if it merged; otherwise 0."""
    size = len(prompt)
    if whole[:size] == prompt:
        return size
    return size - 1 if whole[: size - 1] == prompt[:-1] else 0


def _whole(tokenizer: Any, pieces: Sequence[tuple[str, str]]) -> list[_Whole]:
    found = _tokens(tokenizer, [prompt + completion for prompt, completion in pieces])
    # A tokenizer may spell a prompt's special tokens with other blanks around them; the completion must come back.
    texts = tokenizer.batch_decode(found, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    again = _tokens(tokenizer, texts)
    return [
        _Whole(ids, ids == other or text.endswith(completion))
        for ids, other, text, (_, completion) in zip(found, again, texts, pieces, strict=True)
    ]


def _tokens(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    # The template has written the special tokens already; the tokenizer would put a second BOS in front.
    found: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return found


def _chunks(pairs: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(pairs)
    while chunk := list(islice(left, CHUNK)):
        yield chunk


def check_tokenizer(tokenizer: Any, vocabulary: int, rise: RISEConfig) -> list[str]:
    """Refuse a tokenizer that cannot serve, and give what the user should know of one that can.

    Args:
        tokenizer: Of the policy.
        vocabulary: Rows of the policy's embedding.
        rise: Whether EOS is needed.

    Raises:
        DataError: It has no EOS where one is needed, or more tokens than the model.
    """
    if len(tokenizer) > vocabulary:
        raise DataError(
            f"The tokenizer has {len(tokenizer)} tokens and the model knows {vocabulary}; take the tokenizer that "
            "belongs to it, or call model.resize_token_embeddings."
        )
    if tokenizer.eos_token_id is None and rise.eos_on_terminal:
        raise DataError(
            "The tokenizer has no EOS, which ends a solution; set tokenizer.eos_token, or rise.eos_on_terminal=false."
        )
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id == tokenizer.eos_token_id:
        return ["The tokenizer pads with EOS. Padding is told apart by its place, so EOS is still learnt."]
    return []


def tokens_of(model: str, recipe: Recipe) -> Tokenize | None:
    """Give what counts the tokens of an edit's distance; None where the recipe counts characters.

    Raises:
        DataError: There is no such tokenizer.
    """
    if recipe.edit.filters.unit != "token":
        return None
    tokenizer = load_tokenizer(model)
    return lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"])
