"""Do robots keep up with their commands where torques drive them? ``python -m benchmarks.retargeting.driven``

Motions of the bundled clip and of three videos (``shared/media`` beside the checkout) are followed at 30 Hz by each
robot, and the commands are simulated in MuJoCo as ``diffmocap demo --robot`` does: each joint by proportional and
derivative gain with gravity compensation, inside the efforts of the robot's model; the pelvis hangs on a soft support.

- tracking_error_p95_rad: joints against their commands, in 95 % of all joints and frames; of slides in metres.
- worst_joint_p95_rad: the same of the joint that keeps up worst, which is named.
- falls: motions in which the pelvis left its commanded place by 0.3 m or 45 degrees.
- saturated_pct: motors at the end of their effort, of all joints and frames.

The simulation does not know how fast this machine is: other work on it changes nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page.command import end_with_json
from benchmarks.page.report import Page, provenance
from benchmarks.retargeting.motions import FPS
from benchmarks.retargeting.robots import motions_by_film, robot_arguments, robots_asked_for
from diffmocap.robots.frames import HumanFrame
from diffmocap.robots.model import RobotModel
from diffmocap.robots.retargeting import Retargeter
from diffmocap.robots.simulation import Driven, drive

#: Asked for, of the G1 on the bundled clip.
ASKED = {"tracking_error_p95_rad": 0.1, "falls": 0}
COLUMNS = ("frames", "tracking_error_p95_rad", "worst_joint_p95_rad", "worst_joint", "falls", "saturated_pct")


def simulated(robot: RobotModel, frames: Sequence[HumanFrame]) -> list[Driven]:
    """A motion as the robot follows it, driven by torques."""
    retargeter = Retargeter(robot)
    return list(drive(robot, [retargeter.follow(frame, 1.0 / FPS) for frame in frames], FPS))


def figures_of(robot: RobotModel, motions: Sequence[Sequence[Driven]]) -> dict[str, Any]:
    """Figures over motions of one robot."""
    every = [frame for motion in motions for frame in motion]
    errors = np.abs([frame.error for frame in every])
    of_joints = np.percentile(errors, 95, axis=0)
    worst = int(of_joints.argmax())
    return {
        "frames": len(every),
        "tracking_error_p95_rad": round(float(np.percentile(errors, 95)), 4),
        "worst_joint_p95_rad": round(float(of_joints[worst]), 4),
        "worst_joint": robot.joint_names[worst],
        "falls": sum(motion[-1].fallen for motion in motions),
        "saturated_pct": round(100.0 * float(np.mean([frame.saturated for frame in every])), 2),
    }


def page(figures: dict[str, dict[str, dict[str, Any]]], head: list[str]) -> str:
    """The page in Markdown: robot, film -> figures."""
    lines = ["# Robots driven by torques", "", *head, "", (__doc__ or "").split("\n\n", 1)[1], ""]
    lines += ["| robot | film | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    asked = " | ".join(f"{ASKED[key]:g}" if key in ASKED else "" for key in COLUMNS)
    lines.append(f"| *asked of the G1* | demo | {asked} |")
    for robot, of_films in figures.items():
        lines += [f"| {robot} | {film} | " + " | ".join(str(of[key]) for key in COLUMNS) + " |"
                  for film, of in of_films.items()]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Simulates, prints, writes the page."""
    args = robot_arguments(__doc__)
    motions = motions_by_film(args)
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for name, robot in robots_asked_for(args):
        driven = {film: [simulated(robot, frames) for frames in parts] for film, parts in motions.items()}
        of_films = {film: figures_of(robot, parts) for film, parts in driven.items()}
        of_films["all"] = figures_of(robot, [motion for parts in driven.values() for motion in parts])
        figures[Path(name).stem] = of_films
        print(f"{name}: {of_films['all']}", flush=True)
    if not args.no_page:
        head = provenance("benchmarks.retargeting.driven", "the bundled clip and three videos of shared/media")
        Page.of_today("retargeting-driven", args.out).write(page(figures, head))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
