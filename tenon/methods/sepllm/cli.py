"""`tenon sepllm`: stream a text, continue a prompt, look at a tokenizer's separators; comparisons are in
`cli_compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenon.core.commandline import ConfigFile, Device, DType, Json, Out, Preset, Seed, Sets, emit, given, say
from tenon.methods.sepllm.cli_compare import Model, Results, Text, eval_command, identity_of, sizes_command
from tenon.methods.sepllm.cli_examples import examples_command, trained_command
from tenon.methods.sepllm.cli_recall import recall_command
from tenon.methods.sepllm.cli_train import ablate_command, train_command

if TYPE_CHECKING:
    from tenon.methods.sepllm.config import SepConfig
    from tenon.methods.sepllm.model import Applied

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)
app.command("eval")(eval_command)
app.command("sizes")(sizes_command)
app.command("examples")(examples_command)
app.command("trained")(trained_command)
app.command("recall")(recall_command)
app.command("train")(train_command)
app.command("ablate")(ablate_command)

Tokens = Annotated[int, typer.Option(min=2, help="Tokens of the text to read.")]


@app.callback()
def sepllm() -> None:
    """Keep the first tokens, the separators and the nearest tokens: less KV cache, endless streams (SepLLM)."""


@app.command()
def stream(
    model: Model = "nano-lm",
    text: Text = "python-docs",
    tokens: Tokens = 20_000,
    preset: Preset = "stream",
    config: ConfigFile = None,
    sets: Sets = None,
    device: Device = "auto",
    dtype: DType = "auto",
    out: Out = Path("runs/sepllm-stream"),
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Score a text as one stream: perplexity, and the memory it took. Every token's NLL is in stream.jsonl.

    Example: tenon sepllm stream --text book.txt --tokens 100000 --set capacity=512
    """
    from tenon.core.models.loading import load_model, load_tokenizer, weights_hash
    from tenon.core.results import write_results
    from tenon.core.run import Run
    from tenon.methods.sepllm.endless import pace, summary
    from tenon.methods.sepllm.model import apply_sepllm
    from tenon.methods.sepllm.pictures import draw_stream
    from tenon.methods.sepllm.stream import stream_perplexity

    settings = _settings(preset, config, sets)
    network, tokenizer = load_model(model, dtype=dtype, device=device), load_tokenizer(model)
    ids = _ids(tokenizer, text, tokens)
    with apply_sepllm(network, tokenizer, settings) as applied:  # what cannot work must not leave a run behind
        _tell(applied)
    with Run.open(out, config=settings, command=given(), identity=identity_of(network, ids)) as run:
        score = stream_perplexity(network, tokenizer, settings, ids, run=run)
        result = {"model": model, "text": Path(text).name, "tokens": len(ids), **summary(score)}
        run.table("stream", [result], f"{model} on {text}, as one stream. Memory is that of the stored tensors.")
        stretch = -(-len(score.nll) // 200)
        run.figure(
            "stream",
            draw_stream(
                [float(part.mean()) for part in score.nll.split(stretch)],
                stretch=stretch,
                context=network.config.get_text_config().max_position_embeddings,
            ),
            f"{model} along {text}, with at most {score.stats['attended_max']:.0f} keys seen at a time.",
            "The likelihood along the stream, and its running mean.",
        )
        page = run.report(f"{model}: a stream of {len(ids)} tokens", card=_card())
        result |= pace(run.measurements())  # not on the page: times differ between equal runs
    if results is not None:
        write_results(
            results,
            command=given(shortened=True),
            seed=0,
            weights=weights_hash(model),
            config=settings,
            stream=[result],
        )
    emit(result, as_json=as_json)
    say(f"The page is {page}")


@app.command()
def generate(
    prompt: Annotated[str | None, typer.Argument(help="The prompt; read from standard input when left out.")] = None,
    model: Model = "nano-lm",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer [tokens].")] = 200,
    chat: Annotated[bool, typer.Option(help="Put the prompt into the model's chat template, if it has one.")] = True,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the likeliest token, higher draws.")] = 0.0,
    preset: Preset = "default",
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: Device = "auto",
    dtype: DType = "auto",
    as_json: Json = False,
) -> None:
    """Continue a prompt, and say what the cache held.

    Example: tenon sepllm generate "Tom has 3 apples and buys 4 more. How many apples has he?"
    """
    import torch

    from tenon.core.errors import DataError
    from tenon.core.models.cache import cache_argument
    from tenon.core.models.loading import load_model, load_tokenizer
    from tenon.core.seeds import seed_everything
    from tenon.methods.sepllm.model import apply_sepllm

    settings = _settings(preset, config, sets)
    prompt = sys.stdin.read() if prompt is None else prompt
    if not prompt.strip():
        raise DataError("The prompt is empty; give it as an argument or on standard input.")
    network: Any = load_model(model, dtype=dtype, device=device)
    tokenizer = load_tokenizer(model)
    is_chat = chat and tokenizer.chat_template is not None
    if is_chat:
        messages = [{"role": "user", "content": prompt}]
        prompt = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    read = tokenizer(prompt, return_tensors="pt", add_special_tokens=not is_chat).to(network.device)
    read.pop("token_type_ids", None)
    seed_everything(seed or 0)
    draw: dict[str, Any] = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
    with apply_sepllm(network, tokenizer, settings) as applied, torch.inference_mode():
        _tell(applied)
        cache = applied.new_cache()
        ids = network.generate(
            **read,
            **draw,
            **{cache_argument(network): cache},
            use_cache=True,  # whatever the model's config says
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        )
    answer = str(tokenizer.decode(ids[0, read["input_ids"].shape[1] :], skip_special_tokens=True))
    emit({"text": answer, **cache.stats()}, as_json=as_json, text=answer)
    if not as_json:
        stats = cache.stats()
        say(
            f"[{stats['tokens_seen']:.0f} tokens seen, {stats['tokens_stored']:.0f} stored, "
            f"{stats['kv_time_avg_pct']:.0f} % of all keys attended to, {stats['kv_bytes_now'] / 1024:.0f} KiB]"
        )


@app.command()
def density(
    tokenizer: Annotated[str, typer.Option(help="Nano name, local folder or hub id of a tokenizer.")] = "nano-lm",
    text: Text = "python-docs",
    tokens: Tokens = 4096,
    preset: Preset = "default",
    config: ConfigFile = None,
    sets: Sets = None,
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Show which tokens of a vocabulary separate, how many of a text's tokens do (about a tenth is usual), and how much
    of full attention the paper's masks would leave of rows of this text.

    Example: tenon sepllm density --tokenizer nano-lm --set match=exact
    """
    from tenon.core.models.loading import load_tokenizer
    from tenon.core.results import write_results
    from tenon.methods.sepllm.separators import density as measure
    from tenon.methods.sepllm.separators import resolve_separators, token_texts
    from tenon.methods.sepllm.share import paper_shares

    settings = _settings(preset, config, sets)
    reader = load_tokenizer(tokenizer)
    table = resolve_separators(
        reader,
        settings.separators,
        vocab_size=len(reader),
        extra_ids=settings.separator_ids,
        match=settings.match,
    )
    ids = _ids(reader, text, tokens)
    counts = ids.bincount(minlength=len(reader))
    texts = token_texts(reader)
    found = sorted(table.nonzero()[:, 0].tolist(), key=lambda index: (-int(counts[index]), index))
    shown = {repr(texts[index] or reader.convert_ids_to_tokens(index)): int(counts[index]) for index in found}
    row = min(2048, len(ids))  # [paper] rows of the trainings
    shares = paper_shares(table[ids[: len(ids) // row * row].view(-1, row)])
    result = {"tokens": len(ids), "separator_ids": len(found), "density": measure(table, ids), "counts": shown}
    lines = [f"{name:>12} {count}" for name, count in list(shown.items())[:20]]
    summary = f"{result['density']:.2%} of {len(ids)} tokens are separators ({len(found)} ids of {len(reader)})"
    if results is not None:
        facts = {name: result[name] for name in ("tokens", "density")}
        write_results(
            results,
            command=given(shortened=True),
            seed=0,
            weights="none: no model",
            config=settings,
            shares=shares,
            **facts,
        )
    lines += [f"{one['mask']}: {one['attention map [%]']:.1f} % of the pairs in rows of {row}" for one in shares]
    emit(result | {"shares": shares}, as_json=as_json, text="\n".join([summary, *lines]))


def _tell(applied: Applied) -> None:
    """Say which layers stay as they are."""
    if applied.untouched:
        kinds = ", ".join(f"{layer} ({kind})" for layer, kind in applied.untouched.items())
        say(f"SepLLM leaves these layers as they are: {kinds}.")


def _settings(preset: str | None, config: Path | None, sets: list[str] | None) -> SepConfig:
    from tenon.core.config import load
    from tenon.methods.sepllm.config import PRESETS, SepConfig

    return load(SepConfig, presets=PRESETS, preset=preset, file=config, sets=sets or ())


def _ids(tokenizer: Any, text: str, tokens: int) -> Any:
    """Read the first tokens of a text, a begin token first where the model expects one."""
    import itertools

    import torch

    from tenon.core.errors import DataError
    from tenon.tasks.text import read_documents, stream_ids

    rows = stream_ids(tokenizer, read_documents(text), limit=tokens)
    ids = torch.tensor(list(itertools.chain.from_iterable(rows)), dtype=torch.long)
    if len(ids) < 2:
        raise DataError(f"{text} gives {len(ids)} tokens; a stream needs two or more.")
    return ids


def _card() -> Any:
    from tenon.methods.sepllm import CARD

    return CARD
