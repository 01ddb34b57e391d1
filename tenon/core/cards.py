"""Numbers in a README come from a committed results file: marked blocks are rendered from it, never typed.

A block names the file, beside the README or below it, and the value in it by a dotted path:

    <!-- results results/stream.json#tables.comparison -->
    (a Markdown table of the rows found there, with a line that says where they come from)
    <!-- /results -->

    The cache holds <!-- results results/stream.json#facts.cache_share .2f -->0.51<!-- /results --> of the full one.

A list of rows becomes a table; a single value is written in place, by the format if one is given. Figures that others
published are quoted in `<!-- published SOURCE -->` ... `<!-- /published -->`.

`python -m tenon.core.cards README.md ...` writes the blocks anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tenon.core.errors import DataError

__all__ = ["render", "typed_numbers"]

BLOCK = re.compile(
    r"(<!-- results (?P<file>[^#\s]+)#(?P<path>\S+)(?: (?P<format>\S+))? -->).*?(<!-- /results -->)", re.S
)
QUOTED = re.compile(r"<!-- (results|published) .+? -->.*?<!-- /\1 -->", re.S)
MEASURED = re.compile(r"\d\.\d|\d ?%")
PROVENANCE = ("command", "commit", "seed", "weights", "hardware")


def render(readme: Path) -> str:
    """Give the README's text with every block written anew from its results file.

    Raises:
        DataError: A results file is missing or no JSON, or holds nothing at the path that a block names.
    """

    def block(match: re.Match[str]) -> str:
        value, whole = _look_up(readme.parent / match["file"], match["path"])
        if isinstance(value, Sequence) and not isinstance(value, str):
            body = "\n" + _table(value, match["format"]) + "\n\n" + _source(match["file"], whole) + "\n"
        else:
            body = _cell(value, match["format"])
        return match[1] + body + match[5]

    return BLOCK.sub(block, readme.read_text(encoding="utf-8"))


def typed_numbers(text: str) -> list[str]:
    """Give the table rows that show a measured-looking number (a decimal or a per cent) outside every block.

    >>> typed_numbers("| full | 12.5 |")
    ['| full | 12.5 |']
    >>> typed_numbers("<!-- published Table 3 -->| full | 12.5 |<!-- /published -->")
    []
    """
    rows = [line for line in QUOTED.sub("", text).splitlines() if line.lstrip().startswith("|")]
    return [row for row in rows if MEASURED.search(row)]


def _look_up(file: Path, path: str) -> tuple[Any, Any]:
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON ({error}); a README takes its numbers from there.") from error
    value = whole
    for name in path.split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            known = ", ".join(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
            raise DataError(f"{file} has nothing at '{path}': no '{name}' (there: {known}).")
    return value, whole


def _table(rows: Sequence[Mapping[str, Any]], spec: str | None) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [[column.replace("_", " ") for column in columns], ["---"] * len(columns)]
    lines += [[_cell(row.get(column, ""), spec) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any, spec: str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return format(value, spec or ".4g")
    if isinstance(value, int) and not isinstance(value, bool):
        return format(value, ",")
    return str(value).replace("|", r"\|").replace("\n", " ")


def _source(file: str, whole: Any) -> str:
    facts = [f"{name} `{whole[name]}`" for name in PROVENANCE if isinstance(whole, Mapping) and name in whole]
    return f"*From [`{file}`]({file}){': ' if facts else ''}{', '.join(facts)}.*"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(render(Path(name)), encoding="utf-8")
