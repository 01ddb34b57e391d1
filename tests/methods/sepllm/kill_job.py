"""SepLLM's long stages on a tiny model, for the kill test: a stream, and the whole comparison."""

from __future__ import annotations

from pathlib import Path

import torch

from tenon.core.models.tiny import tiny_model
from tenon.core.run import Run
from tenon.methods.sepllm import stream
from tenon.methods.sepllm.comparison import compare
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.contenders import EvalConfig
from tenon.methods.sepllm.stream import stream_perplexity
from tenon.nano.tokenizer import train_tokenizer
from tenon.tasks.math import generate_problems

torch.set_num_threads(1)  # a forked child has none of its parent's threads

TEXT = "\n".join(problem.question + " " + problem.solution for problem in generate_problems(4, "train", 40))
TOKENIZER = train_tokenizer([TEXT], vocab_size=400)
IDS = torch.tensor(TOKENIZER(TEXT, add_special_tokens=False, verbose=False)["input_ids"])
# A capacity so far above what a compression keeps that a store made anew would be smaller than one that has grown.
STREAM = SepConfig(init=2, sep_capacity=12, local=12, capacity=128, prefill="stream", positions="cache")
COMPARISON = EvalConfig(
    stream=STREAM, window=24, init=2, streams=2, stream_tokens=100, long_tokens=300, problems=4, shots=1,
    max_new_tokens=4, batch_size=2,
)  # fmt: skip

MODEL = tiny_model("llama", vocab_size=len(TOKENIZER), max_position_embeddings=512, eos_token_id=TOKENIZER.eos_token_id)


def stream_job(path: Path) -> None:
    """Score 640 tokens in ten blocks, each with a snapshot of the cache."""
    stream.BLOCK = 64
    with Run.open(path, config=STREAM, command="stream job") as run:
        score = stream_perplexity(MODEL, TOKENIZER, STREAM, IDS[:641], run=run)
        run.table("stream", [{"perplexity": score.perplexity, **score.stats}])
        run.report("A stream")


def comparison_job(path: Path) -> None:
    """Measure and draw everything that `tenon sepllm eval` does."""
    with Run.open(path, config=COMPARISON, command="comparison job") as run:
        compare(run, MODEL, TOKENIZER, IDS, COMPARISON, model_name="tiny", text="problems")
        run.report("A comparison")


def break_restoring() -> None:
    """Go on with an empty cache instead of the one from before the kill."""
    # Broken on purpose, so its type is not that of what it stands for.
    stream.restore = lambda cache, content, device: None  # type: ignore[assignment]
