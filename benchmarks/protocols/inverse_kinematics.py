"""What needs no network: the mean pose, and inverse kinematics that starts from it.

Inverse kinematics fits the body to keypoints by least squares over 23 local rotations, the root's and the translation
(SciPy's trust region, analytic Jacobian), as SMPLify does (Bogo et al. 2016): keypoints and depths over their standard
deviations, and a Gaussian prior of the pose, with mean and full covariance of the training split. It starts from the
mean pose at four headings, upright, and takes the fit of least cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import roma
import torch
from scipy.optimize import least_squares

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_NAMES, NUM_JOINTS
from diffmocap.camera.projection import rays_from_pixels, rays_to
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.lifting.network.condition import FACING, condition_from_rays
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: Least standard deviations that residuals are divided by: keypoints over the box's half-size, depths [m]. Exact input
#: would else make the problem stiff.
KEYPOINT_UNIT, DEPTH_UNIT_M = 0.005, 0.01
#: Added to the standard deviations of the prior, as some joints hardly move in the data [rad].
PRIOR_FLOOR_RAD = 0.02
HEADINGS = 4
#: Evaluations of one start at most.
EVALUATIONS = 40
_MID_HIP = KEYPOINT_NAMES.index("MidHip")


@dataclass(frozen=True)
class PosePrior:
    """A Gaussian over the local rotations below the root.

    Attributes:
        mean: [24, 3, 3] rotations nearest the mean of the matrices; the root's is the identity.
        whiten: [69, 69] turns the rotation vectors of what a pose is turned from the mean by, joint after joint, into
            standard normal numbers.
    """

    mean: torch.Tensor
    whiten: torch.Tensor

    @classmethod
    def of_frames(cls, frames: PoseFrames) -> PosePrior:
        """Of poses; headings and tilts of the root are left out."""
        mean = roma.special_procrustes(frames.rotations.double().mean(0))
        mean[0] = torch.eye(3, dtype=mean.dtype)
        off = roma.rotmat_to_rotvec(mean.transpose(-1, -2) @ frames.rotations.double())[:, 1:].flatten(1)
        covariance = off.T @ off / len(off) + PRIOR_FLOOR_RAD**2 * torch.eye(off.shape[1])
        factor = torch.linalg.cholesky(covariance)
        whiten = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=factor.dtype), upper=False)
        return cls(mean.float(), whiten.float())


class InverseKinematics:
    """Fits of one body before one ideal pinhole camera."""

    def __init__(self, body: BodyModel, prior: PosePrior, camera: CameraIntrinsics) -> None:
        self._body, self._prior = body, prior
        self._K = torch.tensor(camera.matrix, dtype=torch.float32)

    def solve(self, keypoints: Keypoints2D, noise: float = 0.0, depth_noise_m: float = 0.0) -> torch.Tensor:
        """Joints [24, 3] m in the optical frame. ``noise`` as in ``LiftingSettings``; both are the true levels."""
        confidence = torch.from_numpy(keypoints.confidence)
        rays = rays_from_pixels(torch.from_numpy(keypoints.points_px), self._K)
        crop = condition_from_rays(rays[None], confidence[None])
        seen = confidence > 0
        unit = max(noise, KEYPOINT_UNIT) * crop.half_size[0]
        depth = None if keypoints.depth_m is None else torch.from_numpy(keypoints.depth_m)
        axis, depth_unit = crop.R_camera_crop[0, :, 2], max(depth_noise_m, DEPTH_UNIT_M)

        def pose(x: torch.Tensor, root: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Rotations [1, 24, 3, 3] and pelvis [1, 3] of the unknowns [75]."""
            start = torch.cat([root[None], self._prior.mean[1:]])
            return (start @ roma.rotvec_to_rotmat(x[:72].view(NUM_JOINTS, 3)))[None], x[None, 72:]

        def residuals(x: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
            points = self._body.keypoints(*pose(x, root))[0]
            parts = [((rays_to(points) - rays)[seen] / unit).flatten(), self._prior.whiten @ x[3:72]]
            if depth is not None:
                parts.append((((points - points[_MID_HIP]) @ axis - depth) / depth_unit)[seen])
            return torch.cat(parts)

        jacobian = torch.func.jacfwd(residuals)
        ahead = crop.R_camera_crop[0] @ torch.tensor([0.0, 0.0, 1.0 / float(crop.half_size[0])])
        best = None
        for heading in range(HEADINGS):
            yaw = roma.rotvec_to_rotmat(torch.tensor([0.0, 2 * math.pi * heading / HEADINGS, 0.0]))
            root = torch.tensor(FACING).diag() @ yaw
            fit = least_squares(
                lambda x, root=root: residuals(torch.from_numpy(x).float(), root).double().numpy(),
                np.concatenate([np.zeros(72), ahead.double().numpy()]),
                lambda x, root=root: jacobian(torch.from_numpy(x).float(), root).double().numpy(),
                max_nfev=EVALUATIONS, xtol=1e-5, ftol=1e-5,
            )  # fmt: skip
            if best is None or fit.cost < best[0].cost:
                best = fit, root
        fit, root = best
        return self._body.forward_kinematics(*pose(torch.from_numpy(fit.x).float(), root))[1][0]
