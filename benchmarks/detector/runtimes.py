"""Two runtimes of the detector, paired: ``python -m benchmarks.detector.runtimes --before CHECKOUT --old-python PATH``.

CHECKOUT is another checkout of diffmocap, for example a ``git worktree`` of the commit before MediaPipe was exchanged,
and PATH the Python of its virtual environment. Both detectors run at the same time, each in a process of its own, and
take turns on the same images, a second each, so that changes of the machine's speed affect both: at full speed, and at
30 images a second, where a thread that spins while it waits shows in the processor time. Then each detects the bundled
clip, the films and the real clip beside the checkout, where they exist, and one pipeline lifts the keypoints of both.
Writes a dated page to ``benchmarks/results``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.detector.runtime_accuracy import Film, bundled, difference, errors, load_pipeline, real_views
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, Page, commit, page_arguments, provenance
from training.commit import git_commit

WORKER = Path(__file__).with_name("runtime_worker.py")
NAMES = ("old", "new")
BLOCK = 30
MODES = {"as fast as possible": 0.0, "30 images a second": 1.0 / 30.0}


class Runtime:
    """A detector in a process of its own, with the diffmocap of a checkout."""

    def __init__(self, checkout: Path, python: str) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
        self._process = subprocess.Popen(
            [python, str(WORKER)], cwd=checkout, env=environment | {"PYTHONPATH": str(checkout)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.start = self._answer()

    def tell(self, **order: Any) -> dict[str, Any]:
        """Gives an order (see ``runtime_worker.py``) and waits for its answer."""
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a detector ended with exit code {self._process.wait()}; its error stands above")
        return json.loads(line)


def timings(runtimes: dict[str, Runtime], film: Path, blocks: int) -> dict[str, dict[str, Any]]:
    """Per mode: medians of both, and the median and quartiles of new over old, block by block."""
    for runtime in runtimes.values():
        runtime.tell(do="load", film=str(film), count=10 * BLOCK)
        runtime.tell(do="time", images=BLOCK, period_s=0.0)
    figures: dict[str, dict[str, Any]] = {}
    for mode, period_s in MODES.items():
        done: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
        for i in tqdm(range(blocks), desc=mode, unit="pair"):
            for name in NAMES if i % 2 else NAMES[::-1]:
                done[name].append(runtimes[name].tell(do="time", images=BLOCK, period_s=period_s))
        times = {name: [float(np.median(block["times_ms"])) for block in done[name]] for name in NAMES}
        cpu = {name: [block["cpu_ms"] for block in done[name]] for name in NAMES}
        every = {name: np.concatenate([block["times_ms"] for block in done[name]]) for name in NAMES}
        figures[mode] = {
            "median_ms": {n: float(np.median(every[n])) for n in NAMES},
            "p99_ms": {n: float(np.percentile(every[n], 99)) for n in NAMES},
            "cpu_ms": {n: float(np.median(cpu[n])) for n in NAMES},
            "time_ratio": quartiles(times), "cpu_ratio": quartiles(cpu),
            "threads": {n: done[n][-1]["threads"] for n in NAMES},
            "resident_mb": {n: done[n][-1]["resident_mb"] for n in NAMES},
        }  # fmt: skip
    figures["rest"] = {"cpu_share": {n: runtimes[n].tell(do="rest", seconds=2.0)["cpu_share"] for n in NAMES}}
    return figures


def quartiles(values: dict[str, list[float]]) -> list[float]:
    """25 %, 50 % and 75 % of new over old, pair by pair."""
    return np.percentile(np.array(values["new"]) / np.array(values["old"]), [25, 50, 75]).tolist()


def films(media: Path) -> list[Film]:
    """What is detected: the bundled clip, the real clip, and films without a truth."""
    found = [bundled(REPOSITORY / "media/demo.mp4"), *real_views(media / "real")]
    return found + [Film(path.stem, path) for path in sorted((media / "media").glob("*.mp4"))]


def detect_all(runtimes: dict[str, Runtime], wanted: list[Film], folder: Path) -> dict[str, dict[str, dict]]:
    """Film -> runtime -> what it detected."""
    results: dict[str, dict[str, dict]] = {}
    for film in tqdm(wanted, desc="detecting", unit="film"):
        for name, runtime in runtimes.items():
            out = folder / f"{name}.npz"
            runtime.tell(do="detect", film=str(film.path), out=str(out))
            with np.load(out, allow_pickle=False) as data:
                results.setdefault(film.name, {})[name] = dict(data)
    return results


def page_lines(start: dict, timed: dict, accuracy: dict, apart: dict, remark: str) -> list[str]:
    """The page's body."""
    lines = ["## Time", "", remark, "", "| | old | new | new / old, median (quartiles) |", "|---|---:|---:|---:|"]

    def row(what: str, values: dict[str, float], digits: int, ratio: list[float] | None = None) -> str:
        shown = f"{ratio[1]:.3f} ({ratio[0]:.3f} to {ratio[2]:.3f})" if ratio else ""
        return f"| {what} | {values['old']:.{digits}f} | {values['new']:.{digits}f} | {shown} |"

    for mode in MODES:
        f = timed[mode]
        lines += [
            row(f"{mode}: detection, median ms", f["median_ms"], 2, f["time_ratio"]),
            row(f"{mode}: detection, p99 ms", f["p99_ms"], 1),
            row(f"{mode}: processor time an image, ms", f["cpu_ms"], 2, f["cpu_ratio"]),
        ]
    lines += [
        row("processor time at rest, share of a core", timed["rest"]["cpu_share"], 3),
        row("threads", timed["30 images a second"]["threads"], 0),
        row("resident memory, MB", timed["30 images a second"]["resident_mb"], 0),
        row("start until the detector is ready, s", {n: start[n]["start_s"] for n in NAMES}, 2),
        "", "## Accuracy", "",
        "Keypoints against the true ones (mapped onto the body, seen ones); 3D over the 12 limb joints: MediaPipe's "
        "own after the best similarity, and the pose node's pipeline on the keypoints of each (hips put together, and "
        "after the best similarity).", "",
        "| film | runtime | found % | keypoints px | MediaPipe PA mm | MPJPE mm | PA-MPJPE mm |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for film, by_runtime in accuracy.items():
        for name, f in by_runtime.items():
            lines.append(
                f"| {film} | {name} | {f['found_percent']:.1f} | {f['keypoint_px']:.2f} | {f['world_pa_mm']:.1f} | "
                f"{f['mpjpe_mm']:.1f} | {f['pa_mpjpe_mm']:.1f} |"
            )
    lines += [
        "", "## Where they differ", "",
        "| film | images | found by old | by new | keypoints apart, median px | p99 px |",
        "|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for film, f in apart.items():
        lines.append(
            f"| {film} | {f['images']} | {f['found_old']} | {f['found_new']} | {f['median_px']:.2f} | "
            f"{f['p99_px']:.1f} |"
        )
    return lines


def main(argv: list[str] | None = None) -> None:
    """Parses the command line, measures, and writes the page."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--before", type=Path, required=True, help="checkout of diffmocap with the old runtime")
    parser.add_argument("--old-python", default="", help="its Python (default: .venv/bin/python in it)")
    parser.add_argument("--media", type=Path, default=REPOSITORY.parent / "shared", help="folder with media/ and real/")
    parser.add_argument("--blocks", type=int, default=20, help="pairs of seconds a mode (default: %(default)s)")
    parser.add_argument("--no-accuracy", action="store_true", help="measure times alone, and write no page")
    shared_options(parser, "out", "json")
    options = page_arguments(parser, argv, writes=lambda options: not options.no_accuracy)
    checkout = options.before.resolve()
    python = options.old_python or str(checkout / ".venv/bin/python")
    runtimes = {"old": Runtime(checkout, python), "new": Runtime(REPOSITORY, sys.executable)}
    start = {name: runtime.start for name, runtime in runtimes.items()}
    figures: dict[str, Any] = {"start": start, "time": timings(runtimes, REPOSITORY / "media/demo.mp4", options.blocks)}
    if not options.no_accuracy:
        wanted = films(options.media.resolve())
        with tempfile.TemporaryDirectory() as folder:
            detected = detect_all(runtimes, wanted, Path(folder))
        pipeline = load_pipeline()
        true = [film for film in wanted if film.joints is not None]
        accuracy = {
            film.name: {name: errors(film, detected[film.name][name], pipeline) for name in NAMES}
            for film in tqdm(true, desc="lifting", unit="film")
        }
        apart = {film.name: difference(*(detected[film.name][name] for name in NAMES)) for film in wanted}
        figures |= {"accuracy": accuracy, "apart": apart}
    for runtime in runtimes.values():
        runtime.close()
    old_commit = git_commit(checkout, short=True)
    remark = f"Old is {start['old']['name']} at `{old_commit}`, new {start['new']['name']} at `{commit()}`."
    if not options.no_accuracy:
        data = "the bundled clip; films and the real clip beside the checkout"
        head = provenance("benchmarks.detector.runtimes", data)
        body = page_lines(start, figures["time"], figures["accuracy"], figures["apart"], remark)
        lines = ["# The detector's runtime, before and after", "", *head, "", *body]
        print(Page.of_today("detector-runtimes", options.out).write(lines))
    for mode in MODES:
        f = figures["time"][mode]
        for what, key, ratio in (("detection", "median_ms", "time_ratio"), ("processor", "cpu_ms", "cpu_ratio")):
            print(f"{mode}: {what} {f[key]['old']:.2f} and {f[key]['new']:.2f} ms, ratio {f[ratio][1]:.3f}")
    end_with_json(options, figures)


if __name__ == "__main__":
    main()
