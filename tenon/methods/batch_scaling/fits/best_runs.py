"""A sweep as a loss law needs it: the best of every (N, D), not all batches and learning rates that were tried."""

from __future__ import annotations

from tenon.methods.batch_scaling.fits.cells import find_cells
from tenon.methods.batch_scaling.runs.table import RunTable

__all__ = ["best_of_cells"]


def best_of_cells(table: RunTable) -> RunTable:
    """Give one run per model size and tokens: that of the batch and learning rate with the least loss, mean over seeds.

    A table without batches or learning rates, or with one run of every (N, D), is given back as it is. The least of
    several noisy losses is a little low; with a grid that is alike in all cells it is so in all of them.
    """
    import numpy

    if not (table.has("batch_tokens") and table.has("lr")):
        return table
    places = numpy.stack([table["n_params"], table["tokens"]], axis=1)
    if len(numpy.unique(places, axis=0)) == len(table):
        return table
    rows = []
    for cell in find_cells(table):
        batch, rate, loss = cell.best_run
        rows.append(
            {"id": cell.id, "n_params": cell.N, "tokens": cell.D, "batch_tokens": batch, "lr": rate, "loss": loss}
            | {"steps": cell.D / batch, "group": table.groups[0]}
        )
    best = RunTable.of(rows, n_kind=table.n_kind, source=table.source)
    return RunTable(
        columns=best.columns, ids=best.ids, groups=best.groups, n_kind=best.n_kind, dropped=table.dropped,
        notes=(*table.notes, f"of {len(table)} runs the best of each of {len(best)} (N, D)"), source=best.source,
    )  # fmt: skip
