"""Imports go one way, methods never meet, a seam is one file, and `tenon --help` needs no torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "tenon"
LAYERS = ("core", "tasks", "nano", "methods", "pipelines", "cli")
SEAMS = {
    "transformers.AttentionInterface": "core/models/attention.py",
    "transformers.AttentionMaskInterface": "core/models/attention.py",
    "transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS": "core/models/attention.py",
    "transformers.modeling_utils.AttentionInterface": "core/models/attention.py",
    "transformers.masking_utils.ALL_MASK_ATTENTION_FUNCTIONS": "core/models/attention.py",
    "transformers.masking_utils.AttentionMaskInterface": "core/models/attention.py",
    "transformers.cache_utils": "core/models/cache.py",
    "transformers.Cache": "core/models/cache.py",
    "transformers.CacheLayerMixin": "core/models/cache.py",
    "transformers.DynamicCache": "core/models/cache.py",
    "trl": "core/training/preference.py",
    "diffusers": "methods/cognition/diffusion.py",
}
"""Fast-moving interfaces -> the one file that may touch them (with its tests)."""
HEAVY = ("torch", "transformers", "datasets", "accelerate", "trl", "diffusers", "scipy", "matplotlib", "pandas")
LIGHT = (
    "__init__.py",
    "methods/__init__.py",
    "methods/*/__init__.py",
    "methods/*/config.py",
    "methods/*/cli.py",
    "nano/cli.py",
)
"""Files that the command line reads to show help, besides `cli/` itself."""


def violations(root: Path) -> list[str]:
    """Every import below `root` (the package folder) that breaks a rule, one line each."""
    found = []
    for file in sorted(root.rglob("*.py")):
        here = file.relative_to(root)
        for line, target in imports(file, root):
            found += [f"{here.as_posix()}:{line} imports {target}: {why}" for why in objections(here, target)]
    light = sorted({*root.glob("cli/*.py"), *(file for pattern in LIGHT for file in root.glob(pattern))})
    for file in light:
        for chain in heavy_chains(file, root):
            found.append(f"{chain[0]} reaches {chain[-1]} when it is imported: {' -> '.join(chain)}")
    return found


def imports(file: Path, root: Path, *, at_import_time: bool = False) -> Iterator[tuple[int, str]]:
    """The line and full dotted name of every import in a file, inside functions too unless `at_import_time`."""
    package = (root.name, *file.relative_to(root).parent.parts)
    for node in statements(ast.parse(file.read_text(encoding="utf-8")), at_import_time):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{name.name}") for name in node.names)


def statements(tree: ast.AST, at_import_time: bool) -> Iterator[ast.AST]:
    """All nodes; or, at import time, those that run then: no function bodies, nothing under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if at_import_time and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_import_time and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from statements(node, at_import_time)


def objections(here: Path, target: str) -> Iterator[str]:
    """Why the file `here` may not import `target`."""
    for name, owner in SEAMS.items():
        if (target == name or target.startswith(f"{name}.")) and here.as_posix() != owner:
            yield f"only {owner} touches {name}"
    if not target.startswith("tenon."):
        return
    if "reference" in target.split(".")[2:]:
        yield "a slow twin is for tests only"
    layer, other = here.parts[0], target.split(".")[1]
    if layer not in LAYERS or other not in LAYERS:
        return
    if LAYERS.index(other) > LAYERS.index(layer):
        yield f"{layer} is below {other}"
    if layer == other == "methods" and len(here.parts) > 2 and target.count(".") > 1:
        method = target.split(".")[2]
        if method not in (here.parts[1], "METHODS", "Entry"):
            yield "methods meet in pipelines only"


def heavy_chains(file: Path, root: Path) -> Iterator[tuple[str, ...]]:
    """A shortest way on which importing a file imports each heavy library, through the package's own files."""
    chains, told = {file: (file.relative_to(root).as_posix(),)}, set()
    for here in (waiting := [file]):
        for _, target in imports(here, root, at_import_time=True):
            library = target.split(".")[0]
            if library in HEAVY and library not in told:
                told.add(library)
                yield (*chains[here], library)
            for own in own_files(target, root) if library == root.name else ():
                if own not in chains:
                    chains[own] = (*chains[here], own.relative_to(root).as_posix())
                    waiting.append(own)


def own_files(target: str, root: Path) -> list[Path]:
    """The package's files that importing `target` runs: the module, and every package above it."""
    files, folder = [], root
    for part in target.split(".")[1:]:
        folder = folder / part
        files += [path for path in (folder / "__init__.py", folder.with_suffix(".py")) if path.exists()]
    return files


def test_the_package_keeps_every_rule() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line", "why"),
    [
        ("core/a.py", "from tenon.tasks.text import read_documents", "core is below tasks"),
        ("core/a.py", "def f():\n    import tenon.methods.sepllm", "core is below methods"),
        ("tasks/a.py", "from ..nano import lm", "tasks is below nano"),
        ("methods/rise/a.py", "from tenon.methods.sepllm import sep_mask", "methods meet in pipelines only"),
        ("methods/rise/a.py", "from tenon.methods import sepllm", "methods meet in pipelines only"),
        ("pipelines/a.py", "from tenon.cli.app import main", "pipelines is below cli"),
        ("methods/rise/a.py", "from transformers import AttentionInterface", "only core/models/attention.py touches"),
        (
            "methods/rise/a.py",
            "from transformers.cache_utils import CacheLayerMixin",
            "only core/models/cache.py touches",
        ),
        ("methods/rise/a.py", "import trl", "only core/training/preference.py touches trl"),
        ("methods/rise/a.py", "from tenon.methods.rise.reference import loss", "a slow twin is for tests only"),
        ("methods/rise/a.py", "from . import reference", "a slow twin is for tests only"),
        ("cli/app.py", "import torch", "reaches torch"),
        ("methods/rise/config.py", "from tenon.core.deep import x", "methods/rise/config.py -> core/deep.py -> torch"),
    ],
)
def test_a_violation_is_found(tmp_path: Path, file: str, line: str, why: str) -> None:
    root = tmp_path / "tenon"
    for name, text in {file: line, "core/deep.py": "import torch"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    assert [found for found in violations(root) if why in found]


def test_lawful_imports_pass(tmp_path: Path) -> None:
    root = tmp_path / "tenon"
    lawful = {
        "core/models/attention.py": "from transformers import AttentionInterface",
        "methods/rise/config.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
        "methods/rise/loss.py": "import torch\nfrom tenon.methods.rise.config import RISEConfig\nfrom . import config",
        "methods/__init__.py": "def load():\n    import torch",
        "pipelines/repair.py": "from tenon.methods import rise, reversegen",
    }
    for name, text in lawful.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    assert violations(root) == []
