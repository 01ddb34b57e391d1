"""Compare SepLLM with kvpress, which cannot be imported here: two processes, one model, the same tokens, in turn.

    python bench/sepllm_kvpress.py --make-env
    python bench/sepllm_kvpress.py --out bench/results/sepllm-kvpress.json

The first makes kvpress' environment under `runs/`, once; the second takes about five minutes on one core.

kvpress has no separator method; its nearest is StreamingLLM (`StreamingLLMPress`), as it comes, and with its keys
re-rotated, which its documentation asks for where the paper is to be matched. Both processes run nano-lm in float32.

Decoding: the time of a token after 1,024 and 8,192 tokens. Both processes divide by their own DynamicCache; what is
compared are these quotients, round by round. Memory: the most that keys and values took after a token.
Quality: the perplexity of the last tokens of documents whose beginning was compressed once to the same number of
tokens, and of documents whose cache stays bounded while they are read on. Where both libraries do the same, their
largest difference is given; and what is left of the first tokens, which StreamingLLM never drops, after two cycles.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.decoding import Decoder, filled, nll
from peers.turns import Peer, quotient, summary
from rich.console import Console
from rich.table import Table

from tenon.core.errors import BackendError, DataError
from tenon.core.models.cache import cache_argument, default_cache
from tenon.core.models.loading import NANO_FOLDER, load_model, load_tokenizer, weights_hash
from tenon.core.results import write_results
from tenon.core.scoring.intervals import paired_interval
from tenon.core.scoring.perplexity import perplexity
from tenon.core.seeds import seed_everything
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.model import apply_sepllm
from tenon.tasks.text import PYTHON_DOCS, read_documents

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / "runs" / "peer-kvpress"
REQUIREMENTS = HERE / "peers" / "kvpress.txt"

MODEL = "nano-lm"
DENSITY = 0.115  # of separators, as on the Pile
INIT, CAPACITY = 4, 256
LOCAL = 128
"""What a compression leaves of the nearest tokens, where it is not done at every token: half of the capacity."""
CYCLE = CAPACITY + 1 - INIT - LOCAL
"""Tokens between two compressions, in either library [tokens]."""
BASELINE_STEPS = 34
"""Tokens of a turn of DynamicCache, which is cut back afterwards: enough for the clock, few beside what it holds."""
EACH, CYCLES = "StreamingLLM, each token", "StreamingLLM, in cycles"
TEXT, CACHE = "positions in the text", "positions in the cache"

BOUNDED = {"init": INIT, "capacity": CAPACITY}
OURS = {
    "SepLLM": SepConfig(sep_capacity=LOCAL // 2, local=LOCAL // 2, **BOUNDED),
    EACH: SepConfig(separators="none", sep_capacity=0, local=CAPACITY - INIT, **BOUNDED),
    CYCLES: SepConfig(separators="none", sep_capacity=0, local=LOCAL, **BOUNDED),
}
"""`SepLLM` and `in cycles` store 132 to 256 tokens, `each token` always 256."""


def presses() -> dict[str, dict[str, Any]]:
    """Give kvpress' counterparts: what is left by a compression, and how many tokens lie between two."""
    schedules = {EACH: {"target": CAPACITY, "interval": 1}, CYCLES: {"target": INIT + LOCAL, "interval": CYCLE}}
    return {
        f"{name}, {positions}": {**one, "rerotates": positions == CACHE, "steps": CYCLE}
        for name, one in schedules.items()
        for positions in (TEXT, CACHE)
    }


def decoding(peer: Peer, folder: Path, seen: int, rounds: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Time one decoded token after `seen` tokens in both processes, in turn.

    Returns:
        One row per function, and one per pair of functions.
    """
    tokenizer = load_tokenizer(MODEL)
    ids = torch.randint(len(tokenizer), (seen + 4096,))
    ids[torch.rand(len(ids)) < DENSITY] = tokenizer.convert_tokens_to_ids(".")
    rest = _saved(folder / "decoded.npy", ids[seen:])
    with ExitStack() as stack:
        decoders = _our_decoders(stack, tokenizer, ids, seen)
        peaks = {"ours": {name: decoder.peak() for name, decoder in decoders.items()}}
        peaks["kvpress"] = peer.ask("prepare", ids=rest, seen=seen, init=INIT, presses=presses(), steps=BASELINE_STEPS)
        times: dict[str, dict[str, list[float]]] = {side: {name: [] for name in peaks[side]} for side in peaks}
        for turn in range(1 + rounds):
            taken = {"ours": {name: decoder.turn() for name, decoder in decoders.items()}, "kvpress": peer.ask("round")}
            if turn:  # the first is for warming up
                for side, seconds in taken.items():
                    for name, one in seconds.items():
                        times[side][name].append(one)
    ratios = {
        side: {name: quotient(one, seconds["DynamicCache"]) for name, one in seconds.items()}
        for side, seconds in times.items()
    }
    rows = []
    for side, seconds in times.items():
        for name, one in seconds.items():
            per_token = statistics.median(one)
            kept = peaks[side][name]
            if name == "DynamicCache":
                kept = kept * seen // (seen + BASELINE_STEPS)  # it is cut back after each turn
            rows.append(
                {"tokens seen": seen, "library": side, "function": name, "ms / token": per_token * 1e3}
                | {"tokens / s": 1 / per_token, "cache [KiB]": kept / 1024}
                | _prefixed("time / own DynamicCache", summary(ratios[side][name], side, name))
            )
    pairs = []
    for mine, other in _pairs():
        found = summary(quotient(ratios["ours"][mine], ratios["kvpress"][other]), mine, other)
        pairs.append({"tokens seen": seen, "ours": mine, "kvpress": other} | _prefixed("quotient of quotients", found))
    return rows, pairs


def _pairs() -> list[tuple[str, str]]:
    """Give what is compared with what: SepLLM with everything, StreamingLLM with the one of its schedule."""
    return [(mine, other) for mine in OURS for other in presses() if mine == "SepLLM" or other.startswith(mine)]


def _our_decoders(stack: ExitStack, tokenizer: Any, ids: torch.Tensor, seen: int) -> dict[str, Decoder]:
    plain = load_model(MODEL)
    name = cache_argument(plain)
    full = filled(default_cache(plain), plain.config, seen)
    decoders = {"DynamicCache": Decoder(plain, full, name, ids[seen:], steps=BASELINE_STEPS, cut_back=seen)}
    for contender, config in OURS.items():
        model: Any = load_model(MODEL)
        options = {**vars(config), "prefill": "stream", "positions": "cache"}
        cache = stack.enter_context(apply_sepllm(model, tokenizer, SepConfig(**options))).new_cache()
        with torch.inference_mode():
            for part in ids[:seen].split(4096):
                model(part[None], use_cache=True, logits_to_keep=1, **{name: cache})
        decoders[contender] = Decoder(model, cache, name, ids[seen:], steps=CYCLE)
        for _ in range(CYCLE):
            decoders[contender].step()
    return decoders


def quality(peer: Peer, folder: Path, texts: int, prompt: int, after: int) -> dict[str, Any]:
    """Score the last `after` tokens of documents, whose first `prompt` were compressed, in both processes."""
    model, tokenizer = load_model(MODEL), load_tokenizer(MODEL)
    ids = _documents(tokenizer, texts, prompt + after)
    file = _saved(folder / "texts.npy", ids)
    theirs = peer.ask("after_prompt", ids=file, prompt=prompt, keep=CAPACITY, init=INIT)
    scores: dict[str, dict[str, Any]] = {"after prompt": {}, "while decoding": {}}
    once = scores["after prompt"]
    once["ours", "full attention"] = _nll(model, tokenizer, None, ids, prompt, prompt)
    once["kvpress", "full attention"] = theirs["full"], prompt
    for positions, kind in ((TEXT, "absolute"), (CACHE, "cache")):
        # What is above the capacity is compressed once; the capacity has room for all that follows.
        options: dict[str, Any] = {"init": INIT, "capacity": prompt - 1, "prefill": "dense", "positions": kind}
        sep = SepConfig(sep_capacity=CAPACITY // 4, local=CAPACITY - INIT - CAPACITY // 4, **options)
        streaming = SepConfig(separators="none", sep_capacity=0, local=CAPACITY - INIT, **options)
        once["ours", f"SepLLM, {positions}"] = _nll(model, tokenizer, sep, ids, prompt, CAPACITY)
        once["ours", f"StreamingLLM, {positions}"] = _nll(model, tokenizer, streaming, ids, prompt, CAPACITY)
        once["kvpress", f"StreamingLLM, {positions}"] = theirs[kind.replace("absolute", "text")], CAPACITY
    bounded = scores["while decoding"]
    for name, config in OURS.items():
        for positions, kind in ((TEXT, "absolute"), (CACHE, "cache")):
            options = {**vars(config), "prefill": "dense", "positions": kind}
            bounded["ours", f"{name}, {positions}"] = _nll(
                model, tokenizer, SepConfig(**options), ids, prompt, CAPACITY
            )
    for name, found in peer.ask("while_decoding", ids=file, prompt=prompt, init=INIT, presses=presses()).items():
        bounded["kvpress", name] = found, presses()[name]["target"]
    return {
        "quality": [row for part, found in scores.items() for row in _quality_rows(part, found)],
        "agreement": [row for part, found in scores.items() for row in _agreement(part, found)],
    }


def _documents(tokenizer: Any, count: int, length: int) -> torch.Tensor:
    """Give the beginning of as many long documents, spread over all of them [count, length]."""
    every = [tokenizer(document.text, verbose=False)["input_ids"] for document in read_documents(PYTHON_DOCS)]
    long = [ids[:length] for ids in every if len(ids) >= length]
    if len(long) < count:
        raise DataError(f"Only {len(long)} documents have {length} tokens; {count} are asked for.")
    return torch.tensor([long[index * len(long) // count] for index in range(count)])


@torch.inference_mode()
def _nll(
    model: Any, tokenizer: Any, config: SepConfig | None, ids: torch.Tensor, prompt: int, most: int
) -> tuple[list[list[float]], float]:
    """Give the NLL of all tokens after the prompt [nats], and the mean number of tokens stored after the prompt."""
    name, found, stored = cache_argument(model), [], []
    with ExitStack() as stack:
        applied = None if config is None else stack.enter_context(apply_sepllm(model, tokenizer, config))
        for text in ids:
            cache: Any = default_cache(model) if applied is None else applied.new_cache()
            first = model(text[None, :prompt], use_cache=True, **{name: cache}).logits[0, -1:]
            stored.append(prompt if applied is None else cache.layers[0].width)
            rest = model(text[None, prompt:-1], use_cache=True, **{name: cache}).logits[0]
            found.append(nll(torch.cat([first, rest]), text[prompt:]).tolist())
    if max(stored) > most:
        raise AssertionError(f"{max(stored)} tokens are stored after the prompt, more than {most}")
    return found, statistics.mean(stored)


def _quality_rows(part: str, scores: dict[Any, Any]) -> list[dict[str, Any]]:
    """Give one row per contender; ratios are to SepLLM with the same positions, paired over documents."""
    rows = []
    for (side, name), (found, stored) in scores.items():
        sep = f"SepLLM, {CACHE if name.endswith(CACHE) else TEXT}"
        means, base = (np.mean(one, 1) for one in (found, scores["ours", sep][0]))
        pair = paired_interval(means, base, seed=0)
        rows.append(
            {"part": part, "library": side, "method": name, "documents": len(found)}
            | {"stored after the prompt": stored, "perplexity": perplexity(torch.tensor(found))}
            | {"ratio to SepLLM": float(np.exp(pair.difference))}
            | {"low": float(np.exp(pair.low)), "high": float(np.exp(pair.high))}
        )
    return rows


def _agreement(part: str, scores: dict[Any, Any]) -> list[dict[str, Any]]:
    """Say how far the two libraries are apart where they do the same [nats]."""
    return [
        {"part": part, "method": name, "largest difference of NLL": float(np.abs(np.subtract(found, other[0])).max())}
        for (side, name), (found, _) in scores.items()
        if side == "ours" and (other := scores.get(("kvpress", name))) is not None
    ]


@torch.inference_mode()
def logits_difference(peer: Peer, folder: Path) -> float:
    """Give the largest difference of logits between the two environments on one text, without any press.

    Raises:
        BackendError: They differ by more than rounding can.
    """
    ids = _documents(load_tokenizer(MODEL), 1, 1024)[0]
    peer.ask("logits", ids=_saved(folder / "text.npy", ids), out=str(folder / "logits.npy"))
    theirs = torch.from_numpy(np.load(folder / "logits.npy"))
    model: Any = load_model(MODEL)
    difference = (model(ids[None]).logits[0] - theirs).abs().max().item()
    if not difference < 1e-4:
        raise BackendError(f"The two environments' logits differ by {difference:.2g}; they do not run one model.")
    return difference


def _saved(file: Path, ids: torch.Tensor) -> str:
    np.save(file, ids.numpy())
    return str(file)


def _prefixed(name: str, found: dict[str, float]) -> dict[str, float]:
    return {name: found["ratio"], "low": found["low"], "high": found["high"]}


def make_environment() -> None:
    """Make kvpress' environment under `runs/`: its own Python packages, nothing of Tenon's is touched."""
    python = _python()
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install"]
    torch_line = next(
        line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if line.startswith("torch")
    )
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    subprocess.run([*pip, torch_line], check=True)
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)


def _python() -> Path:
    return ENVIRONMENT / "bin" / "python"


def start() -> Peer:
    """Start the other process.

    Raises:
        BackendError: Its environment is not there.
    """
    if not _python().exists():
        raise BackendError(
            f"There is no environment of kvpress at {ENVIRONMENT}; kvpress needs transformers below 5.3, so it has its "
            "own. Make it, once: python bench/sepllm_kvpress.py --make-env"
        )
    return Peer(_python(), HERE / "peers" / "kvpress_worker.py", os.environ)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--make-env", action="store_true", help="make kvpress' environment under runs/, and stop")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "sepllm-kvpress.json")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 8192])
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=768, help="tokens that are compressed")
    parser.add_argument("--after", type=int, default=256, help="tokens that are scored")
    args = parser.parse_args()
    if args.make_env:
        make_environment()
        return
    if args.prompt <= CAPACITY + args.after:
        parser.error(f"--prompt must be above {CAPACITY} + --after: what follows must fit where the prompt stood")
    try:
        peer = start()
    except BackendError as error:
        parser.exit(2, f"{error}\n")
    found: dict[str, Any] = {"decoding": [], "pairs": []}
    with peer, tempfile.TemporaryDirectory() as place:
        seed_everything(0)
        folder = Path(place)
        theirs = peer.ask("start", model=str(NANO_FOLDER / MODEL), threads=torch.get_num_threads())
        found |= {"kvpress environment": theirs, "threads": torch.get_num_threads()}
        found["sizes"] = {"SepLLM": vars(OURS["SepLLM"]), "kvpress": presses()}
        found["largest difference of logits"] = logits_difference(peer, folder)
        found["first tokens kept [share]"] = peer.ask(
            "firsts_kept", tokens=1024, steps=2 * CYCLE, init=INIT, presses=presses()
        )
        found |= quality(peer, folder, args.texts, args.prompt, args.after)
        for seen in args.lengths:
            rows, pairs = decoding(peer, folder, seen, args.rounds)
            found["decoding"] += rows
            found["pairs"] += pairs
    show(found)
    command = (
        f"python bench/sepllm_kvpress.py --rounds {args.rounds} --lengths {' '.join(map(str, args.lengths))} "
        f"--texts {args.texts} --prompt {args.prompt} --after {args.after}"
    )
    write_results(args.out, command=command, seed=0, weights=weights_hash(MODEL), **found)


def show(found: dict[str, Any]) -> None:
    console = Console(width=150)
    for title, content in found.items():
        if title == "sizes":
            continue
        if isinstance(content, list):
            table = Table(*content[0], title=title)
            for row in content:
                table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
            console.print(table)
        else:
            console.print(f"{title}: {content}", markup=False)


if __name__ == "__main__":
    main()
