"""Refines any motion by physics: smoother, with feet that stand, and with --diffphy simulated.

MOTION.npz is a file that this package wrote, an AMASS file, or a clip collection (--clip names one of its clips). The
motion itself is what was observed: windows of two seconds are solved for a motion near it that contacts with the floor
can bring about, and joined without seams. Feet that stand are held in one place. With --diffphy a simulated body, whose
joints are driven and which the ground alone holds up, then follows the motion, and the file has its torques and forces;
where it would fall or stray, the motion stays as it was refined, and `simulated` in the file says so.

The floor is where the motion's frame has it, at height 0, or where its feet rest. A motion in the camera's frame, which
`diffmocap reconstruct --frame camera` writes, has it where feet rested, or as --camera-height and --camera-pitch say;
keypoints in such a file count as well. Nothing is simulated where the floor is not known.

examples:
  diffmocap refine walk.npz
  diffmocap refine walk.npz --diffphy --out walk_simulated.npz
  diffmocap refine AMASS/CMU/01/01_01_poses.npz --quality best
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from diffmocap.cli.motions.bars import Bars
from diffmocap.cli.motions.motion_file import add_motion_options, called, require_motion_file
from diffmocap.cli.motions.reconstruct import (
    DIFFPHY,
    EVALUATIONS,
    LOCK_FEET,
    SOLVER,
    settings_of,
)
from diffmocap.cli.options.pose_options import CAMERA_HEIGHT, CAMERA_PITCH, CAMERA_ROLL
from diffmocap.errors import SettingsError
from diffmocap.reconstruct.settings import QUALITIES

SUMMARY = "a motion file made smoother by physics, or simulated"
_OPTIONS = (SOLVER, EVALUATIONS, LOCK_FEET, DIFFPHY)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("motion", type=Path, metavar="MOTION.npz", help="motion file")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="ends in .npz (default: beside MOTION.npz, NAME_refined.npz)"
    )
    parser.add_argument(
        "--quality", choices=QUALITIES, default="fast",
        help="best refines with three times the evaluations in three rounds instead of two, and simulates longer "
        "(default: %(default)s)",
    )  # fmt: skip
    for option in (SOLVER, EVALUATIONS, LOCK_FEET, DIFFPHY):
        option.add(parser)
    group = parser.add_argument_group("camera of a motion in its frame")
    for option in (CAMERA_HEIGHT, CAMERA_PITCH, CAMERA_ROLL):
        option.add(group)
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    add_motion_options(parser)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on stdout, all else on stderr")


def run(args: argparse.Namespace) -> int:
    """Reads the motion, refines it, writes the file; tells the losses before and after."""
    require_motion_file(args.motion)
    out = args.out or args.motion.with_name(f"{called(args.motion, args.clip).stem}_refined.npz")
    if out.suffix != ".npz":
        raise SettingsError(f"--out {out} ends in {out.suffix or 'nothing'}; a motion file ends in .npz")
    if out.exists() and not args.overwrite:
        raise SettingsError(f"{out} is there already; --overwrite replaces it, or name another file with --out")
    settings = settings_of(args, _OPTIONS)

    import torch

    from diffmocap.body.model import BodyModel
    from diffmocap.motion.motion_npz import read_motion, write_motion
    from diffmocap.reconstruct.physics.refined_file import refine_motion

    torch.set_num_threads(1)  # small tensors: threads cost more than they bring
    body = BodyModel.load(args.body_model)
    motion = read_motion(args.motion, body, args.clip)
    with Bars(args.motion.name) as bars:
        refined = refine_motion(
            motion, body, settings, out.with_name(f".{out.stem}.simulation.npz"),
            lambda stage, share: bars(stage, share, 1.0),
        )  # fmt: skip
    write_motion(out, replace(refined.motion, name=out.stem), body)
    floor, dynamics = refined.floor, refined.motion.dynamics
    before, after = refined.refining
    said = sys.stderr if args.json else sys.stdout
    print(
        f"{out}: {len(motion)} frames at {motion.fps:g} Hz, loss {before:.4g} to {after:.4g}; floor: "
        f"{floor.ground.source if floor.trusted else NO_FLOOR}", file=said,
    )  # fmt: skip
    told = {
        "file": str(out), "frames": len(motion), "fps": motion.fps, "refining_loss": [before, after],
        "floor": floor.ground.source if floor.trusted else "", "floor_trusted": floor.trusted,
    }  # fmt: skip
    if dynamics is not None:
        from diffmocap.reconstruct.outcome import simulation_told

        found = refined.simulation
        told |= {
            "simulated": float(dynamics.simulated.float().mean()),
            "simulation_loss": list(found) if found[0] == found[0] else None,
        }  # fmt: skip
        print(f"  {simulation_told(told)}", file=said)
    if args.json:
        print(json.dumps(told))
    return 0


NO_FLOOR = (
    "not known: feet do not rest at the height 0 of the motion's frame, nor in places far enough apart; put the motion "
    "on its floor first, or give --camera-height and --camera-pitch for one in the camera's frame"
)
