"""Distances of people of other sizes, their height given and not: ``python -m benchmarks.body_height``.

Ten bodies: shape coefficients of standard deviation 0.8, moved to the nearest shape whose height is one of ten between
1.5 and 2.0 m. Each makes the motion of the bundled clip's first seconds, with their pelvis where the
clip's is; its exact keypoints are reconstructed by ``diffmocap reconstruct``'s default quality, once as if nothing were
known (*not given*), once with the height (*given*). *Distance error*: of the pelvis from the camera, the mean over
frames of its relative error; *size error*: of the distances between neighbouring joints, the mean of their relative
errors. *No image*: all bodies at the clip's mean distance.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from tqdm import tqdm

from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, Page, page_arguments, provenance
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import PARENTS
from diffmocap.lifting.lifter import Lifter
from diffmocap.reconstruct.body_size import betas_of_height, standing_height
from diffmocap.reconstruct.footage import Footage
from diffmocap.reconstruct.reconstruction import reconstruct
from diffmocap.reconstruct.settings import QUALITIES
from diffmocap.types import CameraIntrinsics, Keypoints2D

CLIP = REPOSITORY / "media" / "demo.npz"
HEIGHTS_M = np.linspace(1.5, 2.0, 10)
SHAPE_DEVIATION, SEED, FRAMES, FPS = 0.8, 20, 75, 30.0
ASKED = 0.03


@dataclass(frozen=True)
class Person:
    """One body in the clip's motion.

    Attributes:
        height_m: of the rest pose. footage: exact keypoints. joints: [T, 24, 3] m in the optical frame.
    """

    height_m: float
    footage: Footage
    joints: np.ndarray


def persons(body: BodyModel) -> list[Person]:
    """The ten."""
    with np.load(CLIP) as data:
        rotations = roma.rotvec_to_rotmat(torch.from_numpy(data["poses"][:FRAMES]).unflatten(1, (24, 3)))
        pelvis, K = torch.from_numpy(data["joints"][:FRAMES, 0]), data["K"]
    camera = CameraIntrinsics(640, 480, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    generator = torch.Generator().manual_seed(SEED)
    found = []
    for height_m in HEIGHTS_M:
        drawn = SHAPE_DEVIATION * torch.randn(10, generator=generator)
        betas = betas_of_height(body, float(height_m), near=drawn)[None].expand(FRAMES, -1)
        joints, points = body.joints_and_keypoints(rotations, pelvis, betas)
        image = points @ torch.from_numpy(K).float().T
        px = (image[..., :2] / image[..., 2:]).numpy()
        keypoints = [
            Keypoints2D(p, np.ones(25, np.float32), 640, 480, stamp_ns=round(i * 1e9 / FPS)) for i, p in enumerate(px)
        ]
        found.append(Person(standing_height(body, betas[0]), Footage.even(keypoints, camera), joints.numpy()))
    return found


def errors(person: Person, lifter: Lifter, body: BodyModel, height_m: float) -> tuple[float, float]:
    """Relative errors of the distance and of the size, reconstructed with a height, 0 for none."""
    settings = replace(QUALITIES["fast"], height_m=height_m)
    (motion,) = reconstruct(person.footage, lifter, body, settings)
    part = slice(motion.first, motion.first + len(motion.pelvis))
    betas = motion.betas[None].expand(len(motion.pelvis), -1)
    joints = body.forward_kinematics(motion.rotations, motion.pelvis, betas)[1].numpy()
    truth = person.joints[part]
    away, true_away = (np.linalg.norm(x[:, 0], axis=-1) for x in (joints, truth))
    bones, true_bones = (np.linalg.norm(x[:, 1:] - x[:, PARENTS[1:]], axis=-1) for x in (joints, truth))
    return float(np.mean(np.abs(away / true_away - 1.0))), float(np.mean(np.abs(bones / true_bones - 1.0)))


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    shared_options(parser, "weights", "json", "no_page", "out")
    args = page_arguments(parser)
    torch.set_num_threads(1)
    body = BodyModel.load()
    lifter, people = Lifter.load(args.weights, body), persons(body)
    away = np.concatenate([np.linalg.norm(p.joints[:, 0], axis=-1) for p in people])
    still = float(np.mean(np.abs(away.mean() / away - 1.0)))
    rows = []
    for person in tqdm(people, unit="body", file=sys.stderr):
        without, given = (errors(person, lifter, body, h) for h in (0.0, person.height_m))
        rows.append({"height_m": person.height_m, "not_given": without, "given": given})
    figures = {
        key: {
            "distance": float(np.mean([r[key][0] for r in rows])), "largest": max(r[key][0] for r in rows),
            "size": float(np.mean([r[key][1] for r in rows])),
        } for key in ("not_given", "given")
    } | {"no_image": still}  # fmt: skip
    if not args.no_page:
        lines = ["# Distances by the person's height", ""]
        lines += [*provenance("benchmarks.body_height", "bundled clip's motion, ten bodies"), ""]
        lines += [*__doc__.split("\n\n", 1)[1].splitlines(), ""]
        lines += [
            "| height, m | distance error, not given | given | size error, not given | given |",
            "|---:" * 5 + "|",
        ]
        for r in rows:
            cells = [r["not_given"][0], r["given"][0], r["not_given"][1], r["given"][1]]
            lines.append(f"| {r['height_m']:.2f} | {' | '.join(f'{100 * c:.1f} %' for c in cells)} |")
        mean = [figures[k][x] for x in ("distance", "size") for k in ("not_given", "given")]
        lines += [f"| mean | {' | '.join(f'{100 * c:.1f} %' for c in mean)} |", ""]
        lines += [f"No image: {100 * still:.1f} %. Asked with the height given: at most {100 * ASKED:.0f} %."]
        print(Page.of_today("body-height", args.out).write(lines))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
