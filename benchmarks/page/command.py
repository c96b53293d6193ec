"""A benchmark's command line: the options that benchmarks share have one spelling, default and help.

parser = benchmark_parser(__doc__)
clips_option(parser, "val")
parser.add_argument("--hypotheses", type=int, default=4)      # what only this benchmark has
shared_options(parser, "weights", "device", "json", "no_page")
args = page_arguments(parser)                                 # benchmarks.page.report
...
end_with_json(args, figures)
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.page.report import RESULTS

#: What the splits of the motion capture are called in the help.
SPLITS = {"train": "training", "val": "validation", "test": "test"}
_SHARED: dict[str, dict[str, Any]] = {
    "weights": {"help": "weights file (default: the shipped one)"},
    "every": {"type": int, "default": 5, "help": "take every n-th frame of a clip (default %(default)s)"},
    "steps": {"type": int, "default": 50, "help": "DDIM steps (default %(default)s)"},
    "seed": {"type": int, "default": 0, "help": "of what is drawn at random (default %(default)s)"},
    "device": {"default": "cpu", "help": "cpu or cuda"},
    "threads": {"type": int, "default": 0, "help": "of PyTorch (default: its own choice)"},
    "json": {"action": "store_true", "help": "end with one JSON line"},
    "no_page": {"action": "store_true", "help": "do not write the page"},
    "out": {"type": Path, "default": RESULTS, "help": "folder of the page (default: %(default)s)"},
}


def benchmark_parser(doc: str) -> argparse.ArgumentParser:
    """A parser that shows the benchmark's docstring as it is written."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def clips_option(parser: argparse.ArgumentParser, split: str, option: str = "--data", what: str = "clips") -> None:
    """The motion capture that :func:`benchmarks.page.report.mocap_file` then looks for."""
    parser.add_argument(option, help=f"{what} (default: the {SPLITS[split]} split; see benchmarks/README.md)")


def name_option(parser: argparse.ArgumentParser, default: str) -> None:
    """What :meth:`benchmarks.page.report.Page.of_today` calls the page."""
    parser.add_argument("--name", default=default, help="of the page, after its date (default: %(default)s)")


def shared_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Options of these names, ``_`` standing for ``-``; see the top of this file."""
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}", **_SHARED[name])


def end_with_json(args: argparse.Namespace, figures: Any) -> None:
    """Prints the figures as the last line where ``--json`` asks for it."""
    if args.json:
        print(json.dumps(figures))
