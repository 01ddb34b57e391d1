"""Whether the batch of a training is too large: gradient noise scale, and branches from a checkpoint."""
