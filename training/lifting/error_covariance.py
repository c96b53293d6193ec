"""Measures how far a network's poses are off, for the correction: ``python -m training.lifting.error_covariance``.

Poses of the training split stand before random cameras, whole in view, and are lifted with the default settings under
each kind of condition of :data:`diffmocap.lifting.correction.error_covariance.KINDS`. The covariances go into the
weights file itself, beside the network, so that they always fit it; ``training.ship`` carries them along. With
``--ship`` the weights are those in ``models/``, whose record follows.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.lifting.correction.error_covariance import KINDS, NOISE, ErrorCovariances
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.condition import FACING, Condition, condition_from_rays, depth_beyond_mid_hip
from diffmocap.lifting.network.weights import SHIPPED, weights_file, with_error_covariances
from diffmocap.lifting.settings import POSTERIOR_MEAN
from training import program
from training.commit import git_commit
from training.held_out import HELD_OUT_CLIPS
from training.manifest import MODELS, without_folders, write_entry
from training.motions.poses import PoseSampler, load_frames
from training.views.detector_noise import DetectorNoise

#: Cameras: pitch downwards [degrees], distance [m], and how far beside the optical axis over the distance.
PITCH_DEG, DISTANCE_M, BESIDE = (-10.0, 30.0), (2.5, 5.0), 0.2
#: Of the noisy kinds: deviation of the body's shape, and noise of the depths [m], about MediaPipe's.
BETAS, DEPTH_NOISE_M = 0.8, 0.05
#: Of the kind with missing keypoints: their share beside the small toes, which MediaPipe never sees.
MISSING, NEVER_SEEN = 0.2, [KEYPOINT_NAMES.index(name) for name in ("LSmallToe", "RSmallToe")]
#: Least standard deviation of an error [rad], added to all: what never moves in the data still may.
FLOOR_RAD = math.radians(0.25)


def seen_by_cameras(rotations: torch.Tensor, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses [N, 24, 3, 3] whose root is in the y-up world, seen by random cameras: with the root in the optical frame,
    and the pelvis [N, 3] m there."""
    n = len(rotations)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=g)

    pitch = torch.zeros(n, 3)
    pitch[:, 0] = torch.deg2rad(uniform(*PITCH_DEG))
    R = roma.rotvec_to_rotmat(pitch) @ torch.tensor(FACING).diag()
    distance = uniform(*DISTANCE_M, 1)
    pelvis = torch.cat([uniform(-BESIDE, BESIDE, 2) * distance, distance], -1)
    return torch.cat([(R @ rotations[:, 0])[:, None], rotations[:, 1:]], 1), pelvis


def condition_of(
    kind: str, body: BodyModel, rotations: torch.Tensor, pelvis: torch.Tensor, g: torch.Generator
) -> Condition:
    """What a detector says of N bodies under one kind of condition."""
    n, noisy = len(rotations), kind.startswith("noisy")
    betas = BETAS * torch.randn(n, 10, generator=g) if noisy else None
    points = body.keypoints(rotations, pelvis, betas)
    confidence = torch.ones(n, 25)
    if kind == "missing":
        confidence[torch.rand(n, 25, generator=g) < MISSING] = 0.0
        confidence[:, NEVER_SEEN] = 0.0
    noise = NOISE if noisy else 0.0
    clean = condition_from_rays(points[..., :2] / points[..., 2:], confidence)
    moved = clean.rays + noise * clean.half_size[:, None, None] * torch.randn(n, 25, 2, generator=g)
    moved = torch.cat([moved, torch.ones(n, 25, 1)], -1) @ clean.R_camera_crop.mT
    depth = None
    if kind.endswith("depth"):
        depth = depth_beyond_mid_hip(points, clean.R_camera_crop) + noisy * DEPTH_NOISE_M * torch.randn(
            n, 25, generator=g
        )
    return condition_from_rays(moved[..., :2] / moved[..., 2:], confidence, noise, depth)


def shrunk_covariance(errors: torch.Tensor) -> torch.Tensor:
    """[D, D] second moment of errors [N, D], shrunk towards its diagonal.

    By the share that minimises the expected squared error (Schäfer and Strimmer 2005, target D).
    """
    n = len(errors)
    moment = errors.T @ errors / n
    variance = (errors.square().T @ errors.square() / n - moment.square()) / (n - 1)
    aside = ~torch.eye(errors.shape[1], dtype=torch.bool)
    share = float((variance[aside].sum() / moment[aside].square().sum()).clamp(0, 1))
    return (1 - share) * moment + share * moment.diagonal().diag()


def detector_covariance(noise: DetectorNoise, share: float = 0.1) -> torch.Tensor:
    """[75, 75] second moment of the bank's errors: x, y over the half-size, then depths [m]; shrunk by ``share``.

    What the detector never sees is given the mean variance of the others.
    """
    seen = (noise.confidence > 0).double().repeat(1, 3)
    errors = torch.cat([noise.offset[..., 0], noise.offset[..., 1], noise.depth_error], 1).double() * seen
    moment = errors.T @ errors / (seen.T @ seen).clamp_min(1)
    for rows in (slice(0, 50), slice(50, 75)):
        variances = moment.diagonal()[rows]  # a view
        variances[variances <= 1e-8] = variances[variances > 1e-8].mean()
    values, vectors = torch.linalg.eigh(moment)  # of pairs, so that some may be below zero
    moment = (vectors * values.clamp_min(0)) @ vectors.T
    return (1 - share) * moment + share * moment.diagonal().diag()


@torch.no_grad()
def measure(
    lifter: Lifter, rotations: torch.Tensor, clips: torch.Tensor | None, frames: int, seed: int = 0, batch: int = 128
) -> tuple[ErrorCovariances, dict[str, float]]:
    """Covariances over ``frames`` augmented poses of training frames [N, 24, 3, 3], and each kind's root mean square
    error of a joint [degrees]."""
    g, settings = torch.Generator().manual_seed(seed), POSTERIOR_MEAN
    sampler = PoseSampler(lifter.body, rotations, g, clips=clips)
    poses, level = [], {}
    for kind in KINDS:
        truth, pelvis = seen_by_cameras(sampler(frames), g)
        condition = condition_of(kind, lifter.body, truth, pelvis, g)
        found = torch.cat([lifter.sample(condition.rows(rows), settings) for rows in torch.arange(frames).split(batch)])
        errors = roma.rotmat_to_rotvec(found.mT.double() @ truth.double()).flatten(1)
        covariance = shrunk_covariance(errors)
        level[kind] = math.degrees(float(covariance.trace() / 24) ** 0.5)
        poses.append(covariance + FLOOR_RAD**2 * torch.eye(len(covariance), dtype=covariance.dtype))
    return ErrorCovariances(torch.stack(poses), detector_covariance(DetectorNoise.load())), level


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", nargs="+", required=True, help="training clips: npz collections or AMASS folders")
    p.add_argument("--weights", default="", help="weights file, or '' or student for shipped ones (default: '')")
    p.add_argument("--out", type=Path, help="file to write (default: the weights file itself)")
    p.add_argument("--ship", action="store_true", help="the shipped weights, in place, with their record")
    p.add_argument("--exclude", default=str(HELD_OUT_CLIPS), help="file with clip names to leave out")
    p.add_argument("--frames", type=int, default=4096, help="poses a kind (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args(arguments)
    shipped = args.weights in SHIPPED
    if args.ship and not shipped or shipped and not (args.ship or args.out):
        p.error("shipped weights are changed with --ship alone; for others leave --ship out, or say --out")
    source = weights_file(args.weights)
    rotations, clips = load_frames(args.data, args.exclude)
    covariances, level = measure(Lifter.load(source), rotations, clips, args.frames, args.seed)
    record = {
        "command": without_folders("python -m training.lifting.error_covariance " + " ".join(arguments)),
        "commit": git_commit(), "frames": args.frames, "error_deg": {k: round(v, 2) for k, v in level.items()},
    }  # fmt: skip
    out = args.out or source
    with_error_covariances(source, covariances, record, out)
    if args.ship:
        name = SHIPPED[args.weights]
        entry = json.loads((MODELS / "manifest.json").read_text())["files"][name]
        entry.pop("sha256")
        write_entry(MODELS, name, {**entry, "error_covariance": record})
    print(f"{out}: " + ", ".join(f"{kind} {degrees:.1f}°" for kind, degrees in level.items()))


if __name__ == "__main__":
    program.run(main)
