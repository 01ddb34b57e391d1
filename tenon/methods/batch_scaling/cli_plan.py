"""`tenon batch-scaling plan` and `laws`: what to train with what one has, and every law that says so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenon.core.commandline import Json, emit, given

if TYPE_CHECKING:
    from tenon.methods.batch_scaling.fits.law_card import FittedLaw
    from tenon.methods.batch_scaling.laws.law import Law
    from tenon.methods.batch_scaling.plans.record import Plan

__all__ = ["laws_command", "plan_command"]


def plan_command(
    flops: Annotated[str | None, typer.Option(help="Training compute, such as 1e21 or '10 PF-days'.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Training tokens, such as 300B.")] = None,
    params: Annotated[str | None, typer.Option(help="Parameters, such as 1.3B.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Instead of --params: a config.json, its folder, a nano name or a hub id.")
    ] = None,
    gpus: Annotated[str | None, typer.Option(help="GPUs, such as 8xH100; with --days they make the compute.")] = None,
    days: Annotated[str | None, typer.Option(help="Time to train, such as 5, 5d or 36h.")] = None,
    gpu: Annotated[str | None, typer.Option(help="Kind, or dense bf16 peak in FLOP/s; H100 unless set.")] = None,
    mfu: Annotated[float, typer.Option(help="Share of the peak that training reaches.")] = 0.4,
    price: Annotated[float | None, typer.Option(help="Price of a GPU hour.")] = None,
    seq_len: Annotated[int, typer.Option(help="Tokens of a row.")] = 2048,
    per_device: Annotated[int | None, typer.Option(help="Rows per GPU and micro-batch; chosen unless set.")] = None,
    world_size: Annotated[
        int | None, typer.Option(help="Data-parallel processes; the number of GPUs unless set.")
    ] = None,
    card: Annotated[
        list[Path] | None, typer.Option("--card", metavar="CARD", help="A law of yours, from `fit`; comes first.")
    ] = None,
    use: Annotated[
        str, typer.Option(metavar="all|NAME[,NAME]", help="Published laws of batch and learning rate to ask.")
    ] = "all",
    loss_law: Annotated[
        str | None, typer.Option(help="Loss law that shares the compute; yours, else besiroglu2024.")
    ] = None,
    unique_tokens: Annotated[str | None, typer.Option(help="Different tokens that there are.")] = None,
    max_steps: Annotated[str | None, typer.Option(help="The most steps; may raise the batch.")] = None,
    max_batch: Annotated[str | None, typer.Option(help="The largest batch, in tokens.")] = None,
    count_flops: Annotated[
        str, typer.Option(help="FLOPs of a --model's token: 6n, 6n_head, attn, deepseek, steplaw.")
    ] = "6n_head",
    gamma: Annotated[float, typer.Option(help="The learning rate goes as B^gamma below the best batch.")] = 0.75,
    warmup: Annotated[float | None, typer.Option(help="Steps of warm-up, or a share below 1.")] = None,
    recompute: Annotated[bool, typer.Option("--recompute", help="Count on gradient checkpointing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Go on where the laws do not reach; it warns.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Also write a page with pictures to this folder.")] = None,
    as_json: Json = False,
) -> None:
    """Plan a training: model size, tokens, batch, learning rate and steps, with every law's answer beside.

    Give any part: --flops; --gpus and --days; --tokens; --params or --model; or two of them.

    Example: tenon batch-scaling plan --params 1.3B --gpus 8xH100 --days 5
    """
    from tenon.methods.batch_scaling.fits.law_card import load_card
    from tenon.methods.batch_scaling.plans.planner import plan
    from tenon.methods.batch_scaling.plans.show import shipped_surface

    cards = [load_card(path) for path in card or ()]
    surface = shipped_surface()
    options: dict[str, Any] = {
        "compute": flops, "tokens": tokens, "params": params, "model": model, "gpus": gpus, "days": days, "gpu": gpu,
        "mfu": mfu, "price_per_gpu_hour": price, "seq_len": seq_len, "per_device": per_device, "world_size": world_size,
        "laws": "all" if use == "all" else [name.strip() for name in use.split(",")], "loss_law": loss_law,
        "unique_tokens": unique_tokens, "max_steps": max_steps, "max_batch": max_batch, "flops": count_flops,
        "gamma": gamma, "warmup": warmup, "recompute": recompute, "force": force,
    }  # fmt: skip
    found = plan(**options, fitted=cards, surface=surface)
    text, page = found.to_text(), None
    if out is not None:
        page = _write_page(found, options, cards, surface, out)
        text += f"\n\nThe page is {page}"
    emit({**found.to_dict(), **({"page": str(page)} if page else {})}, as_json=as_json, text=text)


def _write_page(found: Plan, options: dict[str, Any], cards: list[FittedLaw], surface: FittedLaw, out: Path) -> Path:
    from tenon.core.run import Run
    from tenon.methods.batch_scaling import CARD
    from tenon.methods.batch_scaling.plans.show import show_plan

    identity = {f"law {place}": card.data_sha256 or card.law.name for place, card in enumerate(cards, 1)}
    config = {name: value for name, value in options.items() if value is not None}
    with Run.open(out, config=config, command=given(), identity=identity) as run:
        show_plan(run, found, cards, surface)
        return run.report(f"{CARD.title}: a plan", found.story, CARD)


def laws_command(
    name: Annotated[str | None, typer.Argument(help="Show this law in full.")] = None,
    at: Annotated[str | None, typer.Option(metavar="N=1e9,D=2e10", help="Evaluate NAME there: N, D, C, B, L.")] = None,
    as_json: Json = False,
) -> None:
    """List every published law, show one in full, or evaluate it.

    Example: tenon batch-scaling laws steplaw2025 --at N=1B,D=20B
    """
    from tenon.core.errors import ConfigError
    from tenon.methods.batch_scaling.laws import every, get
    from tenon.methods.batch_scaling.plans.text import table_text

    if name is None:
        if at is not None:
            raise ConfigError("--at evaluates one law; name it: tenon batch-scaling laws steplaw2025 --at N=1B,D=20B.")
        rows = [
            {"name": law.name, "gives": ", ".join(law.gives()), "range": _range(law), "source": law.source}
            for law in every()
        ]
        emit({"laws": [_told(law) for law in every()]}, as_json=as_json, text=table_text(rows))
        return
    law = get(name)
    told = _told(law)
    if at is not None:
        told["at"], told["values"] = _evaluate(law, at)
    emit(told, as_json=as_json, text=_text(told))


def _told(law: Law) -> dict[str, Any]:
    return {
        "name": law.name,
        "title": law.title,
        "equation": law.equation,
        "gives": list(law.gives()),
        "not_known": [one for one in law.gives() if not law.is_known(one)],
        "inputs": {one: list(law.inputs(one)) for one in law.gives()},
        "N_counts": law.n_kind,
        "C_counts": law.c_definition,
        "range": _range(law),
        "source": law.source,
        "tag": law.tag,
        "caveat": law.caveat,
    }


def _range(law: Law) -> str:
    from tenon.methods.batch_scaling.plans.units import short

    limits = {name: getattr(law.domain, name) for name in ("N", "D", "C", "B", "L")}
    told = [f"{name} {short(ends[0])}..{short(ends[1])}" for name, ends in limits.items() if ends]
    return ", ".join(told) or "not known"


def _evaluate(law: Law, at: str) -> tuple[dict[str, float], dict[str, Any]]:
    from tenon.core.errors import ConfigError
    from tenon.methods.batch_scaling.plans.units import count_of

    inputs: dict[str, float] = {}
    for part in at.split(","):
        letter, equals, value = part.partition("=")
        if not equals or letter.strip() not in ("N", "D", "C", "B", "L"):
            raise ConfigError(f"--at has {part!r}; it must be inputs such as N=1e9,D=2e10, of N, D, C, B, L.")
        inputs[letter.strip()] = count_of(value, letter.strip())
    values: dict[str, Any] = {}
    for quantity in law.gives():
        try:
            found = law.predict(quantity, **inputs)
        except ConfigError as error:
            values[quantity] = str(error)
        else:
            values[quantity] = {"value": found.value, "decades_outside": found.extrapolation}
    if not any(isinstance(value, dict) for value in values.values()):
        raise ConfigError(" ".join(str(value) for value in values.values()) or f"{law.name} gives nothing.")
    return inputs, values


def _text(told: dict[str, Any]) -> str:
    from tenon.methods.batch_scaling.laws.law import QUANTITIES

    lines = [f"{told['name']}: {told['title']}", f"  {told['equation']}"]
    for name in ("gives", "not_known", "N_counts", "C_counts", "range", "source", "tag", "caveat"):
        value = told[name]
        if value:
            lines.append(f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")
    for quantity, found in told.get("values", {}).items():
        if isinstance(found, dict):
            unit = QUANTITIES[quantity]
            away = found["decades_outside"]
            where = f", {away:.1f} decades outside its range" if away else ""
            lines.append(f"{quantity.replace('_', ' ')} = {found['value']:.4g}{f' {unit}' if unit else ''}{where}")
        else:
            lines.append(f"{quantity.replace('_', ' ')}: {found}")
    return "\n".join(lines)
