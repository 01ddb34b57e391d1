"""What tenon knows about causal language models: loading, roles, seams, costs, and tiny ones for tests."""
