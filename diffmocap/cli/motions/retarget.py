"""Puts a motion on a robot: joint positions inside the robot's limits, in a file.

MOTION.npz is a file that this package wrote, an AMASS file, or a clip collection (--clip names one of its clips). The
robot's limbs point as the person's do, soles that rest stay flat and where they are, and the hips are as high as the
length of the legs says. Limits of position, velocity and acceleration hold in every frame, and links keep apart.

--robot names a robot that ships, or the YAML file of your own: docs/robots.md shows how to write one. The robots'
models come from packages of their own; the error of a model that is missing names the command that installs it.

  .csv   a row per frame: time, root, each joint by its name
  .npz   fps, root_pos, root_rot (x, y, z, w), dof_pos, dof_vel, dof_acc, joint_names

--format gmr writes what GMR's files hold, with the joints in GMR's order, to an .npz without pickle; docs/robots.md
shows how GMR takes it.

examples:
  diffmocap retarget walk.npz --robot g1
  diffmocap retarget walk.npz --robot h1 --out walk_h1.npz --fps 50
  diffmocap retarget walk.npz --robot g1 --format gmr
  diffmocap retarget walk.npz --robot my_robot.yaml --json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from diffmocap.cli.motions.motion_file import add_motion_options, called, require_motion_file
from diffmocap.errors import SettingsError

if TYPE_CHECKING:
    from diffmocap.robots.description import RobotDescription
    from diffmocap.robots.gmr import GmrOrder

SUMMARY = "a motion as a robot's joint positions"
#: What ``--format`` may be, with how the file's name ends.
SUFFIXES = {"csv": ".csv", "npz": ".npz", "gmr": ".npz"}
#: Rate of commands where the motion's is lower: joints cannot follow what comes in leaps [Hz].
LEAST_FPS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("motion", type=Path, metavar="MOTION.npz", help="motion file")
    parser.add_argument(
        "--robot", required=True, metavar="ROBOT", help="g1, h1, t1, talos, tiago_pro, or the YAML file of your own"
    )
    parser.add_argument(
        "--format", choices=SUFFIXES, help="csv, npz, or gmr for other controllers (default: as --out ends, else csv)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="ends in .csv or .npz (default: beside MOTION.npz, NAME_ROBOT.csv)"
    )
    parser.add_argument(
        "--fps", type=float, metavar="HZ", help=f"commands a second (default: the motion's, at least {LEAST_FPS:g})"
    )
    add_motion_options(parser)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on stdout, all else on stderr")


def run(args: argparse.Namespace) -> int:
    """Reads motion and robot, follows, writes the file; says what was written and how well the robot follows."""
    require_motion_file(args.motion)
    if args.fps is not None and not 1.0 <= args.fps <= 1000.0:
        raise SettingsError(f"--fps must lie in [1, 1000] Hz, got {args.fps:g}")
    out = args.out or _beside(called(args.motion, args.clip), Path(args.robot).stem, args.format or "csv")
    wanted = sorted(set(SUFFIXES.values())) if args.format is None else [SUFFIXES[args.format]]
    if out.suffix not in wanted:
        raise SettingsError(f"--out {out} ends in {out.suffix or 'nothing'}; expected {' or '.join(wanted)}")
    if out.exists() and out.samefile(args.motion):
        raise SettingsError(f"--out {out} is the motion itself, which commands would replace; name another file")

    from tqdm import tqdm

    from diffmocap.body.model import BodyModel
    from diffmocap.motion.motion_npz import read_motion
    from diffmocap.robots.description import read_description
    from diffmocap.robots.following import Judge
    from diffmocap.robots.gmr import GmrOrder, write_gmr
    from diffmocap.robots.human_frames import human_frames
    from diffmocap.robots.model import load_model
    from diffmocap.robots.retargeting import Retargeter
    from diffmocap.robots.robot_files import write_commands

    robot = load_model(read_description(args.robot))
    order = GmrOrder(robot.description, robot.joint_names) if args.format == "gmr" else None
    body = BodyModel.load(args.body_model)
    motion = read_motion(args.motion, body, args.clip)
    fps = args.fps or max(motion.fps, LEAST_FPS)
    frames = human_frames(motion, body, fps)
    retargeter, judge = Retargeter(robot), Judge(robot)
    commands = []
    for frame in tqdm(frames, unit="frame", file=sys.stderr, dynamic_ncols=True, leave=False):
        commands.append(retargeter.follow(frame, 1.0 / fps))
        judge.see(frame, commands[-1], 1.0 / fps)
    out.parent.mkdir(parents=True, exist_ok=True)
    if order is not None:
        write_gmr(out, commands, fps, robot)
    else:
        write_commands(out, commands, fps, robot.description.name)
    figures = judge.figures()
    said = sys.stderr if args.json else sys.stdout
    print(
        f"{out}  {out.stat().st_size / 1e6:.2f} MB  {robot.description.name}, {len(commands)} commands at {fps:g} Hz",
        file=said,
    )
    for line in (*_order_lines(robot.description, order), *judge.lines()):
        print(f"  {line}", file=said)
    if touching := figures["links_touching"]:
        print(
            f"diffmocap retarget: warning: links of the robot meet in {touching} commands: do not play them. The "
            "motion is faster than the robot can brake, or its capsules are too large",
            file=sys.stderr,
        )
    if args.json:
        print(json.dumps({"file": str(out), "robot": robot.description.name, "fps": fps, **figures}))
    return 0


def _beside(motion: Path, robot: str, kind: str) -> Path:
    """Where the file goes that no ``--out`` names."""
    ending = "_gmr" if kind == "gmr" else ""
    return motion.with_name(f"{motion.stem}_{robot}{ending}{SUFFIXES[kind]}")


def _order_lines(description: RobotDescription, order: GmrOrder | None) -> list[str]:
    """What is to be known of the joints in a file for GMR."""
    if order is None:
        return []
    lines = [f"for GMR's {description.gmr.name}: {len(order.joints)} joints in its order"]
    if order.added:
        lines.append(f"at 0, no command moves it: {', '.join(order.added)}")
    if order.left_out:
        lines.append(f"left out, its model has none: {', '.join(order.left_out)}")
    return lines
