"""The docs are tested like code: Python runs, commands exist, links lead somewhere, numbers are measured."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from tenon.cli.app import root
from tenon.core import cards

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(page for pattern in ("*.md", "docs/*.md", "tenon/**/*.md") for page in REPOSITORY.glob(pattern))
MAKE = runpy.run_path(str(REPOSITORY / "docs" / "make.py"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def by_path(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


WITH_PYTHON = [page for page in PAGES if page != MAKE["PAPERS"] and blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=by_path)
def test_python_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    for block in blocks(page, "python"):  # one page is one session: later blocks may use names of earlier ones
        exec(compile(block, str(page), "exec"), names)
    assert capsys.readouterr().out.strip()


def test_the_quickstart_has_ten_lines() -> None:
    (quickstart,) = blocks(REPOSITORY / "README.md", "python")
    assert len(quickstart.splitlines()) <= 10


@pytest.mark.parametrize("page", PAGES, ids=by_path)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    for block in blocks(page, "(?:bash|sh|console)"):
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == ["tenon"]:
                resolve(words[1:])


def resolve(words: list[str]) -> None:
    """Follow the words of a command line down to its command, and check that the command has the options."""
    command: Any = root()
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, f"tenon has no command {name}"
        command = command.commands[name]
        if hasattr(command, "source"):
            command = command.make_context(name, ["--help"], resilient_parsing=True).command
    known = {option for param in command.params for option in param.opts} | {"--help", "--debug"}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES, ids=by_path)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.split("#")[0]).exists(), f"{target} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=by_path)
def test_numbers_are_rendered_from_results(page: Path) -> None:
    assert cards.render(page) == page.read_text(encoding="utf-8"), f"python -m tenon.core.cards {by_path(page)}"


def test_the_paper_index_is_up_to_date() -> None:
    assert MAKE["papers"]() == MAKE["PAPERS"].read_text(encoding="utf-8"), "python docs/make.py"


def test_a_typed_number_is_found(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(
        '{"command": "tenon x", "rows": [{"cache": 0.5, "tokens": 2048}], "share": 0.514}'
    )
    readme = tmp_path / "README.md"
    readme.write_text(
        "<!-- results results.json#rows -->\n| cache |\n<!-- /results -->\n"
        "Half (<!-- results results.json#share .0% -->49%<!-- /results -->).\n"
    )
    rendered = cards.render(readme)
    assert "| cache | tokens |\n| --- | --- |\n| 0.5 | 2,048 |" in rendered
    assert "command `tenon x`" in rendered
    assert "-->51%<!--" in rendered
    readme.write_text(rendered)
    assert cards.render(readme) == rendered
    readme.write_text("<!-- results results.json#rows.3 --><!-- /results -->")
    with pytest.raises(ValueError, match=r"nothing at 'rows\.3'"):
        cards.render(readme)
