"""The terms that hold a window to what was observed: keypoints in the image, and the lifted hypotheses."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.refinement.window import Window

#: Errors of the joints of one hypothesis go together: 24 count as this many.
INDEPENDENT_JOINTS = 6
#: Nearer than this to the camera's plane a point has no image [m].
NEAREST_M = 0.1


@dataclass(frozen=True)
class ReprojectionTerm:
    """Cauchy's robust square of distances in the image, weighted by confidence; the mean over frames and 25 keypoints.

    Pixels are turned into metres at the distance of the reference's pelvis. That is a constant, so that standing
    farther away makes no error smaller.

    Attributes:
        camera: [B, 3, 4] takes positions to homogeneous pixels times depth.
        observed: [B, T, 2, 25] px.
        weight: [B, T, 25].
        metres_a_pixel: [B, T].
    """

    camera: torch.Tensor
    observed: torch.Tensor
    weight: torch.Tensor
    metres_a_pixel: torch.Tensor

    @classmethod
    def of(cls, window: Window, pelvis: torch.Tensor) -> ReprojectionTerm:
        """The term of a window, for the reference's pelvis [B, T, 3] m."""
        seen = window.confidence > 0
        observed = torch.where(seen[..., None], window.points_px, 0.0)
        focal = 0.5 * (window.K[:, 0, 0] + window.K[:, 1, 1])
        depth = pelvis @ window.T_camera_motion[:, 2, :3, None] + window.T_camera_motion[:, 2, 3, None, None]
        return cls(
            window.K @ window.T_camera_motion, observed.transpose(-1, -2).contiguous(),
            window.confidence / (window.frames * observed.shape[-2]),
            depth[..., 0].clamp_min(NEAREST_M) / focal[:, None],
        )  # fmt: skip

    def __call__(self, keypoints: torch.Tensor, robust_m: float) -> torch.Tensor:
        """m^2 [B] for keypoints [B, T, 3, 25] m."""
        pixels = self.camera[:, None, :, :3] @ keypoints + self.camera[:, None, :, 3:]
        depth = pixels[..., 2:, :]
        image = pixels[..., :2, :] / depth.clamp_min(NEAREST_M)
        error = ((image - self.observed) * self.metres_a_pixel[..., None, None]).square().sum(-2)
        weight = self.weight * (depth[..., 0, :] > NEAREST_M)
        return robust_m**2 * (weight * torch.log1p(error / robust_m**2)).sum((1, 2))


@dataclass(frozen=True)
class HypothesisTerm:
    """Minus the logarithm of a mixture of bells, one on each hypothesis of the frame; the mean over frames [nats].

    ``-log sum_k w_k exp(-d_k^2 / 2)``, ``d_k^2 = n / 24 sum_j |R_j - H_kj|^2 / (2 s_j^2) + (p - p_k)^T Q (p - p_k)``
    with n = :data:`INDEPENDENT_JOINTS`: squares of angles for small ones, and at most 4 rad^2 for any. The
    nearest hypotheses pull, far ones do not, and which are near may change. At least zero, as the weights sum to one.
    The sum over joints is a single product, as ``|R - H|^2 = 6 - 2 <R, H>``.

    Attributes:
        target: [B, T, K, 216] of rotations, with their precisions.
        constant: [B, T, 1].
        pelvis: [B, T, K, 3] m. precision: [B, T, 3, 3].
        log_weights: [B, T, K] normalised. lifted: [B, T] 1 / T where there is a hypothesis, else 0.
    """

    target: torch.Tensor
    constant: torch.Tensor
    pelvis: torch.Tensor
    precision: torch.Tensor
    log_weights: torch.Tensor
    lifted: torch.Tensor

    @classmethod
    def of(cls, window: Window) -> HypothesisTerm:
        """The term of a window."""
        believed = window.log_weights.transpose(1, 2)
        believed = torch.where(believed.isnan(), -torch.inf, believed)
        lifted = window.lifted & (believed > -torch.inf).any(-1)
        believed = torch.where(lifted[..., None], believed, 0.0).log_softmax(-1)
        used = lifted[..., None] & (believed > -torch.inf)
        rotations = window.rotations.transpose(1, 2).flatten(-2)  # [B, T, K, 24, 9]
        rotations = torch.where(used[..., None, None], rotations, 0.0)
        spread = torch.where(lifted[..., None], window.rotation_spread, 1.0)
        precision = (INDEPENDENT_JOINTS / NUM_JOINTS) / spread.square() * lifted[..., None]  # [B, T, 24]
        return cls(
            (rotations * precision[:, :, None, :, None]).flatten(-2),
            3.0 * precision.sum(-1, keepdim=True),
            torch.where(used[..., None], window.pelvis.transpose(1, 2), 0.0),
            torch.where(lifted[..., None, None], window.pelvis_precision, 0.0),
            believed, lifted.to(believed) / window.frames,
        )  # fmt: skip

    def __call__(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """Nats [B] for local rotations [B, T, 24, 3, 3] and pelvis [B, T, 3]."""
        turned = self.constant - (self.target @ rotations.flatten(2)[..., None])[..., 0]
        away = pelvis[:, :, None] - self.pelvis
        moved = ((away @ self.precision) * away).sum(-1)
        # Rounding may leave a little less than nothing of a difference of large numbers.
        nats = -torch.logsumexp(self.log_weights - 0.5 * (turned.clamp_min(0.0) + moved), -1)
        return (self.lifted * nats).sum(1)

