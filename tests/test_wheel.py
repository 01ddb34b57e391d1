"""What users install: the wheel holds all that the tour needs, and the tour runs from it, far from this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tenon.methods import METHODS

REPOSITORY = Path(__file__).parents[1]


def call(*arguments: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    call("-m", "build", "--wheel", "--no-isolation", "--outdir", out, REPOSITORY, cwd=out)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_code_templates_cards_and_weights(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    package = {
        file.relative_to(REPOSITORY).as_posix()
        for file in (REPOSITORY / "tenon").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert package - held == set()
    assert {name for name in held if not name.startswith("tenon")} == set()
    for needed in ("tenon/py.typed", "tenon/nano/nano-lm/model.safetensors", "tenon/nano/nano-lm/tokenizer.json"):
        assert needed in held
    assert any(name.endswith("licenses/NOTICE") for name in held)
    assert wheel.stat().st_size < 40e6


def test_the_tour_runs_from_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    site, home = tmp_path / "site", tmp_path / "home"
    home.mkdir()
    call("-m", "pip", "install", "--no-deps", "--no-index", "--target", site, wheel, cwd=home)
    shown = call("-c", "import tenon; print(tenon.__file__)", cwd=home, PYTHONPATH=str(site))
    assert Path(shown.strip()).is_relative_to(site)
    first = next(iter(METHODS))
    call("-m", "tenon", "tour", "--only", first, cwd=home, PYTHONPATH=str(site), HOME=str(home))
    page = (home / "runs" / "tour" / "report.html").read_text(encoding="utf-8")
    assert first in page.lower()
    assert 'src="data:image/' in page
