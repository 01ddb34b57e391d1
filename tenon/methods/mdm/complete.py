"""What a fine-tuned model writes to a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tenon.core.errors import DataError
from tenon.core.models.loading import load_config, load_model, load_tokenizer
from tenon.methods.mdm.collator import chat_prompt_ids, prompt_ids
from tenon.methods.mdm.config import DecodeConfig
from tenon.methods.mdm.model import MDMForMaskedDiffusion
from tenon.methods.mdm.sampler import sample

__all__ = ["Completer", "load_completer"]


@dataclass
class Completer:
    """A masked-diffusion model that writes a response to a prompt."""

    model: Any
    """It."""
    tokenizer: Any
    """Its tokenizer."""
    decode: DecodeConfig
    """How it writes."""
    forwards: int = 0
    """Passes of the model so far."""

    @property
    def learnt(self) -> dict[str, Any]:
        """How its rows were: `pad_policy`, `max_length`, `is_chat`; nothing for a model that was not fine-tuned."""
        return getattr(self.model.config, "finetuned", None) or {}

    def __call__(self, prompt: str, *, length: int | None = None, key: int = 0, seed: int = 0) -> str:
        """Write a response, and give it up to its EOS.

        Args:
            prompt: A prompt like those it was trained on; of a chat model, what the user says.
            length: Places to write in, EOS among them [tokens]; none: as many as in training.
            key: Names the prompt's noise.
            seed: Of the noise.

        Raises:
            DataError: There is no length, none is left, or it is more than the model knows.
        """
        if self.learnt.get("is_chat"):
            start = chat_prompt_ids(self.tokenizer, [{"role": "user", "content": prompt}])
        else:
            start = prompt_ids(self.tokenizer, prompt)
        places = self.places(len(start)) if length is None else length
        known = getattr(self.model.config.backbone, "max_position_embeddings", None)
        if places < 1 or (known is not None and len(start) + places > known):
            raise DataError(
                f"The prompt has {len(start)} tokens and the response {places}; the response needs 1 or more, and both "
                f"together fit into {known} positions. Set another length, or shorten the prompt."
            )
        ids = torch.tensor([start + [self.model.config.mask_token_id] * places], device=self.model.device)
        found = sample(
            self.model.predict,
            ids,
            torch.arange(ids.shape[1], device=ids.device)[None] >= len(start),
            self.decode,
            mask_id=self.model.config.mask_token_id,
            forbidden=[] if self.tokenizer.sep_token_id is None else [self.tokenizer.sep_token_id],
            keys=torch.tensor([key]),
            seed=seed,
        )
        self.forwards += found.forwards
        written = found.sequences[0, len(start) :].tolist()
        end = self.tokenizer.eos_token_id
        return str(self.tokenizer.decode(written[: written.index(end)] if end in written else written))

    def places(self, prompt_tokens: int) -> int:
        """Give how many places stood behind a prompt of this length in training.

        Raises:
            DataError: The model learnt responses of known length, so it must be told.
        """
        if self.learnt.get("pad_policy", "ignore") == "ignore":
            raise DataError("This model has not learnt where a response ends; give its length with --length.")
        return int(self.learnt["max_length"]) - prompt_tokens


def load_completer(folder: str | Path, decode: DecodeConfig, *, device: str = "auto") -> Completer:
    """Load a model that `tenon mdm finetune` made.

    Args:
        folder: Its `model` folder.
        decode: How it writes.
        device: Where.

    Raises:
        DataError: It is no masked-diffusion model.
    """
    if load_config(folder).model_type != "mdm":
        raise DataError(f"{folder} is no masked-diffusion model; give the model folder of a `tenon mdm finetune`.")
    model = load_model(folder, device=device, architecture=MDMForMaskedDiffusion)
    return Completer(model, load_tokenizer(folder), decode)
