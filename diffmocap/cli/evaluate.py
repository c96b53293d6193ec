"""Metrics of the lifting model on motion capture, seen through the camera.

Every frame of the motions becomes a person before a camera, whose exact 2D keypoints the diffusion model lifts back to
3D; the result is compared with the motion. Framing and sampling are those of the diffusion paper's table: a square
image, a vertical field of view of 50 degrees, a level camera with the pelvis on its axis at the distance where a
standing body fills 80 % of the height, one seeded DDIM sample a frame. No ROS is needed.

MOTIONS is an .npz file or a folder of them: an AMASS file (poses, trans), a motion file that this package wrote, or a
clip collection (pose, trans, start, length).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from diffmocap.errors import MotionFileError, SettingsError

if TYPE_CHECKING:
    import torch

    from diffmocap.lifting.paper_protocol import ProtocolResult

SUMMARY = "metrics on motion capture through the camera"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("motions", metavar="MOTIONS.npz", type=Path, help="motion file, or a folder of them")
    parser.add_argument(
        "--guidance", type=float, default=0.0, metavar="W", help="weight of classifier-free guidance (default: 0)"
    )
    parser.add_argument("--steps", type=int, default=50, metavar="N", help="DDIM steps a sample (default: 50)")
    parser.add_argument("--every", type=int, default=5, metavar="N", help="take every N-th frame (default: 5)")
    parser.add_argument(
        "--frames", type=int, default=0, metavar="N", help="at most N frames, evenly spread (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    parser.add_argument("--weights", metavar="FILE", help="lifting weights, .safetensors (default: the shipped ones)")
    parser.add_argument("--body-model", metavar="FILE", help="SMPL body, .npz (default: the shipped body)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--by-action", action="store_true", help="also the figures of each action in the file")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Evaluates and prints."""
    for name, low in (("steps", 1), ("every", 1), ("frames", 0)):
        if getattr(args, name) < low:
            raise SettingsError(f"--{name} must be at least {low}, got {getattr(args, name)}")
    if not 0.0 <= args.guidance <= 10.0:
        raise SettingsError(f"--guidance must lie in [0, 10], got {args.guidance}")
    if not args.motions.exists():
        raise MotionFileError(f"there is no file or folder '{args.motions}' (looked in {Path.cwd()}); check the path")
    figures = evaluate(args)
    print(json.dumps(figures) if args.json else table(figures))
    return 0


def evaluate(args: argparse.Namespace) -> dict:
    """The figures as plain values; the keys are those of the JSON line."""
    import torch
    from tqdm import tqdm

    from diffmocap.body.model import BodyModel
    from diffmocap.device import resolve_device
    from diffmocap.lifting.paper_protocol import evaluate_paper_protocol
    from diffmocap.lifting.weights import load_weights

    device = resolve_device(args.device)
    model, body = load_weights(args.weights, device), BodyModel.load(args.body_model, device)
    poses, actions, clips = load_poses(args.motions, args.every, args.frames)
    if args.steps > model.config.diffusion_steps:
        raise SettingsError(f"--steps must not exceed the model's {model.config.diffusion_steps}, got {args.steps}")
    start_s = time.monotonic()
    with tqdm(total=len(poses), unit="frame", desc="lifting", file=sys.stderr, dynamic_ncols=True) as bar:
        result = evaluate_paper_protocol(
            model, body, poses, args.guidance, args.steps, args.seed, batch=64, progress=bar.update
        )
    figures = {
        "motions": str(args.motions),
        "clips": clips,
        "frames": len(poses),
        "guidance": args.guidance,
        "steps": args.steps,
        "seed": args.seed,
        "weights": args.weights or "shipped",
        "device": args.device,
        "seconds": round(time.monotonic() - start_s, 1),
        **errors(body, poses, result, torch.ones(len(poses), dtype=torch.bool)),
    }
    if args.by_action:
        figures["by_action"] = {
            name: errors(body, poses, result, torch.tensor([a == name for a in actions]))
            for name in sorted(set(actions))
        }
    return figures


def load_poses(path: Path, every: int, frames: int) -> tuple[torch.Tensor, list[str], int]:
    """Poses [N, 24, 3, 3] y-up, the action of each, and the number of clips.

    Raises:
        MotionFileError: no motion file, or one without frames.
    """
    import torch

    from diffmocap.body.mocap import load_split

    clips = load_split(path)
    actions = [clip.action or clip.name for clip in clips for _ in range(0, len(clip), every)]
    if not actions:
        raise MotionFileError(f"{path} holds no frames; expected clips of at least one")
    poses = torch.cat([clip.rotations[::every] for clip in clips])
    if 0 < frames < len(poses):
        pick = torch.linspace(0, len(poses) - 1, frames).long()
        poses, actions = poses[pick], [actions[i] for i in pick]
    return poses, actions, len(clips)


def errors(body, poses: torch.Tensor, result: ProtocolResult, chosen: torch.Tensor) -> dict:
    """Errors over the chosen frames [N] bool."""
    from diffmocap.evaluation import pa_mpjpe_mm

    truth, sample = poses[chosen].to(body.device), result.rotations[chosen].to(body.device)
    origin = body.template.new_zeros(len(truth), 3)
    # Joints of both in their own frame: Procrustes takes the rotation between y-up and optical out.
    joints = [body.forward_kinematics(r, origin)[1].cpu().numpy() for r in (sample, truth)]
    return {
        "frames": int(chosen.sum()),
        "pixel_error": round(float(result.pixel_error[chosen].mean()), 5),
        "mpjpe_mm": round(1e3 * float(result.mpjpe_m[chosen].mean()), 2),
        "pa_mpjpe_mm": round(pa_mpjpe_mm(*joints), 2),
    }


def table(figures: dict) -> str:
    """The figures as text."""
    head = (
        f"{figures['motions']}: {figures['frames']} frames of {figures['clips']} clips, "
        f"guidance {figures['guidance']:g}, {figures['steps']} steps, seed {figures['seed']}, "
        f"{figures['seconds']:.0f} s"
    )
    rows = [("all", figures), *figures.get("by_action", {}).items()]
    width = max(len(name) for name, _ in rows)
    titles = f"{'':<{width}}{'frames':>8}{'pixel error':>14}{'MPJPE [mm]':>13}{'PA-MPJPE [mm]':>16}"
    lines = [head, "", titles]
    lines += [
        f"{name:<{width}}{row['frames']:>8}{row['pixel_error']:>14.4f}"
        f"{row['mpjpe_mm']:>13.1f}{row['pa_mpjpe_mm']:>16.1f}"
        for name, row in rows
    ]
    return "\n".join(lines)
