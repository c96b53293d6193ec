"""Inputs from the field, before and after: ``python -m benchmarks.field_inputs --before CHECKOUT``.

Runs every case of :mod:`benchmarks.field` with the diffmocap of this checkout and with that of another one (for example
a ``git worktree`` of an earlier commit, with the virtual environment that it asks for), and writes a dated page.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.page.command import benchmark_parser, shared_options
from benchmarks.page.report import REPOSITORY, Page, commit, page_arguments, provenance
from training.commit import git_commit

Result = dict[str, Any]


def results_of(checkout: Path, python: str, kinds: list[str], describe: str) -> list[Result]:
    """What the cases give with the diffmocap of ``checkout`` under ``python``, with a progress bar."""
    search = os.pathsep.join((str(REPOSITORY / "benchmarks"), str(checkout)))  # `field` on its own, see its docstring
    command = [python, "-m", "field", *kinds]
    environment = {k: v for k, v in os.environ.items() if k != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"} | {
        "PYTHONPATH": search
    }
    results = []
    with subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in tqdm(process.stdout, desc=describe, unit="case"):
            if line.startswith("{"):
                results.append(json.loads(line))
    if process.returncode != 0:
        raise SystemExit(f"measuring {describe} ended with exit code {process.returncode}")
    return results


def shown(result: Any, unit: str) -> str:
    """A result as a cell of the table."""
    if result is None:
        return "not measured"
    if isinstance(result, dict):
        return "error: " + result["error"].replace("|", "\\|")
    if isinstance(result, float):
        return f"{result:.4g} {unit}".strip()
    return f"{result} {unit}".strip().replace("|", "\\|")


def table(after: list[Result], before: list[Result]) -> list[str]:
    """Markdown rows in the order of ``after``."""
    earlier = {(r["kind"], r["what"]): r["result"] for r in before}
    lines = ["| kind | input | before | after | wanted |", "|---|---|---|---|---|"]
    for r in after:
        was = shown(earlier.get((r["kind"], r["what"])), r["unit"])
        cells = (r["kind"], r["what"], was, shown(r["result"], r["unit"]), r["wanted"])
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(argv: list[str] | None = None) -> None:
    """Parses the command line, measures, and writes the page."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--before", type=Path, help="another checkout of diffmocap to compare with")
    parser.add_argument(
        "--before-python", default="", help="its Python (default: .venv/bin/python in it, else this one)"
    )
    parser.add_argument("--kinds", nargs="*", default=[], help="only kinds whose name contains one of these texts")
    shared_options(parser, "out")
    options = page_arguments(parser, argv)
    after = results_of(REPOSITORY, sys.executable, options.kinds, "this checkout")
    before: list[Result] = []
    remark = "There is nothing to compare with: give another checkout as --before."
    if options.before:
        checkout = options.before.resolve()
        own = checkout / ".venv" / "bin" / "python"
        python = options.before_python or (str(own) if own.is_file() else sys.executable)
        before = results_of(checkout, python, options.kinds, "the other checkout")
        remark = f'"Before" is commit `{git_commit(checkout, short=True)}`, "after" is `{commit()}`.'
    lines = [
        "# Inputs from the field, before and after",
        "",
        *provenance("benchmarks.field_inputs", "made by the cases"),
    ]
    lines += ["", f"{remark} An error is what the user of that version sees.", "", *table(after, before), ""]
    print(Page.of_today("field-inputs", options.out).write(lines))


if __name__ == "__main__":
    main()
