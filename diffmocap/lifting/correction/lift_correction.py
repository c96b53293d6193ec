"""The correction as the lifter calls it: from conditions and samples in the optical frame to corrected rotations."""

from __future__ import annotations

import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.correction.error_covariance import ErrorCovariances
from diffmocap.lifting.correction.observation import Observation
from diffmocap.lifting.correction.pose_correction import PoseCorrection
from diffmocap.lifting.network.condition import Condition

#: A keypoint counts as at most so much more or less noisy than others.
RELATIVE_NOISE = (0.2, 5.0)


class LiftCorrection:
    """For one body and one network's errors. It runs on the CPU, see :class:`KeypointKinematics`."""

    def __init__(self, body: BodyModel, covariances: ErrorCovariances) -> None:
        self._covariances, self._correct = covariances, PoseCorrection(body, covariances.detector)

    @torch.no_grad()
    def __call__(self, condition: Condition, rotations: torch.Tensor, pelvis: torch.Tensor, steps: int) -> torch.Tensor:
        """Corrected rotations [B * K, 24, 3, 3] of K samples a condition, K varying fastest; optical frame.

        Args:
            condition: of B rows. rotations: [B * K, 24, 3, 3], pelvis: [B * K, 3] m, where these bodies stand.
            steps: of Gauss-Newton.
        """
        with torch.inference_mode():  # a quarter faster than without gradients
            corrected = self._corrected(condition, rotations, pelvis, steps)
        return corrected.to(rotations.device, copy=True)  # an ordinary tensor, through which gradients may pass

    def _corrected(
        self, condition: Condition, rotations: torch.Tensor, pelvis: torch.Tensor, steps: int
    ) -> torch.Tensor:
        condition = Condition(**{name: None if v is None else v.cpu() for name, v in vars(condition).items()})
        rotations, pelvis = rotations.cpu(), pelvis.cpu()
        samples = len(rotations) // len(condition)
        covariance = self._covariances.of(condition)
        if samples > 1:
            index = torch.arange(len(condition)).repeat_interleave(samples)
            condition, covariance = condition.rows(index), covariance[index]
        observation = Observation.of(
            condition.rays, condition.half_size, condition.confidence, condition.depth, condition.depth_known,
            relative_noise(condition),
        )  # fmt: skip
        R = condition.R_camera_crop
        in_crop = torch.cat([(R.mT @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
        found = self._correct(in_crop, (R.mT @ pelvis[..., None])[..., 0], observation, covariance, steps)
        corrected = found.rotations.to(rotations.dtype)
        corrected = torch.cat([(R @ corrected[:, 0])[:, None], corrected[:, 1:]], 1)
        # What was not bettered stays as it was, to the last digit.
        return torch.where(found.changed[:, None, None, None], corrected, rotations)


def relative_noise(condition: Condition) -> torch.Tensor:
    """[B, 25] how much noisier each keypoint is told to be than a row's seen ones in the mean; 1 where all are exact.

    How noisy they are together is found from the image, see :mod:`diffmocap.lifting.correction.noise_level`.
    """
    seen = (condition.confidence > 0).to(condition.noise.dtype)
    mean = (condition.noise * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp_min(1)
    relative = (condition.noise / mean.clamp_min(1e-9)).clamp(*RELATIVE_NOISE)
    return torch.where(mean > 0, relative, 1.0)
