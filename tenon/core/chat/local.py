"""Answers of a transformers model in this process, in batches.

A batch is cut from the whole list of requests, sorted by length, so that a run that goes on makes the same batches.
What a row draws is hashed from the seed and its key: neither its neighbours nor the size of the batch change it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from tenon.core.chat.draw import drawing_scores
from tenon.core.chat.prompt import begun, continuation, render, tool_calls
from tenon.core.chat.request import Completion, Failure, FinishReason, Request, cut
from tenon.core.errors import BackendError, ConfigError, DataError
from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
from tenon.core.noise import gumbel, streams
from tenon.core.seeds import derive

__all__ = ["LocalWriter"]


class LocalWriter:
    """A causal language model with a chat template.

    Sampling settings that come with a checkpoint (a repetition penalty, a temperature) are not used: the request says
    how tokens are chosen.
    """

    prices = None

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        batch_size: int = 16,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        """Take a model; a name is loaded when the first answer is asked for.

        Args:
            model: A name as in `load_model`, or a loaded model, which keeps its device and dtype.
            tokenizer: Its tokenizer; None loads the one that belongs to a name.
            batch_size: Requests that are answered together.
            device: As in `load_model`.
            dtype: As in `load_model`.

        Raises:
            ConfigError: `batch_size` is below 1, or a loaded model comes without a tokenizer.
            DataError: There is no such model.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be 1 or more.")
        is_name = isinstance(model, str | Path)
        if not is_name and tokenizer is None:
            raise ConfigError("LocalWriter has a loaded model and no tokenizer; pass both, or the model's name.")
        self._source, self._tokenizer, self._batch_size = model, tokenizer, batch_size
        self._device, self._dtype = device, dtype if is_name else str(model.dtype).removeprefix("torch.")
        name = str(model) if is_name else getattr(model, "name_or_path", "") or type(model).__name__
        name = Path(name).resolve().name if Path(name).is_dir() else name  # where a folder lies changes no answer
        self.name = f"{name} ({weights_hash(model)[:12]})"

    def identity(self) -> dict[str, str]:
        """Give the model, the dtype and the batch size: both change the last bits of a float."""
        return {"writer": self.name, "dtype": self._dtype, "batch_size": str(self._batch_size)}

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return load_tokenizer(self._source) if self._tokenizer is None else self._tokenizer

    @cached_property
    def model(self) -> Any:
        """The model, checked once: that it has an end, and knows every token of its tokenizer."""
        model = self._source
        if isinstance(model, str | Path):
            model = load_model(model, device=self._device, dtype=self._dtype)
        self._ends = _end_tokens(model, self.tokenizer)
        known, given = model.get_input_embeddings().weight.shape[0], len(self.tokenizer)
        if given > known:
            raise DataError(
                f"The tokenizer of {self.name} has {given} tokens and the model knows {known}; "
                "take the tokenizer that belongs to it, or call model.resize_token_embeddings."
            )
        return model

    def write(
        self, requests: Sequence[Request], *, seed: int, known: Collection[int] = frozenset()
    ) -> Iterator[tuple[int, Completion | Failure]]:
        """Answer batch by batch, the longest prompts first; see `Writer.write`.

        Raises:
            DataError: The template refuses a conversation, or model and tokenizer do not belong together.
            BackendError: The device has not enough memory for a batch.
        """
        known = set(known)
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        prompts = self._tokenised(requests)
        fitting = []
        for place, prompt in enumerate(prompts):
            if limit is None or len(prompt) < limit:
                fitting.append(place)
            elif place not in known:
                why = f"its prompt has {len(prompt)} tokens, and the model knows {limit} positions"
                yield place, Failure(reason=why)
        fitting.sort(
            key=lambda place: -len(prompts[place])
        )  # the largest first: what memory cannot hold is seen at once
        for start in range(0, len(fitting), self._batch_size):
            places = fitting[start : start + self._batch_size]
            if not known.issuperset(places):
                batch = [requests[place] for place in places]
                yield from zip(places, self._answer(batch, [prompts[p] for p in places], limit, seed), strict=True)

    def _advice(self) -> str:
        if self._batch_size == 1:
            return "Allow fewer max_tokens, in a new folder, or take a device with more memory."
        return (
            f"Begin again in a new folder with --batch-size {self._batch_size // 2} (batch_size in Python), or with "
            "fewer max_tokens; a run keeps both, since batches of another size change the last bits of a number."
        )

    def check(self, requests: Sequence[Request]) -> None:
        """Render the requests; see `Writer.check`.

        Raises:
            DataError: There is no chat template, or it refuses a conversation.
        """
        for request in requests:
            render(self.tokenizer, request)

    def _tokenised(self, requests: Sequence[Request]) -> list[list[int]]:
        texts = [render(self.tokenizer, request) for request in requests]
        # The template has written the special tokens already; the tokenizer would put a second one in front.
        ids = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return [begun(self.tokenizer, one) for one in ids]

    @torch.inference_mode()
    def _answer(
        self, requests: Sequence[Request], prompts: Sequence[list[int]], limit: int | None, seed: int
    ) -> list[Completion]:
        width = max(map(len, prompts))
        rows = [
            _Row(request, prompt, self.tokenizer, self._ends, None if limit is None else limit - len(prompt))
            for request, prompt in zip(requests, prompts, strict=True)
        ]
        steps = max(row.limit for row in rows)
        pad = self.tokenizer.pad_token_id
        pad = next(iter(self._ends)) if pad is None else pad  # what stands in a masked place is never read
        ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts], device=self.model.device)
        drawing = [_Drawing(requests, width, steps, seed, self.model.device)]
        if all(request.sampling.temperature == 0 for request in requests):
            drawing = []
        try:
            self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=steps,
                do_sample=False,
                num_beams=1,
                repetition_penalty=1.0,
                eos_token_id=sorted(self._ends),
                pad_token_id=pad,
                use_cache=True,  # whatever the model's config says: without it every step reads the whole text
                logits_processor=LogitsProcessorList(drawing),
                stopping_criteria=StoppingCriteriaList([_Ending(rows)]),
            )
        except torch.OutOfMemoryError as error:
            raise BackendError(
                f"{self.model.device} has no room for {len(rows)} answers at {width} + {steps} tokens. {self._advice()}"
            ) from error
        return [row.completion(self.name) for row in rows]


class _Row:
    """One answer while it is written."""

    def __init__(self, request: Request, prompt: list[int], tokenizer: Any, ends: set[int], room: int | None) -> None:
        self.request, self.prompt, self.tokenizer, self.ends = request, prompt, tokenizer, ends
        asked = request.sampling.max_tokens
        self.limit = asked if room is None else min(asked, room)
        self.tokens: list[int] = []
        self.reason: FinishReason | None = None
        # A stop string ends in the newest token, and a token is one byte or more, special ones aside.
        self.look_back = max((len(stop.encode()) for stop in request.sampling.stop), default=0) + 8

    def take(self, token: int) -> None:
        """Add a token; after the end nothing is added."""
        if self.reason is not None:
            return
        self.tokens.append(token)
        if token in self.ends or self._stops():
            self.reason = "stop"
        elif len(self.tokens) == self.limit:
            self.reason = "length"

    def _stops(self) -> bool:
        stop = self.request.sampling.stop
        if not stop:
            return False
        tail = self.tokenizer.decode(self.tokens[-self.look_back :], skip_special_tokens=True)
        return cut(tail, stop)[1] is not None and cut(self._text(), stop)[1] is not None

    def _text(self, *, special: bool = False) -> str:
        written = self.tokens[:-1] if self.tokens and self.tokens[-1] in self.ends else self.tokens
        return continuation(self.tokenizer, self.prompt, written, special=special)

    def completion(self, writer: str) -> Completion:
        """Give the answer."""
        reason: FinishReason = self.reason or "length"
        calls: tuple[Mapping[str, Any], ...] = ()
        text, stop = cut(self._text(), self.request.sampling.stop)
        if self.request.tools:
            said, calls = tool_calls(self._text(special=True), self.request.key)
            if calls:
                text, stop, reason = said, None, "tool_calls"
        return Completion(
            text=text,
            finish_reason=reason,
            stop_string=stop,
            tool_calls=calls,
            writer=writer,
            prompt_tokens=len(self.prompt),
            completion_tokens=len(self.tokens),
        )


class _Ending(StoppingCriteria):
    """Ends every row by its own rules."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: Tensor, scores: Any, **options: Any) -> Any:
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            row.take(token)
        return torch.tensor([row.reason is not None for row in self._rows], device=input_ids.device)


class _Drawing(LogitsProcessor):
    """Turns the greedy choice into a draw, by every row's own temperature, top_p and randomness."""

    def __init__(self, requests: Sequence[Request], width: int, steps: int, seed: int, device: torch.device) -> None:
        keys = torch.tensor([derive(seed, request.key) for request in requests], device=device)
        self._width, self._streams = width, streams(keys, 0, steps)
        self._temperature = torch.tensor([request.sampling.temperature for request in requests], device=device)
        self._top_p = torch.tensor([request.sampling.top_p for request in requests], device=device)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        noise = gumbel(self._streams[input_ids.shape[1] - self._width], scores.shape[1])
        return drawing_scores(scores, self._temperature, self._top_p, noise)


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Give the tokens that end an answer: the tokenizer's, and those of the model's generation config."""
    given = getattr(model.generation_config, "eos_token_id", None)
    ends = {tokenizer.eos_token_id, *(given if isinstance(given, list) else [given])} - {None}
    if not ends:
        raise DataError(
            f"Neither the tokenizer {tokenizer.name_or_path!r} nor the model's generation config has an end token, so "
            "every answer would run until it is cut; set tokenizer.eos_token."
        )
    return ends
