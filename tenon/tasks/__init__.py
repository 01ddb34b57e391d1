"""Data with a known truth, each kind beside its own scorer."""
