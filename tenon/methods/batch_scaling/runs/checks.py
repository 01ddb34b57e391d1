"""What a table of runs must not be: in two units at once, of several tokenizers, mostly diverged."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy
from numpy import ndarray

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.runs.table import Diverged, RunTable

__all__ = ["checked", "comparable", "usable"]

STEPS_OFF = 0.02
"""steps x batch may differ from the tokens by this share, or by one batch: the last one need not be full."""
PF_DAY = 8.64e19
"""FLOPs."""


def usable(table: RunTable) -> RunTable:
    """Drop runs whose loss is no number above 0, and list them; a diverged run is no measurement of a law.

    Where in a sweep runs diverged stays known: in `diverged` are those without a finite loss (not those of a loss of 0
    or less, which is a mistake of the table).

    Raises:
        DataError: More than half of the runs are such.
    """
    loss = table["loss"]
    good = numpy.isfinite(loss) & (loss > 0)
    bad = int((~good).sum())
    if 2 * bad > len(table):
        rows = numpy.flatnonzero(~good).tolist()
        listed = ", ".join(table.ids[row] for row in rows[:10]) + (", ..." if bad > 10 else "")
        raise DataError(
            f"{bad} of {len(table)} runs have no usable loss (diverged, negative or empty): {listed}. "
            "A law of the rest would be one of the runs that survived; is the right column read as the loss?"
        )
    if not bad:
        return table
    places = numpy.stack([table[name] for name in Diverged._fields[1:]], axis=1)
    lost = (numpy.isnan(loss) | (loss == numpy.inf)) & (numpy.isfinite(places) & (places > 0)).all(axis=1)
    gone = (Diverged(table.groups[row], *map(float, places[row])) for row in numpy.flatnonzero(lost))
    return replace(table.keep(good, lambda row: _why(float(loss[row]))), diverged=(*table.diverged, *gone))


def _why(loss: float) -> str:
    return "no loss, or diverged" if math.isnan(loss) else f"the loss is {loss:g}"


def comparable(table: RunTable, *, group: str | None = None) -> RunTable:
    """Refuse a table that mixes what one law cannot hold, unless the caller has named the column that keeps it apart.

    Args:
        table: Runs.
        group: That column; then every group by itself must be of one kind.

    Raises:
        DataError: Several groups without `group`; several counts of parameters or lengths of rows within a group.
    """
    groups = list(dict.fromkeys(table.groups))
    if len(groups) > 1 and group is None:
        raise DataError(
            f"{table.source or 'The table'} holds runs of {len(groups)} data sets or tokenizers: {_some(groups)}. "
            "Losses across them cannot be compared (only bits per byte can): give group=<column> (--group-column "
            "<column>) to keep them apart, or a table of one (--group <one of them>)."
        )
    for name in groups:
        rows = [row for row, one in enumerate(table.groups) if one == name]
        part = table.take(rows)
        of = f" of group {name!r}" if len(groups) > 1 else ""
        if part.kinds:
            raise DataError(
                f"{table.where(rows[0])}: the runs{of} count parameters in several ways: "
                f"{_some(sorted(set(part.kinds)))}. That moves exponents: count all alike, or give group=n_kind "
                "(--group-column n_kind)."
            )
        lengths = numpy.unique(part["seq_len"][numpy.isfinite(part["seq_len"])])
        if len(lengths) > 1:
            row = rows[int(numpy.flatnonzero(part["seq_len"] == lengths[1])[0])]
            raise DataError(
                f"{table.where(row, 'seq_len')}: the runs{of} have rows of several lengths: "
                f"{_some([f'{one:g}' for one in lengths])}. Their losses are of different tasks: give group=seq_len "
                "(--group-column seq_len), or a table of one length."
            )
    return table


def checked(table: RunTable) -> RunTable:
    """Find units that cannot be right. A contradiction is an error; what only looks odd becomes a note.

    A noise scale that is no number above 0 counts as not measured: its estimate may be negative, or divide by 0.

    Raises:
        DataError: A batch smaller than one row or larger than the training, or steps x batch far from the tokens.
    """
    _refuse(table, "batch_tokens", table["batch_tokens"] < table["seq_len"], "a batch of less than one row of seq_len",
            f"It looks like sequences: say {_unit('batch=sequences')}")  # fmt: skip
    _refuse(table, "batch_tokens", table["batch_tokens"] > table["tokens"] * (1 + 1e-9),
            "a batch larger than all training tokens",
            f"Check the units of both: {_unit('tokens=billions')}?")  # fmt: skip
    _refuse_steps(table)
    noise, notes = table["noise_tokens"], _odd(table)
    bad = (noise <= 0) | numpy.isinf(noise)
    if bad.any():
        first = table.where(int(numpy.flatnonzero(bad)[0]), "noise_tokens")
        notes.append(
            f"{first} is no finite number above 0, as estimates of a small noise scale can be ({int(bad.sum())} of "
            f"{len(table)} rows): it counts as not measured there"
        )
        table = replace(table, columns={**table.columns, "noise_tokens": numpy.where(bad, numpy.nan, noise)})
    return replace(table, notes=tuple(dict.fromkeys((*table.notes, *notes))))


def _refuse(table: RunTable, column: str, bad: ndarray, what: str, advice: str) -> None:
    if not bad.any():
        return
    row = int(numpy.flatnonzero(bad)[0])
    beside = {"seq_len": table["seq_len"][row], "tokens": table["tokens"][row]}
    told = ", ".join(f"{name} {value:.10g}" for name, value in beside.items() if math.isfinite(value))
    raise DataError(
        f"{table.where(row, column)} is {table[column][row]:.10g} tokens, {what} ({told}; {int(bad.sum())} of "
        f"{len(table)} rows). {advice}."
    )


def _refuse_steps(table: RunTable) -> None:
    seen, tokens = table["steps"] * table["batch_tokens"], table["tokens"]
    bad = numpy.abs(seen - tokens) > numpy.maximum(STEPS_OFF * tokens, table["batch_tokens"] * (1 + 1e-9))
    if not bad.any():
        return
    row = int(numpy.flatnonzero(bad)[0])
    ratio, seq_len = float(seen[row] / tokens[row]), float(table["seq_len"][row])
    if abs(ratio / seq_len - 1) < STEPS_OFF:
        advice = f"The factor is seq_len: the tokens look like sequences; say {_unit('tokens=sequences')}"
    elif abs(ratio * seq_len - 1) < STEPS_OFF:
        advice = f"The factor is 1 / seq_len: the batch looks like sequences; say {_unit('batch=sequences')}"
    elif (power := round(math.log10(ratio))) and power % 3 == 0 and abs(ratio / 10.0**power - 1) < STEPS_OFF:
        advice = f"The factor is 1e{power}: is one of them in thousands, millions or billions?"
    else:
        advice = "Are gradient accumulation, processes, or a run that stopped early left out of one of them?"
    raise DataError(
        f"{table.where(row, 'steps')} is {table['steps'][row]:.10g}; times the batch of "
        f"{table['batch_tokens'][row]:.10g} tokens that is {ratio:.4g} times the {tokens[row]:.10g} tokens "
        f"({int(bad.sum())} of {len(table)} rows). {advice}."
    )


def _odd(table: RunTable) -> list[str]:
    """Say what is suspicious and yet possible."""
    if not len(table):
        return []
    notes = []
    derived = numpy.abs(table["flops"] / (6 * table["n_params"] * table["tokens"]) - 1) < 1e-9  # from the FLOPs
    tiny = derived & (table["tokens"] < 1e-4 * table["n_params"])
    if numpy.any(tiny):
        row = int(numpy.flatnonzero(tiny)[0])
        raise DataError(
            f"{table.where(row, 'tokens')}: {table['flops'][row]:.4g} FLOPs and {table['n_params'][row]:.4g} "
            f"parameters leave {table['tokens'][row]:.3g} tokens. Are the FLOPs in PF-days? Say "
            f"{_unit('flops=pf-days')}."
        )
    if table.n_kind is None and not table.kinds:
        notes.append(
            "which parameters are counted (n_kind, --n-kind) is not said: embeddings move exponents of small models"
        )
    small = (table["tokens"] < 1e6) & (table["n_params"] > 1e6)
    if small.any():
        row = int(numpy.flatnonzero(small)[0])
        notes.append(
            f"{table.where(row, 'tokens')} is {table['tokens'][row]:g} for {table['n_params'][row]:g} parameters "
            f"({int(small.sum())} rows): in billions? Say {_unit('tokens=billions')}"
        )
    if numpy.median(table["n_params"]) < 1e4:
        notes.append(
            f"half of the models have under {1e4:g} parameters: in millions or billions? Say {_unit('n_params=...')}"
        )
    ratio = table["flops"] / (6 * table["n_params"] * table["tokens"])
    ratio = ratio[numpy.isfinite(ratio)]
    if len(ratio) and not 0.3 <= (middle := float(numpy.median(ratio))) <= 3:
        looks = f": in PF-days? Say {_unit('flops=pf-days')}" if 0.3 <= middle * PF_DAY <= 3 else ""
        notes.append(f"FLOPs are {middle:.3g} times 6 N D in the middle of the table{looks}")
    loss = table["loss"]
    if len(loss[numpy.isfinite(loss)]) and float(numpy.nanmedian(loss)) > 12.5:
        notes.append(
            "half of the losses are above 12.5 nats, a uniform guess among 250,000 tokens: perplexity, or bits? "
            f"Say {_unit('loss=...')}"
        )
    elif (loss > 30).any():
        row = int(numpy.flatnonzero(loss > 30)[0])
        notes.append(f"{table.where(row, 'loss')} is {loss[row]:g}: perplexity, or a run that diverged?")
    values = numpy.stack([table[name] for name in table.columns], axis=1)
    same = len(values) - len(numpy.unique(numpy.nan_to_num(values, nan=-1.0), axis=0))
    if same:
        notes.append(f"{same} rows repeat others in every column: was a table read twice?")
    return notes


def _unit(said: str) -> str:
    return f"units {said} (--unit {said})"


def _some(words: list[str], most: int = 8) -> str:
    return ", ".join(word or "(not said)" for word in words[:most]) + (", ..." if len(words) > most else "")
