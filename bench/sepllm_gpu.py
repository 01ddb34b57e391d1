"""Time SepLLM on a GPU: the kernels over a whole text, and decoding of a model of 8B shape. Not run yet.

    python bench/sepllm_gpu.py --out bench/results/sepllm_gpu.json

Kernels: forward, and forward with backward, in bfloat16, at several lengths, windows and densities of separators. Ours
(FlexAttention over gathered keys) beside causal SDPA through flash and through cuDNN, of which the faster one is what
full attention costs; beside FlexAttention over the mask of all pairs, as the released code calls it; and beside SDPA
under a mask of all pairs. The most memory that each allocates. Decoding: one token of a Llama of 8B shape with random
weights after long contexts, beside DynamicCache. `--device cpu` tries the script with what a CPU has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AutoModelForCausalLM, DynamicCache, LlamaConfig

from tenon.core.bench import compare
from tenon.core.models.cache import cache_argument, cache_bytes
from tenon.core.results import write_results
from tenon.methods.sepllm.compact import compact_attention
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.flex import flex_attention, gather_blocks
from tenon.methods.sepllm.mask import Whole, sep_mask
from tenon.methods.sepllm.model import apply_sepllm

HEADS, DIM, INIT = 16, 64, 3
LLAMA_8B = LlamaConfig(
    vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=8, max_position_embeddings=131_072, rope_parameters={"rope_type": "default", "rope_theta": 5e5},
)  # fmt: skip
STREAM = SepConfig(
    separators="none", separator_ids=(13,), init=4, sep_capacity=64, local=256, capacity=800, prefill="stream",
    positions="cache",
)  # fmt: skip


def kernels(
    device: str, seq: int, window: int, density: float, *, backward: bool, repeats: int
) -> list[dict[str, Any]]:
    """Time every kernel on one text, and give the most memory that it allocates."""
    is_gpu = device != "cpu"
    states = torch.randn(3, 1, HEADS, seq, DIM, device=device, dtype=torch.bfloat16 if is_gpu else torch.float32)
    query, key, value = (one.requires_grad_(backward) for one in states.unbind())
    is_sep = torch.rand(1, seq, device=device) < density
    whole, sdpa = Whole(is_sep, None, INIT, window), torch.nn.functional.scaled_dot_product_attention
    found: dict[str, Callable[[], Any]] = {}
    for name, backend in {"flash": SDPBackend.FLASH_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}.items():
        if is_gpu:

            def causal(backend: SDPBackend = backend) -> Any:
                with sdpa_kernel(backend):
                    return sdpa(query, key, value, is_causal=True)

            found[f"causal SDPA, {name}"] = causal
    found["causal SDPA"] = lambda: sdpa(query, key, value, is_causal=True)
    found["compact"] = lambda: compact_attention(query, key, value, whole)
    if is_gpu:
        gathered = gather_blocks(whole)  # once per forward of a model, so not charged to a layer
        found["ours, gathered"] = lambda: flex_attention(query, key, value, gathered)
        found["FlexAttention, all pairs"] = _all_pairs(query, key, value, is_sep, window)
    if seq <= 8192:
        mask = sep_mask(is_sep, init=INIT, window=window)[:, None]
        found["mask of all pairs"] = lambda: sdpa(query, key, value, attn_mask=mask)

    def run(function: Callable[[], Any]) -> Callable[[], None]:
        def once() -> None:
            output = function()
            if backward:
                torch.autograd.grad(output.float().sum(), (query, key, value))

        return once

    functions = {name: run(function) for name, function in found.items() if _works(run(function), name)}
    memory = {name: _peak(function) for name, function in functions.items()} if is_gpu else {}
    rows = compare(functions, baseline="causal SDPA", repeats=repeats, warmup=3).rows()
    facts = {"tokens": seq, "window": window, "density": density, "pass": "both" if backward else "forward"}
    return [facts | row | {"peak [MiB]": memory.get(row["function"])} for row in rows]


def _all_pairs(query: Any, key: Any, value: Any, is_sep: torch.Tensor, window: int) -> Callable[[], Any]:
    """FlexAttention as the released code calls it: a mask over all pairs, none of whose blocks is empty."""
    from torch.nn.attention import flex_attention as flex

    mask = sep_mask(is_sep, init=INIT, window=window)

    def sees(row: Any, head: Any, at: Any, place: Any) -> Any:
        return mask[row, at, place]

    seq = is_sep.shape[1]
    blocks = flex.create_block_mask(sees, 1, None, seq, seq, device=str(is_sep.device))
    compiled = torch.compile(flex.flex_attention)
    return lambda: compiled(query, key, value, block_mask=blocks)


def _works(function: Callable[[], None], name: str) -> bool:
    """Say whether this machine has the kernel; what it lacks is told and left out."""
    try:
        function()
    except (RuntimeError, torch.OutOfMemoryError) as error:
        print(f"{name}: left out ({str(error).splitlines()[0]})")
        return False
    return True


def _peak(function: Callable[[], None]) -> float:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    function()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


@torch.inference_mode()
def decoding(device: str, config: LlamaConfig, seen: int, batch: int, *, repeats: int) -> list[dict[str, Any]]:
    """Time one decoded token after `seen` tokens of every row."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    name, heads, width = cache_argument(model), config.num_key_value_heads, config.head_dim
    full = DynamicCache(config=config)
    for layer in range(config.num_hidden_layers):  # what is stored does not change the time
        states = torch.randn(2, batch, heads, seen, width, device=device, dtype=dtype)
        full.update(states[0], states[1], layer)
    ids = torch.randint(14, 1000, (batch, 2048), device=device)
    ids[torch.rand(ids.shape, device=device) < 0.115] = 13
    with apply_sepllm(model, None, STREAM) as applied:
        ours = applied.new_cache()
        for part in ids.split(512, 1):
            model(part, use_cache=True, logits_to_keep=1, **{name: ours})
        # One model for both, since two do not fit; so they are timed one after the other, not in turn.
        token = ids[:, -1:]
        times = compare(
            {"SepLLM": lambda: model(token, use_cache=True, **{name: ours})}, baseline="SepLLM", repeats=repeats
        ).rows()
    times += compare(
        {"DynamicCache": lambda: model(token, use_cache=True, **{name: full})}, baseline="DynamicCache", repeats=repeats
    ).rows()
    held = {"DynamicCache": cache_bytes(full), "SepLLM": ours.bytes()}
    return [
        {
            "tokens seen": seen,
            "rows": batch,
            "function": row["function"],
            "median [ms]": row["median [ms]"],
            "tokens/s": 1000 * batch / row["median [ms]"],
            "cache [MiB]": held[row["function"]] / 2**20,
        }
        for row in times
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "sepllm_gpu.json")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 8192, 32768])
    parser.add_argument("--contexts", type=int, nargs="+", default=[8192, 32768, 131_072])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--small", action="store_true", help="A model of two layers instead of 8B: to try the script.")
    args = parser.parse_args()
    torch.manual_seed(0)
    found: dict[str, Any] = {"kernels": [], "decoding": []}
    for seq in args.lengths:
        for window in (64, 256):
            for density in (0.05, 0.115, 0.2):
                for backward in (False, True):
                    rows = kernels(args.device, seq, window, density, backward=backward, repeats=args.repeats)
                    found["kernels"] += rows
                    print(*(f"{row['function']} {row['median [ms]']:.3f} ms" for row in rows), sep="; ", flush=True)
    config = LLAMA_8B
    if args.small:
        config = LlamaConfig(**{**LLAMA_8B.to_diff_dict(), "num_hidden_layers": 2, "hidden_size": 256, "head_dim": 8})
    for seen in args.contexts:
        for batch in args.batches:
            try:
                found["decoding"] += decoding(args.device, config, seen, batch, repeats=args.repeats)
            except torch.OutOfMemoryError:
                print(f"{batch} rows of {seen} tokens do not fit with DynamicCache")
    for row in found["decoding"]:
        print(row)
    command = f"python bench/sepllm_gpu.py --repeats {args.repeats}"
    write_results(args.out, command=command, seed=0, weights="none: random", **found)


if __name__ == "__main__":
    main()
