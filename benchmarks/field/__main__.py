"""Measures the cases with the diffmocap that this Python imports and prints one JSON object a line."""

from __future__ import annotations

import json
import sys

from .case import cases, measured


def main(wanted: list[str]) -> None:
    """Measures the cases whose kind contains one of ``wanted``; all of them where it is empty."""
    for case in cases():
        if not wanted or any(text in case.kind for text in wanted):
            print(json.dumps(measured(case)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
