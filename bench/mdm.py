"""Time masked diffusion: its sampler, its training step, and logits at masked places alone, beside what they replace.

    python bench/mdm.py --out bench/results/mdm.json

Decoding: `sample` beside the released code's loop and beside the row-by-row samplers of LLaDA and dllm, with the same
forward, prompts and steps; where there is no noise, the texts must be the same. `forwards alone` is the floor: what the
model takes without any sampler. On a GPU also with the forward as one CUDA graph, and the share of time it idles.
Baseline: the same backbone from left to right with its cache, which takes a pass per token of the answer.
Training: whole optimiser steps beside those of transformers.Trainer on the causal backbone.
Head: forward and backward with 150,000 tokens, where logits are computed at masked places alone, or everywhere.
Functions take turns (`tenon.core.bench`). Weights are random: what they are does not change the time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peers.mdm_decoding import left_to_right, published_loop, row_by_row
from peers.turns import quotient, summary
from torch import Tensor
from transformers import AutoModelForCausalLM, PrinterCallback, Trainer, TrainerCallback

from tenon.core.bench import Comparison, compare
from tenon.core.results import write_results
from tenon.core.training.config import TrainConfig, training_arguments
from tenon.core.training.rows import PassRows, whole_batch
from tenon.methods.mdm.config import DecodeConfig, MDMConfig
from tenon.methods.mdm.kinds import puzzles_of, row_length
from tenon.methods.mdm.layout import MASK, SEP, Rows, lay_out, puzzle_tokenizer
from tenon.methods.mdm.model import MDMForMaskedDiffusion, new_model
from tenon.methods.mdm.objective import diffusion_loss, masked_loss
from tenon.methods.mdm.process import draw_masked, masked_input
from tenon.methods.mdm.sampler import sample
from tenon.methods.mdm.trainer import IGNORE, MDMTrainer

PARTS = ["decoding", "baseline", "training", "head"]
VOCAB = 31
LARGE_VOCAB = 150_000
FEWEST, MOST = 5, 30  # rounds of a comparison


@dataclass(frozen=True)
class Case:
    """A puzzle with a model, and the batches that a CPU does in seconds; a GPU does all of `BATCHES`."""

    kind: str
    size: int
    model: str
    decoding: tuple[int, ...]
    baseline: tuple[int, ...]
    changes: dict[str, int] = field(default_factory=dict)


BATCHES = (1, 8, 32, 256)
CASES = (
    Case("sudoku", 3, "tiny", (1, 8), (1, 8)),
    Case("path", 6, "tiny", (1, 8), (1, 32)),
    Case("path", 6, "2 layers of 128", (1, 8, 32), (1, 32, 256), {"n_layer": 2, "n_embd": 128, "n_head": 4}),
)


def rounds(functions: Mapping[str, Callable[[], object]], *, baseline: str, seconds: float) -> Comparison:
    """Compare in as many rounds as `seconds` hold, 5 to 30; the first, which is not counted, tells how long one is."""
    start = time.perf_counter()
    for function in functions.values():
        function()
    once = time.perf_counter() - start
    return compare(functions, baseline=baseline, warmup=0, repeats=max(FEWEST, min(MOST, round(seconds / once))))


def ratio(name: str, one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Divide times round by round, and give the median with its 95 % interval."""
    found = summary(quotient(one, other), name)
    return {name: found["ratio"], f"{name}, low": found["low"], f"{name}, high": found["high"]}


def built(case: Case, device: str) -> tuple[MDMForMaskedDiffusion, Rows]:
    """Give a model, and the most rows that are asked."""
    puzzles = puzzles_of(case.kind, case.size)
    model = new_model("tiny", vocab_size=VOCAB, mask_token_id=MASK, **case.changes)
    drawn = puzzles.generate(0, "test", max(BATCHES))
    rows = lay_out(puzzle_tokenizer(), [one.prompt for one in drawn], None, length=row_length(puzzles))
    return model.eval().to(device), Rows(rows.ids.to(device), rows.is_maskable.to(device))


def causal(model: MDMForMaskedDiffusion, device: str) -> Any:
    """Give an autoregressive model of the same backbone."""
    config = type(model.config.backbone)(**{**model.config.backbone.to_dict(), "is_causal": True})
    made: Any = AutoModelForCausalLM.from_config(config).eval().to(device)
    made.loss_type = "ForCausalLM"
    ids = torch.zeros(1, 8, dtype=torch.long, device=device)
    changed = ids.clone()
    changed[0, -1] = 1
    assert torch.equal(made(ids).logits[0, 0], made(changed).logits[0, 0])
    return made


def decoding(case: Case, batch: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time every way of writing the same puzzles, ours divided by what it replaces and by forwards alone."""
    model, rows = built(case, args.device)
    ids, is_maskable = rows.ids[:batch], rows.is_maskable[:batch]
    peer: dict[str, Any] = {"steps": args.steps, "mask_id": MASK, "never": (MASK, SEP)}

    @torch.inference_mode()
    def forwards() -> None:
        for _ in range(args.steps):
            model.predict(ids)

    def ours(predict: Callable[[Tensor], Tensor] = model.predict, **changes: Any) -> Tensor:
        way = DecodeConfig(steps=args.steps, **changes)
        return sample(predict, ids, is_maskable, way, mask_id=MASK, forbidden=(SEP,)).sequences

    published = partial(published_loop, model.predict, ids, is_maskable, **peer)
    functions: dict[str, Callable[[], Any]] = {
        "forwards alone": forwards,
        "published loop, no noise": partial(published, noise=0.0),
        "sample, no noise": partial(ours, noise=0.0),
        "published loop, noise": partial(published, noise=0.5),
        "sample, noise": ours,
        "row by row": partial(row_by_row, model.predict, ids, is_maskable, **peer),
        "sample, written once": partial(ours, noise=0.0, revise=False),
    }
    pairs = {
        "sample, no noise": "published loop, no noise",
        "sample, noise": "published loop, noise",
        "sample, written once": "row by row",
    }
    same = {}
    for name in ("sample, no noise", "sample, written once"):
        same[name] = float((functions[name]() == functions[pairs[name]]()).all(1).float().mean())
        assert same[name] >= 0.99, f"{name} and {pairs[name]} write the same text in {same[name]:.1%} of rows"
    if args.device != "cpu":
        functions["sample, noise, CUDA graph"] = partial(ours, graphed(model.predict, ids))
        pairs["sample, noise, CUDA graph"] = "published loop, noise"
    found = rounds(functions, baseline="forwards alone", seconds=args.seconds)
    shape = {"puzzle": case.kind, "model": case.model, "batch": batch, "tokens": ids.shape[1], "steps": args.steps}
    table = []
    for name, other in pairs.items():
        row: dict[str, Any] = {**shape, "ours": name, "replaces": other}
        row["median [ms]"] = 1000 * found.timings[name].median
        row["its median [ms]"] = 1000 * found.timings[other].median
        times = found.timings[name].seconds
        row |= ratio("times as fast", found.timings[other].seconds, times)
        row |= ratio("time / forwards alone", times, found.timings["forwards alone"].seconds)
        row["rounds"], row["same text"] = len(times), same.get(name)
        if args.device != "cpu":
            row["GPU idle"], row["its GPU idle"] = idle(functions[name]), idle(functions[other])
        table.append(row)
    return table


def graphed(predict: Callable[[Tensor], Tensor], ids: Tensor) -> Callable[[Tensor], Tensor]:
    """Give the forward as one CUDA graph for texts of one shape: launched once, not kernel by kernel."""
    held, side = ids.clone(), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(side):
        for _ in range(3):
            predict(held)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        logits = predict(held)

    def replayed(text: Tensor) -> Tensor:
        held.copy_(text)
        graph.replay()
        return logits

    return replayed


def idle(function: Callable[[], object]) -> float:
    """Give the share of time in which no kernel runs on the GPU."""
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    whole = time.perf_counter() - start  # without the profiler, which slows the host
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        function()
        torch.cuda.synchronize()
    busy = sum(one.self_device_time_total for one in seen.key_averages() if one.device_type.name == "CUDA")
    return 1 - busy * 1e-6 / whole


def baseline(case: Case, batch: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time whole answers: from left to right with a cache, and by masked diffusion in a few numbers of steps."""
    model, rows = built(case, args.device)
    ids, is_maskable = rows.ids[:batch], rows.is_maskable[:batch]
    prompt, answer = puzzles_of(case.kind, case.size).longest
    other, prompts = causal(model, args.device), ids[:, : prompt + 1]
    options = {"do_sample": False, "max_new_tokens": answer + 1, "pad_token_id": 0}
    generated = other.generate(prompts[:1], attention_mask=torch.ones_like(prompts[:1]), **options)
    assert torch.equal(generated[:, prompts.shape[1] :], left_to_right(other, prompts[:1], new=answer + 1))
    name = "left to right, cache"
    functions: dict[str, Callable[[], Any]] = {name: partial(left_to_right, other, prompts, new=answer + 1)}
    forwards = {name: answer + 1}
    for steps in (1, 5, 20):
        functions[f"mdm, {steps} steps"] = partial(
            sample, model.predict, ids, is_maskable, DecodeConfig(steps=steps), mask_id=MASK, forbidden=(SEP,)
        )
        forwards[f"mdm, {steps} steps"] = steps
    found = rounds(functions, baseline=name, seconds=args.seconds)
    return [
        {
            "puzzle": case.kind,
            "model": case.model,
            "batch": batch,
            "function": one,
            "forwards": forwards[one],
            "median [ms]": 1000 * timing.median,
            "sequences / s": batch / timing.median,
            **ratio("times as fast", found.timings[name].seconds, timing.seconds),
            "rounds": len(timing.seconds),
        }
        for one, timing in found.timings.items()
    ]


class Clock(TrainerCallback):
    """Take the time from the end of one step to the end of the last: data, noise, forward, backward, update."""

    def __init__(self, skip: int) -> None:
        self.skip, self.seconds, self._start = skip, 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start after the steps that are skipped, stop after the last."""
        if state.global_step in (self.skip, state.max_steps):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter()
            self._start, self.seconds = now, (now - self._start) / (state.max_steps - self.skip)


def training(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time an optimiser step of MDMTrainer and of a plain Trainer, in pieces of a training that take turns."""
    steps, skip = args.train_steps + 2, 2
    puzzles = puzzles_of("path", 6)
    drawn = list(puzzles.generate(0, "train", args.train_rows * 4))
    length = row_length(puzzles)
    model = new_model(args.train_size, vocab_size=VOCAB, mask_token_id=MASK)
    config = TrainConfig(steps=steps, batch_size=args.train_rows, weight_decay=0.0, precision=args.precision)
    config = replace(config, log_every=1000, save_every=1000, device="cpu" if args.device == "cpu" else "auto")
    name, functions = "Trainer, causal", {}
    clocks = {name: Clock(skip), "MDMTrainer": Clock(skip)}
    with tempfile.TemporaryDirectory() as folder:
        for one, clock in clocks.items():
            is_mdm = one == "MDMTrainer"
            answers = [puzzle.answer for puzzle in drawn]
            rows = lay_out(
                puzzle_tokenizer(), [puzzle.prompt for puzzle in drawn], answers, length=length, learn_pad=is_mdm
            )
            columns = {"input_ids": rows.ids, "labels": torch.where(rows.is_maskable, rows.ids, IGNORE)}
            options: dict[str, Any] = {
                "args": training_arguments(config, Path(folder)),
                "train_dataset": PassRows(columns, items=steps * args.train_rows, seed=0),
                "data_collator": whole_batch,
                "callbacks": [clock],
            }
            options["args"].save_strategy = "no"
            plain = causal(model, args.device) if not is_mdm else None
            trainer = MDMTrainer(model=model, **options) if is_mdm else Trainer(model=plain, **options)
            trainer.remove_callback(PrinterCallback)
            functions[one] = trainer.train
        times: dict[str, list[float]] = {one: [] for one in clocks}
        for turn in range(args.train_turns + 1):
            for one, train in functions.items():
                train()
                if turn:  # the first is not counted
                    times[one].append(clocks[one].seconds)
    return [
        {
            "function": one,
            "model": args.train_size,
            "rows": args.train_rows,
            "tokens": length,
            "precision": args.precision,
            "median step [ms]": 1000 * statistics.median(seconds),
            **ratio(f"time / {name}", seconds, times[name]),
            "turns": len(seconds),
            "steps per turn": args.train_steps,
        }
        for one, seconds in times.items()
    ]


def head(args: argparse.Namespace, *, prompt: float) -> dict[str, Any]:
    """Time forward and backward of a large vocabulary, of whose rows the share `prompt` is given and never masked."""
    rows, length, config = args.head_rows, 128, MDMConfig()
    model = new_model("tiny", vocab_size=LARGE_VOCAB, mask_token_id=MASK).to(args.device)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, LARGE_VOCAB, (rows, length), generator=generator)
    is_maskable = (torch.arange(length) >= prompt * length).expand(rows, length)
    # Times spread evenly, so that half is masked, as in the mean of many batches.
    when = (torch.arange(rows) + 0.5) / rows
    masked = draw_masked(is_maskable, when, generator=generator)
    ids, is_masked, when = (one.to(args.device) for one in (ids, masked, when))
    text = masked_input(ids, is_masked, MASK)

    def done(loss: Tensor) -> float:
        loss.backward()
        model.zero_grad()
        return float(loss.detach())

    def everywhere() -> float:
        return done(diffusion_loss(model(text).logits, ids, is_masked, when, config))

    def chosen() -> float:
        at = is_masked.flatten().nonzero()[:, 0]
        logits = model(text, at=at).logits
        return done(masked_loss(logits, ids.flatten()[at], when[at // length], config, normaliser=len(at)))

    model.eval()  # no dropout, so that the losses are the same
    assert abs(everywhere() - chosen()) < 1e-4
    names = "logits everywhere", "logits at masked places"
    found = rounds(dict(zip(names, (everywhere, chosen), strict=True)), baseline=names[0], seconds=args.seconds)
    full, part = (found.timings[name] for name in names)
    return {
        "vocabulary": LARGE_VOCAB,
        "rows": rows,
        "tokens": length,
        "prompt [share]": prompt,
        "masked [share]": float(masked.float().mean()),
        "everywhere [ms]": 1000 * full.median,
        "masked places [ms]": 1000 * part.median,
        **ratio("times as fast", full.seconds, part.seconds),
        "rounds": len(full.seconds),
    }


def show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        told = (f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}" for key, value in row.items())
        print(*told, sep="; ", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "mdm.json")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--seconds", type=float, default=10, help="of one comparison, if 5 rounds take no longer")
    parser.add_argument("--steps", type=int, default=20, help="of decoding")
    parser.add_argument(
        "--batches", type=int, nargs="+", choices=BATCHES, help="of all models; else what the device does in seconds"
    )
    parser.add_argument("--train-size", default="tiny", help="tiny, base or medium")
    parser.add_argument("--train-rows", type=int, default=64)
    parser.add_argument("--train-steps", type=int, default=4, help="of one turn")
    parser.add_argument("--train-turns", type=int, default=7)
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32", help="of training")
    parser.add_argument("--head-rows", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(0)
    found: dict[str, Any] = {part: [] for part in args.parts}
    for part, function in (("decoding", decoding), ("baseline", baseline)):
        for case in CASES if part in found else ():
            for batch in args.batches or (getattr(case, part) if args.device == "cpu" else BATCHES):
                rows = function(case, batch, args)
                found[part] += rows
                show(rows)
    if "training" in found:
        found["training"] = training(args)
        show(found["training"])
    if "head" in found:
        found["head"] = [head(args, prompt=share) for share in (0.0, 0.5)]
        show(found["head"])
    options = {name: value for name, value in vars(args).items() if value != parser.get_default(name) and name != "out"}
    told = [f"--{name.replace('_', '-')} {_text(value)}" for name, value in options.items()]
    write_results(args.out, command=" ".join(["python bench/mdm.py", *told]), seed=0, weights="random", **found)


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    main()
