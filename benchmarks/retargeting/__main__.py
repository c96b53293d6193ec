"""Do the robots that ship follow real people, in time and inside their limits? ``python -m benchmarks.retargeting``

Motions of the bundled clip and of three videos (``shared/media`` beside the checkout) are made by ``diffmocap
reconstruct`` and followed at 30 Hz by each robot; then each follows streams that no person makes. Figures are taken
from the commands alone, by the robot's model:

- frame_ms_p99: time from a pose to its command on this machine; frame_cpu_ms_p99: of that what the thread computed,
  which other work on the machine disturbs less.
- limits_broken: commands whose position, velocity or acceleration is outside of the robot's limits, of the motions and
  of the streams together; links_touching: commands in which guarded links meet, of the motions.
- live_limits_broken: of these, in the streams as retarget_node follows them, 100 commands a second at uneven times and
  one for each pose, of live_commands; in live_following the robot blends or follows, in the others it holds.
- wrist_error_pct: wrists from the shoulder, against the person's arm in the robot's measures, over the arm's length;
  the mean over all frames, those in which a person's arm is faster than the robot's joints may be included.
- sole_slip_cm_s, sole_tilt_deg: of soles while the person's is in contact and the robot's on the floor; means.
- pelvis_error_pct: height of the hips, over the leg's length; mean.

Each has its 95th percentile beside it, of each film, on the page.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page.command import end_with_json
from benchmarks.page.report import Page, provenance
from benchmarks.retargeting.adversarial import streams
from benchmarks.retargeting.live import broken_live
from benchmarks.retargeting.motions import FPS
from benchmarks.retargeting.robots import motions_by_film, robot_arguments, robots_asked_for
from diffmocap.robots.following import Judge
from diffmocap.robots.frames import HumanFrame
from diffmocap.robots.model import RobotModel
from diffmocap.robots.retargeting import Retargeter

#: Asked for.
ASKED = {
    "frame_ms_p99": 3.0, "limits_broken": 0, "wrist_error_pct": 5.0, "sole_slip_cm_s": 2.0, "sole_tilt_deg": 5.0,
    "pelvis_error_pct": 2.0,
}  # fmt: skip


def follow(robot: RobotModel, frames: list[tuple[HumanFrame, float]], judge: Judge) -> tuple[list[float], list[float]]:
    """Follows frames with the times between them; wall and thread time of each but the first [ms]."""
    retargeter = Retargeter(robot)
    judge.start()
    wall, thread = [], []
    for frame, dt_s in frames:
        start, cpu = time.perf_counter(), time.thread_time()
        command = retargeter.follow(frame, dt_s)
        wall.append(1e3 * (time.perf_counter() - start))
        thread.append(1e3 * (time.thread_time() - cpu))
        judge.see(frame, command, dt_s)
    return wall[1:], thread[1:]


def measure(robot: RobotModel, motions: dict[str, list[list[HumanFrame]]]) -> tuple[dict[str, Any], list[list[Any]]]:
    """Figures of a robot over all films, and a row of them for each film."""
    every = Judge(robot)
    wall, thread, rows = [], [], []
    for film, parts in motions.items():
        own, took = Judge(robot), []
        for frames in parts:
            timed = [(frame, 1.0 / FPS) for frame in frames]
            for judge, kept in ((every, True), (own, False)):
                of_wall, of_thread = follow(robot, timed, judge)
                if kept:
                    wall += of_wall
                    thread += of_thread
                    took += of_wall
        rows.append([robot.description.name, film, _p99(took), own.figures()])
    some = next(iter(motions.values()))[0]
    strange = Judge(robot)
    for _, frames in streams(some):
        follow(robot, frames, strange)
    live = broken_live(robot, some, streams(some))
    figures = every.figures()
    figures["limits_broken"] += strange.limits_broken + live["live_limits_broken"]
    return {"frame_ms_p99": _p99(wall), "frame_cpu_ms_p99": _p99(thread), **figures,
            "adversarial_frames": strange.frames, **live}, rows  # fmt: skip


def _p99(values: list[float]) -> float:
    return round(float(np.percentile(values, 99)), 2)


def page(figures: dict[str, dict[str, Any]], rows: list[list[Any]], head: list[str]) -> str:
    """The page in Markdown."""
    keys = [*ASKED, "frame_cpu_ms_p99", "links_touching", "live_limits_broken", "live_commands", "live_following"]
    lines = ["# Robots that follow people", "", *head, "", (__doc__ or "").split("\n\n", 1)[1], ""]
    lines += ["| robot | " + " | ".join(keys) + " |", "|---|" + "---|" * len(keys)]
    lines.append("| *asked* | " + " | ".join(f"{ASKED[key]:g}" if key in ASKED else "" for key in keys) + " |")
    for robot, of in figures.items():
        lines.append(f"| {robot} | " + " | ".join(str(of.get(key, "")) for key in keys) + " |")
    columns = ["wrist_error_pct", "wrist_error_p95_pct", "sole_slip_cm_s", "sole_slip_p95_cm_s", "sole_tilt_deg",
               "sole_tilt_p95_deg", "pelvis_error_pct", "pelvis_error_p95_pct"]  # fmt: skip
    lines += ["", "## Film by film", ""]
    lines += [
        "| robot | film | frames | frame_ms_p99 | " + " | ".join(columns) + " |",
        "|" + "---|" * (len(columns) + 4),
    ]
    for robot, film, p99, of in rows:
        values = " | ".join(str(of.get(key, "")) for key in columns)
        lines.append(f"| {robot} | {film} | {of['frames']} | {p99} | {values} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, prints, writes the page."""
    args = robot_arguments(__doc__)
    motions = motions_by_film(args)
    figures: dict[str, dict[str, Any]] = {}
    rows: list[list[Any]] = []
    for name, robot in robots_asked_for(args):
        figures[Path(name).stem], of_films = measure(robot, motions)
        rows += of_films
        print(f"{name}: {figures[Path(name).stem]}", flush=True)
    if not args.no_page:
        head = provenance("benchmarks.retargeting", "the bundled clip and three videos of shared/media")
        made = Page.of_today("retargeting", args.out)
        made.write(page(figures, rows, head))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
