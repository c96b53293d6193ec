"""How well does a simulated body follow motion capture, and in another engine? ``python -m benchmarks.diffphy``.

Observations are 3D poses of CMU's validation walks, as in table 1 of Optimus (there Human3.6M's). Each solver begins
with the observed poses as the drives' targets. One line a clip and solver: MPJPE-G before and after, evaluations, and
the seconds that PyBullet's character tracks the clip (pelvis within 0.3 m) driven by the observed poses and by the found
controls; ``+`` marks clips tracked to their end.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from benchmarks.pybullet_rollout import PybulletCharacter, Rollout
from diffmocap.body.mocap import load_split, retarget
from benchmarks.report import mocap_file
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.body.urdf import read_urdf
from diffmocap.motion_metrics import mpjpe_global_mm
from diffmocap.optim.first_order import Adam
from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.ground import Ground, find_ground
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.simulation import BodyMotionState, Simulator
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.diffphy_stages import STAGE_S, minimize_in_stages
from diffmocap.refinement.diffphy_task import DiffphyTask

#: Adam's rate is in radians, as parameters are.
SOLVERS = {"L-BFGS": Lbfgs, "BFGS": Bfgs, "Adam": lambda: Adam(0.02)}


def task_of(clip: MotionClip, seconds: float, body: ArticulatedBody, checkpoint: bool = False) -> DiffphyTask:
    """The clip's first ``seconds``, on the ground that its soles rest on."""
    frames = min(len(clip), round(seconds * clip.fps) + 1)
    rotations, pelvis = clip.rotations[None, :frames], clip.pelvis[None, :frames]
    turned, joints = global_poses(rotations, pelvis, body.segments.offsets.to(pelvis))
    points = body.points.to(dtype=pelvis.dtype)
    ground = find_ground(points.centres(turned, joints)[0, :, points.feet], 1 / clip.fps, torch.tensor([0.0, 1.0, 0.0]))
    return DiffphyTask(Simulator(body, ground, checkpoint=checkpoint), rotations, pelvis, 1 / clip.fps)


def judge(task: DiffphyTask, x: torch.Tensor, precise: ArticulatedBody) -> Rollout:
    """A rollout of parameters [1, N] in PyBullet, from the task's own start."""
    ground = Ground(task.simulator.up.double(), task.simulator.height.double())
    targets = task.controls.targets(task.rotations[:, :, 1:], x.to(task.pelvis))
    start = BodyMotionState(*(value.double() for value in vars(task.start).values()))
    with PybulletCharacter(precise, ground) as character:
        return character.rollout(start, targets[0].double(), task.pelvis[0], task.dt_s)


def measure(clip: MotionClip, seconds: float, name: str, evaluations: int, body: BodyModel) -> dict:
    """One clip with one solver."""
    segments, points = BodySegments.from_urdf(read_urdf()), ContactPoints.from_body(body)
    task = task_of(clip, seconds, ArticulatedBody(segments, points))
    precise = ArticulatedBody(*(x.to(dtype=torch.float64) for x in (segments, points)))
    x, begin = task.init(1), time.perf_counter()
    found = minimize_in_stages(task, SOLVERS[name](), evaluations)
    taken_s, row = time.perf_counter() - begin, {"clip": clip.name, "seconds": seconds, "solver": name}
    observed = task.joints[0].numpy()
    for key, at in (("before", x), ("after", found.x)):
        with torch.no_grad():
            motion = task.simulate(at)
            row[f"loss_{key}"] = float(task.loss(at.to(task.pelvis)))
        rollout = judge(task, at, precise)
        row |= {
            f"mpjpe_g_mm_{key}": mpjpe_global_mm(motion.joints[0].numpy(), observed),
            f"pybullet_s_{key}": rollout.seconds, f"pybullet_censored_{key}": rollout.censored,
        }  # fmt: skip
    return row | {
        "evaluations": int(found.evaluations[0]), "stages": len(found.stages), "parameters": task.dimension,
        "seconds_taken": taken_s,
    }  # fmt: skip


def line(row: dict) -> str:
    before, after = (
        f"{row[f'pybullet_s_{key}']:.2f}" + "+" * row[f"pybullet_censored_{key}"] for key in ("before", "after")
    )
    return (
        f"{row['clip']:10s} {row['seconds']:4.1f} s {row['solver']:7s} MPJPE-G {row['mpjpe_g_mm_before']:7.1f} -> "
        f"{row['mpjpe_g_mm_after']:6.1f} mm, loss {row['loss_before']:8.3f} -> {row['loss_after']:7.3f}, "
        f"{row['evaluations']} evaluations in {row['seconds_taken']:.0f} s; PyBullet {before} -> {after} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--data", type=Path, help="takes (default: the validation split in DIFFMOCAP_DATA)")
    parser.add_argument("--clips", type=int, default=4, help="how many walks (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each clip (default %(default)s)")
    parser.add_argument("--evaluations", type=int, default=80, help=f"a stage of {STAGE_S:g} s (default %(default)s)")
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=["L-BFGS", "Adam"])
    parser.add_argument("--out", type=Path, help="JSON with all rows")
    args = parser.parse_args()
    torch.set_num_threads(1)
    body = BodyModel.load()
    walks = [clip for clip in load_split(mocap_file("val", args.data)) if "walk" in clip.action.lower()]
    walks = [clip for clip in walks if len(clip) > args.seconds * clip.fps][:: max(1, len(walks) // args.clips)]
    rows = []
    for clip in walks[: args.clips]:
        for name in args.solvers:
            rows.append(measure(retarget(clip, body), args.seconds, name, args.evaluations, body))
            print(line(rows[-1]), flush=True)
            if args.out is not None:
                args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
