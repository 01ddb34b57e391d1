"""RISE (arXiv 2410.06638): subtle errors injected into a model's own right solutions, and DPO on them."""
