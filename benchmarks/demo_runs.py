"""How fast and how regular is the whole graph in real time? ``python -m benchmarks.demo_runs``.

Runs ``diffmocap demo --realtime`` several times in a row, each with nodes of its own, and writes what each said to a
dated page: rate, latencies from capture to joint states, lost frames, and how much of the work was done in time.
Nothing else should run meanwhile. Ends with one JSON line where ``--json`` asks for it: the median of each figure.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from statistics import median
from typing import Any

from tqdm import tqdm

from benchmarks.page.command import benchmark_parser, end_with_json, name_option, shared_options
from benchmarks.page.report import Page, page_arguments, provenance

#: Of a run: title, key of ``diffmocap demo --json``, decimals and what the value is multiplied by.
COLUMNS = (
    ("fps", "fps", 1, 1.0), ("p50 [ms]", "latency_p50_ms", 1, 1.0), ("p99 [ms]", "latency_p99_ms", 1, 1.0),
    ("lost", "lost", 0, 1.0), ("made better by physics [%]", "physics_share", 1, 100.0),
    ("of the refined with a step [%]", "frames_with_step", 1, 100.0), ("hypotheses, median", "hypotheses", 0, 1.0),
    ("MPJPE [mm]", "mpjpe_mm", 1, 1.0), ("PA-MPJPE [mm]", "pa_mpjpe_mm", 1, 1.0),
    ("nearer the truth than the filter alone [%]", "frames_improved", 0, 100.0),
    ("memory [MB]", "rss_mb", 0, 1.0), ("first pose [s]", "start_s", 1, 1.0),
)  # fmt: skip
STAGES = ("detection", "lifting", "refinement", "publishing")


def command(arguments: list[str]) -> list[str]:
    """Of one run."""
    return [sys.executable, "-m", "diffmocap.cli.main", "demo", "--realtime", "--json", "--no-video", *arguments]


def demo(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """One run, ended."""
    return subprocess.run(command(arguments), capture_output=True, text=True, check=False)


def one_run(arguments: list[str]) -> dict[str, Any]:
    """Figures of one run, and the median times of its stages under their names.

    Raises:
        SystemExit: the demo failed; its last words are the message.
    """
    done = demo(arguments)
    if done.returncode or not done.stdout.strip():
        raise SystemExit(f"diffmocap demo ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return flat(json.loads(done.stdout.strip().splitlines()[-1]))


def flat(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures of ``--json`` with the share of poses that the physics refined, and the stages' medians [ms]."""
    stages = {name: figures["stages"].get(name, {}).get("p50_ms") for name in STAGES}
    share = figures["physics_frames"] / figures["poses"] if figures["poses"] else None
    return figures | stages | {"physics_share": share}


def medians(runs: list[dict[str, Any]]) -> dict[str, float | None]:
    """The median of each figure over the runs that have it."""
    found = {}
    for key in (*(key for _, key, _, _ in COLUMNS), *STAGES):
        values = [run[key] for run in runs if run.get(key) is not None]
        found[key] = median(values) if values else None
    return found


def table(runs: list[dict[str, Any]]) -> list[str]:
    """Markdown: a row for each run, and their medians."""
    columns = (*COLUMNS, *((f"{name} [ms]", name, 1, 1.0) for name in STAGES))
    rows = [("run", *(title for title, *_ in columns)), ("---", *["---:"] * len(columns))]
    for name, run in (*((str(i + 1), run) for i, run in enumerate(runs)), ("median", medians(runs))):
        cells = ("" if run.get(key) is None else f"{run[key] * unit:.{digits}f}" for _, key, digits, unit in columns)
        rows.append((name, *cells))
    return [f"| {' | '.join(row)} |" for row in rows]


def main(arguments: list[str] | None = None) -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="in a row (default %(default)s)")
    name_option(parser, "demo-runs")
    parser.add_argument("--note", default="", help="what the page says of the circumstances of the runs")
    parser.add_argument(
        "--demo", default="", metavar="OPTIONS", help="further options of diffmocap demo, such as '--hypotheses 1'"
    )
    shared_options(parser, "out", "json", "no_page")
    options = page_arguments(parser, arguments)
    if options.runs < 1:
        parser.error(f"--runs must be at least 1, got {options.runs}")
    runs = [one_run(shlex.split(options.demo)) for _ in tqdm(range(options.runs), unit="run")]
    frames = {run["frames"] for run in runs}
    data = f"the bundled clip, {' or '.join(map(str, sorted(frames)))} frames"
    head = provenance("benchmarks.demo_runs", data)
    text = [
        "# Runs of `diffmocap demo` in real time",
        "",
        *head,
        *([f"- note: {options.note}"] if options.note else []),
    ]
    text += [
        "", "Default parameters but for the options of the command. Milliseconds from capture to joint states, and "
        "medians of the stages within. Lost: frames without a pose after the first one.", "", *table(runs),
    ]  # fmt: skip
    print("\n".join(text))
    if not options.no_page:
        print(Page.of_today(options.name, options.out).write(text))
    end_with_json(options, medians(runs))


if __name__ == "__main__":
    main()
