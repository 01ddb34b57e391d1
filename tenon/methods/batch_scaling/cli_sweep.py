"""`tenon batch-scaling sweep`: train a grid of small models, learning rates tuned for every batch."""

from __future__ import annotations

from pathlib import Path

from tenon.core.commandline import ConfigFile, Json, Out, Preset, Seed, Sets, emit, given, with_seed
from tenon.methods.batch_scaling.config import PRESETS, SweepConfig

__all__ = ["sweep_command"]


def sweep_command(
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = Path("runs/sweep"),
    as_json: Json = False,
) -> None:
    """Train a grid of models, tokens, batches and learning rates into a table of runs; goes on after a kill.

    Every batch has its learning rate tuned anew. The table, OUT/runs.csv and runs.jsonl, is what `fit` reads.

    Example: tenon batch-scaling sweep --preset nano --set tokens=262144,524288
    Example: tenon batch-scaling sweep --set 'models=[{"hidden":32,"layers":2,"heads":1,"ffn":88}]' --set tokens=262144
    """
    from tenon.core.config import load
    from tenon.core.run import Run
    from tenon.methods.batch_scaling.sweeps.data import load_sweep_data
    from tenon.methods.batch_scaling.sweeps.grid import cells_of
    from tenon.methods.batch_scaling.sweeps.sweep import ROWS, run_sweep

    presets = {name: one for name, one in PRESETS.items() if isinstance(one, SweepConfig)}
    settings = load(SweepConfig, presets=presets, preset=preset, file=config, sets=with_seed(sets, seed))
    cells_of(settings)  # refused before the folder is begun, which keeps its settings
    data = load_sweep_data(settings)
    with Run.open(out, config=settings, command=given(), seed=settings.seed, identity={"text": data.sha256}) as run:
        facts = run_sweep(run, settings, data)
        page = run.report("Batch scaling: a sweep", f"{facts['trainings']:,} trainings on {settings.source}.")
    lines = [
        f"{one['model']} (N = {one['n_params']:,}), D = {one['tokens']:,}: best batch {one['best_batch']:,} tokens at "
        f"lr {one['best_lr']:g}, loss {one['loss']:.4f}" + (f"; at an edge: {one['edge']}" if one["edge"] else "")
        for one in facts["cells"]
    ]
    if facts["diverged"]:
        lines.append(f"{facts['diverged']} of {facts['trainings']} trainings diverged; their loss is null.")
    lines += [f"The runs are in {out / ROWS}.csv", f"The page is {page}"]
    emit({"runs": str(out / f"{ROWS}.csv"), **facts}, as_json=as_json, text="\n".join(lines))
