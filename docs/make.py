"""Write what the docs take from the code: the paper index, from every method's CARD and PRESETS.

    python docs/make.py

A preset is shown as it stands in the method's config.py, where a comment on each line gives the source of its values.
"""

from __future__ import annotations

import ast
import textwrap
from importlib import import_module
from pathlib import Path

from tenon.core.report import Card
from tenon.methods import METHODS

PAPERS = Path(__file__).with_name("papers.md")

HEAD = """# Paper index

Made by `python docs/make.py` from every method's `CARD` and `PRESETS`; edit those.
The source of each value stands beside it: `[paper]`, `[code]` the authors' release, `[hf]` their Hugging Face port,
`[ours]` our choice where both are silent.
"""


def papers() -> str:
    """Give the index: one section per method, in the order of `METHODS`."""
    return "\n".join([HEAD, *(section(name, entry.path) for name, entry in METHODS.items())])


def section(name: str, path: str) -> str:
    """Give one method's part: what it is, whose it is, and its presets with their sources."""
    card: Card = import_module(path).CARD
    config = Path(import_module(f"{path}.config").__file__ or "").read_text(encoding="utf-8")
    paper = f"[{card.paper}](https://arxiv.org/abs/{card.arxiv}) (arXiv {card.arxiv})" if card.arxiv else card.paper
    return "\n".join(
        [
            f"## {card.title}\n",
            f"{paper}\n",
            f"{card.summary} {card.when_to_use}\n",
            f"Method card: [tenon/methods/{name}](../tenon/methods/{name}/README.md). "
            f"From Python: `tenon.methods.{name}.PRESETS[...]`; from the command line: `--preset NAME`.\n",
            "```python",
            presets_source(config),
            "```\n",
        ]
    )


def presets_source(config: str) -> str:
    """Give the lines of `PRESETS = {...}` without its braces, as they stand in the source of a config module."""
    for node in ast.parse(config).body:
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == "PRESETS":
            lines = config.splitlines()[node.lineno : (node.end_lineno or node.lineno) - 1]
            return textwrap.dedent("\n".join(lines))
    raise ValueError("The config module assigns no PRESETS.")


if __name__ == "__main__":
    PAPERS.write_text(papers(), encoding="utf-8")
