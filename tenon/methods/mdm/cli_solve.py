"""`tenon mdm solve`: puzzles of one's own, and how the model fills in their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenon.core.commandline import ConfigFile, Device, Json, Seed, Sets, emit, given, say

__all__ = ["solve_command"]


def solve_command(
    model: Annotated[
        str, typer.Argument(help="Folder of a model that `tenon mdm train` made, or nano-sudoku/4x4, /9x9.")
    ],
    puzzle: Annotated[list[str], typer.Argument(help="Puzzles in the format of their kind, or files of one a line.")],
    show: Annotated[int, typer.Option(min=0, help="Puzzles that are shown filling in, here and on the page.")] = 3,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder of the run; the same command again goes on where it stopped. Unless given, each question has "
            "a folder of its own in runs/mdm-solve.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Solve puzzles, and show how the answers fill in: what is easy first.

    A Sudoku may have . or _ for blanks, and a line for each row of its grid. An answer is right if the rules say so,
    also where a puzzle has several.

    Example: tenon mdm solve nano-sudoku/4x4 0103000002301320 --set steps=16
    Example: tenon mdm solve runs/path/model "2,3/3,5/0,3/3,4-0,4"
    Example: tenon mdm solve runs/sudoku/model puzzles.txt --set threshold=0.9 --out runs/mine
    """
    from tenon.core.config import load
    from tenon.core.errors import ConfigError
    from tenon.core.models.loading import weights_hash
    from tenon.core.run import Run
    from tenon.methods.mdm.animation import animate, draw_order
    from tenon.methods.mdm.answer import load_solver, trained_for
    from tenon.methods.mdm.config import DecodeConfig
    from tenon.methods.mdm.sampler import turns
    from tenon.methods.mdm.show import show_filling
    from tenon.methods.mdm.solve import MOST_SOLUTIONS, Filling, fingerprint, read_puzzles, solve_puzzles, told_of

    kind, objective = trained_for(model)
    decode = load(DecodeConfig, file=config, sets=sets or ())
    if objective != "mdm" and decode != DecodeConfig():
        raise ConfigError(f"{model} writes from left to right ({objective}), so that no option of order applies.")
    prompts = read_puzzles(puzzle, kind)
    solver = load_solver(model, kind, decode, objective=objective, device=device)
    for tokens in {solver.length - len(prompt) - 1 for prompt in prompts}:
        turns(tokens, decode)  # more blocks than steps must not leave a run behind
    identity = {"weights": weights_hash(model), "puzzles": fingerprint(*prompts)}
    seed = seed or 0
    out = out or Path("runs/mdm-solve") / fingerprint(*identity.values(), repr(decode), str(seed))
    with Run.open(out, config=decode, command=given(), seed=seed, identity=identity) as run:
        solved = solve_puzzles(run, solver, kind, prompts, seed=seed)
        told = told_of(solved)
        table = [{name: value for name, value in row.items() if name not in ("frames", "order")} for row in solved]
        run.table(
            "solved",
            table,
            f"{told[0]} Solutions of a puzzle are counted for Sudoku, up to {MOST_SOLUTIONS}; else 0 says that there "
            "are none.",
        )
        for row in solved[:show]:
            filling = Filling.of(row, kind)
            if filling is None:
                run.note("The model writes from left to right, so that nothing fills in.")
                continue
            if not as_json:
                show_filling(filling)
            number, verdict = row["key"], "right" if row["right"] else f"wrong: {row['reason']}"
            run.figure(f"filling-{number}", animate(filling, f"filling-{number}", f"Puzzle {number}, {verdict}."))
            run.figure(
                f"order-{number}",
                draw_order(filling),
                f"Puzzle {number}: the step since which each cell is what it is in the end; small numbers were easy.",
                f"The answer {row['answer']}, each cell with its step.",
            )
        for sentence in told[1:]:
            run.note(sentence)
            say(sentence)
        page = run.report(f"MDM: {kind.name} solved")
    lines = [f"{row['answer']}  {'right' if row['right'] else 'wrong: ' + row['reason']}" for row in solved]
    result = [{name: value for name, value in row.items() if name not in ("key", "frames")} for row in solved]
    emit({"solved": result}, as_json=as_json, text="\n".join(lines))
    say(f"{told[0]} The page is {page}")
