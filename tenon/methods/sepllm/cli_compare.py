"""`tenon sepllm eval` and `tenon sepllm sizes`: SepLLM beside its controls, and its sizes, on a text of one's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenon.core.commandline import ConfigFile, Device, DType, Json, Out, Seed, Sets, emit, given, say, with_seed

if TYPE_CHECKING:
    from tenon.methods.sepllm.contenders import EvalConfig

__all__ = ["Model", "Text", "eval_command", "identity_of", "sizes_command"]

Model = Annotated[str, typer.Option(help="Hub id, folder or nano name of a causal language model.")]
Text = Annotated[str, typer.Option(help="What to stream: python-docs, a file or folder, or a data set on the hub.")]
Results = Annotated[Path | None, typer.Option(help="Also write the figures to this results file.")]


def eval_command(
    model: Model = "nano-lm",
    text: Text = "python-docs",
    problems: Annotated[int | None, typer.Option(help="Word problems to solve; 0 leaves them out.")] = None,
    lm_eval: Annotated[
        str | None,
        typer.Option(
            "--lm-eval",
            metavar="TASK[,TASK]",
            help="Instead of text and word problems: tasks of lm-evaluation-harness, by name or YAML file.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="With --lm-eval: examples per task; all unless set.")] = None,
    num_fewshot: Annotated[
        int | None,
        typer.Option(help="With --lm-eval: solved examples in each prompt; the task's own number unless set."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Problems, or requests of --lm-eval, computed together.")
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: Device = "auto",
    dtype: DType = "auto",
    out: Out = Path("runs/sepllm-eval"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Compare SepLLM with full attention and StreamingLLM at equal memory: text, one long stream, word problems.

    Example: tenon sepllm eval --text my-book.txt --set stream.capacity=512 --set stream.local=128 --problems 0

    Example: tenon sepllm eval --model MODEL --lm-eval gsm8k_cot --limit 100 --set sep.window=256
    """
    from tenon.core.config import load
    from tenon.core.errors import ConfigError
    from tenon.methods.sepllm import CARD
    from tenon.methods.sepllm.cli_harness import evaluate_harness
    from tenon.methods.sepllm.comparison import compare
    from tenon.methods.sepllm.contenders import EvalConfig

    numbers = {"problems": problems, "limit": limit, "num_fewshot": num_fewshot, "batch_size": batch_size}
    sets = [*(sets or ()), *(f"{name}={value}" for name, value in numbers.items() if value is not None)]
    sets = with_seed(sets, seed)
    if lm_eval is not None:
        if problems is not None or text != "python-docs":
            raise ConfigError("--lm-eval stands for itself; leave --text and --problems out, or measure them apart.")
        out = Path("runs/sepllm-lm-eval") if out == Path("runs/sepllm-eval") else out
        evaluate_harness(
            model, lm_eval, config=config, sets=sets, device=device, dtype=dtype, out=out, results=results,
            as_json=as_json,
        )  # fmt: skip
        return
    if limit is not None or num_fewshot is not None:
        raise ConfigError("--limit and --num-fewshot are of --lm-eval, which is not given; add it, or leave them out.")
    settings = load(EvalConfig, file=config, sets=sets)
    with _Work(model, text, settings, device, dtype, out) as work:
        figures = compare(
            work.run, work.model, work.tokenizer, work.ids, settings, model_name=model, text=Path(text).name
        )
        page = work.run.report(f"{CARD.title}: {model}", f"Full attention, SepLLM and StreamingLLM on {text}.", CARD)
        work.write(results, figures)
    emit(figures, as_json=as_json, text=f"The page is {page}")


def sizes_command(
    text: Text,
    model: Model = "nano-lm",
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: Device = "auto",
    dtype: DType = "auto",
    out: Out = Path("runs/sepllm-sizes"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Find how to share a capacity between separators and nearest tokens, on a text that you do not report on.

    Example: tenon sepllm sizes --text runs/held-out.jsonl --set stream.capacity=256
    """
    from tenon.core.config import load
    from tenon.methods.sepllm import CARD
    from tenon.methods.sepllm.contenders import EvalConfig
    from tenon.methods.sepllm.evaluate import cut_streams
    from tenon.methods.sepllm.sizes import compare_sizes

    settings = load(EvalConfig, file=config, sets=with_seed(sets, seed))
    with _Work(model, text, settings, device, dtype, out) as work:
        streams = cut_streams(work.tokenizer, work.ids, settings)
        table = compare_sizes(work.run, work.model, work.tokenizer, streams, settings.stream)
        work.run.table("sizes", table, f"{model} on {settings.streams} streams of {Path(text).name}; best first.")
        page = work.run.report(f"{CARD.title}: sizes", f"Capacity {settings.stream.capacity}, {model}, {text}.", CARD)
        work.write(results, {"table": table})
    say(f"The page is {page}")
    best = table[0]
    chosen = f"--set stream.sep_capacity={best['separators']} --set stream.local={best['local']}"
    emit({"table": table}, as_json=as_json, text=f"Best: {chosen} (perplexity {best['perplexity']:.3f})")


def identity_of(model: Any, ids: Any) -> dict[str, str]:
    """Name what a result depends on beside its config: the weights, their dtype, and the text as it was read."""
    from tenon.core.models.loading import weights_hash

    read = hashlib.sha256(ids.numpy().tobytes()).hexdigest()
    return {"weights": weights_hash(model), "text": read, "dtype": str(model.dtype)}


class _Work:
    """A model, its tokenizer, a text and the run that holds what is measured on them."""

    def __init__(self, name: str, text: str, settings: EvalConfig, device: str, dtype: str, out: Path) -> None:
        from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
        from tenon.core.run import Run
        from tenon.methods.sepllm.evaluate import needed_tokens, read_tokens
        from tenon.methods.sepllm.model import apply_sepllm

        self.settings = settings
        self.model, self.tokenizer = load_model(name, device=device, dtype=dtype), load_tokenizer(name)
        # Before the run is opened: what cannot work must not leave a run behind, which the next try would meet.
        apply_sepllm(self.model, self.tokenizer, settings.stream).remove()
        self.ids = read_tokens(self.tokenizer, text, needed_tokens(settings))
        identity = identity_of(self.model, self.ids)
        self.weights = weights_hash(name)  # of the files: the loaded weights may be of another dtype
        self.run = Run.open(out, config=settings, command=given(), seed=settings.seed, identity=identity)

    def write(self, path: Path | None, figures: dict[str, Any]) -> None:
        from tenon.core.results import write_results

        if path is not None:
            write_results(
                path,
                command=given(shortened=True),
                seed=self.settings.seed,
                weights=self.weights,
                config=self.settings,
                **figures,
            )

    def __enter__(self) -> _Work:
        self.run.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.run.__exit__(*error)
