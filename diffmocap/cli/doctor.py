"""Says what is installed, what is missing and where to get it.

Looks at Python and its packages, ROS 2 and the message packages, the shipped models (their sha256 is verified), the
cameras of this machine and what is optional. At the end stands one command that fixes what was found. The exit code is
0 when `diffmocap demo` can run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence

SUMMARY = "what is installed, what is missing and where to get it"

_MARKS = {"ok": "ok", "note": "note", "missing": "MISSING"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Runs all checks and prints them; 1 where the demo could not run."""
    from diffmocap.cli import checks
    from diffmocap.cli.remedies import one_command

    found = list(checks.all_checks())
    fix = one_command(check.remedy for check in found)
    ready = all(check.status != "missing" for check in found)
    if args.json:
        print(json.dumps({"ready": ready, "fix": fix, "checks": [check.as_json() for check in found]}))
    else:
        print("\n".join(_lines(found)))
        print()
        missing = sum(check.status == "missing" for check in found)
        print("Ready: `diffmocap demo` can run." if ready else f"Not ready: {missing} missing, see the advice.")
        if fix:
            print(f"\nThis fixes {'what can be better' if ready else 'all that a command can'}:\n\n    {fix}")
    return 0 if ready else 1


def _lines(found: Sequence) -> Iterable[str]:
    width = max(len(check.name) for check in found)
    for check in found:
        yield f"  {_MARKS[check.status]:<8} {check.name:<{width}} {check.detail}"
        if check.advice:
            yield f"{'':{width + 12}}-> {check.advice}"
