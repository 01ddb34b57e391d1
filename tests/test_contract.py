"""One contract for all methods: four names, presets with sources, a card of measured numbers, a demo that resumes."""

from __future__ import annotations

import dataclasses
import json
import re
import runpy
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tenon.core import cards
from tenon.core.config import field_docs, from_dict, to_dict
from tenon.core.files import fingerprints
from tenon.core.report import Card, Report
from tenon.core.run import VOLATILE, Run
from tenon.methods import METHODS

pytestmark = pytest.mark.parametrize("name", METHODS)

SKELETON = ("config.py", "reference.py", "demo.py", "cli.py", "README.md")
SOURCE = re.compile(r"\[(paper|code|hf|ours|inferred)\]")
presets_source: Callable[[str], str] = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "make.py"))[
    "presets_source"
]


def method(name: str) -> ModuleType:
    return import_module(METHODS[name].path)


def folder(name: str) -> Path:
    return Path(method(name).__file__ or "").parent


def config_classes(value: Any) -> Iterator[type]:
    """The class of a config, and of every config inside it."""
    if dataclasses.is_dataclass(value):
        yield type(value)
        for field in dataclasses.fields(value):
            yield from config_classes(getattr(value, field.name))


def test_four_names_are_the_contract(name: str) -> None:
    import typer

    found = method(name)
    assert isinstance(found.CARD, Card)
    assert found.CARD.name == name
    assert isinstance(found.app, typer.Typer)
    assert callable(found.demo)
    assert found.PRESETS
    assert {"CARD", "PRESETS", "app", "demo"} <= set(found.__all__)
    # Twice: importing the submodule `demo` binds the module to the package's name, in the place of the function.
    assert [each for each in found.__all__ if getattr(found, each) is not getattr(found, each)] == []


def test_the_folder_has_the_skeleton(name: str) -> None:
    assert [file for file in SKELETON if not (folder(name) / file).is_file()] == []


def test_presets_survive_json(name: str) -> None:
    for preset in method(name).PRESETS.values():
        assert from_dict(type(preset), json.loads(json.dumps(to_dict(preset)))) == preset


def test_every_line_of_the_presets_gives_its_source(name: str) -> None:
    lines = presets_source((folder(name) / "config.py").read_text(encoding="utf-8")).splitlines()
    assert [line for line in lines if re.search(r"\w=", line.split("#")[0]) and not SOURCE.search(line)] == []


def test_every_field_has_its_one_text(name: str) -> None:
    for cls in {cls for preset in method(name).PRESETS.values() for cls in config_classes(preset)}:
        documented = field_docs(cls)
        assert [field.name for field in dataclasses.fields(cls) if not documented.get(field.name)] == []


def test_the_card_shows_measured_numbers_only(name: str) -> None:
    readme = folder(name) / "README.md"
    text = readme.read_text(encoding="utf-8")
    assert cards.render(readme) == text, f"python -m tenon.core.cards {readme}"
    assert cards.typed_numbers(text) == []


class Interrupted(Exception):
    """Stands for a kill between two writes."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[int]]:
    """Make every `Run` stop at a write; gives the counter of the writes that were let through."""
    writers = {name: getattr(Run, name) for name in ("append", "log", "save_json", "finish_stage", "table", "figure")}

    def install(limit: int | None) -> list[int]:
        written = [0]

        def counting(writer: Callable[..., Any]) -> Callable[..., Any]:
            def write(self: Run, *arguments: Any, **options: Any) -> Any:
                if written[0] == limit:
                    raise Interrupted
                written[0] += 1
                return writer(self, *arguments, **options)

            return write

        for name, writer in writers.items():
            monkeypatch.setattr(Run, name, counting(writer))
        return written

    return install


def test_the_demo_finishes_and_resumes_to_the_same_result(
    name: str, tmp_path: Path, stop_after: Callable[[int | None], list[int]]
) -> None:
    def demo(place: str) -> Report:
        with Run.open(tmp_path / place, config={"method": name}) as run:
            return method(name).demo(run)

    written, began = stop_after(None), time.process_time()
    whole = demo("whole")
    assert time.process_time() - began < 60  # 30 s on two cores; processor time, so that other work does not count
    assert whole.tables
    assert whole.figures

    stop_after(written[0] // 2)
    with pytest.raises(Interrupted):
        demo("resumed")
    stop_after(None)
    assert demo("resumed") == whole
    assert fingerprints(tmp_path / "resumed", skip=VOLATILE) == fingerprints(tmp_path / "whole", skip=VOLATILE)
