"""What does the viewer cost the graph that it shows? ``python -m benchmarks.live_viewer``

The bundled clip plays at its own rate, 30 images a second, through ``diffmocap live`` without the viewer, and with it
and a client that reads everything that the page sends and draws nothing: drawing is the cost of the browser. Runs of
both kinds take turns, and each pair is compared. Of the viewer's process are told its share of a core and its memory.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.live_viewer.page_client import PageClient
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, Page, page_arguments, provenance

CLIP = Path("media/demo.mp4")
#: Asked for: rate, and how much later the median pose may be.
RATE_HZ, MOST_MORE_MS = 29.5, 3.0
_PORT = 8190


@dataclass
class Run:
    """One run of the graph.

    Attributes:
        figures: what ``live --json`` prints.
        viewer_cpu: cores that the viewer's process took while it was looked at; None without it.
        viewer_mb: its resident memory at the end.
        received: pose messages, and bytes, that the client got a second.
    """

    figures: dict[str, Any] = field(default_factory=dict)
    viewer_cpu: float | None = None
    viewer_mb: float | None = None
    received: tuple[float, float] = (0.0, 0.0)


def run(with_viewer: bool) -> Run:
    """Plays the clip once."""
    command = [sys.executable, "-m", "diffmocap.cli.main", "live", "--source", str(CLIP), "--json"]
    command += ["--view", "--view-port", str(_PORT)] if with_viewer else []
    made = Run()
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, "")), daemon=True)
        reader.start()
        if with_viewer:
            _watch(process, said, made)
        output = process.stdout.read()
        reader.join(10.0)
    if process.returncode:
        raise SystemExit("".join(said))
    made.figures = json.loads(output.strip().splitlines()[-1])
    return made


def _watch(process: subprocess.Popen, said: list[str], made: Run) -> None:
    """Reads the page until the graph ends, and measures the viewer's process."""
    while not (found := re.search(r"the viewer is at (http://\S+)", "".join(said))):
        if process.poll() is not None:
            raise SystemExit("".join(said))
        time.sleep(0.1)
    (viewer,) = (p for p in psutil.Process(process.pid).children(True) if "viewer_node" in p.cmdline())
    poses, begun = 0, None
    with PageClient(found[1]) as client:
        try:
            while True:
                moved = any(message["type"] == "SetBonePositionMessage" for message in client.read(0.5))
                if moved and begun is None:  # the first pose: from here on everything is drawn
                    begun = (time.monotonic(), sum(viewer.cpu_times()[:2]), client.received_bytes)
                if begun is None:
                    continue
                poses += moved
                spent_s = time.monotonic() - begun[0]
                made.viewer_cpu = (sum(viewer.cpu_times()[:2]) - begun[1]) / max(spent_s, 1.0)
                made.viewer_mb = viewer.memory_info().rss / 1e6
                made.received = (poses / max(spent_s, 1.0), (client.received_bytes - begun[2]) / max(spent_s, 1.0))
        except Exception as ended:  # the graph is at its end and the viewer with it
            if begun is None:
                raise SystemExit("".join(said)) from ended


def figures(pairs: list[tuple[Run, Run]]) -> dict[str, Any]:
    """What the pairs of (without, with) tell."""
    watched = [pair[1] for pair in pairs]
    more = [after.figures["latency_p50_ms"] - before.figures["latency_p50_ms"] for before, after in pairs]
    return {
        "rate_without": median(pair[0].figures["fps"] for pair in pairs),
        "rate_with": median(run.figures["fps"] for run in watched),
        "lost_without": sum(pair[0].figures["lost"] for pair in pairs),
        "lost_with": sum(run.figures["lost"] for run in watched),
        "p50_without_ms": median(pair[0].figures["latency_p50_ms"] for pair in pairs),
        "p50_with_ms": median(run.figures["latency_p50_ms"] for run in watched),
        "p50_more_ms": median(more),
        "p50_more_each_ms": [round(value, 2) for value in more],
        "viewer_cores": median(run.viewer_cpu for run in watched),
        "viewer_mb": max(run.viewer_mb for run in watched),
        "client_poses_hz": median(run.received[0] for run in watched),
        "client_kb_s": median(run.received[1] for run in watched) / 1e3,
    }


def page(found: dict[str, Any], load: float) -> list[str]:
    """The Markdown page."""
    rows = (
        ("poses a second", found["rate_without"], found["rate_with"], f"{RATE_HZ:g} at least"),
        ("latency p50 [ms]", found["p50_without_ms"], found["p50_with_ms"], ""),
        ("images lost", found["lost_without"], found["lost_with"], ""),
    )
    return [
        "# What the viewer costs the graph",
        "",
        *provenance("benchmarks.live_viewer", "the bundled clip, 640x480, 30 Hz, once a run"),
        "",
        f"Load of the machine before the first run: {load:.1f}. Medians over {len(found['p50_more_each_ms'])} pairs.",
        "",
        "| figure | without | with viewer and client | asked |",
        "|---|---|---|---|",
        *(f"| {name} | {without:.1f} | {with_:.1f} | {asked} |" for name, without, with_, asked in rows),
        "",
        f"Later by p50, in pairs: {found['p50_more_ms']:+.2f} ms (each: {found['p50_more_each_ms']}); asked: at most "
        f"{MOST_MORE_MS:g}. The viewer's process takes {100 * found['viewer_cores']:.1f} % of a core and "
        f"{found['viewer_mb']:.0f} MB; the client gets {found['client_poses_hz']:.1f} poses and "
        f"{found['client_kb_s']:.0f} kB a second.",
        "",
    ]


def options() -> argparse.Namespace:
    """The command line."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="runs of each kind (default: %(default)s)")
    shared_options(parser, "json", "no_page", "out")
    return page_arguments(parser)


def main() -> None:
    """Measures, prints, and writes the page."""
    args, load = options(), psutil.getloadavg()[0]
    pairs = []
    for i in range(args.pairs):
        order = (False, True) if i % 2 == 0 else (True, False)
        runs = {kind: run(kind) for kind in order}
        pairs.append((runs[False], runs[True]))
    found = figures(pairs) | {"load_before": load}
    lines = page(found, load)
    print("\n".join(lines), file=sys.stderr if args.json else sys.stdout)
    if not args.no_page:
        Page.of_today("live-viewer", args.out).write(lines)
    end_with_json(args, found)


if __name__ == "__main__":
    main()
