"""The process behind `expressions.py`: reads `["a", "b"]` per line, writes `true` or `false`.

It runs by its path, outside the package, so it imports nothing of tenon.
"""

from __future__ import annotations

import json
import sys

__all__ = ["main"]


def main() -> None:
    """Answer line by line until the input ends."""
    from math_verify import parse, verify

    answers, sys.stdout = sys.stdout, sys.stderr  # nothing that a library prints may pass for an answer
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        left, right = (parse(f"${text.strip('$ ')}$") for text in json.loads(line))
        print(json.dumps(bool(left and right and verify(left, right))), file=answers, flush=True)


if __name__ == "__main__":
    main()
