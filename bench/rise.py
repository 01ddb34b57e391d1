"""Time RISE's training beside trl's own DPOTrainer on the same rows, and the sampling beside plain `generate`.

    python bench/rise.py --out bench/results/rise.json

Training: forward and backward of one batch of pairs, precomputed reference, the same model, dtype and rows; the losses
must be equal. Edit-heavy rows: three of four pairs compare a step (350 tokens of prompt, 70 of completion), one whole
solutions (120 and 350), as in section 8 of the specification. `stock` is trl's trainer with its own collator; `ours`
reads every row as trl does; `shared` reads once what both sides have in common. `by tokens`: what that saves at most.
Memory: the peak of one such step, each in a process of its own (on a GPU: of the allocator).
Sampling: `LocalWriter` beside `model.generate` on the same prompts, greedy, until the same texts have ended.
Weights are random but for nano-lm's: what they are does not change the time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, Qwen2Config
from trl import DPOConfig, DPOTrainer

from tenon.core.bench import compare
from tenon.core.chat import Request, Sampling
from tenon.core.chat.local import LocalWriter
from tenon.core.models.loading import load_model, load_tokenizer
from tenon.core.results import write_results
from tenon.core.training.config import TrainConfig
from tenon.methods.rise.config import RISEConfig
from tenon.methods.rise.evaluate import questions_of, word_problems
from tenon.methods.rise.trainer import RISETrainer

PARTS = ["training", "memory", "sampling"]
TRAINERS = ("stock", "ours", "shared")
SIZES = {
    "small": {"hidden_size": 256, "intermediate_size": 1024, "layers": 4, "heads": 4, "vocab_size": 32_000},
    "0.5B": {"hidden_size": 896, "intermediate_size": 4864, "layers": 24, "heads": 14, "vocab_size": 151_936},
    "1.5B": {"hidden_size": 1536, "intermediate_size": 8960, "layers": 28, "heads": 12, "vocab_size": 151_936},
}
"""Qwen2's shapes; `small` is what a CPU does in seconds."""


class Stock(DPOTrainer):
    """trl's trainer as it is, but for the rows, which are token ids already."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


def rows(count: int, vocabulary: int, kind: str) -> list[dict[str, Any]]:
    """Draw pairs of random tokens; both sides of an edited one are alike up to the middle, where some tokens differ."""
    draw = torch.Generator().manual_seed(0)
    found = []
    for index in range(count):
        is_edit = kind == "edit" or (kind == "mixed" and index % 4 != 3)
        prompt, length = (350, 70) if is_edit else (120, 350)
        ids = torch.randint(10, vocabulary, (prompt + 2 * length,), generator=draw).tolist()
        chosen, other = ids[prompt : prompt + length], ids[prompt + length :]
        rejected = [*chosen[: length // 2], *other[:3], *chosen[length // 2 + 3 :]] if is_edit else other
        found.append({"prompt_ids": ids[:prompt], "chosen_ids": chosen, "rejected_ids": rejected})
    return found


def model_of(size: str, device: str, dtype: str) -> Any:
    """Give a model of random weights."""
    shape = dict(SIZES[size])
    layers, heads = shape.pop("layers"), shape.pop("heads")
    config = Qwen2Config(
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=2, tie_word_embeddings=True, **shape
    )
    torch.manual_seed(0)
    made: Any = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    return made.to(device)


def step_of(name: str, args: argparse.Namespace, kind: str, folder: Path) -> Callable[[], float]:
    """Give a training step, forward and backward, of one of `TRAINERS`; it returns the loss."""
    model, pairs = model_of(args.size, args.device, args.dtype), rows(args.pairs, SIZES[args.size]["vocab_size"], kind)
    tokenizer = load_tokenizer("nano-lm")  # pads; its words are not asked for
    is_cpu = args.device == "cpu"
    if name == "stock":
        arguments = DPOConfig(
            output_dir=str(folder), max_steps=1, per_device_train_batch_size=args.pairs, beta=0.4, bf16=False,
            gradient_checkpointing=False, precompute_ref_log_probs=True, max_length=None, use_cpu=is_cpu,
            report_to="none", disable_tqdm=True,
        )  # fmt: skip
        trainer: Any = Stock(
            model=model, args=arguments, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer
        )
    else:
        rise = RISEConfig(
            nll_weight=0.0,
            share_prefix=name == "shared",
            train=TrainConfig(steps=1, batch_size=args.pairs, device="cpu" if is_cpu else "auto"),
        )
        trainer = RISETrainer(model, rise, tokenizer, pairs, folder)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.current_gradient_accumulation_steps = 1  # as `train` sets it
    policy = trainer.model.train()

    def step() -> float:
        loss = trainer.training_step(policy, dict(batch))
        policy.zero_grad()
        return float(loss)

    return step


def tokens(pairs: list[dict[str, Any]], *, is_shared: bool) -> int:
    """Count what a model reads of pairs."""
    total = 0
    for row in pairs:
        chosen, rejected = row["chosen_ids"], row["rejected_ids"]
        same = next((i for i, two in enumerate(zip(chosen, rejected, strict=False)) if two[0] != two[1]), len(chosen))
        prompt = len(row["prompt_ids"])
        total += prompt + same + len(chosen) + len(rejected) - 2 * same if is_shared else 2 * prompt + len(chosen) * 2
    return total


def training(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time one step of each trainer, in turn."""
    found = []
    for kind in ("edit", "mixed", "full"):
        with tempfile.TemporaryDirectory() as folder:
            steps = {name: step_of(name, args, kind, Path(folder) / name) for name in TRAINERS}
            losses = {name: step() for name, step in steps.items()}
            spread = max(losses.values()) - min(losses.values())
            assert spread < (1e-4 if args.dtype == "float32" else 2e-2), losses
            timed = compare(steps, baseline="stock", warmup=1, repeats=args.rounds).timings
        pairs = rows(args.pairs, SIZES[args.size]["vocab_size"], kind)
        floor = tokens(pairs, is_shared=True) / tokens(pairs, is_shared=False)
        for name, one in timed.items():
            row = {"rows": kind, "trainer": name, "pairs": args.pairs, "pairs/s": args.pairs / one.median}
            row |= {"times as fast": 1 / one.ratio, "low": 1 / one.ratio_high, "high": 1 / one.ratio_low}
            row |= {"by tokens": 1 / floor if name == "shared" else 1.0}
            found.append(row)
    return found


def memory(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Give the peak of one step of each trainer, above what stands there before [MiB]."""
    found = []
    for kind in ("edit", "mixed", "full"):
        peaks = {}
        for name in TRAINERS:
            told = [sys.executable, __file__, "--peak", name, "--kind", kind, "--size", args.size]
            told += ["--device", args.device, "--dtype", args.dtype, "--pairs", str(args.pairs)]
            peaks[name] = json.loads(subprocess.run(told, check=True, capture_output=True, text=True).stdout)
        for name, peak in peaks.items():
            found.append({"rows": kind, "trainer": name, "peak [MiB]": peak, "of stock's": peak / peaks["stock"]})
    return found


def peak_of(args: argparse.Namespace) -> float:
    """Measure in this process."""
    with tempfile.TemporaryDirectory() as folder:
        step = step_of(args.peak, args, args.kind, Path(folder))
        if args.device == "cuda":
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            step()
            return (torch.cuda.max_memory_allocated() - before) / 2**20
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = _resident("VmRSS")
        step()
        return (_resident("VmHWM") - before) / 2**10


def _resident(name: str) -> int:
    """Give a figure of this process's memory [KiB]; Linux alone has it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def sampling(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the writer beside plain `generate`, on nano-lm."""
    model, tokenizer = load_model("nano-lm", device=args.device), load_tokenizer("nano-lm")
    asked = questions_of(word_problems(0, "test", args.prompts, max_steps=4))
    requests = [
        Request(
            key=one.id,
            messages=({"role": "user", "content": one.prompt},),
            prefill="Step 1:",
            sampling=Sampling(max_tokens=96),
        )
        for one in asked
    ]
    writer = LocalWriter(model, tokenizer, batch_size=len(requests))
    texts = [
        tokenizer.apply_chat_template(list(one.messages), tokenize=False, add_generation_prompt=True)
        for one in requests
    ]
    batch = tokenizer(
        [f"{text}Step 1:" for text in texts], add_special_tokens=False, padding=True, return_tensors="pt"
    ).to(model.device)

    @torch.inference_mode()
    def plain() -> list[str]:
        ids = model.generate(**batch, do_sample=False, max_new_tokens=96, pad_token_id=tokenizer.pad_token_id)
        found: list[str] = tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        return found

    def ours() -> list[str]:
        answers = dict(writer.write(requests, seed=0))
        return [getattr(answers[place], "text", "") for place in range(len(requests))]

    assert plain() == ours()
    timed = compare({"generate": plain, "LocalWriter": ours}, baseline="generate", warmup=1, repeats=args.rounds)
    return [
        {"way": name, "prompts": len(requests), "seconds": one.median, "ratio": one.ratio,
         "low": one.ratio_low, "high": one.ratio_high}
        for name, one in timed.timings.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "rise.json")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--pairs", type=int, default=4, help="in a batch")
    parser.add_argument("--prompts", type=int, default=64, help="that are answered together")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peak", choices=TRAINERS, help="only measure the peak of this trainer, and print it")
    parser.add_argument("--kind", choices=["edit", "mixed", "full"], default="edit", help="rows of --peak")
    args = parser.parse_args()
    if args.peak:
        print(json.dumps(peak_of(args)))
        return
    found: dict[str, Any] = {}
    for part in args.parts:
        found[part] = {"training": training, "memory": memory, "sampling": sampling}[part](args)
        for row in found[part]:
            told = (
                f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}" for key, value in row.items()
            )
            print(*told, sep="; ", flush=True)
    shown = {name: value for name, value in vars(args).items() if value != parser.get_default(name) and name != "out"}
    words = [f"--{name} {' '.join(value) if isinstance(value, list) else value}" for name, value in shown.items()]
    write_results(
        args.out, command=" ".join(["python bench/rise.py", *words]), seed=0, weights="random", trl=trl.__version__,
        **found,
    )  # fmt: skip


if __name__ == "__main__":
    main()
