"""Time SepLLM beside what it replaces: attention over a whole text, and decoding at long contexts.

    python bench/sepllm.py --out bench/results/sepllm.json

Attention: forward, and forward with backward, of the compact kernel beside causal SDPA (the fastest that full attention
can do) and SDPA under a mask of all pairs (what the mask costs without a kernel). Random states, one head shape.
Decoding: the time of one token of nano-lm when the cache has seen 1,024, 8,192 and 32,768 tokens, with transformers'
DynamicCache and with SepLLM's bounded cache; and the memory of either. Functions take turns (`tenon.core.bench`).
Compression: what part of the time of decoding it takes.
"""

from __future__ import annotations

import argparse
import statistics
import time
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

PARTS = ["attention", "decoding", "compression"]
HEADS, DIM = 8, 32
DENSITY = 0.115  # of separators, as on the Pile
STREAM = SepConfig(init=4, sep_capacity=64, local=64, capacity=256, prefill="stream", positions="cache")

PAPER = SepConfig(init=4, sep_capacity=64, local=256, capacity=800, prefill="stream", positions="cache")  # table 5


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
        before = ours.usage.compressions
        while ours.usage.compressions == before:
            patched(ids[:, -1:], use_cache=True, **{name: ours})
        for _ in range(int(STREAM.capacity - ours.usage.stored_now) // 2):  # to the middle of a cycle: its mean size
            patched(ids[:, -1:], use_cache=True, **{name: ours})
        stored = {"DynamicCache": seen, "SepLLM": ours.usage.stored_now}
        functions = {
            "DynamicCache": lambda: plain(ids[:, -1:], use_cache=True, **{name: full}),
            "SepLLM": lambda: patched(ids[:, -1:], use_cache=True, **{name: ours}),
        }
        rows = compare(functions, baseline="DynamicCache", repeats=repeats).rows()
    held = {"DynamicCache": cache_bytes(full), "SepLLM": ours.bytes()}
    return [
        {"tokens seen": seen, **row, "keys": stored[row["function"]], "cache [KiB]": held[row["function"]] / 1024}
        for row in rows
    ]


@torch.inference_mode()
def compression(sep: SepConfig, *, periods: int) -> dict[str, Any]:
    """Time decoding over whole cycles of the cache, and say what part of it was spent on compressing.

    A step that compresses is charged with what it took beyond the median of the ten steps before it.
    """
    model, tokenizer = load_model("nano-lm"), load_tokenizer("nano-lm")
    name, stop = cache_argument(model), tokenizer.convert_tokens_to_ids(".")
    ids = torch.randint(0, len(tokenizer), (1, 4096))
    ids[torch.rand(1, ids.shape[1]) < DENSITY] = stop
    with apply_sepllm(model, tokenizer, sep) as applied:
        cache = applied.new_cache()
        model(ids, use_cache=True, logits_to_keep=1, **{name: cache})
        times: list[float] = []
        extra: list[float] = []
        while len(extra) <= periods:
            before, start = cache.usage.compressions, time.perf_counter()
            model(ids[:, [len(times) % ids.shape[1]]], use_cache=True, **{name: cache})
            times.append(time.perf_counter() - start)
            if cache.usage.compressions > before:
                extra.append(times[-1] - statistics.median(times[-11:-1] or [times[-1]]))
                if len(extra) == 1:  # cycles are counted from here
                    times.clear()
    return {
        "capacity [tokens]": sep.capacity,
        "tokens decoded": len(times),
        "compressions": len(extra) - 1,
        "step [ms]": 1000 * statistics.median(times),
        "one compression [ms]": 1000 * statistics.median(extra[1:]),
        "share of decode time [%]": 100 * sum(extra[1:]) / sum(times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "sepllm.json")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 8192, 32768])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    torch.manual_seed(0)
    found: dict[str, Any] = {part: [] for part in args.parts}
    for seq in args.lengths if "attention" in found else ():
        for window in (64, 256):
            for backward in (False, True):
                repeats = max(3, args.repeats * 1024 // seq)
                found["attention"] += attention(seq, window, backward=backward, repeats=repeats)
    for seq in args.lengths if "decoding" in found else ():
        found["decoding"] += decoding(seq, repeats=args.repeats)
    if "compression" in found:
        found["compression"] = [compression(sep, periods=args.repeats) for sep in (STREAM, PAPER)]
    for rows in found.values():
        show(rows)
    command = f"python bench/sepllm.py --repeats {args.repeats} --lengths {' '.join(map(str, args.lengths))}"
    if args.parts != PARTS:
        command += f" --parts {' '.join(args.parts)}"
    write_results(args.out, command=command, seed=0, weights=weights_hash("nano-lm"), **found)


def show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(
            *(
                f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
                for name, value in row.items()
            ),
            sep="; ",
        )


if __name__ == "__main__":
    main()
