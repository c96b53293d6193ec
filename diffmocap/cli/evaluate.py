"""Metrics of the lifting model on motion capture, seen through the camera.

Every frame of the motions becomes a person before a camera, whose 2D keypoints the diffusion model lifts back to 3D;
the result is compared with the motion. Two protocols:

paper: framing and sampling of the diffusion paper's table: a square image, a vertical field of view of 50 degrees, a
level camera with the pelvis on its axis at the distance where a standing body fills 80 % of the height, clean
keypoints, one seeded DDIM sample a frame.

wild: a random camera from any side at 1.5 to 8 m for every frame, a detector's noise, bodies of other shapes, people
cut by the image's border or behind something; K seeded samples per frame. Errors of one sample, the best of K, how
often joints leave their limits, and whether the spread of the samples predicts the error.

MOTIONS is an .npz file or a folder of them: an AMASS file (poses, trans), a motion file that this package wrote, or a
clip collection (pose, trans, start, length). Files of a folder that cannot be used are skipped and named at the end
(--json: "skipped", with the reasons). No ROS is needed.

A system's own predictions, with no lifting here:

  diffmocap evaluate --predictions P.npz --truth T.npz [--camera CAMERA.yaml]

compares motions of the same frames by the metrics of the Optimus paper (MPJPE, MPJPE-G, MPJPE-PA, MPJPE-2d, TV, foot
skate) with bootstrap intervals over seconds. A file has SMPL's parameters ('poses', 'trans', 'betas' of the body in
use, see --body-model) or 'joints' [T, J, 3] in metres, pelvis first; two folders pair files of the same name, and
truths without a prediction are named. With --json each metric is [mean, low, high] of its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from diffmocap.cli.options.setting_option import SettingOption
from diffmocap.errors import MotionFileError, SettingsError
from diffmocap.lifting.settings import POSTERIOR_MEAN

if TYPE_CHECKING:
    import torch

    from diffmocap.evaluation.paper_protocol import ProtocolResult
    from diffmocap.evaluation.pose_frames import PoseFrames

SUMMARY = "metrics on motion capture through the camera"
PROTOCOLS = ("paper", "wild", "both")
_LIFTING = POSTERIOR_MEAN
GUIDANCE = SettingOption("--guidance", _LIFTING, "guidance", "W", f"{_LIFTING.guidance:g}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("motions", metavar="MOTIONS.npz", type=Path, nargs="?", help="motion file, or a folder of them")
    parser.add_argument("--predictions", type=Path, metavar="P.npz", help="motions of any system, or a folder of them")
    parser.add_argument("--truth", type=Path, metavar="T.npz", help="the true motions, beside --predictions")
    parser.add_argument(
        "--camera",
        type=Path,
        metavar="YAML",
        help="calibration, for MPJPE-2d of motions in the camera's frame (default: 'K' in T.npz, if it is there)",
    )
    parser.add_argument("--protocol", choices=PROTOCOLS, default="both", help="what to evaluate (default: both)")
    GUIDANCE.add(parser)
    parser.set_defaults(guidance=_LIFTING.guidance, wrong_usage=parser.error)
    parser.add_argument("--steps", type=int, default=50, metavar="N", help="DDIM steps, paper protocol (default: 50)")
    parser.add_argument(
        "--wild-steps", type=int, default=10, metavar="N", help="DDIM steps, wild protocol (default: 10)"
    )
    parser.add_argument("--samples", type=int, default=20, metavar="K", help="samples, wild protocol (default: 20)")
    parser.add_argument("--every", type=int, default=5, metavar="N", help="take every N-th frame (default: 5)")
    parser.add_argument(
        "--frames", type=int, default=0, metavar="N", help="at most N frames, evenly spread (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of views and samples (default: 0)")
    parser.add_argument("--weights", metavar="FILE", help="lifting weights, .safetensors (default: the shipped ones)")
    parser.add_argument("--body-model", metavar="FILE", help="SMPL body, .npz (default: the shipped body)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--by-action", action="store_true", help="also the figures of each action in the file")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Evaluates and prints."""
    if args.predictions or args.truth or args.camera:
        return run_predictions(args)
    if args.motions is None:
        args.wrong_usage("name motions to lift (MOTIONS.npz), or --predictions P.npz and --truth T.npz to compare")
    for name, low in (("steps", 1), ("wild_steps", 1), ("samples", 1), ("every", 1), ("frames", 0), ("seed", 0)):
        if getattr(args, name) < low:
            raise SettingsError(f"--{name.replace('_', '-')} must be at least {low}, got {getattr(args, name)}")
    GUIDANCE.value(args)
    if not args.motions.exists():
        raise MotionFileError(f"there is no file or folder '{args.motions}' (looked in {Path.cwd()}); check the path")
    figures = evaluate(args)
    print(json.dumps(figures) if args.json else table(figures))
    return 0


def run_predictions(args: argparse.Namespace) -> int:
    """Compares the motions of any system with the truth."""
    if args.motions is not None or not (args.predictions and args.truth):
        args.wrong_usage("--predictions P.npz and --truth T.npz belong together, without MOTIONS.npz")
    if args.by_action or args.frames:
        args.wrong_usage("--by-action and --frames are for lifting MOTIONS.npz; all frames of predictions are compared")
    from diffmocap.body.model import BodyModel
    from diffmocap.camera.calibration.calibration_file import load_calibration
    from diffmocap.evaluation import motion_scores

    pairs = motion_scores.paired(args.predictions, args.truth)
    K = load_calibration(args.camera).matrix if args.camera else None  # both sides without the lens's distortion
    body = BodyModel.load(args.body_model)
    read = [tuple(motion_scores.read_tracked(path, body) for path in pair) for pair in pairs]
    scores = motion_scores.score(read, body, K)
    frames = sum(len(prediction.joints) for prediction, _ in read)
    missing = motion_scores.unpredicted(args.predictions, args.truth)
    two_frames = any(not prediction.same_frame(truth) for prediction, truth in read)
    if args.json:
        told = {"files": len(read), "frames": frames, "without_prediction": missing, "two_frames": two_frames}
        print(json.dumps(told | scores))
    else:
        what = f"{args.predictions} against {args.truth}: {frames} frames of {len(read)} files"
        if missing:
            what += (
                f"\n{len(missing)} of {len(read) + len(missing)} truths have no prediction and are not in the figures: "
                + ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            )  # fmt: skip
        print(motion_scores.table(scores, what, two_frames))
    return 0


def evaluate(args: argparse.Namespace) -> dict:
    """The figures as plain values; the keys are those of the JSON line."""
    from diffmocap.body.model import BodyModel
    from diffmocap.device import resolve_device
    from diffmocap.evaluation.pose_frames import PoseFrames
    from diffmocap.lifting.network.weights import load_weights

    device = resolve_device(args.device)
    model, body = load_weights(args.weights, device), BodyModel.load(args.body_model, device)
    skipped: dict[str, str] = {}
    frames = PoseFrames.load(args.motions, args.every, skipped)
    clips = len(set(zip(frames.subject, frames.clip, strict=True)))
    frames = frames.evenly(args.frames) if args.frames else frames
    for name in ("steps", "wild_steps"):
        if getattr(args, name) > model.config.diffusion_steps:
            raise SettingsError(
                f"--{name.replace('_', '-')} must not exceed the model's {model.config.diffusion_steps}, "
                f"got {getattr(args, name)}"
            )
    start_s = time.monotonic()
    figures = {
        "motions": str(args.motions),
        "clips": clips,
        "frames": len(frames),
        "guidance": args.guidance,
        "steps": args.steps,
        "seed": args.seed,
        "weights": args.weights or "shipped",
        "device": args.device,
        "skipped": skipped,
    }
    if args.protocol != "wild":
        figures |= paper_figures(args, model, body, frames)
    if args.protocol != "paper":
        figures["wild"] = wild_figures(args, model, body, frames)
    return figures | {"seconds": round(time.monotonic() - start_s, 1)}


def _progress(frames: int, protocol: str):
    from tqdm import tqdm

    return tqdm(total=frames, unit="frame", desc=f"lifting, {protocol} protocol", file=sys.stderr, dynamic_ncols=True)


def paper_figures(args: argparse.Namespace, model, body, frames: PoseFrames) -> dict:
    """Figures of the paper's protocol, by action where asked."""
    import torch

    from diffmocap.evaluation.paper_protocol import evaluate_paper_protocol

    with _progress(len(frames), "paper") as bar:
        result = evaluate_paper_protocol(
            model, body, frames.rotations, args.guidance, args.steps, args.seed, batch=64, progress=bar.update
        )
    figures = errors(body, frames.rotations, result, torch.ones(len(frames), dtype=torch.bool))
    if args.by_action:
        figures["by_action"] = {
            name: errors(body, frames.rotations, result, torch.tensor([a == name for a in frames.action]))
            for name in sorted(set(frames.action))
        }
    return figures


def wild_figures(args: argparse.Namespace, model, body, frames: PoseFrames) -> dict:
    """Figures of the wild protocol: over all frames, by stratum, and by action where asked."""
    import numpy as np

    from diffmocap.evaluation.wild_protocol import evaluate_wild_protocol
    from diffmocap.evaluation.wild_scores import WildFigures

    with _progress(len(frames), "wild") as bar:
        result = evaluate_wild_protocol(
            model, body, frames.rotations, args.samples, args.guidance, args.wild_steps, args.seed, frames.numbers,
            progress=bar.update,
        )  # fmt: skip
    wild = WildFigures(result)
    figures = {"samples": args.samples, "steps": args.wild_steps, **wild.of(np.ones(len(frames), bool))}
    figures |= {"best_of_mpjpe_mm": wild.best_of(), **wild.calibration(), "by_stratum": wild.by_stratum()}
    if args.by_action:
        actions = np.array(frames.action)
        figures["by_action"] = {name: wild.of(actions == name) for name in sorted(set(frames.action))}
    return figures


def errors(body, poses: torch.Tensor, result: ProtocolResult, chosen: torch.Tensor) -> dict:
    """Errors of the paper's protocol over the chosen frames [N] bool."""
    from diffmocap.evaluation.joint_errors import pa_mpjpe_mm

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
    lines = [
        f"{figures['motions']}: {figures['frames']} frames of {figures['clips']} clips, "
        f"guidance {figures['guidance']:g}, seed {figures['seed']}, {figures['seconds']:.0f} s"
    ]
    if "pixel_error" in figures:
        rows = [("all", figures), *figures.get("by_action", {}).items()]
        width = max(len(name) for name, _ in rows)
        lines += [
            "", f"paper protocol, {figures['steps']} steps", "",
            f"{'':<{width}}{'frames':>8}{'pixel error':>14}{'MPJPE [mm]':>13}{'PA-MPJPE [mm]':>16}",
        ]  # fmt: skip
        lines += [
            f"{name:<{width}}{row['frames']:>8}{row['pixel_error']:>14.4f}"
            f"{row['mpjpe_mm']:>13.1f}{row['pa_mpjpe_mm']:>16.1f}"
            for name, row in rows
        ]
    if "wild" in figures:
        lines += ["", *_wild_table(figures["wild"])]
    if figures["skipped"]:
        lines += ["", f"{len(figures['skipped'])} files could not be used and are not part of the figures:"]
        lines += [f"  {reason}" for reason in figures["skipped"].values()]
    return "\n".join(lines)


def _wild_table(wild: dict) -> list[str]:
    from diffmocap.evaluation.wild_scores import BEST_OF

    rows = [("all", wild), *wild["by_stratum"].items(), *wild.get("by_action", {}).items()]
    width = max(len(name) for name, _ in rows)
    best_of = min(wild["samples"], BEST_OF)
    head = (
        f"{'':<{width}}{'frames':>8}{'pixel error':>14}{'MPJPE [mm]':>13}{'PA-MPJPE [mm]':>16}"
        f"{f'best of {best_of}':>14}{'spread':>9}{'outside limits':>17}"
    )
    lines = [f"wild protocol, {wild['samples']} samples, {wild['steps']} steps", "", head]
    for name, row in rows:
        diversity = "" if row["diversity_mm"] is None else f"{row['diversity_mm']:.1f}"
        lines.append(
            f"{name:<{width}}{row['frames']:>8}{row['pixel_error']:>14.4f}{row['mpjpe_mm']:>13.1f}"
            f"{row['pa_mpjpe_mm']:>16.1f}{row[f'best_of_{best_of}_mpjpe_mm']:>14.1f}{diversity:>9}"
            f"{100 * row['outside_limits']:>9.1f} % ({100 * row['truth_outside_limits']:.1f} %)"
        )
    rho = wild["spread_error_rank_correlation"]
    return lines + ["", "rank correlation of spread and error: " + ("not defined" if rho is None else f"{rho:.2f}")]
