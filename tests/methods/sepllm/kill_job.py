"""SepLLM's long stages on tiny models, for the kill test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tenon.core.models.tiny import tiny_model
from tenon.core.run import Run
from tenon.core.training import TrainConfig
from tenon.methods.sepllm import stream
from tenon.methods.sepllm.ablate import AblateConfig, ablate
from tenon.methods.sepllm.comparison import compare
from tenon.methods.sepllm.config import SepConfig
from tenon.methods.sepllm.contenders import EvalConfig
from tenon.methods.sepllm.examples import ExamplesConfig, evaluate_examples
from tenon.methods.sepllm.recall import RecallConfig, evaluate_recall
from tenon.methods.sepllm.recall_tables import show_recall
from tenon.methods.sepllm.stream import stream_perplexity
from tenon.methods.sepllm.train import Shape, TrainSettings, fresh_model, train_under_mask
from tenon.nano.tokenizer import train_tokenizer
from tenon.tasks.math import generate_problems
from tenon.tasks.recall import RecallTask

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
STEPS = TrainConfig(steps=4, batch_size=2, learning_rate=1e-2, log_every=1, save_every=1, device="cpu")
SHAPE = Shape(layers=2, hidden=32, intermediate=64, heads=2)
TRAINING = TrainSettings(sep=SepConfig(window=6), train=STEPS, shape=SHAPE, row=48, valid_tokens=96)
ABLATION = AblateConfig(
    rules=("full", "sep"), windows=(4,), seeds=2, shape=SHAPE, train=replace(STEPS, steps=2), row=48, text_tokens=400,
    valid_tokens=200,
)  # fmt: skip
EXAMPLES = ExamplesConfig(problems=4, shots=1, windows=(12,), max_new_tokens=4, batch_size=2)
RECALL = RecallConfig(
    task=RecallTask(segments=8), train=replace(STEPS, steps=2), models=1, hidden_size=16,
    intermediate_size=16, heads=2, sequences=16,
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


def training_job(path: Path) -> None:
    """Train a model for four steps, each with a checkpoint."""
    with Run.open(path, config=TRAINING, command="training job") as run:
        model = fresh_model(TRAINING.shape, TOKENIZER, context=TRAINING.row, seed=0)
        train_under_mask(run, model, TOKENIZER, IDS[:480].view(-1, TRAINING.row), TRAINING)
        run.table("losses", run.metrics())
        run.report("A training")


def ablation_job(path: Path) -> None:
    """Train, score and compare four models, as `tenon sepllm ablate` does."""
    with Run.open(path, config=ABLATION, command="ablation job") as run:
        ablate(run, TOKENIZER, ABLATION, IDS[:400], IDS[400:600], text_name="problems", valid_name="others")
        run.report("An ablation")


def examples_job(path: Path) -> None:
    """Answer questions under every rule, as `tenon sepllm examples` does."""
    with Run.open(path, config=EXAMPLES, command="examples job") as run:
        run.table("examples", evaluate_examples(run, MODEL, TOKENIZER, EXAMPLES))
        run.report("Examples")


def recall_job(path: Path) -> None:
    """Train and ask one model per mask, as `tenon sepllm recall` does."""
    with Run.open(path, config=RECALL, command="recall job") as run:
        show_recall(run, evaluate_recall(run, RECALL), RECALL)
        run.report("Recall")
