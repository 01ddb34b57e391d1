"""Time what a newcomer does first: a fresh clone, an empty home, and `make tour` or `make test` as the first command.

    python docs/walltimes.py

Writes `docs/results/walltimes.json`, from which the README takes its times (`make docs`). Both clones lie in a
temporary folder and go away. Times hold for one machine, its network and its other work: an order of magnitude.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from tenon.core.models.loading import weights_hash
from tenon.core.results import write_results

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results") / "walltimes.json"
KEPT = ("PATH", "LANG", "PIP_INDEX_URL", "PIP_FIND_LINKS", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
"""All that the clones see of this environment: how programs and packages are found."""


def main() -> None:
    """Time both commands and write the results."""
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for first in ("tour", "test"):
            clone, home = Path(folder) / first, Path(folder) / f"home-{first}"
            home.mkdir()
            subprocess.run(["git", "clone", "-q", REPOSITORY, clone], check=True)
            for command in ("install", first):  # what `make tour` does when it comes first, in its two parts
                rows.append({"first command": f"make {first}", "part": command, **timed(command, clone, home)})
    write_results(RESULTS, command="python docs/walltimes.py", seed=0, weights=weights_hash("nano-lm"), times=rows)


def timed(target: str, clone: Path, home: Path) -> dict[str, float]:
    """Give the minutes that a target of the Makefile takes in this clone."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {"HOME": str(home)}
    began = time.monotonic()
    subprocess.run(["make", target], cwd=clone, env=environment, check=True, stdin=subprocess.DEVNULL)
    return {"wall time [min]": (time.monotonic() - began) / 60}


if __name__ == "__main__":
    main()
