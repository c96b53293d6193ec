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
        with torch.inference_mode():  # a quarter faster than without gradients
            corrected = self._corrected(condition, rotations, pelvis, steps, mean_first)
        return corrected.to(rotations.device, copy=True)  # an ordinary tensor, through which gradients may pass

    def _corrected(
        self, condition: Condition, rotations: torch.Tensor, pelvis: torch.Tensor, steps: int, mean_first: bool
    ) -> torch.Tensor:
        condition = Condition(**{name: None if v is None else v.cpu() for name, v in vars(condition).items()})
        rotations, pelvis = rotations.cpu(), pelvis.cpu()
        samples = len(rotations) // len(condition)
        covariance = self._covariances.of(condition)
        every = condition
        if samples > 1:
            index = torch.arange(len(condition)).repeat_interleave(samples)
            every = condition.rows(index)
        R = every.R_camera_crop
        in_crop = torch.cat([(R.mT @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
        places = (R.mT @ pelvis[..., None])[..., 0]
        if samples > 1 and mean_first:
            corrected, changed = self._by_the_mean(condition, in_crop, places, covariance, steps, samples)
        else:
            covariance = covariance if samples == 1 else covariance[index]
            found = self._correct(in_crop, places, _observation(every), covariance, steps)
            corrected, changed = found.rotations, found.changed
        corrected = corrected.to(rotations.dtype)
        corrected = torch.cat([(R @ corrected[:, 0])[:, None], corrected[:, 1:]], 1)
        # What was not bettered stays as it was, to the last digit.
        return torch.where(changed[:, None, None, None], corrected, rotations)

    def _by_the_mean(
        self, condition: Condition, rotations: torch.Tensor, pelvis: torch.Tensor, covariance: torch.Tensor, steps: int,
        samples: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Rotations [B * K, 24, 3, 3] and whether they changed [B * K]; all in the crop frame."""
        rotations, pelvis = (x.unflatten(0, (-1, samples)) for x in (rotations, pelvis))
        observation = _observation(condition)
        mean = self._correct(rotations[:, 0], pelvis[:, 0], observation, covariance, steps)
        rest = samples - 1
        others, changed = self._correct.by_gain(
            rotations[:, 1:].flatten(0, 1), pelvis[:, 1:].flatten(0, 1), observation.repeat(rest),
            mean.gain.repeat(rest),
        )  # fmt: skip
        corrected = torch.cat([mean.rotations[:, None], others.unflatten(0, (-1, rest))], 1).flatten(0, 1)
        return corrected, torch.cat([mean.changed[:, None], changed.unflatten(0, (-1, rest))], 1).flatten()


def _observation(condition: Condition) -> Observation:
    return Observation.of(
        condition.rays, condition.half_size, condition.confidence, condition.depth, condition.depth_known,
        relative_noise(condition),
    )  # fmt: skip


def relative_noise(condition: Condition) -> torch.Tensor:
    """[B, 25] how much noisier each keypoint is told to be than a row's seen ones in the mean; 1 where all are exact.

    How noisy they are together is found from the image, see :mod:`diffmocap.lifting.correction.noise_level`.
    """
    seen = (condition.confidence > 0).to(condition.noise.dtype)
    mean = (condition.noise * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp_min(1)
    relative = (condition.noise / mean.clamp_min(1e-9)).clamp(*RELATIVE_NOISE)
    return torch.where(mean > 0, relative, 1.0)
