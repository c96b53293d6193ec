"""Records golden_window_loss.npz, golden_diffphy.npz and golden_correction.npz from the code as it stands; see
README.md beside this file.

    PYTHONPATH=. python tests/data/make_golden_values.py [window_loss] [diffphy] [correction]

Run it only where the law itself was changed on purpose, and say so in the commit: a rewrite must meet the old values.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import read_urdf
from diffmocap.lifting.correction.lift_correction import LiftCorrection
from diffmocap.lifting.network.condition import FACING, condition_from_rays, depth_beyond_mid_hip
from diffmocap.optim.first_order import Adam
from diffmocap.optim.stopping import Budget
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.ground import Ground, find_ground
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.diffphy.task import DiffphyTask
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.reference import reference_motion
from diffmocap.refinement.window.weights import RefinementWeights
from diffmocap.refinement.window.window import Window
from diffmocap.resources import share_path
from tests.lifting import golden_correction
from tests.refinement.golden import DIFFPHY, NAMES, WINDOWS, GoldenWindow, diffphy_task, weight_names
from tests.refinement.windows import seen


def demo_motion(points: BodyPoints) -> tuple[torch.Tensor, torch.Tensor]:
    """The bundled clip's truth [T, 24, 3, 3] and [T, 3] m in a y-up world with the floor at zero, float64."""
    with np.load(share_path("media", "demo.npz"), allow_pickle=False) as data:
        rotations = roma.rotvec_to_rotmat(torch.from_numpy(data["poses"]).double().view(-1, 24, 3))
        pelvis = torch.from_numpy(data["joints"][:, 0]).double()
    spun, _ = global_poses(rotations, torch.zeros_like(pelvis), points.bones)
    joints, _, contacts, _ = points.positions(spun).mT.split(points.sizes, -2)
    feet, radius = contacts[:, points.feet] + pelvis[:, None], points.radius[points.feet].median()
    ground = find_ground(feet, 1 / 30, joints=joints + pelvis[:, None])
    up = ground.up
    side = torch.linalg.cross(up, torch.tensor([0.0, 0.0, 1.0]).double())
    side = side / side.norm()
    turn = torch.stack([side, up, torch.linalg.cross(side, up)])  # rows: the world's axes in the optical frame
    moved = pelvis @ turn.T
    moved[:, 1] -= ground.height - radius
    turned = rotations.clone()
    turned[:, 0] = turn @ rotations[:, 0]
    return turned, moved


def rounded(x: torch.Tensor) -> torch.Tensor:
    """As it is kept: in single precision."""
    return x.float().double()


def vectors(rotations: torch.Tensor) -> np.ndarray:
    """Rotation vectors to keep [rad]."""
    return roma.rotmat_to_rotvec(rotations).float().numpy()


def recorded(window: Window, weights: RefinementWeights, spacing: int, points: BodyPoints, seed: int, size: float):
    """A window's inputs, and what its loss says of them."""
    reference, pelvis = reference_motion(window)
    tensors = {
        "pelvis": window.pelvis, "log_weights": window.log_weights, "rotation_spread": window.rotation_spread,
        "pelvis_precision": window.pelvis_precision, "points_px": window.points_px, "confidence": window.confidence,
        "K": window.K, "T_camera_motion": window.T_camera_motion, "up": window.ground.up,
        "height": window.ground.height, "reference_pelvis": pelvis,
    }  # fmt: skip
    arrays = {name: value.float().numpy() for name, value in tensors.items()}
    arrays |= {
        "dt_s": np.float64(window.dt_s), "lifted": window.lifted.numpy(), "rotations": vectors(window.rotations),
        "reference": vectors(reference), "spacing": np.int64(spacing),
        "weights": np.array([getattr(weights, name) for name in weight_names()]),
    }  # fmt: skip
    task, g = GoldenWindow(arrays).task(points), torch.Generator().manual_seed(seed)
    x = size * torch.randn(1, task.dimension, generator=g)
    x.view(1, *task.shape)[:, :, [3 * 4, 3 * 18 + 1]] -= 12.0  # knee and elbow beyond their limits
    x = x.double()
    ways = torch.randint(-1, 2, (4, task.dimension), generator=g, dtype=torch.int8)
    parameters, loss = task._at(x)
    unknown = x.clone().requires_grad_()
    squares = loss.squares(*parameters.decode(unknown))[0]
    slopes = torch.stack([torch.autograd.grad(term, unknown, retain_graph=True)[0][0] for term in squares])
    value = loss(*parameters.decode(unknown))
    (gradient,) = torch.autograd.grad(value.sum(), unknown)
    motion = [part.detach() for part in parameters.decode(x)]
    dynamics = loss.dynamics(*motion)
    contacts = dynamics.contacts
    return arrays | {
        "x": x.float().numpy(), "ways": ways.numpy(),
        "terms": squares.detach().numpy(), "slopes": (slopes @ ways.double().T).numpy(),
        "slope_sizes": slopes.norm(dim=1).numpy(), "loss": value.detach().numpy(), "gradient": gradient.numpy(),
        "torques": dynamics.torques.numpy(), "forces": contacts.force.numpy(),
        "residual": torch.cat([contacts.residual.force, contacts.residual.moment], -1).numpy(),
        "touching": loss.contacts_of(*motion).numpy(),
    }  # fmt: skip


def windows(body: BodyModel, rotations: torch.Tensor, pelvis: torch.Tensor) -> dict[str, tuple]:
    """Each name's window, weights, spacing of knots, seed and size of the unknowns."""

    def stretch(start: int, frames: int, **how) -> Window:
        return seen(body, rotations[None, start : start + frames], pelvis[None, start : start + frames], **how)

    tilted = stretch(60, 13, hypotheses=2, seed=1)
    lifted, confidence = tilted.lifted.clone(), tilted.confidence.clone()
    lifted[:, [0, 6]] = False
    confidence[:, 4:7], confidence[:, :, 10:15] = 0.0, 0.3
    up = torch.nn.functional.normalize(torch.tensor([[0.1, 1.0, -0.2]], dtype=torch.float64), dim=-1)
    camera = tilted.T_camera_motion.clone()
    camera[:, :, :3] = roma.rotvec_to_rotmat(torch.tensor([[3.0, 0.2, 0.1]], dtype=torch.float64))
    tilted = replace(
        tilted, dt_s=1 / 25, lifted=lifted, confidence=confidence, T_camera_motion=camera,
        log_weights=torch.tensor([0.0, -1.5], dtype=torch.float64)[None, :, None].expand(1, 2, 13).clone(),
        rotations=torch.where(lifted[:, None, :, None, None, None], tilted.rotations, torch.eye(3).double()),
        pelvis=torch.where(lifted[:, None, :, None], tilted.pelvis, torch.nan),
        points_px=torch.where(confidence[..., None] > 0, tilted.points_px, torch.nan),
        ground=Ground(up, (up * pelvis[66]).sum(-1) - 0.88),
    )  # fmt: skip
    other = RefinementWeights(
        reprojection=2e3, hypotheses=0.5, root_force=0.3, root_moment=0.4, slip=40.0, contact_gap=300.0,
        penetration=2e3, torque=3.0, torque_rate=0.01, joint_limits=30.0, jerk=1e-4, robust_m=0.05, robust_force=2.0,
        robust_moment=0.5,
    )  # fmt: skip
    jacks = stretch(400, 16, hypotheses=1, seed=2)
    jacks = replace(jacks, ground=replace(jacks.ground, height=torch.tensor([0.02]).double()))
    return {
        "walk": (stretch(20, 20, hypotheses=3), RefinementWeights(), 4, 0, 0.3),
        "tilted": (tilted, other, 3, 3, 0.3),
        "jacks": (jacks, RefinementWeights(), 4, 1, 0.3),
    }


def diffphy(body: BodyModel, rotations: torch.Tensor, pelvis: torch.Tensor) -> dict[str, np.ndarray]:
    """A second of the walk, its controls after a few steps of Adam, and what the simulation makes of them."""
    kept = {"rotations": vectors(rotations[20:51]), "pelvis": pelvis[20:51].float().numpy()}
    task: DiffphyTask = diffphy_task(body, **kept)
    start = task.init(1).double()
    x = rounded(Adam(0.02).minimize(task, start, Budget(evaluations=12)).x)
    loss, gradient = task.loss_and_gradient(x)
    motion = task.simulate(x)
    return kept | {
        "x": x.float().numpy(), "loss": loss.numpy(), "gradient": gradient.numpy(),
        **{f"term.{name}": value.detach().numpy() for name, value in task.terms(x).items()},
        "joints": motion.joints.detach().numpy()[:, ::5],
    }  # fmt: skip


def correction(body: BodyModel) -> dict[str, np.ndarray]:
    """Seven conditions of five samples each, and the correction of these in each case.

    Exact; noisy with two wrong keypoints; half of the body missing; noise told by keypoint; near to the camera; a mean
    that is NaN; another sample that is NaN.
    """
    g, B, K = torch.Generator().manual_seed(11), 7, golden_correction.SAMPLES

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    truth = roma.rotvec_to_rotmat(0.3 * normal(B, 24, 3))
    truth[:, 0] = torch.tensor(FACING, dtype=torch.float64).diag() @ truth[:, 0]
    place = torch.tensor([0.3, -0.1, 3.0], dtype=torch.float64) + 0.3 * normal(B, 3)
    place[4] = torch.tensor([0.05, 0.0, 0.55])
    points = body.keypoints(truth.float(), place.float(), 0.5 * normal(B, 10).float()).double()
    points[..., 2] = points[..., 2].clamp_min(0.12)
    confidence, noise = torch.ones(B, 25, dtype=torch.float64), torch.zeros(B, 25, dtype=torch.float64)
    confidence[2, [4, 7, 9, 10, 11, 12, 13, 14, 19, 20, 21, 22, 23]] = 0.0
    noise[1], noise[3, :12], noise[3, 12:] = 0.02, 0.01, 0.03
    rays = points[..., :2] / points[..., 2:]
    clean = condition_from_rays(rays, confidence)
    rays = rays + (noise * clean.half_size[:, None])[..., None] * normal(B, 25, 2)
    rays[1, 7], rays[1, 11] = rays[1, 7] + 0.6 * clean.half_size[1], rays[1, 11] - 0.4 * clean.half_size[1]
    rays[4] = rays[4].clamp(-4.0, 4.0)
    depth = depth_beyond_mid_hip(points, clean.R_camera_crop) + 2.0 * noise * normal(B, 25)
    depth[0, 3:9], depth[2] = torch.nan, torch.nan
    depth[1, 4] += 1.0
    size = torch.tensor([0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], dtype=torch.float64)[:, None, None, None]
    rotations = truth[:, None] @ roma.rotvec_to_rotmat(size * (normal(B, 1, 24, 3) + 0.5 * normal(B, K, 24, 3)))
    pelvis = place[:, None] + 0.1 * normal(B, K, 3)
    pelvis[4, :, 2] = 0.5
    rotations[5, 0, 7], rotations[6, 3, 0] = torch.nan, torch.nan
    inputs = {"rays": rays, "confidence": confidence, "noise": noise, "depth": depth, "rotations": rotations,
              "pelvis": pelvis}  # fmt: skip
    arrays = {name: value.numpy() for name, value in inputs.items()}
    golden = golden_correction.GoldenCorrection(arrays)
    correct = LiftCorrection(body, golden_correction.covariances())
    return arrays | {case.name: correct(*golden.input(case)).numpy() for case in golden_correction.CASES}


def main() -> None:
    body = BodyModel.load()
    chosen = sys.argv[1:] or ["window_loss", "diffphy", "correction"]
    if "correction" in chosen:
        np.savez_compressed(golden_correction.PATH, **correction(body))
    if not {"window_loss", "diffphy"} & set(chosen):
        return
    points = BodyPoints.from_body(body, BodySegments.from_urdf(read_urdf()), ContactPoints.from_body(body))
    points = points.to(dtype=torch.float64)
    motion = demo_motion(points)
    if "window_loss" in chosen:
        made = windows(body, *motion)
        assert tuple(made) == NAMES
        arrays = {}
        for name, (window, weights, spacing, seed, size) in made.items():
            for key, value in recorded(window, weights, spacing, points, seed, size).items():
                arrays[f"{name}.{key}"] = value
        np.savez_compressed(WINDOWS, **arrays)
    if "diffphy" in chosen:
        np.savez_compressed(DIFFPHY, **diffphy(body, *motion))


if __name__ == "__main__":
    main()
