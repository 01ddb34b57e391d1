"""The pictures of SepLLM's pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenon.core.report import style
from tenon.methods.sepllm.contenders import FULL, SEP, STRM, STRM_MEAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_attention", "draw_examples", "draw_long", "draw_memory", "draw_stream"]


def _color(name: str) -> str:
    """Give a contender the same colour in every picture, by its place in the style's cycle."""
    order = (FULL, SEP, STRM, STRM_MEAN)
    return f"C{next(index for index, known in enumerate(order) if name == known or name.startswith(f'{known}, '))}"


def draw_long(curves: Mapping[str, Sequence[float]], *, stretch: int, context: int) -> Figure:
    """Draw the likelihood along one long stream: who holds out past the trained context, and who does not.

    Args:
        curves: Per contender the mean NLL of each stretch of the text [nats per token].
        stretch: Tokens per stretch.
        context: Trained context of the model [tokens].
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure()
        axes = figure.add_subplot()
        for name, values in curves.items():
            positions = [(index + 1) * stretch for index in range(len(values))]
            axes.plot(positions, values, label=name, color=_color(name), linestyle="--" if "raw" in name else "-")
        axes.axvline(context, color="#62625d", linestyle=":", linewidth=1)
        axes.annotate(" trained context", (context, axes.get_ylim()[1]), va="top", fontsize=9, color="#62625d")
        axes.set(xlabel="position in the text [tokens]", ylabel="negative log-likelihood\n[nats per token]")
        axes.legend(fontsize=9)
        return figure


def draw_stream(nll: Sequence[float], *, stretch: int, context: int) -> Figure:
    """Draw the likelihood along one stream, and its running mean.

    Args:
        nll: Mean of each stretch of the text [nats per token].
        stretch: Tokens per stretch.
        context: Trained context of the model [tokens].
    """
    from itertools import accumulate

    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    with style():
        figure = Figure()
        axes = figure.add_subplot()
        positions = [(index + 1) * stretch for index in range(len(nll))]
        running = [total / (index + 1) for index, total in enumerate(accumulate(nll))]
        axes.plot(positions, nll, color=_color(SEP), linewidth=0.8, alpha=0.5, label=f"stretches of {stretch} tokens")
        axes.plot(positions, running, color=_color(SEP), label="mean so far")
        axes.axvline(context, color="#62625d", linestyle=":", linewidth=1, label="trained context")
        axes.xaxis.set_major_formatter(EngFormatter())
        axes.set(xlabel="position in the text [tokens]", ylabel="negative log-likelihood\n[nats per token]")
        axes.legend(fontsize=9)
        return figure


def draw_memory(text: Sequence[Mapping[str, Any]], problems: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw quality against memory, one point per contender: perplexity of the text, accuracy on the word problems.

    Without problems, only the text is drawn.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(8.4, 3.8)) if problems else Figure()
        left, *others = figure.subplots(1, 2 if problems else 1, squeeze=False)[0]
        for row in text:
            left.plot(
                row["mean cache [tokens]"],
                row["perplexity"],
                "o",
                markersize=8,
                label=row["method"],
                color=_color(row["method"]),
            )
        left.set(title="Text", xlabel="mean cache [tokens]", ylabel="perplexity (lower is better)")
        for right in others:
            for row in problems:
                height = 100 * row["accuracy"]
                error = [[height - 100 * row["low"]], [100 * row["high"] - height]]
                right.errorbar(
                    row["mean cache [tokens]"],
                    height,
                    error,
                    fmt="o",
                    markersize=8,
                    capsize=3,
                    color=_color(row["method"]),
                )
            right.set(title="Word problems", xlabel="mean cache [tokens]", ylabel="solved [%]", ylim=(-2, 102))
        for axes in (left, *others):
            axes.set_xlim(left=0)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
        return figure


def draw_examples(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy against the share of keys: one line per rule over its windows, one point where there is no window.

    Args:
        rows: As `examples.evaluate_examples` gives them.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure()
        axes = figure.add_subplot()
        for index, name in enumerate(dict.fromkeys(row["method"] for row in rows)):
            mine = sorted((row for row in rows if row["method"] == name), key=lambda row: row["share of keys [%]"])
            heights = [100 * row["accuracy"] for row in mine]
            error = [
                [height - 100 * row["low"] for height, row in zip(heights, mine, strict=True)],
                [100 * row["high"] - height for height, row in zip(heights, mine, strict=True)],
            ]
            shares = [row["share of keys [%]"] for row in mine]
            axes.errorbar(shares, heights, error, fmt="o-", markersize=7, capsize=3, color=f"C{index}", label=name)
        axes.set(xlabel="share of all keys attended to [%]", ylabel="answered right [%]", ylim=(-2, 102), xlim=(0, 105))
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)
        return figure


def draw_attention(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw where attention goes, layer by layer: the share of each kind of key, and attention per key against a word's.

    Args:
        rows: As `observe.observe` gives them.
    """
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(8.4, 3.8))
        left, right = figure.subplots(1, 2)
        layers = sorted({row["layer"] for row in rows})
        bottom = [0.0] * len(layers)
        word = {row["layer"]: row["lift"] for row in rows if row["kind"] == "words"}
        for index, kind in enumerate(dict.fromkeys(row["kind"] for row in rows)):
            mine = {row["layer"]: row for row in rows if row["kind"] == kind}
            shares = [mine[layer]["attention [%]"] for layer in layers]
            left.bar(layers, shares, bottom=bottom, color=f"C{index}", label=kind)
            bottom = [below + share for below, share in zip(bottom, shares, strict=True)]
            if kind == "separators":
                ratios = [(mine[layer]["lift"] or 0.0) / (word[layer] or 1.0) for layer in layers]
                right.plot(layers, ratios, "o-", color=f"C{index}")
        right.axhline(1, color="#62625d", linestyle=":", linewidth=1)
        left.set(title="Attention by kind of key", xlabel="layer", ylabel="share of attention [%]", ylim=(0, 100))
        right.set(title="A separator against a word", xlabel="layer", ylabel="attention per key, ratio", ylim=(0, None))
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
        return figure
