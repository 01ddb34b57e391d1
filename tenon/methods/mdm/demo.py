"""The tour's stop: two small models that have learnt Sudoku; the order in which they write decides what they solve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenon.methods.mdm import CARD

if TYPE_CHECKING:
    from tenon.core.report import Report
    from tenon.core.run import Run

__all__ = ["demo"]


def demo(run: Run) -> Report:
    """Solve unseen Sudokus in several orders, and show one filling in; under half a minute."""
    from tenon.methods.mdm.animation import animate, draw_order
    from tenon.methods.mdm.answer import load_solver, trained_for
    from tenon.methods.mdm.config import DecodeConfig, EvalConfig
    from tenon.methods.mdm.evaluate import compare_decodings
    from tenon.methods.mdm.show_compare import show_decodings
    from tenon.methods.mdm.solve import Filling, solve_puzzles

    small, objective = trained_for("nano-sudoku/4x4")
    config = EvalConfig(puzzles=100, steps=(1, 2, 4, 8, 16), batch_size=100)
    figures = compare_decodings(run, "nano-sudoku/4x4", small, objective, config, device="cpu")
    most = {row["order"]: row["strict"] for row in figures["decodings"] if row["steps"] == max(config.steps)}
    show_decodings(run, figures, config, small, objective)

    large, _ = trained_for("nano-sudoku/9x9")
    solver = load_solver("nano-sudoku/9x9", large, DecodeConfig(steps=41), device="cpu")
    prompts = [puzzle.prompt for puzzle in large.generate(0, "test", 2)]
    for row in solve_puzzles(run, solver, large, prompts):
        filling = Filling.of(row, large)
        if filling is not None:
            number, verdict = row["key"], "right" if row["right"] else f"wrong: {row['reason']}"
            run.figure(f"filling-{number}", animate(filling, f"filling-{number}", f"Sudoku {number}, {verdict}."))
            caption = f"Sudoku {number}: the step since which each cell is what it is in the end; small: easy."
            run.figure(f"order-{number}", draw_order(filling), caption, "A grid, each cell with its step.")
    run.note("Both models saw other grids in training; the large one still fails often: its card says how often.")
    return run.collect(
        CARD.title,
        "Small models that have learnt Sudoku write all of the grid at once, again and again, and keep each time what "
        f"they are surest of. The same weights solve {most['topk']:.0%} of 4x4 grids that way, and "
        f"{most['random']:.0%} in random order.",
        card=CARD,
    )
