"""Poses beyond motion capture before a camera: how well a lifter does on them with exact keypoints.

``made_poses.npz`` holds 400 poses in four families of 100: seated or squatting (hips and knees bent by 90 to 130
degrees), bent over (trunk 60 to 100 degrees from upright), kicking (a thigh 60 to 110 degrees from the trunk's axis),
and on the floor (sitting, kneeling, lying); and the camera that sees each: an upright phone 3 to 4 m away, pitched down
by 10 to 30 degrees, the body's heading any. They were drawn by :mod:`benchmarks.lifting.made_poses_drawing` and
committed before any training that knew of such poses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import roma
import torch

from benchmarks.protocols.exact_views import depth_beyond_mid_hip
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import LIMB_JOINTS, NUM_KEYPOINTS
from diffmocap.camera.projection import project
from diffmocap.evaluation.joint_errors import procrustes
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.settings import POSTERIOR_MEAN, LiftingSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D

DATA = Path(__file__).with_name("made_poses.npz")
FAMILIES = ("seated", "bent", "kick", "floor")
_DEFAULTS = POSTERIOR_MEAN


def made_camera() -> CameraIntrinsics:
    """An upright phone: 1080 x 1920 pixels, a vertical field of view of 59.5 degrees."""
    return CameraIntrinsics.from_fov(1080, 1920, 59.5)


@dataclass(frozen=True)
class MadePoseSet:
    """N poses of the mean body before :func:`made_camera`.

    Attributes:
        rotations: [N, 24, 3, 3] local, root in the optical frame. pelvis: [N, 3] m in the optical frame.
        R_camera_world: [N, 3, 3] from the y-up world.
        family: [N] index into :data:`FAMILIES`.
        body: the body, of mean shape.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    R_camera_world: torch.Tensor
    family: torch.Tensor
    body: BodyModel

    @classmethod
    def load(cls, body: BodyModel, path: Path = DATA) -> MadePoseSet:
        """The committed poses."""
        with np.load(path) as data:
            rotvecs, pelvis, R_camera_world, family = (
                torch.as_tensor(data[name]) for name in ("rotvecs", "pelvis", "R_camera_world", "family")
            )
        return cls(roma.rotvec_to_rotmat(rotvecs), pelvis, R_camera_world, family.long(), body)

    def __len__(self) -> int:
        return len(self.family)

    @cached_property
    def _points(self) -> tuple[torch.Tensor, torch.Tensor]:
        device = self.body.device
        joints, points = self.body.joints_and_keypoints(self.rotations.to(device), self.pelvis.to(device))
        return joints.cpu(), points.cpu()

    @property
    def joints(self) -> torch.Tensor:
        """[N, 24, 3] m in the optical frame."""
        return self._points[0]

    def keypoints(self, with_depth: bool) -> list[Keypoints2D]:
        """Exact projections of all 25 keypoints, with their depths beyond the mid-hip or without any.

        Depths run along the ray through the middle of the person's box, as a detector's do.
        """
        camera, points = made_camera(), self._points[1]
        K = torch.tensor(camera.matrix, dtype=torch.float32)
        points_px = project(points, K)
        depth = depth_beyond_mid_hip(points, points_px, torch.ones(len(self), NUM_KEYPOINTS), K)
        return [
            Keypoints2D(
                pixels.numpy(), np.ones(NUM_KEYPOINTS, np.float32), camera.width, camera.height,
                depth_m=away.numpy() if with_depth else None,
            )
            for pixels, away in zip(points_px, depth, strict=True)
        ]  # fmt: skip


def made_poses_scores(
    lifter: Lifter, settings: LiftingSettings = _DEFAULTS, progress: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """PA-MPJPE in mm over the 12 limb joints of the best hypothesis, with ``keypoint_noise`` 0.

    ``made_poses_pa_mpjpe_mm`` from exact 2D keypoints, ``made_poses_depth_pa_mpjpe_mm`` with exact depths as well; both
    with ``_seated``, ``_bent``, ``_kick`` and ``_floor`` behind for each family. ``progress`` is called after each of
    the 800 poses.
    """
    made = MadePoseSet.load(lifter.body)
    told = replace(settings, keypoint_noise=0.0)
    scores: dict[str, float] = {}
    for name, with_depth in (("made_poses_pa_mpjpe_mm", False), ("made_poses_depth_pa_mpjpe_mm", True)):
        rotations, pelvis = [], []
        for keypoints in made.keypoints(with_depth):
            poses = lifter.lift(keypoints, made_camera(), told)
            rotations.append(poses.rotations[poses.best])
            pelvis.append(poses.pelvis[poses.best])
            progress()
        device = lifter.body.device
        lifted = lifter.body.forward_kinematics(torch.stack(rotations).to(device), torch.stack(pelvis).to(device))[1]
        errors = limb_errors_mm(lifted, made.joints)
        scores[name] = float(errors.mean())
        for number, family in enumerate(FAMILIES):
            scores[f"{name}_{family}"] = float(errors[made.family.numpy() == number].mean())
    return scores


def limb_errors_mm(estimate: torch.Tensor, truth: torch.Tensor) -> np.ndarray:
    """PA-MPJPE [N] in mm over the limb joints of joints [N, 24, 3] m."""
    estimate, truth = (x.cpu().numpy().astype(float)[:, list(LIMB_JOINTS)] for x in (estimate, truth))
    return 1e3 * np.linalg.norm(procrustes(estimate, truth) - truth, axis=-1).mean(-1)
