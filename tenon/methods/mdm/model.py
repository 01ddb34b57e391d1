"""Seam to transformers' models: any decoder as a masked-diffusion model, whose every token sees every other.

What makes a decoder bidirectional is `is_causal=False` in its config (transformers 5.2 and newer), and in its attention
modules, which decide for SDPA when there is no mask. Neither is trusted: `check_bidirectional` changes the last token
and looks whether the first one's logits move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput

from tenon.core.errors import ConfigError, DataError, UnsupportedModelError
from tenon.methods.mdm.config import SIZES

__all__ = ["MDMForMaskedDiffusion", "MDMModelConfig", "check_bidirectional", "new_model"]


class MDMModelConfig(PreTrainedConfig):
    """A backbone, the id of MASK, and whether a token is predicted from the state before it."""

    model_type = "mdm"
    sub_configs = {"backbone": AutoConfig}  # noqa: RUF012 - transformers reads it from the class
    has_no_defaults_at_init = True

    def __init__(
        self,
        backbone: PreTrainedConfig | dict[str, Any] | None = None,
        mask_token_id: int = 2,
        shift_logits: bool = True,
        **kwargs: Any,
    ) -> None:
        """Describe a model.

        Args:
            backbone: Config of a decoder: GPT-2, Llama, Qwen ...
            mask_token_id: Id of MASK.
            shift_logits: The prediction of token `n` is read from state `n - 1`, as an autoregressive model reads it,
                so that such a one can be trained on [code]; token 0 from its own.
            kwargs: Of every config.
        """
        if isinstance(backbone, dict):
            backbone = AutoConfig.for_model(**backbone)
        self.backbone = backbone
        self.mask_token_id = mask_token_id
        self.shift_logits = shift_logits
        if backbone is not None:
            kwargs.setdefault("tie_word_embeddings", backbone.tie_word_embeddings)
            if backbone._attn_implementation is not None:  # a config made around another one would forget it
                kwargs.setdefault("attn_implementation", backbone._attn_implementation)
        super().__init__(**kwargs)

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary."""
        assert self.backbone is not None
        return int(self.backbone.vocab_size)


class MDMForMaskedDiffusion(PreTrainedModel):
    """A decoder whose tokens all see each other, predicting what stands at every MASK.

    Args:
        config: Its backbone's config among it.
    """

    config_class = MDMModelConfig
    base_model_prefix = "decoder"
    supports_gradient_checkpointing = True
    _tied_weights_keys: dict[str, str] = {}  # noqa: RUF012 - what the backbone ties, it says; peft wants to be told
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True

    def __init__(self, config: MDMModelConfig, decoder: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        assert config.backbone is not None
        if decoder is None:
            if config._attn_implementation is not None:
                config.backbone._attn_implementation = config._attn_implementation
            decoder = AutoModelForCausalLM.from_config(config.backbone)
        self.decoder: Any = decoder
        _see_everything(self.decoder)
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "rows seq"],
        attention_mask: Int[Tensor, "rows seq"] | None = None,
        at: Int[Tensor, " chosen"] | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Give logits, aligned with the tokens they predict.

        Args:
            input_ids: The text, MASK where it is to be predicted.
            attention_mask: 0 on tokens that nobody is to see; none: all are seen, padding too, as in the paper.
            at: Where logits are wanted, counted over all rows (row * seq + place); none: everywhere. The projection to
                the vocabulary is computed there alone.
            kwargs: For the backbone.

        Returns:
            `logits` [rows, seq, vocab], or [chosen, vocab].
        """
        states = self.decoder.base_model(
            input_ids, attention_mask=attention_mask, use_cache=False, **kwargs
        ).last_hidden_state
        if at is not None:
            if self.config.shift_logits:
                at = at - (at % input_ids.shape[1] > 0).to(at.dtype)
            states = states.flatten(0, 1)[at]
        elif self.config.shift_logits:
            states = torch.cat([states[:, :1], states[:, :-1]], 1)
        return MaskedLMOutput(logits=self.decoder.get_output_embeddings()(states))

    def predict(self, ids: Int[Tensor, "rows seq"]) -> Float[Tensor, "rows seq vocab"]:
        """Give the logits alone: what `sample` asks for."""
        logits: Tensor = self(ids).logits
        return logits

    def get_input_embeddings(self) -> nn.Module:
        """Give the backbone's."""
        module: nn.Module = self.decoder.get_input_embeddings()
        return module

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Set the backbone's."""
        self.decoder.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Give the backbone's projection to the vocabulary."""
        module: nn.Module = self.decoder.get_output_embeddings()
        return module

    @classmethod
    def from_causal(
        cls, decoder: PreTrainedModel, *, mask_token_id: int, shift_logits: bool = True
    ) -> MDMForMaskedDiffusion:
        """Make a masked-diffusion model of a trained autoregressive one, which is changed in place.

        Args:
            decoder: A causal language model, such as `load_model` gives.
            mask_token_id: Id of MASK, an entry of its vocabulary.
            shift_logits: See `MDMModelConfig`; what it has learnt is aligned so.

        Raises:
            DataError: The id is outside the vocabulary.
            UnsupportedModelError: The model cannot be made to look ahead.
        """
        if not 0 <= mask_token_id < decoder.config.vocab_size:
            raise DataError(
                f"mask_token_id is {mask_token_id}, but the vocabulary has {decoder.config.vocab_size} tokens; add a "
                "mask token to the tokenizer and resize: model.resize_token_embeddings(len(tokenizer))."
            )
        model = cls(MDMModelConfig(decoder.config, mask_token_id, shift_logits), decoder)
        check_bidirectional(model)
        return model


def new_model(
    size: str,
    *,
    vocab_size: int,
    mask_token_id: int,
    positions: int = 512,
    backbone: str = "gpt2",
    **changes: Any,
) -> MDMForMaskedDiffusion:
    """Build an untrained model of a published size (`small` is another name of `base`).

    Args:
        size: `tiny`, `base` or `medium`.
        vocab_size: Tokens of the vocabulary.
        mask_token_id: Id of MASK.
        positions: The longest text [tokens].
        backbone: `gpt2`, the paper's, or `llama`: of the same depth, width and heads, with rotary positions and a gated
            feed-forward layer of about as many weights [ours]; it drops out attention alone.
        changes: Of the backbone's config in GPT-2's names, such as `n_layer=2`.

    Raises:
        ConfigError: There is no such size or backbone.
    """
    name = {"small": "base"}.get(size, size)
    if name not in SIZES:
        raise ConfigError(f"There is no size {size!r}; the sizes are {', '.join(SIZES)}.")
    if backbone not in _BACKBONES:
        raise ConfigError(f"There is no backbone {backbone!r}; the backbones are {', '.join(_BACKBONES)}.")
    fields = {"vocab_size": vocab_size, "n_positions": positions, "bos_token_id": None, "eos_token_id": None}
    fields |= SIZES[name] | changes
    model = MDMForMaskedDiffusion(MDMModelConfig(_BACKBONES[backbone](fields), mask_token_id))
    check_bidirectional(model)
    return model


def _gpt2(fields: dict[str, Any]) -> PreTrainedConfig:
    from transformers import GPT2Config

    return GPT2Config(**fields)


def _llama(fields: dict[str, Any]) -> PreTrainedConfig:
    from transformers import LlamaConfig

    names = {
        "n_layer": "num_hidden_layers", "n_embd": "hidden_size", "n_head": "num_attention_heads",
        "n_positions": "max_position_embeddings", "attn_pdrop": "attention_dropout",
    }  # fmt: skip
    own = {names.get(name, name): value for name, value in fields.items() if name not in ("resid_pdrop", "embd_pdrop")}
    width = -(-own["hidden_size"] * 8 // 3 // 32) * 32  # three matrices instead of GPT-2's two of four times the width
    return LlamaConfig(**own, intermediate_size=width, tie_word_embeddings=True)


_BACKBONES: dict[str, Callable[[dict[str, Any]], PreTrainedConfig]] = {"gpt2": _gpt2, "llama": _llama}


def _see_everything(decoder: Any) -> None:
    """Let every token see every other, whichever attention computes it."""
    decoder.config.is_causal = False
    for module in decoder.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False


@torch.no_grad()
def check_bidirectional(model: Any, *, length: int = 8) -> None:
    """Refuse a model whose first token does not notice a change of the last one: it would silently be causal.

    Args:
        model: A masked-diffusion model; its mode is kept.
        length: Of the text that is tried [tokens].

    Raises:
        UnsupportedModelError: The first token's logits do not move, or the model does not run without its causal mask.
    """
    was_training = model.training
    model.eval()
    try:
        vocab = model.config.vocab_size
        ids = torch.arange(length, device=model.device)[None] % vocab
        other = ids.clone()
        other[0, -1] = (ids[0, -1] + 1) % vocab
        moved = float((model(ids).logits[0, 0] - model(other).logits[0, 0]).abs().max())
    except (AttributeError, RuntimeError, TypeError) as error:  # its code expects the mask
        raise UnsupportedModelError(
            f"A {model.config.backbone.model_type} model does not run without its causal mask ({error}); use another, "
            "such as a Llama, Qwen, Mistral, Gemma, Phi or GPT-2."
        ) from error
    finally:
        model.train(was_training)
    if not moved > 0:
        raise UnsupportedModelError(
            f"{type(model).__name__} of a {model.config.backbone.model_type} backbone is causal: its first token "
            f"does not see the last one (attention {model.config.backbone._attn_implementation!r}, is_causal="
            f"{getattr(model.config.backbone, 'is_causal', None)}). Use a model of transformers' own code that follows "
            "config.is_causal, or attn_implementation='sdpa'."
        )


AutoConfig.register("mdm", MDMModelConfig)
