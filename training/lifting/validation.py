"""Figures by which a run is followed and its best weights chosen: poses of validation frames, as live use lifts them.

Cameras are those of the *exact* protocol: pitched down by 10 to 30 degrees, 3.3 m away, the heading free. The sampler
takes its default steps from the centre of the distribution, nothing is corrected afterwards, and the error is PA-MPJPE
over the limbs.
"""

from __future__ import annotations

import math

import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d
from diffmocap.body.skeleton import KEYPOINT_NAMES, LIMB_JOINTS, NUM_KEYPOINTS
from diffmocap.evaluation.joint_errors import pa_mpjpe_mm
from diffmocap.lifting.network.condition import (
    FACING,
    Condition,
    condition_from_rays,
    depth_beyond_mid_hip,
    root_from_network,
)
from diffmocap.lifting.sampling.ddim import ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.guidance import guided_denoiser
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from diffmocap.lifting.settings import LiftingSettings
from training.motions.poses import turn
from training.views.detector_noise import DetectorNoise
from training.views.simulated_detector import MEASURED_NOISE, Errors, body_yaw, detect

DISTANCE_M = 3.3
PITCH_DEG = (10.0, 30.0)
#: Name, noise over the half-size, depth noise [m] or None without depths, standard deviation of the betas, and the
#: share of keypoints that are missing.
CONDITIONS = (
    ("exact", 0.0, None, 0.0, 0.0),
    ("exact_depth", 0.0, 0.0, 0.0, 0.0),
    ("noisy", 0.02, None, 0.8, 0.0),
    ("noisy_depth", 0.02, 0.05, 0.8, 0.0),
    ("missing", 0.0, None, 0.0, 0.2),
)
_SMALL_TOES = (KEYPOINT_NAMES.index("LSmallToe"), KEYPOINT_NAMES.index("RSmallToe"))


class Validation:
    """Fixed views of fixed frames [N, 24, 3, 3], root in the y-up world; the draws are seeded."""

    def __init__(self, body: BodyModel, rotations: torch.Tensor, seed: int = 1) -> None:
        self.body = body
        g = torch.Generator().manual_seed(seed)
        n = len(rotations)
        yaw = (torch.rand(n, generator=g) * 2 - 1) * math.pi
        pitch = torch.deg2rad(torch.rand(n, generator=g) * (PITCH_DEG[1] - PITCH_DEG[0]) + PITCH_DEG[0])
        down = roma.rotvec_to_rotmat(torch.stack([pitch, torch.zeros(n), torch.zeros(n)], -1))
        R_camera_world = (down @ torch.tensor(FACING).diag()).to(body.device)
        world = turn(rotations.to(body.device), yaw.to(body.device))
        self.rotations = torch.cat([(R_camera_world @ world[:, 0])[:, None], world[:, 1:]], 1)
        self.pelvis = torch.tensor([0.0, 0.0, DISTANCE_M], device=body.device).expand(n, 3)
        self.conditions = {name: self._view(g, *rest) for name, *rest in CONDITIONS}
        self.conditions["measured"] = self._measured(g)

    def _view(
        self, g: torch.Generator, noise: float, depth_noise: float | None, beta_std: float, missing: float
    ) -> tuple[Condition, torch.Tensor]:
        n, device = len(self.rotations), self.body.device
        betas = (beta_std * torch.randn(n, 10, generator=g)).to(device)
        joints, points = self.body.joints_and_keypoints(self.rotations, self.pelvis, betas)
        rays = points[..., :2] / points[..., 2:]
        seen = (torch.rand(n, NUM_KEYPOINTS, generator=g) >= missing).float().to(device)
        if missing:
            seen[:, _SMALL_TOES] = 0.0
        half = 0.5 * (rays.amax((1, 2)) - rays.amin((1, 2)))
        rays = rays + noise * half[:, None, None] * torch.randn(rays.shape, generator=g).to(device)
        depth = None
        if depth_noise is not None:
            error = depth_noise * torch.randn(n, NUM_KEYPOINTS, generator=g).to(device)
            depth = depth_beyond_mid_hip(points, condition_from_rays(rays, seen).R_camera_crop) + error
        return condition_from_rays(rays, seen, noise, depth), joints[:, list(LIMB_JOINTS)]

    def _measured(self, g: torch.Generator) -> tuple[Condition, torch.Tensor]:
        """People of other shapes with the errors that were measured of MediaPipe, depths included."""
        n, device = len(self.rotations), self.body.device
        betas = (0.8 * torch.randn(n, 10, generator=g)).to(device)
        joints, points = self.body.joints_and_keypoints(self.rotations, self.pelvis, betas)
        rays, seen = points[..., :2] / points[..., 2:], torch.ones(n, NUM_KEYPOINTS, dtype=torch.bool, device=device)
        seen[:, _SMALL_TOES] = False
        draw = DetectorNoise.load().draw(body_yaw(self.rotations, rays, seen).cpu(), g)
        errors = Errors(
            draw.offset.to(device), draw.confidence.to(device) * seen, draw.depth_error.to(device),
            torch.full((n,), MEASURED_NOISE, device=device),
        )  # fmt: skip
        return detect(points, seen, errors), joints[:, list(LIMB_JOINTS)]

    @torch.no_grad()
    def figures(self, model, steps: int = LiftingSettings().steps) -> dict[str, float]:
        """Mean PA-MPJPE [mm] of each condition, as ``pa_<name>``."""
        schedule = NoiseSchedule(model.config.schedule, model.config.diffusion_steps)
        times = ddim_timesteps(schedule.steps, steps)
        out = {}
        for name, (condition, truth) in self.conditions.items():
            denoise = guided_denoiser(model, schedule, model.encode_condition(condition), 0.0, timesteps=times)
            x = ddim_sample(denoise, torch.zeros(len(truth), 24, 6, device=truth.device), schedule, times)
            pose = root_from_network(matrix_from_6d(model.unstandardise(x)), condition.R_camera_crop)
            joints = self.body.forward_kinematics(pose, self.pelvis)[1][:, list(LIMB_JOINTS)]
            out[f"pa_{name}"] = pa_mpjpe_mm(joints.cpu().numpy(), truth.cpu().numpy())
        return out
