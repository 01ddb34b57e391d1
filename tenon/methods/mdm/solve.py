"""Puzzles that somebody typed or has in a file: read, checked before any work, answered, judged; kept one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenon.core.errors import DataError
from tenon.tasks.puzzles.sudoku import Sudoku, count_solutions

if TYPE_CHECKING:
    from tenon.core.run import Run
    from tenon.methods.mdm.answer import Solver
    from tenon.tasks.puzzles import Puzzles

__all__ = ["END", "MASKED", "MOST_SOLUTIONS", "Filling", "fingerprint", "read_puzzles", "solve_puzzles", "told_of"]

MASKED, END, PADDING, OTHER = ".$_?"
"""How tokens are shown that are no character of an answer."""
MOST_SOLUTIONS = 100
"""Solutions of a Sudoku that are counted."""
_FILE = "solved"
_SHOWN = 5


@dataclass(frozen=True)
class Filling:
    """How one answer was filled in."""

    puzzle: str
    """What was given."""
    frames: tuple[str, ...]
    """The cells after each step, one character each; `MASKED` where they are masked."""
    order: tuple[int, ...]
    """The step, from 1 on, since which each cell is what it is in the end."""
    columns: int
    """Cells in a line."""
    box: int = 0
    """Cells along a box of a Sudoku; 0 for other kinds."""

    @classmethod
    def of(cls, row: dict[str, Any], kind: Puzzles) -> Filling | None:
        """Give that of a row of `solve_puzzles`: a whole grid, or an answer with its end; none if it shows no steps."""
        if not row["frames"]:
            return None
        box = getattr(kind, "box", 0)
        last = row["frames"][-1]
        cells = box**4 if box else last.index(END) + 1 if END in last else len(last)
        frames = tuple(frame[:cells] for frame in row["frames"])
        return cls(row["puzzle"], frames, tuple(row["order"][:cells]), box**2 or min(cells, 30), box)

    def states(self, step: int) -> list[str]:
        """Say what each cell is after a step; 0 is before the first.

        One of `masked`, `new` (written in this step), `revised` (changed in it), `written`; and where a Sudoku has a
        given: `open` (not yet written by the model), `given`, or `changed`.
        """
        found = []
        for cell in range(len(self.order)):
            past = [MASKED, *(frame[cell] for frame in self.frames[:step])]
            now, known = past[-1], [value for value in past[:-1] if value != MASKED]
            if self.box and (given := self.puzzle[cell]) != "0":
                found.append("open" if now == MASKED else "given" if now == given else "changed")
            elif now == MASKED:
                found.append("masked")
            elif known and now != known[-1]:
                found.append("revised")
            else:
                found.append("written" if past[-2] == now else "new")
        return found

    def shown(self, step: int) -> str:
        """Give the cells after a step; the givens of a Sudoku are seen before the model has written them."""
        now = self.frames[step - 1] if step else MASKED * len(self.order)
        if not self.box:
            return now
        return "".join(
            given if mine == MASKED and given != "0" else mine for mine, given in zip(now, self.puzzle, strict=True)
        )


def read_puzzles(given: Sequence[str], kind: Puzzles) -> list[str]:
    """Give puzzles as they were typed, and those of files, one a line; all are checked.

    A Sudoku may also have a line per row of its grid; `.` and `_` are blanks, and frames between boxes are passed over.

    Args:
        given: Puzzles and files.
        kind: What they must be, and of which size.

    Raises:
        DataError: A file cannot be read or holds none; or some are no puzzles of this kind and size, the first of
            which are named.
    """
    lines = [line for number, one in enumerate(given, start=1) for line in _lines(one, number)]
    found = _grids(lines, kind.size) if isinstance(kind, Sudoku) else lines
    if not found:
        raise DataError(f"{' '.join(given)!r} holds no puzzle; type puzzles, or name a file of one a line.")
    faults = []
    for where, prompt in found:
        try:
            kind.verify(prompt, "")
            if len(prompt) > kind.longest[0]:
                raise DataError(f"{prompt!r} has {len(prompt)} characters; the longest {kind} has {kind.longest[0]}.")
            if len(kind.solve(prompt) or "") > kind.longest[1]:
                raise DataError(
                    f"{prompt!r} has a longer answer than any {kind}, which has {kind.longest[1]} characters."
                )
        except DataError as error:
            faults.append(f"{where}: {error}")
    if faults:
        listed = "\n".join(faults[:_SHOWN] + ["..."] * (len(faults) > _SHOWN))
        raise DataError(
            f"{len(faults)} of {len(found)} are no puzzles for this model, {kind}; none was solved.\n{listed}"
        )
    return [prompt for _, prompt in found]


def _lines(given: str, number: int) -> list[tuple[str, str]]:
    """Give the lines of a file or of what was typed, and where each stands."""
    try:
        is_file = Path(given).is_file()
    except OSError:  # too long for a name
        is_file = False
    where = f"{given} line {{}}" if is_file else f"argument {number}, which is no file either"
    try:
        text = Path(given).read_text(encoding="utf-8") if is_file else given
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{given} cannot be read ({error}); give a text file in UTF-8, one puzzle a line.") from error
    lines = [(where.format(at), line.strip()) for at, line in enumerate(text.splitlines(), start=1)]
    if is_file and not any(line for _, line in lines):
        raise DataError(f"{given} holds no puzzle; write one a line.")
    return [(where, line) for where, line in lines if line]


def _grids(lines: Sequence[tuple[str, str]], size: int) -> list[tuple[str, str]]:
    """Join rows of Sudokus to whole ones."""
    plain = str.maketrans({".": "0", "_": "0", "|": None, " ": None, "\t": None})
    found: list[tuple[str, str]] = []
    rows: list[str] = []
    for where, line in lines:
        cells = line.translate(plain)
        if not set(cells) - set("+-="):
            continue
        if len(cells) != size and not rows:
            found.append((where, cells))
        else:
            rows.append(cells)
            if len(rows) == size:
                found.append((f"the {size} lines up to {where}", "".join(rows)))
                rows = []
    if rows:
        found.append((f"the last {len(rows)} lines", "".join(rows)))
    return found


def fingerprint(*parts: str) -> str:
    """Give a hash of texts in their order: puzzles, by which a run knows that it is asked the same."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def solve_puzzles(
    run: Run, solver: Solver, kind: Puzzles, prompts: Sequence[str], *, seed: int = 0, batch_size: int = 64
) -> list[dict[str, Any]]:
    """Answer puzzles and judge the answers by the rules; what the run holds already is not done again.

    Args:
        run: Keeps one row per puzzle in `solved.jsonl`.
        solver: Writes.
        kind: Judges.
        prompts: The puzzles.
        seed: Of the noise.
        batch_size: Puzzles answered together.

    Returns:
        Per puzzle: `puzzle`, `answer`, `right`, `reason` where it is not; `solutions` of the puzzle, at most
        `MOST_SOLUTIONS`, None where there are some that nobody counted; and `frames` and `order` as in `Filling`, for
        the whole canvas; both are empty for a model that writes from left to right.
    """
    starts = range(0, len(prompts), batch_size)
    ends = {start: str(min(start + batch_size, len(prompts))) for start in starts}
    for start in run.track(starts, "solving", name=_FILE, key=ends.__getitem__):
        batch = prompts[start : start + batch_size]
        for number, (prompt, written) in enumerate(
            zip(batch, _write(solver, batch, start, seed), strict=True), start + 1
        ):
            verdict = kind.verify(prompt, written["answer"])
            judged = {"right": verdict.strict, "reason": verdict.reason, "solutions": _count(kind, prompt)}
            run.append(_FILE, {"key": str(number), "puzzle": prompt, **written, **judged})
    return run.rows(_FILE)


def _write(solver: Solver, prompts: Sequence[str], start: int, seed: int) -> list[dict[str, Any]]:
    from tenon.methods.mdm.layout import answers_of
    from tenon.methods.mdm.sampler import fixed_at

    keys = range(start, start + len(prompts))
    if solver.is_causal:
        return [{"answer": text, "frames": [], "order": []} for text in solver(prompts, keys, seed=seed)]
    rows, found = solver.write(prompts, keys, seed=seed, keep_history=True)
    tokenizer: Any = solver.tokenizer
    shown = {index: token if len(token) == 1 else OTHER for token, index in tokenizer.get_vocab().items()}
    shown |= {tokenizer.mask_token_id: MASKED, tokenizer.eos_token_id: END, tokenizer.pad_token_id: PADDING}
    order = fixed_at(found.history, rows.is_maskable.to(found.sequences.device)).tolist()
    history = [text.tolist() for text in found.history]
    # With a threshold a row may be done before the others of its batch are.
    steps = [max(one) for one in order] if solver.decode.threshold is not None else [len(history)] * len(order)
    return [
        {
            "answer": answer,
            "frames": ["".join(shown[token] for token in text[row][first:]) for text in history[: steps[row]]],
            "order": order[row][first:],
        }
        for row, (answer, first) in enumerate(
            zip(
                answers_of(tokenizer, found.sequences, rows.is_maskable),
                rows.is_maskable.long().argmax(1).tolist(),
                strict=True,
            )
        )
    ]


def _count(kind: Puzzles, prompt: str) -> int | None:
    if isinstance(kind, Sudoku):
        return count_solutions(prompt, MOST_SOLUTIONS)
    return 0 if kind.solve(prompt) is None else None


def told_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say how many are right, and which puzzles have no solution or several."""
    told = [f"{sum(row['right'] for row in rows)} of {len(rows)} right by the rules."]
    for is_so, what in (
        (lambda count: count == 0, "no solution"),
        (lambda count: (count or 0) > 1, "several solutions"),
    ):
        keys = [row["key"] for row in rows if is_so(row["solutions"])]
        if keys:
            named = ", ".join(keys[:_SHOWN]) + (" ..." if len(keys) > _SHOWN else "")
            after = "no answer to them is right" if what == "no solution" else "any of them is right"
            told.append(f"{len(keys)} of {len(rows)} puzzles with {what} (puzzle {named}): {after}.")
    return told
