"""The process behind `expressions.py`: reads `["a", "b"]` per line, writes `true`, `false`, or `null` out of time.

It runs by its path, outside the package, so it imports nothing of tenon.
"""

from __future__ import annotations

import json
import sys

__all__ = ["main"]


def main() -> None:
    """Answer line by line until the input ends."""
    from math_verify import parse, verify
    from math_verify.errors import TimeoutException

    def compare(a: str, b: str) -> bool | None:
        try:
            left, right = (parse(f"${text.strip('$ ')}$", raise_on_error=True) for text in (a, b))
            return bool(left and right and verify(left, right, raise_on_error=True))
        except TimeoutException:  # otherwise swallowed, and read as "not equal"
            return None
        except Exception:
            left, right = (parse(f"${text.strip('$ ')}$") for text in (a, b))
            return bool(left and right and verify(left, right))

    answers, sys.stdout = sys.stdout, sys.stderr  # nothing that a library prints may pass for an answer
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(compare(*json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
