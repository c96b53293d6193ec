"""``diffmocap demo --robot``: a robot in MuJoCo follows the person in a video."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from diffmocap.errors import RobotError

#: Commands a second.
FPS = 30.0


def run_robot(args: argparse.Namespace, source: str) -> int:
    """Reconstructs the motion in the video, has the robot follow it, by position and by torque, and writes a film.

    Figures of ``--json``: those of ``retarget --json``, and tracking_error_p95_rad (of joints driven by torques against
    their commands), falls (of the torque-driven robot), film.
    """
    from diffmocap.cli.drawing.robot_film import prepare_headless, write_film

    prepare_headless()
    from diffmocap.body.model import BodyModel
    from diffmocap.motion.motion_npz import read_motion
    from diffmocap.robots.description import read_description
    from diffmocap.robots.following import Judge
    from diffmocap.robots.human_frames import human_frames
    from diffmocap.robots.model import load_model
    from diffmocap.robots.retargeting import Retargeter
    from diffmocap.robots.simulation import configuration_of, drive

    description = read_description(args.robot)  # what is wrong with it is said before the video is looked at
    robot = load_model(description)
    out = args.out / f"{Path(source).stem}_{Path(args.robot).stem}.webm"
    body = BodyModel.load(args.body_model)
    motion = read_motion(_motion_file(source, args.out), body)
    frames = human_frames(motion, body, FPS)
    retargeter, judge = Retargeter(robot), Judge(robot)
    commands = []
    for frame in frames:
        commands.append(retargeter.follow(frame, 1.0 / FPS))
        judge.see(frame, commands[-1], 1.0 / FPS)
    driven = list(drive(robot, commands, FPS))
    figures: dict[str, Any] = {
        "robot": description.name,
        **judge.figures(),
        "tracking_error_p95_rad": round(float(np.percentile(np.abs([frame.error for frame in driven]), 95)), 4),
        "falls": int(driven[-1].fallen),
    }
    said = sys.stderr if args.json else sys.stdout
    print(f"{description.name} follows {source}: {len(commands)} commands at {FPS:g} Hz", file=said)
    for line in judge.lines():
        print(f"  {line}", file=said)
    print(
        f"  driven by torques: joints within {figures['tracking_error_p95_rad']:.3f} rad of their commands in 95 % of "
        f"the frames, {'fell' if figures['falls'] else 'did not fall'}", file=said,
    )  # fmt: skip
    if not args.no_video:
        rows = [(configuration_of(robot, c), d.configuration) for c, d in zip(commands, driven, strict=False)]
        write_film(out, source, motion.start_s, FPS, load_model(description, drawn=True), rows, ("commanded", "driven"))
        figures["film"] = str(out)
        print(f"to look at: {out}", file=said)
    if args.json:
        print(json.dumps(figures))
    return 0


def _motion_file(source: str, out: Path) -> Path:
    """The motion in a video; the longest, where there are several. What was reconstructed before is used again."""
    folder, stem = out / "motions", Path(source).stem
    command = [sys.executable, "-m", "diffmocap.cli.main", "reconstruct", source, "--out", str(folder)]
    # Beside this process, so that the memory of the networks is free again for the rest.
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        raise RobotError(f"no motion could be reconstructed from {source}; see above")
    files = [*folder.glob(f"{stem}.npz"), *folder.glob(f"{stem}_part*.npz")]
    return max(files, key=lambda path: path.stat().st_size)
