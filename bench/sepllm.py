"""Time SepLLM beside what it replaces: attention over a whole text, and decoding at long contexts.

    python bench/sepllm.py --out bench/results/sepllm.json

Attention: forward, and forward with backward, of the compact kernel beside causal SDPA (the fastest that full attention
can do) and SDPA under a mask of all pairs (what the mask costs without a kernel). Random states, one head shape.
Decoding: the time of one token of nano-lm when the cache has seen 1,024, 8,192 and 32,768 tokens, with transformers'
DynamicCache and with SepLLM's bounded cache; and the memory of either. Functions take turns (`tenon.core.bench`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from tenon.core.bench import compare
from tenon.core.models.cache import cache_argument, cache_bytes
from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
from tenon.core.results import write_results
from tenon.methods.sepllm.compact import compact_attention
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.mask import Whole, sep_mask
from tenon.methods.sepllm.model import apply_sepllm

HEADS, DIM = 8, 32
DENSITY = 0.115  # of separators, as on the Pile
STREAM = SepConfig(init=4, sep_capacity=64, local=64, capacity=256, prefill="stream", positions="cache")


def attention(seq: int, window: int, *, backward: bool, repeats: int) -> list[dict[str, Any]]:
    """Time one layer's attention over a text of `seq` tokens."""
    states = torch.randn(3, 1, HEADS, seq, DIM).unbind()
    query, key, value = (one.requires_grad_(backward) for one in states)
    is_sep = torch.rand(1, seq) < DENSITY
    sdpa = torch.nn.functional.scaled_dot_product_attention

    def run(function: Any) -> Any:
        def once() -> None:
            output = function()
            if backward:
                torch.autograd.grad(output.sum(), (query, key, value))

        return once

    functions = {
        "causal SDPA": run(lambda: sdpa(query, key, value, is_causal=True)),
        "compact": run(lambda: compact_attention(query, key, value, Whole(is_sep, None, 3, window))),
    }
    if seq <= 8192:  # beyond, the mask alone takes gigabytes
        functions["dense mask"] = run(
            lambda: sdpa(query, key, value, attn_mask=sep_mask(is_sep, init=3, window=window)[:, None])
        )
    rows = compare(functions, baseline="causal SDPA", repeats=repeats, warmup=1).rows()
    return [{"tokens": seq, "window": window, "pass": "both" if backward else "forward", **row} for row in rows]


@torch.inference_mode()
def decoding(seen: int, *, repeats: int) -> list[dict[str, Any]]:
    """Time one decoded token after `seen` tokens, and give the memory of both caches."""
    plain, patched, tokenizer = load_model("nano-lm"), load_model("nano-lm"), load_tokenizer("nano-lm")
    name = cache_argument(plain)
    ids = torch.randint(0, len(tokenizer), (1, seen))
    ids[torch.rand(1, seen) < DENSITY] = tokenizer.convert_tokens_to_ids(".")
    full = DynamicCache(config=plain.config)
    head, groups = plain.config.head_dim, plain.config.num_key_value_heads
    for layer in range(plain.config.num_hidden_layers):  # what is stored does not change the time
        full.update(torch.randn(1, groups, seen, head), torch.randn(1, groups, seen, head), layer)
    with apply_sepllm(patched, tokenizer, STREAM) as applied:
        ours = applied.new_cache()
        for part in ids.split(4096, 1):
            patched(part, use_cache=True, logits_to_keep=1, **{name: ours})
        functions = {
            "DynamicCache": lambda: plain(ids[:, -1:], use_cache=True, **{name: full}),
            "SepLLM": lambda: patched(ids[:, -1:], use_cache=True, **{name: ours}),
        }
        rows = compare(functions, baseline="DynamicCache", repeats=repeats).rows()
    held = {"DynamicCache": cache_bytes(full), "SepLLM": ours.bytes()}
    return [{"tokens seen": seen, **row, "cache [KiB]": held[row["function"]] / 1024} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "sepllm.json")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 8192, 32768])
    args = parser.parse_args()
    torch.manual_seed(0)
    found: dict[str, Any] = {"attention": [], "decoding": []}
    for seq in args.lengths:
        for window in (64, 256):
            for backward in (False, True):
                found["attention"] += attention(
                    seq, window, backward=backward, repeats=max(3, args.repeats * 1024 // seq)
                )
        found["decoding"] += decoding(seq, repeats=args.repeats)
        show(found, seq)
    command = f"python bench/sepllm.py --repeats {args.repeats} --lengths {' '.join(map(str, args.lengths))}"
    write_results(args.out, command=command, seed=0, weights=weights_hash("nano-lm"), **found)


def show(found: dict[str, Any], seq: int) -> None:
    for rows in found.values():
        for row in rows:
            if seq in (row.get("tokens"), row.get("tokens seen")):
                print(
                    *(
                        f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
                        for name, value in row.items()
                    ),
                    sep="; ",
                )


if __name__ == "__main__":
    main()
