"""How much faster are two workers than one? ``python -m benchmarks.reconstruct_jobs``

Twenty clips of two seconds, cut from the bundled one, go through ``diffmocap reconstruct --jobs``: one worker on one
core, two workers on one core each, and one worker that has both cores. Runs of the three take turns; wall-clock from
the command's start to its end, loading of the models included, and whether the files are the same to the byte.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2

from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, Page, page_arguments, provenance

CLIPS, FRAMES, STEP = 20, 60, 30
#: Row -> jobs, and how many cores the command has.
ROWS = {"one worker, one core": (1, 1), "two workers, two cores": (2, 2), "one worker, two cores": (1, 2)}
ASKED = 1.8


def cut_clips(folder: Path) -> None:
    """The clips, each beginning a second after the one before."""
    source = cv2.VideoCapture(str(REPOSITORY / "media" / "demo.mp4"))
    frames = []
    while (read := source.read())[0]:
        frames.append(read[1])
    for number in range(CLIPS):
        path = str(folder / f"clip{number:02d}.mp4")
        writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (640, 480))
        for frame in frames[number * STEP : number * STEP + FRAMES]:
            writer.write(frame)
        writer.release()


def seconds(clips: Path, out: Path, jobs: int, cores: int) -> float:
    """One run of the command."""
    allowed = set(sorted(os.sched_getaffinity(0))[:cores])
    command = [sys.executable, "-m", "diffmocap.cli.main", "reconstruct", str(clips), "--out", str(out)]
    begin = time.perf_counter()
    subprocess.run(
        [*command, "--jobs", str(jobs)], check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )  # fmt: skip
    return time.perf_counter() - begin


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each kind (default: %(default)s)")
    shared_options(parser, "json", "no_page", "out")
    args = page_arguments(parser)
    found: dict[str, list[float]] = {row: [] for row in ROWS}
    with tempfile.TemporaryDirectory() as folder:
        clips = Path(folder) / "clips"
        clips.mkdir()
        cut_clips(clips)
        outs = {row: Path(folder) / row.replace(" ", "_") for row in ROWS}
        for run in range(args.runs):
            for row, (jobs, cores) in ROWS.items():
                print(f"run {run + 1} of {args.runs}: {row}", file=sys.stderr, flush=True)
                for path in outs[row].glob("*.npz"):
                    path.unlink()
                found[row].append(seconds(clips, outs[row], jobs, cores))
        one, two = (outs[row] for row in list(ROWS)[:2])
        names = sorted(path.name for path in one.glob("*.npz"))
        same = not any(filecmp.cmpfiles(one, two, names, shallow=False)[1:])
    times = {row: median(values) for row, values in found.items()}
    alone, both, threaded = times.values()
    figures = {
        "seconds": times, "each": found, "faster_than_one": alone / both, "faster_than_threads": threaded / both,
        "files": len(names), "same_files": same,
    }  # fmt: skip
    if not args.no_page:
        lines = ["# Workers of a reconstruction", ""]
        lines += [*provenance("benchmarks.reconstruct_jobs", "20 clips of 2 s of the bundled one"), ""]
        lines += [*__doc__.split("\n\n", 1)[1].splitlines(), "", "| | median, s | each, s |", "|---|---:|---|"]
        lines += [f"| {row} | {times[row]:.1f} | {', '.join(f'{x:.1f}' for x in found[row])} |" for row in ROWS]
        lines += [
            "",
            f"Two workers are {alone / both:.2f} times as fast as one on one core (asked: {ASKED}), and "
            f"{threaded / both:.2f} times as fast as one that has both. Files: {len(names)}, "
            f"{'the same to the byte' if same else 'NOT the same'}.",
        ]
        print(Page.of_today("reconstruct-jobs", args.out).write(lines))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
