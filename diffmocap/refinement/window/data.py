"""The terms that hold a window to what was observed: keypoints in the image, and the lifted hypotheses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.refinement.window.window import Window

#: Takes the gradient of a term [B] to those of what it was computed from. Written out, as hundreds of small operations
#: cost several times more to record than to do.
Pull = Callable[[torch.Tensor], torch.Tensor | tuple[torch.Tensor, ...]]
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

    def evaluate(self, keypoints: torch.Tensor, robust_m: float) -> tuple[torch.Tensor, Pull]:
        """m^2 [B] for keypoints [B, T, 3, 25] m, and the pull on them."""
        turn = self.camera[:, None, :, :3]
        pixels = turn @ keypoints + self.camera[:, None, :, 3:]
        depth = pixels[..., 2:, :]
        safe = depth.clamp_min(NEAREST_M)
        image = pixels[..., :2, :] / safe
        error = (image - self.observed) * self.metres_a_pixel[..., None, None]
        relative = error.square().sum(-2).div_(robust_m**2)
        weight = self.weight * (depth[..., 0, :] > NEAREST_M)

        def pull(above: torch.Tensor) -> torch.Tensor:
            share = (above[:, None, None] * weight).div_(relative + 1.0)[..., None, :]
            slope = torch.empty_like(pixels)
            scale = share.div_(safe) * (2.0 * self.metres_a_pixel[..., None, None])
            across = torch.mul(error, scale, out=slope[..., :2, :])
            torch.sum((across * image).neg_(), -2, keepdim=True, out=slope[..., 2:, :])
            return turn.mT @ slope

        return robust_m**2 * (weight * torch.log1p(relative)).sum((1, 2)), pull


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
            torch.where(lifted[..., None, None], 0.5 * (window.pelvis_precision + window.pelvis_precision.mT), 0.0),
            believed, lifted.to(believed) / window.frames,
        )  # fmt: skip

    def evaluate(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> tuple[torch.Tensor, Pull]:
        """Nats [B] for local rotations [B, T, 24, 3, 3] and pelvis [B, T, 3], and the pull on both."""
        turned = self.constant - (self.target @ rotations.flatten(2)[..., None])[..., 0]
        away = pelvis[:, :, None] - self.pelvis
        weighed = away @ self.precision
        # Rounding may leave a little less than nothing of a difference of large numbers.
        exponent = torch.add(self.log_weights, turned.clamp_min(0.0) + (weighed * away).sum(-1), alpha=-0.5)

        def pull(above: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            share = exponent.softmax(-1) * (above[:, None] * self.lifted)[..., None]
            nearer = (-0.5 * share * (turned > 0))[..., None, :] @ self.target
            return nearer.view_as(rotations), (share[..., None] * weighed).sum(2)

        return -(self.lifted * torch.logsumexp(exponent, -1)).sum(1), pull
