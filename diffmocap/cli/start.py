"""The executable ``diffmocap``: Ctrl-C ends it without a traceback also while it is still being imported."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def main() -> int:
    """Runs the command line; returns the exit code."""
    try:
        from diffmocap.cli.main import main as run

        code = run()
    except KeyboardInterrupt:
        print("\ndiffmocap: interrupted", file=sys.stderr)
        code = INTERRUPTED
    if code == INTERRUPTED:
        # Who has interrupted it wants it gone: Python would take a moment to unload torch.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
