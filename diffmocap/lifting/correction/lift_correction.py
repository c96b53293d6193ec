"""The correction as the lifter calls it: from conditions and samples in the optical frame to corrected rotations."""

from __future__ import annotations

import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.compiler import array
from diffmocap.lifting.correction.error_covariance import ErrorCovariances
from diffmocap.lifting.correction.observation import Observation
from diffmocap.lifting.correction.pose_correction import PoseCorrection
from diffmocap.lifting.network.condition import Condition, condition_from_rays

#: A keypoint counts as at most so much more or less noisy than others.
RELATIVE_NOISE = (0.2, 5.0)


class LiftCorrection:
    """For one body and one network's errors. It runs on the CPU, as machine code, wherever body and poses are."""

    def __init__(self, body: BodyModel, covariances: ErrorCovariances) -> None:
        self._covariances = covariances
        self._correct = PoseCorrection(body, array(covariances.detector))

    def prepare(self) -> None:
        """Compiles, or loads from disk, what images need, so that none waits for it."""
        rays = torch.linspace(-0.2, 0.2, 50).view(1, 25, 2)
        upright, place = torch.eye(3).repeat(2, 24, 1, 1), torch.tensor([[0.0, 0.0, 3.0]]).repeat(2, 1)
        self(condition_from_rays(rays, torch.ones(1, 25)), upright, place, 1, mean_first=True)

    def __call__(
        self, condition: Condition, rotations: torch.Tensor, pelvis: torch.Tensor, steps: int, mean_first: bool = False
    ) -> torch.Tensor:
        """Corrected rotations [B * K, 24, 3, 3] of K samples a condition, K varying fastest; optical frame.

        Args:
            condition: of B rows. rotations: [B * K, 24, 3, 3], pelvis: [B * K, 3] m, where these bodies stand.
            steps: of Gauss-Newton.
            mean_first: each first sample is the mean of the others' distribution, so that one step by its gain serves
                those.
        """
        start = array(rotations).reshape(len(condition), -1, 24, 3, 3)
        R = array(condition.R_camera_crop)[:, None]
        in_crop = start.copy()
        in_crop[:, :, 0] = R.swapaxes(2, 3) @ start[:, :, 0]
        places = array(pelvis).reshape(len(R), -1, 3) @ R[:, 0]
        covariance = self._covariances.of(condition)
        found = self._correct(in_crop, places, observation_of(condition), covariance, steps, mean_first)
        corrected = found.rotations
        corrected[:, :, 0] = R @ corrected[:, :, 0]
        # What was not bettered stays as it was, to the last digit.
        corrected[~found.changed] = start[~found.changed]
        return torch.from_numpy(corrected.reshape(rotations.shape)).to(rotations)


def observation_of(condition: Condition) -> Observation:
    """What a condition says was seen, in its crop frame."""
    return Observation.of(
        array(condition.rays), array(condition.half_size), array(condition.confidence), array(condition.depth),
        array(condition.depth_known), relative_noise(condition),
    )  # fmt: skip


def relative_noise(condition: Condition) -> np.ndarray:
    """[B, 25] how much noisier each keypoint is told to be than a row's seen ones in the mean; 1 where all are exact.

    How noisy they are together is found from the image, see :mod:`diffmocap.lifting.correction.keypoint_noise`.
    """
    noise, seen = array(condition.noise), array(condition.confidence) > 0
    mean = (noise * seen).sum(1, keepdims=True) / np.maximum(seen.sum(1, keepdims=True), 1)
    return np.where(mean > 0, np.clip(noise / np.maximum(mean, 1e-9), *RELATIVE_NOISE), 1.0)
