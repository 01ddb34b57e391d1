"""Training real models: one frozen config, one bridge to `transformers.Trainer`, packing and label masking."""

from tenon.core.training.config import TrainConfig

__all__ = ["TrainConfig"]
