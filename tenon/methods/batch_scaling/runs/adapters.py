"""Tables that are known by their looks: those behind papers, exports of Weights & Biases, states of `Trainer`.

Sources: StepLaw `data/dense_lr_bs_loss.csv` (github.com/step-law/steplaw), Epoch `data/svg_extracted_data.csv`
(epoch-research/analyzing-chinchilla), Gadre et al. (mlfoundations/scaling, condensed: one row per model),
`transformers.TrainerState`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tenon.core.errors import ConfigError, DataError
from tenon.core.files import read_json
from tenon.core.values import nearest
from tenon.methods.batch_scaling.runs.names import Layout, Record, Records, constant, plain_name
from tenon.methods.batch_scaling.runs.table import Dropped

__all__ = ["LAYOUTS", "layout_of", "trainer_files", "trainer_records"]

_TRAINER_KEYS = (
    "n_params", "seq_len", "gradient_accumulation_steps", "world_size", "batch_tokens", "tokens", "lr", "loss",
)  # fmt: skip
LAST_LOSSES = 5
"""Where nothing was evaluated, so many last logged training losses are averaged."""


def _without_placeholders(records: Records) -> Records:
    """Empty batches of 1: the 7 B models' files say `global_bs: 1`, beside arguments that say another."""
    rows, emptied = [], 0
    for row in records.rows:
        if str(row.cells.get("batch_sequences")).strip() in ("1", "1.0"):
            row, emptied = row._replace(cells={**row.cells, "batch_sequences": None}), emptied + 1
        rows.append(row)
    note = f"{emptied} runs have a batch of one sequence in the source, which is a placeholder; taken as not said"
    return Records(
        rows=tuple(rows), dropped=records.dropped, source=records.source,
        notes=(*records.notes, note) if emptied else records.notes,
    )  # fmt: skip


def _finished(records: Records) -> Records:
    """Drop the runs of an export that did not finish."""
    names = {plain_name(name): name for name in reversed(records.names)}
    if "state" not in names:
        raise DataError(f"{records.source} has no column 'State', so it is no export of runs of Weights & Biases.")
    rows, dropped = [], list(records.dropped)
    for row in records.rows:
        said = row.cells.get(names["state"])
        state = str(said).strip().lower() if isinstance(said, str) else ""
        if state in ("finished", ""):
            rows.append(row)
        else:
            dropped.append(
                Dropped(
                    str((row.cells.get(names["name"]) if "name" in names else None) or row.short),
                    f"its state is {state!r}",
                )
            )
    if not rows:
        raise DataError(f"{records.source}: none of the {len(records.rows)} runs has the state 'finished'.")
    return Records(rows=tuple(rows), dropped=tuple(dropped), notes=records.notes, source=records.source)


LAYOUTS: dict[str, Layout] = {
    "steplaw": Layout(
        columns={"n_params": "N", "tokens": "D", "batch_sequences": "bs", "seq_len": 2048.0, "lr": "lr",
                 "loss": "smooth loss", "steps": "ti"},
        n_kind="non_embedding",
    ),
    "epoch": Layout(
        columns={"n_params": "Model Size", "flops": "Training FLOP", "loss": "loss"},
        n_kind="total",
    ),
    "gadre": Layout(
        columns={"n_params": "params", "tokens": "tokens", "batch_sequences": "batch_sequences", "seq_len": "seq_len",
                 "lr": "lr", "loss": "c4_val_loss", "id": "name"},
        n_kind="total",
        by_kind={"with_head": "params_no_embed"},  # blocks and the untied head; only the look-up is left out
        group="dataset",
        prepare=_without_placeholders,
    ),
    "wandb": Layout(prepare=_finished),
    "trainer": Layout(),
    "plain": Layout(),
}  # fmt: skip

_MARKS: dict[str, frozenset[str]] = {
    "steplaw": frozenset({"N", "D", "lr", "bs", "smooth_loss"}),
    "epoch": frozenset({"model_size", "training_flop", "loss"}),
    "gadre": frozenset({"params", "params_no_embed", "batch_sequences", "chinchilla_multiplier", "c4_val_loss"}),
}


def layout_of(records: Records) -> str:
    """Say which known table this is, by its columns; `plain` if none."""
    plain = {plain_name(name) for name in records.names}
    for name, marks in _MARKS.items():
        if marks <= plain:
            return name
    is_export = {"name", "state"} <= plain and bool(plain & {"runtime", "created", "sweep", "user", "tags", "notes"})
    return "wandb" if is_export else "plain"


def trainer_files(folder: Path) -> list[Path]:
    """Give the `trainer_state.json` of every training below a folder: its own, else that of its last checkpoint."""
    best: dict[Path, tuple[float, Path]] = {}
    for path in sorted(folder.rglob("trainer_state.json")):
        home, step = path.parent, math.inf
        prefix, _, number = path.parent.name.rpartition("-")
        if prefix == "checkpoint" and number.isdigit():
            home, step = path.parent.parent, float(number)
        if home not in best or step > best[home][0]:
            best[home] = (step, path)
    return [path for _, path in best.values()]


def trainer_records(files: Sequence[Path], given: Mapping[str, Any], *, seq_len: float | None = None) -> Records:
    """Give one row per training of `transformers.Trainer`.

    Args:
        files: Its `trainer_state.json`.
        given: What a state does not hold, by name: `n_params`; `batch_tokens`, or `gradient_accumulation_steps` and
            `world_size`; and what shall not be taken from it: `lr`, `tokens`, `loss` (a key of the log).
        seq_len: Tokens of a row.

    Raises:
        DataError: Something of this is missing, or a file is no state.
    """
    if unknown := sorted(given.keys() - set(_TRAINER_KEYS)):
        raise ConfigError(
            f"columns (--column), for a trainer_state.json, has {unknown[0]!r}; {nearest(unknown[0], _TRAINER_KEYS)}."
        )
    said = {name: constant(value) for name, value in given.items()}
    seq_len = seq_len if seq_len is not None else said.get("seq_len")
    missing = [] if said.get("n_params") is not None else ["n_params"]
    if said.get("batch_tokens") is None:
        missing += [] if said.get("gradient_accumulation_steps") is not None else ["gradient_accumulation_steps"]
        missing += [] if seq_len is not None else ["seq_len"]
    if missing:
        told = [f"{name}=..." for name in missing]
        raise DataError(
            f"{files[0]} is the state of a Trainer, which does not hold {', '.join(missing)}. Give numbers: columns "
            f"{', '.join(told)} (--column {' --column '.join(told)}), and so world_size, lr and batch_tokens where "
            "they differ."
        )
    rows, dropped, notes = [], [], []
    for path in files:
        state = read_json(path)
        if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
            raise DataError(f"{path} has no 'log_history'; it is no trainer_state.json.")
        home = path.parent.parent if path.parent.name.startswith("checkpoint-") else path.parent
        steps, planned = state.get("global_step") or 0, state.get("max_steps") or 0
        if steps < planned or not steps:
            dropped.append(Dropped(str(home), f"it stopped at step {steps} of {planned}"))
            continue
        log = [one for one in state["log_history"] if isinstance(one, dict)]
        loss, note = _loss(log, given.get("loss"), path)
        notes.append(note)
        batch = said.get("batch_tokens")
        if batch is None:
            if "world_size" not in said:
                notes.append(
                    "one process per training is assumed: columns world_size=... (--column world_size=...) did not come"
                )
            sequences = _whole(state, "train_batch_size", path) * (said["gradient_accumulation_steps"] or 0)
            batch = sequences * (said.get("world_size") or 1) * (seq_len or 0)
        rates = [one["learning_rate"] for one in log if isinstance(one.get("learning_rate"), int | float)]
        notes += [] if said.get("lr") else ["lr is the largest logged learning rate; the peak may lie between two logs"]
        counted = state.get("num_input_tokens_seen") or None
        rows.append(Record(str(path), {
            "id": str(home), "n_params": said["n_params"], "batch_tokens": batch, "seq_len": seq_len, "steps": steps,
            "tokens": said.get("tokens") or counted or steps * batch, "lr": said.get("lr") or max(rates, default=None),
            "loss": loss, "flops": state.get("total_flos") or None,
        }))  # fmt: skip
    if not rows:
        raise DataError(f"None of {len(files)} trainings is finished: {'; '.join(f'{a}: {b}' for a, b in dropped)}.")
    return Records(rows=tuple(rows), dropped=tuple(dropped), notes=tuple(dict.fromkeys(notes)), source=_common(files))


def _loss(log: Sequence[Mapping[str, Any]], key: Any, path: Path) -> tuple[float, str]:
    evaluated = sorted({
        name for one in log for name in one if name.startswith("eval_") and name.endswith("loss")
    })  # fmt: skip
    if key is None and len(evaluated) > 1:
        raise DataError(
            f"{path} logs several losses: {', '.join(evaluated)}. Say which: columns loss={evaluated[0]} (--column "
            f"loss={evaluated[0]})."
        )
    key = key or next(iter(evaluated), None)
    if key is not None and key != "loss":
        values = [one[key] for one in log if key in one]
        if not values:
            raise DataError(f"{path} logs no {key!r}; it logs {', '.join(sorted({n for one in log for n in one}))}.")
        return float(values[-1]), f"the loss is the last {key} of each training"
    values = [float(one["loss"]) for one in log if "loss" in one]
    if not values:
        raise DataError(f"{path} logs neither 'eval_loss' nor 'loss'; a training without a loss says nothing.")
    last = values[-LAST_LOSSES:]
    return sum(last) / len(last), f"nothing was evaluated: the loss is the mean of the last {len(last)} training logs"


def _whole(state: Mapping[str, Any], name: str, path: Path) -> int:
    value = state.get(name)
    if not isinstance(value, int) or value < 1:
        raise DataError(
            f"{path} has {name} {value!r}; give columns batch_tokens=... (--column batch_tokens=...) instead."
        )
    return value


def _common(files: Sequence[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
