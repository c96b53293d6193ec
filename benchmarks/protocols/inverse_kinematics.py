"""What needs no network: inverse kinematics that starts from the mean pose.

Inverse kinematics fits the body to keypoints by least squares (SciPy's trust region, analytic Jacobian), as SMPLify
does (Bogo et al. 2016). The objective is that of :class:`~diffmocap.fitting.keypoint_fit.KeypointFit`, with the prior
of the training split. It starts from the mean pose at four headings, upright, and takes the fit of least cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import least_squares

from diffmocap.body.model import BodyModel
from diffmocap.fitting.keypoint_fit import KeypointFit
from diffmocap.fitting.pose_prior import PosePrior
from diffmocap.lifting.network.condition import make_condition
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: Evaluations of one start at most.
EVALUATIONS = 40


@dataclass(frozen=True)
class LeastSquaresFit:
    """Of one fit: unknowns x [N], their loss, and how often residuals were evaluated, from all starts together."""

    x: torch.Tensor
    loss: float
    evaluations: int


def least_squares_fit(fit: KeypointFit, starts: torch.Tensor, evaluations: int = EVALUATIONS) -> LeastSquaresFit:
    """The best fit of one image from ``starts`` [S, N], each with so many ``evaluations`` at most.

    Most come with a Jacobian, which is a good deal dearer than a gradient.
    """

    def residuals(x: torch.Tensor) -> torch.Tensor:
        return fit.residuals(x[None])[0]

    jacobian = torch.func.jacfwd(residuals)
    found = [
        least_squares(
            lambda x: residuals(torch.from_numpy(x).float()).double().numpy(),
            start.double().numpy(),
            lambda x: jacobian(torch.from_numpy(x).float()).double().numpy(),
            max_nfev=evaluations, xtol=1e-5, ftol=1e-5,
        )
        for start in starts
    ]  # fmt: skip
    best = min(found, key=lambda one: one.cost)
    return LeastSquaresFit(torch.from_numpy(best.x).float(), float(best.cost), sum(one.nfev for one in found))


class InverseKinematics:
    """Fits of one body before one ideal pinhole camera."""

    def __init__(self, body: BodyModel, prior: PosePrior, camera: CameraIntrinsics) -> None:
        self._body, self._prior = body, prior
        self._K = torch.tensor(camera.matrix, dtype=torch.float32)

    def solve(self, keypoints: Keypoints2D, noise: float = 0.0, depth_noise_m: float = 0.0) -> torch.Tensor:
        """Joints [24, 3] m in the optical frame. ``noise`` as in ``LiftingSettings``; both are the true levels."""
        points, confidence = (torch.from_numpy(v)[None] for v in (keypoints.points_px, keypoints.confidence))
        depth = None if keypoints.depth_m is None else torch.from_numpy(keypoints.depth_m)[None]
        condition = make_condition(points, confidence, self._K[None], noise, depth)
        fit = KeypointFit(self._body, self._prior, condition, depth_noise_m)
        found = least_squares_fit(fit, fit.starts()[0])
        return self._body.forward_kinematics(*fit.pose(found.x[None]))[1][0]
