"""nano-sudoku: small enough, of the sizes that its card says, and it solves what it has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

import tenon
from tenon.core import cards
from tenon.methods.mdm.answer import load_solver, trained_for
from tenon.methods.mdm.config import DecodeConfig

FOLDER = Path(tenon.__file__).parent / "nano" / "nano-sudoku"


@pytest.mark.parametrize(("name", "parameters"), [("9x9", 5_532_672), ("4x4", 862_848)])
def test_what_ships(name: str, parameters: int) -> None:
    with safe_open(FOLDER / name / "model.safetensors", "pt") as file:
        tensors = [file.get_slice(key) for key in file.keys()]  # noqa: SIM118 - no mapping
    assert {tensor.get_dtype() for tensor in tensors} == {"F16"}
    kind, objective = trained_for(f"nano-sudoku/{name}")
    assert (kind.name, objective) == ("sudoku", "mdm")
    solver = load_solver(f"nano-sudoku/{name}", kind, DecodeConfig(), device="cpu")
    assert sum(weight.numel() for weight in solver.model.parameters()) == parameters
    assert not solver.is_causal


def test_it_fits_the_package() -> None:
    assert sum(file.stat().st_size for file in FOLDER.rglob("*")) < 14_000_000


def test_it_solves_grids_that_it_has_not_seen() -> None:
    """Most 4x4 grids have one right answer out of more than a million fillings; 9x9 are mostly right cell by cell."""
    kind, _ = trained_for("nano-sudoku/4x4")
    puzzles = list(kind.generate(0, "test", 60))
    solver = load_solver("nano-sudoku/4x4", kind, DecodeConfig(steps=8), device="cpu")
    answers = solver([puzzle.prompt for puzzle in puzzles])
    assert sum(kind.verify(one.prompt, answer).strict for one, answer in zip(puzzles, answers, strict=True)) >= 50

    kind, _ = trained_for("nano-sudoku/9x9")
    puzzles = list(kind.generate(0, "test", 4))
    solver = load_solver("nano-sudoku/9x9", kind, DecodeConfig(steps=10), device="cpu")
    answers = solver([puzzle.prompt for puzzle in puzzles])
    pairs = [pair for one, text in zip(puzzles, answers, strict=True) for pair in zip(one.answer, text, strict=True)]
    assert sum(right == written for right, written in pairs) > 0.7 * len(pairs)


def test_the_card_shows_measured_numbers_only() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert cards.render(FOLDER / "README.md") == text
    assert cards.typed_numbers(text) == []
